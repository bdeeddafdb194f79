# Words of the pages. The format is Fluent's: https://projectfluent.org/fluent/guide

skip = Skip to the content
navigation = Main
search-label = Search by name or number
search = Search
sign-out = Sign out
reload = Reload
times-in = Times in { $what }
as-of = As of
connection-lost = Connection lost, trying again. What you see may be out of date.
nav-fleet = Fleet
nav-maintenances = Maintenances
nav-migrations = Migrations
nav-servers = Servers
nav-hosts = Hosts
nav-windows = Windows
nav-tickets = Tickets
nav-policies = Policies
nav-agents = Agents
nav-audit = Audit log
nav-my = My servers
nav-my-windows = Windows and limits
nav-my-contacts = Contacts
nav-my-tokens = Tokens

# $weekday counts from 1, Monday.
weekday = { $n ->
    [1] Mon
    [2] Tue
    [3] Wed
    [4] Thu
    [5] Fri
    [6] Sat
   *[7] Sun
}
month = { $n ->
    [1] Jan
    [2] Feb
    [3] Mar
    [4] Apr
    [5] May
    [6] Jun
    [7] Jul
    [8] Aug
    [9] Sep
    [10] Oct
    [11] Nov
   *[12] Dec
}
date = { $weekday } { $day } { $month } { $year }
just-now = just now
no-time = less than a second
in-span = in { $what }
span-ago = { $what } ago
seconds = { $n ->
    [one] { $n } second
   *[other] { $n } seconds
}
minutes = { $n ->
    [one] { $n } minute
   *[other] { $n } minutes
}
hours = { $n ->
    [one] { $n } hour
   *[other] { $n } hours
}
days = { $n ->
    [one] { $n } day
   *[other] { $n } days
}

# Forms and lists.
optional = (optional)
back = Back
contains = Contains
filter = Filter
all = All
show-all = Show all
pages = Pages
previous = Previous
next = Next
rows-from = { $n }
rows-to = –{ $n }
rows-of = {" "}of { $n }
will-happen = This will happen
will-not-happen = What stays as it is
col-ticket = Ticket
col-server = Server
col-owner = Owner
col-state = State
col-time = Time
col-deadline = Deadline
col-taken-by = Looked after by
nobody-in-particular = nobody in particular

# Signing in.
sign-in = Sign in
sign-in-to = Sign in to Drover
session-expired = Your session has come to its end. Sign in again, and you go on where you were.
token = Token
token-hint = The token that you were given; it begins with drv_.
sign-in-hint = No token at hand? The link in each of our mails opens the ticket that it is about.

# Tickets.
tickets = Tickets
no-tickets = No tickets here.
no-tickets-hint = A ticket is opened when a server of yours can't be moved while it runs.

# States.
state-silent = silent
state-heard = heard of
state-unanswered = waits for an answer
state-open-ticket = open
state-closed-ticket = closed
state-pending = waiting
state-preflight = being checked
state-transferring = being moved
state-preparing = being prepared
state-ready = ready
state-cutting-over = cutting over
state-verifying = being verified
state-succeeded = moved
state-completed = moved, to be confirmed
state-reverting = going back
state-discarding = old disks being removed
state-closed = done
state-reverted = taken back
state-rehearsing = drill running
state-rehearsed = drill done
state-rolled-back = rolled back
state-failed = failed
state-cancelled = cancelled
state-avoided = not needed any more
state-draft = being planned
state-planned = waits for approval
state-approved = approved
state-running-maintenance = running
state-paused = paused
state-done = done
state-turn-to-come = its turn is to come
state-draining = draining
state-giving = gives servers away
state-confirming = asked whether it is empty
state-drained = drained
state-working = being worked on
state-skipped = left out
state-open-host = open
state-cordoned = cordoned
state-runs = running
state-held = held
state-arriving = arriving
state-off = off
state-crashed = crashed
state-unscheduled = no time yet
state-proposed = proposed
state-accepted = accepted
state-rescheduled = chosen by you
state-start-now = starts now
state-emergency = emergency
state-begun = begun
date-short = { $weekday } { $day } { $month }
about = about { $what }
none = –
yes = yes
no = no
never = never
not-known = not known
and-more = { $n ->
    [one] and { $n } more
   *[other] and { $n } more
}
why = Why
id = Id
seen = Last seen
labels = Labels
disks = Disks
facts = Facts
opened = Opened
progress = Progress
test-launch = Test launch
running = running
ended = ended
# After "in" and before "ago".
days-away = { $n ->
    [one] { $n } day
   *[other] { $n } days
}
vcpus = { $n ->
    [one] { $n } vCPU
   *[other] { $n } vCPUs
}
out-of = of { $what }
allowed = ({ $what } allowed)

