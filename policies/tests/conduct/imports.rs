//! Servers of other hypervisors are brought here: placed, ordered, followed line by line, retried, called off.

use drover_policies::attempt::{Failure, FailureClass, Report};
use drover_policies::conduct::{
    ImportRefusal, ImportRequest, Intent, NewWish, OpenedImport, cancel_import, import, retry_import,
};
use drover_policies::fleet::{Ability, Fleet, LocalStorage, Replication};
use drover_policies::host::Standing;
use drover_policies::ids::OperationId;
use drover_policies::import::{
    Begin, Description, Done, Found, Import, ImportEnd, ImportState, ImportStatus, LogLine, Start, Step,
    Touched, Written,
};
use drover_policies::maintenance::{Stage, Urgency};
use drover_policies::notices::Actor;
use drover_policies::replica::DiskFigures;
use drover_policies::samples::{Sample, gib, host_name};
use drover_policies::time::Span;

use super::story::Story;

fn able(fleet: Sample, name: &str, free: u64) -> Sample {
    fleet.host(name, |host| {
        host.facts.abilities.extend([Ability::Import, Ability::ReadForeignImages, Ability::FixGuests]);
        host.facts.replication = Some(Replication {
            address: format!("{name}:16520"),
            certificate: drover_policies::fleet::CertificateDigest("0".repeat(64)),
            directories: vec![LocalStorage {
                path: "/images".into(),
                total_bytes: gib(500),
                free_bytes: free,
            }],
        });
    })
}

/// Two hosts that import; h1 has more room, as nothing is on it.
fn two_hosts() -> Fleet {
    let fleet = able(able(Sample::new(), "h1", gib(100)), "h2", gib(100));
    fleet.server("h2", "web", |web| web.memory_bytes = gib(20)).fleet()
}

fn describe(name: &str, more: &str) -> Description {
    let text = format!(
        "[import]\nname = \"{name}\"\nmemory_mib = 4096\nvcpus = 2\n{more}\n\
         [[disk]]\ntarget = \"vda\"\nsource = \"/in/{name}.vmdk\"\npath = \"/images/{name}.qcow2\"\nsize_mib = 10240\n"
    );
    let written: Written = toml::from_str(&text).expect("understood");
    written.try_into().expect("good")
}

fn operator() -> Actor {
    Actor::Operator { name: "olga".to_owned() }
}

fn request(description: Description, host: Option<&str>) -> ImportRequest {
    let host = host.map(host_name);
    ImportRequest { description, host, cluster: None, start: Start::No, by: operator() }
}

impl Story {
    fn asks(&mut self, name: &str, host: Option<&str>) -> Result<Import, ImportRefusal> {
        self.asks_for(describe(name, ""), host)
    }

    fn asks_for(&mut self, description: Description, host: Option<&str>) -> Result<Import, ImportRefusal> {
        let OpenedImport { import, changes } =
            self.question(|situation| import(situation, request(description, host)))?;
        self.accept(changes);
        Ok(import)
    }

    fn import(&self, name: &str) -> &Import {
        let found = self.imports.iter().find(|import| import.description.name.as_str() == name);
        found.expect("it was asked for")
    }

    fn importing(&self, name: &str) -> OperationId {
        self.import(name).operation().expect("an agent works on it")
    }

    fn says(&mut self, name: &str, report: Report) {
        let operation = self.importing(name);
        self.reports.insert(operation, report);
        self.look();
    }

    fn cancels(&mut self, name: &str) {
        let id = self.import(name).id;
        let opened = self.question(|situation| cancel_import(situation, id, &operator()));
        let opened = opened.expect("it may be called off").expect("it is not over");
        self.accept(opened.changes);
    }

    fn retries(&mut self, name: &str, begin: Begin) -> Result<(), ImportRefusal> {
        let id = self.import(name).id;
        let opened = self.question(|situation| retry_import(situation, id, begin, &operator()))?;
        self.accept(opened.expect("it is not over").changes);
        Ok(())
    }

    /// The host's inventory shows the imported server.
    fn appears(&mut self, name: &str) {
        let import = self.import(name).clone();
        let on = self.fleet.sightings.entry(import.host.clone()).or_default();
        on.insert(import.server, import.server(&[]));
        self.look();
    }
}

fn line(number: u64, text: &str) -> LogLine {
    LogLine { number, at: drover_policies::samples::NOON, text: text.to_owned(), done: None }
}

