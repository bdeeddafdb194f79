//! The five fields of cron, read into sets of numbers.
//!
//! Read here and not by the `cron` crate, which wants seconds, counts weekdays from 1, demands that day of month *and* day of week
//! fit, and can't say which field is wrong. It serves as a second opinion in the tests.

use chrono::{Datelike, NaiveDate};

/// Why an expression was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCron {
    /// Not five fields.
    #[error(
        "a cron expression has five fields (minute, hour, day of month, month, day of week), and {given:?} has {count}: {right}"
    )]
    FieldCount {
        /// The expression.
        given: String,
        /// How many fields it has.
        count: usize,
        /// What would be right.
        right: String,
    },
    /// One field makes no sense.
    #[error("{field} {given:?}: {wrong}; {right}")]
    Field {
        /// `minute`, `hour`, `day of month`, `month` or `day of week`.
        field: &'static str,
        /// The refused part of it.
        given: String,
        /// What was wrong.
        wrong: String,
        /// What would be right.
        right: String,
    },
    /// No day of any year fits.
    #[error(
        "{given:?} never occurs: no month that it names has such a day; name a day of month that exists, such as 28, or more months"
    )]
    NeverOccurs {
        /// The expression.
        given: String,
    },
}

/// An expression, ready to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cron {
    minutes: u64,
    hours: u64,
    days_of_month: u64,
    months: u64,
    days_of_week: u64,
    days: Days,
    /// Whether it opens in every hour of a day.
    pub(super) hourly: bool,
}

/// How the two day fields go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Days {
    /// Both are restricted: one that fits is enough.
    Either,
    /// At least one begins with `*`: both must fit.
    Both,
}

struct FieldRules {
    name: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static str],
    example: &'static str,
}

const MINUTE: FieldRules =
    FieldRules { name: "minute", least: 0, most: 59, names: &[], example: "0, */15 or 0,30" };
const HOUR: FieldRules =
    FieldRules { name: "hour", least: 0, most: 23, names: &[], example: "2, 22-23 or *" };
const DAY_OF_MONTH: FieldRules =
    FieldRules { name: "day of month", least: 1, most: 31, names: &[], example: "1, 1-7 or *" };
const MONTH: FieldRules = FieldRules {
    name: "month",
    least: 1,
    most: 12,
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    example: "1, JAN or *",
};
/// Sunday is read as 0 and as 7 and kept as 0.
const DAY_OF_WEEK: FieldRules = FieldRules {
    name: "day of week",
    least: 0,
    most: 7,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    example: "1-5, SAT,SUN or *",
};

/// The longest each month gets, so that 29 February counts as a day.
const LONGEST_MONTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Cron {
    pub(super) fn parse(text: &str) -> Result<Self, BadCron> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day_of_month, month, day_of_week] = fields[..] else {
            return Err(wrong_count(text, &fields));
        };
        let weekdays = DAY_OF_WEEK.read(day_of_week)?;
        let hours = HOUR.read(hour)?;
        let restricted = |field: &str| !field.starts_with('*');
        let cron = Self {
            minutes: MINUTE.read(minute)?,
            hours,
            days_of_month: DAY_OF_MONTH.read(day_of_month)?,
            months: MONTH.read(month)?,
            days_of_week: (weekdays | weekdays >> 7) & 0b111_1111,
            days: if restricted(day_of_month) && restricted(day_of_week) { Days::Either } else { Days::Both },
            hourly: hours == (1 << 24) - 1,
        };
        if cron.occurs() { Ok(cron) } else { Err(BadCron::NeverOccurs { given: text.to_owned() }) }
    }

    /// Whether any day ever fits. Every day of month that exists falls on every weekday in time (29 February too, within 40 years),
    /// so the weekday never makes it impossible.
    fn occurs(&self) -> bool {
        self.days == Days::Either
            || (1..=12_u32).zip(LONGEST_MONTHS).any(|(month, longest)| {
                has(self.months, month) && (1..=longest).any(|day| has(self.days_of_month, day))
            })
    }

    pub(super) fn fits_day(&self, day: NaiveDate) -> bool {
        let of_month = has(self.days_of_month, day.day());
        let of_week = has(self.days_of_week, day.weekday().num_days_from_sunday());
        let fits = match self.days {
            Days::Either => of_month || of_week,
            Days::Both => of_month && of_week,
        };
        fits && has(self.months, day.month())
    }

    /// Hours and minutes at which it opens on a day that fits, in order.
    pub(super) fn times(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let minutes = || (0..60).filter(|&minute| has(self.minutes, minute));
        (0..24)
            .filter(|&hour| has(self.hours, hour))
            .flat_map(move |hour| minutes().map(move |minute| (hour, minute)))
    }
}

