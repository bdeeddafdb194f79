//! Fleets that a person has written: the example of `docs/fleets.md`, and slips of the hand.

use std::collections::BTreeMap;

use drover_policies::by_hand::{ByHand, Written};
use drover_policies::fleet::Reach;
use drover_policies::host::Standing;
use drover_policies::packing::{plan_evacuation, plan_rolling, rows};
use drover_policies::policy::PolicySet;
use drover_policies::samples::{gib, host_name};

use crate::common::ANY_NUMBER;

/// The example that the documentation shows.
fn shown() -> String {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/fleets.md"))
        .expect("it is there");
    let (_, example) = text.split_once("```toml\n").expect("an example");
    example.split_once("```").expect("its end").0.to_owned()
}

fn read(text: &str) -> Result<ByHand, String> {
    let written: Written = toml::from_str(text).map_err(|error| error.to_string())?;
    written.fleet().map_err(|bad| bad.to_string())
}

#[test]
fn the_documented_example_is_read_and_planned() {
    let ByHand { fleet, windows, dirty } = read(&shown()).expect("a fleet");
    assert_eq!((fleet.hosts.len(), fleet.servers().len(), windows.len(), dirty.len()), (61, 603, 1, 600));
    let host = &fleet.hosts[&host_name("rack-b-7")];
    assert_eq!((host.facts.memory_bytes, host.facts.labels["rack"].as_str()), (gib(512), "b"));
    assert!(matches!(fleet.hosts[&host_name("spare")].standing, Standing::Cordoned { .. }));
    let on =
        |host: &str| fleet.on(&host_name(host)).map(|server| server.facts.name.as_str()).collect::<Vec<_>>();
    assert_eq!(on("rack-b-2"), ["db-2"]);
    let counts: BTreeMap<usize, usize> = (1..=40).fold(BTreeMap::new(), |mut counts, n| {
        *counts.entry(on(&format!("rack-a-{n}")).len()).or_default() += 1;
        counts
    });
    assert_eq!(counts, BTreeMap::from([(15, 40)]), "they are spread evenly");
    let db = fleet.on(&host_name("rack-b-1")).next().expect("one").facts.clone();
    assert_eq!((db.disks.len(), &db.disks[0].reach), (1, &Reach::Local));

    let policies = PolicySet::default();
    let rows = rows(&fleet, &policies);
    let plan = plan_evacuation(&rows, &["rack-a-1".to_owned(), "rack-b-1".to_owned()]).expect("a plan");
    assert_eq!((plan.moves, plan.not_placed.len(), plan.stays.len()), (16, 0, 0));
    let db_goes =
        plan.waves.iter().flat_map(|wave| &wave.moves).find(|one| one.server == "db-1").expect("it moves");
    assert!(db_goes.to.starts_with("rack-b-"), "only there is room for its disk: {}", db_goes.to);
    assert!(!["rack-b-2", "rack-b-3"].contains(&db_goes.to.as_str()), "it meets another database");
    assert!(plan_rolling(&rows, None, &ANY_NUMBER).is_ok());
}

#[test]
fn whole_fleets_are_planned_by_what_operators_name_as_well() {
    let text = r#"
        hosts = [
            { name = "h1" },
            { name = "h2", resources = { gpu-slots = 2 } },
            { name = "h3", resources = { gpu-slots = 1, servers = 1 } },
        ]
        servers = [
            { name = "gpu", count = 3, on = "h1", resources = { gpu-slots = 1 } },
            { name = "web", count = 2, on = "h1" },
        ]
    "#;
    let rows = rows(&read(text).expect("a fleet").fleet, &PolicySet::default());
    let plan = plan_evacuation(&rows, &["h1".to_owned()]).expect("a plan");
    let to = |host: &str| plan.waves.iter().flat_map(|wave| &wave.moves).filter(|one| one.to == host).count();
    assert_eq!((to("h2"), to("h3"), plan.not_placed.len()), (4, 1, 0), "{plan:#?}");

    let rows = {
        let text = text.replace("gpu-slots = 2", "gpu-slots = 1");
        drover_policies::packing::rows(&read(&text).expect("a fleet").fleet, &PolicySet::default())
    };
    let plan = plan_evacuation(&rows, &["h1".to_owned()]).expect("a plan");
    let lacks: Vec<&str> = plan.not_placed.iter().map(|left| left.why.as_str()).collect();
    assert!(lacks.iter().any(|why| why.contains("gpu-slots")), "{lacks:?}");
}

