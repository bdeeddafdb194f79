//! What was measured: figures with their spread, each beside what it is compared with.

use serde_json::{Value, json};

use crate::demo::show::table;

/// What a figure is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Megabytes, of a million bytes each.
    Megabytes,
    /// Nothing: a count, or a ratio.
    Plain,
}

impl Unit {
    fn word(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Megabytes => "MB",
            Self::Plain => "",
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::Seconds => format!("{value:.2} s"),
            Self::Milliseconds => format!("{value:.1} ms"),
            Self::Megabytes => format!("{value:.1} MB"),
            Self::Plain => format!("{value:.3}"),
        }
    }
}

/// The same thing measured several times, in the order in which it was.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sample(Vec<f64>);

impl<const N: usize> From<[f64; N]> for Sample {
    fn from(values: [f64; N]) -> Self {
        Self(values.to_vec())
    }
}

impl Sample {
    /// Takes in one more.
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The same, each less this much.
    #[must_use]
    pub fn less(&self, value: f64) -> Self {
        Self(self.0.iter().map(|one| one - value).collect())
    }

    /// How often it was measured.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The value that a given part of all does not exceed: 0.5 gives the median, 0 the least, 1 the greatest. Between two
    /// values it is as far from the one as the part is. Nothing was measured: not a number.
    #[must_use]
    pub fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
        #[expect(clippy::cast_precision_loss, reason = "a count of measurements, far below 2^52")]
        let place = part.clamp(0.0, 1.0) * last as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the number of measurements"
        )]
        let below = place.floor() as usize;
        let above = (below + 1).min(last);
        sorted[below] + (sorted[above] - sorted[below]) * place.fract()
    }

    /// The middle one.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    fn json(&self) -> Value {
        json!({
            "median": self.median(), "least": self.quantile(0.0), "greatest": self.quantile(1.0),
            "p90": self.quantile(0.9), "n": self.count(), "values": self.0,
        })
    }

    fn spread(&self, unit: Unit) -> String {
        let ends = [self.quantile(0.0), self.quantile(1.0)].map(|end| unit.show(end));
        let least = ends[0].trim_end_matches(unit.word()).trim_end();
        format!("{least}–{}", ends[1])
    }
}

/// What a figure is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Against {
    /// Another program that did the same in the same run.
    Peer {
        /// Which, in words.
        name: String,
        /// How it did.
        sample: Sample,
    },
    /// A value that is not to be exceeded.
    Limit(f64),
    /// Nothing: it is told for information.
    Nothing,
}

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What was measured, in a few words.
    pub what: String,
    /// What it is counted in.
    pub unit: Unit,
    /// The measurements.
    pub sample: Sample,
    /// What they are compared with.
    pub against: Against,
    /// The ratio that is wished for at the most, if one is.
    pub goal: Option<f64>,
}

impl Row {
    /// For information.
    #[must_use]
    pub fn told(what: impl Into<String>, unit: Unit, sample: Sample) -> Self {
        Self { what: what.into(), unit, sample, against: Against::Nothing, goal: None }
    }

    /// Beside a limit.
    #[must_use]
    pub fn limited(what: impl Into<String>, unit: Unit, sample: Sample, limit: f64) -> Self {
        Self { what: what.into(), unit, sample, against: Against::Limit(limit), goal: Some(1.0) }
    }

