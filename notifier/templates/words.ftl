# Words that are put together outside of the templates: times, spans, and what the scheduler says.
# The format is Fluent's: https://projectfluent.org/fluent/guide

# $weekday counts from 1, Monday.
weekday = { $weekday ->
    [1] Monday
    [2] Tuesday
    [3] Wednesday
    [4] Thursday
    [5] Friday
    [6] Saturday
   *[7] Sunday
}
month = { $month ->
    [1] January
    [2] February
    [3] March
    [4] April
    [5] May
    [6] June
    [7] July
    [8] August
    [9] September
    [10] October
    [11] November
   *[12] December
}
date = { weekday }, { $day } { month } { $year }

# 03:00 CET (UTC+01:00)
zoned = { $clock } { $zone }
# $clock is zoned; of a stretch, $until always is, and $from where the clocks change in between.
moment = { $date }, { $clock }
stretch = { $date }, { $from } to { $until }
stretch-over-days = { $date }, { $from } to { $until-date }, { $until }
# $from and $until are weekdays.
ends-another-day = It begins on { $from } and ends on { $until }.
clocks-change = The clocks change in between.

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
two-units = { $greater } { $lesser }
about = about { $span }
about-a-minute = about a minute
a-few-seconds = a few seconds
less-than-a-second = less than a second

# Who did something; in the shipped templates after "by".
by-reader = you
by-operators = our operators
by-account = the account { $account }
by-scheduler = our scheduler

# Sentences of the scheduler, word for word as it says them: by these it recognises what to say in another language.
# With .read-as, its owner reads something else.
# Why a server can't be moved while it runs.
said-owner-forbids = You have asked that this server is not moved while it is running, so it has to be restarted.
    .read-as = You have asked that this server is not moved while it is running.
said-policy-forbids = Servers of this kind are not moved while they are running, so it has to be restarted.
    .read-as = Servers of this kind are not moved while they are running.
said-owner-asked-for-reboot = You asked for it to be moved by a restart.
said-block-job = A backup or copy job is working on its disk { $disk }, and a server cannot be moved while it is running during such a job.
said-unsafe-cache = Its disk { $disk } uses the cache mode { $cache }, with which a move of the running server could lose data.
said-local-disks = Its disks are on the hardware that it runs on, so they are copied while it runs, and it has to be restarted from the copy.
    .read-as = Its disks are on the hardware that it runs on.
said-not-running = The server is switched off, so moving it interrupts nothing.
said-paused = The server is paused, and only a server that is running can be moved without a restart.
said-lost-by-libvirt = The software that runs it has lost its connection to it, which only a restart brings back.
said-live-not-converging = Its memory changes faster than it can be copied, so it cannot be moved while it is running. A server that is less busy, or has less memory, can be.
said-live-failed = Moving it while it was running was tried and did not succeed, without harm to the server; an up-to-date kernel in it, and less memory in use, make success more likely.

# Why a try failed.
said-failed-not-converging = its memory changes faster than it can be sent
said-failed-aborted = aborted on request
said-failed-refused-by-source = the hypervisor that it runs on refuses it
said-failed-refused-by-destination = the destination can't take it
said-failed-unreachable = the destination could not be reached
said-failed-lost-on-the-way = the connection or the receiving side failed on the way
said-failed-busy = libvirt was busy with this server
said-failed-did-not-boot = it did not come up at the destination
said-failed-unexpected = an unexpected error

# Why a time passed.
said-missed-paused = the maintenance was paused
said-missed-busy = other migrations at the same hosts took longer than expected
said-missed-no-room = no other host had room at that time
said-missed-copy = the copy of its disks was not up to date in time
said-missed-blocked = something on the server stood in the way
said-missed-unreachable = its host could not be reached
said-missed-over = the time was over when the scheduler looked at it again

# Whose window it is.
said-window-server = the owner's window for this server
    .read-as = your window for this server
said-window-label = the owner's window for this label
    .read-as = your window for this label
said-window-account = the owner's window
    .read-as = your window
said-window-default = the default windows
said-window-none-fits = the last time before the deadline, for nothing earlier fits the windows
said-window-drill = the time that was chosen for the drill

# Why there is no time.
said-notice-too-long = the notice of { $notice } ends after the deadline, { $deadline }
said-no-stretch = no stretch of { $length } is open and free in { $window } between the end of the notice, { $notice } from now, and the deadline, { $deadline }

# What was seen of a server that did not come up as expected.
said-seen-unknown = libvirt does not know it here
said-seen-not-asked = libvirt could not be asked: { $why }
said-seen-went-off = it was running and went off while it was looked at
said-seen-just-begun = it has only just begun to run

# What was seen of a server that was looked at after its move.
said-look-running = running
said-look-off = off, as before
said-look-agent = its guest agent answers
said-look-console = its console prints
said-look-no-sign = it has neither a guest agent nor a console that is kept
said-look-addresses = { $addresses }, as before
said-look-count = { $count } as before
said-look-lost = { $addresses }; missing: { $lost }
said-look-no-addresses = neither its guest nor its host tells any
said-look-open = TCP port { $port } is open
said-look-expected = status { $status } where { $expected } is expected
said-look-refused = { $what }: connection refused
said-look-silent = { $what }: it does not answer

# Why it does not go back by itself.
said-back-closed = where it was, the hardware is closed for maintenance
said-back-unreachable = where it was, the hardware can't be reached at present
said-back-full = where it was, there is no room any more
said-back-kept-away = where it was, the servers that are there now keep it away (its name, or rules about which may be together)
said-back-unsuited = where it was, the hardware does not suit it any more
said-back-there = it is where it was already
said-back-other-could = another host could take it: ask for that with migrate
said-back-none-could = no other host could take it either at present; ask again later
said-back-live = a server that was moved live is not taken back by itself, for that would take a reboot

# What is answered to a mail that can't be obeyed; $time and the like are moments.
said-asked-accept = take the time that was proposed
said-asked-now = begin now
said-asked-move = move it to { $time }
said-asked-no-reminders = send no reminders
said-refused-begun = the migration has already begun, so its time can't be changed any more
said-refused-nothing-proposed = no time is proposed at present; choose one with reschedule, or start it now
said-refused-too-close = it begins at { $start }, which is too close to move it; answer "now", or wait for its end
said-refused-too-soon = that is too soon; choose { $earliest } or later, or answer "now"
said-refused-too-late = that is too late: it must be over by { $deadline }, so choose { $latest } or earlier
said-refused-taken = that time is taken: the hosts are busy with other migrations then
said-refused-excluded = nothing is done on that day ({ $name })
said-refused-no-such-day = { $said } is no day that is understood; write for example 2026-12-03
