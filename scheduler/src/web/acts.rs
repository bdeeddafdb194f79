//! What can be done with a migration, from the console and from the portal: a page that says exactly what will happen, and the form on it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use drover_pages::confirm::{Confirm, Restart};
use drover_pages::form::{Field, Form, Input, Weight};
use drover_policies::attempt::Phase;
use drover_policies::migration::{Attempt, Loss, Migration};
use drover_policies::replica::TestResult;
use drover_policies::time::Instant;

use super::form::{Posted, Typed};
use super::migrations::expected;
use super::portal::{Refused, times_page};
use super::see;
use super::session::{Anybody, AtConsole, Visitor};
use super::shown::{Shown, say, upper};
use super::when;
use crate::app::App;
use crate::commands::migrations::MigrationWish;
use crate::commands::replicas::ReplicaWish;
use crate::commands::{Reply, Wish, store_problem};
use crate::http::events::told_since;
use crate::http::extract::{Envelope, IfMatch};
use crate::http::problem::{Kind, Problem};
use crate::store::{EventFilter, Role, Versioned};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/migrations/{migration}/{act}", get(ask_operator).post(act_operator))
        .route("/my/migrations/{migration}/{act}", get(ask_owner).post(act_owner))
}

/// What can be done with a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Abort,
    Retry,
    Force,
    Approve,
    Decline,
    Reschedule,
    StartNow,
    Cancel,
    Confirm,
    Revert,
    Sync,
    PauseReplica,
    ResumeReplica,
    LaunchTest,
    EndTest,
    TestPassed,
    TestFailed,
}

/// How an act is spoken of.
struct Words {
    /// The key of the words on the button.
    button: &'static str,
    /// When it is done.
    done: &'static str,
}

