//! Maintenances: the list, one of them, and its plan.

use drover_policies::time::{Instant, Span};
use drover_policies::windows::Slot;

use crate::chart::Gantt;
use crate::form::{Actions, Form};
use crate::list::List;
use crate::parts::{Briefs, Events};
use crate::{Label, Tone, page, part};

/// All maintenances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenancesPage {
    /// How they are seen.
    pub list: List,
    /// They.
    pub maintenances: Vec<MaintenanceRow>,
}

/// A maintenance in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenanceRow {
    /// `MT-12`.
    pub number: String,
    /// Why.
    pub reason: String,
    /// How it stands.
    pub state: Label,
    /// Whether windows and notice are skipped.
    pub emergency: bool,
    /// Hosts that are over.
    pub hosts_done: u32,
    /// All of them.
    pub hosts: u32,
    /// Its servers.
    pub counts: Counts,
    /// When the hosts must be free.
    pub deadline: Instant,
    /// Whether that is near, or past.
    pub deadline_tone: Tone,
    /// When it will be over at the pace so far.
    pub forecast: Option<Instant>,
    /// Who asked for it.
    pub requested_by: String,
}

/// Servers of a maintenance by where they are. Each counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All of them.
    pub total: u32,
    /// Moved while they ran.
    pub moved_live: u32,
    /// Moved by a reboot, or while they were off.
    pub moved_by_reboot: u32,
    /// Resolved without us.
    pub avoided: u32,
    /// Being moved now.
    pub moving: u32,
    /// Waiting for the time agreed with their owners.
    pub waiting_for_owner: u32,
    /// Waiting for something that comes by itself.
    pub waiting: u32,
    /// Needing a person.
    pub needs_person: u32,
    /// Given up with the maintenance.
    pub cancelled: u32,
    /// On hosts whose turn is yet to come.
    pub to_come: u32,
}

impl Counts {
    fn done(&self) -> u32 {
        self.moved_live + self.moved_by_reboot + self.avoided
    }

    fn percent(&self) -> u8 {
        u8::try_from(u64::from(self.done()) * 100 / u64::from(self.total.max(1))).unwrap_or(100)
    }

    /// Those of which there are any.
    fn parts(&self) -> Vec<(&'static str, u32, Tone)> {
        let all = [
            ("count-moved-live", self.moved_live, Tone::Good),
            ("count-moved-by-reboot", self.moved_by_reboot, Tone::Good),
            ("count-avoided", self.avoided, Tone::Good),
            ("count-moving", self.moving, Tone::Busy),
            ("count-waiting-for-owner", self.waiting_for_owner, Tone::Waits),
            ("count-waiting", self.waiting, Tone::Waits),
            ("count-to-come", self.to_come, Tone::Quiet),
            ("count-needs-person", self.needs_person, Tone::Bad),
            ("count-cancelled", self.cancelled, Tone::Quiet),
        ];
        all.into_iter().filter(|(_, count, _)| *count > 0).collect()
    }
}

page!(MaintenancesPage, "console/maintenances.html", |_p, f| f.t("nav-maintenances"));

/// One maintenance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenancePage {
    /// What changes while one looks.
    pub live: MaintenanceLive,
}

/// How a maintenance stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenanceLive {
    /// `MT-12`.
    pub number: String,
    /// Why.
    pub reason: String,
    /// How it stands.
    pub state: Label,
    /// Who asked for it.
    pub requested_by: String,
    /// When.
    pub requested_at: Instant,
    /// When the hosts must be free.
    pub deadline: Instant,
    /// Whether that is near, or past.
    pub deadline_tone: Tone,
    /// What the emergency is, if it is one.
    pub emergency: Option<String>,
    /// Its servers.
    pub counts: Counts,
    /// When it will be over at the pace so far.
    pub forecast: Option<Instant>,
    /// Why no further host begins, if none does.
    pub halted: Option<String>,
    /// Migrations that need a person, each with why.
    pub needs_person: Briefs,
    /// What moves now.
    pub moving: Briefs,
    /// What waits, and for what; the first of them.
    pub waiting: Briefs,
    /// How many more wait.
    pub more_waiting: u32,
    /// Its hosts: those in work and those that failed first.
    pub hosts: Vec<Turn>,
    /// How many more there are.
    pub more_hosts: u32,
    /// What can be done: approve it once its draft is made, pause it once it runs.
    pub actions: Actions,
    /// Hosts and migrations over time.
    pub gantt: Option<Gantt>,
    /// What happened of late.
    pub events: Events,
}

