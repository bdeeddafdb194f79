//! The pages of operators, but for those of migrations.

use drover_policies::fleet::Certificate;
use drover_policies::time::Span;

use super::{Sample, hours, list, minutes, operator, sample, slot};
use crate::chart::{Gantt, GanttBar, GanttFreeze, GanttRow};
use crate::confirm::{Confirm, Reach};
use crate::console::agents::{AgentRow, AgentsPage};
use crate::console::ask::AskPage;
use crate::console::audit::AuditPage;
use crate::console::fleet::{Block, Cluster, FleetPage, HostLook, Rack, ServerLook, Tile, TileSize};
use crate::console::hosts::{HostPage, HostRow, HostsPage};
use crate::console::maintenances::{
    Counts, MaintenanceLive, MaintenancePage, MaintenanceRow, MaintenancesPage, Moves, PlanPage, Planned,
    PlannedTime, Takes, Turn, Wave,
};
use crate::console::policies::{ExplainForm, PoliciesPage, PolicyRule, Setting, Table};
use crate::console::search::{Group, Hit, SearchPage};
use crate::console::servers::{Disk, Place, Rule, ServerPage, ServerRow, ServersPage};
use crate::form::{Action, Actions, Field, Form, Input, Weight};
use crate::parts::{Brief, Briefs, Event, Events};
use crate::{Label, Tone};

const GIB: u64 = 1 << 30;

pub(super) fn pages(foreign: &str) -> Vec<Sample> {
    let live = live(foreign);
    let actions = Actions(vec![
        Action::ask("pause", "/maintenances/MT-12/pause", Weight::Plain),
        Action::ask("emergency", "/maintenances/MT-12/emergency", Weight::Danger),
        Action::ask("cancel", "/maintenances/MT-12/cancel", Weight::Danger),
    ]);
    let asked = operator("/maintenances/MT-12/emergency");
    let reach = Reach { tickets: 31, owners_with_tickets: 7, ..Reach::default() };
    let why = Form {
        action: "/maintenances/MT-12/emergency".to_owned(),
        fields: vec![
            Field::line("why", "f-why-emergency").hint("f-why-emergency-hint").value(foreign).required(),
        ],
        back: Some("/maintenances/MT-12".to_owned()),
        ..Form::default()
    };
    let emergency = Confirm::emergency(&asked, "MT-12", &reach, why);
    vec![
        sample("fleet", operator("/fleet"), fleet(6, 20, foreign)),
        sample(
            "fleet-large",
            operator("/fleet"),
            fleet(if foreign.is_empty() { 50 } else { 16 }, 20, foreign),
        ),
        sample("maintenances", operator("/maintenances"), maintenances(foreign)),
        sample(
            "maintenance",
            operator("/maintenances/MT-12"),
            MaintenancePage { live: MaintenanceLive { actions, ..live } },
        ),
        sample("plan", operator("/maintenances/MT-12/plan"), plan(foreign)),
        sample("new-maintenance", operator("/maintenances/new"), new(foreign)),
        sample("emergency", asked, emergency),
        sample(
            "servers",
            operator("/servers"),
            ServersPage { list: list("/servers", foreign, 20_000), servers: servers(foreign) },
        ),
        sample("server", operator("/servers/db-1"), server(foreign)),
        sample(
            "hosts",
            operator("/hosts"),
            HostsPage { list: list("/hosts", foreign, 3), hosts: host_rows(foreign) },
        ),
        sample("host", operator("/hosts/h1"), host(foreign)),
        sample("policies", operator("/policies"), policies(foreign)),
        sample("agents", operator("/agents"), agents(foreign)),
        sample(
            "audit",
            operator("/audit"),
            AuditPage { list: list("/audit", foreign, 4012), events: events(foreign) },
        ),
        sample("search", operator("/search?q=db"), search(foreign)),
    ]
}