impl Act {
    const ALL: [(&'static str, Self); 17] = [
        ("abort", Self::Abort),
        ("retry", Self::Retry),
        ("force", Self::Force),
        ("approve", Self::Approve),
        ("decline", Self::Decline),
        ("reschedule", Self::Reschedule),
        ("start-now", Self::StartNow),
        ("cancel", Self::Cancel),
        ("confirm", Self::Confirm),
        ("revert", Self::Revert),
        ("sync", Self::Sync),
        ("pause-replica", Self::PauseReplica),
        ("resume-replica", Self::ResumeReplica),
        ("test", Self::LaunchTest),
        ("end-test", Self::EndTest),
        ("test-passed", Self::TestPassed),
        ("test-failed", Self::TestFailed),
    ];

    fn named(name: &str, owner: bool) -> Result<Self, Problem> {
        let found = Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, act)| act);
        found.filter(|act| !owner || act.is_owners()).ok_or_else(|| Problem::not_found("page", name))
    }

    /// Whether an owner may do it with what is his.
    fn is_owners(self) -> bool {
        match self {
            Self::Abort | Self::Retry | Self::Force | Self::PauseReplica | Self::ResumeReplica => false,
            Self::Approve
            | Self::Decline
            | Self::Reschedule
            | Self::StartNow
            | Self::Cancel
            | Self::Confirm
            | Self::Revert
            | Self::Sync
            | Self::LaunchTest
            | Self::EndTest
            | Self::TestPassed
            | Self::TestFailed => true,
        }
    }

    fn is_final(self) -> bool {
        matches!(
            self,
            Self::Abort | Self::Force | Self::StartNow | Self::Cancel | Self::Confirm | Self::Revert
        )
    }

    fn words(self) -> Words {
        let words = |button, done| Words { button, done };
        match self {
            Self::Abort => words("abort", "It is being stopped."),
            Self::Retry => words("retry", "It begins anew."),
            Self::Force => words("force", "Forced."),
            Self::Approve => words("accept-time", "Agreed."),
            Self::Decline => words("decline-time", "Declined; another time is proposed."),
            Self::Reschedule => words("choose-this-time", "Moved to the time that you chose."),
            Self::StartNow => words("migrate-now", "It begins."),
            Self::Cancel => words("cancel", "Taken back."),
            Self::Confirm => words("confirm-good", "Confirmed. Thank you."),
            Self::Revert => words("revert", "It is being taken back."),
            Self::Sync => words("sync-now", "A round is done next."),
            Self::PauseReplica => words("pause-copy", "Paused."),
            Self::ResumeReplica => words("resume-copy", "Rounds are done again."),
            Self::LaunchTest => words("launch-test", "The test is launched next."),
            Self::EndTest => words("end-test", "The test is being ended."),
            Self::TestPassed => words("test-passed", "Noted."),
            Self::TestFailed => words("test-failed", "Noted."),
        }
    }

    /// What will happen, and what will not, where the pages have no words of their own for it.
    fn outlook(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Retry => (&["The move is planned again, with a place as it is free now."], &[]),
            Self::Approve => (
                &["The server is moved at the proposed time."],
                &["It can be moved to another time until shortly before."],
            ),
            Self::Decline => (&["The proposed time is given up.", "Another one is proposed at once."], &[]),
            Self::Reschedule => (&["The server is moved at the time that you choose."], &[]),
            Self::Sync => (&["A round is done at once."], &["The server goes on running."]),
            Self::PauseReplica => (&["No further round is done; the copy falls behind."], &[]),
            Self::ResumeReplica => (&["Rounds are done again."], &[]),
            Self::LaunchTest => (
                &[
                    "A copy of the server is booted at its new host, cut off from its network.",
                    "A test that runs is ended first, and its disks are deleted.",
                ],
                &["The server itself is not touched, and its copy goes on being kept up to date."],
            ),
            Self::EndTest => (&["The test guest is switched off, and its disks are deleted."], &[]),
            Self::TestPassed => (&["It is noted."], &[]),
            Self::TestFailed => {
                (&["It is noted, and operators see it."], &["It changes nothing about the move."])
            }
            Self::Abort | Self::Force | Self::StartNow | Self::Cancel | Self::Confirm | Self::Revert => {
                (&[], &[])
            }
        }
    }

    /// What is asked besides.
    fn fields(self, typed: &Typed, wrong: Option<(&str, String)>, local_disks: bool) -> Vec<Field> {
        let error =
            |name: &str| wrong.as_ref().filter(|(field, _)| *field == name).map(|(_, text)| text.clone());
        match self {
            Self::Reschedule => vec![
                Field::line("start", "When")
                    .input(Input::Moment)
                    .value(typed.text("start"))
                    .error(error("start"))
                    .required(),
            ],
            Self::Revert => {
                let when = Field::line("at", "When")
                    .input(Input::Moment)
                    .value(typed.text("at"))
                    .error(error("at"))
                    .hint("Left empty, it begins as soon as it can.");
                let loss = Field::line("accept_data_loss", "Give up what was written since, and be faster")
                    .input(Input::Check)
                    .value(typed.text("accept_data_loss"));
                // Without local disks there is nothing to give up.
                std::iter::once(when).chain(local_disks.then_some(loss)).collect()
            }
            Self::Abort
            | Self::Retry
            | Self::Force
            | Self::Approve
            | Self::Decline
            | Self::StartNow
            | Self::Cancel
            | Self::Confirm
            | Self::Sync
            | Self::PauseReplica
            | Self::ResumeReplica
            | Self::LaunchTest
            | Self::EndTest
            | Self::TestPassed
            | Self::TestFailed => Vec::new(),
        }
    }

    async fn carry_out(
        self,
        wish: &Wish,
        name: &str,
        typed: &Typed,
        zone: chrono_tz::Tz,
    ) -> Result<Reply, Problem> {
        let of = |wished| wish.migration(name, wished);
        let replica = |wished| wish.replica(name, wished);
        match self {
            Self::Abort => of(MigrationWish::Abort).await,
            Self::Retry => of(MigrationWish::Retry).await,
            Self::Force => of(MigrationWish::Force).await,
            Self::Approve => of(MigrationWish::Approve).await,
            Self::Decline => of(MigrationWish::Decline).await,
            Self::Reschedule => {
                let start = when::required("start", typed, zone)?;
                of(MigrationWish::Reschedule { start }).await
            }
            Self::StartNow => of(MigrationWish::StartNow).await,
            Self::Cancel => wish.cancel(name).await,
            Self::Confirm => of(MigrationWish::Confirm).await,
            Self::Revert => {
                let loss = if typed.ticked("accept_data_loss") { Loss::Accepted } else { Loss::None };
                wish.revert(name, when::optional("at", typed, zone)?, loss).await
            }
            Self::Sync => replica(ReplicaWish::Sync).await,
            Self::PauseReplica => replica(ReplicaWish::Pause).await,
            Self::ResumeReplica => replica(ReplicaWish::Resume).await,
            Self::LaunchTest => replica(ReplicaWish::LaunchTest).await,
            Self::EndTest => replica(ReplicaWish::EndTest).await,
            Self::TestPassed => replica(ReplicaWish::MarkTest(TestResult::Passed)).await,
            Self::TestFailed => replica(ReplicaWish::MarkTest(TestResult::Failed)).await,
        }
    }
}

