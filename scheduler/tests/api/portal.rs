//! What owners read and do on the pages: in their own language, once even where it is sent twice, and with tokens of their own.

use std::sync::Arc;

use axum::http::StatusCode;
use drover_notifier::Renderer;
use drover_scheduler::deliver::{self, Delivering};
use serde_json::json;

use crate::fixture::{Api, id};
use crate::pages::{Browser, hidden, link};

async fn speaks_german(api: &Api) {
    let contact = json!({ "mail": ["ops@acme.example"], "timezone": "Europe/Berlin", "language": "de" });
    let put = api.put(&api.acme, "/v1/owners/acme", &contact).await;
    assert!(put.status.is_success(), "{put:?}");
}

async fn ticket_of(api: &Api, server: &str) -> String {
    api.migration_of(server).await["ticket"].as_str().expect("a ticket").to_owned()
}

#[tokio::test]
async fn a_maintenance_shows_the_windows_and_freezes_behind_what_waits_for_its_owner() {
    let api = Api::new().await;
    let window = json!({ "opens": { "cron": "0 2 * * *", "duration": "4h", "timezone": "UTC" } });
    assert_eq!(
        api.put(&api.acme, &format!("/v1/windows/{}", id(700)), &window).await.status,
        StatusCode::CREATED
    );
    let day = (api.app.clock.now() + chrono::TimeDelta::days(3)).date_naive();
    let freeze = json!({ "name": "Black Friday", "days": { "from": day, "to": day } });
    assert_eq!(
        api.put(&api.acme, &format!("/v1/freezes/{}", id(701)), &freeze).await.status,
        StatusCode::CREATED
    );
    api.drain_h1().await;
    let operator = Browser::signed_in(&api, &api.operator).await;
    let page = operator.get("/maintenances/MT-1").await.text;
    for drawn in ["<rect class=\"window\"", "<rect class=\"freeze\"", "<line class=\"now\""] {
        assert!(page.contains(drawn), "{drawn}: {page}");
    }
    let said = page.split("<li>frozen: Black Friday, ").nth(1).expect("it is said in words as well");
    assert!(said.split("</li>").next().is_some_and(|line| line.ends_with(": db")), "{said}");
}

#[tokio::test]
async fn the_calendar_says_whose_windows_are_open_also_over_midnight_and_what_is_frozen() {
    let api = Api::new().await;
    api.drain_h1().await;
    let acme = Browser::signed_in(&api, &api.acme).await;
    let path = format!("/my/migrations/{}/times", ticket_of(&api, "db").await);
    let days = async || {
        let page = acme.get(&path).await.text;
        assert!(page.contains("type=\"radio\""), "{page}");
        let days: Vec<String> = page.split("<b>").skip(1).map(ToOwned::to_owned).collect();
        move |name: &str| days.iter().find(|day| day.starts_with(name)).cloned().expect("this day")
    };
    let usual = days().await;
    assert!(usual("Sun 11 Jan").contains("Usual window:"), "{}", usual("Sun 11 Jan"));
    assert!(!usual("Sun 11 Jan").contains("Your window:"));
    let window = json!({ "opens": { "cron": "0 22 * * 2,6", "duration": "4h", "timezone": "UTC" } });
    let put = api.put(&api.acme, &format!("/v1/windows/{}", id(700)), &window).await;
    assert_eq!(put.status, StatusCode::CREATED, "{put:?}");
    let freeze = json!({ "name": "Big <Sale>", "days": { "from": "2026-01-17", "to": "2026-01-17", "timezone": "UTC" } });
    let put = api.put(&api.acme, &format!("/v1/freezes/{}", id(701)), &freeze).await;
    assert_eq!(put.status, StatusCode::CREATED, "{put:?}");
    let own = days().await;
    for (day, hours) in [("Sat 10 Jan", ["22:00", "00:00"]), ("Sun 11 Jan", ["00:00", "02:00"])] {
        let said = own(day);
        let (_, window) = said.split_once("Your window: ").unwrap_or_else(|| panic!("{day}: {said}"));
        let window = window.split("</span>").next().expect("its hours");
        assert!(hours.iter().all(|hour| window.contains(&format!(">{hour}</time>"))), "{day}: {window}");
        assert!(!said.contains("Usual window"), "{said}");
    }
    let frozen = own("Sat 17 Jan");
    assert!(frozen.contains("frozen: Big &#60;Sale&#62;") && !frozen.contains("radio"), "{frozen}");
    // What is left of the window begins when the freeze has ended: on a day with a window, though nothing may be free on it.
    assert!(own("Sun 18 Jan").contains("Your window: "), "{}", own("Sun 18 Jan"));
    assert!(!own("Mon 12 Jan").contains("window:"), "{}", own("Mon 12 Jan"));
}

