//! Why something is not done, in the reader's language.
//!
//! The scheduler says it in an English sentence, and beside it a stable word for the rule and the figures of the case. In another language
//! the sentence is made anew from those, so that no text has to be recognised.

use drover_policies::time::Instant;
use fluent_bundle::FluentValue;

use crate::frame::Frame;

/// A figure of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Figure {
    /// A moment.
    Time(Instant),
    /// Moments to choose from.
    Times(Vec<Instant>),
    /// A name or a number.
    Text(String),
}

impl Frame {
    /// A refusal in the reader's words: by the first of these keys that his language has, else as it was said. The sentence that was said is
    /// the figure `said`.
    #[must_use]
    pub fn refusal(&self, keys: &[String], figures: &[(String, Figure)], said: &str) -> String {
        let Some(key) = keys.iter().find(|key| self.words().has(key)) else { return said.to_owned() };
        let texts: Vec<(&str, String)> =
            figures.iter().map(|(name, figure)| (name.as_str(), self.figure(figure))).collect();
        let mut args: Vec<(&str, FluentValue<'_>)> = vec![("said", said.into())];
        args.extend(texts.iter().map(|(name, text)| (*name, text.as_str().into())));
        self.words().say(key, &args)
    }

    fn figure(&self, figure: &Figure) -> String {
        match figure {
            Figure::Time(at) => self.date_and_clock(at),
            Figure::Times(times) if times.is_empty() => self.t("nothing-free"),
            Figure::Times(times) => {
                times.iter().map(|at| self.date_and_clock(at)).collect::<Vec<_>>().join(", ")
            }
            Figure::Text(text) => text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn german() -> Frame {
        Frame { language: "de".parse().expect("a language"), ..samples::owner("/my") }
    }

    fn keys(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    #[test]
    fn a_refusal_is_said_by_its_rule_with_its_figures_in_the_readers_zone() {
        let at: Instant = "2026-12-01T02:00:00Z".parse().expect("a moment");
        let figures = [("earliest".to_owned(), Figure::Time(at))];
        let rule = keys(&["refused-too-soon", "problem-appointment"]);
        let said = german().refusal(&rule, &figures, "too soon");
        assert!(said.starts_with("Diese Zeit ist zu früh") && said.contains("03:00 CET"), "{said}");
        // In English it is said as it was.
        assert_eq!(samples::operator("/").refusal(&rule, &figures, "too soon"), "too soon");
    }

    #[test]
    fn a_rule_without_words_is_said_by_its_kind_and_quoted() {
        let said = german().refusal(&keys(&["refused-new-rule", "problem-refused"]), &[], "no <way>");
        assert!(said.contains("no <way>") && said.starts_with("Das geht"), "{said}");
        assert_eq!(german().refusal(&keys(&["refused-new-rule"]), &[], "no way"), "no way");
    }

    #[test]
    fn times_to_choose_from_are_listed_or_said_to_be_none() {
        let at: Instant = "2026-12-01T02:00:00Z".parse().expect("a moment");
        let of = |free| german().refusal(&keys(&["refused-taken"]), &[("free".to_owned(), free)], "taken");
        assert!(of(Figure::Times(vec![at, at])).matches("03:00 CET").count() == 2);
        assert!(of(Figure::Times(Vec::new())).contains("nichts frei"));
    }
}