/// An act with a migration, and where its page is.
struct Asked {
    act: Act,
    found: Versioned<Migration>,
    page: String,
    name: &'static str,
}

impl Asked {
    async fn of(app: &App, visitor: &Visitor, root: &str, given: &str, act: &str) -> Result<Self, Problem> {
        let found = visitor.migration(app, given).await?;
        let act = Act::named(act, visitor.caller.owner().is_some())?;
        let page = format!("{root}/DR-{}", found.value.number);
        let name = Act::ALL.into_iter().find(|(_, known)| *known == act).map_or("", |(name, _)| name);
        Ok(Self { act, found, page, name })
    }

    /// The page that says what will happen.
    async fn confirm(
        &self,
        app: &App,
        shown: &Shown,
        typed: &Typed,
        wrong: Option<(&str, String)>,
        changed: Option<String>,
    ) -> Result<Confirm, Problem> {
        let words = self.act.words();
        let (migration, frame) = (&self.found.value, shown.around(app).await?);
        let server = migration.server_name.as_str();
        let estimate = expected(app, migration).await?;
        let local_disks = migration.place.as_ref().is_some_and(|place| !place.disks.is_empty());
        let restart = Restart { server, estimate: Some(&estimate), local_disks };
        let form = Form {
            action: format!("{}/{}", self.page, self.name),
            fields: self.act.fields(typed, wrong, local_disks),
            submit: words.button,
            weight: if self.act.is_final() { Weight::Danger } else { Weight::Main },
            generation: Some(seen(app, &self.found).await?),
            back: Some(self.page.clone()),
            ..Form::default()
        };
        let (happens, stays) = self.act.outlook();
        let text = |lines: &[&str]| lines.iter().map(|line| frame.t(line)).collect();
        let page = match self.act {
            Act::StartNow => Confirm::migrate_now(&frame, &restart, form),
            Act::Revert => Confirm::revert(&frame, &restart, migration.attempts.last().map(off_since), form),
            Act::Confirm => Confirm::all_is_well(&frame, server, form),
            Act::Cancel => Confirm::cancel_migration(&frame, server, form),
            Act::Abort => Confirm::abort(&frame, server, form),
            Act::Force => Confirm::force(&frame, server, form),
            Act::Retry
            | Act::Approve
            | Act::Decline
            | Act::Reschedule
            | Act::Sync
            | Act::PauseReplica
            | Act::ResumeReplica
            | Act::LaunchTest
            | Act::EndTest
            | Act::TestPassed
            | Act::TestFailed => Confirm {
                question: format!("{server}: {}?", frame.t(words.button)),
                lead: String::new(),
                happens: text(happens),
                stays: text(stays),
                changed: None,
                form,
            },
        };
        Ok(Confirm { changed, ..page })
    }
}

/// Since when what a server writes is on its new disks alone: since it was switched off where it was, or a little before that.
fn off_since(attempt: &Attempt) -> Instant {
    let off = attempt.phases.iter().position(|done| done.phase == Phase::PowerOffSource).unwrap_or(0);
    // Counted from the order on: when the end was heard of says nothing of when it was.
    let before = attempt.phases[..off].iter().map(|done| done.took.delta());
    before.fold(attempt.began_at, |at, took| at + took)
}

