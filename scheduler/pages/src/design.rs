//! The rules of the design, and every component of it, on a page of its own.

use drover_policies::time::Instant;
use drover_policies::windows::Slot;

use crate::form::{Action, Actions, Choice, Field, Form, Input, Weight};
use crate::list::{Filter, List};
use crate::parts::{Event, Events, Phase, PhaseStanding, Phases, Tab, Tabs, Tooks};
use crate::{Frame, Label, Tone, page};

/// All components, drawn by the same code as on every other page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DesignPage {}

page!(DesignPage, "design.html", |_p, _f| "Design".to_owned());

const HOUR: chrono::TimeDelta = chrono::TimeDelta::hours(1);

impl DesignPage {
    fn tones(self) -> [(Tone, &'static str, &'static str); 6] {
        Tone::ALL.map(|tone| match tone {
            Tone::Quiet => (tone, "quiet", "There is nothing to look at: cancelled, off, not begun."),
            Tone::Busy => (tone, "busy", "Something goes on by itself."),
            Tone::Waits => {
                (tone, "waits", "It waits, as it should: for its turn, for a time that was agreed.")
            }
            Tone::Good => (tone, "good", "It is well."),
            Tone::Warn => (tone, "warn", "It may become a problem, or somebody should look at it soon."),
            Tone::Bad => (tone, "bad", "Nothing will go on before somebody does something."),
        })
    }

    fn states(self) -> [Label; 6] {
        [
            Label::new("state-cancelled", Tone::Quiet),
            Label::new("state-transferring", Tone::Busy),
            Label::new("state-ready", Tone::Waits),
            Label::new("state-closed", Tone::Good),
            Label::new("state-rolled-back", Tone::Warn),
            Label::new("state-failed", Tone::Bad),
        ]
    }

    fn buttons(self) -> Actions {
        Actions(vec![
            Action::ask("migrate-now", "#buttons", Weight::Main),
            Action::ask("pick-another-time", "#buttons", Weight::Plain),
            Action::ask("revert", "#buttons", Weight::Danger),
        ])
    }

    fn form(self) -> Form {
        let choices = ["f-scope-account", "f-scope-server"]
            .map(|text| Choice { value: text.to_owned(), text: text.to_owned() })
            .to_vec();
        Form {
            action: "/design".to_owned(),
            fields: vec![
                Field::line("cron", "f-cron").hint("f-cron-hint").value("0 2 * *").required().error(Some(
                    "\"0 2 * *\" has four parts and needs five; 0 2 * * 0 is every Sunday at 02:00"
                        .to_owned(),
                )),
                Field::line("scope", "f-scope").input(Input::Radio(choices)).value("f-scope-account"),
                Field::line("reminders", "f-reminders").input(Input::Check).value("on"),
            ],
            submit: "save",
            back: Some("/design".to_owned()),
            ..Form::default()
        }
    }

    fn list(self) -> List {
        let filter = Filter {
            name: "state",
            label: "col-state",
            choices: vec![Choice { value: "open".to_owned(), text: "state-open-ticket".to_owned() }],
            chosen: String::new(),
        };
        List {
            path: "/design".to_owned(),
            sort: "server".to_owned(),
            q: String::new(),
            filters: vec![filter],
            kept: Vec::new(),
            page: 1,
            total: 120,
            per_page: 50,
        }
    }

    fn tabs(self) -> Tabs {
        let tab = |name, current| Tab { href: "/design".to_owned(), name, current };
        Tabs(vec![tab("tab-progress", true), tab("tab-plan", false)])
    }

    fn phases(self) -> Phases {
        let phase = |name, standing, text: &str| Phase {
            name,
            standing,
            text: text.to_owned(),
            percent: None,
            took: Tooks::default(),
        };
        Phases(vec![
            phase("phase-prepare", PhaseStanding::Past, "40 GiB in 12 minutes"),
            phase("phase-delta", PhaseStanding::Now, "31 %"),
            phase("phase-boot", PhaseStanding::Ahead, ""),
            phase("phase-verify", PhaseStanding::Stuck, ""),
            phase("phase-confirm", PhaseStanding::GivenUp, ""),
        ])
    }

    fn events(self, frame: &Frame) -> Events {
        let event = |hours: i32, text: &str, tone| Event {
            at: frame.now - HOUR * hours,
            subject: "db-1".to_owned(),
            href: None,
            text: text.into(),
            tone,
        };
        Events(vec![event(2, "live migration begins", Tone::Busy), event(1, "did not converge", Tone::Warn)])
    }

    fn runs(self) -> Label {
        Label::new("state-runs", Tone::Good)
    }

    fn slot(self, frame: &Frame) -> Slot {
        Slot { start: self.soon(frame), end: self.soon(frame) + HOUR * 2 }
    }

    fn soon(self, frame: &Frame) -> Instant {
        frame.now + HOUR * 14
    }
}
