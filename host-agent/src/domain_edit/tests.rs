use std::collections::BTreeMap;

use drover_agent_api::Shape;
use drover_policies::ids::OperationId;
use drover_policies::replica::ReplicaDisk;
use uuid::Uuid;

use super::*;

const GUEST: ServerId = ServerId(Uuid::from_u128(0x7e57_0000_0000_0000_0000_0000_0012_3456));

/// As libvirt 11 keeps one, with everything in it that a test guest must not have.
const WEB: &str = r#"<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>web-1</name>
  <uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>
  <genid>43dc0cf8-809b-4adb-9bea-a9abb5f3d90e</genid>
  <metadata><d:server xmlns:d="https://drover.dev/xmlns/server/1"><d:owner>acme</d:owner></d:server></metadata>
  <memory unit='KiB'>4194304</memory>
  <currentMemory unit='KiB'>4194304</currentMemory>
  <vcpu placement='static'>4</vcpu>
  <cputune><vcpupin vcpu='3' cpuset='7'/></cputune>
  <sysinfo type='smbios'><system><entry name='uuid'>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</entry></system></sysinfo>
  <os firmware='efi'><type arch='x86_64' machine='pc-q35-10.0'>hvm</type>
    <nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>/var/lib/libvirt/qemu/nvram/web-1_VARS.fd</nvram></os>
  <cpu mode='host-model'><topology sockets='1' cores='4' threads='1'/></cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='raw' cache='none' io='native'/><source file='/srv/images/web-1.raw'/><target dev='vda' bus='virtio'/><address type='pci' bus='0x04'/></disk>
    <disk type='file' device='disk'><source file='/srv/images/web-1-b.img'/><target dev='vdb' bus='virtio'/></disk>
    <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='vms/data'/><target dev='vdc' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><source file='/srv/iso/debian.iso'/><target dev='sda' bus='sata'/><readonly/></disk>
    <interface type='bridge'><mac address='52:54:00:ab:cd:ef'/><source bridge='br0'/><target dev='web0'/><model type='virtio'/><address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></interface>
    <interface type='hostdev'><mac address='52:54:00:ab:cd:f0'/><source><address type='pci' bus='0x3b'/></source></interface>
    <serial type='file'><source path='/var/log/web-1.log'/><target port='0'/></serial>
    <console type='pty'><log file='/var/log/web-1.console'/><target type='serial' port='0'/></console>
    <channel type='unix'><source mode='bind' path='/run/web-1.agent'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <graphics type='vnc' port='5907' autoport='no' listen='0.0.0.0' passwd='secret'/>
    <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
    <hostdev mode='subsystem' type='pci'><source><address bus='0x06'/></source></hostdev>
    <vsock model='virtio'><cid auto='no' address='7'/></vsock>
  </devices>
  <qemu:commandline><qemu:arg value='-nic'/></qemu:commandline>
</domain>"#;

fn made(network: &TestNetwork, blueprint: &Blueprint) -> String {
    let disks =
        [("vda".to_owned(), "/srv/images/a&b.test".into()), ("vdb".to_owned(), "/srv/images/b.test".into())];
    let test = TestGuest {
        guest: GUEST,
        name: "web-1-test",
        disks: &disks,
        nvram: Path::new("/srv/images/a.vars"),
        network,
        blueprint,
    };
    test_guest(WEB, &test).expect("made")
}

#[test]
fn a_test_guest_has_nothing_by_which_the_server_could_be_disturbed() {
    let xml = made(&TestNetwork::Nowhere, &Blueprint::default());
    Document::parse(&xml).expect("it is XML");
    for of_the_server in [
        "<name>web-1<",
        "4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>",
        "43dc0cf8",
        "web-1.raw",
        "web-1-b.img",
        "rbd",
        "debian.iso",
        "br0",
        "52:54:00:ab",
        "web0",
        "/var/log",
        "web-1_VARS",
        "web-1.agent",
        "5907",
        "secret",
        "hostdev",
        "vsock",
        "qemu:commandline",
        "acme",
    ] {
        assert!(!xml.contains(of_the_server), "{of_the_server} is in\n{xml}");
    }
    let id = GUEST.to_string();
    for own in [
        "<name>web-1-test</name>",
        &format!("<uuid>{id}</uuid>"),
        "<genid/>",
        &format!("<entry name='uuid'>{id}</entry>"),
        "<source file='/srv/images/a&amp;b.test'/>",
        "type='qcow2' cache='none' io='native'",
        "<source file='/srv/images/b.test'/><driver name='qemu' type='qcow2'/>",
        "template='/usr/share/OVMF/OVMF_VARS_4M.fd'>/srv/images/a.vars<",
        "<interface type='ethernet'><mac address='52:54:00:12:34:56'/><link state='down'/><model type='virtio'/><address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></interface>",
        "<interface type='ethernet'><mac address='52:54:00:12:34:57'/><link state='down'/></interface>",
        "<serial type='pty'><target port='0'/></serial>",
        "org.qemu.guest_agent.0",
        "tpm-crb",
        "<graphics type='vnc' autoport='yes' listen='127.0.0.1'/>",
        "device='cdrom'",
    ] {
        assert!(xml.contains(own), "{own} is not in\n{xml}");
    }
}

