//! What is sent at the same time shares the links of the hosts that send and receive it.

use std::collections::{BTreeMap, BTreeSet};

use drover_policies::ids::OperationId;
use drover_policies::time::Instant;

/// Every host's link, by the host's place in the fleet.
#[derive(Debug)]
pub(super) struct Links {
    /// Bytes per second, in each direction.
    rate: f64,
    out: Vec<Vec<OperationId>>,
    into: Vec<Vec<OperationId>>,
    flows: BTreeMap<OperationId, Flow>,
    in_all: f64,
    peak: Peak,
}

/// The most that was sent at once.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Peak {
    /// Bytes per second, over all links.
    pub(super) rate: f64,
    /// Things that were being sent.
    pub(super) flows: usize,
    /// … over one host's link in one direction.
    pub(super) at_one_host: usize,
}

/// Something that is being sent.
#[derive(Debug, Clone, Copy)]
struct Flow {
    from: usize,
    to: usize,
    left: f64,
    most: f64,
    rate: f64,
    since: Instant,
    /// Grows whenever its end moves: an end that was told before means nothing then.
    version: u32,
}

/// When something will have been sent, as things are now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) operation: OperationId,
    pub(super) at: Instant,
    pub(super) version: u32,
}

impl Links {
    pub(super) fn new(hosts: usize, rate: u64) -> Self {
        Self {
            rate: rate as f64,
            out: vec![Vec::new(); hosts],
            into: vec![Vec::new(); hosts],
            flows: BTreeMap::new(),
            in_all: 0.0,
            peak: Peak::default(),
        }
    }

    /// Sending begins. Answers with the ends of all that share a link with it.
    pub(super) fn begin(
        &mut self,
        operation: OperationId,
        (from, to): (usize, usize),
        (bytes, most): (f64, f64),
        now: Instant,
    ) -> Vec<Ends> {
        let flow = Flow { from, to, left: bytes, most, rate: 0.0, since: now, version: 0 };
        self.flows.insert(operation, flow);
        self.out[from].push(operation);
        self.into[to].push(operation);
        let at_one = self.out[from].len().max(self.into[to].len());
        self.peak.flows = self.peak.flows.max(self.flows.len());
        self.peak.at_one_host = self.peak.at_one_host.max(at_one);
        self.share(from, to, now)
    }

    /// It sends something more, over what it has.
    pub(super) fn more(&mut self, operation: OperationId, bytes: f64, now: Instant) -> Option<Ends> {
        let flow = self.flows.get_mut(&operation)?;
        (flow.left, flow.since, flow.version) = (bytes, now, flow.version + 1);
        Some(ends(operation, flow))
    }

    /// Sending is over.
    pub(super) fn end(&mut self, operation: OperationId, now: Instant) -> Vec<Ends> {
        let Some(flow) = self.flows.remove(&operation) else { return Vec::new() };
        self.out[flow.from].retain(|other| *other != operation);
        self.into[flow.to].retain(|other| *other != operation);
        self.in_all -= flow.rate;
        self.share(flow.from, flow.to, now)
    }

    /// Its rate at present, in bytes per second.
    pub(super) fn rate_of(&self, operation: OperationId) -> f64 {
        self.flows.get(&operation).map_or(self.rate, |flow| flow.rate).max(1.0)
    }

    /// Whether an end that was told still holds.
    pub(super) fn holds(&self, operation: OperationId, version: u32) -> bool {
        self.flows.get(&operation).is_some_and(|flow| flow.version == version)
    }

    pub(super) fn peak(&self) -> Peak {
        self.peak
    }

    pub(super) fn in_all(&self) -> f64 {
        self.in_all.max(0.0)
    }

    /// Each gets an equal part of either end's link, and of the two the smaller.
    fn share(&mut self, from: usize, to: usize, now: Instant) -> Vec<Ends> {
        let touched: BTreeSet<OperationId> = self.out[from].iter().chain(&self.into[to]).copied().collect();
        let mut moved = Vec::new();
        for operation in touched {
            let Some(flow) = self.flows.get_mut(&operation) else { continue };
            let sharing = self.out[flow.from].len().max(self.into[flow.to].len()).max(1);
            let rate = (self.rate / sharing as f64).min(flow.most);
            if rate == flow.rate {
                continue;
            }
            let seconds = (now - flow.since).num_microseconds().unwrap_or(0) as f64 / 1e6;
            flow.left = (flow.left - flow.rate * seconds).max(0.0);
            self.in_all += rate - flow.rate;
            (flow.rate, flow.since, flow.version) = (rate, now, flow.version + 1);
            moved.push(ends(operation, flow));
        }
        self.peak.rate = self.peak.rate.max(self.in_all);
        moved
    }
}

fn ends(operation: OperationId, flow: &Flow) -> Ends {
    Ends { operation, at: flow.since + seconds(flow.left / flow.rate.max(1.0)), version: flow.version }
}

/// A length of time, of at most some centuries.
pub(super) fn seconds(seconds: f64) -> chrono::TimeDelta {
    chrono::TimeDelta::microseconds((seconds.clamp(0.0, 1e10) * 1e6) as i64)
}

#[cfg(test)]
mod tests {
    use drover_policies::samples::NOON;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn two_that_leave_one_host_take_half_of_its_link_each_and_the_second_speeds_up_when_the_first_is_over() {
        let id = |n| OperationId(Uuid::from_u128(n));
        let mut links = Links::new(3, 100);
        let ends = links.begin(id(1), (0, 1), (1000.0, 1e9), NOON);
        assert_eq!(ends, [Ends { operation: id(1), at: NOON + seconds(10.0), version: 1 }]);
        // After five seconds half of it is sent.
        let then = NOON + seconds(5.0);
        let ends = links.begin(id(2), (0, 2), (1000.0, 1e9), then);
        assert_eq!(
            ends.iter().map(|end| end.at).collect::<Vec<_>>(),
            [then + seconds(10.0), then + seconds(20.0)]
        );
        assert!(!links.holds(id(1), 1));
        let then = then + seconds(10.0);
        let ends = links.end(id(1), then);
        assert_eq!(ends, [Ends { operation: id(2), at: then + seconds(5.0), version: 2 }]);
        assert_eq!(links.peak(), Peak { rate: 100.0, flows: 2, at_one_host: 2 });
    }
}
