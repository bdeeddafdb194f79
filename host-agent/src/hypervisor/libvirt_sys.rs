//! The calls of libvirt that the `virt` crate lacks, or gets wrong, as safe functions.
//!
//! `virt` 0.5.0 has no domain events, no close callback, no abort of a job; its `Domain::state` and `Domain::block_info` swallow their
//! errors, `job_stats` frees C memory through Rust's allocator, and `migrate_to_uri3` never frees its strings.

#![expect(unsafe_code, reason = "this module is the boundary to libvirt's C library")]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::sync::mpsc::Sender;
use std::thread;

use drover_policies::ids::ServerId;
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error;
use virt_sys as sys;

/// What a libvirt call answers.
pub(super) type Called<T> = Result<T, Error>;

pub(super) fn check(answer: c_int) -> Called<c_int> {
    if answer < 0 { Err(Error::last_error()) } else { Ok(answer) }
}

/// Starts the loop that carries events, keepalives and the notice of a closed connection. Must come before the first
/// connection is opened; a repeat does nothing.
pub(super) fn start_event_loop() -> Result<(), String> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    STARTED
        .get_or_init(|| {
            virt::error::clear_error_callback();
            virt::event::event_register_default_impl().map_err(|error| error.to_string())?;
            // A timer of its own lets the loop come round also while there is nothing else to wait for.
            // SAFETY: the callback takes no data, and the loop is registered.
            check(unsafe { sys::virEventAddTimeout(1_000, Some(tick), ptr::null_mut(), None) })
                .map_err(|error| error.to_string())?;
            let run = || {
                loop {
                    if let Err(error) = virt::event::event_run_default_impl() {
                        tracing::error!("libvirt's event loop: {error}");
                        thread::sleep(std::time::Duration::from_secs(1));
                    }
                }
            };
            thread::Builder::new()
                .name("libvirt-loop".to_owned())
                .spawn(run)
                .map_err(|error| error.to_string())?;
            Ok(())
        })
        .clone()
}

extern "C" fn tick(_timer: c_int, _opaque: *mut c_void) {}

/// A domain's state and the reason of it, as libvirt counts them.
pub(super) fn state(domain: &Domain) -> Called<(c_uint, c_int)> {
    let (mut state, mut reason) = (0, 0);
    // SAFETY: the pointer is that of a live domain handle, and both results outlive the call.
    check(unsafe { sys::virDomainGetState(domain.as_ptr(), &raw mut state, &raw mut reason, 0) })?;
    Ok((c_uint::try_from(state).unwrap_or(sys::VIR_DOMAIN_NOSTATE), reason))
}

/// A domain's job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Job {
    pub(super) kind: c_int,
    pub(super) operation: c_uint,
    pub(super) memory_total: u64,
    pub(super) memory_processed: u64,
    pub(super) memory_remaining: u64,
    pub(super) memory_bps: u64,
    /// Pages per second.
    pub(super) memory_dirty_rate: u64,
    pub(super) memory_page_size: u64,
    pub(super) memory_iteration: u64,
    pub(super) downtime_ms: Option<u64>,
    pub(super) disk_total: u64,
    pub(super) disk_processed: u64,
    pub(super) disk_remaining: u64,
    pub(super) disk_bps: u64,
}

/// Which job is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Current,
    /// The last one that ended; it stays to be asked for again.
    Completed,
}

