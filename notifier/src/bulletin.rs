//! What the templates of bulletins can say: the facts of one, in words. The fields of these types are the variables of the templates, so
//! renaming one breaks what operators have written.

use drover_policies::bulletins::{Bulletin, End, FailedHost, Left, Says, Servers, SlowHost, Tally};
use drover_policies::language::Language;
use drover_policies::notices::{Actor, Contact};
use serde::Serialize;

use crate::letter;
use crate::links::{BulletinLinks, Links};
use crate::render::Sheet;
use crate::speech::{Speech, When};
use crate::words;

/// The folder of their templates: one for all kinds, which say little each and share the most of it.
pub(crate) const FOLDER: &str = "maintenance";

/// Hosts that a mail names; the page of the maintenance names all.
const NAMED: usize = 20;
/// Longest text of a person, a hook or a hypervisor in a mail.
const TEXT: usize = 600;

/// Everything that a template of a bulletin can name.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct BulletinLetter {
    kind: &'static str,
    /// The tag of the language that it is written in.
    language: String,
    /// Whither that is written: `ltr` or `rtl`.
    direction: &'static str,
    maintenance: MaintenanceWords,
    links: BulletinLinks,
    #[serde(flatten)]
    told: Told,
}

#[derive(Debug, Clone, Serialize)]
struct MaintenanceWords {
    id: String,
    /// `MT-12`.
    number: String,
    /// `drain`, `patch`, `decommission` or `rebalance`.
    what: &'static str,
    /// Within a sentence: `kernel update`.
    reason: String,
    /// How many hosts it has.
    hosts: usize,
    /// The only one.
    host: Option<String>,
    deadline: When,
    /// Shows it.
    command: String,
}

/// The variables that only this kind has.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Told {
    AwaitsApproval {
        obstacles: Vec<String>,
        approve: String,
    },
    Begun {
        /// An operator's name; nothing where none said so.
        by: Option<String>,
    },
    HostsFailed {
        failed: Vec<FailedWords>,
        /// Those that are not named.
        more: usize,
        count: usize,
        stopped: bool,
        retry: String,
        skip: String,
    },
    Stopped {
        why: String,
    },
    TakesLong {
        slow: Vec<SlowWords>,
        more: usize,
        count: usize,
    },
    DeadlineNear {
        servers: Option<usize>,
        hosts: Option<usize>,
    },
    Late {
        /// Nothing when the deadline has passed.
        expected: Option<When>,
    },
    Over {
        /// `completed`, `failed` or `cancelled`.
        end: &'static str,
        /// Who cancelled it, if an operator did.
        by: Option<String>,
        took: String,
        done: usize,
        skipped: usize,
        left: usize,
        failed: Vec<FailedWords>,
        more: usize,
        count: usize,
        servers: Option<ServersWords>,
    },
}

#[derive(Debug, Clone, Serialize)]
struct FailedWords {
    host: String,
    step: String,
    why: String,
}

#[derive(Debug, Clone, Serialize)]
struct SlowWords {
    host: String,
    stage: String,
    since: String,
}

#[derive(Debug, Clone, Serialize)]
struct ServersWords {
    live: u32,
    by_reboot: u32,
    need_person: u32,
}

impl BulletinLetter {
    /// Puts a bulletin into words for operators.
    pub(crate) fn new(
        bulletin: &Bulletin,
        contact: &Contact,
        links: &Links,
        (language, speech): (&Language, &Speech),
    ) -> Self {
        let maintenance = &bulletin.maintenance;
        let number = words::one_line(&maintenance.number, 20);
        let teller = Teller { number: &number, contact, speech };
        Self {
            kind: bulletin.says.kind(),
            language: language.to_string(),
            direction: letter::direction(language),
            maintenance: MaintenanceWords {
                id: maintenance.id.to_string(),
                what: maintenance.kind.name(),
                reason: words::phrase(&maintenance.reason, TEXT),
                hosts: maintenance.hosts,
                host: maintenance.host.as_ref().filter(|_| maintenance.hosts == 1).map(ToString::to_string),
                deadline: teller.moment(maintenance.deadline),
                command: format!("drover maintenance show {number}"),
                number: number.clone(),
            },
            links: links.of_bulletin(bulletin),
            told: teller.told(&bulletin.says),
        }
    }

