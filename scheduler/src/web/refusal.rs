//! Refusals of the API, in the language and the zone of whoever reads the page.

use drover_pages::Frame;
use drover_pages::refusal::Figure;
use serde_json::Value;

use crate::http::problem::Problem;

/// The same refusal in the reader's words: by its rule, else by its field, else by its kind.
pub(super) fn said(frame: &Frame, problem: Problem) -> Problem {
    let word = |name: &str| problem.more.get(name).and_then(Value::as_str).map(dashed);
    let rule = word("rule").map(|rule| format!("refused-{rule}"));
    // Of `mail[2]` and of `mail` the same is to be said.
    let field = word("field").map(|field| format!("field-{}", field.split('[').next().unwrap_or_default()));
    let kind = format!("problem-{}", problem.slug());
    let keys: Vec<String> = rule.into_iter().chain(field).chain([kind]).collect();
    let figures: Vec<(String, Figure)> =
        problem.more.iter().filter_map(|(name, value)| Some((name.clone(), figure(value)?))).collect();
    let title = format!("problem-title-{}", problem.slug());
    Problem {
        title: frame.refusal(&[title], &[], &problem.title),
        detail: frame.refusal(&keys, &figures, &problem.detail),
        ..problem
    }
}

fn dashed(word: &str) -> String {
    word.replace(['_', '.'], "-")
}

fn figure(value: &Value) -> Option<Figure> {
    match value {
        Value::String(text) => Some(text.parse().map_or_else(|_| Figure::Text(text.clone()), Figure::Time)),
        Value::Number(number) => Some(Figure::Text(number.to_string())),
        Value::Array(all) => {
            let times = all.iter().map(|one| one.as_str()?.parse().ok());
            times.collect::<Option<Vec<_>>>().map(Figure::Times)
        }
        Value::Null | Value::Bool(_) | Value::Object(_) => None,
    }
}
