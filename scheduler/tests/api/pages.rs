//! The pages: who gets in and how, what they refuse, and what an owner reaches by them.

use axum::http::{Method, StatusCode};
use drover_policies::ids::OwnerId;
use drover_policies::time::Span;
use drover_scheduler::store::Seq;

use crate::fixture::{Answer, Api};
use crate::isolation::leaks;

/// A browser: it keeps one cookie, and asks for pages.
pub struct Browser<'a> {
    api: &'a Api,
    cookie: String,
}

fn encoded(fields: &[(&str, &str)]) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(fields);
    text.finish()
}

/// The cookie that an answer sets.
fn cookie(answer: &Answer) -> String {
    let header = answer.headers.get("set-cookie").expect("a cookie").to_str().expect("text");
    assert!(
        header.contains("HttpOnly") && header.contains("SameSite=Lax") && header.contains("Path=/"),
        "{header}"
    );
    header.split(';').next().expect("a pair").to_owned()
}

/// The value of a hidden field.
pub fn hidden(text: &str, name: &str) -> Option<String> {
    let rest = text.split_once(&format!("name=\"{name}\" value=\""))?.1;
    Some(rest.split('"').next()?.to_owned())
}

impl<'a> Browser<'a> {
    fn new(api: &'a Api) -> Self {
        Self { api, cookie: String::new() }
    }

    /// Somebody who has opened the link of a mail.
    pub async fn by_link(api: &'a Api, link: &str) -> Self {
        let opened = Self::new(api).get(link).await;
        Self { api, cookie: cookie(&opened) }
    }

    pub async fn signed_in(api: &'a Api, token: &str) -> Self {
        let mut browser = Self::new(api);
        let answer = browser.send("/login", &[("token", token), ("next", "/")]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{answer:?}");
        browser.cookie = cookie(&answer);
        browser
    }

    pub async fn get(&self, path: &str) -> Answer {
        let asking = self.api.ask(Method::GET, path).header("accept", "text/html,*/*;q=0.8");
        asking.header("cookie", &self.cookie).header("host", "drover.example").send().await
    }

    /// A form, as it is typed: without the secret of the session.
    pub async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let asking =
            self.api.ask(Method::POST, path).header("accept", "text/html").header("cookie", &self.cookie);
        asking.header("sec-fetch-site", "same-origin").text(&encoded(fields)).send().await
    }

    /// What the page's stream tells within a moment.
    pub async fn stream(&self, path: &str, meanwhile: impl Future<Output = ()>) -> String {
        self.api.stream_of(&self.cookie, path, meanwhile).await
    }

    pub async fn csrf(&self) -> String {
        let page = self.get("/tickets").await;
        hidden(&page.text, "csrf").expect("a form")
    }

    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.csrf().await;
        let all: Vec<(&str, &str)> = fields.iter().copied().chain([("csrf", csrf.as_str())]).collect();
        self.send(path, &all).await
    }
}

/// Where an answer sends the browser.
pub fn location(answer: &Answer) -> &str {
    answer.headers.get("location").map(|value| value.to_str().expect("text")).unwrap_or_default()
}

/// The link that the mails of the ticket of a server have.
pub async fn link(api: &Api, server: &str) -> String {
    let ticket = api.migration_of(server).await["ticket"].as_str().expect("a ticket").to_owned();
    let ticket = api.app.store.ticket_by_number(&ticket).await.expect("a store").expect("it is there");
    let keys = api.app.page_keys.as_ref().expect("keys");
    format!("/t/{}", keys.sign_page(&ticket.number, ticket.id, &ticket.owner))
}