#[tokio::test]
async fn what_is_refused_and_what_is_done_is_said_in_the_owners_language() {
    let api = Api::new().await;
    api.drain_h1().await;
    speaks_german(&api).await;
    let acme = Browser::signed_in(&api, &api.acme).await;
    let path = format!("/my/migrations/{}", ticket_of(&api, "db").await);
    let reschedule = format!("{path}/reschedule");
    let past = acme.post(&reschedule, &[("start", "2020-01-01T00:00")]).await;
    assert!(
        past.text.contains("Diese Zeit ist zu früh. Wählen Sie ") && past.text.contains(" CET"),
        "{past:?}"
    );
    assert!(!past.text.contains("too soon"), "{past:?}");
    let none = acme.post(&reschedule, &[("start", "tomorrow")]).await;
    assert!(none.text.contains("Das ist kein Tag mit Uhrzeit"), "{none:?}");
    let cron = [("cron", "whenever"), ("duration", "4h"), ("timezone", "UTC")];
    let cron = acme.post("/my/windows/window", &cron).await;
    assert!(cron.text.contains("Das ist keine Regel für Öffnungen"), "{cron:?}");
    let nothing = acme.get("/my/migrations/DR-4711").await;
    assert!(
        nothing.text.contains("Das gibt es nicht") && !nothing.text.contains("There is no"),
        "{nothing:?}"
    );

    let asked = acme.get(&format!("{path}/approve")).await;
    assert!(asked.text.contains("Der Server zieht zur vorgeschlagenen Zeit um."), "{asked:?}");
    acme.post(&format!("{path}/approve"), &[]).await;
    assert!(acme.get("/tickets").await.text.contains("Vereinbart."));
    // A rule that is refused after the form was taken is told on the next page.
    acme.post(&format!("{path}/confirm"), &[]).await;
    let next = acme.get("/tickets").await.text;
    assert!(next.contains("Bestätigen oder zurücknehmen lässt sich nur ein fertiger Umzug"), "{next}");
    // Programs read what they always read.
    let confirm = format!("/v1/migrations/{}/confirm", ticket_of(&api, "db").await);
    let api_says = api.post(&api.acme, &confirm, &json!({})).await.json();
    assert_eq!(api_says["rule"], "not_done");
    assert!(
        api_says["detail"].as_str().is_some_and(|text| text.contains("only a reboot migration that is done"))
    );
}