fn status(step: Step, disks: Vec<DiskFigures>, log: Vec<LogLine>) -> Report {
    let at = drover_policies::samples::NOON;
    Report::Importing(Box::new(ImportStatus { at, step, since: at, disks, log }))
}

fn failed(class: FailureClass) -> Report {
    let failure = Failure { class, text: "so says the agent".to_owned() };
    Report::ImportEnded { end: ImportEnd::Failed { failure }, log: Vec::new() }
}

fn defined(story: &Story, log: Vec<LogLine>) -> Report {
    let found = Found { system: Some("Debian 12".to_owned()), ..Found::default() };
    Report::ImportEnded { end: ImportEnd::Defined { at: story.now, found }, log }
}

#[test]
fn a_server_is_imported_to_the_host_with_most_room_and_its_log_is_told_line_by_line_and_once() {
    let mut story = Story::new(two_hosts(), "");
    let opened = story.asks("legacy", None).expect("there is room");
    assert_eq!(opened.host, host_name("h1"));
    let order = story.orders.get(&story.importing("legacy")).expect("ordered").clone();
    assert_eq!(order.host, host_name("h1"));
    assert!(matches!(order.intent, Intent::Import { begin: Begin::Where, .. }));
    let done = Done { step: Step::Copy, took: Span::seconds(9), bytes: Some(gib(10)) };
    let copied = LogLine { done: Some(done), ..line(2, &done.to_string()) };
    story.says("legacy", status(Step::Copy, Vec::new(), vec![line(1, "copying the disks")]));
    story.says("legacy", status(Step::Copy, Vec::new(), vec![line(1, "copying the disks"), copied.clone()]));
    story.says("legacy", status(Step::Fix, Vec::new(), vec![copied, line(3, "Starting converters")]));
    // The agent has thrown away what came in between.
    story.says("legacy", status(Step::Fix, Vec::new(), vec![line(6, "Finished starting converters")]));
    let end = defined(&story, vec![line(6, "Finished starting converters"), line(7, "Finishing off")]);
    story.says("legacy", end);
    assert_eq!(story.import("legacy").state.name(), "running", "nobody has seen it there yet");
    story.appears("legacy");
    assert!(matches!(story.import("legacy").state, ImportState::Imported { .. }));
    assert!(story.orders.is_empty(), "its order is not wanted any more");
    assert_eq!(
        story.log,
        [
            "legacy: is to be imported to h1 (most room left of 2: 7 % memory, 3 % vCPU used after it), says operator olga",
            "legacy: copying the disks",
            "legacy: copying the disks: done in 9s, 10240 MiB",
            "legacy: Starting converters",
            "legacy: 2 lines of the log are lost here",
            "legacy: Finished starting converters",
            "legacy: Finishing off",
            "legacy: is imported (Debian 12); it has no virtio drivers: disks and interfaces are emulated, which is slow",
        ]
    );
}

#[test]
fn an_imported_server_that_nobody_ever_sees_is_not_waited_for_without_end() {
    let mut story = Story::new(two_hosts(), "");
    story.asks("legacy", Some("h2")).expect("there is room");
    let end = defined(&story, Vec::new());
    story.says("legacy", end);
    story.wait(Span::minutes(3));
    assert_eq!(story.import("legacy").state.name(), "imported");
}

#[test]
fn what_is_here_or_on_its_way_is_not_imported_again_and_the_refusal_names_the_field() {
    let mut story = Story::new(two_hosts(), "");
    story.asks("legacy", None).expect("there is room");
    let web = story.fleet.servers().into_values().next().expect("a server").facts.id;
    let other = |name: &str, source: &str, more: &str| {
        let mut description = describe(name, more);
        description.disks[0].source = describe(source, "").disks[0].source.clone();
        description
    };
    let cases = [
        (other("web", "x", ""), "import.name", "h2"),
        (other("legacy", "x", ""), "import.name", "drover imports show legacy"),
        (other("x", "legacy", ""), "disk[0].source", "wait for its end"),
        (other("x", "x", &format!("uuid = \"{web}\"")), "import.uuid", "leave it out"),
    ];
    for (description, field, advice) in cases {
        let asked = story.question(|situation| import(situation, request(description, None)));
        let refusal = asked.expect_err(field);
        assert_eq!(refusal.field().as_deref(), Some(field));
        assert!(refusal.to_string().starts_with(field) && refusal.to_string().contains(advice), "{refusal}");
    }
}

