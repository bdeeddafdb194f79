use chrono::DateTime;
use proptest::prelude::*;

use super::*;

fn written(check: &str) -> WrittenCheck {
    WrittenCheck {
        name: "shop".to_owned(),
        check: check.to_owned(),
        port: None,
        path: None,
        tls: None,
        expect: None,
        address: None,
        must_pass: None,
        within: None,
    }
}

fn tcp(port: u32) -> WrittenCheck {
    WrittenCheck { port: Some(port), ..written("tcp") }
}

fn check(written: WrittenCheck) -> Check {
    Check::try_from(written).expect("a check that is right")
}

fn refused(written: WrittenCheck) -> BadCheck {
    Check::try_from(written).expect_err("a check that is wrong")
}

fn no() -> Answered {
    Answered::No { text: "connection refused".to_owned() }
}

fn baseline(findings: Vec<Finding>) -> Baseline {
    let at = DateTime::parse_from_rfc3339("2026-01-05T00:00:00Z").expect("a time").to_utc();
    Baseline { at, hardware: Hardware::default(), findings }
}

#[test]
fn what_is_left_out_has_its_usual_value() {
    let check = check(WrittenCheck { tls: Some(true), ..written("http") });
    assert_eq!(check.what, What::Http { port: 443, path: "/".to_owned(), tls: Tls::Spoken, expect: None });
    assert_eq!((check.weight, check.address, check.within), (Weight::MustPass, Address::OfGuest, None));
}

#[test]
fn a_refusal_names_the_field_and_what_would_be_right() {
    let http = |path: &str| WrittenCheck { path: Some(path.to_owned()), ..written("http") };
    let named = |name: &str| WrittenCheck { name: name.to_owned(), ..tcp(22) };
    let at = |address: &str| WrittenCheck { address: Some(address.to_owned()), ..tcp(22) };
    let within = |span| WrittenCheck { within: Some(span), ..tcp(22) };
    let wrong = [
        ("port", tcp(0)),
        ("port", tcp(65_536)),
        ("port", written("tcp")),
        ("path", http("health")),
        ("path", http("/a b")),
        ("path", http("/a\r\nHost: elsewhere")),
        ("path", http(&format!("/{}", "x".repeat(2000)))),
        ("path", WrittenCheck { path: Some("/".to_owned()), ..tcp(22) }),
        ("expect", WrittenCheck { expect: Some(99), ..written("http") }),
        ("check", written("ping")),
        ("name", named("")),
        ("name", named(" shop")),
        ("name", named("<b>shop</b>")),
        ("name", named("shop\u{202e}")),
        ("name", named("shop\u{1b}[2J")),
        ("name", named(&"x".repeat(61))),
        ("address", at("shop.example")),
        ("address", at("127.0.0.1")),
        ("address", at("::1")),
        ("address", at("::ffff:127.0.0.1")),
        ("address", at("169.254.169.254")),
        ("address", at("fe80::1")),
        ("address", at("0.0.0.0")),
        ("address", at("224.0.0.1")),
        ("within", within(Span::ZERO)),
        ("within", within(Span::hours(1))),
    ];
    for (field, written) in wrong {
        let bad = refused(written.clone());
        assert_eq!(bad.field, field, "{written:?}: {bad}");
        assert!(!bad.right.is_empty() && !bad.to_string().contains(['\u{1b}', '\u{202e}', '\n']), "{bad}");
    }
}

#[test]
fn any_status_below_400_passes_unless_one_is_expected() {
    let any = check(written("http"));
    let redirect = check(WrittenCheck { expect: Some(301), ..written("http") });
    let passes = |check: &Check, status| check.is_passed_by(&Answered::Status(status));
    assert!(passes(&any, 200) && passes(&any, 301) && !passes(&any, 404) && !passes(&any, 503));
    assert!(passes(&redirect, 301) && !passes(&redirect, 200));
    assert!(!any.is_passed_by(&Answered::Connected), "an open port is no web server");
}

#[test]
fn what_failed_before_the_move_does_not_count_against_it() {
    let check = check(tcp(5432));
    let before = baseline(vec![check.finding(&no(), Span::seconds(5), None)]);
    let after = check.finding(&no(), Span::minutes(2), Some(&before));
    assert_eq!(after.verdict, Verdict::FailedBefore);
    assert_eq!(what_failed(&[after]), None);
    let was_fine = baseline(vec![check.finding(&Answered::Connected, Span::seconds(1), None)]);
    let after = check.finding(&no(), Span::minutes(2), Some(&was_fine));
    assert_eq!(what_failed(&[after]).as_deref(), Some("shop failed (TCP port 5432: connection refused)"));
}

