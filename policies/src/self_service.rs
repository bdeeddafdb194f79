//! How often somebody may ask for a migration of his own accord.
//!
//! A reboot costs its owner a downtime that he has chosen, but every host that takes part a little of what it has; and whoever's token is stolen
//! could be made to reboot all day. So it is counted: what was asked for in the last 24 hours, whatever came of it.

use crate::ids::ServerId;
use crate::policy::OwnerPolicy;
use crate::time::{Instant, Span};

/// In which time it is counted.
pub const COUNTED: Span = Span::hours(24);

/// How many test events the webhooks of an account are posted within [`TESTS_COUNTED`]. Each is a call to an address that the owner has
/// named, so that without a limit anybody with a token could have it called without end.
pub const MOST_TESTS: u32 = 10;

/// In which time test events are counted.
pub const TESTS_COUNTED: Span = Span::minutes(10);

/// Why no test event is posted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{MOST_TESTS} test events were posted within {TESTS_COUNTED}, and no more are; the next can be posted at {next}"
)]
pub struct TooManyTests {
    /// When the next can be posted.
    pub next: Instant,
}

/// Something that an owner has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earlier {
    /// For which server.
    pub server: ServerId,
    /// When.
    pub at: Instant,
}

/// Why an owner may not ask for a migration now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Policy says so.
    #[error(
        "migrations that are asked for without a maintenance are switched off for this server; ask the operators"
    )]
    SwitchedOff,
    /// Too many for this server.
    #[error(
        "{most} were asked for this server within 24 hours, and no more are allowed; the next can be asked for at {next}"
    )]
    OfServer {
        /// How many are allowed.
        most: u32,
        /// When the next can be asked for.
        next: Instant,
    },
    /// Too many for the whole account.
    #[error(
        "{most} were asked for within 24 hours, and no more are allowed; the next can be asked for at {next}"
    )]
    OfAccount {
        /// How many are allowed.
        most: u32,
        /// When the next can be asked for.
        next: Instant,
    },
}

impl Refusal {
    /// A stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::SwitchedOff => "switched_off",
            Self::OfServer { .. } => "too_many_of_server",
            Self::OfAccount { .. } => "too_many_of_account",
        }
    }

    /// When it can be asked for again.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        match self {
            Self::SwitchedOff => None,
            Self::OfServer { next, .. } | Self::OfAccount { next, .. } => Some(*next),
        }
    }
}

/// Whether an owner may ask for one more. `earlier` is all that he has asked for, in any order.
///
/// # Errors
/// Policy has switched it off, or too much was asked for; it says when the next is possible.
pub fn may_ask(
    rules: &OwnerPolicy,
    server: ServerId,
    earlier: &[Earlier],
    now: Instant,
) -> Result<(), Refusal> {
    if !rules.self_service {
        return Err(Refusal::SwitchedOff);
    }
    let of_server = earlier.iter().filter(|asked| asked.server == server).map(|asked| asked.at);
    if let Some(next) = full_until(of_server, (rules.self_service_per_server, COUNTED), now) {
        return Err(Refusal::OfServer { most: rules.self_service_per_server, next });
    }
    let of_account = earlier.iter().map(|asked| asked.at);
    if let Some(next) = full_until(of_account, (rules.self_service_per_day, COUNTED), now) {
        return Err(Refusal::OfAccount { most: rules.self_service_per_day, next });
    }
    Ok(())
}

/// Whether an owner may have one more test event posted; `earlier` is when he had the others, in any order.
///
/// # Errors
/// There were too many; it says when the next is possible.
pub fn may_test(earlier: &[Instant], now: Instant) -> Result<(), TooManyTests> {
    match full_until(earlier.iter().copied(), (MOST_TESTS, TESTS_COUNTED), now) {
        Some(next) => Err(TooManyTests { next }),
        None => Ok(()),
    }
}