/// A fleet of so many racks, each of so many hosts, each with twenty servers.
#[must_use]
pub fn fleet(racks: usize, hosts: usize, foreign: &str) -> FleetPage {
    let rack = |cluster: &str, number: usize| Rack {
        cluster: cluster.to_owned(),
        name: format!("r{number}{foreign}"),
        tiles: TileSize::of(racks * hosts),
        hosts: (0..hosts).map(|n| tile(number * hosts + n, foreign)).collect(),
    };
    let cluster = |name: &str, from: usize, to: usize| Cluster {
        name: format!("{name}{foreign}"),
        racks: (from..to).map(|number| rack(name, number)).collect(),
    };
    FleetPage { clusters: vec![cluster("fra-1", 0, racks / 2), cluster("fra-2", racks / 2, racks)] }
}

fn tile(number: usize, foreign: &str) -> Tile {
    // Looks that differ as those of a fleet do, and are the same in every run.
    let odd = |n: usize| (number * 7919 + n * 104_729 + number * n * 31) % 97;
    let look = match odd(1) {
        0..4 => HostLook::Cordoned,
        4..8 => HostLook::Draining,
        8..10 => HostLook::Drained,
        10..12 => HostLook::Silent,
        _ => HostLook::Open,
    };
    let count = match look {
        HostLook::Drained => 0,
        HostLook::Draining => 9,
        HostLook::Open | HostLook::Cordoned | HostLook::Silent => 20,
    };
    let servers = (0..count).map(|n| Block {
        memory_bytes: [2, 4, 4, 8, 8, 16, 32][(number + n * 3) % 7] * GIB,
        look: match (look, odd(n + 3)) {
            (HostLook::Draining, 0..20) => ServerLook::Moving,
            (HostLook::Draining, 20..60) => ServerLook::Waits,
            (HostLook::Draining, 60..66) => ServerLook::NeedsPerson,
            (_, 90..) => ServerLook::Off,
            _ => ServerLook::Runs,
        },
    });
    Tile { name: format!("h{number:04}{foreign}"), look, memory_bytes: 256 * GIB, servers: servers.collect() }
}

fn counts() -> Counts {
    Counts {
        total: 160,
        moved_live: 71,
        moved_by_reboot: 8,
        avoided: 1,
        moving: 6,
        waiting_for_owner: 18,
        waiting: 14,
        needs_person: 2,
        cancelled: 0,
        to_come: 40,
    }
}

fn maintenances(foreign: &str) -> MaintenancesPage {
    let row = |number: u32, reason: &str, state, emergency, deadline, deadline_tone| MaintenanceRow {
        number: format!("MT-{number}"),
        reason: format!("{reason}{foreign}"),
        state,
        emergency,
        hosts_done: 3,
        hosts: 10,
        counts: counts(),
        deadline,
        deadline_tone,
        forecast: emergency.then(|| hours(7)),
        requested_by: format!("operator mara{foreign}"),
    };
    MaintenancesPage {
        list: list("/maintenances", foreign, 3),
        maintenances: vec![
            row(
                14,
                "broken-fan",
                Label::new("state-running-maintenance", Tone::Busy),
                true,
                hours(9),
                Tone::Warn,
            ),
            row(13, "firmware", Label::new("state-planned", Tone::Waits), false, hours(400), Tone::Quiet),
            row(12, "kernel-update", Label::new("state-paused", Tone::Warn), false, hours(-3), Tone::Bad),
        ],
    }
}

fn brief(number: u32, server: &str, method: &str, state: Label, text: &str) -> Brief {
    Brief { number, server: server.to_owned(), method: method.to_owned(), state, text: text.to_owned() }
}

fn live(foreign: &str) -> MaintenanceLive {
    let name = |text: &str| format!("{text}{foreign}");
    MaintenanceLive {
        number: "MT-12".to_owned(),
        reason: name("kernel-update"),
        state: Label::new("state-running-maintenance", Tone::Busy),
        requested_by: name("operator mara"),
        requested_at: hours(-30),
        deadline: hours(62),
        deadline_tone: Tone::Quiet,
        emergency: Some(name("a fan is broken")),
        counts: counts(),
        forecast: Some(hours(40)),
        halted: Some(name("h3 failed, and 0 may: try it again, leave it out, or resume in spite of it")),
        needs_person: Briefs(vec![brief(
            1050,
            &name("archive"),
            "reboot",
            Label::new("state-pending", Tone::Waits),
            &name("a time in its owner's windows before the deadline; none fits"),
        )]),
        moving: Briefs(vec![
            brief(
                1042,
                &name("db-1"),
                "live",
                Label::new("state-transferring", Tone::Busy),
                "62 %, 1.2 GiB remaining",
            ),
            brief(1046, &name("web-4"), "live", Label::new("state-verifying", Tone::Busy), ""),
        ]),
        waiting: Briefs(vec![brief(
            1043,
            &name("shop"),
            "reboot",
            Label::new("state-ready", Tone::Waits),
            "its owner, until Thursday 02:00",
        )]),
        more_waiting: 12,
        hosts: turns(foreign),
        more_hosts: 4,
        actions: Actions::default(),
        gantt: Some(gantt(foreign)),
        events: events(foreign),
    }
}

