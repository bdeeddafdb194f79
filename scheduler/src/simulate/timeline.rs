//! The picture: when each host waited, was emptied, was worked on and was over, as one HTML file that needs nothing else.

use std::fmt::Write as _;

use drover_policies::ids::HostName;
use drover_policies::time::Instant;
use serde_json::json;

/// What there is to be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// Its left end.
    pub began_at: Instant,
    /// Its right end.
    pub ended_at: Instant,
    /// By when all was to be done.
    pub deadline: Instant,
    /// Host by host.
    pub rows: Vec<Row>,
    /// How everything stood from time to time.
    pub moments: Vec<Moment>,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub host: HostName,
    /// Where it is.
    pub cluster: String,
    /// So many were on it at the beginning.
    pub servers: usize,
    /// From when on it was what.
    pub bands: Vec<(Instant, Band)>,
}

impl Row {
    /// What it is in the end.
    #[must_use]
    pub fn band(&self) -> Band {
        self.bands.last().map_or(Band::Waits, |(_, band)| *band)
    }

    /// When its turn came; nothing before that.
    #[must_use]
    pub fn began_at(&self) -> Option<Instant> {
        self.bands.iter().find(|(_, band)| *band != Band::Waits).map(|(at, _)| *at)
    }
}

/// How everything stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub at: Instant,
    /// Hosts in each band, in the order of [`Band::ALL`].
    pub hosts: [usize; Band::ALL.len()],
    /// Servers under way.
    pub moving: usize,
    /// Bytes per second that were sent.
    pub rate: u64,
}

/// What a host is at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Band {
    /// Its turn has not come.
    Waits,
    /// Servers leave it.
    Emptied,
    /// Its hooks run.
    Work,
    /// It is over.
    Over,
    /// It was left out.
    Skipped,
    /// It needs a person.
    Failed,
}

impl Band {
    /// In order.
    pub const ALL: [Self; 6] =
        [Self::Waits, Self::Emptied, Self::Work, Self::Over, Self::Skipped, Self::Failed];

    /// Whether nothing more is done with it.
    #[must_use]
    pub fn is_over(self) -> bool {
        match self {
            Self::Over | Self::Skipped => true,
            Self::Waits | Self::Emptied | Self::Work | Self::Failed => false,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Waits => "waits for its turn",
            Self::Emptied => "being emptied",
            Self::Work => "worked on",
            Self::Over => "over",
            Self::Skipped => "left out",
            Self::Failed => "failed",
        }
    }

    /// Told apart by those who see no red or green, too.
    fn color(self) -> &'static str {
        match self {
            Self::Waits => "#e3e6ea",
            Self::Emptied => "#e69f00",
            Self::Work => "#0072b2",
            Self::Over => "#a7d8c3",
            Self::Skipped => "#b7a7c9",
            Self::Failed => "#d1242f",
        }
    }
}

/// In pixels.
const WIDTH: f64 = 1120.0;
const LEFT: f64 = 130.0;
const CURVES: f64 = 150.0;

