//! Somebody who looks at the API all the time, while other things are measured.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::report::Sample;
use super::say;
use crate::installation::Api;

/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Asks what people ask, one thing after the other, until it is enough; gives back how long each answer took, in milliseconds. Tells how
/// long each question took, as the mean of different ones shows no cause.
pub(super) fn keep_asking(api: &Api, questions: &[&str], enough: &AtomicBool) -> Result<Sample> {
    let mut sample = Sample::default();
    let mut by_question: BTreeMap<&str, Sample> = BTreeMap::new();
    for question in questions.iter().cycle() {
        if enough.load(Ordering::Relaxed) {
            break;
        }
        let began = Instant::now();
        api.get(question)?.ok()?;
        let took = began.elapsed();
        let milliseconds = took.as_secs_f64() * 1e3;
        sample.add(milliseconds);
        by_question.entry(question).or_default().add(milliseconds);
        std::thread::sleep(ASK_EVERY.saturating_sub(took));
    }
    for (question, sample) in &by_question {
        let (half, most) = (sample.median(), sample.quantile(0.99));
        say(&format!(
            "{question}: half of {} answers within {half:.1} ms, 99 % within {most:.1} ms",
            sample.count()
        ));
    }
    Ok(sample)
}
