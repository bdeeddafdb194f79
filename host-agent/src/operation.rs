//! What an agent does with an order: pure, given what it knows and what is wished.
//!
//! ```text
//! id unknown ─┬─ its server is being worked on by another
//!             │  that it may not stand beside ─────────────▶ refuse, for ever
//!             └─ otherwise ─────────────────────────────────▶ begin
//! id known ───┬─ older generation ──▶ ignore (a late message)
//!             ├─ same generation ───▶ nothing new
//!             └─ newer generation ──▶ take up the wish (tuning, abort), unless it has ended
//! ```
//!
//! An id's order never changes. One that comes with another order is a mistake of the sender; what was begun is carried on.

use drover_agent_api::{Operation, Order, Replicate, Wish};
use drover_policies::attempt::{Failure, FailureClass};
use drover_policies::ids::{Generation, OperationId, ServerId};

/// What is known of an operation with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known<'a> {
    /// The latest generation that was taken up.
    pub generation: Generation,
    /// What it was ordered to do.
    pub order: &'a Order,
    /// Whether it goes on.
    pub standing: Standing,
}

/// Whether an operation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A driver works on it.
    Open,
    /// It has its final report.
    Ended,
}

/// What is to be done with an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// New: begin it.
    Begin,
    /// New, but not to be done, now or later.
    Refuse(Failure),
    /// Known, and this is newer: go on with this wish.
    TakeUp {
        /// The generation.
        generation: Generation,
        /// What is wished now.
        wish: Wish,
    },
    /// Known in this generation, or ended: the report stands.
    Nothing,
    /// Older than what is known: a late message, without effect.
    Outdated,
    /// Known by this id as another order: without effect.
    Contradiction,
}

/// Decides on an order.
///
/// `known` is what is known under the same id; `busy` is another open operation on the same server that it may not stand beside
/// ([`may_stand_beside`]), if any.
#[must_use]
pub fn admit(wanted: &Operation, known: Option<Known<'_>>, busy: Option<OperationId>) -> Admission {
    let Some(known) = known else {
        return match busy {
            Some(other) => Admission::Refuse(Failure {
                class: FailureClass::Busy,
                text: format!(
                    "operation {other} is already working on this server; order again when it has ended"
                ),
            }),
            None => Admission::Begin,
        };
    };
    if *known.order != wanted.order {
        return Admission::Contradiction;
    }
    if wanted.generation < known.generation {
        return Admission::Outdated;
    }
    match known.standing {
        Standing::Ended => Admission::Nothing,
        Standing::Open if wanted.generation == known.generation => Admission::Nothing,
        Standing::Open => Admission::TakeUp { generation: wanted.generation, wish: wanted.wish },
    }
}

/// The server that an order works on, if it works on one.
#[must_use]
pub fn server_of(order: &Order) -> Option<ServerId> {
    match order {
        Order::LiveMigrate(live) => Some(live.server),
        Order::RebootMigrate(reboot) => Some(reboot.server),
        Order::VerifyGuest(verify) => Some(verify.server),
        Order::HoldReplica(hold) => Some(hold.server),
        Order::Replicate(replicate) => Some(replicate.server),
        Order::DiscardRetained { server, .. } => Some(*server),
        Order::ConfirmEmpty | Order::ReleaseReplica(_) => None,
    }
}