#[tokio::test]
async fn a_form_that_comes_twice_is_carried_out_once() {
    let api = Api::new().await;
    api.drain_h1().await;
    let db = ticket_of(&api, "db").await;
    let acme = Browser::signed_in(&api, &api.acme).await;
    let csrf = acme.csrf().await;
    let page = acme.get(&format!("/tickets/{db}")).await;
    let once = hidden(&page.text, "once").expect("the page's word");
    let path = format!("/tickets/{db}/messages");
    for text in ["Is it long?", "Is it long?", "And how long?"] {
        let fields = [("csrf", csrf.as_str()), ("once", once.as_str()), ("text", text)];
        assert_eq!(acme.send(&path, &fields).await.status, StatusCode::SEE_OTHER);
    }
    let page = acme.get(&format!("/tickets/{db}")).await.text;
    assert_eq!(page.matches("Is it long?").count(), 1, "{page}");
    assert_eq!(page.matches("And how long?").count(), 1, "another text of the same page is another wish");

    // A press that changes what the page was drawn of is not taken for one of a stale page when it comes again.
    let path = format!("/my/migrations/{db}/decline");
    let page = acme.get(&path).await.text;
    let [once, generation] = ["once", "generation"].map(|name| hidden(&page, name).expect(name));
    let fields = [("csrf", csrf.as_str()), ("once", once.as_str()), ("generation", generation.as_str())];
    let before = api.migration_of("db").await["appointment"].clone();
    assert_eq!(acme.send(&path, &fields).await.status, StatusCode::SEE_OTHER);
    let declined = api.migration_of("db").await["appointment"].clone();
    assert_ne!(before, declined);
    assert_eq!(acme.send(&path, &fields).await.status, StatusCode::SEE_OTHER);
    assert_eq!(api.migration_of("db").await["appointment"], declined, "it is not declined twice");

    // What makes a new thing makes one.
    let page = acme.get("/my/windows").await.text;
    let once = hidden(&page, "once").expect("the page's word");
    for _ in 0..2 {
        let fields = [
            ("csrf", csrf.as_str()),
            ("once", once.as_str()),
            ("cron", "0 2 * * 0"),
            ("duration", "4h"),
            ("timezone", "UTC"),
        ];
        assert_eq!(acme.send("/my/windows/window", &fields).await.status, StatusCode::SEE_OTHER);
    }
    let windows = api.get(&api.acme, "/v1/windows").await.json();
    assert_eq!(windows["items"].as_array().map(Vec::len), Some(1), "{windows}");
}

#[tokio::test]
async fn a_reader_who_was_too_slow_is_told_to_look_at_all_of_his_page() {
    let api = Api::new().await;
    api.drain_h1().await;
    let acme = Browser::signed_in(&api, &api.acme).await;
    let globex = Browser::signed_in(&api, &api.globex).await;
    let operator = Browser::signed_in(&api, &api.operator).await;
    // More than is kept for anybody, at once: what each of it is does not matter to somebody who has missed it.
    let flood = || async {
        for n in 0..10_000 {
            let at = api.app.clock.now();
            let event = drover_policies::events::Event {
                at,
                maintenance: None,
                migration: None,
                import: None,
                server: None,
                owner: None,
                host: None,
                what: drover_policies::events::Happened::HostEmpty,
            };
            api.app.tell(drover_scheduler::app::Told::Event(drover_scheduler::store::Seq(n), event));
        }
    };
    for (who, on) in
        [(&acme, "?on=migration/1001&on=ticket/DR-1001"), (&operator, "?on=maintenance/MT-1"), (&globex, "")]
    {
        let told = who.stream(&format!("/live{on}"), flood()).await;
        assert_eq!(told.matches("data:").count(), 1, "{told}");
        assert!(told.contains("data: *\n"), "{told}");
    }
}

