//! What libvirt's descriptions say of the disks that are copied, and the descriptions that it is given. Pure.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use drover_policies::attempt::FailureClass;
use drover_policies::replica::{ImageFormat, ReplicaDisk};
use roxmltree::{Document, Node};

use crate::hypervisor::{Refusal, RefusalKind};

/// Why a server's disks can't be copied as they are. Nothing has been touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("libvirt's description can't be understood: {0}")]
    Xml(String),
    #[error("the server has no disk {0} any more; plan the migration again")]
    Missing(String),
    #[error("disk {target} is of type {kind}; only disks that are files are copied")]
    NotAFile { target: String, kind: String },
    #[error("disk {target} is {found} and not {expected}; plan the migration again")]
    OtherFile { target: String, found: String, expected: String },
    #[error(
        "disk {target} is of format {found}; only qcow2 and raw are copied, and it was planned as {expected}"
    )]
    Format { target: String, found: String, expected: ImageFormat },
    #[error("disk {0} has a backing file; merge it into one file first (virsh blockpull)")]
    Backing(String),
    #[error("disk {0} may be written by several servers (shareable); it can't be copied for one of them")]
    Shareable(String),
    #[error("disk {0} is read-only; take it off the replica's disks, or make it writable")]
    ReadOnly(String),
    #[error("disk {0} is encrypted; its key would be lost on the way")]
    Encrypted(String),
    #[error("disk {0} keeps its data in another file (data_file); only images in one file are copied")]
    DataFile(String),
    #[error(
        "disk {0} is an image of the old kind (compat 0.10), which has no bitmaps; run `qemu-img amend -o compat=1.1` while it is off"
    )]
    Old(String),
    #[error("a block job runs on disk {0}; wait for it or end it (virsh blockjob)")]
    Job(String),
    #[error("the server has {0} snapshots; delete them first (virsh snapshot-list)")]
    Snapshots(u32),
    #[error("somebody else's backup of this server runs; wait for it or end it (virsh domjobabort)")]
    OtherBackup,
    #[error(
        "libvirt's daemon was ended while a backup of this server began, and has held the server for that backup since: its disks can be read again when it has been off; until then all that it writes is brought over by its cutover"
    )]
    LostBackup,
    #[error(
        "libvirt's daemon was ended while a backup of this server began, and can't read its own note of it: {0}; its disks can be read again when it has been off; until then all that it writes is brought over by its cutover"
    )]
    LostServer(String),
}

impl From<Unfit> for Refusal {
    fn from(unfit: Unfit) -> Self {
        let class = match unfit {
            Unfit::OtherBackup | Unfit::Job(_) => FailureClass::Busy,
            Unfit::LostBackup | Unfit::LostServer(_) => FailureClass::NeedsPowerCycle,
            Unfit::Xml(_) => FailureClass::Unexpected,
            Unfit::Missing(_)
            | Unfit::NotAFile { .. }
            | Unfit::OtherFile { .. }
            | Unfit::Format { .. }
            | Unfit::Backing(_)
            | Unfit::Shareable(_)
            | Unfit::ReadOnly(_)
            | Unfit::Encrypted(_)
            | Unfit::DataFile(_)
            | Unfit::Old(_)
            | Unfit::Snapshots(_) => FailureClass::RefusedBySource,
        };
        Self::new(RefusalKind::Failed(class), unfit.to_string())
    }
}

/// What rounds want to know of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Targets of all disks, in the order of the definition; those without a medium are left out.
    pub(super) targets: Vec<String>,
    /// The file with the variables of UEFI.
    pub(super) nvram: Option<PathBuf>,
    /// Whether it has a TPM of its own.
    pub(super) tpm: Tpm,
}

/// Whether a server has a TPM whose state lies on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tpm {
    Emulated,
    None,
}

/// Reads a domain's description, and refuses what can't be copied.
pub(super) fn read(xml: &str, disks: &[ReplicaDisk]) -> Result<Source, Unfit> {
    let document = Document::parse(xml).map_err(|error| Unfit::Xml(error.to_string()))?;
    let domain = document.root_element();
    let devices = child(domain, "devices").ok_or_else(|| Unfit::Xml("it has no <devices>".to_owned()))?;
    let target = |disk: Node<'_, '_>| {
        child(disk, "target").and_then(|target| target.attribute("dev")).map(str::to_owned)
    };
    let all: Vec<_> = devices.children().filter(|node| node.has_tag_name("disk")).collect();
    for disk in disks {
        let node = all.iter().find(|node| target(**node).as_deref() == Some(disk.target.as_str()));
        fit(*node.ok_or_else(|| Unfit::Missing(disk.target.clone()))?, disk)?;
    }
    let has_medium = |node: &&Node<'_, '_>| child(**node, "source").is_some();
    let mut tpm = devices.children().filter(|node| node.has_tag_name("tpm"));
    let emulated = |tpm: Node<'_, '_>| {
        child(tpm, "backend").is_some_and(|backend| backend.attribute("type") == Some("emulator"))
    };
    let nvram = child(domain, "os").and_then(|os| child(os, "nvram"));
    let nvram = nvram.and_then(|nvram| {
        let file = child(nvram, "source").and_then(|source| source.attribute("file"));
        file.or_else(|| nvram.text().map(str::trim)).filter(|path| !path.is_empty())
    });
    Ok(Source {
        targets: all.iter().filter(has_medium).filter_map(|node| target(*node)).collect(),
        nvram: nvram.map(PathBuf::from),
        tpm: if tpm.any(emulated) { Tpm::Emulated } else { Tpm::None },
    })
}

