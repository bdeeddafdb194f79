//! Definitions made out of others: a server in another shape, and the test guest of a server. Pure.
//!
//! Only what has to differ is replaced, as text: whatever else a definition says, also what this program has never heard of, stays as it
//! was written. What could reach another guest's devices or the production network is taken out of a test guest.

use std::ops::Range;
use std::path::{Path, PathBuf};

use drover_policies::blueprint::Blueprint;
use drover_policies::ids::ServerId;
use drover_policies::replica::{ImageFormat, TestNetwork};
use roxmltree::{Document, Node};

use crate::domain_xml::BadDomain;

mod disks;
mod shape;

pub use disks::with_disks;
pub use shape::reshaped;
use shape::size;

/// By which a test guest's definition is told from a server's.
const TEST_NAMESPACE: &str = "https://drover.dev/xmlns/test/1";

/// What a test guest is to differ in from its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestGuest<'a> {
    /// Its own id.
    pub guest: ServerId,
    /// Its own name.
    pub name: &'a str,
    /// Its disks by their targets, each with the qcow2 layer that takes its place. Other disks are taken out.
    pub disks: &'a [(String, PathBuf)],
    /// Where it keeps the variables of UEFI, if it has such.
    pub nvram: &'a Path,
    /// What its network cards are plugged into.
    pub network: &'a TestNetwork,
    /// What it shall look like besides.
    pub blueprint: &'a Blueprint,
}

/// The definition of a test guest of this server.
///
/// # Errors
/// When it is no XML, or lacks what every definition has.
pub fn test_guest(xml: &str, test: &TestGuest<'_>) -> Result<String, BadDomain> {
    let document = Document::parse(xml).map_err(BadDomain::Xml)?;
    let domain = document.root_element();
    let mut edits = Edits::default();
    edits.text(child(domain, "name").ok_or(BadDomain::Missing("name"))?, test.name);
    edits.text(child(domain, "uuid").ok_or(BadDomain::Missing("uuid"))?, &test.guest.to_string());
    identity(domain, test, &mut edits);
    size(domain, test.blueprint, &mut edits)?;
    if let Some(nvram) = child(domain, "os").and_then(|os| child(os, "nvram")) {
        edits.text(nvram, &test.nvram.to_string_lossy());
    }
    let mut cards = 0;
    for device in devices(domain) {
        match device.tag_name().name() {
            "disk" => disk(device, test, &mut edits),
            "interface" => {
                edits.replace(device.range(), interface(device, cards, test));
                cards += 1;
            }
            "serial" | "console" | "parallel" => character(device, &mut edits),
            "channel" => child(device, "source").into_iter().for_each(|source| edits.remove(source)),
            "graphics" => edits.replace(device.range(), graphics(device)),
            // Of these there is one, and the server has it, or may have it where it goes.
            "hostdev" | "filesystem" | "vsock" | "lease" | "shmem" | "redirdev" | "smartcard" => {
                edits.remove(device);
            }
            "tpm" if attribute(device, "backend", "type") != Some("emulator") => edits.remove(device),
            _ => {}
        }
    }
    Ok(edits.apply(xml))
}

/// Whether a definition is a test guest's.
#[must_use]
pub fn is_test_guest(xml: &str) -> bool {
    let Ok(document) = Document::parse(xml) else { return false };
    let metadata = child(document.root_element(), "metadata");
    metadata.is_some_and(|metadata| metadata.children().any(|node| node.has_tag_name((TEST_NAMESPACE, "of"))))
}

/// By what the guest, or a program in it, could take itself for the server; and what QEMU is told besides, which nobody here understands.
fn identity(domain: Node<'_, '_>, test: &TestGuest<'_>, edits: &mut Edits) {
    let server = child(domain, "uuid").and_then(|uuid| uuid.text()).unwrap_or_default().trim();
    let marker = format!(
        "<metadata><test:of xmlns:test=\"{TEST_NAMESPACE}\">{}</test:of></metadata>",
        escaped(server)
    );
    match child(domain, "metadata") {
        Some(metadata) => edits.replace(metadata.range(), marker),
        None => {
            let end = child(domain, "uuid").map_or(0, |uuid| uuid.range().end);
            edits.replace(end..end, marker);
        }
    }
    // libvirt makes a new one; Windows then knows that it is a copy.
    if let Some(genid) = child(domain, "genid") {
        edits.replace(genid.range(), "<genid/>".to_owned());
    }
    let entries =
        domain.children().filter(|node| node.has_tag_name("sysinfo")).flat_map(|node| node.descendants());
    for entry in entries.filter(|node| node.has_tag_name("entry") && node.attribute("name") == Some("uuid")) {
        edits.text(entry, &test.guest.to_string());
    }
    for own in domain.children().filter(|node| node.is_element() && node.tag_name().namespace().is_some()) {
        edits.remove(own);
    }
}