/// Reads a domain's job.
pub(super) fn job(domain: &Domain, which: Which) -> Called<Job> {
    let flags = match which {
        Which::Current => 0,
        Which::Completed => sys::VIR_DOMAIN_JOB_STATS_COMPLETED | sys::VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED,
    };
    let mut kind = 0;
    let mut params = Params::new();
    // SAFETY: the pointer is that of a live domain handle; libvirt allocates the array, which `params` frees.
    check(unsafe {
        sys::virDomainGetJobStats(
            domain.as_ptr(),
            &raw mut kind,
            &raw mut params.list,
            &raw mut params.count,
            flags,
        )
    })?;
    let number = |name: &CStr| params.number(name);
    Ok(Job {
        kind,
        operation: params
            .small(sys::VIR_DOMAIN_JOB_OPERATION)
            .unwrap_or(sys::VIR_DOMAIN_JOB_OPERATION_UNKNOWN),
        memory_total: number(sys::VIR_DOMAIN_JOB_MEMORY_TOTAL).unwrap_or(0),
        memory_processed: number(sys::VIR_DOMAIN_JOB_MEMORY_PROCESSED).unwrap_or(0),
        memory_remaining: number(sys::VIR_DOMAIN_JOB_MEMORY_REMAINING).unwrap_or(0),
        memory_bps: number(sys::VIR_DOMAIN_JOB_MEMORY_BPS).unwrap_or(0),
        memory_dirty_rate: number(sys::VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE).unwrap_or(0),
        memory_page_size: number(sys::VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE).unwrap_or(4096),
        memory_iteration: number(sys::VIR_DOMAIN_JOB_MEMORY_ITERATION).unwrap_or(0),
        downtime_ms: number(sys::VIR_DOMAIN_JOB_DOWNTIME),
        disk_total: number(sys::VIR_DOMAIN_JOB_DISK_TOTAL).unwrap_or(0),
        disk_processed: number(sys::VIR_DOMAIN_JOB_DISK_PROCESSED).unwrap_or(0),
        disk_remaining: number(sys::VIR_DOMAIN_JOB_DISK_REMAINING).unwrap_or(0),
        disk_bps: number(sys::VIR_DOMAIN_JOB_DISK_BPS).unwrap_or(0),
    })
}

/// A list of libvirt's typed parameters, freed by libvirt.
pub(super) struct Params {
    list: sys::virTypedParameterPtr,
    count: c_int,
    room: c_int,
}

impl Params {
    pub(super) fn new() -> Self {
        Self { list: ptr::null_mut(), count: 0, room: 0 }
    }

    pub(super) fn text(&mut self, name: &CStr, value: &str) -> Called<()> {
        let value = CString::new(value)?;
        // SAFETY: the list was begun by `new` and is only changed by libvirt, which copies name and value.
        check(unsafe {
            sys::virTypedParamsAddString(
                &raw mut self.list,
                &raw mut self.count,
                &raw mut self.room,
                name.as_ptr(),
                value.as_ptr(),
            )
        })?;
        Ok(())
    }

    pub(super) fn big(&mut self, name: &CStr, value: u64) -> Called<()> {
        // SAFETY: as above.
        check(unsafe {
            sys::virTypedParamsAddULLong(
                &raw mut self.list,
                &raw mut self.count,
                &raw mut self.room,
                name.as_ptr(),
                value,
            )
        })?;
        Ok(())
    }

    pub(super) fn int(&mut self, name: &CStr, value: u32) -> Called<()> {
        let value = c_int::try_from(value).unwrap_or(c_int::MAX);
        // SAFETY: as above.
        check(unsafe {
            sys::virTypedParamsAddInt(
                &raw mut self.list,
                &raw mut self.count,
                &raw mut self.room,
                name.as_ptr(),
                value,
            )
        })?;
        Ok(())
    }

    fn number(&self, name: &CStr) -> Option<u64> {
        let mut value: c_ulonglong = 0;
        // SAFETY: list and count belong together. A parameter of another type is refused by libvirt, not misread.
        let found =
            unsafe { sys::virTypedParamsGetULLong(self.list, self.count, name.as_ptr(), &raw mut value) };
        (found == 1).then_some(value)
    }

    fn small(&self, name: &CStr) -> Option<c_uint> {
        let mut value: c_int = 0;
        // SAFETY: as above.
        let found =
            unsafe { sys::virTypedParamsGetInt(self.list, self.count, name.as_ptr(), &raw mut value) };
        if found == 1 { c_uint::try_from(value).ok() } else { None }
    }
}

impl Drop for Params {
    fn drop(&mut self) {
        // SAFETY: list and count belong together, and nobody else frees them; an empty list is allowed.
        unsafe { sys::virTypedParamsFree(self.list, self.count) };
    }
}

/// Migrates a domain peer to peer. Takes as long as the migration does.
pub(super) fn migrate(domain: &Domain, destination: &str, params: &Params, flags: c_uint) -> Called<()> {
    let destination = CString::new(destination)?;
    // SAFETY: the pointer is that of a live domain handle; libvirt only reads the string and the list, which outlive the call.
    check(unsafe {
        sys::virDomainMigrateToURI3(
            domain.as_ptr(),
            destination.as_ptr(),
            params.list,
            c_uint::try_from(params.count).unwrap_or(0),
            flags,
        )
    })?;
    Ok(())
}