#[test]
fn a_test_guest_is_told_from_a_server() {
    assert!(is_test_guest(&made(&TestNetwork::Nowhere, &Blueprint::default())));
    assert!(!is_test_guest(WEB) && !is_test_guest("no XML"));
    let without = WEB.replace("metadata>", "title>");
    let test = TestGuest {
        guest: GUEST,
        name: "t",
        disks: &[],
        nvram: Path::new("/v"),
        network: &TestNetwork::Nowhere,
        blueprint: &Blueprint::default(),
    };
    assert!(is_test_guest(&test_guest(&without, &test).expect("made")));
}

#[test]
fn its_cards_are_plugged_into_the_network_for_tests() {
    let xml = made(&TestNetwork::Isolated { name: "tests'".into() }, &Blueprint::default());
    assert_eq!(xml.matches("<source network='tests&apos;'/>").count(), 2, "{xml}");
    assert!(!xml.contains("ethernet"));
}

fn order(n: u128) -> OperationId {
    OperationId(Uuid::from_u128(n))
}

fn smaller() -> Blueprint {
    Blueprint {
        memory_bytes: Some(2 << 30),
        vcpus: Some(2),
        networks: BTreeMap::from([
            ("br0".to_owned(), "br-dc2".to_owned()),
            ("br9".to_owned(), "x".to_owned()),
        ]),
        ..Blueprint::default()
    }
}

fn shaped(xml: &str, blueprint: &Blueprint, by: OperationId) -> Result<String, BadDomain> {
    reshaped(xml, &Shape::Blueprint { blueprint: blueprint.clone() }, by)
}

#[test]
fn a_blueprint_changes_what_it_says_and_keeps_what_was_there() {
    assert_eq!(shaped(WEB, &Blueprint::default(), order(1)).expect("made"), WEB);
    let made = shaped(WEB, &smaller(), order(1)).expect("made");
    let expected = WEB
        .replace("<memory unit='KiB'>4194304</memory>", "<memory unit='b'>2147483648</memory>")
        .replace(
            "<currentMemory unit='KiB'>4194304</currentMemory>",
            "<currentMemory unit='b'>2147483648</currentMemory>",
        )
        .replace("<vcpu placement='static'>4</vcpu>", "<vcpu placement='static'>2</vcpu>")
        .replace("<cputune><vcpupin vcpu='3' cpuset='7'/></cputune>", "")
        .replace("<topology sockets='1' cores='4' threads='1'/>", "")
        .replace("bridge='br0'", "bridge='br-dc2'");
    let document = Document::parse(&made).expect("it is XML");
    let kept = document.descendants().find(|node| node.tag_name().name() == "before").expect("kept");
    assert_eq!(kept.attribute("order"), Some(order(1).to_string().as_str()));
    assert_eq!(made.replace(&made[kept.range()], ""), expected, "nothing else is another");
    assert!(made.contains("<d:owner>acme</d:owner>"), "whose it is stays known");
    let test = made_test(&smaller());
    assert!(test.contains("<memory unit='b'>2147483648</memory>") && !test.contains("br-dc2"), "{test}");
}

fn made_test(blueprint: &Blueprint) -> String {
    made(&TestNetwork::Nowhere, blueprint)
}