/// What a page knows of a thing: its generation, and how far the story was told. A form brings it back, so that it can be said what has changed since.
pub(super) async fn seen<T>(app: &App, found: &Versioned<T>) -> Result<String, Problem> {
    let latest = app.store.latest_event().await.map_err(|error| store_problem(&error))?;
    Ok(format!("{}-{latest}", found.generation))
}

/// What has happened since a form was drawn, in words.
pub(super) async fn changed(
    app: &App,
    visitor: &Visitor,
    shown: &Shown,
    filter: &EventFilter,
    envelope: &Envelope,
) -> Result<String, Problem> {
    let seen = match &envelope.if_match {
        IfMatch::One(etags) => etags.first().and_then(|etag| etag.split_once('-')?.1.parse().ok()),
        IfMatch::Any => None,
    };
    let told = match seen {
        Some(seq) => told_since(app, &visitor.caller, filter, seq).await?,
        None => Vec::new(),
    };
    let frame = shown.around(app).await?;
    if told.is_empty() {
        return Ok(frame.t("stale"));
    }
    let told: Vec<String> = told.iter().map(|event| frame.saying(&event.saying())).collect();
    Ok(frame.t1("stale-since", told.join("; ")))
}

async fn ask(
    app: &App,
    visitor: &Visitor,
    shown: &Shown,
    root: &str,
    (given, act): (String, String),
) -> Result<Response, Problem> {
    let asked = Asked::of(app, visitor, root, &given, &act).await?;
    shown.page(app, &asked.confirm(app, shown, &Typed::default(), None, None).await?).await
}

async fn act<W>(
    app: Arc<App>,
    visitor: &Visitor,
    shown: &Shown,
    root: &str,
    (given, act): (String, String),
    posted: &Posted<W>,
) -> Result<Response, Problem> {
    let Posted { typed, envelope, .. } = posted;
    let asked = Asked::of(&app, visitor, root, &given, &act).await?;
    // Named by the page that it comes from; its version is looked at here, where it can be said what has changed.
    let named = Envelope { if_match: IfMatch::Any, ..envelope.clone() };
    let wish = visitor.wish(&app, named);
    let repeat = wish.is_repeat().await?;
    if !repeat && envelope.if_match.check(asked.found.generation).is_err() {
        let of = EventFilter { migration: Some(asked.found.value.id), ..EventFilter::default() };
        let changed = changed(&app, visitor, shown, &of, envelope).await?;
        let page = asked.confirm(&app, shown, typed, None, Some(changed)).await?;
        return shown.refused(&app, Kind::PreconditionFailed, &page).await;
    }
    let zone = shown.zone(&app).await?;
    // By its id: a wish about a revert that shares the number finds it from there.
    let done = asked.act.carry_out(&wish, &asked.found.value.id.to_string(), typed, zone).await;
    match done {
        Ok(_) => {
            say(&app, visitor, true, asked.act.words().done).await?;
            see(&asked.page)
        }
        Err(problem) if problem.status >= 500 => Err(problem),
        Err(problem) => {
            let problem = shown.told(&app, problem).await?;
            refused(&app, visitor, shown, (root, &asked), typed, problem).await
        }
    }
}

/// What was refused, told where it can be mended.
async fn refused(
    app: &App,
    visitor: &Visitor,
    shown: &Shown,
    (root, asked): (&str, &Asked),
    typed: &Typed,
    problem: Problem,
) -> Result<Response, Problem> {
    let field = problem.slug() == Kind::InvalidField.slug();
    // Whoever chooses a time sees the free ones beside what was wrong with his.
    if asked.act == Act::Reschedule && root == PORTAL {
        let refused = Refused {
            why: (!field).then(|| upper(&problem.detail)),
            typed: typed.text("start").to_owned(),
            error: field.then_some(problem.detail),
        };
        let page = times_page(app, &asked.found, shown.zone(app).await?, &refused).await?;
        let kind = if field { Kind::InvalidField } else { Kind::Appointment };
        return shown.refused(app, kind, &page).await;
    }
    if field {
        let field = problem.more.get("field").and_then(|field| field.as_str()).unwrap_or_default();
        let page = asked.confirm(app, shown, typed, Some((field, problem.detail)), None).await?;
        return shown.refused(app, Kind::InvalidField, &page).await;
    }
    say(app, visitor, false, &problem.detail).await?;
    see(&asked.page)
}

