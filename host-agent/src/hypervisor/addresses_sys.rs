//! A domain's addresses: `virt` 0.5.0 has the call, but frees neither the interfaces nor their lists.

#![expect(unsafe_code, reason = "this module is the boundary to libvirt's C library")]

use std::ffi::{CStr, c_char, c_uint};
use std::net::IpAddr;
use std::{ptr, slice};

use virt::domain::Domain;
use virt::error::Error;
use virt_sys as sys;

/// Who is asked for a domain's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Knows {
    /// libvirt's own DHCP servers on this host.
    Leases,
    /// This host's neighbour table.
    Neighbours,
    /// The guest's agent: whatever the guest likes to say.
    Guest,
}

/// An address, and the hardware address of the interface that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// In small letters; empty when it was not told.
    pub(super) mac: String,
    pub(super) ip: IpAddr,
}

/// A domain's addresses by one of those who know.
pub(super) fn addresses(domain: &Domain, who: Knows) -> Result<Vec<Address>, Error> {
    let source: c_uint = match who {
        Knows::Leases => sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
        Knows::Neighbours => sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
        Knows::Guest => sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT,
    };
    let mut list: *mut sys::virDomainInterfacePtr = ptr::null_mut();
    // SAFETY: the pointer is that of a live domain handle; libvirt allocates the list, which is freed below.
    let count = unsafe { sys::virDomainInterfaceAddresses(domain.as_ptr(), &raw mut list, source, 0) };
    let Ok(count) = usize::try_from(count) else {
        return Err(Error::last_error());
    };
    let mut found = Vec::new();
    if list.is_null() {
        return Ok(found);
    }
    // SAFETY: libvirt answers with the length of the list that it has allocated.
    for interface in unsafe { slice::from_raw_parts(list, count) } {
        // SAFETY: each is a live interface until it is freed, once, by the call below.
        let one = unsafe { &**interface };
        let mac = text(one.hwaddr).to_ascii_lowercase();
        if !one.addrs.is_null() {
            let length = usize::try_from(one.naddrs).unwrap_or(0);
            // SAFETY: the interface owns as many addresses as it says.
            let addresses = unsafe { slice::from_raw_parts(one.addrs, length) };
            let parsed = addresses.iter().filter_map(|address| text(address.addr).parse().ok());
            found.extend(parsed.map(|ip| Address { mac: mac.clone(), ip }));
        }
        // SAFETY: it is not used after this.
        unsafe { sys::virDomainInterfaceFree(*interface) };
    }
    // SAFETY: libvirt has allocated the list by the C library's allocator, and it is not used after this.
    unsafe { libc::free(list.cast()) };
    Ok(found)
}

fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: it is a string of a live interface.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