/// Asks for the end of the domain's job.
pub(super) fn abort_job(domain: &Domain) -> Called<()> {
    // SAFETY: the pointer is that of a live domain handle.
    check(unsafe { sys::virDomainAbortJob(domain.as_ptr()) })?;
    Ok(())
}

/// The downtime that a migration may use now, in milliseconds.
pub(super) fn max_downtime(domain: &Domain) -> Called<u64> {
    let mut downtime: c_ulonglong = 0;
    // SAFETY: the pointer is that of a live domain handle, and the result outlives the call.
    check(unsafe { sys::virDomainMigrateGetMaxDowntime(domain.as_ptr(), &raw mut downtime, 0) })?;
    Ok(downtime)
}

/// How large the guest sees a disk, in bytes.
pub(super) fn block_capacity(domain: &Domain, disk: &str) -> Called<u64> {
    let disk = CString::new(disk)?;
    let mut info = sys::_virDomainBlockInfo { capacity: 0, allocation: 0, physical: 0 };
    // SAFETY: the pointer is that of a live domain handle; string and result outlive the call.
    check(unsafe { sys::virDomainGetBlockInfo(domain.as_ptr(), disk.as_ptr(), &raw mut info, 0) })?;
    Ok(info.capacity)
}

/// Whether a block job runs on a disk.
pub(super) fn has_block_job(domain: &Domain, disk: &str) -> Called<bool> {
    let disk = CString::new(disk)?;
    let mut info = sys::_virDomainBlockJobInfo { type_: 0, bandwidth: 0, cur: 0, end: 0 };
    // SAFETY: as above.
    let found =
        check(unsafe { sys::virDomainGetBlockJobInfo(domain.as_ptr(), disk.as_ptr(), &raw mut info, 0) })?;
    Ok(found == 1)
}

/// Ends the block job of a disk, and waits until it has ended.
pub(super) fn abort_block_job(domain: &Domain, disk: &str) -> Called<()> {
    let disk = CString::new(disk)?;
    // SAFETY: the pointer is that of a live domain handle, and the string outlives the call.
    check(unsafe { sys::virDomainBlockJobAbort(domain.as_ptr(), disk.as_ptr(), 0) })?;
    Ok(())
}

/// What libvirt tells without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Something has happened to this domain.
    Domain(ServerId),
    /// The connection is closed.
    Closed,
}

/// A connection's events, until it is dropped. A registered callback keeps its connection open, so drop this first.
pub(super) struct Subscription {
    connect: Connect,
    ids: Vec<c_int>,
}

impl Subscription {
    /// Lets `events` hear of everything that happens to domains, and of the end of the connection.
    pub(super) fn new(connect: &Connect, events: &Sender<Event>) -> Called<Self> {
        let mut subscription = Self { connect: connect.clone(), ids: Vec::new() };
        for (event, callback) in callbacks() {
            subscription.register(event, callback, events)?;
        }
        let opaque = boxed(events);
        // SAFETY: the opaque data is freed by `free`, once, when libvirt no longer calls.
        let answer = check(unsafe {
            sys::virConnectRegisterCloseCallback(connect.as_ptr(), Some(on_close), opaque, Some(free))
        });
        if let Err(error) = answer {
            free(opaque);
            return Err(error);
        }
        Ok(subscription)
    }