#[test]
fn a_host_that_does_not_do_is_refused_with_what_it_lacks() {
    let fleet = able(Sample::new().hosts(&["old"]), "small", gib(100))
        .host("bare", |host| {
            host.facts.abilities.extend([Ability::Import, Ability::ReadForeignImages]);
        })
        .host("closed", |host| {
            host.facts.abilities.insert(Ability::Import);
        });
    let mut story = Story::new(fleet.fleet(), "");
    let mut why = |host: &str, change: &dyn Fn(&mut Story)| {
        change(&mut story);
        story.asks("legacy", Some(host)).expect_err(host).to_string()
    };
    let nothing: &dyn Fn(&mut Story) = &|_| {};
    assert!(why("old", nothing).contains("upgrade its agent"));
    assert!(why("bare", nothing).contains("install virt-v2v"));
    assert!(why("closed", nothing).contains("[import] sources"));
    assert!(why("lost", nothing).contains("is not known"));
    let small = host_name("small");
    let narrow =
        |story: &mut Story| story.fleet.hosts.get_mut(&small).expect("it").facts.memory_bytes = gib(2);
    assert!(why("small", &narrow).contains("lacks memory"));
    let cordon = |story: &mut Story| {
        let host = story.fleet.hosts.get_mut(&small).expect("it");
        host.facts.memory_bytes = gib(64);
        host.standing = Standing::Cordoned { reason: "disk".to_owned(), since: story.now };
    };
    assert!(why("small", &cordon).contains("small can't take it: it is cordoned"));
    let full = |story: &mut Story| {
        let host = story.fleet.hosts.get_mut(&small).expect("it");
        host.standing = Standing::Open;
        host.facts.replication.as_mut().expect("it").directories[0].free_bytes = gib(9);
    };
    assert!(why("small", &full).contains("lacks room in /images"));
}

#[test]
fn an_import_holds_its_place_until_it_is_over() {
    let mut story = Story::new(able(Sample::new(), "h1", gib(15)).fleet(), "");
    story.asks("legacy", None).expect("there is room");
    let why = story.asks("second", None).expect_err("10 of 15 GiB are held").to_string();
    assert!(why.contains("lacks room in /images"), "{why}");
    // What has been copied is not free any more, and not held any more either.
    let copied = DiskFigures { target: "vda".to_owned(), total_bytes: gib(10), done_bytes: gib(10) };
    let free = |story: &mut Story, bytes| {
        let host = story.fleet.hosts.get_mut(&host_name("h1")).expect("it");
        host.facts.replication.as_mut().expect("it").directories[0].free_bytes = bytes;
    };
    story.says("legacy", status(Step::Fix, vec![copied], Vec::new()));
    free(&mut story, gib(11));
    story.asks("second", None).expect("the first one needs no more");
    story.cancels("second");
    story.says("second", Report::ImportEnded { end: ImportEnd::Cancelled, log: Vec::new() });
    assert_eq!(story.import("second").state.name(), "cancelled");
}

#[test]
fn a_host_that_will_not_have_it_is_replaced_as_long_as_nothing_was_copied() {
    let mut story = Story::new(two_hosts(), "");
    story.asks("legacy", None).expect("there is room");
    story.says("legacy", status(Step::Check, Vec::new(), Vec::new()));
    story.says("legacy", failed(FailureClass::RefusedByDestination));
    assert_eq!(story.import("legacy").host, host_name("h2"));
    assert!(story.log.last().expect("told").contains("is imported to h2 instead: h1: so says the agent"));
    story.says("legacy", failed(FailureClass::RefusedByDestination));
    assert!(matches!(story.import("legacy").state, ImportState::Failed { touched: Touched::No, .. }));
    // Whatever stood in the way may have been mended.
    story.retries("legacy", Begin::Where).expect("both hosts are tried again");
    assert_eq!(story.import("legacy").host, host_name("h1"));
    story.says("legacy", status(Step::Copy, Vec::new(), Vec::new()));
    story.says("legacy", failed(FailureClass::RefusedByDestination));
    assert_eq!(story.import("legacy").host, host_name("h1"), "something may be there");
    assert_eq!(story.import("legacy").state.name(), "failed");
}

