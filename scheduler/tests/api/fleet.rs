//! A whole fleet as a file, and plans made of one.

use axum::http::StatusCode;
use drover_policies::fleet::Fleet;
use drover_policies::packing::FleetPlan;

use crate::command_line::{Served, code, text};
use crate::fixture::Api;

/// Three nodes of 16 GB; `full` says how much memory the instance of the third takes.
fn ganeti(full: &str) -> String {
    let node = |name: &str| format!("{name}|16384|0|16384|100000|100000|8|N|uuid-g1|1\n");
    let instance =
        |name: &str, memory: &str, node: &str| format!("{name}|{memory}|1000|1|running|Y|{node}||ext||1|-\n");
    format!(
        "default|uuid-g1|preferred||\n\n{}{}{}\n{}{}{}\n\n|0,0,0,0,0,0|0,0,0,0,0,0;0,0,0,0,0,0|ext|4.0|32.0\n",
        node("n1"),
        node("n2"),
        node("n3"),
        instance("web", "4096", "n1"),
        instance("db", "4096", "n2"),
        instance("cache", full, "n3"),
    )
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_in_ganetis_text_format_is_emptied_and_rolled() {
    let (served, files) = (Served::new().await, Files::new());
    let fleet = files.write("cluster.data", ganeti("4096"));
    let output = served.run(&["plan", "--fleet", &fleet, "n1"]).await;
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(code(&output), 0, "{out}{err}");
    assert!(out.contains("1 of 3 hosts emptied by 1 move") && out.contains("web"), "{out}");

    assert!(out.contains("evens out best") && out.contains("no schedule of these moves takes less"), "{out}");

    // What fits nowhere is made room for, and a faster link is worth something.
    let tight = files.write("tight.data", ganeti("16000"));
    let output = served.run(&["plan", "--fleet", &tight, "n3", "--link", "10Gbit"]).await;
    let out = text(&output.stdout);
    assert!(out.contains("in 2 waves by 2 moves") && out.contains("makes way for"), "{out}");
    assert!(out.contains("at most 1116 MiB/s"), "{out}");

    let output = served.run(&["plan", "--fleet", &fleet, "--roll", "--waves", "3", "--json"]).await;
    let plan: FleetPlan = serde_json::from_slice(&output.stdout).expect("a plan");
    let mut emptied: Vec<&String> = plan.waves.iter().flat_map(|wave| &wave.hosts).collect();
    emptied.sort();
    assert_eq!(emptied, ["n1", "n2", "n3"], "each host once");
    let moves: usize = plan.waves.iter().map(|wave| wave.moves.len()).sum();
    assert!(plan.moves == moves && moves >= plan.least_moves && plan.least_moves >= 3, "{plan:?}");

    let output = served.run(&["plan", "--fleet", &fleet, "--roll"]).await;
    let choices = text(&output.stdout);
    assert!(choices.starts_with("WAVES") && choices.contains("More waves, fewer moves"), "{choices}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_impossible_says_why_and_ends_as_refused() {
    let (served, files) = (Served::new().await, Files::new());
    let roomy = files.write("roomy.data", ganeti("4096"));
    // More than any node has.
    let full = files.write("full.data", ganeti("16500"));
    for (args, expected, said) in [
        (&["--fleet", &full, "n3"][..], 1, "1 server without a place"),
        (
            &["--fleet", &full, "n3"],
            1,
            "cache has no place, so n3 is not empty: 4.2 GiB of memory more would be needed on n1",
        ),
        (&["--fleet", &full, "--relieve"], 1, "cache has no place"),
        (&["--fleet", &roomy, "n1", "--rack", "row", "--uplink", "40Gbit"], 2, "--rack means nothing"),
        (&["--fleet", &roomy, "n1", "--link", "fast"], 2, "write for example 10Gbit"),
        (&["--fleet", &roomy, "--roll", "--waves", "1"], 1, "it can't be done in 1 waves;"),
        (&["--fleet", &roomy, "n9"], 2, "there is no host \"n9\" in this fleet"),
        (&["--fleet", &roomy], 2, "<HOST>"),
        (&["--fleet", &roomy, "--roll", "--waves", "0"], 2, "0 is not in 1.."),
        (&["--fleet", "/nowhere", "n1"], 2, "/nowhere can't be read"),
    ] {
        let output = served.run(&[&["plan"], args].concat()).await;
        let told = text(&output.stdout) + &text(&output.stderr);
        assert_eq!((code(&output), told.contains(said)), (expected, true), "{args:?}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_fleet_is_named_with_the_place_that_is_wrong() {
    let (served, files) = (Served::new().await, Files::new());
    let exported = text(&served.run(&["fleet", "export"]).await.stdout);
    let mut broken: serde_json::Value = serde_json::from_str(&exported).expect("JSON");
    broken["hosts"]["h1"]["facts"]["memory_bytes"] = "much".into();
    for (name, content, said) in [
        (
            "words.data",
            ganeti("lots"),
            "words.data is no fleet in Ganeti's text format: line 9: its memory is \"lots\"",
        ),
        ("nowhere.data", ganeti("4096").replace("|Y|n3|", "|Y|n7|"), "line 9: cache is on n7"),
        (
            "broken.json",
            broken.to_string(),
            "broken.json is no exported fleet: at hosts.h1.facts.memory_bytes",
        ),
        ("cut.json", exported[..exported.len() / 2].to_owned(), "cut.json is no exported fleet: at "),
    ] {
        let output = served.run(&["plan", "--fleet", &files.write(name, content), "n1"]).await;
        let told = text(&output.stderr);
        assert_eq!((code(&output), told.contains(said)), (2, true), "{name}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exported_fleet_is_planned_with_and_a_scrambled_one_names_nothing() {
    let (served, files) = (Served::new().await, Files::new());
    let output = served.run(&["fleet", "export"]).await;
    let exported: Fleet = serde_json::from_slice(&output.stdout).expect("a fleet");
    assert_eq!(exported, *served.api.app.fleet(), "it is the one that the scheduler plans with");
    let plan = served.run(&["plan", "--fleet", &files.write("fleet.json", &output.stdout), "h5"]).await;
    let out = text(&plan.stdout);
    assert_eq!(code(&plan), 0, "{out}{}", text(&plan.stderr));
    assert!(out.contains("twin") && out.contains("h5"), "{out}");

    let output = served.run(&["fleet", "export", "--scramble"]).await;
    let scrambled = text(&output.stdout);
    let servers = exported.servers().into_values().flat_map(|server| {
        let facts = &server.facts;
        let owner = facts.owner.iter().map(ToString::to_string);
        [facts.name.clone()].into_iter().chain(owner).collect::<Vec<_>>()
    });
    for name in servers.chain(exported.hosts.keys().map(ToString::to_string)) {
        assert!(!scrambled.contains(&format!("\"{name}\"")), "{name} is still in {scrambled}");
    }
    assert!(!scrambled.contains("secret-path"), "{scrambled}");
    let again: Fleet = serde_json::from_str(&scrambled).expect("a fleet");
    assert_eq!(again.hosts.len(), exported.hosts.len());
    let path = files.write("scrambled.json", &scrambled);
    let host = again.servers().into_values().next().expect("one").host.to_string();
    let plan = served.run(&["plan", "--fleet", &path, &host, "--json"]).await;
    let _: FleetPlan = serde_json::from_slice(&plan.stdout).expect("it can be planned with as well");
}

#[tokio::test]
async fn the_whole_fleet_is_for_operators() {
    let api = Api::new().await;
    let refused = api.get(&api.acme, "/v1/fleet").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:?}");
    assert!(!refused.text.contains("secret-path"));
    assert_eq!(api.get(&api.agent, "/v1/fleet").await.status, StatusCode::FORBIDDEN);
    let fleet = api.get(&api.operator, "/v1/fleet").await;
    assert_eq!(fleet.status, StatusCode::OK);
    assert_eq!(fleet.json()["hosts"].as_object().map(serde_json::Map::len), Some(5));
}