fn fit(node: Node<'_, '_>, disk: &ReplicaDisk) -> Result<(), Unfit> {
    let target = || disk.target.clone();
    let has = |name: &str| child(node, name).is_some();
    let kind = node.attribute("type").unwrap_or("file");
    if kind != "file" || !matches!(node.attribute("device"), None | Some("disk" | "lun")) {
        let kind = if kind == "file" { node.attribute("device").unwrap_or(kind) } else { kind };
        return Err(Unfit::NotAFile { target: target(), kind: kind.to_owned() });
    }
    let source = child(node, "source").ok_or_else(|| Unfit::Missing(target()))?;
    let file = source.attribute("file").unwrap_or_default();
    if Path::new(file) != disk.source {
        let expected = disk.source.display().to_string();
        return Err(Unfit::OtherFile { target: target(), found: file.to_owned(), expected });
    }
    let format = child(node, "driver").and_then(|driver| driver.attribute("type")).unwrap_or("raw");
    if format != disk.format.to_string() {
        return Err(Unfit::Format { target: target(), found: format.to_owned(), expected: disk.format });
    }
    // The end of a chain is an empty element; of a domain that is off the chain is not shown, the image itself is asked.
    if child(node, "backingStore").is_some_and(|store| store.has_children()) {
        return Err(Unfit::Backing(target()));
    }
    if child(source, "dataStore").is_some() {
        return Err(Unfit::DataFile(target()));
    }
    if has("encryption") || child(source, "encryption").is_some() {
        return Err(Unfit::Encrypted(target()));
    }
    for (name, unfit) in [
        ("shareable", Unfit::Shareable(target())),
        ("readonly", Unfit::ReadOnly(target())),
        ("mirror", Unfit::Job(target())),
    ] {
        if has(name) {
            return Err(unfit);
        }
    }
    Ok(())
}

/// A backup as libvirt is asked for it.
pub(super) struct Backup<'a> {
    /// The socket that its NBD server listens on.
    pub(super) socket: &'a Path,
    /// All disks of the server.
    pub(super) targets: &'a [String],
    /// Those that are copied, each with its scratch file.
    pub(super) copied: &'a [(&'a ReplicaDisk, PathBuf)],
    /// The checkpoint since which changes are told; nothing when all is read.
    pub(super) since: Option<&'a str>,
    /// What the exports' bitmaps are called.
    pub(super) bitmap: &'a str,
}

impl Backup<'_> {
    pub(super) fn xml(&self) -> String {
        let mut disks = String::new();
        for target in self.targets {
            let Some((disk, scratch)) = self.copied.iter().find(|(disk, _)| disk.target == *target) else {
                let _ = write!(disks, "<disk name='{}' backup='no'/>", escaped(target));
                continue;
            };
            let mode = match (self.since, disk.format) {
                (Some(since), ImageFormat::Qcow2) => {
                    format!("backupmode='incremental' incremental='{since}' exportbitmap='{}'", self.bitmap)
                }
                (Some(_), ImageFormat::Raw) => "backupmode='full'".to_owned(),
                (None, ImageFormat::Qcow2 | ImageFormat::Raw) => String::new(),
            };
            let _ = write!(
                disks,
                "<disk name='{0}' backup='yes' type='file' exportname='{0}' {mode}><scratch file='{1}'/></disk>",
                escaped(target),
                escaped(&scratch.display().to_string()),
            );
        }
        format!(
            "<domainbackup mode='pull'>{}<server transport='unix' socket='{}'/><disks>{disks}</disks></domainbackup>",
            self.since.map(|since| format!("<incremental>{since}</incremental>")).unwrap_or_default(),
            escaped(&self.socket.display().to_string()),
        )
    }
}