#[tokio::test]
async fn an_owner_issues_a_token_on_the_pages_sees_it_once_and_revokes_it() {
    let api = Api::new().await;
    let acme = Browser::signed_in(&api, &api.acme).await;
    let csrf = acme.csrf().await;
    let once = hidden(&acme.get("/my/tokens").await.text, "once").expect("the page's word");
    let fields = [("csrf", csrf.as_str()), ("once", once.as_str()), ("note", "backup <script>")];
    let first = acme.send("/my/tokens", &fields).await;
    assert_eq!(first.status, StatusCode::OK);
    let secret = first.text.split("<code>").nth(1).and_then(|rest| rest.split('<').next()).expect("shown");
    assert!(secret.starts_with("drv_ow_") && !first.text.contains("<script>"), "{first:?}");
    assert_eq!(api.get(secret, "/v1/whoami").await.json()["name"], "acme");

    // Sent again by an impatient finger: no second token, and no secret.
    let second = acme.send("/my/tokens", &fields).await;
    assert!(!second.text.contains("drv_ow_") && second.text.contains("it is not shown twice"), "{second:?}");
    assert!(!acme.get("/my/tokens").await.text.contains("drv_ow_"));
    let mine = api.get(&api.acme, "/v1/tokens").await.json();
    let items = mine["items"].as_array().expect("a list");
    assert_eq!(items.len(), 2, "{mine}");

    let id =
        items.iter().find(|token| token["note"] == "backup <script>").expect("it is there")["id"].clone();
    let path = format!("/my/tokens/{}/revoke", id.as_str().expect("an id"));
    let globex = Browser::signed_in(&api, &api.globex).await;
    assert_eq!(globex.post(&path, &[]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(api.get(secret, "/v1/whoami").await.status, StatusCode::OK);
    assert_eq!(acme.post(&path, &[]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(api.get(secret, "/v1/whoami").await.status, StatusCode::UNAUTHORIZED);
    let page = acme.get("/my/tokens").await.text;
    assert!(page.contains("It is refused from now on.") && !page.contains(&path), "{page}");
    let wrong = acme.post("/my/tokens", &[("note", &"x".repeat(300))]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn the_mails_of_a_ticket_have_its_link_where_pages_have_an_address() {
    let api = Api::configured(|config| config.web.address = Some("https://drover.example/".to_owned())).await;
    let contact = serde_json::json!({ "mail": ["ops@acme.example"] });
    api.put(&api.acme, "/v1/owners/acme", &contact).await;
    api.drain_h1().await;
    let delivering = Arc::new(Delivering {
        renderer: Renderer::new(None).expect("the shipped templates"),
        mail: api.app.config.channel(),
        answers: None,
        rt: None,
    });
    while deliver::deliver_due(&api.app, &delivering).await.expect("a store") > 0 {}
    let sent = std::fs::read_dir(api.app.config.data_dir.join("mail/new")).expect("a maildir");
    let mails = sent.map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("a mail"));
    // As quoted-printable breaks lines and writes the sign of equality.
    let mails = mails.collect::<String>().replace("=\r\n", "").replace("=\n", "");
    let link = link(&api, "db").await;
    assert!(mails.contains(&format!("https://drover.example{link}")), "{link} is not in {mails}");

    // The ticket shows what was sent, but not the way in, which whoever reads it as somebody else must not get.
    let db = ticket_of(&api, "db").await;
    let page = format!("https://drover.example/tickets/{db}");
    for token in [&api.acme, &api.operator] {
        let notices = api.get(token, &format!("/v1/tickets/{db}")).await.json()["notices"].clone();
        let text = notices[0]["text"].as_str().expect("what was sent").to_owned();
        assert!(text.contains(&page) && text.contains("db") && !text.contains(&link), "{text}");
        let reader = Browser::signed_in(&api, token).await;
        let shown = reader.get(&format!("/tickets/{db}")).await.text;
        assert!(shown.contains(&page) && !shown.contains(&link), "{shown}");
    }
}

#[tokio::test]
async fn the_audit_log_is_searched_and_filtered_by_its_address() {
    let api = Api::new().await;
    api.drain_h1().await;
    let operator = Browser::signed_in(&api, &api.operator).await;
    let log = async |query: &str| {
        let page = operator.get(&format!("/audit{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{query}");
        page.text
    };
    let (asked, proposed) = ("asked to empty h1 for kernel-update", " proposed</");
    let all = log("").await;
    assert!(all.contains(asked) && all.contains(proposed), "{all}");
    let of_kind = log("?kind=requested").await;
    assert!(of_kind.contains(asked) && !of_kind.contains(proposed), "{of_kind}");
    let found = log("?q=KERNEL-update&sort=at").await;
    assert!(found.contains(asked) && !found.contains(proposed), "{found}");
    // What an address says that there is none of shows nothing, and breaks nothing.
    for query in ["?kind=requested&q=nobody", "?q=%25%5C%27--", "?kind=%27%20OR%201%3D1"] {
        assert!(!log(query).await.contains(asked), "{query}");
    }
    for query in ["?page=99", "?page=-1&sort=%27"] {
        assert!(log(query).await.contains(asked), "{query}");
    }
}
