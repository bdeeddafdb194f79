//! The pages of owners, but for those of a migration.

use drover_policies::windows::Slot;

use super::migrations::estimate;
use super::{Sample, german, hours, list, minutes, operator, owner, sample, slot};
use crate::console::windows::AllWindowsPage;
use crate::form::{Action, Actions, Field, Form, Input, Weight};
use crate::portal::contacts::ContactsPage;
use crate::portal::my::{Coming, ComingMove, MyPage, MyServer};
use crate::portal::times::{Day, Frozen, TimesPage};
use crate::portal::tokens::{Issued, Token, TokensPage};
use crate::portal::windows::{Scope, What, WindowsPage, Wish, WithoutOpening};
use crate::{Label, Tone};

pub(super) fn pages(foreign: &str) -> Vec<Sample> {
    let times = "/my/migrations/1042/times";
    vec![
        sample("my", owner("/my"), my(foreign)),
        sample("my-de", german("/my"), my(foreign)),
        sample("my-nothing", owner("/my"), nothing()),
        sample("times", owner(times), self::times(foreign)),
        sample("times-de", german(times), self::times(foreign)),
        sample("my-windows", owner("/my/windows"), windows(foreign)),
        sample("windows", operator("/windows"), all_windows(foreign)),
        sample("contacts", german("/my/contacts"), contacts(foreign)),
        sample("tokens", owner("/my/tokens"), tokens(foreign)),
    ]
}

fn my(foreign: &str) -> MyPage {
    let name = |text: &str| format!("{text}{foreign}");
    let coming = ComingMove {
        number: 1042,
        server: name("db-1"),
        state: Label::new("state-ready", Tone::Waits),
        appointment: Some(Label::new("state-proposed", Tone::Waits)),
        slot: Some(slot(14, 2)),
        reason: name("The hardware that it runs on gets a new kernel."),
        why: Some(("local_disks".to_owned(), name("Its disks are on the hardware that it runs on."))),
        estimate: Some(estimate()),
        deadline: hours(62),
        confirm_until: None,
        needs_owner: true,
        actions: Actions(vec![
            Action::act("accept-time", "/my/migrations/1042/accept", Some("7".to_owned()), Weight::Main),
            Action::ask("pick-another-time", "/my/migrations/1042/times", Weight::Plain),
            Action::ask("migrate-now", "/my/migrations/1042/migrate-now", Weight::Plain),
        ]),
    };
    let done = ComingMove {
        number: 1043,
        server: name("shop"),
        state: Label::new("state-completed", Tone::Good),
        slot: None,
        confirm_until: Some(hours(21)),
        actions: Actions(vec![
            Action::ask("confirm-good", "/my/migrations/1043/confirm", Weight::Main),
            Action::ask("revert", "/my/migrations/1043/revert", Weight::Danger),
        ]),
        ..coming.clone()
    };
    let server = |text: &str, power, migration| MyServer {
        id: "5f9d2a3c-0000-4000-8000-000000000001".to_owned(),
        name: name(text),
        power,
        memory_bytes: 8 << 30,
        vcpus: 4,
        live: Label::new("live-unsaid", Tone::Quiet),
        migration,
        observed_at: minutes(-1),
    };
    MyPage {
        coming: Coming(vec![coming, done]),
        list: list("/my", foreign, 3),
        servers: vec![
            server(
                "db-1",
                Label::new("state-runs", Tone::Good),
                Some((1042, Label::new("state-ready", Tone::Waits))),
            ),
            server(
                "shop",
                Label::new("state-runs", Tone::Good),
                Some((1043, Label::new("state-completed", Tone::Good))),
            ),
            server("archive", Label::new("state-off", Tone::Quiet), None),
        ],
    }
}

fn nothing() -> MyPage {
    let list = crate::list::List { total: 0, q: String::new(), filters: Vec::new(), ..list("/my", "", 0) };
    MyPage { coming: Coming::default(), list, servers: Vec::new() }
}

fn times(foreign: &str) -> TimesPage {
    let day = |n: i64, free: &[i64], windows: Vec<Slot>, frozen: Option<Slot>| Day {
        at: hours(n * 24 - 12),
        frozen: frozen
            .map(|hours| Frozen { name: format!("launch{foreign}"), hours: Some(hours) })
            .into_iter()
            .collect(),
        free: free.iter().map(|hour| slot(n * 24 - 12 + hour, 1)).collect(),
        windows,
    };
    let sale = Frozen { name: format!("year-end sale{foreign}"), hours: None };
    TimesPage {
        number: 1042,
        server: format!("db-1{foreign}"),
        slot: Some(slot(14, 1)),
        deadline: hours(150),
        estimate: Some(estimate()),
        days: vec![
            day(0, &[14, 15, 21], vec![slot(2, 10)], None),
            day(1, &[1, 2, 3], vec![slot(13, 4)], Some(slot(20, 3))),
            Day { frozen: vec![sale], ..day(2, &[], vec![], None) },
            day(3, &[], vec![], None),
            day(4, &[], vec![slot(86, 4)], None),
            day(5, &[1, 2, 3, 4, 5], vec![slot(109, 5)], None),
        ],
        own_windows: true,
        all_shown: false,
        generation: Some("7".to_owned()),
        refusal: Some(format!(
            "Friday 02:00 was taken while you were choosing.{foreign} Nothing has changed; choose another time."
        )),
        typed: "2026-11-27T02:00".to_owned(),
        typed_error: Some(format!("this is less than 60 minutes ahead{foreign}")),
        earliest: hours(1),
    }
}