# Columns that both have.
col-host = Host
col-size = Size
col-live = While it runs
col-migration = Migration
col-wish = When
col-scope = For
col-next = Next
col-actions = Actions
col-token = Token
col-created = Issued
col-used = Last used

# How long a server will be off, and from what that is known.
downtime-label = Downtime
downtime = about { $about }, nine times in ten at most { $most }
downtime-about = about { $about }
basis-memory = From its memory, what it writes, and the network.
basis-will-not-converge = It writes faster than can be sent.
basis-history = { $n ->
    [one] From one earlier restart of this server.
   *[other] From { $n } earlier restarts of this server.
}
basis-policy = What such servers usually take: nothing is known of this one yet.

# A migration.
migration-of = Migration of { $what }
why-to-me = Why is this happening?
waits-for = It waits for { $what }
drill = drill, nothing is touched
place = Place
place-held = A place for it is reserved.
place-not-held = No place is reserved at present.
done-at = Done
copy-of-disks = Copy of its disks
first-copy = First copy
round = Round
rounds = Rounds
next-one = next
behind = Behind by
late = late
server-writes = The server writes
looked-at = What was looked at after the move
what-happened = What happened
no-events = Nothing yet.
ticket-of-it = Ticket
thread = Messages
remaining = Remaining
sent = Sent
written-anew = Written anew
pass = Pass
expected-downtime = Expected standstill
read-at = Read
curve-label = Remaining bytes and rate of writing over time
curve-left = remaining, up to { $what }
curve-dirty = written anew, up to { $what }
phase-past = done
phase-now = now
phase-ahead = to come
phase-stuck = failed
phase-given-up = given up
phase-not-needed = not needed any more
step-planned = Planned
step-moved = Moved while it runs
step-checked = Checked
step-prepared = Prepared
step-time = Its time
step-restarted = Restarted on its new host
step-confirmed = Confirmed
phase-fixes = Made fit to boot
phase-finalize = Its definition put aside
phase-back = Brought back
phase-in-doubt = Outcome looked for
phase-agreed = Time agreed
phase-prepare = Copy of its disks
phase-check = Check
phase-transfer = Transfer
phase-delta = Last changes
phase-off = Shut down
phase-boot = Boot at its new place
phase-verify = Verification
phase-confirm = Confirmation
test-said-passed = said to have passed
test-said-failed = said to have failed
test-soon = A week before its time is a good moment for it; this time is nearer, so pick another one if you want longer.
test-hint = A copy of the server is booted with a new identity and without a network to anything. The server itself is not touched.
test-name = Name
test-from = Its disks as of
test-seen = Seen
after-its-start = { $what } after its start
test-console = Console
test-until = Ends by itself
voice-drover = Drover
voice-operator = Operator
voice-owner = Owner
confirm-or-revert-until = Confirm or revert until
revert-loses = Going back loses what it has written to its local disks since the move, unless that is copied back first.

# What can be done.
pick-another-time = Pick another time
accept-time = Accept this time
decline-time = Decline this time
migrate-now = Migrate now
sync-now = Bring the copy up to date
pause-copy = Pause the copy
resume-copy = Go on copying
launch-test = Launch a test
end-test = End the test
test-passed = It works
test-failed = It does not work
confirm-good = All is well
revert = Go back
cancel = Cancel
reply = Send
save = Save
add = Add
remove = Remove
revoke = Revoke
issue = Issue a token

# What is asked in forms.
f-text = Your message
f-cron = Opens (cron expression)
f-cron-hint = Minute, hour, day of month, month, day of week: 0 2 * * 0 is each Sunday at 02:00.
f-duration = Stays open for
f-duration-hint = For example 4h or 90m.
f-timezone = Time zone
f-timezone-hint = Such as Europe/Berlin.
f-scope = For which servers
f-scope-account = all of them
f-scope-server = one server
f-scope-label = those with a label
f-scope-what = Which
f-scope-what-hint = Left empty: all. A label such as tier=db, or a server's name.
f-name = Name
f-from-day = First day
f-to-day = Last day
f-calendar-url = Address of a calendar
f-calendar-url-hint = An https address of an iCalendar file; whatever stands in it is frozen. Instead of days.
f-max = At most so many at once
f-mail = Mail addresses
f-mail-hint = One on each line.
f-language = Language of the mails
f-language-hint = Such as en or de.
f-reminders = Mail me reminders
f-salutation = Name for the salutation
f-reason = Why
f-accept-loss = Give up what was written since, and be faster
f-subject = Whose it is