    /// The median by what it is compared with.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        match &self.against {
            Against::Peer { sample, .. } => Some(self.sample.median() / sample.median()),
            // Nothing is no multiple of nothing.
            Against::Limit(0.0) => None,
            Against::Limit(limit) => Some(self.sample.median() / limit),
            Against::Nothing => None,
        }
    }

    /// Whether the goal was met. A ratio of nothing, not being a number, meets none.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        match self.against {
            Against::Limit(0.0) => Some(self.sample.median() <= 0.0),
            _ => Some(self.ratio()? <= self.goal?),
        }
    }

    fn compared_with(&self) -> String {
        match &self.against {
            Against::Peer { name, sample } => format!("{} ({name})", self.unit.show(sample.median())),
            Against::Limit(limit) => format!("{} (limit)", self.unit.show(*limit)),
            Against::Nothing => String::new(),
        }
    }

    fn verdict(&self) -> String {
        match (self.goal, self.is_met()) {
            (Some(goal), Some(true)) => format!("goal {goal:.2}, met"),
            (Some(goal), Some(false)) => format!("goal {goal:.2}, missed"),
            _ => String::new(),
        }
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.what.clone(),
            self.unit.show(self.sample.median()),
            self.sample.spread(self.unit),
            self.sample.count().to_string(),
            self.compared_with(),
            self.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            self.verdict(),
        ]
    }

    fn json(&self) -> Value {
        let against = match &self.against {
            Against::Peer { name, sample } => json!({ "peer": name, "measured": sample.json() }),
            Against::Limit(limit) => json!({ "limit": limit }),
            Against::Nothing => Value::Null,
        };
        json!({
            "what": self.what, "unit": self.unit.word(), "measured": self.sample.json(), "against": against,
            "ratio": self.ratio(), "goal": self.goal, "met": self.is_met(),
        })
    }
}

/// On what it was measured: without this, figures of two runs can't be compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// How many processors.
    pub processors: usize,
    /// The load average of the minute before the run: others that use the machine too.
    pub load_before: f64,
    /// And of its last minute, the run's own included.
    pub load_after: f64,
    /// Which build: `release` or `debug`.
    pub build: &'static str,
}

/// All that a run has found.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// On what.
    pub machine: Machine,
    /// The figures.
    pub rows: Vec<Row>,
}

impl Report {
    /// As a table for people.
    #[must_use]
    pub fn text(&self) -> String {
        let Machine { processors, load_before, load_after, build } = &self.machine;
        let header = ["what", "median", "least–greatest", "n", "compared with", "ratio", ""];
        let cells = self.rows.iter().map(Row::cells).collect();
        format!(
            "{}\n\n{processors} processors, {build} build, load average {load_before} before and {load_after} at the end",
            table(&header, cells, &[1, 2, 3, 5])
        )
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let Machine { processors, load_before, load_after, build } = &self.machine;
        json!({
            "machine": {
                "processors": processors, "build": build, "load_before": load_before, "load_after": load_after,
            },
            "rows": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(values: &[f64]) -> Sample {
        Sample(values.to_vec())
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert!((sample(&[4.0, 1.0, 2.0, 3.0]).median() - 2.5).abs() < 1e-9);
        assert!((sample(&[3.0, 1.0, 2.0]).median() - 2.0).abs() < 1e-9);
        assert!(sample(&[]).median().is_nan());
    }

    #[test]
    fn a_ratio_beyond_the_goal_is_said_to_miss_it() {
        let peer = Against::Peer { name: "xargs -P 8".to_owned(), sample: sample(&[2.0]) };
        let row = |ours: f64| Row {
            what: "drain".to_owned(),
            unit: Unit::Seconds,
            sample: sample(&[ours]),
            against: peer.clone(),
            goal: Some(1.1),
        };
        assert_eq!((row(2.19).is_met(), row(2.21).is_met()), (Some(true), Some(false)));
        let machine = Machine { processors: 2, load_before: 0.5, load_after: 3.0, build: "release" };
        let text = Report { machine, rows: vec![row(3.0)] }.text();
        assert!(text.contains("1.50  goal 1.10, missed"), "{text}");
        assert_eq!(Row::told("x", Unit::Megabytes, sample(&[1.0])).is_met(), None);
        let none = |count: f64| Row::limited("failures", Unit::Plain, sample(&[count]), 0.0);
        assert_eq!(
            (none(0.0).is_met(), none(1.0).is_met(), none(f64::NAN).is_met()),
            (Some(true), Some(false), Some(false))
        );
    }

    #[test]
    fn what_was_not_measured_meets_no_goal() {
        assert_eq!(Row::limited("start", Unit::Milliseconds, sample(&[]), 100.0).is_met(), Some(false));
    }
}
