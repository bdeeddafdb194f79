use super::*;

/// What virt-v2v-in-place 2.2 wrote when it converted a Debian 12 guest from IDE.
const WELL: &str = r#"{ "message": "Setting up the source: -i libvirtxml source.xml", "timestamp": "2026-11-21T12:47:16.584812485+00:00", "type": "message" }
{ "message": "Opening the source", "timestamp": "2026-11-21T12:47:17.601595821+00:00", "type": "message" }
{ "message": "Inspecting the source", "timestamp": "2026-11-21T12:47:29.286571218+00:00", "type": "message" }
{ "message": "Checking for sufficient free disk space in the guest", "timestamp": "2026-11-21T12:47:39.758513532+00:00", "type": "message" }
{ "message": "Converting 12.15 to run on KVM", "timestamp": "2026-11-21T12:47:39.758577878+00:00", "type": "message" }
{ "message": "could not determine a way to update the configuration of Grub2", "timestamp": "2026-11-21T12:47:48.580868808+00:00", "type": "warning" }
virt-v2v-in-place: warning: could not determine a way to update the configuration of Grub2
{ "message": "The QEMU Guest Agent will be installed for this guest at first boot.", "timestamp": "2026-11-21T12:47:56.241797428+00:00", "type": "info" }
{ "message": "This guest has virtio drivers installed.", "timestamp": "2026-11-21T12:48:24.219756046+00:00", "type": "info" }
{ "message": "Finishing off", "timestamp": "2026-11-21T12:48:27.576515935+00:00", "type": "message" }"#;

/// What it wrote of a blank disk.
const BLANK: &str = r#"{ "message": "Opening the source", "timestamp": "2026-11-21T12:52:34.488329709+00:00", "type": "message" }
{ "message": "Inspecting the source", "timestamp": "2026-11-21T12:52:51.150815873+00:00", "type": "message" }
{ "message": "inspection could not detect the source guest (or physical machine).\n\nNo root device found in this operating system image.", "timestamp": "2026-11-21T12:52:52.363057698+00:00", "type": "error" }
virt-v2v-in-place: error: inspection could not detect the source guest (or physical machine)."#;

/// What it wrote where a part of it was not installed.
const NO_NBDKIT: &str = r#"{ "message": "Setting up the source: -i libvirtxml src.xml", "timestamp": "2026-11-21T12:46:55.184343446+00:00", "type": "message" }
{ "message": "nbdkit is not installed or not working.  It is required to use ‘-i libvirt|libvirtxml’.", "timestamp": "2026-11-21T12:46:55.185566194+00:00", "type": "error" }"#;

fn hear(text: &str) -> (Hearing, Vec<String>) {
    let (mut hearing, mut events) = (Hearing::default(), Vec::new());
    for line in text.lines() {
        hearing.hear(line, &mut |event| events.push(event.to_string()));
    }
    (hearing, events)
}

fn why(text: &str, ended: Ended) -> Why {
    hear(text).0.end(ended, Span::minutes(5)).expect_err("failed").why
}

#[test]
fn a_conversion_is_told_phase_by_phase_and_its_converters_have_started_when_the_appliance_is_up() {
    let (hearing, events) = hear(WELL);
    let started = events.iter().position(|event| event == "Finished starting converters");
    let inspecting = events.iter().position(|event| event == "Inspecting the source");
    assert_eq!((started, inspecting), (Some(2), Some(3)), "{events:#?}");
    assert_eq!(events.iter().filter(|event| *event == "Finished starting converters").count(), 1);
    assert!(events[6].starts_with("warning: could not determine"), "{events:#?}");
    let found = hearing.end(Ended::Status(0), Span::minutes(5)).expect("it ended well");
    let expected = Found {
        system: Some("12.15".to_owned()),
        virtio: Virtio::Installed,
        firmware: None,
        warnings: vec!["could not determine a way to update the configuration of Grub2".to_owned()],
    };
    assert_eq!(found, expected);
}

#[test]
fn what_a_guest_boots_by_and_what_it_lacks_is_learnt() {
    let (hearing, _) = hear(
        r#"{ "message": "Converting the guest to run on KVM", "type": "message" }
{ "message": "This guest does not have virtio drivers installed.", "type": "info" }
{ "message": "This guest requires UEFI on the target to boot.", "type": "info" }
{ "message": "44", "type": "progress" }"#,
    );
    let found = hearing.end(Ended::Status(0), Span::minutes(5)).expect("it ended well");
    assert_eq!((found.system, found.virtio, found.firmware), (None, Virtio::Missing, Some(Firmware::Uefi)));
}

#[test]
fn a_failure_is_classified_and_says_what_to_do() {
    assert_eq!(why(BLANK, Ended::Status(1)), Why::NotRecognised);
    assert_eq!(why(NO_NBDKIT, Ended::Status(1)), Why::PartMissing);
    assert_eq!(why(WELL, Ended::Status(1)), Why::Other);
    assert_eq!(why("oh dear", Ended::Status(1)), Why::NoAppliance, "it had not come up yet");
    assert_eq!(why(WELL, Ended::OutOfTime), Why::OutOfTime(Span::minutes(5)));
    assert_eq!(why(BLANK, Ended::Signal(9)), Why::Killed);
    assert_eq!(why(BLANK, Ended::Stopped), Why::Stopped);
    let failed = hear(NO_NBDKIT).0.end(Ended::Status(1), Span::minutes(5)).expect_err("failed");
    let said = failed.to_string();
    assert!(said.contains("install") && said.contains("nbdkit is not installed"), "{said}");
}

#[test]
fn the_converter_is_told_of_every_disk_in_order_and_nothing_breaks_out_of_a_name() {
    let text = "[import]\nname = \"x\"\nmemory_mib = 64\nvcpus = 1\nfirmware = \"uefi\"\naccelerator = \"tcg\"\n\
        [[disk]]\ntarget = \"vda\"\nsource = \"/a.vmdk\"\npath = \"/b.raw\"\n";
    let description = crate::convert::described(text);
    let xml = source_xml(&description, &["/i/a'&<.fixes".to_owned(), "/i/b.fixes".to_owned()]);
    let document = roxmltree::Document::parse(&xml).expect("XML");
    let files: Vec<_> = document.descendants().filter_map(|node| node.attribute("file")).collect();
    let targets: Vec<_> = document.descendants().filter_map(|node| node.attribute("dev")).collect();
    assert_eq!((files, targets), (vec!["/i/a'&<.fixes", "/i/b.fixes"], vec!["hd", "sda", "sdb"]));
    assert!(xml.contains("<os firmware='efi'>") && xml.starts_with("<domain type='qemu'>"));
}
