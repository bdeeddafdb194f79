//! libvirt's calls about backups, checkpoints and frozen file systems, which the `virt` crate lacks, as safe functions.

#![expect(unsafe_code, reason = "this module is the boundary to libvirt's C library")]

use std::ffi::{CStr, CString, c_char, c_uint, c_void};
use std::ptr;

use virt::domain::Domain;
use virt::error::Error;
use virt_sys as sys;

use super::libvirt_sys::{self, Called, Which, check};

/// Takes over a text that libvirt has allocated.
fn text(found: *mut c_char) -> Called<String> {
    if found.is_null() {
        return Err(Error::last_error());
    }
    // SAFETY: libvirt gave a string of its own, which is freed here and nowhere else.
    Ok(unsafe {
        let text = CStr::from_ptr(found).to_string_lossy().into_owned();
        libc::free(found.cast::<c_void>());
        text
    })
}

/// Begins a backup into files that are there already, and makes a checkpoint of the same moment.
pub(super) fn begin_backup(domain: &Domain, backup: &str, checkpoint: Option<&str>) -> Called<()> {
    let backup = CString::new(backup)?;
    let checkpoint = checkpoint.map(CString::new).transpose()?;
    let checkpoint = checkpoint.as_ref().map_or(ptr::null(), |text| text.as_ptr());
    // SAFETY: the pointer is that of a live domain handle; both strings outlive the call, and no checkpoint may be null.
    check(unsafe {
        let flags = sys::VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL;
        sys::virDomainBackupBegin(domain.as_ptr(), backup.as_ptr(), checkpoint, flags)
    })?;
    Ok(())
}

/// The backup that runs, as libvirt describes it; nothing when none does.
pub(super) fn backup(domain: &Domain) -> Called<Option<String>> {
    // SAFETY: the pointer is that of a live domain handle.
    match text(unsafe { sys::virDomainBackupGetXMLDesc(domain.as_ptr(), 0) }) {
        Ok(xml) => Ok(Some(xml)),
        Err(error) if error.code().to_raw() == sys::VIR_ERR_NO_DOMAIN_BACKUP => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the domain is held for a backup of which libvirt has no data.
pub(super) fn has_lost_backup(domain: &Domain) -> Called<bool> {
    match libvirt_sys::job(domain, Which::Current) {
        Ok(_) => Ok(false),
        Err(error) if error.message().contains("backup job data missing") => Ok(true),
        Err(error) => Err(error),
    }
}

/// A checkpoint of a domain.
pub(super) struct Checkpoint(sys::virDomainCheckpointPtr);

impl Drop for Checkpoint {
    fn drop(&mut self) {
        // SAFETY: the handle was given by libvirt and is freed once.
        unsafe { sys::virDomainCheckpointFree(self.0) };
    }
}

/// What goes when a checkpoint is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delete {
    /// The checkpoint and its bitmaps; the domain must run.
    Whole,
    /// What libvirt knows of it; bitmaps stay in the images.
    Metadata,
}

impl Checkpoint {
    pub(super) fn name(&self) -> Called<String> {
        // SAFETY: the handle lives, and the name lives as long as the handle.
        unsafe {
            let name = sys::virDomainCheckpointGetName(self.0);
            if name.is_null() {
                return Err(Error::last_error());
            }
            Ok(CStr::from_ptr(name).to_string_lossy().into_owned())
        }
    }

    /// Its description, with what was written since, by disk.
    pub(super) fn with_sizes(&self) -> Called<String> {
        let flags = sys::VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN | sys::VIR_DOMAIN_CHECKPOINT_XML_SIZE;
        // SAFETY: the handle lives.
        text(unsafe { sys::virDomainCheckpointGetXMLDesc(self.0, flags) })
    }

    pub(super) fn delete(&self, what: Delete) -> Called<()> {
        let flags = match what {
            Delete::Whole => 0,
            Delete::Metadata => sys::VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY,
        };
        // SAFETY: the handle lives.
        check(unsafe { sys::virDomainCheckpointDelete(self.0, flags) }).map(drop)
    }
}

/// All checkpoints of a domain, parents first.
pub(super) fn checkpoints(domain: &Domain) -> Called<Vec<Checkpoint>> {
    let mut list: *mut sys::virDomainCheckpointPtr = ptr::null_mut();
    let flags = sys::VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL;
    // SAFETY: the pointer is that of a live domain handle; libvirt allocates the list.
    let count = check(unsafe { sys::virDomainListAllCheckpoints(domain.as_ptr(), &raw mut list, flags) })?;
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: libvirt gave as many handles as it says. Each is owned by one `Checkpoint` from here on, and the list by nobody.
    Ok(unsafe {
        let found = (0..count).map(|index| Checkpoint(*list.add(index))).collect();
        libc::free(list.cast::<c_void>());
        found
    })
}

/// Whether bitmaps are looked for when a checkpoint is made known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Validate {
    /// They must be there and usable; the domain must run.
    Bitmaps,
    /// They are believed to be there.
    Nothing,
}

/// Makes a checkpoint known again whose bitmaps are in the images.
pub(super) fn redefine_checkpoint(domain: &Domain, xml: &str, validate: Validate) -> Called<()> {
    let xml = CString::new(xml)?;
    let flags = match validate {
        Validate::Bitmaps => {
            sys::VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE | sys::VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE_VALIDATE
        }
        Validate::Nothing => sys::VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE,
    };
    // SAFETY: the pointer is that of a live domain handle, and the string outlives the call.
    let made = unsafe { sys::virDomainCheckpointCreateXML(domain.as_ptr(), xml.as_ptr(), flags) };
    if made.is_null() {
        return Err(Error::last_error());
    }
    drop(Checkpoint(made));
    Ok(())
}

/// Has the guest agent hold all file systems still. Must be followed by [`thaw`], also when it fails.
pub(super) fn freeze(domain: &Domain) -> Called<()> {
    // SAFETY: the pointer is that of a live domain handle; no list means all file systems.
    check(unsafe { sys::virDomainFSFreeze(domain.as_ptr(), ptr::null_mut(), c_uint::MIN, 0) }).map(drop)
}

/// Lets all file systems go on. Ones that were not held still are no error.
pub(super) fn thaw(domain: &Domain) -> Called<()> {
    // SAFETY: as above.
    check(unsafe { sys::virDomainFSThaw(domain.as_ptr(), ptr::null_mut(), c_uint::MIN, 0) }).map(drop)
}
