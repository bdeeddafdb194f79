//! What owners read, word for word. Each sample notice is compared with a file that is checked in.

use std::fs;
use std::path::Path;

use drover_notifier::samples::{BulletinSample, Sample, bulletins, samples};
use drover_notifier::{Message, Renderer, TemplateFault};
use drover_policies::attempt::FailureClass;
use drover_policies::bulletins::Says;
use drover_policies::eligibility::WhyNotLive;
use drover_policies::notices::{Cause, Tells};
use drover_policies::owners::Nearness;

fn rendered(renderer: &Renderer, sample: &Sample) -> Message {
    renderer.render(&sample.notice, &sample.contact, &sample.links).expect("rendered")
}

fn sample(name: &str) -> Sample {
    samples().expect("samples").into_iter().find(|s| s.name == name).expect("a sample of this name")
}

fn in_german(mut sample: Sample) -> Sample {
    sample.contact.language = "de".parse().expect("a language");
    sample
}

#[test]
fn every_sample_reads_as_it_is_checked_in_in_every_language() {
    let renderer = Renderer::new(None).expect("the shipped templates are sound");
    for english in samples().expect("samples") {
        for (folder, sample) in [("", english.clone()), ("de.", in_german(english))] {
            let message = rendered(&renderer, &sample);
            let entry = format!("{}\n{}", message.entry_title, message.entry_text);
            insta::assert_snapshot!(
                format!("{folder}{}.txt", sample.name),
                format!("Subject: {}\n\n{}\n======== In a calendar:\n{entry}", message.subject, message.text)
            );
            insta::assert_snapshot!(format!("{folder}{}.html", sample.name), message.html);
        }
    }
}

fn rendered_bulletin(renderer: &Renderer, sample: &BulletinSample) -> Message {
    renderer.render_bulletin(&sample.bulletin, &sample.contact, &sample.links).expect("rendered")
}

#[test]
fn every_bulletin_reads_as_it_is_checked_in_in_every_language() {
    let renderer = Renderer::new(None).expect("the shipped templates are sound");
    for mut sample in bulletins().expect("samples") {
        for (folder, language) in [("", "en"), ("de.", "de")] {
            sample.contact.language = language.parse().expect("a language");
            let message = rendered_bulletin(&renderer, &sample);
            insta::assert_snapshot!(
                format!("{folder}{}.txt", sample.name),
                format!("Subject: {}\n\n{}", message.subject, message.text)
            );
            insta::assert_snapshot!(format!("{folder}{}.html", sample.name), message.html);
            assert_eq!((message.entry_title, message.entry_text), (String::new(), String::new()));
        }
    }
}

#[test]
fn a_german_bulletin_has_no_english_words_of_ours() {
    let renderer = Renderer::new(None).expect("the shipped templates are sound");
    for mut sample in bulletins().expect("samples") {
        sample.contact.language = "de".parse().expect("a language");
        let message = rendered_bulletin(&renderer, &sample);
        for part in [&message.subject, &message.text, &message.html] {
            let words: Vec<&str> = part.split(|c: char| !c.is_alphabetic()).collect();
            for english in ["the", "is", "hosts", "Nothing", "person", "Maintenance", "Deadline", "minutes"] {
                // What hosts and hypervisors say is passed on as it is; it stands after the last colon of its line.
                let ours = !part
                    .lines()
                    .any(|line| line.contains("nothing has been heard") && line.contains(english));
                assert!(!ours || !words.contains(&english), "{}: {english} in {part}", sample.name);
            }
        }
    }
}

#[test]
fn a_bulletin_names_what_is_needed_of_operators_in_its_subject() {
    let renderer = Renderer::new(None).expect("the shipped templates are sound");
    for sample in bulletins().expect("samples") {
        let subject = rendered_bulletin(&renderer, &sample).subject;
        assert!(subject.contains("MT-12") && subject.ends_with("(Maintenance: kernel update)"), "{subject}");
        let needed = ["maintenance_awaits_approval", "maintenance_hosts_failed", "maintenance_stopped"];
        let asks = needed.contains(&sample.bulletin.says.kind());
        assert_eq!(subject.starts_with("[ACTION REQUIRED] "), asks, "{subject}");
    }
}

