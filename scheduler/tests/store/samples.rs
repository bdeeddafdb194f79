//! Things to be stored.

use std::num::NonZeroU32;
use std::path::PathBuf;

use chrono::TimeDelta;
use drover_agent_api::{Destination, Inventory, LiveMigrate, Operation, Order, Wish};
use drover_policies::appointment::Appointment;
use drover_policies::attempt::{Method, Moved, PowerOff};
use drover_policies::blueprint::Blueprint;
use drover_policies::bulletins::{Bulletin, End, Says, Tally};
use drover_policies::checks::Validation;
use drover_policies::conduct::HookRun;
use drover_policies::events::{Event, Happened};
use drover_policies::hooks::{HookOutcome, HookOutput, HookRan};
use drover_policies::host::Standing;
use drover_policies::ids::{
    CheckId, FreezeId, Generation, HostName, ImportId, LimitId, MaintenanceId, MigrationId, NoticeId,
    OperationId, OwnerId, PlanId, ReplicaId, ServerId, TicketId, WebhookId, WindowId,
};
use drover_policies::import::{Chosen, Heard, Import, ImportState, Start, Written};
use drover_policies::language::Language;
use drover_policies::maintenance::{
    Balance, Because, Hint, Kind, Maintenance, Rolling, Stage, State as MaintenanceState, Step, Terms, Turn,
    Urgency, Versions, Warned, Wave, Waves,
};
use drover_policies::migration::{Migration, Purpose, State, Waiting};
use drover_policies::notices::{Actor, Contact, Notice, Reminders, Tells};
use drover_policies::owners::{Closed, Opens, OwnerCheck, OwnerFreeze, OwnerLimit, OwnerWindow, Scope};
use drover_policies::placement::Reservation;
use drover_policies::plan::Plan;
use drover_policies::replica::{Base, Filled, Going, ImageFormat, Replica, ReplicaDisk, ReplicaState};
use drover_policies::samples::{NOON, host_facts};
use drover_policies::time::{Instant, Span};
use drover_policies::windows::{Exclusion, Slot};
use drover_scheduler::store::{
    Answer, Batch, FreezeSource, HostStanding, NewOperation, NewTicket, ReplacedSecret, Role,
    StoredBlueprint, StoredCheck, StoredFreeze, StoredLimit, StoredPlan, StoredWebhook, StoredWindow,
    TakenTicket, Token, Write,
};
use uuid::Uuid;

pub fn at(minute: i64) -> Instant {
    NOON + TimeDelta::minutes(minute)
}

pub fn minutes(n: u64) -> Span {
    Span::minutes(n)
}

pub fn host(name: &str) -> HostName {
    HostName::new(name).expect("a name")
}

pub fn owner(name: &str) -> OwnerId {
    OwnerId::new(name).expect("a name")
}

/// Ids of different kinds with the same number differ, so that a mix-up is seen.
fn id(kind: u128, n: u32) -> Uuid {
    Uuid::from_u128((kind << 96) | u128::from(n))
}

pub fn maintenance_id(n: u32) -> MaintenanceId {
    MaintenanceId(id(1, n))
}

pub fn migration_id(n: u32) -> MigrationId {
    MigrationId(id(2, n))
}

pub fn server_id(n: u32) -> ServerId {
    ServerId(id(3, n))
}

pub fn operation_id(n: u32) -> OperationId {
    OperationId(id(4, n))
}

pub fn ticket_id(n: u32) -> TicketId {
    TicketId(id(5, n))
}

pub fn notice_id(n: u32) -> NoticeId {
    NoticeId(id(6, n))
}

pub fn window_id(n: u32) -> WindowId {
    WindowId(id(7, n))
}

pub fn operator() -> Actor {
    Actor::Operator { name: "ada".to_owned() }
}

pub fn maintenance(n: u32) -> Maintenance {
    Maintenance {
        id: maintenance_id(n),
        number: n,
        hosts: [(host("h1"), Stage::Draining)].into(),
        // What no text column of jsonb would take, and what a careless query would break at.
        reason: "kernel-update 'quoted' $1 \u{0} ü".to_owned(),
        deadline: at(10_000),
        warn_at: at(9_000),
        warned: Warned::No,
        urgency: Urgency::Normal,
        requested_by: operator(),
        requested_at: at(0),
        state: MaintenanceState::Running,
        rolling: Rolling::default(),
    }
}