#[test]
fn an_address_that_was_never_there_is_not_looked_at_and_one_that_is_gone_is_a_failure() {
    let check = check(tcp(22));
    let nowhere = Answered::Nowhere { text: "no address of it is known".to_owned() };
    let unknown = check.finding(&nowhere, Span::ZERO, None);
    assert_eq!(unknown.verdict, Verdict::NotLooked);
    let still = check.finding(&nowhere, Span::ZERO, Some(&baseline(vec![unknown])));
    assert_eq!(still.verdict, Verdict::NotLooked);
    let was_fine = baseline(vec![check.finding(&Answered::Connected, Span::ZERO, None)]);
    assert_eq!(check.finding(&nowhere, Span::ZERO, Some(&was_fine)).verdict, Verdict::Failed);
}

#[test]
fn an_advisory_check_is_told_and_does_not_count() {
    let check = check(WrittenCheck { must_pass: Some(false), ..tcp(22) });
    let finding = check.finding(&no(), Span::seconds(1), None);
    assert_eq!(finding.verdict, Verdict::Failed);
    assert_eq!(what_failed(&[finding]), None);
}

#[test]
fn network_and_disks_are_compared_with_those_from_before() {
    let hardware = |addresses: &[&str], interfaces: &[&str], disks| Hardware {
        addresses: Some(addresses.iter().map(|text| text.parse().expect("an address")).collect()),
        interfaces: interfaces.iter().map(|text| (*text).to_owned()).collect(),
        disks,
    };
    let before = hardware(&["192.0.2.7"], &["52:54:00:00:00:01"], 2);
    let verdicts = |before: Option<&Hardware>, now: &Hardware| {
        compare(before, now, Weight::MustPass).map(|finding| finding.verdict)
    };
    let more = hardware(&["192.0.2.7", "2001:db8::7"], &["52:54:00:00:00:01"], 2);
    assert_eq!(verdicts(Some(&before), &more), [Verdict::Passed; 3], "another address takes none away");
    assert_eq!(verdicts(Some(&before), &hardware(&[], &[], 1)), [Verdict::Failed; 3]);
    assert_eq!(verdicts(None, &before), [Verdict::NotLooked; 3]);
    let silent = Hardware { addresses: None, ..before.clone() };
    let [addresses, ..] = compare(Some(&silent), &silent, Weight::MustPass);
    assert_eq!(addresses.verdict, Verdict::NotLooked, "none was known before");
    let [addresses, ..] = compare(Some(&before), &silent, Weight::MustPass);
    assert_eq!(addresses.verdict, Verdict::NotLooked, "nobody tells any now");
    let lost = hardware(&[], &["52:54:00:00:00:01"], 2);
    let against = |weight| compare(Some(&before), &lost, weight).iter().any(Finding::counts_against);
    assert!(against(Weight::MustPass) && !against(Weight::Advisory), "what a lost address means is policy's");
}

proptest! {
    /// What is written down is read as what it was.
    #[test]
    fn a_check_survives_being_written(
        port in 1_u32..65_536, http in any::<bool>(), tls in any::<bool>(), must in any::<bool>(),
        expect in proptest::option::of(200_u32..600), path in "/[a-z0-9/?=&._-]{0,30}",
    ) {
        let written = if http {
            WrittenCheck {
                port: Some(port), path: Some(path), tls: Some(tls), expect, must_pass: Some(must), ..written("http")
            }
        } else {
            WrittenCheck { must_pass: Some(must), ..tcp(port) }
        };
        let check = check(written);
        let text = serde_json::to_string(&check).expect("it can be written");
        prop_assert_eq!(serde_json::from_str::<Check>(&text).expect("it can be read"), check);
    }

    /// Whatever is written as a name or path is refused, or can't be taken for more than that.
    #[test]
    fn nothing_hostile_gets_through(name in ".{0,80}", path in ".{0,80}") {
        let given = WrittenCheck { name, path: Some(path), ..written("http") };
        if let Ok(check) = Check::try_from(given) {
            let What::Http { path, .. } = &check.what else { unreachable!("an http check") };
            let hostile = check.name.as_str().contains(['<', '>', '"', '\'', '\n', '\u{1b}']);
            let no_path = !path.starts_with('/') || path.contains([' ', '\r', '\n', '#']);
            prop_assert!(!hostile && !no_path);
        }
    }
}
