//! Local disks whose images lie elsewhere at the destination, or have another format there.

use drover_policies::replica::{ImageFormat, ReplicaDisk};
use roxmltree::{Document, Node};

use super::{Edits, attribute, child, devices, escaped};
use crate::domain_xml::BadDomain;

/// The definition with its local disks as they are at the destination. The same definition, byte for byte, where they are as they were.
///
/// # Errors
/// When it is no XML, or has no such disk any more.
pub fn with_disks(xml: &str, copied: &[ReplicaDisk]) -> Result<String, BadDomain> {
    if !copied.iter().any(ReplicaDisk::is_reshaped) {
        return Ok(xml.to_owned());
    }
    let document = Document::parse(xml).map_err(BadDomain::Xml)?;
    let domain = document.root_element();
    let mut edits = Edits::default();
    for copy in copied.iter().filter(|copy| copy.is_reshaped()) {
        let there = copy.at_destination();
        let is = |disk: &Node<'_, '_>| {
            disk.has_tag_name("disk") && attribute(*disk, "target", "dev") == Some(copy.target.as_str())
        };
        let disk = devices(domain).find(is).ok_or_else(|| BadDomain::NoDisk(copy.target.clone()))?;
        let source = child(disk, "source").and_then(|source| source.attribute_node("file"));
        let source = source.ok_or_else(|| BadDomain::NoDisk(copy.target.clone()))?;
        edits.replace(source.range_value(), escaped(&there.path.to_string_lossy()));
        format(disk, there.format, &mut edits);
    }
    Ok(edits.apply(xml))
}

/// Says an image's format, and nothing of what lies below it.
pub(super) fn format(disk: Node<'_, '_>, format: ImageFormat, edits: &mut Edits) {
    let known = child(disk, "driver");
    match (known.and_then(|driver| driver.attribute_node("type")), child(disk, "source")) {
        (Some(said), _) => edits.replace(said.range_value(), format.to_string()),
        (None, Some(source)) => {
            known.into_iter().for_each(|driver| edits.remove(driver));
            let end = source.range().end;
            edits.replace(end..end, format!("<driver name='qemu' type='{format}'/>"));
        }
        (None, None) => {}
    }
    child(disk, "backingStore").into_iter().for_each(|chain| edits.remove(chain));
}