#[tokio::test]
async fn pages_are_compressed_unless_somebody_else_may_have_made_their_address_up() {
    let api = Api::new().await;
    let operator = Browser::signed_in(&api, &api.operator).await;
    for (path, compressed) in [
        ("/fleet", true),
        ("/fleet?anything=typed", false),
        ("/hosts/anything", false),
        ("/v1/hosts", false),
        ("/live", false),
        ("/live?on=fleet", false),
    ] {
        let asking = api.ask(Method::HEAD, path).header("accept", "text/html,*/*;q=0.8");
        let asking = asking.header("cookie", &operator.cookie).header("accept-encoding", "gzip");
        let answer = asking.send().await;
        let encoding =
            answer.headers.get("content-encoding").map(|encoding| encoding.to_str().expect("text"));
        assert_eq!(encoding, compressed.then_some("gzip"), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn whoever_is_not_signed_in_is_asked_and_goes_on_where_he_was() {
    let api = Api::new().await;
    let nobody = Browser::new(&api);
    let answer = nobody.get("/tickets?sort=-server&q=a%20b").await;
    assert_eq!(
        (answer.status, location(&answer)),
        (StatusCode::SEE_OTHER, "/login?next=%2Ftickets%3Fsort%3D-server%26q%3Da%2520b")
    );
    let login = nobody.get(location(&answer)).await;
    assert_eq!(login.status, StatusCode::OK);
    let next = hidden(&login.text, "next").expect("where he was").replace("&#38;", "&");
    let answer = nobody.send("/login", &[("token", &api.acme), ("next", &next)]).await;
    assert_eq!(location(&answer), "/tickets?sort=-server&q=a%20b");
    for wrong in ["", "drv_ow_0000", "<script>alert(1)</script>", &api.agent] {
        let answer = nobody.send("/login", &[("token", wrong), ("next", "//evil.example")]).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{wrong}");
        assert!(!answer.text.contains("<script>alert") && !answer.text.contains("evil.example"));
        assert!(answer.headers.get("set-cookie").is_none());
    }
    // The API is for tokens as ever: a session opens nothing of it, and it answers in JSON whoever asks.
    let acme = Browser::signed_in(&api, &api.acme).await;
    assert_eq!(acme.get("/v1/servers").await.problem(), "unauthenticated");
}

#[tokio::test]
async fn every_answer_keeps_other_sites_out() {
    let api = Api::new().await;
    let acme = Browser::signed_in(&api, &api.acme).await;
    for path in ["/tickets", "/login", "/nowhere", "/migrations/x"] {
        let answer = acme.get(path).await;
        let header = |name: &str| answer.headers[name].to_str().expect("text").to_owned();
        assert!(
            header("content-security-policy").starts_with("default-src 'none'; style-src 'self'"),
            "{path}"
        );
        assert_eq!(
            (header("x-content-type-options").as_str(), header("cache-control").as_str()),
            ("nosniff", "no-store")
        );
        for forbidden in ["<style", " style=", "onclick", "javascript:", "src=\"http", "href=\"http"] {
            assert!(!answer.text.contains(forbidden), "{path} has {forbidden}");
        }
    }
    let css = acme.get("/tickets").await.text;
    let css = css
        .split("href=\"")
        .find_map(|rest| rest.split('"').next().filter(|href| href.ends_with(".css")))
        .expect("a style sheet");
    let asset = Browser::new(&api).get(css).await;
    assert_eq!(asset.status, StatusCode::OK);
    assert_eq!(asset.headers["content-type"], "text/css; charset=utf-8");
    assert!(asset.headers["cache-control"].to_str().expect("text").contains("immutable"));
    assert_eq!(acme.get("/assets/../secret.css").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_form_from_elsewhere_or_of_another_session_does_nothing() {
    let api = Api::new().await;
    api.drain_h1().await;
    let path = format!(
        "/my/migrations/{}/approve",
        api.migration_of("db").await["ticket"].as_str().expect("a ticket")
    );
    let acme = Browser::signed_in(&api, &api.acme).await;
    let csrf = acme.csrf().await;
    let form = encoded(&[("csrf", &csrf)]);
    let forged = |header: &'static str, value: &'static str| {
        let asking =
            api.ask(Method::POST, &path).header("accept", "text/html").header("cookie", &acme.cookie);
        asking.header("host", "drover.example").header(header, value).text(&form).send()
    };
    assert_eq!(forged("sec-fetch-site", "cross-site").await.status, StatusCode::FORBIDDEN);
    assert_eq!(forged("sec-fetch-site", "same-site").await.status, StatusCode::FORBIDDEN);
    assert_eq!(forged("origin", "https://evil.example").await.status, StatusCode::FORBIDDEN);
    assert_eq!(forged("origin", "null").await.status, StatusCode::FORBIDDEN);
    let other = Browser::signed_in(&api, &api.acme).await.csrf().await;
    for fields in [&[][..], &[("csrf", "")], &[("csrf", "x")], &[("csrf", other.as_str())]] {
        assert_eq!(acme.send(&path, fields).await.status, StatusCode::CONFLICT, "{fields:?}");
    }
    assert_eq!(api.migration_of("db").await["appointment"]["state"], "proposed");
    assert_eq!(forged("origin", "http://drover.example").await.status, StatusCode::SEE_OTHER);
    assert_eq!(api.migration_of("db").await["appointment"]["state"], "accepted");
}

#[tokio::test]
async fn a_session_ends_by_signing_out_by_time_and_with_its_token() {
    let api = Api::new().await;
    let acme = Browser::signed_in(&api, &api.acme).await;
    let second = Browser::signed_in(&api, &api.acme).await;
    assert_eq!(acme.get("/tickets").await.status, StatusCode::OK);
    let out = acme.post("/logout", &[]).await;
    assert_eq!((out.status, location(&out)), (StatusCode::SEE_OTHER, "/login"));
    assert!(out.headers["set-cookie"].to_str().expect("text").contains("Max-Age=0"));
    assert_eq!(acme.get("/tickets").await.status, StatusCode::SEE_OTHER, "the cookie alone opens nothing");
    for _ in 0..3 {
        api.pass(Span::hours(7)).await;
        assert_eq!(second.get("/tickets").await.status, StatusCode::OK, "use keeps it alive");
    }
    api.pass(Span::hours(9)).await;
    assert_eq!(second.get("/tickets").await.status, StatusCode::SEE_OTHER);
    let third = Browser::signed_in(&api, &api.acme).await;
    let own = api.get(&api.acme, "/v1/whoami").await.json();
    let path = format!("/v1/tokens/{}", own["token"].as_str().expect("an id"));
    api.ask(Method::DELETE, &path).token(&api.operator).send().await;
    assert_eq!(third.get("/tickets").await.status, StatusCode::SEE_OTHER, "its token was revoked");
}

#[tokio::test]
async fn what_was_typed_survives_the_end_of_a_session() {
    let api = Api::new().await;
    api.drain_h1().await;
    let ticket = api.migration_of("db").await["ticket"].as_str().expect("a ticket").to_owned();
    let acme = Browser::signed_in(&api, &api.acme).await;
    let csrf = acme.csrf().await;
    api.pass(Span::hours(9)).await;
    let typed = "Please not on \"Tuesday\" <b>&</b>\nWe launch then.";
    let path = format!("/tickets/{ticket}/messages");
    let answer = acme.send(&path, &[("csrf", &csrf), ("text", typed)]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let kept = |text: &str, name: &str| {
        let value = hidden(text, name).unwrap_or_else(|| panic!("no {name} in {text}"));
        value.replace("&#34;", "\"").replace("&#60;", "<").replace("&#62;", ">").replace("&#38;", "&")
    };
    let again = kept(&answer.text, "again.text");
    assert_eq!(again, typed);
    let to = kept(&answer.text, "again_to");
    let fields =
        [("token", api.acme.as_str()), ("next", "/tickets"), ("again_to", &to), ("again.text", &again)];
    let answer = acme.send("/login", &fields).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.text.contains(&format!("action=\"{path}\"")), "{}", answer.text);
    let back = Browser { api: &api, cookie: cookie(&answer) };
    let (csrf, text) = (kept(&answer.text, "csrf"), kept(&answer.text, "text"));
    let sent = back.send(&path, &[("csrf", &csrf), ("text", &text)]).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER, "{sent:?}");
    let told = api.get(&api.operator, &format!("/v1/tickets/{ticket}")).await.text;
    assert!(told.contains("We launch then."), "{told}");
}

#[tokio::test]
async fn the_link_of_a_mail_opens_its_own_ticket_and_nothing_else() {
    let api = Api::new().await;
    api.drain_h1().await;
    let ticket = |server: &'static str| async {
        api.migration_of(server).await["ticket"].as_str().expect("a ticket").to_owned()
    };
    let (db, shop) = (ticket("db").await, ticket("shop").await);
    let nobody = Browser::new(&api);
    let link = link(&api, "db").await;
    let answer = nobody.get(&link).await;
    assert_eq!(
        (answer.status, location(&answer)),
        (StatusCode::SEE_OTHER, format!("/my/migrations/{db}").as_str())
    );
    let reader = Browser { api: &api, cookie: cookie(&answer) };
    for path in ["/tickets", "/my/windows", "/my/tokens", "/fleet", "/hosts"] {
        let answer = reader.get(path).await;
        assert!(
            [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND].contains(&answer.status),
            "{path}: {}",
            answer.status
        );
    }
    assert_eq!(reader.get(&format!("/my/migrations/{shop}/approve")).await.status, StatusCode::NOT_FOUND);
    let page = reader.get(&format!("/my/migrations/{db}/approve")).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    let csrf = hidden(&page.text, "csrf").expect("a form");
    let sent = reader.send(&format!("/my/migrations/{shop}/approve"), &[("csrf", &csrf)]).await;
    assert_eq!(sent.status, StatusCode::NOT_FOUND);
    let sent = reader.send(&format!("/my/migrations/{db}/abort"), &[("csrf", &csrf)]).await;
    assert_eq!(sent.status, StatusCode::NOT_FOUND, "that is for operators");
    let sent = reader.send(&format!("/my/migrations/{db}/approve"), &[("csrf", &csrf)]).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER);
    assert_eq!(api.migration_of("db").await["appointment"]["by"]["name"], "acme");
    let mut forged = link.clone();
    let last = forged.pop();
    forged.push(if last == Some('a') { 'b' } else { 'a' });
    for wrong in [forged.as_str(), "/t/", "/t/DR-1", "/t/%00", &link.replace(&db, &shop)] {
        assert_eq!(nobody.get(wrong).await.status, StatusCode::NOT_FOUND, "{wrong}");
    }
    let ticket = api.app.store.ticket_by_number(&db).await.expect("a store").expect("it is there");
    let keys = api.app.page_keys.as_ref().expect("keys");
    let others = keys.sign_page(&db, ticket.id, &OwnerId::new("globex").expect("a name"));
    assert_eq!(nobody.get(&format!("/t/{others}")).await.status, StatusCode::NOT_FOUND);
    // When nothing is left to be said about it, neither the link nor what it has opened is good any more.
    let maintenance = api.get(&api.operator, "/v1/maintenances").await.json()["items"][0]["number"].clone();
    let maintenance = maintenance.as_str().expect("a number");
    api.post(&api.operator, &format!("/v1/maintenances/{maintenance}/cancel"), &serde_json::json!({})).await;
    api.look().await;
    assert_eq!(nobody.get(&link).await.status, StatusCode::NOT_FOUND);
    assert_eq!(reader.get(&format!("/my/migrations/{db}/approve")).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_stale_page_does_nothing_and_says_what_has_changed() {
    let api = Api::new().await;
    api.drain_h1().await;
    let db = api.migration_of("db").await["ticket"].as_str().expect("a ticket").to_owned();
    let acme = Browser::signed_in(&api, &api.acme).await;
    let path = format!("/my/migrations/{db}/decline");
    let first = acme.get(&path).await;
    let (csrf, generation) =
        (hidden(&first.text, "csrf").expect("a form"), hidden(&first.text, "generation").expect("one"));
    assert_eq!(acme.post(&format!("/my/migrations/{db}/approve"), &[]).await.status, StatusCode::SEE_OTHER);
    let seen = api.app.store.latest_event().await.expect("a store");
    assert!(seen > Seq::START);
    let stale = acme.send(&path, &[("csrf", &csrf), ("generation", &generation)]).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    assert!(
        stale.text.contains("It has changed since you opened the page") && stale.text.contains("accepted"),
        "{}",
        stale.text
    );
    assert_eq!(api.migration_of("db").await["appointment"]["state"], "accepted");
    let fresh = hidden(&stale.text, "generation").expect("one");
    assert_eq!(
        acme.send(&path, &[("csrf", &csrf), ("generation", &fresh)]).await.status,
        StatusCode::SEE_OTHER
    );
    let page = acme.get("/tickets").await;
    assert!(page.text.contains("Declined; another time is proposed."), "{}", page.text);
    assert!(!acme.get("/tickets").await.text.contains("Declined; another"), "it is said once");
}

#[tokio::test]
async fn wrong_and_hostile_times_are_asked_for_again_with_what_was_typed() {
    let api = Api::new().await;
    api.drain_h1().await;
    let db = api.migration_of("db").await;
    let path = format!("/my/migrations/{}/reschedule", db["ticket"].as_str().expect("a ticket"));
    let acme = Browser::signed_in(&api, &api.acme).await;
    for at in ["", "tomorrow", "<img src=x>", "2026-99-99T99:99"] {
        let answer = acme.post(&path, &[("start", at)]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{at}");
        assert!(!answer.text.contains("<img"), "{at}");
    }
    let answer = acme.post(&path, &[("start", &"9".repeat(300_000))]).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let past = acme.post(&path, &[("start", "2020-01-01T00:00")]).await;
    assert_eq!(
        past.status,
        StatusCode::CONFLICT,
        "refused by the rules of appointments, beside the free times"
    );
    assert!(past.text.contains("is too soon"), "{}", past.text);
    assert_eq!(api.migration_of("db").await["appointment"], db["appointment"]);
}

#[tokio::test]
async fn every_page_of_the_console_and_the_portal_is_drawn_and_small() {
    let api = Api::new().await;
    api.drain_h1().await;
    let number = api.migration_of("db").await["number"].to_string();
    let live = api.migration_of("web").await["number"].to_string();
    let operator = Browser::signed_in(&api, &api.operator).await;
    let acme = Browser::signed_in(&api, &api.acme).await;
    let ticket = format!("/tickets/DR-{number}");
    for path in [
        "/fleet",
        "/hosts",
        "/hosts/h1",
        "/hosts/h1/cordon",
        "/servers",
        "/maintenances",
        "/maintenances/new?hosts=h2",
        "/maintenances/MT-1",
        "/maintenances/MT-1/plan",
        "/maintenances/MT-1/pause",
        "/maintenances/MT-1/emergency",
        "/migrations?maintenance=MT-1",
        "/tickets",
        &ticket,
        &format!("/migrations/{number}"),
        &format!("/migrations/{live}"),
        &format!("/migrations/{number}/force"),
        "/fragments/maintenances/MT-1",
        &format!("/fragments/migrations/{number}"),
        "/fragments/tip/h1",
    ] {
        let page = operator.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
        assert!(page.text.len() < 100_000, "{path} has {} bytes", page.text.len());
    }
    for path in [
        "/my",
        "/tickets",
        &ticket,
        &format!("/my/migrations/{number}"),
        &format!("/my/migrations/{number}/times"),
        "/fragments/my",
    ] {
        let page = acme.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
        assert_eq!(leaks(&page.text), None, "{path}: {}", page.text);
    }
    assert_eq!(operator.get("/my").await.status, StatusCode::FORBIDDEN);
    assert_eq!(location(&acme.get("/").await), "/my");
    assert_eq!(location(&operator.get("/").await), "/fleet");
}

#[tokio::test]
async fn a_page_is_told_what_of_it_is_out_of_date_and_nothing_else() {
    let api = Api::new().await;
    api.drain_h1().await;
    let number = api.migration_of("db").await["number"].clone();
    let acme = Browser::signed_in(&api, &api.acme).await;
    let globex = Browser::signed_in(&api, &api.globex).await;
    let agree = async {
        let answer =
            api.post(&api.acme, &format!("/v1/migrations/{number}/approve"), &serde_json::json!({})).await;
        assert_eq!(answer.status, StatusCode::OK);
    };
    let told = acme.stream(&format!("/live?on=migration/{number}"), agree).await;
    assert!(told.contains(&format!("data: migration/{number}\n")), "{told}");
    // What happened after a page was drawn and before it listened is told as soon as it does.
    let page = acme.get(&format!("/my/migrations/{number}")).await.text;
    let since =
        page.split_once("data-since=\"").and_then(|(_, rest)| rest.split('"').next()).expect("a place");
    let drawn = format!("/live?on=migration/{number}&since={since}");
    assert!(!acme.stream(&drawn, async {}).await.contains("data: migration"), "nothing has happened");
    let write = format!("/v1/migrations/{number}/decline");
    assert_eq!(api.post(&api.acme, &write, &serde_json::json!({})).await.status, StatusCode::OK);
    assert!(acme.stream(&drawn, async {}).await.contains(&format!("data: migration/{number}\n")));
    assert!(!globex.stream(&format!("/live?since={since}"), async {}).await.contains("data:"));
    let decline = async {
        api.post(&api.acme, &format!("/v1/migrations/{number}/decline"), &serde_json::json!({})).await;
    };
    let others = globex.stream("/live", decline).await;
    assert!(!others.contains("data:"), "{others}");
}
