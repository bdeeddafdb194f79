//! Live migrations out of this host: each call on a thread and a connection of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use drover_agent_api::{AutoConverge, LiveMigrate, Tuning};
use drover_policies::ids::ServerId;
use drover_policies::time::Span;
use virt::connect::Connect;
use virt::domain::Domain;
use virt_sys as sys;

use super::super::libvirt_sys::{self, Called, Params, Which};
use super::super::{Answer, Figures, MigrationStatus, Refusal, RefusalKind, Wake, Waker};
use super::classify::refusal;
use super::daemon::{self, Daemon, LOOK};
use super::{Encryption, lock};

/// QEMU's own.
pub(super) const DEFAULT_DOWNTIME_MS: u64 = 300;
/// The most that libvirt takes, in MiB/s: its way of saying that there is no limit.
const UNLIMITED: u64 = 8_796_093_022_207;

/// Connections that are kept open for the next migrations.
const SPARES: usize = 4;

/// Bytes per second as libvirt counts them: whole MiB/s, rounded up.
pub(super) fn mebibytes(bandwidth: Option<u64>) -> u64 {
    bandwidth.map_or(UNLIMITED, |bytes| bytes.div_ceil(1 << 20).clamp(1, UNLIMITED))
}

/// Calls under way, and calls that have returned and were not looked at yet.
pub(super) struct Migrations {
    uri: String,
    calls: Mutex<HashMap<ServerId, Call>>,
    /// Connections that wait for the next migrations, so that opening one is not a part of their time.
    spares: Mutex<Vec<Connect>>,
    waker: Arc<Mutex<Option<Waker>>>,
}

enum Call {
    /// With the figures that were read last: before its first and after its last phase libvirt has none.
    InIt(Figures),
    Returned {
        answer: Answer<()>,
        took: Span,
    },
}

impl Migrations {
    pub(super) fn new(uri: String, waker: Arc<Mutex<Option<Waker>>>) -> Self {
        Self { uri, calls: Mutex::new(HashMap::new()), spares: Mutex::new(Vec::new()), waker }
    }

    pub(super) fn start(
        self: &Arc<Self>,
        order: &LiveMigrate,
        tuning: Tuning,
        encryption: Encryption,
    ) -> Answer<()> {
        lock(&self.calls).insert(order.server, Call::InIt(Figures::default()));
        let order = order.clone();
        let server = order.server;
        let migrations = Arc::clone(self);
        let run = move || {
            let (answer, took) = migrations.migrate(&order, tuning, encryption);
            lock(&migrations.calls).insert(order.server, Call::Returned { answer, took });
            let waker = lock(&migrations.waker).clone();
            if let Some(waker) = waker {
                waker(Wake::Server(order.server));
            }
            migrations.tidy();
        };
        thread::Builder::new().name(format!("migrate-{server}")).spawn(run).map(drop).map_err(|error| {
            lock(&self.calls).remove(&server);
            Refusal::new(RefusalKind::NoAnswer, format!("the system gives no thread: {error}"))
        })
    }

    /// Gives back the time inside of libvirt's call beside its answer.
    fn migrate(&self, order: &LiveMigrate, tuning: Tuning, encryption: Encryption) -> (Answer<()>, Span) {
        let connect = match self.connection() {
            Ok(connect) => connect,
            Err(refusal) => return (Err(refusal), Span::ZERO),
        };
        tracing::debug!(server = %order.server, "libvirt is asked to migrate it");
        let began = Instant::now();
        let answer = call(&connect, order, tuning, encryption).map_err(|error| refusal(&error));
        let took = Span(began.elapsed());
        tracing::debug!(server = %order.server, %took, "libvirt's call has returned");
        lock(&self.spares).push(connect);
        (answer, took)
    }

    fn connection(&self) -> Answer<Connect> {
        loop {
            let Some(spare) = lock(&self.spares).pop() else {
                return daemon::open(&self.uri)
                    .map_err(|error| Refusal::new(RefusalKind::NoConnection, error.message()));
            };
            if spare.is_alive().unwrap_or(false) {
                return Ok(spare);
            }
        }
    }

    /// Brings the spare connections to their number, when nobody waits for them.
    pub(super) fn tidy(&self) {
        let mut spares = std::mem::take(&mut *lock(&self.spares));
        spares.retain(|spare| spare.is_alive().unwrap_or(false));
        spares.truncate(SPARES);
        if spares.is_empty()
            && let Ok(connect) = daemon::open(&self.uri)
        {
            spares.push(connect);
        }
        lock(&self.spares).append(&mut spares);
    }

    /// What was known of a migration's settings holds no longer.
    pub(super) fn tuned(&self, server: ServerId) {
        if let Some(Call::InIt(last)) = lock(&self.calls).get_mut(&server) {
            last.allowed_downtime_ms = None;
        }
    }

