//! What a read of the source waits for: the phases in which the disks are left to the guest.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use drover_policies::ids::ServerId;

use super::super::lock;
use super::courtesy::{Courtesy, Done, Phase};

/// Who waits looks so often whether its round is to end.
const LOOK: Duration = Duration::from_millis(100);
/// What the guest has done is asked of libvirt. A phase whose answer took longer tells nothing, and nothing is held back for it.
const ANSWER: Duration = Duration::from_millis(250);
/// Reads that are under way when a phase ends are waited for so long.
const DRAIN: Duration = Duration::from_millis(500);
/// People are told of a round that was held back for so long.
const WORTH_TELLING: Duration = Duration::from_secs(2);

/// So much of what a guest is not promised it is left all the same.
const MARGIN: f64 = 0.2;

/// What a guest has done, and when it was looked at.
pub(super) type Seen = (Done, Instant);

/// A guest whose disks are copied while it runs.
pub(super) trait Watched: Sync {
    fn server(&self) -> ServerId;
    /// What it has read and written since it was started; nothing when that can't be said.
    fn done(&self) -> Option<Done>;
    /// The same at a moment before its disks were read; nothing when nobody looked.
    fn before(&self) -> Option<Seen>;
}

/// Opens and closes for all workers of a round.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What the guest is to keep, in percent; nothing when the copying goes first.
    share: Option<u8>,
    /// Whether the copying goes first all the same, for now.
    hurries: bool,
    /// By itself it opens then, in case that nobody does.
    closed_until: Option<Instant>,
    closed_since: Option<Instant>,
    /// Reads under way.
    readers: usize,
    over: bool,
    /// Since when it is kept, and the time for which it was closed.
    kept_since: Option<Instant>,
    held: Duration,
}

/// A read under way.
pub(super) struct Reading<'a>(&'a Gate);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).readers -= 1;
        self.0.changed.notify_all();
    }
}

impl Gate {
    pub(super) fn new(share: Option<u8>) -> Self {
        Self { state: Mutex::new(State { share, ..State::default() }), changed: Condvar::new() }
    }

    /// Changes what the guest is to keep. One that is to keep nothing is not waited for any longer.
    pub(super) fn set(&self, share: Option<u8>) {
        lock(&self.state).share = share;
        self.changed.notify_all();
    }

    /// Whether a backup that is open has to be over soon. Tells whether somebody who is given way to loses that by it.
    pub(super) fn hurry(&self, hurries: bool) -> bool {
        let mut state = lock(&self.state);
        let is_new = state.hurries != hurries;
        state.hurries = hurries;
        if is_new {
            self.changed.notify_all();
        }
        is_new && hurries && state.share.is_some()
    }

    /// How much of the time until now the copying was held back, in percent.
    pub(super) fn held_percent(&self) -> u8 {
        let state = lock(&self.state);
        let kept = state.kept_since.map(|since| since.elapsed()).unwrap_or_default().as_millis();
        let percent = (state.held.as_millis() * 100).checked_div(kept).unwrap_or(0);
        u8::try_from(percent).unwrap_or(100).min(100)
    }

    fn held(&self) -> Duration {
        lock(&self.state).held
    }

    /// Lets a read begin, or waits for that a while; then nothing is given.
    pub(super) fn enter(&self) -> Option<Reading<'_>> {
        let mut state = lock(&self.state);
        if let Some(left) = state.left() {
            state = self.wait(state, left.min(LOOK));
            if state.left().is_some() {
                return None;
            }
        }
        state.readers += 1;
        Some(Reading(self))
    }

    /// The copying begins.
    pub(super) fn begin(&self) {
        let mut state = lock(&self.state);
        state.over = false;
        state.kept_since.get_or_insert_with(Instant::now);
    }

    /// Counts a time since it began in which nothing was copied for the guest's sake.
    pub(super) fn was_held(&self, length: Duration) {
        lock(&self.state).held += length;
    }

    /// The copying is over, and so is [`Gate::keep`].
    pub(super) fn end(&self) {
        lock(&self.state).over = true;
        self.changed.notify_all();
    }

    /// Opens and closes for a guest until the copying is over.
    pub(super) fn keep(&self, guest: &dyn Watched) {
        let (mut courtesy, mut known) = self.first_look(guest);
        let mut is_told = false;
        while !self.is_over() {
            let given = lock(&self.state).given();
            known = match (given, known) {
                (Some(share), Some(before)) => {
                    let (phase, length) = courtesy.next();
                    self.pass(phase, length, courtesy.is_busy());
                    see(guest, before, (phase, share), &mut courtesy)
                }
                // Nothing is to be given way to, or nobody says what it does.
                (share, None) | (share @ None, Some(_)) => {
                    self.open();
                    self.rest(LOOK);
                    share.and_then(|_| look(guest))
                }
            };
            if !is_told && self.held() > WORTH_TELLING {
                is_told = true;
                tell_of_holding(guest.server());
            }
        }
        self.open();
    }

    /// What it did until now, when it was looked at before.
    fn first_look(&self, guest: &dyn Watched) -> (Courtesy, Option<Seen>) {
        let mut courtesy = Courtesy::in_a_backup();
        let Some(share) = self.share() else { return (courtesy, None) };
        let known = match guest.before() {
            Some(before) => see(guest, before, (Phase::Holding, share), &mut courtesy),
            None => look(guest),
        };
        (courtesy, known)
    }

    fn pass(&self, phase: Phase, length: Duration, is_busy: bool) {
        match phase {
            Phase::Holding => self.hold(length),
            Phase::Copying => {
                self.open();
                self.rest(length);
                if is_busy {
                    self.drain();
                }
            }
        }
    }

    /// What the guest is to be left, as a part of 1; nothing when the copying goes first.
    pub(super) fn share(&self) -> Option<f64> {
        lock(&self.state).share.map(aim)
    }

    fn is_over(&self) -> bool {
        lock(&self.state).over
    }

    fn open(&self) {
        let mut state = lock(&self.state);
        let held = state.closed_since.take().map(|since| since.elapsed());
        state.held += held.unwrap_or_default();
        state.closed_until = None;
        self.changed.notify_all();
    }

    fn close(&self, length: Duration) -> MutexGuard<'_, State> {
        let now = Instant::now();
        let mut state = lock(&self.state);
        state.closed_since.get_or_insert(now);
        state.closed_until = Some(now + length + ANSWER);
        state
    }

    /// What is read in it belongs to the phase that ends.
    fn drain(&self) {
        let until = Instant::now() + DRAIN;
        let mut state = self.close(DRAIN);
        while state.readers > 0 && !state.over {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.wait(state, left);
        }
    }

    fn hold(&self, length: Duration) {
        drop(self.close(length));
        self.rest(length);
    }

    /// Waits; not longer than the copying goes on, nor while it has come to go first.
    fn rest(&self, length: Duration) {
        let until = Instant::now() + length;
        let mut state = lock(&self.state);
        let given = state.given();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || state.over || state.given() != given {
                return;
            }
            state = self.wait(state, left);
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, length: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, length).unwrap_or_else(PoisonError::into_inner).0
    }
}