    pub(crate) fn sheet(&self) -> Sheet {
        Sheet { folder: FOLDER, mark: "", entry: None, values: minijinja::value::Serde(self).into() }
    }
}

struct Teller<'a> {
    number: &'a str,
    contact: &'a Contact,
    speech: &'a Speech,
}

impl Teller<'_> {
    fn told(&self, says: &Says) -> Told {
        let number = self.number;
        match says {
            Says::AwaitsApproval { obstacles } => Told::AwaitsApproval {
                obstacles: obstacles.iter().map(|obstacle| self.text(obstacle)).collect(),
                approve: format!("drover maintenance approve {number}"),
            },
            Says::Begun { by } => Told::Begun { by: name(by) },
            Says::HostsFailed { failed, wave: _, stopped } => {
                let example = match failed.as_slice() {
                    [only] => only.host.as_str(),
                    _ => "HOST",
                };
                Told::HostsFailed {
                    failed: self.failed(failed),
                    more: failed.len().saturating_sub(NAMED),
                    count: failed.len(),
                    stopped: *stopped,
                    retry: format!("drover maintenance retry-host {number} {example}"),
                    skip: format!("drover maintenance skip-host {number} {example}"),
                }
            }
            Says::Stopped { why } => Told::Stopped { why: words::sentence(&self.speech.said(why), TEXT) },
            Says::TakesLong { hosts } => Told::TakesLong {
                slow: hosts.iter().take(NAMED).map(|slow| self.slow(slow)).collect(),
                more: hosts.len().saturating_sub(NAMED),
                count: hosts.len(),
            },
            Says::DeadlineNear { left } => match left {
                Left::Servers { count } => Told::DeadlineNear { servers: Some(*count), hosts: None },
                Left::Hosts { count } => Told::DeadlineNear { servers: None, hosts: Some(*count) },
            },
            Says::Late { expected } => Told::Late { expected: expected.map(|at| self.moment(at)) },
            Says::Over { end, tally } => self.over(end, tally),
        }
    }

    fn over(&self, end: &End, tally: &Tally) -> Told {
        let (end, by) = match end {
            End::Completed => ("completed", None),
            End::Failed => ("failed", None),
            End::Cancelled { by } => ("cancelled", name(by)),
        };
        let servers =
            |Servers { live, by_reboot, need_person }| ServersWords { live, by_reboot, need_person };
        Told::Over {
            end,
            by,
            took: self.speech.exactly(tally.took),
            done: tally.done,
            skipped: tally.skipped,
            left: tally.left,
            failed: self.failed(&tally.failed),
            more: tally.failed.len().saturating_sub(NAMED),
            count: tally.failed.len(),
            servers: tally.servers.map(servers),
        }
    }

    fn failed(&self, failed: &[FailedHost]) -> Vec<FailedWords> {
        let words = |failed: &FailedHost| FailedWords {
            host: failed.host.to_string(),
            step: self.text(&failed.step),
            why: self.text(&failed.why),
        };
        failed.iter().take(NAMED).map(words).collect()
    }

    fn slow(&self, slow: &SlowHost) -> SlowWords {
        SlowWords {
            host: slow.host.to_string(),
            stage: self.text(&slow.stage),
            since: self.speech.exactly(slow.since),
        }
    }

    fn text(&self, text: &str) -> String {
        words::phrase(&self.speech.said(text), TEXT)
    }

    fn moment(&self, at: drover_policies::time::Instant) -> When {
        self.speech.moment(at, self.contact.timezone)
    }
}

/// Operators may know each other.
fn name(by: &Actor) -> Option<String> {
    match by {
        Actor::Operator { name } => Some(words::name(name, 80)),
        Actor::Owner { .. } | Actor::Drover => None,
    }
}