#[test]
fn no_bulletin_leaves_markup_of_a_hook_unescaped_or_has_wide_lines() {
    let renderer = Renderer::new(None).expect("the shipped templates are sound");
    for mut sample in bulletins().expect("samples") {
        sample.bulletin.maintenance.reason = "<script>alert(1)</script>".to_owned();
        if let Says::HostsFailed { failed, .. } = &mut sample.bulletin.says {
            failed[0].why = "<img src=https://evil.example/x>\"'".to_owned();
        }
        let message = rendered_bulletin(&renderer, &sample);
        for forbidden in ["<img", "<script", "src=\"", "@import", "url(", "<link"] {
            assert!(!message.html.contains(forbidden), "{}: {forbidden}", sample.name);
        }
        for line in message.text.lines() {
            let copied = line.trim_start().starts_with("$ ") || line.contains("://");
            assert!(copied || line.chars().count() <= 76, "{}: {line}", sample.name);
        }
    }
}

#[test]
fn a_german_mail_has_no_english_words_of_ours() {
    let renderer = Renderer::new(None).expect("the shipped templates are sound");
    for sample in samples().expect("samples") {
        let message = rendered(&renderer, &in_german(sample.clone()));
        for part in
            [&message.subject, &message.text, &message.html, &message.entry_title, &message.entry_text]
        {
            let words: Vec<&str> = part.split(|c: char| !c.is_alphabetic()).collect();
            for english in ["your", "the", "we", "and", "Tuesday", "minutes", "Migration", "Hello"] {
                // An operator's own words are not translated.
                let own = sample.notice.tells.kind() == "written" || sample.notice.tells.kind() == "answered";
                assert!(own || !words.contains(&english), "{}: {english} in {part}", sample.name);
            }
        }
    }
}

#[test]
fn the_action_that_is_required_stands_in_the_subject_and_nowhere_else() {
    let renderer = Renderer::new(None).expect("the shipped templates are sound");
    for sample in samples().expect("samples") {
        let subject = rendered(&renderer, &sample).subject;
        assert!(subject.ends_with("Server Migration: web-1 [DR-1042]"), "{subject}");
        let asks = ["proposed", "missed", "rolled_back", "no_slot"].contains(&sample.notice.tells.kind());
        let drill = sample.notice.ticket.cause == Cause::Drill;
        assert_eq!(subject.starts_with("[DRILL] "), drill, "{subject}");
        let subject = subject.trim_start_matches("[DRILL] ");
        assert_eq!(subject.starts_with("[ACTION REQUIRED] "), asks, "{subject}");
    }
}

#[test]
fn no_line_of_a_text_is_wider_than_76_columns_but_commands_and_addresses() {
    let renderer = Renderer::new(None).expect("the shipped templates are sound");
    for sample in samples().expect("samples") {
        for line in rendered(&renderer, &sample).text.lines() {
            let copied = line.trim_start().starts_with("$ ") || line.contains("://");
            assert!(copied || line.chars().count() <= 76, "{}: {line}", sample.name);
        }
    }
}

#[test]
fn no_html_loads_anything_or_leaves_markup_of_a_name_unescaped() {
    let renderer = Renderer::new(None).expect("the shipped templates are sound");
    for mut sample in samples().expect("samples") {
        sample.notice.ticket.server_name = "<img src=https://evil.example/x>\"'".to_owned();
        sample.notice.ticket.reason = "<script>alert(1)</script>".to_owned();
        let html = rendered(&renderer, &sample).html;
        for forbidden in ["<img", "<script", "src=\"", "@import", "url(", "<link"] {
            assert!(!html.contains(forbidden), "{}: {forbidden}", sample.name);
        }
    }
}

