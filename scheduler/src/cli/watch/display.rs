//! How a watch looks: bars on a terminal, a line per event elsewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use drover_policies::ids::MigrationId;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::cli::migrations::{appointment, doing};
use crate::cli::replicas;
use crate::cli::screen::{Rows, Screen, Tone};
use crate::cli::words::{bytes, milliseconds, rate};
use crate::http::views::{MigrationView, ProgressEvent, ProgressView, ReplicaEvent, ReplicaFigures};

/// More bars than this push each other off the screen.
const MOST_BARS: usize = 20;

/// Where a watch is shown.
pub(super) enum Display {
    /// A person's terminal.
    Lively(Lively),
    /// A pipe, or a terminal that is to be left alone.
    Plain(Screen),
}

pub(super) struct Lively {
    all: MultiProgress,
    title: ProgressBar,
    bars: BTreeMap<MigrationId, ProgressBar>,
}

impl Display {
    pub(super) fn new(screen: &Screen) -> Self {
        if !screen.lively {
            return Self::Plain(screen.clone());
        }
        let all = MultiProgress::new();
        let title = all.add(ProgressBar::new_spinner().with_style(style("{spinner} {msg}")));
        title.enable_steady_tick(Duration::from_millis(200));
        Self::Lively(Lively { all, title, bars: BTreeMap::new() })
    }

    /// A line of the story.
    pub(super) fn line(&self, text: &str) {
        match self {
            // A terminal that went away has nobody who could be told.
            Self::Lively(lively) => drop(lively.all.println(text)),
            Self::Plain(screen) => screen.line(text),
        }
    }

    /// Something about the watching itself, not about what is watched.
    pub(super) fn aside(&self, text: &str) {
        match self {
            Self::Lively(lively) => drop(lively.all.println(format!("drover: {text}"))),
            Self::Plain(_) => eprintln!("drover: {text}"),
        }
    }

    /// Live figures.
    pub(super) fn progress(&self, event: &ProgressEvent) {
        if let Self::Lively(lively) = self
            && let Some(bar) = lively.bars.get(&event.migration)
        {
            bar.set_position(u64::from(event.progress.percent));
            bar.set_message(figures(&event.method, &event.progress));
        }
    }

    /// Live figures of a replica.
    pub(super) fn replica(&self, event: &ReplicaEvent) {
        if let Self::Lively(lively) = self
            && let Some(bar) = lively.bars.get(&event.migration)
        {
            set(bar, &event.replica);
        }
    }

    /// The state as it was read.
    pub(super) fn show(&mut self, screen: &Screen, title: &str, migrations: &[MigrationView]) {
        let Self::Lively(lively) = self else { return };
        let mut open: Vec<&MigrationView> =
            migrations.iter().filter(|migration| is_shown(migration)).collect();
        // Who moves comes first, so that it is seen however many wait.
        open.sort_by_key(|migration| {
            (migration.progress.is_none(), !migration.needs_person, migration.number)
        });
        let hidden = open.len().saturating_sub(MOST_BARS);
        open.truncate(MOST_BARS);
        let more = if hidden > 0 { format!(" ({hidden} more wait)") } else { String::new() };
        lively.title.set_message(format!("{title}{more}"));
        let kept: Vec<MigrationId> = open.iter().map(|migration| migration.id).collect();
        lively.bars.retain(|id, bar| {
            let keep = kept.contains(id);
            if !keep {
                bar.finish_and_clear();
            }
            keep
        });
        let width = open.iter().map(|migration| migration.server_name.len()).max().unwrap_or(0);
        for migration in open {
            let bar = lively.bars.entry(migration.id).or_insert_with(|| {
                lively.all.add(ProgressBar::new(100).with_style(style("  {prefix} {bar:20} {msg}")))
            });
            bar.set_prefix(format!("{:width$}", migration.server_name));
            if let Some(progress) = &migration.progress {
                bar.set_position(u64::from(progress.percent));
                bar.set_message(figures(&migration.method, progress));
            } else if let Some(replica) = migration.replica.as_ref().filter(|_| !migration.needs_person) {
                set(bar, &replica.figures);
            } else {
                bar.set_position(0);
                bar.set_message(waiting(screen, migration));
            }
        }
    }

    /// Takes the bars away, so that what follows stands alone.
    pub(super) fn clear(&self) {
        if let Self::Lively(lively) = self {
            lively.title.finish_and_clear();
            drop(lively.all.clear());
        }
    }
}