    /// What a call returned is handed out once; after that, and after a restart of the agent, libvirt's job is all there is.
    pub(super) fn status(&self, server: ServerId, control: &Daemon) -> Answer<MigrationStatus> {
        let last = {
            let mut calls = lock(&self.calls);
            match calls.remove(&server) {
                Some(Call::Returned { answer, took }) => {
                    return Ok(MigrationStatus::Returned { answer, in_hypervisor: took });
                }
                Some(Call::InIt(last)) => {
                    calls.insert(server, Call::InIt(last));
                    Some(last)
                }
                None => None,
            }
        };
        let known = last.and_then(|last| last.allowed_downtime_ms);
        let job = control.on(server, LOOK, move |domain| read_job(domain, known));
        match (job, last) {
            (Ok(Some(figures)), _) => {
                if let Some(Call::InIt(last)) = lock(&self.calls).get_mut(&server) {
                    *last = figures;
                }
                Ok(MigrationStatus::Running(figures))
            }
            (Ok(None) | Err(_), Some(last)) => Ok(MigrationStatus::Running(last)),
            (Ok(None) | Err(Refusal { kind: RefusalKind::NoServer, .. }), None) => Ok(MigrationStatus::None),
            (Err(refusal), None) => Err(refusal),
        }
    }
}

/// The figures of a migration out of this host, if one is under way. The allowed downtime is another question to QEMU; it is asked
/// when it is not known.
fn read_job(domain: &Domain, known: Option<u64>) -> Called<Option<Figures>> {
    let job = libvirt_sys::job(domain, Which::Current)?;
    let runs = u32::try_from(job.kind)
        .is_ok_and(|kind| [sys::VIR_DOMAIN_JOB_BOUNDED, sys::VIR_DOMAIN_JOB_UNBOUNDED].contains(&kind));
    if !runs || job.operation != sys::VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT {
        return Ok(None);
    }
    let ask = || if job.memory_total > 0 { libvirt_sys::max_downtime(domain).ok() } else { None };
    Ok(Some(Figures { allowed_downtime_ms: known.or_else(ask), ..daemon::figures(&job) }))
}

/// Peer to peer, so that both daemons carry it on when the agent dies.
fn call(connect: &Connect, order: &LiveMigrate, tuning: Tuning, encryption: Encryption) -> Called<()> {
    let domain = connect.lookup_domain_by_uuid(order.server.0)?;
    let mut flags = sys::VIR_MIGRATE_LIVE
        | sys::VIR_MIGRATE_PEER2PEER
        | sys::VIR_MIGRATE_PERSIST_DEST
        | sys::VIR_MIGRATE_UNDEFINE_SOURCE
        | sys::VIR_MIGRATE_ABORT_ON_ERROR
        | sys::VIR_MIGRATE_CHANGE_PROTECTION;
    let mut params = Params::new();
    if order.auto_converge == AutoConverge::On {
        flags |= sys::VIR_MIGRATE_AUTO_CONVERGE;
    }
    if order.connections > 1 {
        flags |= sys::VIR_MIGRATE_PARALLEL;
        params.int(sys::VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS, order.connections)?;
    }
    if encryption == Encryption::Tls {
        flags |= sys::VIR_MIGRATE_TLS;
        params.text(sys::VIR_MIGRATE_PARAM_TLS_DESTINATION, host_of(&order.destination.libvirt_uri))?;
    }
    if let Some(replica) = &order.replica {
        // What the guest writes counts as written when both ends have it: the copying comes to its end however much the guest writes.
        flags |= sys::VIR_MIGRATE_NON_SHARED_DISK | sys::VIR_MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES;
        for disk in &replica.disks {
            params.text(sys::VIR_MIGRATE_PARAM_MIGRATE_DISKS, &disk.target)?;
        }
    }
    if let Some(address) = &order.destination.migration_address {
        params.text(sys::VIR_MIGRATE_PARAM_URI, &migration_uri(address))?;
    }
    if tuning.max_bandwidth.is_some() {
        params.big(sys::VIR_MIGRATE_PARAM_BANDWIDTH, mebibytes(tuning.max_bandwidth))?;
    }
    libvirt_sys::migrate(&domain, &order.destination.libvirt_uri, &params, flags)
}

fn migration_uri(address: &str) -> String {
    if address.contains(':') && !address.starts_with('[') {
        format!("tcp://[{address}]")
    } else {
        format!("tcp://{address}")
    }
}

/// `h2.example` of `qemu+tls://user@h2.example:16514/system`: the name in the destination's certificate.
fn host_of(uri: &str) -> &str {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bandwidth_is_rounded_up_and_no_limit_is_the_greatest_one() {
        assert_eq!(mebibytes(Some(1)), 1);
        assert_eq!(mebibytes(Some((1 << 20) + 1)), 2);
        assert_eq!(mebibytes(None), UNLIMITED);
    }

    #[test]
    fn an_ipv6_address_of_the_migration_network_gets_its_brackets() {
        assert_eq!(migration_uri("10.0.0.2"), "tcp://10.0.0.2");
        assert_eq!(migration_uri("fd00::2"), "tcp://[fd00::2]");
    }

    #[test]
    fn the_certificate_s_name_is_the_host_of_the_uri() {
        assert_eq!(host_of("qemu+tls://h2.example/system"), "h2.example");
        assert_eq!(host_of("qemu+tls://root@h2:16514/system?pkipath=/x"), "h2");
        assert_eq!(host_of("qemu+tcp://[fd00::2]:16509/system"), "fd00::2");
    }
}