fn turns(foreign: &str) -> Vec<Turn> {
    let turn = |host: &str, state, text: &str, servers_left| Turn {
        host: format!("{host}{foreign}"),
        state,
        text: format!("{text}{foreign}"),
        wave: Some(1),
        began_at: Some(hours(-20)),
        ended_at: None,
        servers_left,
        actions: Actions::default(),
    };
    vec![
        Turn {
            actions: Actions(vec![Action::act(
                "retry-host",
                "/maintenances/MT-12/hosts/h3/retry",
                None,
                Weight::Plain,
            )]),
            ..turn("h3", Label::new("state-failed", Tone::Bad), "hook maintain: exit 1, second try", 0)
        },
        turn("h1", Label::new("state-draining", Tone::Busy), "", 7),
        Turn { ended_at: Some(hours(-2)), ..turn("h2", Label::new("state-done", Tone::Good), "", 18) },
        Turn {
            began_at: None,
            wave: Some(2),
            ..turn("h4", Label::new("state-turn-to-come", Tone::Waits), "", 20)
        },
    ]
}

fn gantt(foreign: &str) -> Gantt {
    let bar = |from, long, tone, planned, text: &str| GanttBar {
        slot: slot(from, long),
        tone,
        planned,
        text: format!("{text}{foreign}"),
    };
    // Whoever has windows has also a freeze, between the first two.
    let freezes = |windows: &[i64]| -> Vec<GanttFreeze> {
        let first = windows
            .first()
            .map(|from| GanttFreeze { name: format!("Black Friday{foreign}"), slot: slot(from + 6, 12) });
        first.into_iter().collect()
    };
    let row = |name: &str, windows: Vec<i64>, bars| GanttRow {
        name: format!("{name}{foreign}"),
        freezes: freezes(&windows),
        windows: windows.into_iter().map(|from| slot(from, 4)).collect(),
        bars,
    };
    Gantt {
        from: hours(-30),
        to: hours(66),
        deadline: hours(62),
        more_hosts: 3,
        more_migrations: 15,
        rows: vec![
            row("h1", vec![], vec![bar(-20, 26, Tone::Busy, false, "draining")]),
            row(
                "h2",
                vec![],
                vec![bar(-28, 20, Tone::Good, false, "drained"), bar(-8, 6, Tone::Good, false, "hooks")],
            ),
            row(
                "h3",
                vec![],
                vec![
                    bar(-24, 18, Tone::Good, false, "drained"),
                    bar(-6, 3, Tone::Bad, false, "hook maintain failed"),
                ],
            ),
            row("db-1", vec![], vec![bar(-1, 2, Tone::Busy, false, "live migration")]),
            row("shop", vec![-10, 14, 38, 62], vec![bar(38, 1, Tone::Waits, true, "reboot, agreed")]),
            row("archive", vec![-20, 28], vec![bar(28, 2, Tone::Waits, true, "reboot, proposed")]),
        ],
    }
}

fn events(foreign: &str) -> Events {
    let event = |ago: i64, subject: &str, text: &str, tone| Event {
        at: minutes(-ago),
        subject: format!("{subject}{foreign}"),
        href: Some("/migrations/1042".to_owned()),
        text: format!("{text}{foreign}").into(),
        tone,
    };
    Events(vec![
        event(2, "db-1", "transfer: pass 3, 1.2 GiB remaining", Tone::Quiet),
        event(14, "shop", "ticket: 2026-11-26 01:00 chosen by owner acme", Tone::Good),
        event(
            21,
            "web-2",
            "live migration did not succeed: its memory changes faster than it can be sent",
            Tone::Warn,
        ),
        event(60, "h3", "hook maintain failed: exit 1", Tone::Bad),
    ])
}