/// A host of a maintenance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Its name.
    pub host: String,
    /// How far it is.
    pub state: Label,
    /// The step that it is at, and which try of it; or why it failed or was left out.
    pub text: String,
    /// The wave that it comes in.
    pub wave: Option<u32>,
    /// When its turn came.
    pub began_at: Option<Instant>,
    /// When its turn was over.
    pub ended_at: Option<Instant>,
    /// Servers still seen on it.
    pub servers_left: u32,
    /// What can be done with it.
    pub actions: Actions,
}

page!(MaintenancePage, "console/maintenance.html", |p, _f| format!("{}: {}", p.live.number, p.live.reason));
part!(MaintenanceLive, "console/maintenance_live.html");

/// What a maintenance will do: one that waits for approval, one that runs, or one that is only thought of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanPage {
    /// `MT-12`; nothing of one that is only thought of.
    pub number: Option<String>,
    /// Why.
    pub reason: String,
    /// When it was made.
    pub made_at: Instant,
    /// How many moves it takes.
    pub moves: Moves,
    /// How long the moves take of hosts whose turn is yet to come.
    pub takes: Option<Takes>,
    /// How its servers are seen.
    pub list: List,
    /// Servers of the hosts whose turn has come, in the order in which they are best begun, then those of the others; before the first host has
    /// begun all of them, once for each of their moves.
    pub servers: Vec<Planned>,
    /// How many by method: the key of the words, and the number.
    pub methods: Vec<(&'static str, u32)>,
    /// The hosts whose turn is yet to come.
    pub waves: Vec<Wave>,
    /// What waits for what, and what should be known.
    pub remarks: Vec<String>,
    /// What can be done.
    pub actions: Actions,
    /// The form that begins one that is only thought of.
    pub start: Option<Form>,
}

/// How many moves a plan has, beside the fewest that it could have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moves {
    /// Planned on the hosts whose turn has come.
    pub planned: u32,
    /// The fewest by which those hosts are empty.
    pub least: u32,
    /// Planned on the hosts whose turn is yet to come.
    pub later: u32,
    /// The fewest by which those hosts are empty.
    pub least_later: u32,
    /// Of a rebalance, which empties no host.
    pub evens_out: u32,
}

impl Moves {
    /// What could not be planned, beside the fewest that it takes.
    fn gap(&self) -> u32 {
        self.least.saturating_sub(self.planned)
    }

    /// So many more than it takes at the least: servers that move twice.
    fn twice(&self) -> u32 {
        self.later.saturating_sub(self.least_later)
    }
}

/// How long moves take if nothing but moving takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Takes {
    /// As often longer as shorter.
    pub expected: Span,
    /// Nine times in ten no longer than this.
    pub p90: Span,
    /// No schedule is shorter.
    pub least: Span,
}

/// When a server would be restarted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlannedTime {
    /// Then.
    At(Slot),
    /// There is no time.
    Never {
        /// Why.
        why: String,
        /// What would have to change.
        would_help: String,
    },
}

/// What is done with one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its id.
    pub server: String,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub owner: String,
    /// The host that it leaves.
    pub from: String,
    /// What is done: the key of the word.
    pub decision: Label,
    /// Where it goes.
    pub to: Option<String>,
    /// Why there.
    pub place_why: String,
    /// Why it does not simply go live: a stable word and a sentence.
    pub why: Option<(String, String)>,
    /// Who has to agree to the time: the key of the words.
    pub agreement: &'static str,
    /// When, if somebody has to agree to it.
    pub time: Option<PlannedTime>,
    /// The wave of its host; nothing once the host's turn has come.
    pub wave: Option<u32>,
    /// When it would begin if nothing but moving took time.
    pub begins: Option<Span>,
    /// How long it will take.
    pub expected: Option<Span>,
    /// How long the server will stand still or be off in that time.
    pub downtime: Option<Span>,
}

/// Hosts that are emptied together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wave {
    /// From 1.
    pub number: u32,
    /// They.
    pub hosts: Vec<String>,
    /// Why they come in this wave.
    pub because: String,
    /// Whether somebody has to do something before they can be emptied.
    pub obstacle: bool,
}

page!(PlanPage, "console/plan.html", |p, f| match &p.number {
    Some(number) => f.t1("plan-of", number),
    None => f.t1("plan-for", &p.reason),
});

impl PlanPage {
    fn tabs(&self) -> crate::parts::Tabs {
        self.number.as_deref().map(|number| tabs(number, true)).unwrap_or_default()
    }
}

impl MaintenancePage {
    fn tabs(&self) -> crate::parts::Tabs {
        tabs(&self.live.number, false)
    }
}

fn tabs(number: &str, plan: bool) -> crate::parts::Tabs {
    let tab = |href: String, name, current| crate::parts::Tab { href, name, current };
    crate::parts::Tabs(vec![
        tab(format!("/maintenances/{number}"), "tab-progress", !plan),
        tab(format!("/maintenances/{number}/plan"), "tab-plan", plan),
    ])
}
