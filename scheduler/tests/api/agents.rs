//! What operators see of agents: their versions, and the certificates that their hosts live by.

use drover_agent_api::PROTOCOL;
use drover_policies::fleet::{AgentFacts, Certificate};
use drover_policies::samples::NOON;
use drover_policies::time::Span;

use crate::fixture::Api;
use crate::pages::Browser;

fn certificate(file: &str, until: Option<Span>) -> Certificate {
    let until = until.map(|left| NOON + left.delta());
    Certificate { file: format!("/pki/{file}").into(), subject: format!("CN={file}"), until }
}

#[tokio::test]
async fn operators_see_agents_versions_and_are_warned_before_a_certificate_ends() {
    let mut api = Api::new().await;
    api.host_is("h1", |facts| {
        facts.agent = Some(AgentFacts {
            version: "7.8.9".to_owned(),
            certificates: vec![
                certificate("long", Some(Span::days(400))),
                certificate("soon", Some(Span::days(12))),
                certificate("pinned", None),
            ],
        });
    })
    .await;

    let host = api.get(&api.operator, "/v1/hosts/h1").await.json();
    let agent = &host["agent"];
    assert_eq!(
        (agent["version"].as_str(), agent["protocol"].as_u64()),
        (Some("7.8.9"), Some(PROTOCOL.into()))
    );
    let warnings: Vec<Option<&str>> = (0..3).map(|n| agent["certificates"][n]["warning"].as_str()).collect();
    assert_eq!(warnings, [None, Some("ends in 12days; replace it"), None]);
    assert!(agent["certificates"][2]["until"].is_null());
    // An older agent does not tell of itself, and that is no fault.
    let old = api.get(&api.operator, "/v1/hosts/h2").await.json();
    assert!(old["agent"]["version"].is_null() && old["agent"]["certificates"].is_null(), "{old}");

    let operator = Browser::signed_in(&api, &api.operator).await;
    let page = operator.get("/agents").await.text;
    for said in [
        "7.8.9, protocol 4",
        "CN=soon",
        "/pki/soon",
        "in 12 days",
        "ends soon: replace it",
        "known by its digest",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert!(page.contains("/pki/soon on h1 ends in 12days; replace it"), "{page}");
    assert!(!page.contains("has ended"), "{page}");

    let certificates = |findings: serde_json::Value| {
        let items = findings["items"].as_array().expect("a list").clone();
        items.into_iter().find(|item| item["check"] == "certificates").expect("looked at")
    };
    assert_eq!(certificates(api.get(&api.operator, "/v1/doctor").await.json())["severity"], "warning");
    api.pass(Span::days(13)).await;
    let finding = certificates(api.get(&api.operator, "/v1/doctor").await.json());
    assert_eq!(finding["severity"], "problem", "{finding}");
    // The session of thirteen days ago is over.
    let operator = Browser::signed_in(&api, &api.operator).await;
    let page = operator.get("/agents").await.text;
    assert!(page.contains("has ended: replace it"), "{page}");
}
