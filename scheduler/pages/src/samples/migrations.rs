//! The pages of a migration, an operator's and an owner's, and that of its ticket.

use drover_policies::estimate::{Basis, Estimate};
use drover_policies::time::Span;

use super::{Sample, german, hours, list, minutes, operator, owner, sample, slot};
use crate::chart::{Curve, CurvePoint};
use crate::confirm::{Confirm, Restart};
use crate::console::migrations::{
    Attempt, MigrationLive, MigrationPage, MigrationRow, MigrationsPage, Moved,
};
use crate::console::tickets::{Care, TicketPage};
use crate::form::{Action, Actions, Field, Form, Input, Weight};
use crate::parts::{
    Check, Checks, Delivery, Event, Events, Message, Messages, Phase, PhaseStanding, Phases, Progress,
    Replica, Test, Thread, Took, Tooks, Voice,
};
use crate::portal::migration::{MyMigration, MyMigrationPage};
use crate::{Label, Tone};

const GIB: u64 = 1 << 30;

pub(super) fn pages(foreign: &str) -> Vec<Sample> {
    let my = |number: &str| format!("/my/migrations/{number}");
    let asked = owner(&my("1042"));
    let form = Form {
        action: my("1042/migrate-now"),
        generation: Some("7".to_owned()),
        back: Some(my("1042")),
        ..Form::default()
    };
    let estimate = estimate();
    let server = format!("db-1{foreign}");
    let restart = Restart { server: &server, estimate: Some(&estimate), local_disks: true };
    let now = Confirm {
        changed: Some(format!("Its time was moved to Friday 02:00 by the account acme{foreign}.")),
        ..Confirm::migrate_now(&asked, &restart, form.clone())
    };
    let back = Confirm::revert(&german(&my("1043")), &restart, Some(hours(-3)), form);
    vec![
        sample("migrations", operator("/migrations"), migrations(foreign)),
        sample(
            "migration",
            operator("/migrations/1042"),
            MigrationPage { live: live(foreign), thread: Some(thread(foreign)) },
        ),
        sample("ticket", operator("/tickets/DR-1042"), ticket(foreign, true)),
        sample("my-ticket", german("/tickets/DR-1042"), ticket(foreign, false)),
        sample(
            "my-migration",
            owner(&my("1042")),
            MyMigrationPage { live: before(foreign), thread: Some(thread(foreign)) },
        ),
        sample(
            "my-migration-moving",
            owner(&my("1042")),
            MyMigrationPage { live: moving(foreign), thread: None },
        ),
        sample(
            "my-migration-done",
            german(&my("1043")),
            MyMigrationPage { live: done(foreign), thread: None },
        ),
        sample("migrate-now", asked, now),
        sample("revert", german(&my("1043/revert")), back),
    ]
}

pub(super) fn estimate() -> Estimate {
    Estimate {
        duration: Span::seconds(1500),
        downtime: Span::seconds(95),
        downtime_p90: Span::seconds(170),
        basis: Basis::History { samples: 4 },
    }
}

fn migrations(foreign: &str) -> MigrationsPage {
    let row = |number, server: &str, method: &str, state, text: &str, percent| MigrationRow {
        number,
        server: format!("{server}{foreign}"),
        owner: format!("acme{foreign}"),
        method: method.to_owned(),
        state,
        text: format!("{text}{foreign}"),
        from: format!("h1{foreign}"),
        to: format!("h7{foreign}"),
        slot: (method == "reboot").then(|| slot(14, 2)),
        percent,
        lag: (method == "reboot")
            .then(|| (Span::seconds(12), if number == 1050 { Tone::Warn } else { Tone::Quiet })),
        needs_person: number == 1050,
        deadline: hours(62),
    };
    MigrationsPage {
        list: list("/migrations", foreign, 3),
        migrations: vec![
            row(
                1050,
                "archive",
                "reboot",
                Label::new("state-pending", Tone::Waits),
                "a time before the deadline; none fits",
                None,
            ),
            row(1042, "db-1", "live", Label::new("state-transferring", Tone::Busy), "", Some(62)),
            row(
                1043,
                "shop",
                "reboot",
                Label::new("state-ready", Tone::Waits),
                "its owner, until Thursday 02:00",
                None,
            ),
        ],
    }
}