#[test]
fn an_operators_template_takes_the_place_of_the_shipped_one() {
    let folder = tempfile::tempdir().expect("a directory");
    write(folder.path(), "proposed/subject.txt", "Please read: {{ server.name }} / {{ when.local }}");
    let renderer = Renderer::new(Some(folder.path())).expect("a sound template");
    let message = rendered(&renderer, &sample("proposed"));
    assert_eq!(
        message.subject,
        "Please read: web-1 / Tuesday, 24 November 2026, 03:00 to 05:00 CET (UTC+01:00)"
    );
    assert_eq!(rendered(&renderer, &sample("done")).subject, "[DONE] Server Migration: web-1 [DR-1042]");
}

#[test]
fn an_unknown_variable_is_refused_with_file_line_name_and_what_there_is() {
    let folder = tempfile::tempdir().expect("a directory");
    write(
        folder.path(),
        "done/body.txt",
        "Hello\n\n{% if downtime == 'never' %}{{ servr.name }}{% endif %}\n",
    );
    let problems = Renderer::new(Some(folder.path())).expect_err("refused");
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [format!(
            "{}/done/body.txt:3: unknown variable \"servr.name\"; there are cause, checks, confirm, data_loss, deadline, \
             deadline.local, deadline.note, deadline.utc, direction, downtime, kind, language, links, links.accept, links.help, \
             links.now, links.reminders, links.reschedule, links.ticket, local_disks, owner, owner.id, owner.name, reason, revert, server, \
             server.id, server.name, shape, shape.disks, shape.left_off, shape.memory, shape.networks, shape.vcpus, shutdown, ticket, ticket.command, ticket.id, ticket.number, until, until.local, until.note, \
             until.utc, why_not_live",
            folder.path().display()
        )]
    );
}

#[test]
fn a_variable_of_another_kind_is_refused() {
    let folder = tempfile::tempdir().expect("a directory");
    write(folder.path(), "cancelled/body.txt", "It would have been {{ when.local }}.");
    let problems = Renderer::new(Some(folder.path())).expect_err("refused");
    assert!(
        matches!(&problems[0].wrong, TemplateFault::UnknownVariable { variable, .. } if variable == "when.local")
    );
}

#[test]
fn a_value_that_only_some_notices_of_a_kind_have_is_refused_without_a_condition() {
    let folder = tempfile::tempdir().expect("a directory");
    write(folder.path(), "missed/body.txt", "Sorry.\nNow: {{ when.local }}.");
    let problems = Renderer::new(Some(folder.path())).expect_err("refused");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].line, Some(2));
    assert!(problems[0].to_string().contains("missed_without_another_time"), "{}", problems[0]);
}

#[test]
fn files_that_are_no_templates_and_templates_that_do_not_parse_are_refused_together_with_all_others() {
    let folder = tempfile::tempdir().expect("a directory");
    write(folder.path(), "propsed/subject.txt", "x");
    write(folder.path(), ".git/config", "x");
    let problems = Renderer::new(Some(folder.path())).expect_err("refused");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].to_string().contains("there is no such template; there are"), "{}", problems[0]);

    let folder = tempfile::tempdir().expect("a directory");
    write(folder.path(), "started/body.txt", "one\n{% if x }");
    write(folder.path(), "started/body.html", "{{ }}");
    write(folder.path(), "done/subject.txt", "  ");
    let problems = Renderer::new(Some(folder.path())).expect_err("refused");
    let lines: Vec<_> =
        problems.iter().map(|p| (p.file.file_name().expect("a name").to_owned(), p.line)).collect();
    assert_eq!(lines, [("body.html".into(), Some(1)), ("body.txt".into(), Some(2))]);

    fs::remove_dir_all(folder.path().join("started")).expect("removed");
    let problems = Renderer::new(Some(folder.path())).expect_err("refused");
    assert!(matches!(problems[0].wrong, TemplateFault::Empty { .. }), "{problems:?}");
    assert!(Renderer::new(Some(Path::new("/nonexistent/templates"))).is_err());
}