/// The same, with all that one over many hosts has besides.
pub fn rolling(n: u32) -> Maintenance {
    let turn = Turn {
        wave: 1,
        began_at: at(1),
        was: Standing::Cordoned { reason: "flaky".to_owned(), since: at(0) },
        warned: Warned::No,
        had: Versions { libvirt: 11_003_000, qemu: 10_000_002, boot_id: Some("boot-1".to_owned()) },
        failure_told: Some(at(2)),
    };
    let wave = Wave { number: 2, hosts: vec![host("h2")], because: Because::Owners { servers: 3 } };
    let which = |text: &str| text.parse().expect("a host or a label");
    let terms = Terms {
        per: [("rack".to_owned(), NonZeroU32::MIN)].into(),
        hints: vec![Hint { hosts: which("h2"), after: which("rack=r1") }],
        ..Terms::default()
    };
    let failed =
        Stage::Failed { at: at(2), step: Step::Maintain, attempt: 2, why: "exit status 1".to_owned() };
    Maintenance {
        hosts: [(host("h1"), Stage::Draining), (host("h2"), Stage::Waiting), (host("h3"), failed)].into(),
        rolling: Rolling {
            kind: Kind::Patch,
            terms,
            turns: [(host("h1"), turn)].into(),
            waves: Waves { ahead: vec![wave], ..Waves::default() },
            borne: 1,
            halted_at: None,
            late_told: Warned::Yes,
            balance: Balance::default(),
        },
        ..maintenance(n)
    }
}

pub fn hook_run(n: u32) -> HookRun {
    HookRun {
        operation: operation_id(n),
        maintenance: maintenance_id(1),
        host: host("h1"),
        step: Step::Pre,
        attempt: 1,
        began_at: at(1),
        ran: HookRan {
            outcome: HookOutcome::Failed { exit: Some(1), signal: None },
            output: HookOutput { text: "no space left\u{0}".to_owned(), dropped_bytes: 7 },
            took: Span::seconds(3),
        },
    }
}

/// Migration 1000 + n, of server n, from h1 to h2; servers with an even number are acme's, others globex's.
pub fn migration(n: u32) -> Migration {
    let owner = owner(if n.is_multiple_of(2) { "acme" } else { "globex" });
    Migration {
        id: migration_id(n),
        number: 1000 + n,
        maintenance: None,
        purpose: Purpose::Move,
        reason: "kernel-update".to_owned(),
        server: server_id(n),
        server_name: format!("web{n}"),
        owner: Some(owner.clone()),
        from: host("h1"),
        place: Some(Reservation {
            server: server_id(n),
            host: host("h2"),
            owner: Some(owner),
            memory_bytes: 1 << 40,
            vcpus: 4,
            anti_affinity: ["db".to_owned()].into(),
            affinity: [].into(),
            disks: std::collections::BTreeMap::new(),
            resources: std::collections::BTreeMap::new(),
        }),
        place_why: "most room left".to_owned(),
        method: Method::Reboot,
        why_not_live: None,
        state: State::Ready { waits_for: Waiting::Nothing },
        attempts: Vec::new(),
        appointment: Appointment::Unscheduled,
        agreed_at: None,
        declined: Vec::new(),
        ticket: Some(ticket_id(n)),
        deadline: at(10_000),
        opened_at: at(0),
        validation: Validation::default(),
        shaped: None,
        left_off: None,
    }
}

pub fn moved(downtime: Span) -> Moved {
    Moved {
        sent_bytes: 0,
        downtime: Some(downtime),
        in_libvirt: None,
        power_off: Some(PowerOff::GuestAgent),
        tail: None,
    }
}

/// The same, moved, with everything done.
pub fn closed(migration: Migration, downtime: Span) -> Migration {
    Migration { state: State::Closed { completed_at: at(30), moved: moved(downtime) }, ..migration }
}

pub fn operation(n: u32, of: Option<u32>) -> NewOperation {
    NewOperation {
        operation: Operation {
            id: operation_id(n),
            generation: Generation::FIRST,
            order: match of {
                None => Order::ConfirmEmpty,
                Some(migration) => Order::LiveMigrate(LiveMigrate {
                    server: server_id(migration),
                    destination: Destination {
                        host: host("h2"),
                        libvirt_uri: "qemu+tls://h2.example/system".to_owned(),
                        migration_address: None,
                    },
                    auto_converge: drover_agent_api::AutoConverge::Off,
                    connections: 1,
                    replica: None,
                }),
            },
            wish: Wish::Run,
        },
        host: host("h1"),
        migration: of.map(migration_id),
    }
}

