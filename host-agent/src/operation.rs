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
                text: format!("operation {other} is already working there; order again when it has ended"),
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
        Order::LookAtRetained(look) => Some(look.server),
        Order::HoldReplica(hold) => Some(hold.server),
        Order::Replicate(replicate) => Some(replicate.server),
        // What is done for the server itself may stand beside.
        Order::TestLaunch(test) => Some(test.guest),
        Order::Import(import) => Some(import.server),
        Order::DiscardRetained { server, .. } => Some(*server),
        Order::ConfirmEmpty | Order::ReleaseReplica(_) | Order::RunHook(_) | Order::CheckHealth(_) => None,
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
        | Order::ReleaseReplica(_)
        | Order::TestLaunch(_)
        | Order::RunHook(_)
        | Order::CheckHealth(_) => true,
        Order::LiveMigrate(_)
        | Order::LookAtRetained(_)
        | Order::HoldReplica(_)
        | Order::Replicate(_)
        | Order::Import(_) => false,
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
    use drover_agent_api::{
        AbortBecause, AutoConverge, CutoverReplica, Destination, IfFailed, IfRunning, LiveMigrate,
        RebootMigrate, ReplicaPeer, Shape,
    };
    use drover_policies::fleet::CertificateDigest;
    use drover_policies::ids::{HostName, ReplicaId};
    use drover_policies::replica::{Going, Pace};
    use drover_policies::time::Span;
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
    fn beside_a_replication_stands_only_the_cutover_with_its_replica_and_what_does_no_harm() {
        let replica = |n| ReplicaId(Uuid::from_u128(n));
        let server = ServerId(Uuid::from_u128(1));
        let peer = ReplicaPeer {
            host: HostName::new("h2").expect("a name"),
            address: "h2:16520".into(),
            certificate: CertificateDigest("0".repeat(64)),
        };
        let pace = Pace {
            going: Going::On,
            far: Span::minutes(5),
            near: Span::seconds(10),
            opens_at: None,
            bandwidth: None,
            guest_percent: Some(85),
            sync_now: 0,
        };
        let replicate = |n| {
            let (peer, disks) = (peer.clone(), Vec::new());
            Order::Replicate(Replicate { replica: replica(n), server, peer, disks, pace })
        };
        let destination = Destination {
            host: peer.host.clone(),
            libvirt_uri: "qemu+tls://h2/system".into(),
            migration_address: None,
        };
        let cutover = |with: Option<u128>| {
            Order::RebootMigrate(RebootMigrate {
                server,
                destination: destination.clone(),
                agent_time: Span::ZERO,
                acpi_time: Span::ZERO,
                if_running: IfRunning::PowerOff,
                within: None,
                replica: with.map(|n| CutoverReplica {
                    replica: replica(n),
                    peer: peer.clone(),
                    disks: Vec::new(),
                    bandwidth: None,
                    rounds: 2,
                    final_delta_within: Span::minutes(10),
                    tail_within: Span::minutes(5),
                }),
                if_failed: IfFailed::RestartSource,
                left_off: None,
                leaves: Vec::new(),
                shape: Shape::AsItIs,
            })
        };
        let live = Order::LiveMigrate(LiveMigrate {
            server,
            destination: destination.clone(),
            auto_converge: AutoConverge::Off,
            connections: 1,
            replica: None,
        });
        let cases = [
            (cutover(Some(1)), true),
            (discard(1), true),
            (cutover(Some(2)), false),
            (cutover(None), false),
            (live, false),
            (replicate(2), false),
        ];
        for (other, may) in cases {
            assert_eq!(may_stand_beside(&replicate(1), &other), may, "{other:?}");
            assert_eq!(may_stand_beside(&other, &replicate(1)), may, "{other:?}");
        }
        assert!(!may_stand_beside(&cutover(Some(1)), &discard(1)));
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
