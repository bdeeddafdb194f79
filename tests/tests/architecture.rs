//! Who may use whom. The rules are those of docs/architecture.md; whoever breaks one changes it there first.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// For each package of ours, the packages of ours that its own code may use. Tests of a package may use more.
const MAY_USE: &[(&str, &[&str])] = &[
    ("drover-policies", &[]),
    ("drover-agent-api", &["drover-policies"]),
    ("drover-host-agent", &["drover-agent-api", "drover-policies"]),
    ("drover-notifier", &["drover-policies"]),
    ("drover-pages", &["drover-policies"]),
    ("drover-scheduler", &["drover-agent-api", "drover-notifier", "drover-pages", "drover-policies"]),
    (
        "drover-tests",
        &[
            "drover-agent-api",
            "drover-host-agent",
            "drover-lab-guest",
            "drover-notifier",
            "drover-policies",
            "drover-scheduler",
        ],
    ),
    ("drover-lab-guest", &[]),
];

/// What would let a decision do more than decide.
const NOT_IN_POLICIES: &[&str] = &["tokio", "sqlx", "reqwest", "rand", "axum", "tracing"];

#[test]
fn packages_use_each_other_only_as_the_architecture_allows() {
    let uses = uses();
    let known: BTreeSet<&str> = MAY_USE.iter().map(|(package, _)| *package).collect();
    let ours: BTreeSet<&str> = uses.keys().map(String::as_str).collect();
    assert_eq!(
        ours, known,
        "a package is new or gone: write into MAY_USE and docs/architecture.md what it may use"
    );
    for (package, allowed) in MAY_USE {
        let used: BTreeSet<&str> =
            uses[*package].iter().map(String::as_str).filter(|name| known.contains(name)).collect();
        let forbidden: Vec<&&str> = used.iter().filter(|name| !allowed.contains(name)).collect();
        assert!(forbidden.is_empty(), "{package} uses {forbidden:?}, and may use only {allowed:?}");
    }
}

#[test]
fn decisions_can_not_do_anything_but_decide() {
    let uses = uses();
    let found: Vec<&String> =
        uses["drover-policies"].iter().filter(|name| NOT_IN_POLICIES.contains(&name.as_str())).collect();
    assert!(found.is_empty(), "policies/ uses {found:?}");
}

#[test]
fn only_the_agent_links_libvirt() {
    for (package, used) in uses() {
        if package != "drover-host-agent" {
            assert!(
                !used.contains("virt") && !used.contains("virt-sys"),
                "{package} uses libvirt: see docs/decisions/005"
            );
        }
    }
}

/// Direct dependencies of each package of the workspace, those of its tests left out.
fn uses() -> BTreeMap<String, BTreeSet<String>> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--manifest-path", manifest])
        .output()
        .expect("cargo runs: it runs this test");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("it has packages");
    packages
        .iter()
        .map(|package| {
            let name = package["name"].as_str().expect("a package has a name").to_owned();
            let dependencies = package["dependencies"].as_array().expect("a package has dependencies");
            let used = dependencies
                .iter()
                .filter(|dependency| dependency["kind"].is_null())
                .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned))
                .collect();
            (name, used)
        })
        .collect()
}
