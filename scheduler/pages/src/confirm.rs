//! Before something is done that matters: what will happen, in words.

use drover_policies::estimate::Estimate;
use drover_policies::time::Instant;

use crate::form::{Form, Weight};
use crate::{Frame, page};

/// The page between a button and what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirm {
    /// The question: `Cut over db-1 now?`
    pub question: String,
    /// What is to be known first.
    pub lead: String,
    /// Exactly what will happen, in order.
    pub happens: Vec<String>,
    /// What will not.
    pub stays: Vec<String>,
    /// What has changed since the page was drawn that this one was reached from.
    pub changed: Option<String>,
    /// The form that does it.
    pub form: Form,
}

page!(Confirm, "confirm.html", |p, _f| p.question.clone());

/// What a restart needs to be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart<'a> {
    /// The server's name.
    pub server: &'a str,
    /// How long it will be off.
    pub estimate: Option<&'a Estimate>,
    /// Whether it has disks that only its host has.
    pub local_disks: bool,
}

/// How much a maintenance has to do with, as known when it is asked about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reach {
    /// Hosts whose turn is yet to come.
    pub hosts: u32,
    /// Hosts that it has taken.
    pub taken: u32,
    /// Servers on the hosts whose turn is yet to come.
    pub servers: u32,
    /// To how many owners those belong.
    pub owners: u32,
    /// Servers that are being moved now.
    pub moving: u32,
    /// Servers that wait, for whatever it is.
    pub waiting: u32,
    /// Tickets that are open.
    pub tickets: u32,
    /// Of how many owners those are.
    pub owners_with_tickets: u32,
}

impl Confirm {
    /// Before a server is moved by a restart at once: the four things that will happen.
    #[must_use]
    pub fn migrate_now(frame: &Frame, restart: &Restart<'_>, form: Form) -> Self {
        let lead = restart.estimate.map(|estimate| frame.t1("ask-now-lead", frame.estimate(estimate)));
        let delta = restart.local_disks.then_some("cut-delta");
        Self {
            lead: lead.unwrap_or_default(),
            happens: said(frame, delta.into_iter().chain(["cut-off", "cut-fence", "cut-boot"])),
            stays: said(frame, ["stays-running", "stays-address"]),
            ..Self::asked(frame, "ask-now", restart.server, Form { submit: "migrate-now", ..form })
        }
    }

    /// Before a server is taken back. `moved_at`: what it has written to local disks since then is copied back, or is lost if that is accepted.
    #[must_use]
    pub fn revert(frame: &Frame, restart: &Restart<'_>, moved_at: Option<Instant>, form: Form) -> Self {
        let lost = moved_at.map(|since| frame.t1("revert-lost", frame.date_and_clock(&since)));
        let disks = [Some(frame.t("revert-copied")), lost];
        let first = disks.into_iter().flatten().filter(|_| restart.local_disks);
        let lead = restart.estimate.map(|estimate| frame.t1("ask-now-lead", frame.estimate(estimate)));
        Self {
            lead: lead.unwrap_or_default(),
            happens: first.chain(said(frame, ["revert-off", "revert-boot"])).collect(),
            ..Self::asked(
                frame,
                "ask-revert",
                restart.server,
                Form { submit: "revert", weight: Weight::Danger, ..form },
            )
        }
    }

    /// Before the way back is given up.
    #[must_use]
    pub fn all_is_well(frame: &Frame, server: &str, form: Form) -> Self {
        Self {
            happens: said(frame, ["confirm-discard"]),
            ..Self::asked(frame, "ask-confirm", server, Form { submit: "confirm-good", ..form })
        }
    }

    /// Before an owner takes back what he asked for.
    #[must_use]
    pub fn cancel_migration(frame: &Frame, server: &str, form: Form) -> Self {
        Self {
            happens: said(frame, ["cancel-stays"]),
            ..Self::asked(
                frame,
                "ask-cancel",
                server,
                Form { submit: "cancel", weight: Weight::Danger, ..form },
            )
        }
    }

    /// Before a running attempt is stopped.
    #[must_use]
    pub fn abort(frame: &Frame, server: &str, form: Form) -> Self {
        Self {
            happens: said(frame, ["abort-stays", "abort-person"]),
            ..Self::asked(
                frame,
                "ask-abort",
                server,
                Form { submit: "abort", weight: Weight::Danger, ..form },
            )
        }
    }

    /// Before a wait is ended by force.
    #[must_use]
    pub fn force(frame: &Frame, server: &str, form: Form) -> Self {
        Self {
            happens: said(frame, ["force-wait", "force-live"]),
            stays: said(frame, ["force-window"]),
            ..Self::asked(
                frame,
                "ask-force",
                server,
                Form { submit: "force", weight: Weight::Danger, ..form },
            )
        }
    }

    /// Before a maintenance begins.
    #[must_use]
    pub fn approve(frame: &Frame, number: &str, reach: &Reach, form: Form) -> Self {
        Self {
            happens: vec![
                frame.tn("approve-begins", reach.hosts),
                frame.tn("approve-servers", reach.servers),
                frame.tn("approve-owners", reach.owners),
                frame.t("approve-hooks"),
            ],
            ..Self::asked(frame, "ask-approve", number, Form { submit: "approve", ..form })
        }
    }

    /// Before a maintenance is paused.
    #[must_use]
    pub fn pause(frame: &Frame, number: &str, reach: &Reach, form: Form) -> Self {
        Self {
            happens: vec![
                frame.tn("pause-nothing-new", reach.waiting),
                frame.tn("pause-goes-on", reach.moving),
                frame.t("pause-times"),
            ],
            ..Self::asked(frame, "ask-pause", number, Form { submit: "pause", ..form })
        }
    }

    /// Before a maintenance goes on.
    #[must_use]
    pub fn resume(frame: &Frame, number: &str, reach: &Reach, form: Form) -> Self {
        Self {
            happens: vec![frame.tn("resume-goes-on", reach.waiting)],
            ..Self::asked(frame, "ask-resume", number, Form { submit: "resume", ..form })
        }
    }

    /// Before a maintenance is given up.
    #[must_use]
    pub fn cancel_maintenance(frame: &Frame, number: &str, reach: &Reach, form: Form) -> Self {
        Self {
            happens: vec![
                frame.tn("cancel-running", reach.moving),
                frame.tn("cancel-open", reach.taken),
                frame.tn("cancel-tickets", reach.tickets),
            ],
            ..Self::asked(
                frame,
                "ask-cancel-maintenance",
                number,
                Form { submit: "cancel", weight: Weight::Danger, ..form },
            )
        }
    }

    /// Before windows and notice are skipped. The form asks for the reason.
    #[must_use]
    pub fn emergency(frame: &Frame, number: &str, reach: &Reach, form: Form) -> Self {
        Self {
            happens: vec![
                frame.tn("emergency-windows", reach.tickets),
                frame.tn("emergency-told", reach.owners_with_tickets),
            ],
            ..Self::asked(
                frame,
                "ask-emergency",
                number,
                Form { submit: "emergency", weight: Weight::Danger, ..form },
            )
        }
    }

    fn asked(frame: &Frame, question: &str, what: &str, form: Form) -> Self {
        Self {
            question: frame.t1(question, what),
            lead: String::new(),
            happens: Vec::new(),
            stays: Vec::new(),
            changed: None,
            form,
        }
    }
}

fn said(frame: &Frame, keys: impl IntoIterator<Item = &'static str>) -> Vec<String> {
    keys.into_iter().map(|key| frame.t(key)).collect()
}
