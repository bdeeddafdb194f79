//! Decisions in the words of the agent protocol: addresses from the fleet, times from policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use drover_agent_api::{
    AbortBecause, AutoConverge, CheckHealth, Destination, IfFailed, IfRunning, ImportServer, LiveMigrate,
    LookAtRetained, Operation, Order, RebootMigrate, ReleaseReplica, RunHook, Shape, TestLaunch, Tuning,
    VerifyGuest, Wish, Within,
};
use drover_policies::attempt::Method;
use drover_policies::conduct::{self, Intent, LocalDisks, NewOperation, NewWish};
use drover_policies::fleet::{Ability, Fleet};
use drover_policies::ids::{Generation, HostName, OperationId, ServerId};
use drover_policies::import::{Begin, Import};
use drover_policies::policy::{Effective, OnFailure, PolicySet};

mod replicas;

/// Why an order can't be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoOrder {
    /// Its host has been forgotten meanwhile.
    #[error("host {0} is not known any more; is its agent installed and running?")]
    UnknownHost(HostName),
    /// Its host's agent was told to keep no replicas any more.
    #[error(
        "the agent of {0} keeps no replicas any more; is `[replication] listen` set in its configuration?"
    )]
    NotReplicating(HostName),
}

/// The order for an intent.
///
/// # Errors
/// A host is unknown, or keeps no replicas where one is needed.
pub fn order(new: &NewOperation, fleet: &Fleet, policies: &PolicySet) -> Result<Operation, NoOrder> {
    let (order, wish) = match &new.intent {
        Intent::Live { server, to, max_downtime_ms, rate, replica } => {
            let effective = policy_of(*server, fleet, policies);
            let policy = &effective.policy;
            let parallel = fleet.hosts.get(&new.host).is_some_and(|host| host.facts.can(Ability::Parallel));
            let order = LiveMigrate {
                server: *server,
                destination: destination(to, fleet)?,
                auto_converge: if policy.live.auto_converge { AutoConverge::On } else { AutoConverge::Off },
                connections: if parallel { policy.live.connections } else { 1 },
                replica: replica.as_ref().map(|replica| replicas::live(replica, fleet)).transpose()?,
            };
            let tuning = Tuning {
                max_downtime_ms: Some(*max_downtime_ms),
                // A share is never more than policy lets one migration have.
                max_bandwidth: rate.or((policy.live.bandwidth > 0).then_some(policy.live.bandwidth)),
            };
            (Order::LiveMigrate(order), Wish::Tuned(tuning))
        }
        Intent::Reboot { server, to, if_running, within, disks, left_off, shape } => {
            let effective = policy_of(*server, fleet, policies);
            let policy = &effective.policy;
            let order = RebootMigrate {
                server: *server,
                destination: destination(to, fleet)?,
                agent_time: policy.reboot.agent_time,
                acpi_time: policy.reboot.acpi_time,
                if_running: match if_running {
                    conduct::IfRunning::PowerOff => IfRunning::PowerOff,
                    conduct::IfRunning::LeaveAlone => IfRunning::LeaveAlone,
                },
                within: within
                    .map(|within| Within { not_before: within.not_before, not_after: within.not_after }),
                replica: match disks {
                    LocalDisks::Replica(cutover) => Some(replicas::cut_over(cutover, policy, fleet)?),
                    LocalDisks::None | LocalDisks::Retained(_) => None,
                },
                if_failed: match (policy.replication.on_failure, disks) {
                    (OnFailure::LeaveOff, LocalDisks::Replica(_)) => IfFailed::LeaveOff,
                    (OnFailure::LeaveOff, LocalDisks::None | LocalDisks::Retained(_))
                    | (OnFailure::RestartSource, _) => IfFailed::RestartSource,
                },
                left_off: *left_off,
                leaves: match disks {
                    LocalDisks::Retained(disks) => disks.clone(),
                    LocalDisks::None | LocalDisks::Replica(_) => Vec::new(),
                },
                shape: match shape {
                    conduct::Shape::AsItIs => Shape::AsItIs,
                    conduct::Shape::Blueprint(blueprint) => Shape::Blueprint { blueprint: blueprint.clone() },
                    conduct::Shape::Before(operation) => Shape::Before { operation: *operation },
                },
            };
            (Order::RebootMigrate(order), Wish::Run)
        }
        Intent::Verify { server, method, look } => {
            let effective = policy_of(*server, fleet, policies);
            let policy = &effective.policy;
            let within = match method {
                Method::Live => policy.live.verify_within,
                Method::Reboot => policy.reboot.verify_within,
            };
            (Order::VerifyGuest(VerifyGuest { server: *server, within, look: look.clone() }), Wish::Run)
        }
        Intent::LookBefore { server, look } => {
            // It runs, or there is nothing to be looked at: its life is not waited for.
            let order = VerifyGuest { server: *server, within: look.within, look: Some(look.clone()) };
            (Order::VerifyGuest(order), Wish::Run)
        }
        Intent::LookAtRetained { replica } => {
            let disks = replicas::at_destination(replica);
            let order = LookAtRetained { server: replica.server, disks };
            (Order::LookAtRetained(order), Wish::Run)
        }
        Intent::HoldReplica { replica } => (Order::HoldReplica(replicas::hold(replica, fleet)?), Wish::Run),
        Intent::Replicate { replica, pace } => {
            (Order::Replicate(replicas::replicate(replica, *pace, fleet)?), Wish::Pace(*pace))
        }
        Intent::TestLaunch { replica, guest, look, blueprint } => {
            let effective = policy_of(replica.server, fleet, policies);
            let policy = &effective.policy;
            let test = replicas::test(replica, *guest, destination(&replica.from, fleet)?, policy);
            let (look, blueprint) = (look.clone(), blueprint.clone());
            (Order::TestLaunch(TestLaunch { look, blueprint, ..test }), Wish::Run)
        }
        Intent::ReleaseReplica { replica, images } => {
            (Order::ReleaseReplica(ReleaseReplica { replica: *replica, images: *images }), Wish::Run)
        }
        Intent::Import { import, begin } => (Order::Import(import_order(import, *begin)), Wish::Run),
        // Begun with the wish that it be called off, it clears away what others have done.
        Intent::ClearImport { import } => {
            let because = AbortBecause::Asked;
            (Order::Import(import_order(import, Begin::Where)), Wish::Abort { because })
        }
        Intent::ConfirmEmpty => (Order::ConfirmEmpty, Wish::Run),
        Intent::RunHook { hook, maintenance, reason, attempt } => {
            let order = RunHook {
                hook: hook.clone(),
                maintenance: maintenance.clone(),
                reason: reason.clone(),
                attempt: *attempt,
                limit: None,
            };
            (Order::RunHook(order), Wish::Run)
        }
        Intent::CheckHealth { within } => (Order::CheckHealth(CheckHealth { within: *within }), Wish::Run),
        Intent::Discard { server, kept_by } => {
            (Order::DiscardRetained { server: *server, kept_by: *kept_by }, Wish::Run)
        }
    };
    Ok(Operation { id: new.id, generation: Generation::FIRST, order, wish })
}

