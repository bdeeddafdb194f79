//! Facts of a host out of libvirt's capabilities. Pure.

use std::collections::BTreeSet;

use drover_policies::fleet::HostCpu;
use roxmltree::{Document, Node};

/// What the host's capabilities say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// `x86_64`, …
    pub arch: String,
    /// The node's processor by libvirt's name.
    pub model: String,
    /// Machine types for the node's own architecture, canonical names and aliases.
    pub machine_types: BTreeSet<String>,
}

/// Reads what `virConnectGetCapabilities` gives.
///
/// # Errors
/// When it is no XML.
pub fn read(xml: &str) -> Result<Capabilities, roxmltree::Error> {
    let document = Document::parse(xml)?;
    let root = document.root_element();
    let cpu = root.children().find(|node| node.has_tag_name("host")).and_then(|host| child(host, "cpu"));
    let arch = cpu.and_then(|cpu| text(cpu, "arch")).unwrap_or_default();
    let model = cpu.and_then(|cpu| text(cpu, "model")).unwrap_or_default();
    let guests = root.children().filter(|node| node.has_tag_name("guest"));
    let own = guests
        .filter_map(|guest| child(guest, "arch"))
        .filter(|guest| guest.attribute("name") == Some(arch.as_str()));
    let mut machine_types = BTreeSet::new();
    for machine in own.flat_map(|guest| guest.descendants()).filter(|node| node.has_tag_name("machine")) {
        machine_types.extend(machine.text().map(str::to_owned));
        machine_types.extend(machine.attribute("canonical").map(str::to_owned));
    }
    Ok(Capabilities { arch, model, machine_types })
}

/// Reads the usable processor models out of what `virConnectGetDomainCapabilities` gives.
///
/// # Errors
/// When it is no XML.
pub fn usable_models(xml: &str) -> Result<BTreeSet<String>, roxmltree::Error> {
    let document = Document::parse(xml)?;
    let modes = document.descendants().filter(|node| node.has_tag_name("mode"));
    let custom = modes.filter(|mode| mode.attribute("name") == Some("custom"));
    let models = custom.flat_map(|mode| mode.children()).filter(|node| node.has_tag_name("model"));
    Ok(models
        .filter(|model| model.attribute("usable") == Some("yes"))
        .filter_map(|model| model.text().map(str::to_owned))
        .collect())
}

/// The node's processor, put together.
#[must_use]
pub fn cpu(capabilities: &Capabilities, usable_models: BTreeSet<String>) -> HostCpu {
    HostCpu { arch: capabilities.arch.clone(), model: capabilities.model.clone(), usable_models }
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn text(node: Node<'_, '_>, name: &str) -> Option<String> {
    Some(child(node, name)?.text()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_types_are_those_of_the_node_s_own_architecture_under_both_names() {
        let xml = "<capabilities><host><cpu><arch>x86_64</arch><model>EPYC-Rome</model></cpu></host>
            <guest><os_type>hvm</os_type><arch name='i686'><machine>isapc</machine></arch></guest>
            <guest><os_type>hvm</os_type><arch name='x86_64'>
              <machine maxCpus='288' canonical='pc-q35-10.0'>q35</machine><machine>pc-q35-9.2</machine>
              <domain type='qemu'/><domain type='kvm'><machine>microvm</machine></domain></arch></guest></capabilities>";
        let capabilities = read(xml).expect("well-formed");
        assert_eq!((capabilities.arch.as_str(), capabilities.model.as_str()), ("x86_64", "EPYC-Rome"));
        let machines: Vec<&str> = capabilities.machine_types.iter().map(String::as_str).collect();
        assert_eq!(machines, ["microvm", "pc-q35-10.0", "pc-q35-9.2", "q35"]);
    }

    #[test]
    fn only_models_that_libvirt_calls_usable_are_usable() {
        let xml = "<domainCapabilities><cpu>
            <mode name='maximum' supported='yes'><enum name='x'><value>on</value></enum></mode>
            <mode name='host-model' supported='yes'><model fallback='forbid'>EPYC-Rome</model></mode>
            <mode name='custom' supported='yes'><model usable='yes'>EPYC</model><model usable='no'>Denverton</model>
            <model usable='unknown'>Opteron_G1</model></mode></cpu></domainCapabilities>";
        let models: Vec<String> = usable_models(xml).expect("well-formed").into_iter().collect();
        assert_eq!(models, ["EPYC"]);
    }
}