fn set(bar: &ProgressBar, replica: &ReplicaFigures) {
    bar.set_position(replicas::percent(replica));
    bar.set_message(format!("reboot {}", replicas::figures(replica)));
}

fn is_shown(migration: &MigrationView) -> bool {
    migration.open && migration.done_at.is_none()
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .map(|style| style.progress_chars("=> "))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn waiting(screen: &Screen, migration: &MigrationView) -> String {
    let text = match migration.state.as_str() {
        "ready" if !migration.needs_person => {
            format!("{}: {}", migration.method, appointment(screen, &migration.appointment))
        }
        _ => {
            let doing = doing(screen, migration);
            let doing = if doing.is_empty() { migration.state.replace('_', " ") } else { doing };
            format!("{}: {doing}", migration.method)
        }
    };
    let tone = if migration.needs_person { Tone::Bad } else { Tone::Plain };
    screen.paint(&text, tone)
}

/// Method, phase, and the figures that it has.
fn figures(method: &str, progress: &ProgressView) -> String {
    let mut text = format!("{method} {}", progress.phase.replace('_', " "));
    if progress.phase == "transferring" && progress.total_bytes > 0 {
        text.push_str(&format!(
            ", {} left, {}, dirty {}, pass {}",
            bytes(progress.remaining_bytes),
            rate(progress.rate),
            rate(progress.dirty_rate),
            progress.iteration
        ));
        if progress.expected_downtime_ms > 0 {
            text.push_str(&format!(", down for {}", milliseconds(progress.expected_downtime_ms)));
        }
        if progress.allowed_downtime_ms > 0 {
            text.push_str(&format!(" (allowed {})", milliseconds(progress.allowed_downtime_ms)));
        }
    }
    text
}

/// What became of every server.
pub(super) fn summary(screen: &Screen, migrations: &[MigrationView]) -> Rows {
    let mut rows =
        Rows::new(&["server", "method", "from", "to", "tries", "downtime", "sent", "end", "why not live"]);
    let mut ordered: Vec<&MigrationView> = migrations.iter().collect();
    ordered.sort_by_key(|migration| migration.number);
    for migration in ordered {
        let (inside, moved) = (migration.inside.as_ref(), migration.moved.as_ref());
        let unknown = || "-".to_owned();
        let end = match &migration.outcome {
            Some(outcome) => format!("{}: {}", migration.state.replace('_', " "), outcome.text),
            None if is_shown(migration) => waiting(&Screen::plain(screen.times().zone), migration),
            None => migration.state.replace('_', " "),
        };
        let tone = if migration.needs_person { Tone::Bad } else { Tone::of_state(&migration.state) };
        rows.push_toned(vec![
            (migration.server_name.clone(), Tone::Plain),
            (migration.method.clone(), Tone::Plain),
            (inside.map_or_else(unknown, |inside| inside.from.to_string()), Tone::Plain),
            (
                inside.and_then(|inside| inside.to.as_ref()).map_or_else(unknown, ToString::to_string),
                Tone::Plain,
            ),
            (migration.tries.to_string(), Tone::Plain),
            (moved.and_then(|moved| moved.downtime_ms).map_or_else(unknown, milliseconds), Tone::Plain),
            (moved.map_or_else(unknown, |moved| bytes(moved.sent_bytes)), Tone::Plain),
            (end, tone),
            (migration.why_not_live.as_ref().map(|why| why.code.clone()).unwrap_or_default(), Tone::Plain),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> ProgressView {
        ProgressView {
            phase: "transferring".to_owned(),
            at: drover_policies::time::Instant::UNIX_EPOCH,
            percent: 61,
            total_bytes: 1 << 30,
            sent_bytes: 700 << 20,
            remaining_bytes: 400 << 20,
            rate: 110 << 20,
            dirty_rate: 12 << 20,
            iteration: 3,
            expected_downtime_ms: 85,
            allowed_downtime_ms: 300,
        }
    }

    #[test]
    fn a_bar_says_all_that_one_asks_at_three_in_the_morning() {
        assert_eq!(
            figures("live", &progress()),
            "live transferring, 400 MiB left, 110 MiB/s, dirty 12 MiB/s, pass 3, down for 85 ms (allowed 300 ms)"
        );
        let off = ProgressView { phase: "power_off_source".to_owned(), total_bytes: 0, ..progress() };
        assert_eq!(figures("reboot", &off), "reboot power off source");
    }
}
