//! Pictures, drawn here: a Gantt chart of a maintenance, the curve of what a migration has left, what fills a host.
//!
//! Across they are in hundredths of the room there is, so that text keeps its size from a phone to a wall. None says anything that is not
//! also written beside it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DurationRound, TimeDelta, Timelike};
use drover_policies::time::Instant;
use drover_policies::windows::Slot;

use crate::frame::Frame;
use crate::html::{Html, escaped};
use crate::say::amount;
use crate::states::Tone;

/// A maintenance over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gantt {
    /// Its left edge.
    pub from: Instant,
    /// Its right edge.
    pub to: Instant,
    /// When everything must be done.
    pub deadline: Instant,
    /// One for each host or migration.
    pub rows: Vec<GanttRow>,
    /// How many hosts have had a turn that is not drawn.
    pub more_hosts: u32,
    /// How many migrations are not drawn.
    pub more_migrations: u32,
}

/// A line of a [`Gantt`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GanttRow {
    /// Whose it is.
    pub name: String,
    /// When its owner allows a restart.
    pub windows: Vec<Slot>,
    /// When nothing may be done.
    pub freezes: Vec<GanttFreeze>,
    /// What is done, or will be.
    pub bars: Vec<GanttBar>,
}

/// A time in which nothing may be done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GanttFreeze {
    /// What it is called: `Black Friday`.
    pub name: String,
    /// From when until when.
    pub slot: Slot,
}

/// One thing that takes time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GanttBar {
    /// From when until when.
    pub slot: Slot,
    /// How it stands.
    pub tone: Tone,
    /// Whether it is yet to come.
    pub planned: bool,
    /// What it is, for whoever points at it.
    pub text: String,
}

const HEAD: u32 = 22;
const ROW: u32 = 38;

impl Gantt {
    /// As HTML.
    #[must_use]
    pub fn html(&self, frame: &Frame) -> Html {
        let rows = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        let height = HEAD + ROW.saturating_mul(rows) + 4;
        let mut out = format!(
            "<svg class=\"gantt\" width=\"100%\" height=\"{height}\" role=\"img\" aria-label=\"{}\">",
            escaped(&frame.t("gantt-label"))
        );
        for (number, (at, text)) in self.ticks(frame).into_iter().enumerate() {
            // A narrow chart names every second one.
            let class = if number.is_multiple_of(2) { "soft" } else { "soft second" };
            let x = self.x(&at);
            let _ = write!(
                out,
                "<line class=\"row\" x1=\"{x}%\" x2=\"{x}%\" y1=\"14\" y2=\"{height}\"/><text class=\"{class}\" x=\"{x}%\" dx=\"3\" y=\"11\">{}</text>",
                escaped(&text)
            );
        }
        for (row, y) in self.rows.iter().zip((HEAD..).step_by(ROW as usize)) {
            self.row(frame, row, y, &mut out);
        }
        for (at, class) in [(&self.deadline, "deadline"), (&frame.now, "now")] {
            if (self.from..=self.to).contains(at) {
                let x = self.x(at);
                let _ = write!(
                    out,
                    "<line class=\"{class}\" x1=\"{x}%\" x2=\"{x}%\" y1=\"14\" y2=\"{height}\"/>"
                );
            }
        }
        out.push_str("</svg>");
        Html::made(out)
    }

    fn row(&self, frame: &Frame, row: &GanttRow, y: u32, out: &mut String) {
        let _ = write!(out, "<line class=\"row\" x1=\"0\" x2=\"100%\" y1=\"{y}\" y2=\"{y}\"/>");
        for window in &row.windows {
            if let Some((x, width)) = self.stretch(window) {
                let _ = write!(
                    out,
                    "<rect class=\"window\" x=\"{x}%\" width=\"{width}%\" y=\"{y}\" height=\"{ROW}\"/>"
                );
            }
        }
        for freeze in &row.freezes {
            if let Some((x, width)) = self.stretch(&freeze.slot) {
                let _ = write!(
                    out,
                    "<rect class=\"freeze\" x=\"{x}%\" width=\"{width}%\" y=\"{y}\" height=\"{ROW}\"><title>{}</title></rect>",
                    escaped(&told(frame, freeze))
                );
            }
        }
        for bar in &row.bars {
            if let Some((x, width)) = self.stretch(&bar.slot) {
                let plan = if bar.planned { " plan" } else { "" };
                let when = frame.slot(&bar.slot);
                let title = format!("{}, {}", bar.text, when.text());
                let _ = write!(
                    out,
                    "<rect class=\"{}{plan}\" x=\"{x}%\" width=\"{width}%\" y=\"{}\" height=\"13\" rx=\"2\"><title>{}</title></rect>",
                    bar.tone.class(),
                    y + 20,
                    escaped(&title)
                );
            }
        }
        let _ = write!(out, "<text x=\"4\" y=\"{}\">{}</text>", y + 14, escaped(&row.name));
    }