    fn register(
        &mut self,
        event: c_uint,
        callback: sys::virConnectDomainEventGenericCallback,
        events: &Sender<Event>,
    ) -> Called<()> {
        let opaque = boxed(events);
        let event = c_int::try_from(event).unwrap_or(-1);
        // SAFETY: each callback has the signature of its event, see `callbacks`; the opaque data is freed by `free`.
        let answer = check(unsafe {
            sys::virConnectDomainEventRegisterAny(
                self.connect.as_ptr(),
                ptr::null_mut(),
                event,
                callback,
                opaque,
                Some(free),
            )
        });
        match answer {
            Ok(id) => {
                self.ids.push(id);
                Ok(())
            }
            Err(error) => {
                free(opaque);
                Err(error)
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            // SAFETY: the id was given by this connection. A failure means that it is gone already.
            unsafe { sys::virConnectDomainEventDeregisterAny(self.connect.as_ptr(), id) };
        }
        // SAFETY: the callback is the one that was registered; a connection without one answers with an error.
        unsafe { sys::virConnectUnregisterCloseCallback(self.connect.as_ptr(), Some(on_close)) };
    }
}

fn boxed(events: &Sender<Event>) -> *mut c_void {
    Box::into_raw(Box::new(events.clone())).cast()
}

extern "C" fn free(opaque: *mut c_void) {
    // SAFETY: it was made by `boxed`, and libvirt calls this once.
    drop(unsafe { Box::from_raw(opaque.cast::<Sender<Event>>()) });
}

/// Hands an event on. Runs on the event loop's thread, so it only takes a note.
fn note(domain: sys::virDomainPtr, opaque: *mut c_void) {
    let mut uuid = [0_u8; 16];
    // SAFETY: libvirt gives a live domain to the callback; the buffer has the size of a raw uuid.
    let answer = unsafe { sys::virDomainGetUUID(domain, uuid.as_mut_ptr()) };
    if answer == 0 {
        send(opaque, Event::Domain(ServerId(Uuid::from_bytes(uuid))));
    }
}

fn send(opaque: *mut c_void, event: Event) {
    // SAFETY: it was made by `boxed`, and libvirt frees it only after the last call.
    let events = unsafe { &*opaque.cast::<Sender<Event>>() };
    // A receiver that is gone is about to drop its subscription.
    let _ = events.send(event);
}

extern "C" fn on_close(_connect: sys::virConnectPtr, _reason: c_int, opaque: *mut c_void) {
    send(opaque, Event::Closed);
}

extern "C" fn on_lifecycle(
    _connect: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _event: c_int,
    _detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    note(domain, opaque);
    0
}

extern "C" fn on_io_error(
    _connect: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _path: *const c_char,
    _alias: *const c_char,
    _action: c_int,
    _reason: *const c_char,
    opaque: *mut c_void,
) {
    note(domain, opaque);
}

extern "C" fn on_block_job(
    _connect: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _disk: *const c_char,
    _kind: c_int,
    _status: c_int,
    opaque: *mut c_void,
) {
    note(domain, opaque);
}

extern "C" fn on_two_numbers(
    _connect: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _state: c_int,
    _reason: c_int,
    opaque: *mut c_void,
) {
    note(domain, opaque);
}

extern "C" fn on_job_completed(
    _connect: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _params: sys::virTypedParameterPtr,
    _count: c_int,
    opaque: *mut c_void,
) {
    note(domain, opaque);
}

extern "C" fn on_metadata(
    _connect: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _kind: c_int,
    _namespace: *const c_char,
    opaque: *mut c_void,
) {
    note(domain, opaque);
}

extern "C" fn on_device(
    _connect: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _alias: *const c_char,
    opaque: *mut c_void,
) {
    note(domain, opaque);
}

/// Each event with the callback of its own signature, under the one type that libvirt registers them by.
fn callbacks() -> [(c_uint, sys::virConnectDomainEventGenericCallback); 8] {
    type Generic = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void);
    let lifecycle = on_lifecycle as *const ();
    let io_error = on_io_error as *const ();
    let block_job = on_block_job as *const ();
    let numbers = on_two_numbers as *const ();
    let completed = on_job_completed as *const ();
    let metadata = on_metadata as *const ();
    let device = on_device as *const ();
    // SAFETY: libvirt calls each one back with the signature of its event, whatever type it was registered by.
    let generic = |function: *const ()| unsafe { std::mem::transmute::<*const (), Generic>(function) };
    [
        (sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE, Some(generic(lifecycle))),
        (sys::VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, Some(generic(io_error))),
        (sys::VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, Some(generic(block_job))),
        (sys::VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, Some(generic(numbers))),
        (sys::VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, Some(generic(completed))),
        (sys::VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, Some(generic(metadata))),
        (sys::VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, Some(generic(device))),
        (sys::VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, Some(generic(device))),
    ]
}