fn disk(disk: Node<'_, '_>, test: &TestGuest<'_>, edits: &mut Edits) {
    let target = attribute(disk, "target", "dev").unwrap_or_default();
    let layer = test.disks.iter().find(|(name, _)| name == target).map(|(_, path)| path);
    let removable = matches!(disk.attribute("device"), Some("cdrom" | "floppy"));
    match (layer, child(disk, "source")) {
        (Some(layer), Some(source)) => {
            let path = escaped(&layer.to_string_lossy());
            edits.replace(source.range(), format!("<source file='{path}'/>"));
            disks::format(disk, ImageFormat::Qcow2, edits);
        }
        (None, Some(source)) if removable => edits.remove(source),
        // Storage that the server uses at this moment is not for a test.
        (None, Some(_)) => edits.remove(disk),
        (_, None) => {}
    }
}

/// The same card with another address, where the guest finds it again, plugged in elsewhere.
fn interface(card: Node<'_, '_>, number: usize, test: &TestGuest<'_>) -> String {
    let model = attribute(card, "model", "type").map(|model| format!("<model type='{}'/>", escaped(model)));
    // A host's device that was handed through lies at the same place in the guest.
    let place = child(card, "address").filter(|_| model.is_some()).map(|place| written(place));
    let (kind, plugged) = match test.network {
        TestNetwork::Nowhere => ("ethernet", "<link state='down'/>".to_owned()),
        TestNetwork::Isolated { name } => ("network", format!("<source network='{}'/>", escaped(name))),
    };
    let (mac, model, place) = (mac(test.guest, number), model.unwrap_or_default(), place.unwrap_or_default());
    format!("<interface type='{kind}'><mac address='{mac}'/>{plugged}{model}{place}</interface>")
}

/// An address of its own for each card, the same in each start of one test guest.
fn mac(guest: ServerId, number: usize) -> String {
    let [.., a, b, c] = *guest.0.as_bytes();
    let number = u8::try_from(number % 256).unwrap_or_default();
    format!("52:54:00:{a:02x}:{b:02x}:{:02x}", c.wrapping_add(number))
}

/// Its output went into a file or over the network as the server's does: it is shown on a terminal only.
fn character(device: Node<'_, '_>, edits: &mut Edits) {
    let (name, kind) = (device.tag_name().name(), device.attribute("type").unwrap_or("pty"));
    if kind == "pty" {
        child(device, "log").into_iter().for_each(|log| edits.remove(log));
        child(device, "source").into_iter().for_each(|source| edits.remove(source));
        return;
    }
    let kept = ["target", "address"].into_iter().filter_map(|name| child(device, name));
    let kept: String = kept.map(|node| written(node)).collect();
    edits.replace(device.range(), format!("<{name} type='pty'>{kept}</{name}>"));
}

/// A port that is free, for this host alone.
fn graphics(device: Node<'_, '_>) -> String {
    match device.attribute("type") {
        Some(kind @ ("vnc" | "spice")) => {
            format!("<graphics type='{kind}' autoport='yes' listen='127.0.0.1'/>")
        }
        Some(_) | None => String::new(),
    }
}

/// An element with its attributes, and without what is in it.
fn written(node: Node<'_, '_>) -> String {
    let attributes: String = node
        .attributes()
        .map(|attribute| format!(" {}='{}'", attribute.name(), escaped(attribute.value())))
        .collect();
    format!("<{}{attributes}/>", node.tag_name().name())
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn devices<'a, 'i>(domain: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    child(domain, "devices").into_iter().flat_map(|devices| devices.children()).filter(Node::is_element)
}

fn attribute<'a>(node: Node<'a, '_>, name: &str, attribute: &str) -> Option<&'a str> {
    child(node, name)?.attribute(attribute)
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

/// What is replaced, by place in the text.
#[derive(Default)]
struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    fn replace(&mut self, range: Range<usize>, with: String) {
        self.0.push((range, with));
    }

    fn remove(&mut self, node: Node<'_, '_>) {
        self.replace(node.range(), String::new());
    }

    /// What an element without attributes says.
    fn text(&mut self, node: Node<'_, '_>, text: &str) {
        match node.first_child().filter(Node::is_text) {
            Some(old) => self.replace(old.range(), escaped(text)),
            None => {
                self.replace(node.range(), format!("<{0}>{1}</{0}>", node.tag_name().name(), escaped(text)))
            }
        }
    }

    /// From the end on, so that the places before stay right. What lies in something that is replaced goes with it.
    fn apply(mut self, xml: &str) -> String {
        self.0.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
        let mut out = String::with_capacity(xml.len());
        let mut done = 0;
        for (range, with) in self.0 {
            if range.start < done {
                continue;
            }
            out.push_str(xml.get(done..range.start).unwrap_or_default());
            out.push_str(&with);
            done = range.end;
        }
        out.push_str(xml.get(done..).unwrap_or_default());
        out
    }
}

#[cfg(test)]
mod tests;
