//! Forms with wrong, missing, hostile and huge values: each is asked for again with what was typed, and nothing comes of it.

use axum::http::StatusCode;
use serde_json::Value;

use crate::fixture::{Api, id};
use crate::pages::Browser;

const HOSTILE: &str = "<script>alert(1)</script>\"'> & %00";

/// More than any field takes, and less than a form may have.
const HUGE: usize = 20_000;

/// A form whose values are right, and what is wrong for some of its fields besides what is wrong for all.
struct Form {
    path: String,
    right: Vec<(&'static str, &'static str)>,
    /// Fields, and values that they do not take.
    wrong: Vec<(&'static str, Vec<&'static str>)>,
}

fn form(
    path: &str,
    right: &[(&'static str, &'static str)],
    wrong: &[(&'static str, &[&'static str])],
) -> Form {
    let wrong = wrong.iter().map(|(field, values)| (*field, values.to_vec())).collect();
    Form { path: path.to_owned(), right: right.to_vec(), wrong }
}

/// What nothing may change of while forms are refused.
async fn all_of(api: &Api) -> Vec<Value> {
    let mut all = Vec::new();
    for path in [
        "/v1/windows",
        "/v1/freezes",
        "/v1/limits",
        "/v1/owners",
        "/v1/tickets",
        "/v1/migrations?only=all",
        "/v1/hosts",
        "/v1/maintenances?only=all",
    ] {
        let answer = api.get(&api.operator, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        all.push(answer.json()["items"].clone());
    }
    all
}

async fn refuses(api: &Api, browser: &Browser<'_>, form: &Form) {
    let before = all_of(api).await;
    let huge = "9".repeat(HUGE);
    for (field, values) in &form.wrong {
        // Any line is a name.
        let hostile = (*field != "name").then_some(HOSTILE);
        for value in values.iter().copied().chain(hostile).chain([huge.as_str()]) {
            let mut fields: Vec<(&str, &str)> =
                form.right.iter().copied().filter(|(name, _)| name != field).collect();
            fields.push((field, value));
            let answer = browser.post(&form.path, &fields).await;
            let shown = &value[..value.len().min(80)];
            assert_eq!(
                answer.status,
                StatusCode::UNPROCESSABLE_ENTITY,
                "{} {field}={shown}: {}",
                form.path,
                answer.text
            );
            assert!(!answer.text.contains("<script>alert"), "{} {field}: {}", form.path, answer.text);
            let said = answer.text.contains("class=\"error\"") || answer.text.contains("class=\"note bad\"");
            assert!(said, "{} {field}={shown}: {}", form.path, answer.text);
            if value == HOSTILE {
                assert!(
                    answer.text.contains("&#60;script&#62;alert(1)"),
                    "what was typed is lost: {}",
                    form.path
                );
            }
        }
    }
    let too_much = "9".repeat(300_000);
    let answer = browser.post(&form.path, &[("text", &too_much)]).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", form.path);
    assert_eq!(all_of(api).await, before, "{}", form.path);
}

#[tokio::test]
async fn owners_forms_are_asked_for_again_and_nothing_comes_of_them() {
    let api = Api::new().await;
    api.drain_h1().await;
    let acme = Browser::signed_in(&api, &api.acme).await;
    for form in [
        form(
            "/my/windows/window",
            &[("cron", "0 2 * * 0"), ("duration", "4h"), ("timezone", "UTC")],
            &[
                ("cron", &["", "0 2 * *", "99 2 * * 0"]),
                ("duration", &["", "0h", "-4h", "four hours"]),
                ("timezone", &["", "Mars/Olympus"]),
                ("scope", &["nobody-of-this-name", "=", "tier="]),
            ],
        ),
        form(
            "/my/windows/freeze",
            &[("name", "Sale"), ("from", "2026-12-19"), ("to", "2026-12-20"), ("timezone", "UTC")],
            &[
                ("name", &["", "two\nlines"]),
                ("from", &["", "tomorrow", "2026-02-30", "2026-12-21"]),
                ("to", &["", "2026-12-18"]),
                ("timezone", &["", "Mars/Olympus"]),
            ],
        ),
        form(
            "/my/windows/limit",
            &[("max_simultaneous", "1")],
            &[("max_simultaneous", &["", "0", "-1", "1.5", "many", "99999999999"])],
        ),
        form(
            "/my/contacts",
            &[("name", "Acme"), ("mail", "ops@acme.example"), ("timezone", "UTC"), ("language", "en")],
            &[
                ("mail", &["nobody", "a@b@c"]),
                ("timezone", &["", "Mars/Olympus"]),
                ("language", &["not a language", "klingon"]),
            ],
        ),
        form(&format!("/servers/{}/migrate", id(2)), &[], &[("start", &["tomorrow", "2026-99-99T99:99"])]),
    ] {
        refuses(&api, &acme, &form).await;
    }
}

#[tokio::test]
async fn messages_take_any_words_as_words_and_neither_none_nor_a_book() {
    let api = Api::new().await;
    api.drain_h1().await;
    let acme = Browser::signed_in(&api, &api.acme).await;
    let ticket = api.migration_of("db").await["ticket"].as_str().expect("a ticket").to_owned();
    let path = format!("/tickets/{ticket}/messages");
    for wrong in ["", " \n ", &"9".repeat(HUGE)] {
        let answer = acme.post(&path, &[("text", wrong)]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", wrong.len());
        assert!(answer.text.contains("class=\"error\"") && answer.text.contains(wrong.trim()));
    }
    assert_eq!(acme.post(&path, &[]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(acme.post(&path, &[("text", HOSTILE)]).await.status, StatusCode::SEE_OTHER);
    let page = acme.get(&format!("/tickets/{ticket}")).await.text;
    assert!(page.contains("&#60;script&#62;alert(1)") && !page.contains("<script>alert"), "{page}");
}

#[tokio::test]
async fn operators_forms_are_asked_for_again_and_nothing_comes_of_them() {
    let api = Api::new().await;
    let operator = Browser::signed_in(&api, &api.operator).await;
    // Any line will do as a reason.
    for wrong in ["", " ", "two\nlines", &"9".repeat(HUGE)] {
        let answer = operator.post("/hosts/h2/cordon", &[("reason", wrong)]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", wrong.len());
        assert!(answer.text.contains("class=\"error\""), "{}", answer.text);
    }
    assert_eq!(api.get(&api.operator, "/v1/hosts/h2").await.json()["standing"]["state"], "open");
    let huge = "9".repeat(HUGE);
    for (text, good) in [("", true), ("windows = 7", false), (HOSTILE, false), (huge.as_str(), false)] {
        let page = operator.post("/policies", &[("text", text)]).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        assert_eq!(page.text.contains("Nothing is wrong with it."), good, "{}", page.text);
        assert_eq!(page.text.contains("class=\"note bad\""), !good, "{}", page.text);
        assert!(!page.text.contains("<script>alert"), "{}", page.text);
    }
    let escaped: String = form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    for value in ["", "nobody", escaped.as_str(), huge.as_str()] {
        let explained = operator.get(&format!("/policies/explain?server={value}")).await;
        assert_eq!(explained.status, StatusCode::NOT_FOUND, "{}", explained.text);
        let found = operator.get(&format!("/search?q={value}")).await;
        assert_eq!(found.status, StatusCode::OK, "{}", found.text);
        for page in [explained, found] {
            assert!(!page.text.contains("<script>alert") && page.text.len() < 100_000, "{}", page.text);
        }
    }
    let plan = "/maintenances/new?hosts=h1&reason=x&deadline=30d&kind=rolling-drain&step=plan&hosts_at_once=";
    for value in ["0", "-1", "1.5", "many", escaped.as_str(), huge.as_str()] {
        let page = operator.get(&format!("{plan}{value}")).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", page.text);
        assert!(
            page.text.contains("class=\"error\"") && !page.text.contains("<script>alert"),
            "{}",
            page.text
        );
    }
}
