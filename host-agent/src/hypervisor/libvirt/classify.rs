//! What libvirt's errors mean. Pure.
//!
//! The code alone is too coarse, so the domain and a few parts of the text are looked at as well; both daemon and agent must
//! run with `LC_ALL=C`, as libvirt translates its texts. How a migration *ended* is never decided here: both hosts say that.

use drover_policies::attempt::FailureClass;
use virt_sys as sys;

use crate::hypervisor::{Refusal, RefusalKind};

/// Puts a libvirt error into the port's terms.
#[must_use]
pub(super) fn refusal(error: &virt::error::Error) -> Refusal {
    Refusal::new(classify(error.code().to_raw(), error.domain().to_raw(), error.message()), error.message())
}

fn classify(code: u32, domain: u32, text: &str) -> RefusalKind {
    use FailureClass::{
        Aborted, Busy, DestinationUnreachable, LostOnTheWay, NeedsPowerCycle, RefusedByDestination,
        RefusedBySource, Unexpected,
    };
    let says = |part: &str| text.contains(part);
    let failed = RefusalKind::Failed;
    match code {
        sys::VIR_ERR_NO_DOMAIN => RefusalKind::NoServer,
        sys::VIR_ERR_OPERATION_ABORTED => failed(Aborted),
        sys::VIR_ERR_MIGRATE_UNSAFE => failed(RefusedBySource),
        // The thread that took the server up when the daemon was started: it has found a job that nobody will end.
        sys::VIR_ERR_OPERATION_TIMEOUT if says("held by monitor=init-") => failed(NeedsPowerCycle),
        sys::VIR_ERR_OPERATION_TIMEOUT => failed(Busy),
        sys::VIR_ERR_CPU_INCOMPATIBLE | sys::VIR_ERR_CONFIG_UNSUPPORTED => failed(RefusedByDestination),
        sys::VIR_ERR_NO_CONNECT if says("storage") => failed(RefusedByDestination),
        // The source's daemon says so of the destination's; an own connection that cannot be opened is told elsewhere.
        sys::VIR_ERR_SYSTEM_ERROR if domain == sys::VIR_FROM_RPC && says("unable to connect to server") => {
            failed(DestinationUnreachable)
        }
        sys::VIR_ERR_SYSTEM_ERROR | sys::VIR_ERR_INTERNAL_ERROR | sys::VIR_ERR_RPC
            if domain == sys::VIR_FROM_RPC || says("client socket is closed") =>
        {
            RefusalKind::NoConnection
        }
        sys::VIR_ERR_INVALID_CONN => RefusalKind::NoConnection,
        sys::VIR_ERR_OPERATION_INVALID if says("already running") || says("already active") => failed(Busy),
        sys::VIR_ERR_OPERATION_INVALID => failed(RefusedBySource),
        sys::VIR_ERR_OPERATION_FAILED
            if says("already exists with uuid") || says("is already defined with uuid") =>
        {
            failed(RefusedByDestination)
        }
        sys::VIR_ERR_OPERATION_FAILED
            if says("guest CPU doesn't match") || says("CPU is incompatible") || says("different sizes") =>
        {
            failed(RefusedByDestination)
        }
        sys::VIR_ERR_OPERATION_FAILED if says("domain is not running") => failed(RefusedBySource),
        sys::VIR_ERR_OPERATION_FAILED if says("migrat") || says("Lost connection") => failed(LostOnTheWay),
        sys::VIR_ERR_INTERNAL_ERROR if says("process exited while connecting to monitor") => {
            failed(RefusedByDestination)
        }
        sys::VIR_ERR_INTERNAL_ERROR if says("to the same host") => failed(RefusedByDestination),
        sys::VIR_ERR_INTERNAL_ERROR if says("unable to execute QEMU command 'migrate") => {
            failed(RefusedBySource)
        }
        sys::VIR_ERR_SYSTEM_ERROR | sys::VIR_ERR_INTERNAL_ERROR
            if says("Cannot access storage file")
                || says("Cannot allocate memory")
                || says("Could not open") =>
        {
            failed(RefusedByDestination)
        }
        sys::VIR_ERR_MIGRATE_PERSIST_FAILED | sys::VIR_ERR_MIGRATE_FINISH_OK => failed(LostOnTheWay),
        _ => failed(Unexpected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QEMU: u32 = sys::VIR_FROM_QEMU;
    const RPC: u32 = sys::VIR_FROM_RPC;

    /// Texts as libvirt 11.3 and QEMU 10.0 were seen to say them.
    #[test]
    fn what_libvirt_was_seen_to_say_is_understood() {
        use FailureClass::*;
        let cases = [
            (78, QEMU, "operation aborted: migration out: canceled by client", Aborted),
            (81, QEMU, "Unsafe migration: Migration without shared storage is unsafe", RefusedBySource),
            (55, QEMU, "Requested operation is not valid: domain has active block job", RefusedBySource),
            (68, QEMU, "Timed out during operation: cannot acquire state change lock", Busy),
            (
                68,
                QEMU,
                "Timed out during operation: cannot acquire state change lock (held by monitor=init-web-1)",
                NeedsPowerCycle,
            ),
            (
                67,
                QEMU,
                "unsupported configuration: Emulator '/usr/bin/qemu-system-x86_64' does not support machine type 'pc-q35-99.0'",
                RefusedByDestination,
            ),
            (
                9,
                QEMU,
                "operation failed: guest CPU doesn't match specification: missing features: avx2",
                RefusedByDestination,
            ),
            (
                9,
                QEMU,
                "operation failed: job 'migration out' failed: Channel error: Input/output error",
                LostOnTheWay,
            ),
            (9, QEMU, "operation failed: domain is not running", RefusedBySource),
            (
                9,
                20,
                "operation failed: domain 'm1' already exists with uuid 4dea22b3-1d52-d8f3-2516-782e98ab3fa0",
                RefusedByDestination,
            ),
            (
                38,
                RPC,
                "unable to connect to server at '10.99.7.9:16509': No route to host",
                DestinationUnreachable,
            ),
            (1, QEMU, "internal error: Attempt to migrate guest to the same host 4dea", RefusedByDestination),
            (
                1,
                QEMU,
                "internal error: unable to execute QEMU command 'migrate-set-capabilities': Postcopy is not yet compatible with multifd",
                RefusedBySource,
            ),
            (5, 0, "no connection driver available for storage:///system", RefusedByDestination),
        ];
        for (code, domain, text, class) in cases {
            assert_eq!(classify(code, domain, text), RefusalKind::Failed(class), "{text}");
        }
    }

    #[test]
    fn a_lost_connection_leaves_the_outcome_open() {
        for (code, text) in [
            (1, "internal error: client socket is closed"),
            (38, "End of file while reading data: Input/output error"),
        ] {
            assert_eq!(classify(code, RPC, text), RefusalKind::NoConnection, "{text}");
        }
        assert_eq!(classify(42, QEMU, "Domain not found"), RefusalKind::NoServer);
    }
}