    /// What is frozen, in words: each freeze once, with whom it holds for.
    #[must_use]
    pub fn freezes(&self, frame: &Frame) -> Html {
        let mut all: BTreeMap<&GanttFreeze, Vec<&str>> = BTreeMap::new();
        for row in &self.rows {
            for freeze in row.freezes.iter().filter(|freeze| self.stretch(&freeze.slot).is_some()) {
                all.entry(freeze).or_default().push(&row.name);
            }
        }
        if all.is_empty() {
            return Html::default();
        }
        let line = |(freeze, names): (&GanttFreeze, Vec<&str>)| {
            format!("<li>{}: {}</li>", escaped(&told(frame, freeze)), escaped(&names.join(", ")))
        };
        Html::made(format!("<ul class=\"hint\">{}</ul>", all.into_iter().map(line).collect::<String>()))
    }

    /// In hundredths, to two places.
    fn x(&self, at: &Instant) -> f64 {
        let whole = (self.to - self.from).num_seconds().max(1);
        let part = (*at - self.from).num_seconds().clamp(0, whole);
        rounded(part, whole)
    }

    /// What of it is seen. A thing of a moment is still wide enough to point at.
    fn stretch(&self, slot: &Slot) -> Option<(f64, f64)> {
        if slot.end < self.from || slot.start > self.to {
            return None;
        }
        let (from, to) = (self.x(&slot.start), self.x(&slot.end));
        let width = (to - from).max(0.4);
        Some((from.min(100.0 - width), (width * 100.0).round() / 100.0))
    }

    /// At most eight moments at which a clock's hands stand straight.
    fn ticks(&self, frame: &Frame) -> Vec<(Instant, String)> {
        // In minutes.
        const DAY: i64 = 24 * 60;
        const STEPS: [i64; 15] =
            [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, DAY, 2 * DAY, 7 * DAY, 14 * DAY];
        let minutes = (self.to - self.from).num_minutes().max(1);
        let step = STEPS.into_iter().find(|step| minutes / step <= 6).unwrap_or(28 * DAY);
        let local = self.from.with_timezone(&frame.zone);
        let Ok(whole) = local.duration_trunc(TimeDelta::hours(1)) else { return Vec::new() };
        // From the midnight before, so that days begin where days do.
        let start = whole - TimeDelta::hours(i64::from(whole.hour()));
        let moments = (0i64..2 * DAY).map(|n| start + TimeDelta::minutes(n * step));
        moments
            .skip_while(|at| *at < self.from)
            .take_while(|at| *at < self.to)
            .map(|at| {
                let utc = at.to_utc();
                let is_midnight = at.hour() == 0 && at.minute() == 0;
                let text = if step >= DAY || is_midnight {
                    frame.date_short(&utc)
                } else {
                    at.format("%H:%M").to_string()
                };
                (utc, text)
            })
            .collect()
    }
}

/// `frozen: Black Friday, Fri 27 Nov 2026 00:00 CET–Sat 28 Nov 2026 00:00 CET`.
fn told(frame: &Frame, freeze: &GanttFreeze) -> String {
    format!("{}, {}", frame.t1("frozen", &freeze.name), frame.slot(&freeze.slot).text())
}

fn rounded(part: i64, whole: i64) -> f64 {
    let hundredths = i128::from(part) * 10_000 / i128::from(whole.max(1));
    i32::try_from(hundredths).map_or(100.0, |n| f64::from(n) / 100.0)
}

/// What a migration had left, over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Curve {
    /// The most that there can be left, in bytes.
    pub total_bytes: u64,
    /// Oldest first.
    pub points: Vec<CurvePoint>,
}

/// One reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurvePoint {
    /// When.
    pub at: Instant,
    /// Still to be sent, in bytes.
    pub remaining_bytes: u64,
    /// What the guest writes anew, in bytes per second.
    pub dirty_rate: u64,
}

