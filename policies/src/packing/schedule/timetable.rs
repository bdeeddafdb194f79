//! Moves started one after the other, each as soon as its way is free.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::ways::{Gate, Work};

/// When a move is under way, in milliseconds from the wave's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduled {
    /// It begins.
    pub begins: u64,
    /// It has ended.
    pub ends: u64,
    /// Bytes per second.
    pub rate: u64,
}

/// When everything of a wave happens, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timetable {
    /// In the order in which the moves were given.
    pub moves: Vec<Scheduled>,
    /// Until the last one has ended.
    pub lasts: u64,
    /// No schedule of these moves is shorter.
    pub least: u64,
}

/// Starts the moves in this order.
///
/// Whatever can't be started waits at the first gate that holds it up, and is looked at again only when that has something free.
pub(super) fn run(work: &Work, order: &[u32]) -> Vec<Scheduled> {
    let mut state = State {
        work,
        gates: work.gates.clone(),
        waiting: vec![BinaryHeap::new(); work.gates.len()],
        open: BinaryHeap::new(),
        running: BinaryHeap::new(),
        table: vec![Scheduled { begins: 0, ends: 0, rate: 0 }; work.jobs.len()],
    };
    for (one, job) in work.jobs.iter().enumerate() {
        state.waiting[job.path[0]].push(Reverse((order[one], one)));
    }
    for gate in 0..work.gates.len() {
        state.look_again(gate);
    }
    let mut now = 0;
    loop {
        state.start(now, order);
        let Some(Reverse((end, one))) = state.running.pop() else { return state.table };
        now = end;
        state.end(one);
        while let Some(Reverse((end, one))) = state.running.peek().copied() {
            if end > now {
                break;
            }
            state.running.pop();
            state.end(one);
        }
    }
}

struct State<'a> {
    work: &'a Work,
    /// What is free of each.
    gates: Vec<Gate>,
    /// Before each gate, by rank.
    waiting: Vec<BinaryHeap<Reverse<(u32, usize)>>>,
    /// Gates that may let somebody through, by the rank of the first who waits there.
    open: BinaryHeap<Reverse<(u32, usize)>>,
    /// By end.
    running: BinaryHeap<Reverse<(u64, usize)>>,
    table: Vec<Scheduled>,
}

impl State<'_> {
    fn look_again(&mut self, gate: usize) {
        if let Some(Reverse((rank, _))) = self.waiting[gate].peek() {
            self.open.push(Reverse((*rank, gate)));
        }
    }

    fn start(&mut self, now: u64, order: &[u32]) {
        while let Some(Reverse((_, gate))) = self.open.pop() {
            let Some(Reverse((_, one))) = self.waiting[gate].pop() else { continue };
            match self.held_up_at(one) {
                None => self.begin(one, now),
                Some(held) => self.waiting[held].push(Reverse((order[one], one))),
            }
            if !self.is_shut(gate, one) {
                self.look_again(gate);
            }
        }
    }

    /// Whether a gate lets nobody through who asks as little as this one.
    fn is_shut(&self, gate: usize, one: usize) -> bool {
        let free = &self.gates[gate];
        free.slots == 0 || free.rate < self.work.jobs[one].least
    }

    fn held_up_at(&self, one: usize) -> Option<usize> {
        self.work.jobs[one].path.iter().copied().find(|gate| self.is_shut(*gate, one))
    }

    fn begin(&mut self, one: usize, now: u64) {
        let job = &self.work.jobs[one];
        let free = job.path.iter().map(|gate| self.gates[*gate].rate).min().unwrap_or(job.full);
        let rate = free.min(job.full);
        for gate in &job.path {
            self.gates[*gate].slots -= 1;
            self.gates[*gate].rate -= rate;
        }
        let ends = now.saturating_add(job.transfer.lasts(rate));
        self.table[one] = Scheduled { begins: now, ends, rate };
        self.running.push(Reverse((ends, one)));
    }

    fn end(&mut self, one: usize) {
        let rate = self.table[one].rate;
        for gate in self.work.jobs[one].path.clone() {
            self.gates[gate].slots += 1;
            self.gates[gate].rate += rate;
            self.look_again(gate);
        }
    }
}