pub fn ticket(n: u32) -> NewTicket {
    let about = migration(n);
    NewTicket {
        id: ticket_id(n),
        number: about.ticket_number(),
        migration: about.id,
        owner: about.owner.expect("it has one"),
        server: about.server,
        subject: "[ACTION REQUIRED] Server Migration".to_owned(),
    }
}

pub fn slot() -> Slot {
    Slot { start: at(600), end: at(630) }
}

/// Notice `n` of the ticket of migration `of`, telling the fact `fact`.
pub fn notice(n: u32, of: u32, fact: &str) -> Notice {
    let about = migration(of);
    Notice {
        id: notice_id(n),
        key: format!("{}/{fact}", about.id),
        ticket: about.ticket_summary().expect("it has a ticket"),
        tells: Tells::Accepted { slot: slot(), by: operator() },
        at: at(0),
    }
}

/// What operators are told of the first maintenance.
pub fn bulletin(n: u32, fact: &str) -> Bulletin {
    let about = maintenance(1);
    let says = match fact {
        "begun" => Says::Begun { by: operator() },
        "late" => Says::Late { expected: Some(at(11_000)) },
        "over" => Says::Over { end: End::Completed, tally: Tally::of(&about, at(1)) },
        other => panic!("no bulletin is called {other}"),
    };
    Bulletin::new(notice_id(n), &about, says, at(0))
}

pub fn event(of: u32, text: &str) -> Event {
    let about = migration(of);
    Event {
        at: at(0),
        maintenance: about.maintenance,
        migration: Some(about.id),
        import: None,
        server: Some((about.server, about.server_name)),
        owner: about.owner,
        host: Some(about.from),
        what: Happened::Failed { why: text.to_owned() },
    }
}

pub fn freeze(n: u32, of: &str) -> StoredFreeze {
    let day = at(0).date_naive();
    let days = Exclusion { from: day, to: day, timezone: chrono_tz::UTC, name: "a launch".to_owned() };
    let freeze = OwnerFreeze { owner: owner(of), scope: Scope::Account, closed: Closed::Days { days } };
    StoredFreeze { id: FreezeId(window_id(n).0), freeze, source: FreezeSource::Days, created_at: at(1) }
}

pub fn limit(n: u32, of: &str) -> StoredLimit {
    let limit = OwnerLimit { owner: owner(of), scope: Scope::Account, max_simultaneous: 2 };
    StoredLimit { id: LimitId(window_id(n).0), limit, created_at: at(1) }
}