impl Curve {
    /// As HTML; nothing before there are two readings.
    #[must_use]
    pub fn html(&self, frame: &Frame) -> Html {
        let (Some(first), Some(last)) = (self.points.first(), self.points.last()) else {
            return Html::default();
        };
        if self.points.len() < 2 {
            return Html::default();
        }
        let most = self.points.iter().map(|point| point.remaining_bytes).max().unwrap_or(0);
        let most = most.max(self.total_bytes).max(1);
        let fastest = self.points.iter().map(|point| point.dirty_rate).max().unwrap_or(0).max(1);
        let took = (last.at - first.at).num_milliseconds().max(1);
        let x = |at: &Instant| (*at - first.at).num_milliseconds().clamp(0, took) * 1000 / took;
        let y = |part: u64, whole: u64| 200 - u128::from(part) * 196 / u128::from(whole);
        let line = |value: &dyn Fn(&CurvePoint) -> u128| {
            let points = self.points.iter().map(|point| format!("{},{}", x(&point.at), value(point)));
            points.collect::<Vec<_>>().join(" ")
        };
        let left = line(&|point| y(point.remaining_bytes, most));
        let dirty = line(&|point| y(point.dirty_rate, fastest));
        let label = escaped(&frame.t("curve-label"));
        let key = |class: &str, text: String| {
            format!(
                "<li><svg class=\"curve\" width=\"24\" height=\"8\" aria-hidden=\"true\"><path class=\"{class}\" d=\"M0 4h24\"/></svg>{}</li>",
                escaped(&text)
            )
        };
        Html::made(format!(
            "<figure><svg class=\"curve\" width=\"100%\" height=\"160\" viewBox=\"0 0 1000 200\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{label}\"><polygon class=\"area\" points=\"0,200 {left} 1000,200\"/><polyline class=\"left\" points=\"{left}\"/><polyline class=\"dirty\" points=\"{dirty}\"/></svg><figcaption><ul class=\"key\">{}{}</ul></figcaption></figure>",
            key("left", frame.t1("curve-left", amount(most))),
            key("dirty", frame.t1("curve-dirty", format!("{}/s", amount(fastest)))),
        ))
    }
}

/// What fills a host: each server by its memory, folded into lines like text.
pub(crate) struct Fill {
    /// Width of a line, in pixels.
    pub(crate) width: u64,
    /// So many lines are the whole of it.
    pub(crate) lines: u64,
    /// From the middle of one line to that of the next.
    pub(crate) pitch: u64,
}

