# Words that only operators read.

asked-for-by = asked for by { $what }
order-newest = The newest first.
order-oldest = The oldest first.
show-newest = Show the newest first
show-oldest = Show the oldest first
attempts = Attempts
blueprint = Blueprint
check-policy = Check a policy file
check-policy-hint = Nothing is changed: you are told what is wrong with it, and what it would do.
policy-good = Nothing is wrong with it.
settings = What holds where no rule says otherwise
settings-hint = A setting that nobody set is said by the shipped defaults.
explain = Explain a server
explain-hint = Which rule led to which decision, by the server's name or id.
f-policy-file = The file
f-deadline = Deadline
f-deadline-hint = A span from now such as 7d, or a moment such as 2026-12-24T18:00+01:00. Empty for what policy says.
f-hosts = Hosts
f-hosts-hint = Their names, one a line.
resources = Resources
f-host-labels = Or hosts with these labels
f-host-labels-hint = One label=value a line.
f-clusters = In these clusters
f-maintenance-reason-hint = Policies choose the notice by it, and owners read it: kernel-update, broken-fan.
f-rolling = Many hosts, one after the other: it is planned first, and begins when it is approved
f-hosts-at-once = At most so many hosts at once
f-why-emergency = What endangers the hosts
f-why-emergency-hint = Owners are told it.
f-anyway = Also if not all of it can be done
approve = Approve
pause = Pause
resume = Resume
emergency = Emergency
abort = Abort
retry = Try again
force = Force
cordon = Cordon
uncordon = Uncordon
drain-host = Drain
retry-host = Try again
skip-host = Leave out
look-at-plan = Look at the plan
begin = Begin
check = Check
col-agent = Agent
col-agreement = Agreement
certificate-over = has ended: replace it
certificate-pinned = known by its digest, so it has no end
certificate-soon = ends soon: replace it
certificate-until = until
col-certificate = Certificates
col-cluster = Cluster
col-expected = Takes
col-forecast = Forecast
col-from = From
col-hosts = Hosts
col-kind = What happened
col-lag = Copy is behind
col-left = Servers left
col-maintenance = Maintenance
col-memory = Memory
col-method = Method
col-servers = Servers
col-sort = Kind
col-to = To
col-turn = Its turn
col-version = Version
col-wave = Wave
col-way = From, to
count-total = servers
count-moved-live = moved live
count-moved-by-reboot = moved by reboot
count-avoided = not needed any more
count-moving = being moved
count-waiting-for-owner = wait for owners
count-waiting = wait
count-to-come = on hosts to come
count-needs-person = need a person
count-cancelled = cancelled
n-need-a-person = { $n ->
    [one] { $n } needs a person
   *[other] { $n } need a person
}
needs-a-person = What needs a person
moving-now = Moving now
nothing-moves = Nothing moves.
waiting-for = Waiting
nothing-waits = Nothing waits.
over-time = Over time
frozen = frozen: { $what }
more-hosts = { $n ->
    [one] and the turn of { $n } more host
   *[other] and the turns of { $n } more hosts
}
more-migrations = { $n ->
    [one] and { $n } more migration
   *[other] and { $n } more migrations
}
gantt-label = Hosts and migrations over time, with the windows and freezes of those owners that they wait for. The page of each migration says its times in words.
key-now = now
key-window = an owner's window
key-freeze = frozen: nothing may be done
key-deadline = deadline
found-for = Found for “{ $what }”
nothing-found = Nothing has this name or number.
nothing-found-hint = Names, ids, owners, subjects, numbers of tickets (DR-1042) and of maintenances (MT-12) are searched.
operations = Operations
imports = Imports
state-wanted = to be done
state-ended = over
state-importing = being imported
state-cancelling = being cancelled
state-imported = imported
host-empty = Nothing is on it.
hosts-n = { $n ->
    [one] { $n } host
   *[other] { $n } hosts
}
servers-n = { $n ->
    [one] { $n } server
   *[other] { $n } servers
}
threads = { $n ->
    [one] { $n } thread
   *[other] { $n } threads
}
look-needs-person = needs a person
look-moving = being moved
look-waits = to be moved
look-runs = running
look-off = off
no-rack = without a rack
moved = Moved
stood-still = stood still for { $what }
new-maintenance = New maintenance
no-agents = No agent has been heard of.
no-hosts = No hosts here.
no-hosts-hint = A host appears when its agent has told of it: install drover-agent there, with a token of the role agent.
no-maintenances = No maintenances here.
no-maintenances-hint = Begin with a new one: it shows its plan before anything is touched.
no-migrations = No migrations here.
no-migrations-hint = Migrations come from maintenances, and from owners who ask for one.
policy-rules = Rules
policy-rules-hint = Each holds for a part of the fleet. Of several that are about a server the nearest wins: server, label, owner, cluster.
no-policy-rules = None: the settings below hold for every server.
rule-holds-for = { $n ->
    [0] no server at present
    [one] { $n } server at present
   *[other] { $n } servers at present
}
settings-n = { $n ->
    [one] { $n } setting
   *[other] { $n } settings
}
no-wishes = No windows, freezes or limits here.
no-wishes-hint = Owners set them in their portal, or by drover windows, drover freeze and drover limit. Where nothing is set the default windows of the policy hold.
no-planned = Nothing is on the hosts whose turn has come.
take-ticket = Take it
take-over-ticket = Take it over
give-back-ticket = Give it back
no-ticket = It has no ticket: a live migration needs none.
on-it = Servers on it
plan-for = Plan: { $what }
plan-of = Plan of { $what }
moves-planned = { $n ->
    [one] { $n } move is planned;
   *[other] { $n } moves are planned;
}
moves-least = { $n ->
    [one] at least one is needed, for the one server on these hosts has to leave.
   *[other] at least { $n } are needed, for each server on these hosts has to leave once.
}
moves-gap = { $n ->
    [one] { $n } has no way yet
   *[other] { $n } have no way yet
}
moves-later = { $n ->
    [one] At least one more move follows, from the hosts whose turn is yet to come.
   *[other] At least { $n } more moves follow, from the hosts whose turn is yet to come.
}
moves-ahead = { $n ->
    [one] One move is planned for the hosts whose turn is yet to come;
   *[other] { $n } moves are planned for the hosts whose turn is yet to come;
}
moves-ahead-least = { $n ->
    [one] no plan of so many waves has fewer than one.
   *[other] no plan of so many waves has fewer than { $n }.
}
moves-twice = { $n ->
    [one] One is more than that
   *[other] { $n } are more than that
}
takes-expected = for the moves
takes-p90 = nine times in ten at most
takes-least = in no schedule less than
begins-at-once = begins at once
begins-after = begins after { $what }
moves-even = { $n ->
    [one] One move evens it out.
   *[other] { $n } moves even it out.
}
plan-made = Made from facts of
processors = Processors
remarks = What should be known
shared-storage = Shared storage
helpers = Copies and imports
tab-plan = Plan
tab-progress = Progress
wave-n = Wave { $n }
waves = Whose turn is yet to come
plan-live = live
plan-reboot = by reboot
plan-blocked = blocked
plan-no-place = no place
agree-not-needed = not needed
agree-owner = owner
agree-operator = operator
ask-approve = Approve { $what }?
approve-begins = { $n ->
    [one] { $n } host is emptied, as limits allow: it is cordoned at once.
   *[other] { $n } hosts are emptied in the order of the plan, as limits allow: the first of them are cordoned at once.
}
approve-servers = { $n ->
    [0] No server is on them now.
    [one] { $n } server is on them now: if it can go live it does so, without notice to its owner.
   *[other] { $n } servers are on them now: those that can go live do so, without notice to their owners.
}
approve-owners = { $n ->
    [0] No owner of any of them is known, so that nobody is told.
    [one] They belong to { $n } owner, who gets a ticket with a proposed time for each of the others, or is held to the time already agreed.
   *[other] They belong to { $n } owners, who get a ticket with a proposed time for each of the others, or are held to the time already agreed.
}
approve-hooks = When a host is empty, what was asked for is done with it, and the next one has its turn.
ask-pause = Pause { $what }?
pause-nothing-new = { $n ->
    [0] Nothing new is begun: no host, no migration.
    [one] Nothing new is begun: no host, and not the { $n } migration that waits.
   *[other] Nothing new is begun: no host, and none of the { $n } migrations that wait.
}
pause-goes-on = { $n ->
    [0] Nothing is being moved now.
    [one] { $n } server is being moved now: that goes on to its end.
   *[other] { $n } servers are being moved now: that goes on to its end.
}
pause-times = Times that come meanwhile are missed, and are proposed anew.
ask-resume = Resume { $what }?
resume-goes-on = { $n ->
    [0] The next look goes on with it.
    [one] { $n } migration waits, and goes on with the next look.
   *[other] { $n } migrations wait, and go on with the next look.
}
ask-cancel-maintenance = Cancel { $what }?
cancel-running = { $n ->
    [0] Nothing of it runs now; no server is moved back.
    [one] { $n } server is being moved now: that is ended in order; no server is moved back.
   *[other] { $n } servers are being moved now: that is ended in order; no server is moved back.
}
cancel-open = { $n ->
    [0] None of its hosts is taken.
    [one] { $n } host is given back once nothing of it runs there.
   *[other] { $n } hosts are given back once nothing of it runs there.
}
cancel-tickets = { $n ->
    [0] No ticket is open, so that no owner is told.
    [one] { $n } open ticket is closed, and its owner is told.
   *[other] { $n } open tickets are closed, and their owners are told.
}
ask-emergency = Declare an emergency for { $what }?
emergency-windows = { $n ->
    [0] Windows, freezes and notice periods are skipped: nobody's time is waited for now, and none will be.
    [one] Windows, freezes and notice periods are skipped: { $n } server that has a ticket is restarted as soon as it can be.
   *[other] Windows, freezes and notice periods are skipped: { $n } servers that have tickets are restarted as soon as they can be.
}
emergency-told = { $n ->
    [0] Every owner whose server is restarted is told so, with the reason.
    [one] { $n } owner is told so, with the reason.
   *[other] { $n } owners are told so, with the reason.
}
ask-abort = Abort the migration of { $what }?
abort-stays = What runs is stopped, and the server stays where it is.
abort-person = The migration has failed then, and waits for you: try it again, or cancel the maintenance.
ask-force = Force the migration of { $what }?
force-wait = A wait that needs nobody's consent ends: for its turn, or for another try.
force-live = A live migration may stand still for as long as a reboot would take, so that it comes to its end.
force-window = No window is broken: that is what an emergency is for.
