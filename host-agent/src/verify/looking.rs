//! What is looked at on a guest that was seen alive.

use std::collections::BTreeSet;

use drover_agent_api::{LifeSign, OperationState, Verdict as LifeVerdict, VerifyGuest};
use drover_policies::attempt::{Phase, Progress};
use drover_policies::checks::{
    Answered, Check, CheckName, Finding, Hardware, Item, Look, Looked, Side, Verdict, compare,
};
use drover_policies::time::{Instant, Span};
use serde::{Deserialize, Serialize};

use super::{Verify, look_again, not_alive};
use crate::driver::{Context, Step, Telling, When};
use crate::hypervisor::{Probe, State};

/// How often what is not as it should be is looked at again after a move.
const AGAIN: Span = Span::milliseconds(500);

/// A guest that is alive and being looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looking {
    /// Since when it was seen alive.
    since: Instant,
    /// By which sign.
    sign: LifeSign,
    /// What it is made of, as read last.
    hardware: Hardware,
    /// What is settled, in the order in which it was: only ever appended to.
    findings: Vec<Finding>,
}

impl Looking {
    pub(super) fn new(sign: LifeSign, now: Instant) -> Self {
        let power = if sign == LifeSign::Off { "off, as before" } else { "running" };
        let life = match sign {
            LifeSign::GuestAgent | LifeSign::Console => Verdict::Passed,
            LifeSign::Running | LifeSign::Off => Verdict::NotLooked,
        };
        let seen = match sign {
            LifeSign::Running => "it has neither a guest agent nor a console that is kept".to_owned(),
            LifeSign::Off | LifeSign::Console | LifeSign::GuestAgent => sign.to_string(),
        };
        let findings =
            vec![Finding::read(Item::Power, Verdict::Passed, power), Finding::read(Item::Life, life, seen)];
        Self { since: now, sign, hardware: Hardware::default(), findings }
    }

    /// About to be moved: that it runs is enough, for signs of life are looked for where it arrives.
    pub(super) fn before_its_move(now: Instant) -> Self {
        let findings = vec![Finding::read(Item::Power, Verdict::Passed, "running")];
        Self { since: now, sign: LifeSign::Running, hardware: Hardware::default(), findings }
    }

    pub(super) fn step(self, order: &VerifyGuest, context: &Context<'_>) -> Step<Verify> {
        let Some(look) = &order.look else {
            return self.end(context);
        };
        if self.sign != LifeSign::Off
            && let Ok(Some(here)) = context.hypervisor.here().find(order.server)
            && matches!(here.state, State::Off | State::Crashed)
        {
            context.hypervisor.forget_probes(context.id);
            return not_alive(format!("it was seen alive, and is {} now", here.state));
        }
        self.go(look, order, context)
    }

    /// Looks at what is not settled yet.
    pub(super) fn go(mut self, look: &Look, order: &VerifyGuest, context: &Context<'_>) -> Step<Verify> {
        self.look_at_hardware(look, order, context);
        let settled: BTreeSet<CheckName> =
            self.findings.iter().filter_map(|finding| own(&finding.item)).cloned().collect();
        let mut asked = BTreeSet::new();
        for check in look.checks.iter().filter(|check| !settled.contains(&check.name)) {
            // Of two with one name, which a label and another label may bring, the first stands for both.
            if asked.insert(&check.name)
                && let Some(finding) = self.look_at(check, look, order, context)
            {
                self.findings.push(finding);
            }
        }
        let names: BTreeSet<&CheckName> = look.checks.iter().map(|check| &check.name).collect();
        let all = self.findings.iter().filter(|finding| own(&finding.item).is_some()).count() == names.len();
        if all && self.has(&Item::Disks) { self.end(context) } else { self.wait(&look.side, context) }
    }

    fn has(&self, item: &Item) -> bool {
        self.findings.iter().any(|finding| finding.item == *item)
    }

    fn is_late(&self, within: Span, context: &Context<'_>) -> bool {
        Span::between(self.since, context.now) >= within
    }

    /// Network and disks are settled together, as soon as nothing about them is wrong.
    fn look_at_hardware(&mut self, look: &Look, order: &VerifyGuest, context: &Context<'_>) {
        if self.has(&Item::Disks) {
            return;
        }
        let late = self.is_late(look.within, context);
        match context.hypervisor.hardware(order.server) {
            Ok(hardware) => self.hardware = hardware,
            Err(refusal) if late => {
                let unread = |item| Finding::read(item, Verdict::NotLooked, refusal.to_string());
                self.findings.extend([Item::Addresses, Item::Interfaces, Item::Disks].map(unread));
                return;
            }
            Err(_) => return,
        }
        let before = look.side.baseline().map(|before| &before.hardware);
        let compared = compare(before, &self.hardware, look.addresses);
        // Its network may come up later than its agent; what nobody told before is not waited for.
        let told_before =
            before.is_some_and(|before| before.addresses.is_some()) && self.sign != LifeSign::Off;
        let settled = compared.iter().all(|finding| match finding.verdict {
            Verdict::Passed => true,
            Verdict::NotLooked => finding.item != Item::Addresses || !told_before,
            Verdict::Failed | Verdict::FailedBefore => false,
        });
        if settled || late {
            self.findings.extend(compared);
        }
    }

    /// What came of one of its owner's checks; nothing while that is open.
    fn look_at(
        &self,
        check: &Check,
        look: &Look,
        order: &VerifyGuest,
        context: &Context<'_>,
    ) -> Option<Finding> {
        let took = Span::between(self.since, context.now);
        let before = look.side.baseline();
        if self.sign == LifeSign::Off {
            let off = Answered::Nowhere { text: "the server is off".to_owned() };
            return Some(check.finding(&off, took, None));
        }
        let late = self.is_late(check.within.unwrap_or(look.within), context);
        let probe = Probe { operation: context.id, server: order.server, check };
        match context.hypervisor.probe(&probe) {
            Some(answered) if late || look.side.settles(check, &answered) => {
                Some(check.finding(&answered, took, before))
            }
            Some(_) => None,
            None if late => {
                let text = "it does not answer".to_owned();
                Some(check.finding(&Answered::No { text }, took, before))
            }
            None => None,
        }
    }

    fn wait(self, side: &Side, context: &Context<'_>) -> Step<Verify> {
        let mut progress = Progress::of(Phase::Verifying, context.now);
        progress.findings.clone_from(&self.findings);
        let when: When = match side {
            Side::Before => look_again(self.since, context),
            Side::After { .. } => context.after(AGAIN),
        };
        Step::Go { state: Verify::Looking(self), telling: Telling::Progress(progress), when }
    }

    fn end(self, context: &Context<'_>) -> Step<Verify> {
        context.hypervisor.forget_probes(context.id);
        let took = Span::between(self.since, context.now);
        let looked = Looked { took, hardware: self.hardware, findings: self.findings };
        let verdict = LifeVerdict::Alive { sign: self.sign, looked: Some(looked) };
        Step::End(OperationState::Verified { verdict })
    }
}

fn own(item: &Item) -> Option<&CheckName> {
    match item {
        Item::Own { check } => Some(check),
        Item::Power | Item::Life | Item::Addresses | Item::Interfaces | Item::Disks => None,
    }
}