impl Fill {
    /// The path of each class, of servers in the order in which they are given: those of one class stand together. A server on more than one
    /// line goes on in the next.
    pub(crate) fn paths<'a>(
        &self,
        whole: u64,
        blocks: impl Iterator<Item = (&'a str, u64)> + Clone,
        out: &mut String,
    ) {
        let room = self.width * self.lines;
        let sum = blocks.clone().fold(0u64, |sum, (_, bytes)| sum.saturating_add(bytes));
        let scale = whole.max(sum).max(1);
        let mut at = 0;
        let mut class = "";
        // Where the pen is, and on which line.
        let mut pen = None;
        for (of, bytes) in blocks {
            let long =
                u64::try_from(u128::from(bytes) * u128::from(room) / u128::from(scale)).unwrap_or(0).max(2);
            if of != class {
                if !class.is_empty() {
                    out.push_str("\"/>");
                }
                let _ = write!(out, "<path class=\"{of}\" d=\"");
                (class, pen) = (of, None);
            }
            let end = (at + long).min(room);
            let mut from = at;
            while from < end {
                let (line, x) = (from / self.width, from % self.width);
                let part = (self.width - x).min(end - from);
                // One pixel stays free before the next server.
                let ink = if from + part == end { part.saturating_sub(1).max(1) } else { part };
                match pen {
                    Some((on, was)) if on == line => {
                        let _ = write!(out, "m{} 0h{ink}", x - was);
                    }
                    _ => {
                        let _ = write!(out, "M{x} {}h{ink}", line * self.pitch + self.pitch / 2);
                    }
                }
                pen = Some((line, x + ink));
                from += part;
            }
            at = end;
        }
        if !class.is_empty() {
            out.push_str("\"/>");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_host_is_filled_line_by_line() {
        let fill = Fill { width: 10, lines: 2, pitch: 8 };
        let mut out = String::new();
        fill.paths(20, [("m", 5), ("r", 3), ("r", 6)].into_iter(), &mut out);
        assert_eq!(out, "<path class=\"m\" d=\"M0 4h4\"/><path class=\"r\" d=\"M5 4h2m1 0h2M0 12h3\"/>");
    }

    #[test]
    fn more_than_fits_is_drawn_smaller_and_never_beyond_the_edge() {
        let fill = Fill { width: 10, lines: 1, pitch: 8 };
        let mut out = String::new();
        fill.paths(10, [("r", u64::MAX / 4), ("r", u64::MAX / 4)].into_iter(), &mut out);
        assert_eq!(out, "<path class=\"r\" d=\"M0 4h4m1 0h4\"/>");
    }

    #[test]
    fn a_gantt_of_minutes_has_marks_of_minutes_and_one_of_weeks_of_days() {
        let marks = |length: TimeDelta| {
            let from = samples::now();
            let gantt = Gantt {
                from,
                to: from + length,
                deadline: from,
                rows: Vec::new(),
                more_hosts: 0,
                more_migrations: 0,
            };
            gantt.ticks(&samples::operator("/")).into_iter().map(|(at, _)| at).collect::<Vec<_>>()
        };
        let gaps = |length| {
            marks(length).windows(2).map(|pair| (pair[1] - pair[0]).num_minutes()).collect::<Vec<_>>()
        };
        assert_eq!(gaps(TimeDelta::minutes(4)), [1; 3]);
        assert_eq!(gaps(TimeDelta::minutes(90)), [15; 5]);
        assert_eq!(gaps(TimeDelta::days(10)), [2 * 24 * 60; 4]);
    }

    #[test]
    fn what_lies_outside_a_gantt_is_not_drawn() {
        let gantt = Gantt {
            from: samples::now(),
            to: samples::hours(10),
            deadline: samples::hours(20),
            rows: vec![GanttRow {
                name: "h1".to_owned(),
                windows: vec![samples::slot(-5, 2)],
                freezes: vec![GanttFreeze { name: "Easter".to_owned(), slot: samples::slot(-5, 2) }],
                bars: vec![GanttBar {
                    slot: samples::slot(4, 1),
                    tone: Tone::Busy,
                    planned: true,
                    text: "db-1".to_owned(),
                }],
            }],
            more_hosts: 0,
            more_migrations: 0,
        };
        let html = gantt.html(&samples::operator("/")).into_string();
        assert!(!html.contains("class=\"window\"") && !html.contains("class=\"deadline\""), "{html}");
        assert!(!html.contains("Easter") && gantt.freezes(&samples::operator("/")).into_string().is_empty());
        assert!(html.contains("<rect class=\"busy plan\" x=\"40%\" width=\"10%\""), "{html}");
    }

    #[test]
    fn windows_and_freezes_lie_behind_and_a_freeze_is_also_said_in_words() {
        let freeze = |name: &str| GanttFreeze { name: name.to_owned(), slot: samples::slot(4, 2) };
        let row = |name: &str, freezes| GanttRow {
            name: name.to_owned(),
            windows: vec![samples::slot(2, 8)],
            freezes,
            bars: Vec::new(),
        };
        let gantt = Gantt {
            from: samples::hours(-2),
            to: samples::hours(18),
            deadline: samples::hours(17),
            rows: vec![row("db-1", vec![freeze("<Sale>")]), row("db-2", vec![freeze("<Sale>")])],
            more_hosts: 0,
            more_migrations: 0,
        };
        let html = gantt.html(&samples::operator("/")).into_string();
        assert!(html.contains("<rect class=\"window\" x=\"20%\" width=\"40%\""), "{html}");
        assert!(html.contains("<rect class=\"freeze\" x=\"30%\" width=\"10%\""), "{html}");
        assert!(html.contains("<title>frozen: &#60;Sale&#62;, "), "{html}");
        assert!(html.contains("<line class=\"now\" x1=\"10%\""), "{html}");
        let words = gantt.freezes(&samples::operator("/")).into_string();
        assert_eq!(words.matches("&#60;Sale&#62;").count(), 1, "{words}");
        assert!(words.ends_with(": db-1, db-2</li></ul>"), "{words}");
    }
}