/// A checkpoint of the disks that can have one, to be made with a backup; nothing when none can.
pub(super) fn checkpoint(name: &str, targets: &[String], disks: &[ReplicaDisk]) -> Option<String> {
    let has_bitmap = |target: &String| {
        disks.iter().any(|disk| disk.target == *target && disk.format == ImageFormat::Qcow2)
    };
    let mut text = String::new();
    for target in targets {
        let kind = if has_bitmap(target) {
            format!("checkpoint='bitmap' bitmap='{name}'")
        } else {
            "checkpoint='no'".to_owned()
        };
        let _ = write!(text, "<disk name='{}' {kind}/>", escaped(target));
    }
    targets
        .iter()
        .any(has_bitmap)
        .then(|| format!("<domaincheckpoint><name>{name}</name><disks>{text}</disks></domaincheckpoint>"))
}

/// A checkpoint whose bitmaps are there, to be made known to libvirt again. `since_epoch` is when it is said to have been made.
pub(super) fn known_checkpoint(checkpoint: &str, since_epoch: i64, domain: &str) -> String {
    let domain = domain.trim_start();
    // A description that stands inside of another one has no declaration of its own.
    let domain = if domain.starts_with("<?xml") {
        domain.split_once("?>").map_or(domain, |(_, rest)| rest)
    } else {
        domain
    };
    let inside = format!("<creationTime>{since_epoch}</creationTime>{domain}</domaincheckpoint>");
    checkpoint.replace("</domaincheckpoint>", &inside)
}

/// The socket of a backup that runs.
pub(super) fn socket_of(backup: &str) -> Option<PathBuf> {
    let document = Document::parse(backup).ok()?;
    let server = child(document.root_element(), "server")?;
    server.attribute("socket").map(PathBuf::from)
}

/// What was written since a checkpoint, by disk, in bytes.
pub(super) fn sizes(checkpoint: &str) -> Vec<(String, u64)> {
    let Ok(document) = Document::parse(checkpoint) else { return Vec::new() };
    let disks = child(document.root_element(), "disks");
    let disks = disks.into_iter().flat_map(|disks| disks.children());
    disks
        .filter_map(|disk| Some((disk.attribute("name")?.to_owned(), disk.attribute("size")?.parse().ok()?)))
        .collect()
}

/// The user and group that QEMU runs as, by libvirt's capabilities; nothing when it is not told.
pub(super) fn emulator_owner(capabilities: &str) -> Option<(u32, u32)> {
    let document = Document::parse(capabilities).ok()?;
    let host = child(document.root_element(), "host")?;
    let models = host.children().filter(|node| node.has_tag_name("secmodel"));
    let dac = models
        .into_iter()
        .find(|model| child(*model, "model").and_then(|name| name.text()) == Some("dac"))?;
    let label = child(dac, "baselabel")?.text()?;
    let (user, group) = label.trim().strip_prefix('+')?.split_once(":+")?;
    Some((user.parse().ok()?, group.parse().ok()?))
}

/// The disks that may have bitmaps: files of the format qcow2.
pub(super) fn qcow2_disks(xml: &str) -> Vec<ReplicaDisk> {
    let Ok(document) = Document::parse(xml) else { return Vec::new() };
    let disks = child(document.root_element(), "devices").into_iter().flat_map(|devices| devices.children());
    disks
        .filter(|disk| child(*disk, "driver").and_then(|driver| driver.attribute("type")) == Some("qcow2"))
        .filter_map(|disk| {
            let source = PathBuf::from(child(disk, "source")?.attribute("file")?);
            let target = child(disk, "target")?.attribute("dev")?.to_owned();
            Some(ReplicaDisk {
                target,
                path: source.clone(),
                source,
                format: ImageFormat::Qcow2,
                becomes: None,
                virtual_bytes: 0,
            })
        })
        .collect()
}

