//! What mails look like with an installation's own templates, links and sender, written to files for people to look at.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use drover_notifier::calendar::Standing;
use drover_notifier::letter::{Answers, Links};
use drover_notifier::mail::{Letterhead, Mail};
use drover_notifier::render::{Message, Renderer};
use drover_notifier::samples::{BulletinSample, Sample, bulletins, samples};
use drover_policies::ids::BadName;
use drover_policies::language::Language;
use drover_policies::notices::Contact;

use crate::config::MailConfig;

/// Why nothing was written, or not all.
#[derive(Debug, thiserror::Error)]
pub enum MailsError {
    /// The templates are wrong.
    #[error("the mail templates are wrong:\n{}", problems.join("\n"))]
    Templates {
        /// What is wrong with them.
        problems: Vec<String>,
    },
    /// There are no words in this language.
    #[error("there are no words for the language {language}; there are {}", known.join(", "))]
    NoWords {
        /// The language.
        language: Language,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A mail can't be put together.
    #[error("the sample {sample} can't be made a mail")]
    Mail {
        /// Which.
        sample: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file can't be written.
    #[error("{} can't be written", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The renderer of an installation.
///
/// # Errors
/// Its templates are wrong.
pub fn renderer(config: &MailConfig) -> Result<Renderer, MailsError> {
    Renderer::new(config.templates.as_deref()).map_err(|problems| MailsError::Templates {
        problems: problems.iter().map(|problem| format!("  {problem}")).collect(),
    })
}

/// Writes a mail of every kind, as `<language>/<sample>.eml`, and beside it what is in it: `.txt` and `.html`. Answers how many.
///
/// # Errors
/// The templates are wrong, there are no words in the language, or a file can't be written.
pub fn write_samples(
    config: &MailConfig,
    language: Option<&Language>,
    directory: &Path,
) -> Result<usize, MailsError> {
    let renderer = renderer(config)?;
    let languages: Vec<Language> = match language {
        None => renderer.languages().cloned().collect(),
        Some(wanted) if renderer.nearest(wanted).bare() == wanted.bare() => vec![wanted.clone()],
        Some(wanted) => {
            let known = renderer.languages().map(ToString::to_string).collect();
            return Err(MailsError::NoWords { language: wanted.clone(), known });
        }
    };
    let failed = |source: BadName| MailsError::Mail { sample: "any", source: source.into() };
    let (samples, bulletins) = (samples().map_err(failed)?, bulletins().map_err(failed)?);
    let standing = Standing::after(samples.first().map(|sample| &sample.notice));
    let mut count = 0;
    for language in languages {
        let folder = directory.join(language.to_string());
        for sample in &samples {
            let written = sample_mail(config, &renderer, sample, (&language, standing));
            write_sample(sample.name, written, &folder)?;
            count += 1;
        }
        for sample in &bulletins {
            write_sample(sample.name, bulletin_mail(config, &renderer, sample, &language), &folder)?;
            count += 1;
        }
    }
    Ok(count)
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

fn sample_mail(
    config: &MailConfig,
    renderer: &Renderer,
    sample: &Sample,
    (language, standing): (&Language, Standing),
) -> Result<(Message, Mail), Failed> {
    let answers = if config.incoming.is_some() { Answers::Read } else { Answers::Unread };
    let links = Links { answers, ..config.links.clone() };
    let contact = Contact { language: language.clone(), ..sample.contact.clone() };
    let message = renderer.render(&sample.notice, &contact, &links)?;
    let letterhead = Letterhead { sender: &config.sender, links: &links, standing, answers: None };
    let mail = Mail::new(&message, &sample.notice, &contact, &letterhead)?;
    Ok((message, mail))
}

fn bulletin_mail(
    config: &MailConfig,
    renderer: &Renderer,
    sample: &BulletinSample,
    language: &Language,
) -> Result<(Message, Mail), Failed> {
    let contact = Contact { language: language.clone(), ..sample.contact.clone() };
    let message = renderer.render_bulletin(&sample.bulletin, &contact, &config.links)?;
    let mail = Mail::of_bulletin(&message, &sample.bulletin, &contact, &config.sender)?;
    Ok((message, mail))
}

fn write_sample(
    sample: &'static str,
    written: Result<(Message, Mail), Failed>,
    folder: &Path,
) -> Result<(), MailsError> {
    let (message, mail) = written.map_err(|source| MailsError::Mail { sample, source })?;
    let text = format!("Subject: {}\n\n{}", message.subject, message.text);
    for (ending, content) in
        [("eml", mail.bytes()), ("txt", text.as_bytes()), ("html", message.html.as_bytes())]
    {
        write(&folder.join(format!("{sample}.{ending}")), content, Existing::Replaced)?;
    }
    Ok(())
}

/// Writes the shipped templates and words, to begin one's own with. Answers how many.
///
/// # Errors
/// A file is there already, for it may hold somebody's work, or can't be written.
pub fn write_templates(directory: &Path) -> Result<usize, MailsError> {
    let mut count = 0;
    for (name, text) in Renderer::shipped() {
        write(&directory.join(name), text.as_bytes(), Existing::Kept)?;
        count += 1;
    }
    Ok(count)
}

enum Existing {
    Replaced,
    Kept,
}

fn write(path: &Path, content: &[u8], existing: Existing) -> Result<(), MailsError> {
    let mut options = OpenOptions::new();
    match existing {
        Existing::Replaced => options.write(true).create(true).truncate(true),
        Existing::Kept => options.write(true).create_new(true),
    };
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    folder
        .and_then(|()| options.open(path))
        .and_then(|mut file| file.write_all(content))
        .map_err(|source| MailsError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use drover_policies::bulletins::Says;
    use drover_policies::notices::Tells;

    use super::*;

    #[test]
    fn a_mail_of_every_kind_is_written_in_the_language_that_is_asked_for() {
        let folder = tempfile::tempdir().expect("a directory");
        let german: Language = "de-CH".parse().expect("a language");
        let count = write_samples(&MailConfig::default(), Some(&german), folder.path()).expect("written");
        assert!(count >= Tells::KINDS.len() + Says::KINDS.len());
        let read = |name: &str| fs::read_to_string(folder.path().join("de-CH").join(name)).expect("a file");
        assert!(
            read("proposed.txt").starts_with("Subject: [BITTE BEACHTEN] Server-Umzug: web-1 [DR-1042]\n")
        );
        assert!(read("proposed.html").contains("<html lang=\"de\""));
        assert!(
            read("maintenance_begun.txt")
                .starts_with("Subject: MT-12 hat begonnen (Wartung: kernel update)\n")
        );
        assert!(read("cancelled.eml").contains("method=CANCEL"));
    }

    #[test]
    fn a_language_without_words_is_refused_with_those_that_there_are() {
        let folder = tempfile::tempdir().expect("a directory");
        let french: Language = "fr".parse().expect("a language");
        let refused =
            write_samples(&MailConfig::default(), Some(&french), folder.path()).expect_err("refused");
        assert_eq!(refused.to_string(), "there are no words for the language fr; there are de, en");
    }

    #[test]
    fn the_shipped_templates_can_be_taken_as_ones_own_and_are_never_written_over() {
        let folder = tempfile::tempdir().expect("a directory");
        let own = folder.path().join("own");
        let count = write_templates(&own).expect("written");
        let config = MailConfig { templates: Some(own.clone()), ..MailConfig::default() };
        renderer(&config).expect("the shipped templates are sound");
        assert!(count > 2 * 3 * Tells::KINDS.len());
        fs::write(own.join("words.ftl"), "about = environ { $spam }\n").expect("written");
        assert!(matches!(write_templates(&own), Err(MailsError::File { .. })));
        let wrong = renderer(&config).expect_err("refused").to_string();
        assert!(wrong.contains("words.ftl:1: message about: $spam is unknown; there are: $span"), "{wrong}");
    }
}