fn import_order(import: &Import, begin: Begin) -> ImportServer {
    ImportServer {
        import: import.id,
        server: import.server,
        description: import.description.clone(),
        begin,
        start: import.start,
    }
}

fn destination(host: &HostName, fleet: &Fleet) -> Result<Destination, NoOrder> {
    let facts = &fleet.hosts.get(host).ok_or_else(|| NoOrder::UnknownHost(host.clone()))?.facts;
    Ok(Destination {
        host: host.clone(),
        libvirt_uri: facts.libvirt_uri.clone(),
        migration_address: facts.migration_address.clone(),
    })
}

fn policy_of(server: ServerId, fleet: &Fleet, policies: &PolicySet) -> Arc<Effective> {
    match fleet.server(server) {
        Some(server) => policies.shared_of(server, fleet),
        None => policies.shared_general(),
    }
}

/// The wish that follows from what was wished before and is wished now. A new limit keeps the other one; nothing undoes an abort but of
/// what was only put off.
#[must_use]
pub fn wish(before: Wish, new: NewWish) -> Wish {
    match (before, new) {
        (Wish::Abort { because: because @ (AbortBecause::Asked | AbortBecause::NotConverging) }, _) => {
            Wish::Abort { because }
        }
        (_, NewWish::AbortNotConverging) => Wish::Abort { because: AbortBecause::NotConverging },
        (_, NewWish::AbortAsked) => Wish::Abort { because: AbortBecause::Asked },
        (_, NewWish::Postpone) => Wish::Abort { because: AbortBecause::Postponed },
        (_, NewWish::StartAtOnce) => Wish::AtOnce,
        (_, NewWish::Pace(pace)) => Wish::Pace(pace),
        // Not of the kind that has a downtime to be allowed.
        (Wish::AtOnce | Wish::Pace(_) | Wish::Abort { .. }, NewWish::AllowDowntime(_)) => before,
        (Wish::Tuned(tuning), NewWish::AllowDowntime(ms)) => {
            Wish::Tuned(Tuning { max_downtime_ms: Some(ms), ..tuning })
        }
        (Wish::Run, NewWish::AllowDowntime(ms)) => {
            Wish::Tuned(Tuning { max_downtime_ms: Some(ms), max_bandwidth: None })
        }
    }
}

/// What is wished of running orders, in the words of decisions.
#[must_use]
pub fn wishes<'a>(operations: impl Iterator<Item = &'a Operation>) -> BTreeMap<OperationId, NewWish> {
    operations
        .filter_map(|operation| {
            let wish = match operation.wish {
                Wish::Run => return None,
                Wish::Pace(pace) => NewWish::Pace(pace),
                Wish::Tuned(tuning) => NewWish::AllowDowntime(tuning.max_downtime_ms?),
                Wish::Abort { because: AbortBecause::NotConverging } => NewWish::AbortNotConverging,
                Wish::Abort { because: AbortBecause::Asked } => NewWish::AbortAsked,
                Wish::Abort { because: AbortBecause::Postponed } => NewWish::Postpone,
                Wish::AtOnce => NewWish::StartAtOnce,
            };
            Some((operation.id, wish))
        })
        .collect()
}
