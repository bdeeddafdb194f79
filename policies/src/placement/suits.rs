//! Whether a server can run on a host at all: processor, machine type, storage, libvirt, labels.

use std::collections::BTreeSet;

use super::{WhyNotHere, Wish};
use crate::attempt::Method;
use crate::fleet::{GuestCpu, HostFacts, Reach, ServerFacts};

/// libvirt counts versions as major × 1,000,000 + minor × 1,000 + release.
const MAJOR: u64 = 1_000_000;

/// What neither the hour nor other servers change.
pub(super) fn machine(wish: &Wish<'_>, source: &HostFacts, here: &HostFacts) -> Result<(), WhyNotHere> {
    let server = &wish.server.facts;
    processor(server, source, here)?;
    if !here.machine_types.contains(&server.machine_type) {
        return Err(WhyNotHere::MachineType { needs: server.machine_type.clone() });
    }
    let lacks = out_of_reach(server, here);
    if !lacks.is_empty() {
        return Err(WhyNotHere::Storage { lacks });
    }
    // A reboot migration starts the server from its definition, which an older libvirt reads or refuses as a whole.
    let (from, to) = (source.libvirt_version / MAJOR, here.libvirt_version / MAJOR);
    if wish.method == Method::Live && to < from {
        return Err(WhyNotHere::OlderLibvirt { source: from, here: to });
    }
    if let (Some(blueprint), Some(plugs)) = (wish.shape(), &here.plugs)
        && let Some(lacks) = blueprint.plugs(server).find(|plug| !plugs.contains(plug))
    {
        return Err(WhyNotHere::Network { lacks });
    }
    for label in &wish.policy().placement.same_labels {
        let (wants, has) = (source.labels.get(label), here.labels.get(label));
        if wants != has {
            let (wants, has) = (wants.cloned(), has.cloned());
            return Err(WhyNotHere::Label { label: label.clone(), wants, has });
        }
    }
    Ok(())
}

fn processor(server: &ServerFacts, source: &HostFacts, here: &HostFacts) -> Result<(), WhyNotHere> {
    if server.arch != here.cpu.arch {
        return Err(WhyNotHere::Arch { needs: server.arch.clone(), has: here.cpu.arch.clone() });
    }
    match &server.cpu {
        GuestCpu::Model { name } if here.cpu.usable_models.contains(name) => Ok(()),
        GuestCpu::Model { name } => Err(WhyNotHere::CpuModel { needs: name.clone() }),
        // A reboot migration asks the same: a guest may have been installed for the features that it found.
        GuestCpu::HostPassthrough
            if source.cpu.arch == here.cpu.arch && source.cpu.model == here.cpu.model =>
        {
            Ok(())
        }
        GuestCpu::HostPassthrough => {
            Err(WhyNotHere::CpuPassthrough { needs: source.cpu.model.clone(), has: here.cpu.model.clone() })
        }
        GuestCpu::Default => Ok(()),
    }
}

/// Local disks are no matter of reach: a server that has one isn't moved at all ([`crate::eligibility`]).
fn out_of_reach(server: &ServerFacts, here: &HostFacts) -> BTreeSet<String> {
    let storages = server.disks.iter().filter_map(|disk| match &disk.reach {
        Reach::Shared { storage } => Some(storage),
        Reach::Local | Reach::Empty => None,
    });
    storages.filter(|storage| !here.shared_storage.contains(*storage)).cloned().collect()
}
