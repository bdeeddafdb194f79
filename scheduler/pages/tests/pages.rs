//! Every page, filled with made-up figures, is read as a browser reads it.

use std::collections::BTreeSet;
use std::io::Write as _;

use drover_pages::samples;
use flate2::Compression;
use flate2::write::GzEncoder;
use scraper::{ElementRef, Html, Selector};

/// What somebody might call his server.
const HOSTILE: &str =
    "</textarea></title></script><script>alert(1)</script><img src=x onerror=alert(1)>\"'> & onload=\"x";

/// A name that harms nobody, with the same things left out as in the hostile one.
const HARMLESS: &str = "x";

fn select<'a>(html: &'a Html, what: &str) -> Vec<ElementRef<'a>> {
    let selector = Selector::parse(what).expect("a selector");
    html.select(&selector).collect()
}

/// Names and attributes of all elements, in order.
fn skeleton(html: &Html) -> Vec<String> {
    select(html, "*")
        .into_iter()
        .map(|element| {
            let mut attributes: Vec<&str> = element.value().attrs().map(|(name, _)| name).collect();
            attributes.sort_unstable();
            format!("{} {}", element.value().name(), attributes.join(" "))
        })
        .collect()
}

#[test]
fn every_page_is_what_html_is_to_be() {
    let wrong = Html::parse_document("<!DOCTYPE html><title>t</title><p><div></p></div></span>");
    assert!(!wrong.errors.is_empty(), "nothing would be found");
    for sample in samples::all(HARMLESS) {
        let html = Html::parse_document(&sample.page.render(&sample.frame));
        assert!(html.errors.is_empty(), "{sample:?}: {:?}", html.errors);
    }
}

#[test]
fn no_name_changes_what_a_page_is_made_of() {
    for (hostile, harmless) in samples::all(HOSTILE).into_iter().zip(samples::all(HARMLESS)) {
        let hostile_page = Html::parse_document(&hostile.page.render(&hostile.frame));
        let harmless_page = Html::parse_document(&harmless.page.render(&harmless.frame));
        assert_eq!(skeleton(&hostile_page), skeleton(&harmless_page), "{hostile:?}");
        assert!(hostile_page.errors.is_empty(), "{hostile:?}: {:?}", hostile_page.errors);
    }
}

#[test]
fn no_page_needs_what_the_policy_for_content_forbids() {
    for sample in samples::all(HOSTILE) {
        let html = Html::parse_document(&sample.page.render(&sample.frame));
        for element in select(&html, "*") {
            let forbidden: Vec<&str> = element
                .value()
                .attrs()
                .map(|(name, _)| name)
                .filter(|name| *name == "style" || name.starts_with("on"))
                .collect();
            assert!(forbidden.is_empty(), "{sample:?}: {} has {forbidden:?}", element.value().name());
        }
        assert!(select(&html, "style, script:not([src])").is_empty(), "{sample:?}");
        for element in select(&html, "[href], [src], [action]") {
            let address = ["href", "src", "action"].iter().find_map(|name| element.value().attr(name));
            let inside =
                address.is_some_and(|a| a.starts_with('#') || (a.starts_with('/') && !a.starts_with("//")));
            assert!(inside, "{sample:?}: {address:?} leads elsewhere");
        }
    }
}

#[test]
fn every_form_that_changes_something_shows_that_it_is_ours() {
    for sample in samples::all("") {
        let html = Html::parse_document(&sample.page.render(&sample.frame));
        for form in select(&html, "form[method=post]") {
            let token = Selector::parse("input[name=csrf]").expect("a selector");
            assert_eq!(form.select(&token).count(), 1, "{sample:?}: {:?}", form.value().attr("action"));
        }
    }
}

#[test]
fn whoever_can_not_see_a_page_can_use_it() {
    for sample in samples::all("") {
        let html = Html::parse_document(&sample.page.render(&sample.frame));
        assert_eq!(select(&html, "h1").len(), 1, "{sample:?}");
        assert_eq!(select(&html, "main").len(), 1, "{sample:?}");
        assert!(select(&html, "html")[0].value().attr("lang").is_some(), "{sample:?}");

        let ids: Vec<&str> = select(&html, "[id]").iter().filter_map(|e| e.value().attr("id")).collect();
        let distinct: BTreeSet<&&str> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len(), "{sample:?}: {ids:?}");

        let labelled: BTreeSet<&str> =
            select(&html, "label[for]").iter().filter_map(|e| e.value().attr("for")).collect();
        let fields = select(&html, "input:not([type=hidden]), select, textarea");
        for field in fields {
            let inside = field.ancestors().filter_map(ElementRef::wrap).any(|e| e.value().name() == "label");
            let named = field.value().attr("id").is_some_and(|id| labelled.contains(id));
            assert!(inside || named, "{sample:?}: {} has no label", field.html());
            for note in field.value().attr("aria-describedby").unwrap_or_default().split_whitespace() {
                assert!(ids.contains(&note), "{sample:?}: there is no {note}");
            }
        }
        for link in select(&html, "a, button") {
            let said =
                link.text().any(|text| !text.trim().is_empty()) || link.value().attr("title").is_some();
            assert!(said, "{sample:?}: {} says nothing", link.html());
        }
        for row in select(&html, "table.rows tbody :is(th, td)") {
            let acts = row.select(&Selector::parse("form, a").expect("a selector")).next().is_some();
            let empty = row.text().all(|text| text.trim().is_empty());
            assert!(row.value().attr("data-label").is_some() || acts || empty, "{sample:?}: {}", row.html());
        }
    }
}

#[test]
fn pages_are_small() {
    for sample in samples::all("") {
        let page = sample.page.render(&sample.frame);
        let mut sent = GzEncoder::new(Vec::new(), Compression::fast());
        sent.write_all(page.as_bytes()).expect("into memory");
        let sent = sent.finish().expect("into memory").len();
        assert!(sent < 100_000, "{sample:?} has {sent} bytes as it is sent");
        // The one of a thousand hosts is always asked for without parameters, and so compressed.
        assert!(page.len() < 100_000 || sample.name == "fleet-large", "{sample:?} has {} bytes", page.len());
    }
}

#[test]
fn an_owner_who_reads_german_finds_no_english_of_ours() {
    // Words that only the English texts have; what stands in samples is left as it is said.
    let english = [
        "Deadline",
        "Downtime",
        "My servers",
        "Sign out",
        "Why is this",
        "Pick another",
        " ago</",
        "Choose this",
    ];
    for sample in samples::all("")
        .into_iter()
        .filter(|sample| sample.frame.language != drover_policies::language::Language::default())
    {
        let html = sample.page.render(&sample.frame);
        assert!(html.contains("<html lang=\"de\">"), "{sample:?}");
        for word in english {
            assert!(!html.contains(word), "{sample:?}: {word}");
        }
    }
}

#[test]
fn the_script_stays_small_and_leaves_policy_and_page_alone() {
    let script = drover_pages::assets::JS.text;
    // Ours to set: it was 6,000 before the script noticed a silent stream, tried again what failed, and had countdowns go on.
    assert!(script.len() < 8_500, "{} bytes", script.len());
    for forbidden in ["eval(", "new Function", "document.write", "http://", "https://"] {
        assert!(!script.contains(forbidden), "{forbidden}");
    }
}
