//! What owners read, word for word. Each sample notice is compared with a file that is checked in.

use std::fs;
use std::path::Path;

use drover_notifier::samples::{Sample, samples};
use drover_notifier::{Message, Renderer, TemplateFault};

fn rendered(renderer: &Renderer, sample: &Sample) -> Message {
    renderer.render(&sample.notice, &sample.contact, &sample.links).expect("rendered")
}

fn sample(name: &str) -> Sample {
    samples().expect("samples").into_iter().find(|s| s.name == name).expect("a sample of this name")
}

#[test]
fn every_sample_reads_as_it_is_checked_in() {
    let renderer = Renderer::new(None).expect("the shipped templates are sound");
    for sample in samples().expect("samples") {
        let message = rendered(&renderer, &sample);
        insta::assert_snapshot!(
            format!("{}.txt", sample.name),
            format!("Subject: {}\n\n{}", message.subject, message.text)
        );
        insta::assert_snapshot!(format!("{}.html", sample.name), message.html);
    }
}

#[test]
fn the_action_that_is_required_stands_in_the_subject_and_nowhere_else() {
    let renderer = Renderer::new(None).expect("the shipped templates are sound");
    for sample in samples().expect("samples") {
        let subject = rendered(&renderer, &sample).subject;
        assert!(subject.ends_with("Server Migration: web-1 [DR-1042]"), "{subject}");
        let asks = ["proposed", "missed", "rolled_back", "no_slot"].contains(&sample.notice.tells.kind());
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
            "{}/done/body.txt:3: unknown variable \"servr.name\"; there are deadline, deadline.local, deadline.note, \
             deadline.utc, downtime, kind, links, links.help, links.ticket, owner, owner.id, owner.name, reason, server, \
             server.id, server.name, shutdown, ticket, ticket.command, ticket.id, ticket.number, why_not_live",
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
