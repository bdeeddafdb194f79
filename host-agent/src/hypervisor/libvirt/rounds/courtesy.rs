//! How much of the time is copied in, so that a guest keeps its share of its own reading and writing. Pure.
//!
//! QEMU answers our reads in the loop that does the guest's own, so a guest is given way to by not reading for a while. Phases in which
//! is copied and phases in which is not follow each other, what the guest does is measured in both, and the part of the time in which
//! is copied is the largest that leaves the guest its share of what it does in peace. A guest that does next to nothing is left no
//! time: there is nothing to give way to.

use std::time::Duration;

/// How long phases are.
#[derive(Debug, Clone, Copy)]
struct Rhythm {
    /// No shorter, so that a guest has done something in it.
    shortest: Duration,
    /// … and no longer, so that it is seen in time how the guest does in the other one.
    longest: Duration,
}

/// While a backup is open.
const IN_A_BACKUP: Rhythm = Rhythm { shortest: Duration::from_millis(100), longest: Duration::from_secs(2) };
/// Where each phase of copying is a backup of its own, which takes time to be opened and closed.
const BACKUP_BY_BACKUP: Rhythm =
    Rhythm { shortest: Duration::from_secs(1), longest: Duration::from_secs(30) };
/// So long a guest is looked at before anything is copied.
const FIRST_LOOK: Duration = Duration::from_millis(200);
/// A guest that does little is looked at so often.
const LOOK: Duration = Duration::from_millis(500);
/// Requests per second from which on a guest is one that reads and writes …
pub(super) const BUSY: f64 = 20.0;
/// … until it does fewer than this.
const IDLE: f64 = 10.0;
/// Before it is known what the copying costs a guest that reads and writes.
const FIRST: f64 = 0.2;
/// Whatever the guest does: a copy comes to its end.
pub(super) const LEAST: f64 = 0.1;
/// From one phase to the next it does not grow by more than this: what is measured in a short one may be chance.
const GROWTH: f64 = 1.5;
/// What counts of what was known when a phase has been measured.
const KEPT: f64 = 0.85;
/// A phase counts for so long at the most: else a long one would be believed for ever.
const COUNTS: f64 = 0.25;

/// What a guest has read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Done {
    pub(super) bytes: u64,
    pub(super) requests: u64,
}

impl Done {
    /// What was done since an earlier look. A guest that was started anew counts from 0.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(before.bytes),
            requests: self.requests.saturating_sub(before.requests),
        }
    }
}

/// What is done with the guest's disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// They are copied.
    Copying,
    /// They are left to the guest.
    Holding,
}

/// What a guest does in one kind of phase, of late.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rate {
    bytes: f64,
    requests: f64,
    seconds: f64,
}

impl Rate {
    pub(super) fn saw(&mut self, done: Done, took: Duration) {
        let took = took.as_secs_f64().max(0.001);
        let weight = (COUNTS / took).min(1.0);
        #[expect(clippy::cast_precision_loss, reason = "figures of a phase")]
        let (bytes, requests) = (done.bytes as f64, done.requests as f64);
        let add = |known: &mut f64, new: f64| *known = *known * KEPT + new * weight;
        add(&mut self.bytes, bytes);
        add(&mut self.requests, requests);
        add(&mut self.seconds, took);
    }

    pub(super) fn is_known(&self) -> bool {
        self.seconds > 0.0
    }

    pub(super) fn bytes_per_second(&self) -> f64 {
        if self.is_known() { self.bytes / self.seconds } else { 0.0 }
    }

