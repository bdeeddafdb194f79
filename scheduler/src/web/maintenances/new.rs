//! What a new maintenance is asked for by: the fields of its form, and what they say as a request of the API.

use drover_pages::form::{Choice, Field, Input};

use crate::http::problem::Problem;
use crate::http::views::{MaintenanceBody, RollingBody, SelectBody};
use crate::web::form::Typed;
use crate::web::shown::upper;
use crate::written;

/// The names of the fields; the address of a plan says the same.
const ASKED: [&str; 4] = ["hosts", "reason", "deadline", "kind"];

/// Those of what is done with one host after the other, as the API has them in `rolling`.
const ROLLING: [&str; 11] = [
    "hosts_at_once",
    "per_cluster",
    "per",
    "per_owner",
    "bandwidth",
    "uplinks",
    "max_failed_hosts",
    "pause_between",
    "warn_after",
    "order",
    "no_hooks",
];

/// What was asked for, without what was left empty.
pub(super) fn asked(typed: &Typed) -> Vec<(String, String)> {
    let given = ASKED.iter().chain(&ROLLING).map(|name| (*name, typed.text(name)));
    given
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect()
}

/// The field of the form that a problem is about.
fn about(problem: &Problem) -> Option<&'static str> {
    let field = problem.more.get("field")?.as_str()?;
    let field = field.strip_prefix("rolling.").unwrap_or(field);
    let name = field.split(['.', '[']).next().unwrap_or(field);
    let name = if name == "select" { "hosts" } else { name };
    ASKED.into_iter().chain(ROLLING).find(|known| *known == name)
}

/// Whether what is wrong is said beside a field.
pub(super) fn is_beside(problem: &Problem) -> bool {
    about(problem).is_some()
}

fn error(name: &str, wrong: Option<&Problem>) -> Option<String> {
    wrong.filter(|problem| about(problem) == Some(name)).map(|problem| upper(&problem.detail))
}

/// What is asked for a new maintenance.
pub(super) fn fields(typed: &Typed, wrong: Option<&Problem>) -> Vec<Field> {
    let field = |name: &'static str, label: &str, hint: &str| {
        Field::line(name, label).value(typed.text(name)).hint(hint).error(error(name, wrong))
    };
    let choice = |value: &str, text: &str| Choice { value: value.to_owned(), text: text.to_owned() };
    let kinds = vec![
        choice("drain", "Empty these hosts, beginning at once"),
        choice("patch", "One after the other: emptied, worked on, back in service"),
        choice("rolling-drain", "One after the other: emptied"),
    ];
    vec![
        field("hosts", "Hosts", "Names, with spaces between them; or * for all.").required(),
        field("reason", "Why", "Owners read it; such as kernel-update.").required(),
        field("deadline", "By when", "Such as 7d, or 2026-12-03T22:00:00Z. Left empty, as policy says."),
        field("kind", "How", "")
            .input(Input::Select(kinds))
            .value(typed.some("kind").unwrap_or("drain"))
            .required(),
        field("hosts_at_once", "Hosts at once", "Left empty, as many as there is room for.")
            .input(Input::Number),
    ]
}

/// What most leave as it is. Nothing of it is for hosts that all begin at once.
pub(super) fn more(typed: &Typed, wrong: Option<&Problem>) -> Vec<Field> {
    let field = |name: &'static str, label: &str, hint: &str| {
        Field::line(name, label).value(typed.text(name)).hint(hint).error(error(name, wrong))
    };
    vec![
        field("per_cluster", "Hosts at once in one cluster", "").input(Input::Number),
        field(
            "per",
            "Hosts at once with the same value of a label",
            "Such as rack=1; several with spaces between them.",
        ),
        field("per_owner", "Servers of one owner at once", "Where policy allows more.").input(Input::Number),
        field(
            "bandwidth",
            "What its live migrations send together, each second",
            "Such as 8Gbit or 500MiB. Each is given a share of it, or waits.",
        ),
        field(
            "uplinks",
            "What they send through the uplink of hosts with the same value of a label",
            "Such as rack=10Gbit, in each direction; several with spaces between them.",
        ),
        field(
            "max_failed_hosts",
            "Failed hosts that are borne",
            "With more, no further host begins. Left empty, none.",
        )
        .input(Input::Number),
        field("pause_between", "Pause after a host's turn", "Such as 5m."),
        field("warn_after", "Tell of a host that takes longer", "Such as 2h."),
        field(
            "order",
            "Order",
            "Such as h2 after h1, or rack=r1 before rack=r2; several with commas between them.",
        ),
        field("no_hooks", "Run no hooks", "").input(Input::Check),
    ]
}