/// Whether two operations may work on one server at the same time: only beside its replication, and only what neither needs the same
/// block job nor deletes what the other reads.
#[must_use]
pub fn may_stand_beside(one: &Order, other: &Order) -> bool {
    let beside = |replicate: &Replicate, order: &Order| match order {
        Order::RebootMigrate(reboot) => {
            reboot.replica.as_ref().is_some_and(|replica| replica.replica == replicate.replica)
        }
        Order::VerifyGuest(_)
        | Order::DiscardRetained { .. }
        | Order::ConfirmEmpty
        | Order::ReleaseReplica(_) => true,
        Order::LiveMigrate(_) | Order::HoldReplica(_) | Order::Replicate(_) => false,
    };
    match (one, other) {
        (Order::Replicate(replicate), order) | (order, Order::Replicate(replicate)) => {
            beside(replicate, order)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use drover_agent_api::AbortBecause;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn discard(n: u128) -> Order {
        Order::DiscardRetained { server: ServerId(Uuid::from_u128(n)), kept_by: None }
    }

    fn wanted(generation: u64, order: Order, wish: Wish) -> Operation {
        Operation { id: OperationId(Uuid::from_u128(1)), generation: Generation(generation), order, wish }
    }

    #[test]
    fn a_second_operation_on_a_server_is_refused_and_says_which_one_is_in_the_way() {
        let other = OperationId(Uuid::from_u128(9));
        match admit(&wanted(1, discard(1), Wish::Run), None, Some(other)) {
            Admission::Refuse(failure) => assert!(failure.text.contains(&other.to_string())),
            unexpected => panic!("{unexpected:?}"),
        }
    }

    #[test]
    fn an_id_that_comes_back_as_another_order_changes_nothing() {
        let order = discard(1);
        let known = Known { generation: Generation(1), order: &order, standing: Standing::Open };
        assert_eq!(admit(&wanted(2, discard(2), Wish::Run), Some(known), None), Admission::Contradiction);
    }

    fn any_wish() -> impl Strategy<Value = Wish> {
        prop_oneof![
            Just(Wish::Run),
            Just(Wish::Tuned(drover_agent_api::Tuning { max_downtime_ms: Some(500), max_bandwidth: None })),
            Just(Wish::Abort { because: AbortBecause::Asked }),
        ]
    }

    proptest! {
        /// However messages are repeated and reordered, the wish that counts is the one of the highest generation
        /// received, and generations only grow.
        #[test]
        fn the_highest_generation_wins_in_any_order_of_arrival(
            messages in prop::collection::vec((1_u64..6, any_wish()), 1..20)
        ) {
            // One generation has one wish: the first that is said of it.
            let mut said = std::collections::BTreeMap::new();
            let order = discard(1);
            let mut taken: Option<(Generation, Wish)> = None;
            for (generation, wish) in messages {
                let wish = *said.entry(generation).or_insert(wish);
                let message = wanted(generation, order.clone(), wish);
                let known = taken.map(|(generation, _)| Known { generation, order: &order, standing: Standing::Open });
                let before = taken;
                match admit(&message, known, None) {
                    Admission::Begin => {
                        prop_assert!(before.is_none());
                        taken = Some((message.generation, message.wish));
                    }
                    Admission::TakeUp { generation, wish } => {
                        prop_assert!(before.is_some_and(|(known, _)| known < generation));
                        taken = Some((generation, wish));
                    }
                    Admission::Nothing => prop_assert_eq!(before, Some((message.generation, message.wish))),
                    Admission::Outdated => prop_assert!(before.is_some_and(|(known, _)| known > message.generation)),
                    unexpected @ (Admission::Refuse(_) | Admission::Contradiction) => {
                        prop_assert!(false, "{:?}", unexpected);
                    }
                }
            }
            let highest = said.iter().next_back().map(|(generation, wish)| (Generation(*generation), *wish));
            let last = taken.expect("something was sent");
            prop_assert_eq!(Some(last), highest);
        }

        /// What has ended never begins again, whatever is sent.
        #[test]
        fn an_ended_operation_never_moves_again(known in 1_u64..6, sent in 1_u64..9, wish in any_wish()) {
            let order = discard(1);
            let known = Known { generation: Generation(known), order: &order, standing: Standing::Ended };
            let admission = admit(&wanted(sent, order.clone(), wish), Some(known), None);
            prop_assert!(matches!(admission, Admission::Nothing | Admission::Outdated));
        }
    }
}