pub fn check(n: u32, of: &str) -> StoredCheck {
    let check = serde_json::from_str(r#"{"name":"ssh","check":"tcp","port":22}"#).expect("a check");
    let check = OwnerCheck { owner: owner(of), scope: Scope::Account, check };
    StoredCheck { id: CheckId(window_id(n).0), check, created_at: at(1) }
}

pub fn blueprint(n: u32) -> StoredBlueprint {
    let blueprint = Blueprint { vcpus: Some(n), ..Blueprint::default() };
    StoredBlueprint { server: server_id(n), blueprint, by: Actor::Owner { owner: owner("acme") }, at: at(1) }
}

pub fn window(n: u32, of: &str) -> StoredWindow {
    StoredWindow {
        id: window_id(n),
        window: OwnerWindow { owner: owner(of), scope: Scope::Account, opens: Opens::Once { slot: slot() } },
        created_at: at(i64::from(n)),
    }
}

pub fn contact(of: &str) -> Contact {
    Contact {
        owner: owner(of),
        name: "Grace".to_owned(),
        mail: vec![format!("{of}@example.org")],
        timezone: chrono_tz::Europe::Berlin,
        language: Language::default(),
        reminders: Reminders::Wanted,
    }
}

pub fn token_id(n: u32) -> Uuid {
    id(8, n)
}

pub fn token(n: u32, role: Role) -> Token {
    Token {
        id: token_id(n),
        hash: format!("{n:064x}"),
        name: format!("token {n}"),
        role,
        created_at: at(i64::from(n)),
        last_used_at: None,
        revoked_at: None,
    }
}

pub fn answer(key: &str) -> Answer {
    Answer {
        principal: "operator ada".to_owned(),
        key: key.to_owned(),
        request_hash: "abc".to_owned(),
        status: 201,
        location: Some("/v1/maintenances/MT-1".to_owned()),
        body: "{\"number\":1}".to_owned(),
        at: at(0),
    }
}

pub fn plan(n: u32, of: u32, minute: i64) -> StoredPlan {
    StoredPlan {
        id: PlanId(id(9, n)),
        maintenance: maintenance_id(of),
        parent: None,
        at: at(minute),
        plan: Plan { made_at: at(minute), hosts: [(host("h1"), Vec::new())].into() },
    }
}

pub fn inventory(serial: u64) -> Inventory {
    Inventory { serial, observed_at: at(0), host: host_facts("h1"), servers: Vec::new() }
}

pub fn webhook(n: u32, of: &str) -> StoredWebhook {
    StoredWebhook {
        id: WebhookId(id(10, n)),
        owner: owner(of),
        url: "https://hooks.example.org/drover".to_owned(),
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
        replaced: vec![ReplacedSecret {
            secret: "whsec_AgICAgICAgICAgICAgICAgICAgICAgIC".to_owned(),
            until: at(60),
        }],
        kinds: ["proposed".to_owned()].into(),
        created_at: at(0),
        disabled: None,
    }
}

pub fn replica(n: u32, of: u32) -> Replica {
    let path = PathBuf::from("/var/lib/libvirt/images/db.qcow2");
    let disk = ReplicaDisk {
        target: "vda".to_owned(),
        source: path.clone(),
        path,
        format: ImageFormat::Qcow2,
        becomes: None,
        virtual_bytes: 1 << 30,
    };
    Replica {
        id: ReplicaId(id(0x9, n)),
        migration: migration_id(of),
        server: server_id(of),
        from: host("h1"),
        to: host("h2"),
        disks: vec![disk],
        base: Base::New,
        filled: Filled::ByRounds,
        peers: None,
        late_since: None,
        going: Going::On,
        sync_now: 1,
        opened_at: at(0),
        state: ReplicaState::Holding { operation: operation_id(1) },
        test: None,
    }
}

pub fn import(n: u32) -> Import {
    let text = format!(
        "[import]\nname = \"legacy-{n}\"\nowner = \"acme\"\nmemory_mib = 1024\nvcpus = 1\n\
         [[disk]]\ntarget = \"vda\"\nsource = \"/in/{n}.vmdk\"\npath = \"/images/{n}.qcow2\"\n"
    );
    let written: Written = toml::from_str(&text).expect("understood");
    Import {
        id: ImportId(id(0xa, n)),
        server: server_id(n),
        description: written.try_into().expect("good"),
        host: host("h1"),
        chosen: Chosen::ByName,
        host_why: "as asked for".to_owned(),
        start: Start::No,
        by: operator(),
        opened_at: at(i64::from(n)),
        state: ImportState::Running { heard: Heard::nothing(operation_id(1)) },
    }
}

/// Something of everything that a batch can hold.
pub fn everything() -> Batch {
    Batch {
        maintenances: vec![Write::Insert(rolling(1))],
        plans: vec![plan(1, 1, 0)],
        migrations: vec![
            Write::Insert(Migration { maintenance: Some(maintenance_id(1)), ..migration(1) }),
            Write::Insert(closed(migration(2), Span::milliseconds(41_500))),
        ],
        replicas: vec![Write::Insert(replica(1, 1))],
        imports: vec![Write::Insert(import(1))],
        standings: vec![Write::Insert(HostStanding { host: host("h1"), standing: Default::default() })],
        operations_begun: vec![operation(1, Some(1)), operation(2, None)],
        operations_ended: vec![operation_id(2)],
        hooks_ran: vec![hook_run(2)],
        tickets_opened: vec![ticket(1), ticket(2)],
        tickets_taken: vec![TakenTicket { ticket: ticket_id(1), from: None, by: Some("ada".to_owned()) }],
        tickets_closed: vec![ticket_id(2)],
        notices: vec![notice(1, 1, "proposed"), notice(2, 2, "done")],
        bulletins: vec![bulletin(3, "begun")],
        events: vec![event(1, "one"), event(2, "two")],
        windows_put: vec![window(1, "acme")],
        freezes: vec![Write::Insert(freeze(1, "acme"))],
        limits_put: vec![limit(1, "acme")],
        checks_put: vec![check(1, "acme")],
        blueprints: vec![Write::Insert(blueprint(1))],
        owners_put: vec![contact("acme")],
        webhooks_added: vec![webhook(1, "acme")],
        tokens_added: vec![
            token(1, Role::Operator),
            token(2, Role::Owner(owner("acme"))),
            token(3, Role::Agent(host("h1"))),
        ],
        answer: Some(answer("key-1")),
        ..Batch::new(at(0))
    }
}