#[test]
fn the_same_keys_in_json_are_the_same_fleet() {
    let table: toml::Table = toml::from_str(&shown()).expect("TOML");
    let json = serde_json::to_string(&table).expect("plain data");
    let written: Written = serde_json::from_str(&json).expect("the same keys");
    assert_eq!(written.fleet().expect("a fleet"), read(&shown()).expect("a fleet"));
}

#[test]
fn only_names_have_to_be_said() {
    let ByHand { fleet, .. } =
        read("[[hosts]]\nname = \"h\"\ncount = 2\n[[servers]]\nname = \"s\"").expect("a fleet");
    assert_eq!((fleet.hosts.len(), fleet.servers().len()), (2, 1));
    let plan = plan_evacuation(&rows(&fleet, &PolicySet::default()), &["h-1".to_owned()]).expect("a plan");
    assert_eq!(plan.moves, 1);
}

#[test]
fn slips_are_named_with_what_would_be_right() {
    let host = "[[hosts]]\nname = \"h1\"\n";
    for (text, told) in [
        (String::new(), vec!["missing field `hosts`"]),
        ("hosts = []".to_owned(), vec!["hosts: there is none"]),
        (format!("{host}memroy = \"4GiB\""), vec!["line 3", "memroy", "memory"]),
        (format!("{host}memory = \"4GB\""), vec!["line 3", "\"4GB\" is no size", "512MiB, 64GiB"]),
        (format!("{host}count = 0"), vec!["hosts[1] (h1).count: it is 0", "from 1"]),
        (format!("{host}{host}"), vec!["hosts[2] (h1).name: there is a second host of the name h1"]),
        ("[[hosts]]\nname = \"a b\"".to_owned(), vec!["hosts[1] (a b).name"]),
        (format!("{host}threads = 0"), vec!["hosts[1] (h1): a host has memory and threads"]),
        (
            format!("{host}local = {{ images = \"1GiB\" }}"),
            vec!["hosts[1] (h1).local: \"images\" is no directory"],
        ),
        (
            format!("{host}[[servers]]\nname = \"s\"\non = \"h2\""),
            vec!["servers[1] (s).on: there is no host \"h2\"", "there are: h1"],
        ),
        (format!("{host}[[servers]]\nname = \"s\"\non = []"), vec!["servers[1] (s).on: the list is empty"]),
        (format!("{host}[[servers]]\nname = \"s\"\non = 7"), vec!["line 5", "a name, or a list of names"]),
        (
            format!("{host}[[servers]]\nname = \"s\"\nstorage = \"fast\""),
            vec!["servers[1] (s).storage: h1 has no storage \"fast\""],
        ),
        (
            format!("{host}[[servers]]\nname = \"s\"\n[[servers]]\nname = \"s\""),
            vec!["servers[2] (s).name: there is a second server"],
        ),
        (format!("{host}[[servers]]\nname = \"s\"\nlive = \"no\""), vec!["line 5", "forbidden"]),
        (
            format!(
                "{host}[[windows]]\nowner = \"acme\"\nopens = {{ cron = \"x\", duration = \"4h\", timezone = \"UTC\" }}"
            ),
            vec!["line 5", "cron"],
        ),
    ] {
        let refused = read(&text).expect_err(&text);
        for words in told {
            assert!(refused.contains(words), "{words} is missing for\n{text}\n{refused}");
        }
    }
}