f-when = When
f-when-hint = Left empty, it begins as soon as it can.
send = Send

# My servers.
what-is-coming = What is coming
nothing-coming = Nothing is planned for your servers.
nothing-coming-hint = When something is, it stands here, and you get a mail.
your-turn = your answer is awaited
all-servers = All servers
no-servers = No servers here.
no-servers-hint = They appear when an agent tells of them.
live-allowed = allowed
live-forbidden = forbidden
live-unsaid = as policy says

# Choosing another time.
times-of = Another time for { $what }
time-now = Time at present
earliest = Earliest
free-times = Free times
free-times-hint = At these times there is room, and none of your freezes. Nothing is reserved before you choose.
your-window = Your window:
usual-window = Usual window:
frozen-by = frozen: { $what }
free-times-round = There are more than these; any other one can be typed below.
nothing-free = nothing free
no-free-times = There is no free time before the deadline.
no-free-times-hint = Type a time below, or write to us in the ticket.
more-fields = More settings
own-time-summary = Type a time yourself
own-time = Begin
own-time-hint = In your time zone. If it can't be had you are told why, and what can.
choose-this-time = Choose this time

# Windows, freezes, limits.
windows = Windows
windows-hint = Times in which a restart is welcome. Of several that fit a server the nearest wins: server, label, account.
no-windows = None: the default times hold.
new-windows = Add a window
freezes = Freezes
freezes-hint = Days on which nothing happens to your servers.
no-freezes = None.
new-freezes = Add a freeze
limits = Limits
limits-hint = How many of your servers may be restarted at once.
no-limits = None of your own.
new-limits = Add a limit
next-ten = The next times at which a restart is possible
next-ten-hint = Windows less freezes, for a server for which nothing nearer holds.
open-now = open now
no-next = None: your freezes leave no opening.

# Contacts and tokens.
contacts-hint = To these addresses we write before something happens to your servers. Without one, notices are kept in the ticket only.
tokens-hint = A token lets a program do in your name what you can do here.
token-once = This is the token. It is shown this once: keep it in a safe place.
no-tokens = No tokens.
new-token = A new token
valid = valid
revoked = revoked
this-session = this session

# One server.
how-it-moves = How it can be moved
method-live = while it runs
method-reboot = by a restart
method-nothing = not at present
windows-from = Windows
places = Where it could go
col-suits = Suits
rules = Rules that hold for it
col-setting = Setting
col-value = Value
col-said-by = Said by

# Before something is done.
ask-now = Migrate { $what } now?
ask-now-lead = The server will be off for { $what }.
ask-now-live = It is moved while it runs.
cut-delta = What it has written since its disks were last copied is copied, while it still runs.
cut-off = It is shut down: its system is asked first, and after a while it is switched off. What it wrote last is copied from its disks.
cut-fence = Its old place is closed for it, so that it can never run twice. The old disks are kept there.
cut-boot = It is started at its new place, and looked at. If it can't be started there, it is started again at its old place.
ask-revert = Take { $what } back to where it was?
revert-copied = What it has written to its local disks since is copied back first.
revert-lost = If you give up what was written since, that is left out, and what it has written to its local disks since { $what } is lost.
revert-off = It is shut down where it is now.
revert-boot = It is started at its old place, from its old disks.
ask-confirm = Confirm that { $what } is well?
confirm-discard = The old disks are deleted. After that it can't go back.
ask-cancel = Cancel the migration of { $what }?
cancel-stays = The server stays where it is, and its reserved place is given back.
stays-running = Until it is shut down, the server goes on running where it is.
stays-address = Its names, disks and network addresses do not change.
stale = It has changed since you opened the page, so nothing was done. Look, and decide anew.
stale-since = It has changed since you opened the page, so nothing was done. Since then: { $what }. Look, and decide anew.