fn plan(foreign: &str) -> PlanPage {
    let one = |name: &str, decision, why: Option<(&str, &str)>, agreement| Planned {
        server: "5f9d2a3c-0000-4000-8000-000000000001".to_owned(),
        name: format!("{name}{foreign}"),
        owner: format!("acme{foreign}"),
        from: format!("h1{foreign}"),
        decision,
        to: Some(format!("h7{foreign}")),
        place_why: format!("the fullest that has room{foreign}"),
        why: why.map(|(code, text)| (code.to_owned(), format!("{text}{foreign}"))),
        agreement,
        time: (agreement == "agree-owner").then(|| PlannedTime::At(slot(38, 2))),
        wave: (name != "shop").then_some(2),
        begins: (name == "db-1").then_some(Span::seconds(340)),
        expected: Some(Span::seconds(95)),
        downtime: Some(Span::milliseconds(180)),
    };
    PlanPage {
        number: Some("MT-12".to_owned()),
        reason: format!("kernel-update{foreign}"),
        made_at: minutes(-3),
        moves: Moves { planned: 39, least: 40, later: 210, least_later: 200, evens_out: 0 },
        takes: Some(Takes { expected: Span::minutes(84), p90: Span::minutes(130), least: Span::minutes(81) }),
        list: list("/maintenances/MT-12/plan", foreign, 40),
        servers: vec![
            one("db-1", Label::new("plan-live", Tone::Good), None, "agree-not-needed"),
            one(
                "shop",
                Label::new("plan-reboot", Tone::Waits),
                Some(("local_disks", "its disks are on this host only")),
                "agree-owner",
            ),
            Planned {
                to: None,
                time: Some(PlannedTime::Never {
                    why: format!("frozen until the deadline{foreign}"),
                    would_help: format!("a later deadline{foreign}"),
                }),
                expected: None,
                downtime: None,
                ..one(
                    "gpu-1",
                    Label::new("plan-blocked", Tone::Bad),
                    Some(("host_device", "it has a device of this host")),
                    "agree-operator",
                )
            },
        ],
        methods: vec![("plan-live", 31), ("plan-reboot", 8), ("plan-blocked", 1)],
        waves: vec![
            Wave {
                number: 2,
                hosts: vec![format!("h4{foreign}"), "h5".to_owned()],
                because: format!("there is room when h1 is back{foreign}"),
                obstacle: false,
            },
            Wave {
                number: 3,
                hosts: vec!["h6".to_owned()],
                because: format!("gpu-1 can't leave it{foreign}"),
                obstacle: true,
            },
        ],
        remarks: vec![
            format!("shop waits for its owner until Thursday{foreign}"),
            "40 moves; no order of these hosts can do with fewer than 38".to_owned(),
        ],
        actions: Actions(vec![Action::ask("approve", "/maintenances/MT-12/approve", Weight::Main)]),
        start: None,
    }
}

fn new(foreign: &str) -> AskPage {
    AskPage {
        title: "New maintenance".to_owned(),
        lead: "The plan is shown before anything is touched.".to_owned(),
        form: Form {
            action: "/maintenances/new".to_owned(),
            fields: vec![
                Field::line("reason", "f-reason").hint("f-maintenance-reason-hint").value(foreign).required(),
                Field::line("hosts", "f-hosts")
                    .hint("f-hosts-hint")
                    .input(Input::Text)
                    .value(format!("h1\nh2{foreign}")),
                Field::line("deadline", "f-deadline").hint("f-deadline-hint").value("soon").error(Some(
                    format!(
                        "\"soon{foreign}\" is neither a moment nor a length of time; write for example 7d"
                    ),
                )),
                Field::line("rolling", "f-rolling").input(Input::Check).value("on"),
                Field::line("at_once", "f-hosts-at-once").input(Input::Number).value("2"),
            ],
            more: vec![
                Field::line("bandwidth", "Bandwidth").value(format!("8Gbit{foreign}")).hint("Such as 8Gbit."),
                Field::line("no_hooks", "Run no hooks").input(Input::Check),
            ],
            submit: "look-at-plan",
            back: Some("/maintenances".to_owned()),
            error: Some(format!("One thing has to be mended.{foreign}")),
            ..Form::default()
        },
    }
}