pub(super) fn tell_of_holding(server: ServerId) {
    tracing::info!(%server, "the copying is held back for the guest's own reading and writing (replication.guest_share)");
}

/// Looks at a guest now.
pub(super) fn look(guest: &dyn Watched) -> Option<Seen> {
    guest.done().map(|done| (done, Instant::now()))
}

/// What a guest did in a phase that has just ended.
pub(super) fn see(
    guest: &dyn Watched,
    (before, then): Seen,
    (phase, share): (Phase, f64),
    courtesy: &mut Courtesy,
) -> Option<Seen> {
    let asked = Instant::now();
    let seen = look(guest);
    match seen {
        Some((done, now)) if now - asked < ANSWER => {
            courtesy.saw(phase, done.since(before), now - then, share);
        }
        Some(_) | None => courtesy.missed(phase, asked - then),
    }
    seen
}

/// What is aimed at, as a part of 1, so that a guest keeps at least its share: what short phases show is partly chance, and of those who
/// aim at no more than they promise, half keep less.
fn aim(percent: u8) -> f64 {
    let share = f64::from(percent) / 100.0;
    share + (1.0 - share) * MARGIN
}

impl State {
    /// What the guest is given while a backup is open, as a part of 1.
    fn given(&self) -> Option<f64> {
        self.share.filter(|_| !self.hurries).map(aim)
    }

    /// For how long it is closed.
    fn left(&self) -> Option<Duration> {
        self.given()?;
        let left = self.closed_until?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use drover_policies::samples::server_id;

    use super::*;

    /// A guest that has written a megabyte more each time it is asked.
    #[derive(Default)]
    struct Writes(AtomicU64);

    impl Watched for Writes {
        fn server(&self) -> ServerId {
            server_id(1)
        }

        fn done(&self) -> Option<Done> {
            let times = self.0.fetch_add(1, Ordering::Relaxed);
            Some(Done { bytes: times << 20, requests: times * 1000 })
        }

        fn before(&self) -> Option<Seen> {
            None
        }
    }

    /// … and one of which nobody says what it does.
    struct Unknown;

    impl Watched for Unknown {
        fn server(&self) -> ServerId {
            server_id(1)
        }

        fn done(&self) -> Option<Done> {
            None
        }

        fn before(&self) -> Option<Seen> {
            None
        }
    }

    /// Reads so often, or until something was held back; then ends.
    fn read(gate: &Gate, guest: &dyn Watched, most: usize) {
        thread::scope(|scope| {
            scope.spawn(|| gate.keep(guest));
            let mut done = 0;
            while done < most && gate.held().is_zero() {
                let Some(reading) = gate.enter() else { continue };
                thread::sleep(Duration::from_millis(1));
                drop(reading);
                done += 1;
            }
            gate.end();
        });
    }

    #[test]
    fn a_guest_that_writes_holds_reads_back() {
        let gate = Gate::new(Some(85));
        read(&gate, &Writes::default(), usize::MAX);
        assert!(gate.held() > Duration::ZERO);
    }

    #[test]
    fn nothing_is_held_back_where_the_copying_goes_first_or_nobody_knows_of_the_guest() {
        for (share, guest) in [(None, &Writes::default() as &dyn Watched), (Some(85), &Unknown)] {
            let gate = Gate::new(share);
            read(&gate, guest, 300);
            assert_eq!(gate.held(), Duration::ZERO);
        }
    }

    #[test]
    fn more_is_aimed_at_than_is_promised_and_never_all() {
        assert!(aim(85) > 0.86 && aim(85) < 0.9);
        assert!(aim(99) > 0.99 && aim(99) < 1.0);
    }

    #[test]
    fn a_round_that_is_in_a_hurry_waits_no_longer() {
        let gate = Gate::new(Some(85));
        drop(gate.close(Duration::from_secs(3600)));
        assert!(gate.enter().is_none());
        gate.set(None);
        assert!(gate.enter().is_some());
    }

    #[test]
    fn a_backup_that_has_to_be_over_soon_waits_no_longer_until_it_need_not() {
        let gate = Gate::new(Some(85));
        drop(gate.close(Duration::from_secs(3600)));
        gate.hurry(true);
        assert!(gate.enter().is_some());
        assert_eq!(gate.share(), Some(aim(85)), "between backups the guest is left alone all the same");
        gate.hurry(false);
        assert!(gate.enter().is_none());
    }
}