# What the scheduler says, word for word: by these it is recognised what to say in another language.
said-initiating = initiating data replication
said-initial-sync = initial sync
said-rescan = rescan
said-syncing = syncing
said-continuous = continuous data replication
said-backlog = backlog
said-stalled = stalled
said-held = ready to be filled
said-releasing = being let go of
said-gone = gone
said-refused = refused by an agent
said-runs = running
said-is-off = off
said-no-addresses = neither its guest nor its host tells any
said-test-asked = ended on request
said-test-expired = its time was over
said-test-went-off = the test guest was switched off
said-seen-alive = seen alive
said-live-after-all = can be moved live after all
said-to-be-live = is to be moved: live
said-to-be-rebooted = is to be moved: reboot
said-live-begins = live migration begins
said-reboot-begins = reboot migration begins
said-needs-operator = needs an operator, who looks after it
said-copy-begins = its disks begin to be copied
said-copy-ready = the copy of its disks is ready
said-copy-goes-on = the copy of its disks is kept up to date again
said-is-here = is here
said-preflight = preflight
said-transferring = transferring
said-final-delta = final delta
said-power-off = power off source
said-guest-fixes = guest fixes
said-finalize = finalize
said-boot-target = boot target
said-verifying = verifying
said-rolling-back = rolling back
said-given-up = given up with its maintenance
said-deleted = resolved: the server was deleted
said-moved-elsewhere = resolved: the server was moved by other means
said-moved-while-off = resolved: the server was off, and was moved meanwhile; it is off until its owner starts it
said-moved-live = resolved: it could be moved live after all
said-closed = closed: the retained definition is gone
said-drill-ended = the drill is over; nothing was done to it
said-adopted = was asked for, and a maintenance needs it now
said-released = its maintenance was cancelled; what was asked for stands
said-for-real = the drill is ended: it is to be moved for real
said-out-of-time = given up: it could not be done in time
said-confirmed-by-itself = confirmed by itself: the time to revert it is over
said-shaped-back = looks as it did before
said-resolved = resolved without a reboot by us
said-windows-server = the owner's window for this server
said-windows-label = the owner's window for this label
said-windows-account = the owner's window
said-windows-default = the default windows

