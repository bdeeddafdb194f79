//! How a live migration ended, by what both hosts say: pure.
//!
//! What the hypervisor's call returned plays no part. It may report a failure after the server has arrived, a success that
//! nobody saw, or nothing at all when its caller was killed. The order of looking matters: *here first, then there*. libvirt
//! lets the destination run before it forgets the source, so a server that is absent here and then absent there is
//! neither on its way nor overlooked.

use drover_policies::time::Span;

use crate::hypervisor::State;

/// A server as one host's daemon says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The daemon answers and does not know it.
    Absent,
    /// The daemon says this.
    As(State),
    /// The daemon does not answer.
    Unknown,
}

/// What both sightings mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is there and nowhere else.
    Moved,
    /// It is here as it was.
    Stayed,
    /// It is here, and it was powered off meanwhile.
    StoppedHere,
    /// It is there; what is left here has no life and must go.
    ClearSource,
    /// The destination says that it has nothing; here it was only held for the switch-over.
    ResumeSource,
    /// It is nowhere.
    Gone,
    /// Not to be known yet. Nothing may be touched.
    Doubt,
}

/// How long a destination that does not answer, or that has not cleaned up yet, is waited for when the source is seen to run.
///
/// A source whose processors run is proof enough that the server has not moved: the destination only runs after the source
/// has been stopped for good. So a dead destination must not keep the server from being moved elsewhere.
pub const PATIENCE: Span = Span::seconds(30);

/// Before this nothing is called gone.
const GONE_AFTER: Span = Span::seconds(1);

/// Decides, `waited` after the end was first looked for.
#[must_use]
pub fn after_live(here: Seen, there: Seen, waited: Span) -> Verdict {
    use State::{Arriving, Crashed, HeldByMigration, HeldOtherwise, Off, Paused, Running};
    let patient = waited < PATIENCE;
    match (here, there) {
        (Seen::Unknown, _) | (Seen::As(Arriving), _) => Verdict::Doubt,

        (Seen::Absent, Seen::As(Running | Paused | HeldOtherwise | Crashed | Off)) => Verdict::Moved,
        (Seen::Absent, Seen::Absent) if waited >= GONE_AFTER => Verdict::Gone,
        (Seen::Absent, Seen::Absent | Seen::Unknown | Seen::As(Arriving | HeldByMigration)) => Verdict::Doubt,

        (Seen::As(Running | Paused | HeldOtherwise | Crashed), Seen::Absent) => Verdict::Stayed,
        (Seen::As(Running | Paused), Seen::Unknown | Seen::As(Off | Arriving | HeldByMigration)) => {
            if patient { Verdict::Doubt } else { Verdict::Stayed }
        }
        // Alive on both hosts: never brought about by libvirt, and nothing that a program should mend.
        (Seen::As(Running | Paused), Seen::As(Running | Paused | HeldOtherwise | Crashed)) => Verdict::Doubt,

        (Seen::As(HeldByMigration), Seen::Absent) => Verdict::ResumeSource,
        (Seen::As(HeldByMigration | Off), Seen::As(Running | Paused)) => Verdict::ClearSource,
        (Seen::As(Off), Seen::Absent) => Verdict::StoppedHere,
        (Seen::As(HeldByMigration | HeldOtherwise | Crashed | Off), Seen::Unknown | Seen::As(_)) => {
            Verdict::Doubt
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [Seen; 9] = [
        Seen::Absent,
        Seen::Unknown,
        Seen::As(State::Running),
        Seen::As(State::Paused),
        Seen::As(State::HeldByMigration),
        Seen::As(State::HeldOtherwise),
        Seen::As(State::Arriving),
        Seen::As(State::Off),
        Seen::As(State::Crashed),
    ];

    fn every() -> impl Iterator<Item = (Seen, Seen, Span)> {
        let times = [Span::ZERO, GONE_AFTER, PATIENCE, Span::hours(1)];
        STATES.into_iter().flat_map(move |here| {
            STATES
                .into_iter()
                .flat_map(move |there| times.into_iter().map(move |waited| (here, there, waited)))
        })
    }

    #[test]
    fn the_source_is_let_run_only_when_the_destination_has_said_that_it_has_nothing() {
        for (here, there, waited) in every() {
            if after_live(here, there, waited) == Verdict::ResumeSource {
                assert_eq!((here, there), (Seen::As(State::HeldByMigration), Seen::Absent));
            }
        }
    }

    #[test]
    fn the_source_is_cleared_only_when_it_does_not_run_and_the_destination_does() {
        for (here, there, waited) in every() {
            if after_live(here, there, waited) == Verdict::ClearSource {
                assert!(matches!(here, Seen::As(State::HeldByMigration | State::Off)), "{here:?}");
                assert!(matches!(there, Seen::As(State::Running | State::Paused)), "{there:?}");
            }
        }
    }

    #[test]
    fn a_silent_host_never_makes_a_server_moved_or_gone() {
        for (here, there, waited) in
            every().filter(|(here, there, _)| [*here, *there].contains(&Seen::Unknown))
        {
            let verdict = after_live(here, there, waited);
            assert!(matches!(verdict, Verdict::Doubt | Verdict::Stayed), "{here:?} {there:?} {verdict:?}");
            if verdict == Verdict::Stayed {
                assert!(
                    matches!(here, Seen::As(State::Running | State::Paused)),
                    "only a living source proves it"
                );
            }
        }
    }

    #[test]
    fn a_dead_destination_is_waited_for_and_then_the_running_source_counts() {
        let (here, there) = (Seen::As(State::Running), Seen::Unknown);
        assert_eq!(after_live(here, there, Span::seconds(29)), Verdict::Doubt);
        assert_eq!(after_live(here, there, Span::seconds(30)), Verdict::Stayed);
    }

    #[test]
    fn time_alone_never_turns_one_end_into_another() {
        for here in STATES {
            for there in STATES {
                let ends: std::collections::BTreeSet<String> = every()
                    .filter(|(h, t, _)| (*h, *t) == (here, there))
                    .map(|(h, t, waited)| after_live(h, t, waited))
                    .filter(|verdict| *verdict != Verdict::Doubt)
                    .map(|verdict| format!("{verdict:?}"))
                    .collect();
                assert!(ends.len() <= 1, "{here:?} {there:?} {ends:?}");
            }
        }
    }
}