fn phases(now: usize, stuck: bool) -> Phases {
    let names = [
        "phase-agreed",
        "phase-prepare",
        "phase-delta",
        "phase-off",
        "phase-boot",
        "phase-verify",
        "phase-confirm",
    ];
    let texts = ["Wed 02:00", "40 GiB in 12 minutes", "310 MiB in 4 s", "", "", "", ""];
    let phase = |(n, name): (usize, &'static str)| Phase {
        name,
        standing: match n {
            n if n < now => PhaseStanding::Past,
            n if n == now && stuck => PhaseStanding::Stuck,
            n if n == now => PhaseStanding::Now,
            _ => PhaseStanding::Ahead,
        },
        text: if n < now { texts[n].to_owned() } else { String::new() },
        percent: (n == now && !stuck).then_some(62),
        took: if n == 3 && n < now { took() } else { Tooks::default() },
    };
    Phases(names.into_iter().enumerate().map(phase).collect())
}

fn took() -> Tooks {
    let took = |name, seconds, sent_bytes| Took { name, took: Span::seconds(seconds), sent_bytes };
    Tooks(vec![took("phase-off", 21, 0), took("phase-delta", 4, 310 << 20)])
}

fn progress() -> Progress {
    Progress {
        at: minutes(0),
        percent: 62,
        total_bytes: 8 * GIB,
        sent_bytes: 11 * GIB,
        remaining_bytes: 3 * GIB + 77,
        rate: 118 << 20,
        dirty_rate: 31 << 20,
        iteration: 3,
        expected_downtime: Span::milliseconds(820),
        allowed_downtime: Some(Span::milliseconds(300)),
    }
}

fn curve() -> Curve {
    let left = [80, 66, 52, 40, 27, 15, 31, 24, 17, 10, 19, 14, 9, 12, 8, 6, 7, 5];
    let point = |(n, left): (i64, u64)| CurvePoint {
        at: minutes(n - 18),
        remaining_bytes: left * GIB / 10,
        dirty_rate: (20 + (left * 7) % 23) << 20,
    };
    Curve { total_bytes: 8 * GIB, points: (0..).zip(left).map(point).collect() }
}

fn replica(foreign: &str) -> Replica {
    Replica {
        text: format!("continuous data replication{foreign}"),
        tone: Tone::Good,
        initial_percent: None,
        lag: Some(Span::seconds(340)),
        lag_bytes: Some(310 << 20),
        late: true,
        rounds: 211,
        round_percent: Some(40),
        next_at: Some(minutes(4)),
        dirty_rate: 900 << 10,
        stalled: Some(format!("the destination could not be reached{foreign}")),
    }
}

fn test(foreign: &str, console: Option<String>) -> Test {
    Test {
        state: "running".to_owned(),
        ended: None,
        result: Some("passed".to_owned()),
        tone: Tone::Good,
        name: Some(format!("db-1-test{foreign}")),
        consistent_at: Some(minutes(-20)),
        until: Some(hours(20)),
        seen: Some(format!("its guest agent answers{foreign}")),
        answered_after: Some(Span::seconds(23)),
        checks: checks(foreign),
        console,
        actions: Actions(vec![
            Action::act("test-passed", "/my/migrations/1042/test/passed", None, Weight::Plain),
            Action::act("test-failed", "/my/migrations/1042/test/failed", None, Weight::Plain),
            Action::act("end-test", "/my/migrations/1042/test/end", None, Weight::Plain),
        ]),
    }
}

fn checks(foreign: &str) -> Checks {
    let check = |item: &str, name: &str, verdict: &str, seen: &str, tone| Check {
        item: item.to_owned(),
        name: format!("{name}{foreign}"),
        verdict: verdict.to_owned(),
        seen: format!("{seen}{foreign}"),
        tone,
    };
    Checks(vec![
        check("power", "power state", "passed", "running", Tone::Good),
        check("life", "sign of life", "passed", "the guest agent answers after 31 s", Tone::Good),
        check("own", "shop", "failed", "status 502 where 200 is expected", Tone::Bad),
    ])
}

