//! A server in another shape: as its blueprint wants it, and back.
//!
//! What is replaced is kept in the new definition's metadata with the order that replaced it, so that the way back needs nothing but the
//! definition itself. Neither way is ever taken from its own result: an order reads the definition that it has retained, or that it finds.

use drover_agent_api::Shape;
use drover_policies::blueprint::Blueprint;
use drover_policies::ids::OperationId;
use roxmltree::{Document, Node};

use super::{Edits, attribute, child, devices, escaped};
use crate::domain_xml::BadDomain;

/// Under which a definition keeps what it was before.
const NAMESPACE: &str = "https://drover.dev/xmlns/shape/1";

/// All of a definition that hangs on its memory and processors.
const SIZES: [&str; 7] = ["memory", "currentMemory", "vcpu", "vcpus", "cputune", "numatune", "cpu"];

/// The definition as an order wants it at the destination. The same definition, byte for byte, when it is to stay as it is.
///
/// # Errors
/// When it is no XML, or what is to be changed can't be.
pub fn reshaped(xml: &str, shape: &Shape, order: OperationId) -> Result<String, BadDomain> {
    match shape {
        Shape::AsItIs => Ok(xml.to_owned()),
        Shape::Blueprint { blueprint } => with_blueprint(xml, blueprint, order),
        Shape::Before { operation } => as_before(xml, *operation),
    }
}

fn with_blueprint(xml: &str, blueprint: &Blueprint, order: OperationId) -> Result<String, BadDomain> {
    let document = Document::parse(xml).map_err(BadDomain::Xml)?;
    let domain = document.root_element();
    let mut edits = Edits::default();
    let mut kept = String::new();
    let text = |node: Node<'_, '_>| escaped(xml.get(node.range()).unwrap_or_default());
    if blueprint.memory_bytes.is_some() || blueprint.vcpus.is_some() {
        size(domain, blueprint, &mut edits)?;
        for part in SIZES.iter().filter_map(|name| child(domain, name)) {
            kept.push_str(&format!(
                "<shape:part name='{}'>{}</shape:part>",
                part.tag_name().name(),
                text(part)
            ));
        }
    }
    for card in cards(domain) {
        let (Some(source), Some(mac)) = (child(card, "source"), attribute(card, "mac", "address")) else {
            continue;
        };
        let named = card.attribute("type").and_then(|kind| source.attribute_node(kind));
        let Some((named, to)) = named.and_then(|named| Some((named, blueprint.networks.get(named.value())?)))
        else {
            continue;
        };
        kept.push_str(&format!("<shape:card mac='{}'>{}</shape:card>", escaped(mac), text(source)));
        edits.replace(named.range_value(), escaped(to));
    }
    if !kept.is_empty() {
        keep(
            domain,
            &format!("<shape:before xmlns:shape='{NAMESPACE}' order='{order}'>{kept}</shape:before>"),
            &mut edits,
        );
    }
    Ok(edits.apply(xml))
}

/// In place of what an earlier order has kept: a server goes back by one step.
fn keep(domain: Node<'_, '_>, before: &str, edits: &mut Edits) {
    let Some(metadata) = child(domain, "metadata") else {
        edits.replace(after_uuid(domain), format!("<metadata>{before}</metadata>"));
        return;
    };
    match (mark(metadata), metadata.first_child()) {
        (Some(mark), _) => edits.replace(mark.range(), before.to_owned()),
        (None, Some(first)) => edits.replace(first.range().start..first.range().start, before.to_owned()),
        (None, None) => edits.replace(metadata.range(), format!("<metadata>{before}</metadata>")),
    }
}

fn as_before(xml: &str, order: OperationId) -> Result<String, BadDomain> {
    let document = Document::parse(xml).map_err(BadDomain::Xml)?;
    let domain = document.root_element();
    let order = order.to_string();
    let mark = child(domain, "metadata").and_then(mark);
    let Some(mark) = mark.filter(|mark| mark.attribute("order") == Some(&order)) else {
        return Ok(xml.to_owned());
    };
    let mut edits = Edits::default();
    edits.remove(mark);
    for part in mark.children().filter(|part| part.has_tag_name((NAMESPACE, "part"))) {
        let was = part.text().unwrap_or_default().to_owned();
        match part.attribute("name").and_then(|name| child(domain, name)) {
            Some(now) => edits.replace(now.range(), was),
            None => edits.replace(after_uuid(domain), was),
        }
    }
    for was in mark.children().filter(|card| card.has_tag_name((NAMESPACE, "card"))) {
        let is = |card: &Node<'_, '_>| attribute(*card, "mac", "address") == was.attribute("mac");
        if let Some(source) = cards(domain).find(is).and_then(|card| child(card, "source")) {
            edits.replace(source.range(), was.text().unwrap_or_default().to_owned());
        }
    }
    Ok(edits.apply(xml))
}

fn mark<'a, 'i>(metadata: Node<'a, 'i>) -> Option<Node<'a, 'i>> {
    metadata.children().find(|node| node.has_tag_name((NAMESPACE, "before")))
}

/// Cards that are plugged into a network of libvirt's or a bridge: the attribute that names it is called as the card's type is.
fn cards<'a, 'i>(domain: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    let is_plugged = |device: &Node<'_, '_>| {
        device.has_tag_name("interface") && matches!(device.attribute("type"), Some("network" | "bridge"))
    };
    devices(domain).filter(is_plugged)
}

fn after_uuid(domain: Node<'_, '_>) -> std::ops::Range<usize> {
    let end = child(domain, "uuid").map_or(0, |uuid| uuid.range().end);
    end..end
}

/// Memory and processors.
pub(super) fn size(domain: Node<'_, '_>, blueprint: &Blueprint, edits: &mut Edits) -> Result<(), BadDomain> {
    let numa = child(domain, "cpu").and_then(|cpu| child(cpu, "numa"));
    let hot_plugged = || child(domain, "maxMemory").is_some();
    if (blueprint.memory_bytes.is_some() || blueprint.vcpus.is_some() && numa.is_some()) && hot_plugged() {
        return Err(BadDomain::HotPlugged);
    }
    if let Some(bytes) = blueprint.memory_bytes {
        let memory = child(domain, "memory").ok_or(BadDomain::Missing("memory"))?;
        edits.replace(memory.range(), format!("<memory unit='b'>{bytes}</memory>"));
        if let Some(current) = child(domain, "currentMemory") {
            edits.replace(current.range(), format!("<currentMemory unit='b'>{bytes}</currentMemory>"));
        }
    }
    if let Some(vcpus) = blueprint.vcpus {
        let vcpu = child(domain, "vcpu").ok_or(BadDomain::Missing("vcpu"))?;
        edits.replace(vcpu.range(), format!("<vcpu placement='static'>{vcpus}</vcpu>"));
        // Pins and topologies are of the processors that there were.
        let topology = child(domain, "cpu").and_then(|cpu| child(cpu, "topology"));
        let of_each = ["vcpus", "cputune"].into_iter().filter_map(|name| child(domain, name));
        topology.into_iter().chain(of_each).for_each(|stale| edits.remove(stale));
    }
    if blueprint.memory_bytes.is_some() || blueprint.vcpus.is_some() {
        // Cells share out both: libvirt takes the memory of a guest that has some from them alone.
        let cells = child(domain, "numatune").into_iter().flat_map(|tune| tune.children());
        let cells = cells.filter(|node| numa.is_some() && node.has_tag_name("memnode"));
        numa.into_iter().chain(cells).for_each(|stale| edits.remove(stale));
    }
    Ok(())
}