/// Every file that a description names as a disk's source.
pub(in crate::hypervisor::libvirt) fn disk_files(xml: &str) -> Vec<PathBuf> {
    let Ok(document) = Document::parse(xml) else { return Vec::new() };
    let sources = document.descendants().filter(|node| node.has_tag_name("source"));
    sources.filter_map(|source| source.attribute("file")).map(PathBuf::from).collect()
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(target: &str, format: ImageFormat) -> ReplicaDisk {
        ReplicaDisk {
            target: target.to_owned(),
            source: PathBuf::from(format!("/images/{target}")),
            path: PathBuf::from(format!("/images/{target}")),
            format,
            becomes: None,
            virtual_bytes: 1 << 30,
        }
    }

    fn domain(disk: &str) -> String {
        format!(
            "<domain><name>web</name><os><nvram>/nvram/web.fd</nvram></os><devices>{disk}
             <disk type='file' device='cdrom'><target dev='sda'/></disk>
             <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm></devices></domain>"
        )
    }

    fn with(inside: &str) -> String {
        domain(&format!(
            "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/images/vda'/>
             <target dev='vda'/>{inside}</disk>"
        ))
    }

    #[test]
    fn what_is_needed_is_read_and_an_empty_drive_is_nobody_s_disk() {
        let source = read(&with("<backingStore/>"), &[disk("vda", ImageFormat::Qcow2)]).expect("fit");
        assert_eq!(source.targets, ["vda"]);
        assert_eq!(source.nvram, Some(PathBuf::from("/nvram/web.fd")));
        assert_eq!(source.tpm, Tpm::Emulated);
    }

    #[test]
    fn what_can_t_be_copied_is_refused_by_name() {
        let vda = || "vda".to_owned();
        let cases = [
            (with("<backingStore type='file'><source file='/base'/></backingStore>"), Unfit::Backing(vda())),
            (with("<shareable/>"), Unfit::Shareable(vda())),
            (with("<readonly/>"), Unfit::ReadOnly(vda())),
            (with("<encryption format='luks'/>"), Unfit::Encrypted(vda())),
            (with("<mirror type='file'/>"), Unfit::Job(vda())),
            (domain(""), Unfit::Missing(vda())),
            (
                domain(
                    "<disk type='block' device='disk'><source dev='/dev/vg/x'/><target dev='vda'/></disk>",
                ),
                Unfit::NotAFile { target: vda(), kind: "block".to_owned() },
            ),
            (
                domain(
                    "<disk type='network' device='disk'><source protocol='rbd'/><target dev='vda'/></disk>",
                ),
                Unfit::NotAFile { target: vda(), kind: "network".to_owned() },
            ),
            (
                domain(
                    "<disk type='file'><driver type='vmdk'/><source file='/images/vda'/><target dev='vda'/></disk>",
                ),
                Unfit::Format { target: vda(), found: "vmdk".to_owned(), expected: ImageFormat::Qcow2 },
            ),
        ];
        for (xml, unfit) in cases {
            assert_eq!(read(&xml, &[disk("vda", ImageFormat::Qcow2)]), Err(unfit));
        }
        let other =
            read(&with(""), &[ReplicaDisk { source: "/images/b".into(), ..disk("vda", ImageFormat::Qcow2) }]);
        assert!(matches!(other, Err(Unfit::OtherFile { .. })), "{other:?}");
    }

    #[test]
    fn libvirt_is_asked_for_changes_of_qcow2_and_for_all_of_raw() {
        let (vda, vdb) = (disk("vda", ImageFormat::Qcow2), disk("vdb", ImageFormat::Raw));
        let targets = ["vda", "vdb", "vdc"].map(str::to_owned);
        let xml = Backup {
            socket: Path::new("/scratch/it's.sock"),
            targets: &targets,
            copied: &[(&vda, "/scratch/a".into()), (&vdb, "/scratch/b".into())],
            since: Some("drover-1-1"),
            bitmap: "drover-1",
        }
        .xml();
        for part in [
            "<incremental>drover-1-1</incremental>",
            "socket='/scratch/it&apos;s.sock'",
            "exportname='vda' backupmode='incremental' incremental='drover-1-1' exportbitmap='drover-1'",
            "exportname='vdb' backupmode='full'",
            "<disk name='vdc' backup='no'/>",
        ] {
            assert!(xml.contains(part), "{part} in {xml}");
        }
        assert_eq!(socket_of(&xml), Some(PathBuf::from("/scratch/it's.sock")));

        let made =
            checkpoint("drover-1-2", &targets, &[vda, vdb.clone()]).expect("one disk can have a bitmap");
        assert!(made.contains(
            "<disk name='vda' checkpoint='bitmap' bitmap='drover-1-2'/><disk name='vdb' checkpoint='no'/>"
        ));
        assert_eq!(checkpoint("drover-1-2", &targets, &[vdb]), None);
        let known = known_checkpoint(&made, 7, "<domain><name>web</name></domain>");
        assert!(known.ends_with(
            "</disks><creationTime>7</creationTime><domain><name>web</name></domain></domaincheckpoint>"
        ));
    }

    #[test]
    fn the_emulator_s_owner_is_the_one_of_the_file_permissions() {
        let capabilities = "<capabilities><host><secmodel><model>apparmor</model></secmodel>
            <secmodel><model>dac</model><doi>0</doi><baselabel type='kvm'>+64055:+994</baselabel></secmodel></host></capabilities>";
        assert_eq!(emulator_owner(capabilities), Some((64055, 994)));
        assert_eq!(emulator_owner("<capabilities><host/></capabilities>"), None);
    }

    #[test]
    fn sizes_are_read_by_disk() {
        let xml = "<domaincheckpoint><disks><disk name='vda' checkpoint='bitmap' size='196608'/><disk name='vdb' checkpoint='no'/></disks></domaincheckpoint>";
        assert_eq!(sizes(xml), [("vda".to_owned(), 196_608)]);
    }
}