fn events(foreign: &str) -> Events {
    let event = |ago: i64, text: &str, tone| Event {
        at: minutes(-ago),
        subject: String::new(),
        href: None,
        text: format!("{text}{foreign}").into(),
        tone,
    };
    Events(vec![
        event(2, "transfer: pass 3", Tone::Quiet),
        event(18, "live migration begins", Tone::Quiet),
        event(40, "live migration did not succeed: the connection failed on the way", Tone::Warn),
        event(1800, "is to be moved: live", Tone::Quiet),
    ])
}

fn thread(foreign: &str) -> Thread {
    let message = |ago: i64, voice, name: &str, kind: &str, text: &str| Message {
        at: minutes(-ago),
        voice,
        name: name.to_owned(),
        kind: kind.to_owned(),
        text: format!("{text}{foreign}"),
        slot: None,
        deliveries: Vec::new(),
    };
    let delivery = |channel: String, state, tone| Delivery { channel, state, tone };
    let mail = vec![
        delivery("mail".to_owned(), "delivered", Tone::Good),
        delivery(format!("webhook:acme{foreign}"), "undeliverable", Tone::Bad),
    ];
    Thread {
        number: "DR-1042".to_owned(),
        messages: Messages(vec![
            Message {
                slot: Some(slot(14, 2)),
                deliveries: mail,
                ..message(1700, Voice::Drover, "", "proposed", "A time is proposed.")
            },
            message(
                90,
                Voice::Owner,
                &format!("acme{foreign}"),
                "mail",
                "Not on Wednesday, please.\n\nThat is our release.",
            ),
            message(50, Voice::Operator, "mara", "page", "Any night until Friday will do: choose one."),
        ]),
        reply: Some(Form {
            action: "/tickets/DR-1042/reply".to_owned(),
            fields: vec![Field::line("text", "f-text").input(Input::Text).value(foreign).required()],
            submit: "reply",
            ..Form::default()
        }),
    }
}

fn live(foreign: &str) -> MigrationLive {
    let name = |text: &str| format!("{text}{foreign}");
    MigrationLive {
        number: 1042,
        server_id: "5f9d2a3c-0000-4000-8000-000000000001".to_owned(),
        server: name("db-1"),
        owner: name("acme"),
        method: "live".to_owned(),
        state: Label::new("state-transferring", Tone::Busy),
        needs_person: false,
        text: name("pass 3, does not converge yet"),
        reason: name("kernel-update"),
        why_not_live: Some(("local_disks".to_owned(), name("its disks are on this host only"))),
        maintenance: Some("MT-12".to_owned()),
        from: name("h1"),
        to: Some(name("h7")),
        place_why: name("the fullest that has room"),
        slot: Some(slot(14, 2)),
        appointment: Some(Label::new("state-accepted", Tone::Good)),
        deadline: hours(62),
        opened_at: hours(-30),
        confirm_until: None,
        estimate: Some(estimate()),
        blueprint: Some(name("8 GiB instead of 4 GiB")),
        phases: phases(2, false),
        progress: Some(progress()),
        curve: Some(curve()),
        replica: Some(replica(foreign)),
        test: Some(test(foreign, Some(name("vnc://127.0.0.1:5903 on h7")))),
        checks: checks(foreign),
        attempts: vec![
            Attempt {
                method: "live".to_owned(),
                to: name("h2"),
                began_at: minutes(-44),
                phases: took(),
                ended_at: Some(minutes(-40)),
                failure: Some((
                    "lost_on_the_way".to_owned(),
                    name("the connection failed on the way"),
                    name("Unable to read from monitor"),
                )),
            },
            Attempt {
                method: "live".to_owned(),
                to: name("h7"),
                began_at: minutes(-18),
                phases: Tooks::default(),
                ended_at: None,
                failure: None,
            },
        ],
        moved: Some(Moved {
            sent_bytes: 11 * GIB,
            downtime: Some(Span::milliseconds(240)),
            power_off: Some(name("acpi")),
        }),
        events: events(foreign),
        actions: Actions(vec![
            Action::ask("abort", "/migrations/1042/abort", Weight::Danger),
            Action::ask("force", "/migrations/1042/force", Weight::Danger),
        ]),
    }
}