    pub(super) fn requests_per_second(&self) -> f64 {
        if self.is_known() { self.requests / self.seconds } else { 0.0 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guest {
    Busy,
    Idle,
}

/// What is known of one guest in one round.
#[derive(Debug)]
pub(super) struct Courtesy {
    rhythm: Rhythm,
    copying: Rate,
    holding: Rate,
    guest: Guest,
    /// The part of the time in which is copied.
    part: f64,
    /// The phase that was last, and how long it was.
    last: (Phase, Duration),
}

impl Courtesy {
    /// Nothing known: the first phase is one to see what the guest does.
    pub(super) fn in_a_backup() -> Self {
        Self::new(IN_A_BACKUP)
    }

    /// The same for a copy that is made backup by backup.
    pub(super) fn backup_by_backup() -> Self {
        Self::new(BACKUP_BY_BACKUP)
    }

    fn new(rhythm: Rhythm) -> Self {
        Self {
            rhythm,
            copying: Rate::default(),
            holding: Rate::default(),
            guest: Guest::Busy,
            part: FIRST,
            last: (Phase::Copying, Duration::ZERO),
        }
    }

    /// Takes note of what a guest did in a phase. It is to keep this share.
    pub(super) fn saw(&mut self, phase: Phase, done: Done, took: Duration, share: f64) {
        self.last = (phase, took);
        match phase {
            Phase::Copying => self.copying.saw(done, took),
            Phase::Holding => self.holding.saw(done, took),
        }
        let requests = self.copying.requests_per_second().max(self.holding.requests_per_second());
        match self.guest {
            Guest::Busy if requests < IDLE => self.guest = Guest::Idle,
            // What it did in peace is not known any more.
            Guest::Idle if requests >= BUSY => {
                *self = Self { last: self.last, ..Self::new(self.rhythm) };
            }
            Guest::Busy if phase == Phase::Holding => self.part = self.next_part(share),
            Guest::Busy | Guest::Idle => {}
        }
    }

    /// Takes note of a phase of which nobody knows what the guest did in it.
    pub(super) fn missed(&mut self, phase: Phase, took: Duration) {
        self.last = (phase, took);
    }

    /// With rates c while it is copied and h while it is not, a part p leaves the guest p·c + (1 − p)·h, which is to be its share of h.
    fn next_part(&self, share: f64) -> f64 {
        let peace = self.holding.bytes_per_second();
        if !self.copying.is_known() {
            return FIRST;
        }
        let left = if peace > 0.0 { self.copying.bytes_per_second() / peace } else { 1.0 };
        let best = if left >= share { 1.0 } else { (1.0 - share) / (1.0 - left) };
        best.min(self.part * GROWTH).clamp(LEAST, 1.0)
    }

    /// Whether it is a guest to be given way to.
    pub(super) fn is_busy(&self) -> bool {
        self.guest == Guest::Busy
    }

    /// What comes next, and for how long.
    pub(super) fn next(&self) -> (Phase, Duration) {
        let (last, took) = self.last;
        let Rhythm { shortest, longest } = self.rhythm;
        match (self.guest, last) {
            (Guest::Idle, _) => (Phase::Copying, LOOK),
            (Guest::Busy, Phase::Holding) => {
                // The other phase is to be as long as the shortest one.
                let rest = (1.0 - self.part).max(0.001);
                let length = shortest.mul_f64((self.part / rest).max(1.0));
                (Phase::Copying, length.min(longest))
            }
            (Guest::Busy, Phase::Copying) if took.is_zero() => (Phase::Holding, FIRST_LOOK.min(shortest)),
            (Guest::Busy, Phase::Copying) => {
                let length = took.mul_f64((1.0 - self.part) / self.part);
                (Phase::Holding, length.clamp(shortest, longest))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MEGABYTE: f64 = 1e6;
    const SHARE: f64 = 0.85;

    /// What came of a copy that went on for a while.
    struct Outcome {
        /// Of the time.
        copied: f64,
        /// Of what the guest would have done in peace.
        kept: f64,
    }

    /// A guest whose requests are of 64 KiB, and come with noise.
    struct Simulated {
        in_peace: f64,
        /// Of that, while its disks are copied.
        left: f64,
        /// In each tenth of a second its rate is up to this part more or less than it should be.
        noise: f64,
    }

    impl Simulated {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a simulation")]
        fn run(&self, seconds: f64, mut chances: impl FnMut() -> f64) -> Outcome {
            let mut courtesy = Courtesy::in_a_backup();
            let (mut passed, mut copied, mut bytes) = (0.0, 0.0, 0.0);
            while passed < seconds {
                let (phase, length) = courtesy.next();
                let took = length.as_secs_f64();
                let rate = match phase {
                    Phase::Copying => self.in_peace * self.left,
                    Phase::Holding => self.in_peace,
                };
                let tenths = (took * 10.0).ceil() as u32;
                let noise = (0..tenths).map(|_| chances() * 2.0 - 1.0).sum::<f64>() / f64::from(tenths);
                let rate = rate * (1.0 + self.noise * noise);
                let requests = (rate * took / 65_536.0) as u64;
                courtesy.saw(phase, Done { bytes: requests * 65_536, requests }, length, SHARE);
                bytes += rate * took;
                passed += took;
                if phase == Phase::Copying {
                    copied += took;
                }
            }
            Outcome { copied: copied / passed, kept: bytes / (passed * self.in_peace.max(1.0)) }
        }
    }

    /// Numbers between 0 and 1, the same for the same seed.
    fn chances(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed | 1;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            #[expect(clippy::cast_precision_loss, reason = "a number between 0 and 1")]
            let chance = (state >> 11) as f64 / (1_u64 << 53) as f64;
            chance
        }
    }

    #[test]
    fn a_guest_that_does_next_to_nothing_is_given_no_time() {
        let guest = Simulated { in_peace: 0.1 * MEGABYTE, left: 0.2, noise: 0.5 };
        let outcome = guest.run(60.0, chances(7));
        assert!(outcome.copied > 0.99, "{}", outcome.copied);
    }

    #[test]
    fn a_guest_that_does_not_feel_the_copying_does_not_hold_it_back() {
        let guest = Simulated { in_peace: 80.0 * MEGABYTE, left: 1.0, noise: 0.1 };
        let outcome = guest.run(60.0, chances(7));
        assert!(outcome.copied > 0.85, "{}", outcome.copied);
    }

    #[test]
    fn a_guest_that_stands_still_under_the_copying_does_not_hold_it_up_for_ever() {
        let guest = Simulated { in_peace: 80.0 * MEGABYTE, left: 0.0, noise: 0.0 };
        let outcome = guest.run(60.0, chances(7));
        assert!(outcome.copied >= LEAST, "{}", outcome.copied);
    }

    #[test]
    fn a_guest_that_begins_to_write_is_given_way_to_and_one_that_ends_is_not() {
        let second = Duration::from_secs(1);
        let at = |megabytes: u64| Done { bytes: megabytes * 1_000_000, requests: megabytes * 16 };
        let mut courtesy = Courtesy::in_a_backup();
        courtesy.saw(Phase::Holding, at(0), second, SHARE);
        assert_eq!(courtesy.next(), (Phase::Copying, LOOK));
        courtesy.saw(Phase::Copying, at(20), second, SHARE);
        assert_eq!(courtesy.next().0, Phase::Holding);
        for _ in 0..20 {
            let (phase, length) = courtesy.next();
            courtesy.saw(phase, at(0), length, SHARE);
        }
        assert_eq!(courtesy.next(), (Phase::Copying, LOOK));
    }

    proptest! {
        /// Whatever the copying costs the guest, and however unsteady it is: it keeps its share, but for what noise and the least that
        /// is copied take, and the copy takes no more than ten times as long.
        #[test]
        fn the_share_is_kept_and_the_copy_ends(
            in_peace in 5.0..500.0_f64,
            left in 0.0..1.0_f64,
            noise in 0.0..0.3_f64,
            seed in any::<u64>(),
        ) {
            let guest = Simulated { in_peace: in_peace * MEGABYTE, left, noise };
            let outcome = guest.run(120.0, chances(seed));
            prop_assert!(outcome.kept >= SHARE - 0.06, "kept {}", outcome.kept);
            prop_assert!(outcome.copied >= LEAST * 0.9, "copied {}", outcome.copied);
            let best = if left >= SHARE { 1.0 } else { (1.0 - SHARE) / (1.0 - left) };
            // A guest that loses next to nothing has a part that noise tosses about.
            if noise < 0.1 {
                prop_assert!(outcome.copied >= best * 0.6, "copied {} of {best}", outcome.copied);
            }
        }
    }
}