#[test]
fn a_shared_template_that_only_suits_some_kinds_is_refused() {
    let folder = tempfile::tempdir().expect("a directory");
    write(folder.path(), "shared/footer.txt", "It lasts\n{{ downtime }}");
    let problems = Renderer::new(Some(folder.path())).expect_err("refused");
    assert!(
        problems.iter().all(|p| p.file.ends_with("shared/footer.txt") && p.line == Some(2)),
        "{problems:?}"
    );
}

#[test]
fn a_template_that_fails_on_a_real_notice_gives_way_to_the_shipped_one() {
    let folder = tempfile::tempdir().expect("a directory");
    write(
        folder.path(),
        "cancelled/subject.txt",
        "{% if server.name == 'db-9' %}{{ 1 / 0 }}{% endif %}Stays: {{ server.name }}",
    );
    let renderer = Renderer::new(Some(folder.path())).expect("passes all samples");
    let mut sample = sample("cancelled");
    assert_eq!(rendered(&renderer, &sample).subject, "Stays: web-1");
    sample.notice.ticket.server_name = "db-9".to_owned();
    assert_eq!(rendered(&renderer, &sample).subject, "[CANCELLED] Server Migration: db-9 [DR-1042]");
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("created");
    fs::write(path, text).expect("written");
}

/// Every reason that the policies know, and those of the texts in notices that have words of their own. A new one needs a message in
/// `words.ftl` of each language.
#[test]
fn whatever_the_policies_say_to_owners_is_said_in_german() {
    let disk = || "vda".to_owned();
    let failed = |class| WhyNotLive::LiveFailed { attempts: 2, class, text: String::new() };
    let mut said: Vec<String> = [
        WhyNotLive::OwnerForbids,
        WhyNotLive::PolicyForbids,
        WhyNotLive::OwnerAskedForReboot,
        WhyNotLive::BlockJob { disk: disk() },
        WhyNotLive::UnsafeCache { disk: disk(), cache: "writeback".to_owned() },
        WhyNotLive::NotRunning,
        WhyNotLive::LocalDisks { disks: vec![disk()] },
        WhyNotLive::Paused,
        WhyNotLive::LostByLibvirt,
        failed(FailureClass::NotConverging),
        failed(FailureClass::Unexpected),
    ]
    .map(|why| why.for_owner())
    .to_vec();
    let classes = [
        FailureClass::NotConverging,
        FailureClass::Aborted,
        FailureClass::RefusedBySource,
        FailureClass::RefusedByDestination,
        FailureClass::DestinationUnreachable,
        FailureClass::LostOnTheWay,
        FailureClass::Busy,
        FailureClass::TargetDidNotBoot,
        FailureClass::Unexpected,
    ];
    said.extend(classes.iter().map(ToString::to_string));
    for nearness in [Nearness::Server, Nearness::Label, Nearness::Account, Nearness::Policy] {
        let window = nearness.windows();
        said.push(window.to_owned());
        said.push(format!(
            "no stretch of 30m is open and free in {window} between the end of the notice, 3d from now, and the deadline, 2026-11-29 00:00 UTC"
        ));
    }
    let renderer = Renderer::new(None).expect("the shipped templates are sound");
    for why in said {
        let mut sample = in_german(sample("no_slot"));
        sample.notice.tells = Tells::NoSlot { why: why.clone() };
        let text = rendered(&renderer, &sample).text.split_whitespace().collect::<Vec<_>>().join(" ");
        let first: String = why.chars().skip(1).take(25).collect();
        assert!(!text.contains(&first), "{why:?} has no German words");
    }
}