fn ticket(foreign: &str, care: bool) -> TicketPage {
    TicketPage {
        number: "DR-1042".to_owned(),
        subject: format!("[ACTION REQUIRED] Server Migration: db-1{foreign}"),
        state: Label::ticket(true, true),
        server: format!("db-1{foreign}"),
        owner: format!("acme{foreign}"),
        migration: "/my/migrations/1042".to_owned(),
        reason: format!("kernel-update{foreign}"),
        why: Some((
            "local_disks".to_owned(),
            format!("Its disks are on the hardware that it runs on.{foreign}"),
        )),
        slot: Some(slot(14, 2)),
        appointment: Label::new("state-proposed", Tone::Waits),
        deadline: hours(62),
        opened_at: hours(-30),
        actions: Actions(vec![Action::ask("pick-another-time", "/my/migrations/1042/times", Weight::Main)]),
        care: care.then(|| Care {
            taken: Some((format!("ada{foreign}"), hours(-2))),
            form: Form {
                action: "/tickets/DR-1042/take".to_owned(),
                fields: vec![
                    Field::line("from", "col-taken-by").input(Input::Hidden).value(format!("ada{foreign}")),
                ],
                submit: "take-over-ticket",
                ..Form::default()
            },
        }),
        thread: thread(foreign),
    }
}

fn before(foreign: &str) -> MyMigration {
    let name = |text: &str| format!("{text}{foreign}");
    MyMigration {
        number: 1042,
        server: name("db-1"),
        state: Label::new("state-ready", Tone::Waits),
        drill: false,
        over: false,
        waits_for: Some(("owner".to_owned(), name("the time agreed with you"))),
        outcome: None,
        reason: name("The hardware that it runs on gets a new kernel."),
        why: Some((
            "local_disks".to_owned(),
            name("Its disks are on the hardware that it runs on, so it has to be restarted from the copy."),
        )),
        slot: Some(slot(14, 2)),
        appointment: Label::new("state-proposed", Tone::Waits),
        estimate: Some(estimate()),
        deadline: hours(62),
        reserved: true,
        done_at: None,
        confirm_until: None,
        revert_loses: false,
        phases: phases(2, false),
        progress: None,
        curve: None,
        replica: Some(Replica { stalled: None, late: false, ..replica(foreign) }),
        test: Some(test(foreign, None)),
        test_advised: true,
        test_soon: true,
        checks: Checks::default(),
        events: events(foreign),
        actions: Actions(vec![
            Action::act("accept-time", "/my/migrations/1042/accept", Some("7".to_owned()), Weight::Main),
            Action::ask("pick-another-time", "/my/migrations/1042/times", Weight::Plain),
            Action::ask("migrate-now", "/my/migrations/1042/migrate-now", Weight::Plain),
            Action::act("launch-test", "/my/migrations/1042/test", None, Weight::Plain),
        ]),
    }
}

fn moving(foreign: &str) -> MyMigration {
    MyMigration {
        state: Label::new("state-cutting-over", Tone::Busy),
        waits_for: None,
        phases: phases(4, false),
        progress: Some(progress()),
        curve: Some(curve()),
        test: None,
        test_advised: false,
        test_soon: false,
        actions: Actions::default(),
        ..before(foreign)
    }
}

fn done(foreign: &str) -> MyMigration {
    MyMigration {
        number: 1043,
        state: Label::new("state-completed", Tone::Good),
        waits_for: None,
        outcome: Some((
            "checks_failed".to_owned(),
            format!("moved and alive, and waits for you: shop answers 502{foreign}"),
        )),
        done_at: Some(hours(-3)),
        confirm_until: Some(hours(21)),
        revert_loses: true,
        phases: phases(6, false),
        replica: None,
        test: None,
        test_advised: false,
        test_soon: false,
        checks: checks(foreign),
        actions: Actions(vec![
            Action::ask("confirm-good", "/my/migrations/1043/confirm", Weight::Main),
            Action::ask("revert", "/my/migrations/1043/revert", Weight::Danger),
        ]),
        ..before(foreign)
    }
}