impl Timeline {
    /// The whole file.
    #[must_use]
    pub fn html(&self, title: &str, facts: &[(&str, String)]) -> String {
        let mut page = String::with_capacity(1 << 20);
        let escaped = escape(title);
        // Writing into a text can't fail.
        let _ = write!(page, "{HEAD_BEFORE}{escaped}{HEAD_AFTER}<h1>{escaped}</h1>\n<dl>");
        for (name, value) in facts {
            let _ = write!(page, "<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value));
        }
        page.push_str("</dl>\n<p class=\"legend\">");
        for band in Band::ALL {
            let _ = write!(page, "<span><i style=\"background:{}\"></i>{}</span>", band.color(), band.name());
        }
        page.push_str("</p>\n");
        self.curves(&mut page);
        self.hosts(&mut page);
        page.push_str("</main>\n");
        self.script(&mut page);
        page.push_str("</body></html>\n");
        page
    }

    /// Where a moment is drawn.
    fn x(&self, at: Instant) -> f64 {
        let whole = (self.ended_at - self.began_at).num_milliseconds().max(1) as f64;
        let part = (at - self.began_at).num_milliseconds() as f64 / whole;
        LEFT + part.clamp(0.0, 1.0) * (WIDTH - LEFT - 20.0)
    }

    /// Hosts by what they are, and above them servers under way.
    fn curves(&self, page: &mut String) {
        if self.moments.is_empty() {
            return;
        }
        let hosts = self.rows.len().max(1) as f64;
        let _ = write!(
            page,
            "<h2>All hosts</h2>\n<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"Hosts by what they are, over time\">",
            CURVES + 34.0
        );
        let mut below: Vec<f64> = vec![0.0; self.moments.len()];
        for band in Band::ALL.into_iter().rev() {
            let above: Vec<f64> = below
                .iter()
                .zip(&self.moments)
                .map(|(below, moment)| below + moment.hosts[band as usize] as f64)
                .collect();
            let y = |count: &f64| CURVES - count / hosts * (CURVES - 10.0);
            let (up, back) = (self.steps(above.iter().map(y)), self.steps(below.iter().map(y)));
            let points: Vec<String> = up.into_iter().chain(back.into_iter().rev()).collect();
            let _ = write!(page, "<polygon fill=\"{}\" points=\"{}\"/>", band.color(), points.join(" "));
            below = above;
        }
        let most = self.moments.iter().map(|moment| moment.moving).max().unwrap_or(0).max(1) as f64;
        let line = self
            .steps(self.moments.iter().map(|moment| CURVES - moment.moving as f64 / most * (CURVES - 10.0)));
        let _ = write!(
            page,
            "<polyline class=\"moving\" points=\"{}\"/><text x=\"{}\" y=\"20\" text-anchor=\"end\">{} hosts</text>\
             <text x=\"{}\" y=\"38\" text-anchor=\"end\" class=\"small\">line: servers</text>\
             <text x=\"{}\" y=\"52\" text-anchor=\"end\" class=\"small\">under way, most {most}</text>",
            line.join(" "),
            LEFT - 8.0,
            self.rows.len(),
            LEFT - 8.0,
            LEFT - 8.0,
        );
        self.axis(page, CURVES);
        self.deadline_mark(page, CURVES);
        page.push_str("</svg>\n");
    }

    /// A curve through the moments: what was seen at one is so until the next one, and the last one until the end.
    fn steps(&self, heights: impl Iterator<Item = f64>) -> Vec<String> {
        let until = self.moments.iter().skip(1).map(|moment| moment.at).chain([self.ended_at]);
        self.moments
            .iter()
            .zip(until)
            .zip(heights)
            .flat_map(|((moment, until), y)| [moment.at, until].map(|at| format!("{:.1},{y:.1}", self.x(at))))
            .collect()
    }

    fn axis(&self, page: &mut String, y: f64) {
        let minutes = (self.ended_at - self.began_at).num_minutes().max(1);
        let steps = [1, 2, 5, 10, 15, 30, 60, 120, 240, 360, 720, 1440, 2880, 10_080];
        let step = steps.into_iter().find(|step| minutes / step <= 10).unwrap_or(minutes / 10 + 1);
        for tick in 0..=minutes / step {
            let at = self.began_at + chrono::TimeDelta::minutes(tick * step);
            let x = self.x(at);
            let _ = write!(
                page,
                "<path class=\"tick\" d=\"M{x:.1} 8V{y}\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                y + 16.0,
                length(tick * step)
            );
        }
    }

    fn deadline_mark(&self, page: &mut String, y: f64) {
        if self.deadline < self.ended_at {
            let x = self.x(self.deadline);
            let _ = write!(
                page,
                "<path class=\"deadline\" d=\"M{x:.1} 0V{y}\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">deadline</text>",
                y + 30.0
            );
        }
    }

    /// A line for each host, in the order of their turns within a cluster: the stretches of one kind are one path, so that ten thousand hosts
    /// are still drawn at once.
    fn hosts(&self, page: &mut String) {
        let order = self.order();
        let high = row_height(order.len());
        let height = order.len() as f64 * high;
        let _ = write!(
            page,
            "<h2>Host by host</h2>\n<div class=\"rows\"><svg id=\"rows\" viewBox=\"0 0 {WIDTH} {:.0}\" data-high=\"{high}\" data-left=\"{LEFT}\">",
            height + 4.0
        );
        for band in Band::ALL {
            let mut path = String::new();
            for (number, row) in order.iter().enumerate() {
                let y = (number as f64 + 0.5) * high;
                for (index, (at, what)) in row.bands.iter().enumerate() {
                    if *what != band {
                        continue;
                    }
                    let until = row.bands.get(index + 1).map_or(self.ended_at, |(next, _)| *next);
                    let (from, to) = (self.x(*at), self.x(until));
                    let _ = write!(path, "M{from:.1} {y:.1}h{:.1}", (to - from).max(0.3));
                }
            }
            if !path.is_empty() {
                let thick = if high > 6.0 { high - 2.0 } else { high };
                let _ = write!(
                    page,
                    "<path fill=\"none\" stroke=\"{}\" stroke-width=\"{thick}\" d=\"{path}\"/>",
                    band.color()
                );
            }
        }
        self.names(page, &order, high);
        if self.deadline < self.ended_at {
            let x = self.x(self.deadline);
            let _ = write!(page, "<path class=\"deadline\" d=\"M{x:.1} 0V{height:.0}\"/>");
        }
        page.push_str("</svg></div>\n<p id=\"at\" role=\"status\">Point at a host to see its figures.</p>\n");
    }

    /// Of few hosts each, of many only where a cluster begins.
    fn names(&self, page: &mut String, order: &[&Row], high: f64) {
        let mut drawn = f64::NEG_INFINITY;
        let mut cluster = None;
        for (number, row) in order.iter().enumerate() {
            let top = number as f64 * high;
            let begins = cluster != Some(&row.cluster);
            cluster = Some(&row.cluster);
            let (name, y) = if high >= 10.0 {
                (row.host.as_str(), top + high - 3.0)
            } else {
                (row.cluster.as_str(), top + 10.0)
            };
            if high < 10.0 && (!begins || top - drawn < 12.0) {
                continue;
            }
            drawn = top;
            let short: String = name.chars().take(18).collect();
            let _ = write!(
                page,
                "<text x=\"{}\" y=\"{y:.1}\" text-anchor=\"end\" class=\"small\">{}</text>",
                LEFT - 8.0,
                escape(&short)
            );
            if high < 10.0 && number > 0 {
                let _ = write!(page, "<path class=\"tick\" d=\"M0 {top:.1}H{WIDTH}\"/>");
            }
        }
    }

    fn order(&self) -> Vec<&Row> {
        let mut order: Vec<&Row> = self.rows.iter().collect();
        order.sort_by_key(|row| (&row.cluster, row.began_at().unwrap_or(self.ended_at), &row.host));
        order
    }

    /// What is shown of the host that is pointed at.
    fn script(&self, page: &mut String) {
        let minutes = |at: Instant| (at - self.began_at).num_seconds();
        let rows = self.order().into_iter().map(|row| {
            let bands: Vec<(i64, usize)> =
                row.bands.iter().map(|(at, band)| (minutes(*at), *band as usize)).collect();
            json!([row.host, row.cluster, row.servers, bands])
        });
        let names: Vec<&str> = Band::ALL.into_iter().map(Band::name).collect();
        let data =
            json!({ "rows": rows.collect::<Vec<_>>(), "bands": names, "ends": minutes(self.ended_at) });
        // A name that ends the script early would be no name: but it is not for this file to rely on it.
        let data = data.to_string().replace('<', "\\u003c");
        let _ = write!(page, "<script>const data={data};\n{SCRIPT}</script>");
    }
}

/// The more hosts, the thinner: all of them are to be scrolled through in a moment.
fn row_height(hosts: usize) -> f64 {
    match hosts {
        0..=300 => 14.0,
        301..=1500 => 4.0,
        1501..=4000 => 2.0,
        _ => 1.0,
    }
}

/// `45 min`, `6 h`, `2 d`.
fn length(minutes: i64) -> String {
    match minutes {
        0 => "0".to_owned(),
        _ if minutes % 1440 == 0 => format!("{} d", minutes / 1440),
        _ if minutes % 60 == 0 => format!("{} h", minutes / 60),
        1..60 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const HEAD_BEFORE: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>";
const HEAD_AFTER: &str = "</title>
<meta name=\"viewport\" content=\"width=device-width\">
<style>
body{margin:0;background:#fff;color:#1c2024;font:14px/1.45 system-ui,sans-serif}
main{max-width:1180px;margin:0 auto;padding:20px 24px 70px}
h1{font-size:21px;margin:0 0 10px}h2{font-size:15px;margin:20px 0 6px}
dl{display:flex;flex-wrap:wrap;gap:6px 26px;margin:0 0 12px}dt{color:#60646c;font-size:12px}dd{margin:0;font-weight:600}
.legend span{margin-right:18px;white-space:nowrap}.legend i{display:inline-block;width:12px;height:12px;border-radius:2px;margin-right:6px;vertical-align:-1px}
svg{display:block;width:100%;height:auto}text{font:12px system-ui,sans-serif;fill:#1c2024}.small{font-size:11px;fill:#60646c}
.tick{stroke:#00000018;fill:none}.moving{fill:none;stroke:#1c2024;stroke-width:1.3}.deadline{stroke:#d1242f;stroke-width:1.5;stroke-dasharray:5 3;fill:none}
.rows{max-height:70vh;overflow-y:auto;border:1px solid #dfe2e6;border-radius:6px}
#at{position:fixed;left:0;right:0;bottom:0;margin:0;padding:9px 24px;background:#1c2024;color:#fff;min-height:1.45em}
</style></head><body><main>
";

const SCRIPT: &str = "
const svg=document.getElementById('rows'),at=document.getElementById('at');
const long=s=>s<120?s+' s':s<7200?Math.round(s/60)+' min':s<172800?(s/3600).toFixed(1)+' h':(s/86400).toFixed(1)+' days';
svg.addEventListener('mousemove',event=>{
  const box=svg.getBoundingClientRect(),scale=svg.viewBox.baseVal.width/box.width;
  const row=data.rows[Math.floor((event.clientY-box.top)*scale/Number(svg.dataset.high))];
  if(!row)return;
  const [host,cluster,servers,bands]=row;
  at.textContent=host+' ('+cluster+', '+servers+' servers): '+bands.map(([from,band],index)=>{
    const until=index+1<bands.length?bands[index+1][0]:data.ends;
    return data.bands[band]+' from '+long(from)+' for '+long(until-from);
  }).join(', ');
});
";

#[cfg(test)]
mod tests {
    use drover_policies::samples::{NOON, host_name};

    use super::*;

    #[test]
    fn a_picture_asks_nothing_of_anybody_and_a_name_in_it_stays_a_name() {
        let at = |minutes| NOON + chrono::TimeDelta::minutes(minutes);
        let row = |name: &str, cluster: &str, bands| Row {
            host: host_name(name),
            cluster: cluster.to_owned(),
            servers: 3,
            bands,
        };
        let moment = |minutes, hosts| Moment { at: at(minutes), hosts, moving: 1, rate: 7 };
        let timeline = Timeline {
            began_at: NOON,
            ended_at: at(60),
            deadline: at(30),
            rows: vec![
                row(
                    "h1",
                    "</script>",
                    vec![(NOON, Band::Emptied), (at(20), Band::Work), (at(40), Band::Over)],
                ),
                row("h2", "c1", vec![(NOON, Band::Waits), (at(40), Band::Failed)]),
            ],
            moments: vec![moment(0, [1, 1, 0, 0, 0, 0]), moment(60, [0, 0, 0, 1, 0, 1])],
        };
        let html = timeline.html("A <b> & more", &[("hosts", "2".to_owned())]);
        assert!(html.contains("<h1>A &lt;b&gt; &amp; more</h1>"));
        assert_eq!(html.matches("</script>").count(), 1, "the data end it early");
        assert!(!html.contains("http"), "it would load something");
        assert!(html.contains("deadline</text>"));
        for band in [Band::Emptied, Band::Work, Band::Over, Band::Waits, Band::Failed] {
            assert!(html.contains(&format!("stroke=\"{}\"", band.color())), "{}", band.name());
        }
        // Both hosts are there until the end: the curve goes down in a step, not in a slope.
        let moments = vec![moment(0, [1, 1, 0, 0, 0, 0]), moment(30, [0, 0, 0, 1, 0, 1])];
        let stepping = Timeline { moments, ..timeline.clone() };
        let (left, half, right) = (stepping.x(NOON), stepping.x(at(30)), stepping.x(at(60)));
        let expected = format!("{left:.1},1.0 {half:.1},1.0 {half:.1},2.0 {right:.1},2.0");
        assert_eq!(stepping.steps([1.0, 2.0].into_iter()).join(" "), expected);
        // Half of the time is half of the width.
        assert_eq!(timeline.x(at(30)), LEFT + (WIDTH - LEFT - 20.0) / 2.0);
    }
}