#[test]
fn the_way_back_leads_to_what_was_there_before_that_order_and_no_further() {
    let plain = WEB.replace("<cputune><vcpupin vcpu='3' cpuset='7'/></cputune>", "");
    let made = shaped(&plain, &smaller(), order(1)).expect("made");
    let back = |xml: &str, n| reshaped(xml, &Shape::Before { operation: order(n) }, order(9)).expect("made");
    assert_eq!(back(&made, 1), plain);
    assert_eq!(back(&made, 2), made, "that order gave it no other shape");
    assert_eq!(back(&plain, 1), plain);
    let gone = back(&shaped(WEB, &smaller(), order(1)).expect("made"), 1);
    assert!(gone.contains("<cputune><vcpupin vcpu='3' cpuset='7'/></cputune>"), "{gone}");

    let again = Blueprint { vcpus: Some(8), ..Blueprint::default() };
    let again = shaped(&made, &again, order(2)).expect("made");
    assert_eq!(again.matches(":before ").count(), 1, "one step is kept");
    assert_eq!(back(&again, 1), again);
    assert!(back(&again, 2).contains("<vcpu placement='static'>2</vcpu>"));

    let bare = plain.replace(
        r#"<metadata><d:server xmlns:d="https://drover.dev/xmlns/server/1"><d:owner>acme</d:owner></d:server></metadata>"#,
        "",
    );
    let made = shaped(&bare, &smaller(), order(1)).expect("made");
    assert_eq!(back(&made, 1), bare.replace("3fa0</uuid>\n", "3fa0</uuid><metadata></metadata>\n"));
}

#[test]
fn memory_in_parts_is_shared_out_anew_or_refused() {
    let cells = WEB
        .replace("<topology sockets='1' cores='4' threads='1'/>", "<numa><cell id='0' cpus='0-3' memory='4194304'/></numa>")
        .replace("<cputune>", "<numatune><memory mode='strict' nodeset='0'/><memnode cellid='0' nodeset='0'/></numatune><cputune>");
    let memory = Blueprint { memory_bytes: Some(2 << 30), ..Blueprint::default() };
    let made = shaped(&cells, &memory, order(1)).expect("made");
    let document = Document::parse(&made).expect("it is XML");
    let has = |name: &str| document.descendants().any(|node| node.has_tag_name(name));
    assert!(!has("numa") && !has("memnode") && has("numatune") && has("cputune"), "{made}");
    let plugged =
        cells.replace("<memory unit", "<maxMemory slots='2' unit='KiB'>8388608</maxMemory><memory unit");
    for blueprint in [memory, Blueprint { vcpus: Some(1), ..Blueprint::default() }] {
        let refused = shaped(&plugged, &blueprint, order(1)).expect_err("memory that is plugged in");
        assert!(refused.to_string().contains("<maxMemory>"), "{refused}");
    }
}

#[test]
fn what_is_no_definition_is_refused() {
    shaped("<domain>", &Blueprint::default(), order(1)).expect_err("no XML");
    let memory = Blueprint { memory_bytes: Some(1 << 30), ..Blueprint::default() };
    assert!(matches!(shaped("<domain/>", &memory, order(1)), Err(BadDomain::Missing("memory"))));
}

#[test]
fn local_disks_lie_where_they_are_to_and_the_rest_stays_byte_for_byte() {
    let disk = |target: &str, source: &str, path: &str, becomes| ReplicaDisk {
        target: target.to_owned(),
        source: source.into(),
        path: path.into(),
        format: ImageFormat::Raw,
        becomes,
        virtual_bytes: 1 << 30,
    };
    let a = |path: &str, becomes| disk("vda", "/srv/images/web-1.raw", path, becomes);
    let b = disk("vdb", "/srv/images/web-1-b.img", "/srv/a&b/web-1-b.img", Some(ImageFormat::Qcow2));
    let with = |disks: &[ReplicaDisk]| with_disks(WEB, disks);
    assert_eq!(with(&[a("/srv/images/web-1.raw", None)]).expect("made"), WEB);
    let moved = with(&[a("/srv/fast/web-1.raw", None), b]).expect("made");
    let expected = WEB.replace("/srv/images/web-1.raw", "/srv/fast/web-1.raw").replace(
        "<source file='/srv/images/web-1-b.img'/>",
        "<source file='/srv/a&amp;b/web-1-b.img'/><driver name='qemu' type='qcow2'/>",
    );
    assert_eq!(moved, expected);
    let other = with(&[a("/srv/images/web-1.raw", Some(ImageFormat::Qcow2))]).expect("made");
    assert_eq!(other, WEB.replacen("type='raw' cache", "type='qcow2' cache", 1));
    for gone in ["vdx", "vdc"] {
        let refused = with(&[disk(gone, "/a", "/b", None)]).expect_err("no such file").to_string();
        assert!(refused.contains(gone) && refused.contains("changed meanwhile"), "{refused}");
    }
}