/// The request that was typed.
pub(super) fn body(typed: &Typed) -> Result<MaintenanceBody, Problem> {
    let names: Vec<String> = several(typed, "hosts", [' ', ',']).map(ToOwned::to_owned).collect();
    let all = names == ["*"];
    let kind = match typed.text("kind") {
        "" | "drain" => None,
        kind => Some(kind.trim_start_matches("rolling-")),
    };
    Ok(MaintenanceBody {
        hosts: if all { Vec::new() } else { names },
        select: all.then(|| SelectBody { all: true, ..SelectBody::default() }),
        reason: typed.text("reason").to_owned(),
        deadline: typed.some("deadline").map(ToOwned::to_owned),
        emergency: None,
        rolling: match kind {
            Some(kind) => Some(rolling(typed, kind)?),
            None => none_is_given(typed).map(|()| None)?,
        },
        dry_run: false,
    })
}

/// Hosts that all begin at once keep to policy alone; nobody is to rely on a limit that does not count.
fn none_is_given(typed: &Typed) -> Result<(), Problem> {
    match ROLLING.into_iter().find(|name| typed.some(name).is_some()) {
        None => Ok(()),
        Some(name) => Err(Problem::field(
            name,
            format!(
                "field {name} counts for hosts that are taken one after the other; choose one of these under How, or leave it empty"
            ),
        )),
    }
}

fn rolling(typed: &Typed, kind: &str) -> Result<RollingBody, Problem> {
    let span = |name| typed.some(name).map(ToOwned::to_owned);
    let bandwidth = typed.some("bandwidth").map(|text| read("bandwidth", text, written::rate)).transpose()?;
    let orders = several(typed, "order", [',', ';']).map(|text| read("order", text, written::hint));
    Ok(RollingBody {
        kind: Some(kind.to_owned()),
        hosts_at_once: number(typed, "hosts_at_once", "hosts")?,
        per: several(typed, "per", [' ', ','])
            .map(|text| read("per", text, written::per))
            .collect::<Result<_, _>>()?,
        per_cluster: number(typed, "per_cluster", "hosts")?,
        per_owner: number(typed, "per_owner", "servers")?,
        bandwidth,
        uplinks: several(typed, "uplinks", [' ', ','])
            .map(|text| read("uplinks", text, written::uplink))
            .collect::<Result<_, _>>()?,
        max_failed_hosts: number(typed, "max_failed_hosts", "hosts")?.unwrap_or(0),
        pause_between: span("pause_between"),
        warn_after: span("warn_after"),
        order: orders.collect::<Result<_, _>>()?,
        no_hooks: typed.ticked("no_hooks"),
        ..RollingBody::default()
    })
}

/// What is written between these.
fn several<'a>(typed: &'a Typed, name: &str, between: [char; 2]) -> impl Iterator<Item = &'a str> {
    typed.text(name).split(between).map(str::trim).filter(|text| !text.is_empty())
}

fn number(typed: &Typed, name: &str, of: &str) -> Result<Option<u32>, Problem> {
    let whole = |text: &str| {
        text.parse()
            .map_err(|_| Problem::field(name, format!("{text:?} is no number of {of}; write one such as 2")))
    };
    typed.some(name).map(whole).transpose()
}

fn read<T>(name: &str, text: &str, how: impl Fn(&str) -> Result<T, String>) -> Result<T, Problem> {
    how(text).map_err(|why| Problem::field(name, format!("field {name}: {text:?} is not understood; {why}")))
}