#[test]
fn a_failed_import_is_retried_where_it_is_and_not_on_a_host_that_is_being_emptied() {
    let mut story = Story::new(two_hosts(), "");
    story.asks("legacy", Some("h1")).expect("there is room");
    assert_eq!(story.retries("legacy", Begin::Where).expect_err("it runs").rule(), "import_not_failed");
    story.says("legacy", failed(FailureClass::Unexpected));
    story.drain(&["h1"], Urgency::Normal);
    let why = story.retries("legacy", Begin::Where).expect_err("h1 is emptied").to_string();
    assert!(why.contains("draining"), "{why}");
    for host in story.fleet.hosts.values_mut() {
        host.standing = Standing::Open;
    }
    story.retries("legacy", Begin::Anew).expect("it is open again");
    let order = story.orders.get(&story.importing("legacy")).expect("ordered");
    assert!(matches!(order.intent, Intent::Import { begin: Begin::Anew, .. }));
}

#[test]
fn a_host_is_not_called_empty_while_something_is_imported_to_it() {
    let mut story = Story::new(able(able(Sample::new(), "h1", gib(100)), "h2", gib(100)).fleet(), "");
    story.asks("legacy", Some("h1")).expect("there is room");
    let maintenance = story.drain(&["h1"], Urgency::Normal);
    let drain = |story: &Story| story.maintenances[&maintenance].hosts[&host_name("h1")].clone();
    assert_eq!(drain(&story), Stage::Draining, "libvirt is not even asked");
    let end = defined(&story, Vec::new());
    story.says("legacy", end);
    story.appears("legacy");
    assert_eq!(story.migration("legacy").to(), Some(&host_name("h2")), "it leaves like the others");
}

#[test]
fn one_that_is_called_off_is_aborted_and_a_failed_one_is_cleared_away_by_an_order_of_its_own() {
    let mut story = Story::new(two_hosts(), "");
    story.asks("legacy", None).expect("there is room");
    let operation = story.importing("legacy");
    story.cancels("legacy");
    story.cancels("legacy");
    assert_eq!(story.wishes.get(&operation), Some(&NewWish::AbortAsked));
    // It had failed when the wish came.
    story.says("legacy", failed(FailureClass::Unexpected));
    let clearing = story.orders.get(&story.importing("legacy")).expect("ordered");
    assert!(matches!(clearing.intent, Intent::ClearImport { .. }));
    story.says("legacy", Report::ImportEnded { end: ImportEnd::Cancelled, log: Vec::new() });
    assert_eq!(story.import("legacy").state.name(), "cancelled");
    let told: Vec<&String> = story.log.iter().filter(|line| line.contains("cancel")).collect();
    assert_eq!(told.len(), 2, "{told:?}");

    story.asks("second", None).expect("there is room");
    story.says("second", failed(FailureClass::Unexpected));
    story.cancels("second");
    // Its host is taken out for good: nobody is waited for.
    story.fleet.hosts.remove(&host_name("h1"));
    story.look();
    assert_eq!(story.import("second").state.name(), "cancelled");
}

#[test]
fn one_that_is_called_off_too_late_is_imported() {
    let mut story = Story::new(two_hosts(), "");
    story.asks("legacy", None).expect("there is room");
    story.cancels("legacy");
    story.appears("legacy");
    let end = defined(&story, Vec::new());
    story.says("legacy", end);
    assert_eq!(story.import("legacy").state.name(), "imported");
}

#[test]
fn named_resources_are_looked_for_and_held_like_any_other_room() {
    let mut fleet = two_hosts();
    let slots = |fleet: &mut Fleet, host: &str, some: u32| {
        let known = fleet.hosts.get_mut(&host_name(host)).expect("a known host");
        known.facts.resources.insert("gpu-slots".to_owned(), some);
    };
    // h1 has more room of everything else.
    slots(&mut fleet, "h2", 2);
    let mut story = Story::new(fleet, "");
    let with = |name: &str, some: u32| describe(name, &format!("[resources]\ngpu-slots = {some}"));
    let first = story.asks_for(with("first", 1), None).expect("there is one");
    assert_eq!((&first.host, first.description.resources.get("gpu-slots")), (&host_name("h2"), Some(&1)));
    let refused = story.asks_for(with("second", 2), None).expect_err("one is held, and one is free");
    assert!(refused.to_string().contains("gpu-slots"), "{refused}");
    let named = story.asks_for(with("second", 1), Some("h1")).expect_err("it has none").to_string();
    assert!(named.contains("gpu-slots"), "{named}");
    assert_eq!(story.asks_for(with("second", 1), None).expect("the other one").host, host_name("h2"));
    // A server that is moved finds none of them free.
    story.change("h2", "web", |facts| facts.resources = [("gpu-slots".to_owned(), 1)].into());
    let third = story.asks_for(with("third", 1), None).expect_err("all are taken").to_string();
    assert!(third.contains("gpu-slots"), "{third}");
}