# What happened, as owners read it: a sentence that goes on after the server's name.
by-operator = operator
by-owner = owner { $name }
by-drover = drover
event-fell-back = has to be restarted to be moved. { $why }
event-proposed = ticket: { $at } proposed
event-rescheduled = moved to { $at } by { $by }
event-declined = { $at } declined by { $by }
event-withdrawn = { $at } is not kept: { $why }
event-accepted = time accepted by { $by }
event-start-now = to be started now, says { $by }
event-start-now-guest = to be started now, says { $by } through the guest
event-missed = missed its time { $at }
event-phase-done = { $phase } took { $took }
event-phase-sent = { $phase } took { $took }, { $sent } sent
event-not-moved = { $method ->
    [live] live
   *[reboot] reboot
} migration did not succeed: { $why }
event-moved = { $method ->
    [live] moved (live)
   *[reboot] moved (reboot)
}
event-moved-after = { $method ->
    [live] moved (live
   *[reboot] moved (reboot
}, stood still for { $for })
event-asked-for = to be moved at { $at }, says { $by }
event-drill-asked-for = a drill at { $at }, says { $by }
event-drill-began = a drill says that it is off, until { $at }
event-cancelled = cancelled by { $by }
event-confirmed = confirmed by { $by }
event-reverting = is to go back to where it was, says { $by }
event-reverting-with-loss = is to go back to where it was, says { $by }, who accepts that what it has written to its local disks since is lost
event-reverted = is back where it was, by migration { $through }
event-not-reverted = stays where it is: migration { $through }, which was to take it back, is over
event-copied-once = its disks have been copied once: { $sent } in { $took }
event-copy-ready = the copy of its disks is ready, { $lag } behind
event-copy-stalled = the copy of its disks is stalled: { $why }
event-copy-late = the copy of its disks is { $lag } behind
event-copy-caught-up = the copy of its disks has caught up: { $lag } behind
event-copy-paused = the copy of its disks was paused by { $by }
event-copy-resumed = the copy of its disks was resumed by { $by }
event-sync-asked-for = { $by } asked for the copy of its disks to be brought up to date
event-blueprint = at its next launch by a reboot: { $what }, says { $by }
event-shaped = looks as its blueprint says: { $what }
event-check = check: { $what }
event-finding = { $item } { $verdict }
event-finding-seen = { $item } { $verdict } ({ $seen })
event-both = { $one }; { $other }
event-test = test launch: { $what }
event-test-asked-for = { $by } asked for it
event-test-frozen = round { $round } is frozen, of { $at }
event-test-launched = { $name } runs
event-test-alive = the test guest is alive: { $sign }
event-test-alive-after = the test guest is alive: { $sign }, { $after } after its start
event-test-and-well = { $alive }; all that was looked at is as it should be
event-test-and-not-well = { $alive }; but it is not as it should be: { $failed }
said-test-not-alive = the test guest was not seen alive
said-agent-answers = its guest agent answers
said-console-prints = its console prints
said-it-runs = it runs
said-defined-and-off = defined, and off
event-frozen = { $at } is not kept: a freeze has been set for it ({ $freeze })
event-test-over = over, and nothing of it is left: { $why }
event-test-not-launched = it could not be launched: { $why }
event-test-marked = { $result ->
    [passed] passed
   *[failed] failed
}, says { $by }
said-nothing-retained = given up, as its old disks are not there as they were
said-armed = armed
said-in-doubt = in doubt
said-cleanup-start = what the one before has left is deleted
said-cleanup-end = nothing is left of the one before
said-snapshot-start = the last round that landed is frozen
said-launch-start = the test guest is started
said-not-converging = its memory changes faster than it can be sent
said-aborted = aborted on request
said-refused-by-source = the hypervisor that it runs on refuses it
said-refused-by-destination = the destination can't take it
said-unreachable = the destination could not be reached
said-lost-on-the-way = the connection or the receiving side failed on the way
said-busy = libvirt was busy with this server
said-did-not-boot = it did not come up at the destination
said-needs-power-cycle = its disks can't be read until it has been off once
said-not-begun = it was not begun in its time
said-unexpected = an unexpected error
said-copied-too-late = copying its disks anew takes longer than until then
said-place-promised = the only place that is left is promised to others then

# What came of it, and what will come of it.
act-abort = It is being stopped.
act-retry = It begins anew.
act-force = Forced.
act-approve = Agreed.
act-decline = Declined; another time is proposed.
act-reschedule = Moved to the time that you chose.
act-start = It begins.
act-cancel = Taken back.
act-confirm = Confirmed. Thank you.
act-revert = It is being taken back.
act-sync = A round is done next.
act-pause = Paused.
act-resume = Rounds are done again.
act-test = The test is launched next.
act-end-test = The test is being ended.
act-noted = Noted.
out-retry = The move is planned again, with a place as it is free now.
out-approve = The server is moved at the proposed time.
out-approve-stays = It can be moved to another time until shortly before.
out-decline = The proposed time is given up.
out-decline-next = Another one is proposed at once.
out-reschedule = The server is moved at the time that you choose.
out-sync = A round is done at once.
out-sync-stays = The server goes on running.
out-pause = No further round is done; the copy falls behind.
out-test = A copy of the server is booted at its new host, cut off from its network.
out-test-before = A test that runs is ended first, and its disks are deleted.
out-test-stays = The server itself is not touched, and its copy goes on being kept up to date.
out-end-test = The test guest is switched off, and its disks are deleted.
out-noted = It is noted.
out-noted-seen = It is noted, and operators see it.
out-noted-stays = It changes nothing about the move.
f-opens = Opens
f-how-long = For how long
f-what-is-it = What is it?
f-at-most = At most
f-tongue = Language
f-now-hint = Left empty: now.
wish-all = all servers
wish-at-most = { $n ->
    [one] at most one at once
   *[other] at most { $n } at once
}
wish-server = server { $what }
without-opening = { $what } can not be restarted before its deadline: your windows and freezes leave no time for it. Open more, or shorten a freeze. The deadline is
calendar-unread = Its calendar could not be fetched the last time; what it said before holds until then.
wish-once = once
wish-set = It holds from now on. Times that were agreed before stand.
wish-removed = Removed. Times that were agreed before stand.
mail-came-back = Mail to { $what } came back of late. Look whether the address is right.
saved = Saved.
message-in = Your message is in the ticket.
message-not-sent = Your message was not sent
back-there = Back to where you were
sign-in-other = Sign in as somebody else
to-first-page = To the first page
send-again = Send what you have typed?
send-again-lead = Your session was over when you sent it, so nothing was done yet. You are signed in again.
move-it = Move it
move-by-restart = Move it by a restart
move-place = A place is reserved on another host.
move-then = At the time that you choose, or now, the server is shut down and started there.
move-checked = It is checked, and you are told.
move-stays = Until then it runs on as it is, and you can take it back.
move-asked = It is asked for.
f-note = What is it for?
f-note-hint = Such as backup script: by this you know it again.
token-revoked = It is refused from now on.
token-lost = The token was issued when you sent this first, and it is not shown twice. If you have not kept it, revoke it and issue another.