fn has(set: u64, number: u32) -> bool {
    set >> number & 1 == 1
}

fn wrong_count(text: &str, fields: &[&str]) -> BadCron {
    let right = match fields {
        [shorthand] if shorthand.starts_with('@') => match *shorthand {
            "@hourly" => "write \"0 * * * *\"".to_owned(),
            "@daily" | "@midnight" => "write \"0 0 * * *\"".to_owned(),
            "@weekly" => "write \"0 0 * * 0\"".to_owned(),
            "@monthly" => "write \"0 0 1 * *\"".to_owned(),
            "@yearly" | "@annually" => "write \"0 0 1 1 *\"".to_owned(),
            _ => "for Sundays at two in the morning write \"0 2 * * SUN\"".to_owned(),
        },
        [_, five @ ..] if five.len() == 5 => {
            format!("leave the seconds out and write {:?}", five.join(" "))
        }
        [_, five @ .., _] if five.len() == 5 => {
            format!("leave the seconds and the year out and write {:?}", five.join(" "))
        }
        _ => "for Sundays at two in the morning write \"0 2 * * SUN\"".to_owned(),
    };
    BadCron::FieldCount { given: text.to_owned(), count: fields.len(), right }
}

impl FieldRules {
    fn refuse<T>(
        &self,
        given: &str,
        wrong: impl Into<String>,
        right: impl Into<String>,
    ) -> Result<T, BadCron> {
        Err(BadCron::Field {
            field: self.name,
            given: given.to_owned(),
            wrong: wrong.into(),
            right: right.into(),
        })
    }

    /// A list of `*`, numbers, names and ranges, the latter and `*` with an optional step, as a set of bits.
    fn read(&self, field: &str) -> Result<u64, BadCron> {
        let mut set = 0;
        for part in field.split(',') {
            set |= self.read_part(part)?;
        }
        Ok(set)
    }

    fn read_part(&self, part: &str) -> Result<u64, BadCron> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let (first, last) = if range == "*" {
            (self.least, self.most)
        } else if let Some((first, last)) = range.split_once('-') {
            self.read_range(range, first, last)?
        } else {
            let number = self.read_number(range)?;
            if step.is_some() {
                return self.refuse(
                    part,
                    "a step needs a range to step through",
                    format!("write {number}-{}/{}", self.most, step.unwrap_or_default()),
                );
            }
            (number, number)
        };
        let step = step.map_or(Ok(1), |step| self.read_step(part, step))?;
        // `*` in the weekdays means 0 to 6: with 7 in it, a step would reach Sunday twice by different ways.
        let last = if range == "*" && self.most == 7 { 6 } else { last };
        Ok((first..=last).step_by(step).fold(0, |set, number| set | 1 << number))
    }

    fn read_range(&self, range: &str, first: &str, last: &str) -> Result<(u32, u32), BadCron> {
        let (begin, mut end) = (self.read_number(first)?, self.read_number(last)?);
        // SAT-SUN and 5-0 end on the Sunday after, not on the one before.
        if self.most == 7 && end == 0 && begin > 0 {
            end = 7;
        }
        if begin > end {
            return self.refuse(
                range,
                "the range begins after its end",
                format!("write {begin}-{},{}-{end}", if self.most == 7 { 6 } else { self.most }, self.least),
            );
        }
        Ok((begin, end))
    }

    fn read_number(&self, text: &str) -> Result<u32, BadCron> {
        let right = || format!("write for example {}", self.example);
        if let Some(index) = self.names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            return Ok(self.least + u32::try_from(index).unwrap_or(0));
        }
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            let names = match self.names {
                [first, .., last] => format!(" and no name from {first} to {last}"),
                [] | [_] => String::new(),
            };
            return self.refuse(
                text,
                format!("no number from {} to {}{names}", self.least, self.most),
                right(),
            );
        }
        match text.parse::<u32>() {
            Ok(number) if (self.least..=self.most).contains(&number) => Ok(number),
            Ok(_) | Err(_) => {
                self.refuse(text, format!("out of range, which is {} to {}", self.least, self.most), right())
            }
        }
    }

    fn read_step(&self, part: &str, step: &str) -> Result<usize, BadCron> {
        let widest = self.most - self.least;
        match step.parse::<u32>() {
            Ok(number) if (1..=widest).contains(&number) => Ok(number as usize),
            Ok(_) | Err(_) => self.refuse(
                part,
                format!("{step:?} is no step in this field"),
                format!("a step is a whole number from 1 to {widest}"),
            ),
        }
    }
}