fn all_windows(foreign: &str) -> AllWindowsPage {
    let WindowsPage { windows, freezes, limits, .. } = windows(foreign);
    let wishes = [windows, freezes, limits].concat();
    AllWindowsPage { list: list("/windows", foreign, wishes.len() as u64), wishes }
}

fn windows(foreign: &str) -> WindowsPage {
    let wish = |what: What, scope: Scope, failure: Option<String>| Wish {
        what,
        scope,
        owner: format!("acme{foreign}"),
        failure,
        next: vec![slot(14, 4), slot(182, 4), slot(350, 4)],
        remove: Some(Action::act("remove", "/my/windows/1/remove", None, Weight::Danger)),
    };
    let form =
        |action: &str, fields| Form { action: action.to_owned(), fields, submit: "add", ..Form::default() };
    let window = form(
        "/my/windows/add",
        vec![
            Field::line("cron", "f-cron")
                .hint("f-cron-hint")
                .value("0 2 * *")
                .error(Some(format!("four parts, needs five{foreign}")))
                .required(),
            Field::line("duration", "f-duration").hint("f-duration-hint").value("4h").required(),
            Field::line("timezone", "f-timezone").hint("f-timezone-hint").value("Europe/Berlin").required(),
        ],
    );
    let freeze = form(
        "/my/freezes/add",
        vec![
            Field::line("freeze_name", "f-name").required(),
            Field::line("from", "f-from-day").input(Input::Day),
            Field::line("to", "f-to-day").input(Input::Day),
        ],
    );
    let limit =
        form("/my/limits/add", vec![Field::line("max", "f-max").input(Input::Number).value("1").required()]);
    WindowsPage {
        windows: vec![
            wish(What::Opens("0 2 * * 0, 4h, Europe/Berlin".to_owned()), Scope::All, None),
            wish(What::Once, Scope::Server(format!("db-1{foreign}")), None),
        ],
        freezes: vec![
            wish(
                What::Frozen {
                    name: format!("year-end sale{foreign}"),
                    days: Some(["2026-12-19", "2026-12-31", "Europe/Berlin"].map(str::to_owned)),
                },
                Scope::Label(format!("tier=gold{foreign}")),
                None,
            ),
            wish(
                What::Frozen { name: format!("releases{foreign}"), days: None },
                Scope::All,
                Some(format!("cal.acme.example does not answer{foreign}")),
            ),
        ],
        limits: vec![wish(What::AtMost(2), Scope::All, None)],
        next: (0..10).map(|n| slot(14 + n * 168, 4)).collect(),
        without_opening: vec![WithoutOpening { server: format!("db-1{foreign}"), deadline: hours(96) }],
        new_window: window,
        new_freeze: freeze,
        new_limit: limit,
    }
}

fn contacts(foreign: &str) -> ContactsPage {
    ContactsPage {
        form: Form {
            action: "/my/contacts/save".to_owned(),
            fields: vec![
                Field::line("name", "f-salutation").value(format!("Acme{foreign}")),
                Field::line("mail", "f-mail")
                    .hint("f-mail-hint")
                    .input(Input::Text)
                    .value(format!("ops@acme.example\n{foreign}")),
                Field::line("timezone", "f-timezone")
                    .hint("f-timezone-hint")
                    .value("Europe/Berlin")
                    .required(),
                Field::line("language", "f-language").hint("f-language-hint").value("de").required(),
                Field::line("reminders", "f-reminders").input(Input::Check).value("on"),
            ],
            submit: "save",
            ..Form::default()
        },
        bounces: vec![format!("old@acme.example{foreign}")],
    }
}

fn tokens(foreign: &str) -> TokensPage {
    let token = |subject: &str, revoked: bool| Token {
        id: "0193-5f9d".to_owned(),
        subject: format!("{subject}{foreign}"),
        created_at: hours(-900),
        last_used_at: (!revoked).then(|| minutes(-12)),
        revoked_at: revoked.then(|| hours(-40)),
        this_session: !revoked,
        revoke: (!revoked)
            .then(|| Action::act("revoke", "/my/tokens/0193-5f9d/revoke", None, Weight::Danger)),
    };
    TokensPage {
        tokens: vec![token("acme", false), token("backup script", true)],
        issued: Some(Issued::Now(format!("drv_ow_5f9d{foreign}"))),
        new: Some(Form {
            action: "/my/tokens".to_owned(),
            fields: vec![Field::line("note", "f-note").hint("f-note-hint")],
            submit: "issue",
            ..Form::default()
        }),
    }
}