fn servers(foreign: &str) -> Vec<ServerRow> {
    let row = |name: &str, power, migration| ServerRow {
        id: "5f9d2a3c-0000-4000-8000-000000000001".to_owned(),
        name: format!("{name}{foreign}"),
        owner: format!("acme{foreign}"),
        host: format!("h1{foreign}"),
        power,
        memory_bytes: 8 * GIB,
        vcpus: 4,
        migration,
    };
    vec![
        row(
            "db-1",
            Label::new("state-runs", Tone::Good),
            Some((1042, Label::new("state-transferring", Tone::Busy))),
        ),
        ServerRow { owner: String::new(), ..row("archive", Label::new("state-off", Tone::Quiet), None) },
        row("web-2", Label::new("state-crashed", Tone::Bad), None),
    ]
}

fn server(foreign: &str) -> ServerPage {
    let name = |text: &str| format!("{text}{foreign}");
    ServerPage {
        id: "5f9d2a3c-0000-4000-8000-000000000001".to_owned(),
        name: name("db-1"),
        owner: name("acme"),
        host: Some(name("h1")),
        power: Label::new("state-runs", Tone::Good),
        memory_bytes: 8 * GIB,
        vcpus: 4,
        disks: vec![Disk {
            target: name("vda"),
            bytes: Some(40 * GIB),
            reach: "local".to_owned(),
            source: Some(name("/var/lib/libvirt/images/db-1.qcow2")),
        }],
        labels: vec![name("tier=gold")],
        observed_at: minutes(-1),
        migration: Some((1042, Label::new("state-preparing", Tone::Waits))),
        method: Label::new("method-reboot", Tone::Waits),
        obstacles: vec![("local_disks".to_owned(), name("its disks are on this host only"))],
        downtime: Some(Span::seconds(95)),
        rules: vec![Rule {
            setting: name("live.allowed"),
            value: name("true"),
            said_by: name("cluster fra-1"),
        }],
        places: vec![
            Place { host: name("h7"), suits: true, why: name("71 % of its memory would be used") },
            Place { host: name("h2"), suits: false, why: name("it is cordoned") },
        ],
        windows_from: name("the owner's window for this server"),
        next_windows: vec![slot(14, 4), slot(38, 4)],
        events: events(foreign),
        actions: Actions(vec![Action::ask("migrate-now", "/servers/db-1/migrate-now", Weight::Plain)]),
    }
}

fn host_rows(foreign: &str) -> Vec<HostRow> {
    let row = |name: &str, standing, why: &str, silent| HostRow {
        name: format!("{name}{foreign}"),
        cluster: format!("fra-1{foreign}"),
        rack: format!("r1{foreign}"),
        standing,
        why: format!("{why}{foreign}"),
        maintenance: "MT-12".to_owned(),
        agent: Label::agent(silent),
        last_seen: minutes(if silent { -42 } else { 0 }),
        servers: 20,
        used_bytes: 190 * GIB,
        memory_bytes: 256 * GIB,
    };
    vec![
        row("h1", Label::new("state-draining", Tone::Busy), "", false),
        row("h2", Label::new("state-open-host", Tone::Good), "", false),
        row("h3", Label::new("state-cordoned", Tone::Warn), "fan makes a noise", true),
    ]
}