const CONSOLE: &str = "/migrations";
const PORTAL: &str = "/my/migrations";

async fn ask_operator(
    State(app): State<Arc<App>>,
    AtConsole(visitor): AtConsole,
    Path(of): Path<(String, String)>,
    shown: Shown,
) -> Result<Response, Problem> {
    ask(&app, &visitor, &shown, CONSOLE, of).await
}

async fn act_operator(
    State(app): State<Arc<App>>,
    Path(of): Path<(String, String)>,
    shown: Shown,
    posted: Posted<AtConsole>,
) -> Result<Response, Problem> {
    let visitor = posted.who.0.clone();
    act(app, &visitor, &shown, CONSOLE, of, &posted).await
}

/// The portal's pages are for those to whom the server belongs; operators have their own.
pub(super) fn owners(visitor: &Visitor) -> Result<(), Problem> {
    match visitor.caller.role {
        Role::Owner(_) => Ok(()),
        Role::Operator | Role::Agent(_) => Err(Problem::new(
            Kind::WrongToken,
            "this page is for owners; operators find the same under /migrations",
        )),
    }
}

async fn ask_owner(
    State(app): State<Arc<App>>,
    Anybody(visitor): Anybody,
    Path(of): Path<(String, String)>,
    shown: Shown,
) -> Result<Response, Problem> {
    owners(&visitor)?;
    ask(&app, &visitor, &shown, PORTAL, of).await
}

async fn act_owner(
    State(app): State<Arc<App>>,
    Path(of): Path<(String, String)>,
    shown: Shown,
    posted: Posted<Anybody>,
) -> Result<Response, Problem> {
    let visitor = posted.who.0.clone();
    owners(&visitor)?;
    act(app, &visitor, &shown, PORTAL, of, &posted).await
}

#[cfg(test)]
mod tests {
    use drover_policies::attempt::{Method, PhaseDone};
    use drover_policies::ids::OperationId;
    use drover_policies::time::Span;

    use super::super::german;
    use super::*;

    #[test]
    fn whatever_is_said_about_an_act_is_said_in_german_too() {
        let german = german();
        for (name, act) in Act::ALL.into_iter().filter(|(_, act)| act.is_owners()) {
            let (happens, stays) = act.outlook();
            let fields = act.fields(&Typed::default(), None, true);
            let labels = fields.iter().flat_map(|field| [field.label.as_str(), field.hint.as_str()]);
            let said = happens.iter().chain(stays).copied().chain([act.words().done, act.words().button]);
            for text in said.chain(labels).filter(|text| !text.is_empty()) {
                assert_ne!(german.t(text), text, "{name}");
            }
        }
    }

    #[test]
    fn what_is_lost_by_a_revert_counts_from_the_power_off_and_never_from_later() {
        let began_at = Instant::UNIX_EPOCH;
        let done = |phase, seconds| PhaseDone { phase, took: Span::seconds(seconds), sent_bytes: 0 };
        let attempt = |phases| Attempt {
            operation: OperationId(uuid::Uuid::nil()),
            method: Method::Reboot,
            to: "h2".parse().expect("a name"),
            began_at,
            rate: None,
            end: None,
            phases,
        };
        let phases =
            vec![done(Phase::FinalDelta, 40), done(Phase::PowerOffSource, 20), done(Phase::BootTarget, 300)];
        assert_eq!(off_since(&attempt(phases)), began_at + Span::seconds(40).delta());
        // An agent that told of no phase, and a server that was off: since it was ordered.
        assert_eq!(off_since(&attempt(Vec::new())), began_at);
        assert_eq!(off_since(&attempt(vec![done(Phase::BootTarget, 300)])), began_at);
    }

    #[test]
    fn what_operators_alone_may_do_has_no_page_for_owners() {
        for act in ["abort", "retry", "force", "pause-replica", "resume-replica"] {
            assert!(Act::named(act, false).is_ok() && Act::named(act, true).is_err(), "{act}");
        }
        assert!(Act::named("drop-table", false).is_err());
    }
}