/// When one more fits, if none does now: at most so many within so long. 0 is no limit.
fn full_until(
    asked: impl Iterator<Item = Instant>,
    (most, within): (u32, Span),
    now: Instant,
) -> Option<Instant> {
    let most = usize::try_from(most).ok().filter(|most| *most > 0)?;
    let mut counted: Vec<Instant> = asked.filter(|at| *at + within.delta() > now).collect();
    counted.sort_unstable();
    // One more fits when all but `most - 1` of them have gone.
    let last_to_go = counted.len().checked_sub(most)?;
    counted.get(last_to_go).map(|at| *at + within.delta())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::policy::PolicySet;
    use crate::samples::NOON;

    fn rules() -> OwnerPolicy {
        OwnerPolicy {
            self_service_per_day: 4,
            self_service_per_server: 2,
            ..PolicySet::default().general().owners.clone()
        }
    }

    fn server(n: u128) -> ServerId {
        ServerId(Uuid::from_u128(n))
    }

    fn asked(n: u128, hours_ago: i64) -> Earlier {
        Earlier { server: server(n), at: NOON - TimeDelta::hours(hours_ago) }
    }

    #[test]
    fn the_third_for_one_server_in_a_day_is_told_when_it_may_come() {
        let earlier = [asked(1, 3), asked(1, 20), asked(1, 30)];
        let next = NOON + TimeDelta::hours(4);
        assert_eq!(may_ask(&rules(), server(1), &earlier, NOON), Err(Refusal::OfServer { most: 2, next }));
        assert_eq!(may_ask(&rules(), server(2), &earlier, NOON), Ok(()));
        assert_eq!(may_ask(&rules(), server(1), &earlier, next), Ok(()));
    }

    #[test]
    fn servers_of_an_account_count_together() {
        let earlier = [asked(1, 1), asked(2, 2), asked(3, 3), asked(4, 23)];
        let refused = may_ask(&rules(), server(5), &earlier, NOON).expect_err("the fifth");
        assert_eq!(refused, Refusal::OfAccount { most: 4, next: NOON + TimeDelta::hours(1) });
    }

    #[test]
    fn the_eleventh_test_event_waits_until_the_first_is_ten_minutes_old() {
        let ago = |minutes: i64| NOON - TimeDelta::minutes(minutes);
        let earlier: Vec<Instant> = (0..10).map(ago).collect();
        let next = ago(9) + TimeDelta::minutes(10);
        assert_eq!(may_test(&earlier, NOON), Err(TooManyTests { next }));
        assert_eq!(may_test(&earlier, next), Ok(()));
        assert_eq!(may_test(&earlier[..9], NOON), Ok(()));
    }

    #[test]
    fn what_is_switched_off_is_refused_and_0_is_no_limit() {
        let off = OwnerPolicy { self_service: false, ..rules() };
        assert_eq!(may_ask(&off, server(1), &[], NOON), Err(Refusal::SwitchedOff));
        let free = OwnerPolicy { self_service_per_day: 0, self_service_per_server: 0, ..rules() };
        let many: Vec<Earlier> = (0..100).map(|_| asked(1, 1)).collect();
        assert_eq!(may_ask(&free, server(1), &many, NOON), Ok(()));
    }

    proptest! {
        #[test]
        fn the_moment_that_a_refusal_names_is_the_first_at_which_it_is_granted(
            ages in prop::collection::vec((1_u128..4, 0_i64..2_000), 0..12)
        ) {
            let earlier: Vec<Earlier> = ages
                .iter()
                .map(|(n, minutes)| Earlier { server: server(*n), at: NOON - TimeDelta::minutes(*minutes) })
                .collect();
            let mut now = NOON;
            // A server's limit may be over before the account's.
            for _ in 0..3 {
                match may_ask(&rules(), server(1), &earlier, now) {
                    Ok(()) => break,
                    Err(refused) => {
                        let next = refused.next().expect("it is not switched off");
                        prop_assert!(next > now);
                        let just_before = next - TimeDelta::microseconds(1);
                        prop_assert!(may_ask(&rules(), server(1), &earlier, just_before).is_err());
                        now = next;
                    }
                }
            }
            prop_assert_eq!(may_ask(&rules(), server(1), &earlier, now), Ok(()));
        }
    }
}