fn host(foreign: &str) -> HostPage {
    let name = |text: &str| format!("{text}{foreign}");
    HostPage {
        row: host_rows(foreign).remove(0),
        labels: vec![name("rack=r1")],
        resources: vec![name("gpu-slots=4")],
        cpu_threads: 64,
        vcpus_used: 92,
        cpu: name("EPYC-Milan, x86_64"),
        libvirt_version: "11.3.0".to_owned(),
        qemu_version: "10.0.2".to_owned(),
        libvirt_uri: name("qemu+tls://h1.fra-1/system"),
        shared_storage: vec![name("ceph:vms")],
        helpers: vec![name("taken at 10.0.0.1:7447"), name("kept here: db-1")],
        maintenance: Some("MT-12".to_owned()),
        servers: servers(foreign),
        events: events(foreign),
        actions: Actions(vec![
            Action::ask("drain-host", "/maintenances/new?host=h1", Weight::Main),
            Action::ask("cordon", "/hosts/h1/cordon", Weight::Plain),
        ]),
    }
}

fn policies(foreign: &str) -> PoliciesPage {
    let rule = |setting: &str, value: &str| Rule {
        setting: format!("{setting}{foreign}"),
        value: format!("{value}{foreign}"),
        said_by: "shipped defaults".to_owned(),
    };
    let table = |name: &str, settings: Vec<Rule>| Table {
        name: name.to_owned(),
        settings: settings
            .into_iter()
            .map(|rule| Setting { rule, meaning: format!("What it is for.{foreign}") })
            .collect(),
    };
    PoliciesPage {
        tables: vec![
            table("notice", vec![rule("notice.lead", "7d"), rule("notice.reminders", "7d, 24h, 1h")]),
            table("live", vec![rule("live.allowed", "yes")]),
        ],
        rules: vec![PolicyRule {
            name: format!("databases stay put{foreign}"),
            about: format!("label role=database{foreign}"),
            said_by: format!("/etc/drover/policies/10-databases.toml:4{foreign}"),
            servers: 31,
            sets: vec![
                ("live.allowed".to_owned(), "no".to_owned()),
                ("notice.lead".to_owned(), format!("10d{foreign}")),
            ],
        }],
        check: Form {
            action: "/policies/check".to_owned(),
            fields: vec![
                Field::line("file", "f-policy-file")
                    .input(Input::Text)
                    .value(format!("[notice]\nperiod = \"a week\"{foreign}"))
                    .required(),
            ],
            submit: "check",
            ..Form::default()
        },
        findings: Some(vec![(
            Tone::Bad,
            format!("line 2, notice.period: \"a week{foreign}\" is no length of time; write for example 7d"),
        )]),
        explain: ExplainForm { q: foreign.to_owned(), error: Some(format!("there is no server {foreign}")) },
    }
}

fn agents(foreign: &str) -> AgentsPage {
    let certificate = |file: &str, until| Certificate {
        file: format!("{file}{foreign}").into(),
        subject: format!("CN=h1.example{foreign}"),
        until,
    };
    let agent = |host: &str, silent| AgentRow {
        host: format!("{host}{foreign}"),
        state: Label::agent(silent),
        last_seen: minutes(if silent { -42 } else { 0 }),
        version: format!("0.1.0{foreign}"),
        hypervisor: format!("11.3.0, 10.0.2{foreign}"),
        certificates: vec![
            certificate("/etc/pki/libvirt/servercert.pem", Some(hours(9000))),
            certificate("/etc/pki/libvirt/clientcert.pem", Some(hours(if silent { -30 } else { 290 }))),
            certificate("/var/lib/drover-agent/identity.pem", None),
        ],
    };
    AgentsPage {
        list: list("/agents", foreign, 2),
        agents: vec![agent("h3", true), agent("h1", false)],
        findings: vec![(
            Tone::Warn,
            format!("h3 has not been heard of for 42 minutes{foreign}"),
            "Look at drover-agent on h3.".to_owned(),
        )],
    }
}

fn search(foreign: &str) -> SearchPage {
    let hit = |href: &str, name: &str, state| Hit {
        href: href.to_owned(),
        name: format!("{name}{foreign}"),
        text: format!("acme{foreign}"),
        state,
    };
    SearchPage {
        q: format!("db{foreign}"),
        groups: vec![
            Group {
                name: "nav-servers",
                hits: vec![hit("/servers/db-1", "db-1", Some(Label::new("state-runs", Tone::Good)))],
                all: Some("/servers?q=db".to_owned()),
            },
            Group { name: "nav-tickets", hits: vec![hit("/tickets/DR-1042", "DR-1042", None)], all: None },
        ],
    }
}
