"""When cron expressions occur, by croniter, dateutil and zoneinfo: a second opinion for the tests of windows.

Reads {"zones", "expressions", "from", "until"} (years) from stdin. Writes a line of JSON for each pair: what local times the expression names, and
what became of each in the zone: ["once", moment], ["gap", first moment after it] or ["twice", first, second]. Which of those open a window is
decided by whoever reads this. An expression that names every hour is followed around changes of the clock only.
"""

import json
import sys
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from croniter import croniter
from dateutil.rrule import DAILY, rrule

DAY = timedelta(days=1)


def local_times(expression, begin, end):
    """By croniter. A day field that begins with * is no restriction of its own, so that both must fit."""
    either = not any(field.startswith("*") for field in (expression.split()[2], expression.split()[4]))
    found = []
    times = croniter(expression, begin - timedelta(seconds=1), ret_type=datetime, day_or=either)
    while (moment := times.get_next()) < end:
        found.append(moment)
    if not either:
        assert found == by_dateutil(expression, begin, end), f"croniter and dateutil differ over {expression}"
    return found


def by_dateutil(expression, begin, end):
    minutes, hours, days, months, weekdays = croniter.expand(expression)[0][:5]
    listed = lambda values: None if values == ["*"] else values
    rule = rrule(
        DAILY,
        dtstart=begin,
        until=end - timedelta(seconds=1),
        byminute=listed(minutes) or range(60),
        byhour=listed(hours) or range(24),
        bysecond=0,
        bymonthday=listed(days),
        bymonth=listed(months),
        # Sunday is 0 to cron and 6 to dateutil.
        byweekday=None if weekdays == ["*"] else [(day - 1) % 7 for day in weekdays],
    )
    return list(rule)


def seconds(moment):
    return int(moment.replace(tzinfo=timezone.utc).timestamp())


def offset_at(zone, utc):
    return datetime.fromtimestamp(utc, timezone.utc).astimezone(zone).utcoffset()


def fate(local, zone):
    earlier = local.replace(tzinfo=zone, fold=0).utcoffset()
    later = local.replace(tzinfo=zone, fold=1).utcoffset()
    if earlier == later:
        return ["once", seconds(local - earlier)]
    if earlier > later:
        return ["twice", seconds(local - earlier), seconds(local - later)]
    # In a gap: the change lies after `low` and not after `high`.
    low, high = seconds(local - later), seconds(local - earlier)
    while high - low > 1:
        middle = (low + high) // 2
        if offset_at(zone, middle) == earlier:
            low = middle
        else:
            high = middle
    return ["gap", high]


def changes(zone, begin, end):
    """The days around each change of the clock, in local time."""
    day, spans = begin, []
    while day < end:
        if offset_at(zone, seconds(day)) != offset_at(zone, seconds(day + DAY)):
            spans.append((day - DAY, day + 2 * DAY))
        day += DAY
    return spans


def main():
    asked = json.load(sys.stdin)
    begin, end = datetime(asked["from"], 1, 1), datetime(asked["until"], 1, 1)
    named = {
        expression: local_times(expression, begin - 2 * DAY, end + 2 * DAY)
        for expression in asked["expressions"]
        if expression.split()[1] not in ("*", "0-23")
    }
    for name in asked["zones"]:
        zone = ZoneInfo(name)
        spans = changes(zone, begin, end)
        for expression in asked["expressions"]:
            if expression in named:
                parts = [(begin, end, named[expression])]
            else:
                parts = [(a, b, local_times(expression, a - 2 * DAY, b + 2 * DAY)) for a, b in spans]
            for a, b, times in parts:
                fates = [fate(local, zone) for local in times]
                print(json.dumps([name, expression, seconds(a), seconds(b), fates]))


main()
