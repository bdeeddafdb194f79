//! What an owner reaches of others' by any page and any act: nothing. Both are read from the sources, so that none is forgotten.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::fixture::{Answer, Api, id};
use crate::pages::{Browser, hidden, link};

/// The sources of the pages, also those in folders of their own.
fn sources() -> Vec<String> {
    fn under(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path());
        entries.flat_map(|path| if path.is_dir() { under(&path) } else { vec![path] }).collect()
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web");
    let files = under(&folder).into_iter().chain([folder.with_extension("rs")]);
    files.map(|file| std::fs::read_to_string(file).expect("a source")).collect()
}

/// Every route of the pages, from the places where they are set up.
fn routes(sources: &[String]) -> BTreeSet<String> {
    let set_up = sources.iter().flat_map(|text| text.split(".route(").skip(1));
    let paths = set_up.map(|rest| {
        let path = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
        path.unwrap_or_else(|| panic!("no path can be read from {:?}", &rest[..rest.len().min(80)]))
            .to_owned()
    });
    paths.collect()
}

/// What stands in the place of `{act}`: by the lists of what may be done with a thing, and by the arms that tell such words apart.
fn acts(sources: &[String]) -> BTreeSet<String> {
    let with_acts = sources.iter().filter(|text| text.contains("/{act}\""));
    let words = with_acts.flat_map(|text| {
        let lines = text.lines().map(str::trim_start);
        lines.filter_map(|line| {
            let (word, rest) = line.trim_start_matches('(').strip_prefix('"')?.split_once('"')?;
            (rest.starts_with(", Self::") || rest.starts_with(" => (MaintenanceWish::"))
                .then(|| word.to_owned())
        })
    });
    words.collect()
}

/// What is read on a page, without its tags.
fn read(text: &str) -> String {
    text.split('<')
        .map(|part| part.split_once('>').map_or(part, |(_, text)| text))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A word on a page that is not for owner acme.
pub fn leaks(text: &str) -> Option<String> {
    let anywhere = ["globex", "shop", "secret-path", "qemu+tls"].into_iter().find(|word| text.contains(word));
    let words = read(text);
    let mut words = words.split(|c: char| !c.is_alphanumeric());
    let word = words.find(|word| ["h1", "h2", "h3", "h4", "h5", "ada"].contains(word));
    anywhere.or(word).map(ToOwned::to_owned)
}

/// The addresses of a route, about what is globex's or ours.
fn addresses(route: &str, ticket: &str, acts: &BTreeSet<String>) -> Vec<String> {
    let mut path = route.to_owned();
    for (part, value) in [
        ("{migration}", ticket),
        ("{ticket}", ticket),
        ("{maintenance}", "MT-1"),
        ("{host}", "h1"),
        ("{server}", &id(3)),
        ("{cluster}", "c1"),
        ("{rack}", "r1"),
        ("{link}", "DR-1.aaaaaaaaaaaaaaaaaaaaaaaa"),
        ("{file}", "x"),
        ("{token}", &id(3)),
        ("{window}", &id(3)),
        ("{freeze}", &id(3)),
        ("{limit}", &id(3)),
    ] {
        path = path.replace(part, value);
    }
    let paths: Vec<String> = if path.contains("{act}") {
        acts.iter().map(|act| path.replace("{act}", act)).collect()
    } else {
        vec![path]
    };
    for path in &paths {
        assert!(!path.contains('{'), "{path} has a part that this test does not know");
    }
    paths
}

#[test]
fn every_route_and_every_act_is_found_in_the_sources() {
    let sources = sources();
    let (routes, acts) = (routes(&sources), acts(&sources));
    assert!(routes.len() >= 55, "{}: {routes:?}", routes.len());
    for route in [
        "/maintenances/new",
        "/maintenances/{maintenance}/{act}",
        "/maintenances/{maintenance}/hosts/{host}/{act}",
        "/migrations/{migration}/{act}",
        "/my/migrations/{migration}/{act}",
    ] {
        assert!(routes.contains(route), "{route} is not among {routes:?}");
    }
    // As many as the lists say of themselves.
    let lists = sources.iter().flat_map(|text| text.split("const ALL: [(&'static str, Self); ").skip(1));
    let of_lists: usize =
        lists.map(|rest| rest.split(']').next().expect("one").parse::<usize>().expect("a number")).sum();
    // `approve` and `cancel` are in both lists; `skip` is in none, for it is told apart by a word of its own.
    assert_eq!((of_lists, acts.len()), (22, 22 - 2 + 1), "{acts:?}");
    for act in
        ["retry", "force", "sync", "pause-replica", "resume-replica", "end-test", "test-failed", "skip"]
    {
        assert!(acts.contains(act), "{act} is not among {acts:?}");
    }
}

#[tokio::test]
async fn an_owner_reaches_nothing_of_anothers_by_any_page() {
    let api = Api::new().await;
    api.drain_h1().await;
    let shop = api.migration_of("shop").await;
    let ticket = shop["ticket"].as_str().expect("a ticket");
    let by_link = Browser::by_link(&api, &link(&api, "db").await).await;
    let acme = Browser::signed_in(&api, &api.acme).await;
    let csrf_of = |page: Answer| hidden(&page.text, "csrf").expect("a form");
    let db = api.migration_of("db").await["ticket"].as_str().expect("a ticket").to_owned();
    let csrfs =
        [csrf_of(acme.get("/tickets").await), csrf_of(by_link.get(&format!("/my/migrations/{db}")).await)];
    let sources = sources();
    let (routes, acts) = (routes(&sources), acts(&sources));
    for path in routes.iter().flat_map(|route| addresses(route, ticket, &acts)) {
        if path == "/logout" || path == "/live" || path == "/login" {
            continue;
        }
        for (browser, csrf) in [(&acme, &csrfs[0]), (&by_link, &csrfs[1])] {
            let got = browser.get(&path).await;
            let typed = [
                ("csrf", csrf.as_str()),
                ("start", "2026-01-20T02:00"),
                ("text", "What is this?"),
                ("reason", "x"),
                ("why", "x"),
                ("hosts", "h1"),
                ("step", "begin"),
            ];
            let sent = browser.send(&path, &typed).await;
            for answer in [got, sent] {
                assert!(answer.status.as_u16() < 500, "{path}: {answer:?}");
                let told = answer.text.replace("owner:globex", "");
                assert_eq!(leaks(&told), None, "{path}: {}", answer.text);
            }
        }
    }
    let after = api.migration_of("shop").await;
    assert_eq!((&after["appointment"], &after["state"]), (&shop["appointment"], &shop["state"]));
    let thread = api.get(&api.operator, &format!("/v1/tickets/{ticket}")).await.text;
    assert!(!thread.contains("What is this?"), "{thread}");
    assert_eq!(api.get(&api.operator, "/v1/hosts/h1").await.json()["standing"]["state"], "draining");
    let maintenances = api.get(&api.operator, "/v1/maintenances").await.json()["items"].clone();
    let maintenances = maintenances.as_array().expect("items");
    assert_eq!(
        (maintenances.len(), maintenances[0]["state"].as_str()),
        (1, Some("running")),
        "{maintenances:?}"
    );
}
