use super::*;
use crate::replica::ImageFormat;
use crate::time::Span;

const GOOD: &str = r#"
[import]
name = "legacy"
owner = "acme"
memory_mib = 512
vcpus = 2
firmware = "uefi"

[resources]
gpu-slots = 1

[[network]]
bridge = "br0"
mac = "00:0c:29:3a:11:5e"

[[disk]]
target = "vda"
source = "/srv/in/legacy.vmdk"
path = "/srv/images/legacy.qcow2"

[[disk]]
target = "vdb"
source = "nbd+unix:///data?socket=/run/nbd.sock"
path = "/srv/images/legacy-data.raw"
format = "raw"
"#;

fn parse(text: &str) -> Result<Description, BadDescription> {
    let written: Written = toml::from_str(text).expect("understood");
    written.try_into()
}

/// What is said of the description with one text in it replaced.
fn refused(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from} is not in the good description");
    let refusal = parse(&GOOD.replacen(from, to, 1)).expect_err("refused");
    let said = refusal.to_string();
    assert!(said.starts_with(refusal.key()), "{said}");
    said
}

#[test]
fn a_description_is_read_whole() {
    let description = parse(GOOD).expect("good");
    assert_eq!(
        (description.name.as_str(), description.memory_bytes, description.vcpus),
        ("legacy", 512 << 20, 2)
    );
    assert_eq!((description.firmware, description.accelerator), (Firmware::Uefi, Accelerator::Kvm));
    assert_eq!(description.conversion_limit, Span::hours(1));
    assert_eq!(description.resources, [("gpu-slots".to_owned(), 1)].into());
    let host = crate::samples::host_name("h1");
    let coming = server(&description, crate::samples::server_id(1), &host, &[]);
    assert_eq!(coming.facts.resources, description.resources);
    let [first, second] = description.disks.as_slice() else { panic!("two disks") };
    let vmdk = Source::File { path: "/srv/in/legacy.vmdk".into(), format: SourceFormat::Vmdk };
    assert_eq!((&first.source, first.format), (&vmdk, ImageFormat::Qcow2));
    assert_eq!((second.source.format(), second.format), (SourceFormat::Raw, ImageFormat::Raw));
    let kept = serde_json::to_string(&description).expect("as JSON");
    assert_eq!(serde_json::from_str::<Description>(&kept).expect("read again"), description);
}

#[test]
fn one_that_was_kept_before_there_were_named_resources_takes_none() {
    let description = parse(&GOOD.replace("[resources]\ngpu-slots = 1\n", "")).expect("good");
    let kept = serde_json::to_string(&description).expect("as JSON");
    assert!(!kept.contains("resources"), "an agent of before knows no such field: {kept}");
    let read = serde_json::from_str::<Description>(&kept).expect("read again");
    assert!(read.resources.is_empty() && read == description);
}

#[test]
fn what_is_missing_is_named_with_what_would_be_right() {
    for (line, key, advice) in [
        ("name = \"legacy\"", "import.name", "name = \"legacy\""),
        ("memory_mib = 512", "import.memory_mib", "memory_mib = 2048"),
        ("vcpus = 2", "import.vcpus", "vcpus = 2"),
        ("bridge = \"br0\"", "network[0].bridge", "network = \"default\""),
        ("target = \"vdb\"", "disk[1].target", "target = \"vda\""),
        ("source = \"/srv/in/legacy.vmdk\"", "disk[0].source", "nbd://"),
        ("path = \"/srv/images/legacy-data.raw\"", "disk[1].path", "/var/lib/libvirt/images"),
    ] {
        let said = refused(line, "");
        assert!(said.starts_with(&format!("{key} is not set")) && said.contains(advice), "{line}: {said}");
    }
    let none = parse("[import]\nname = \"x\"\nmemory_mib = 1\nvcpus = 1\n").expect_err("refused");
    assert!(none.to_string().starts_with("disk is not set"), "{none}");
}

#[test]
fn what_is_wrong_is_named_by_its_field() {
    for (from, to, key) in [
        ("\"legacy\"", "\"../legacy\"", "import.name"),
        ("\"acme\"", "\"two words\"", "import.owner"),
        ("= 512", "= 0", "import.memory_mib"),
        ("= 512", "= 2147483648", "import.memory_mib"),
        ("vcpus = 2", "vcpus = 0", "import.vcpus"),
        ("vcpus = 2", "vcpus = 2\nuuid = \"legacy\"", "import.uuid"),
        ("target = \"vdb\"", "target = \"vdb\"\nsize_mib = 0", "disk[1].size_mib"),
        ("vcpus = 2", "vcpus = 2\nconsole_log = \"console\"", "import.console_log"),
        ("vcpus = 2", "vcpus = 2\nconversion_limit = \"0s\"", "import.conversion_limit"),
        ("bridge = \"br0\"", "bridge = \"\"", "network[0].bridge"),
        ("bridge = \"br0\"", "bridge = \"br0\"\nnetwork = \"default\"", "network[0].network"),
        ("00:0c:29:3a:11:5e", "00-0c-29-3a-11-5e", "network[0].mac"),
        ("00:0c:29:3a:11:5e", "01:0c:29:3a:11:5e", "network[0].mac"),
        ("gpu-slots = 1", "gpu-slots = 0", "resources.gpu-slots"),
        ("gpu-slots = 1", "servers = 1", "resources.servers"),
        ("gpu-slots = 1", "memory = 1", "resources"),
        ("gpu-slots = 1", "\"gpu slots\" = 1", "resources"),
        ("\"vdb\"", "\"vda\"", "disk[1].target"),
        ("\"vdb\"", "\"sdb\"", "disk[1].target"),
        ("/srv/in/legacy.vmdk", "legacy.vmdk", "disk[0].source"),
        ("/srv/in/legacy.vmdk", "/srv/in/../legacy.vmdk", "disk[0].source"),
        ("/srv/in/legacy.vmdk", "https://example.org/legacy.vmdk", "disk[0].source"),
        ("/srv/in/legacy.vmdk", "nbds://host/disk", "disk[0].source"),
        ("/srv/in/legacy.vmdk", "nbd:///disk", "disk[0].source"),
        ("nbd+unix:///data?socket=/run/nbd.sock", "nbd+unix:///data", "disk[1].source"),
        ("/srv/images/legacy.qcow2", "/srv/in/legacy.vmdk", "disk[0].path"),
        ("/srv/images/legacy-data.raw", "/srv/images/legacy.qcow2", "disk[1].path"),
        ("/srv/images/legacy-data.raw", "images/legacy.raw", "disk[1].path"),
    ] {
        let said = refused(from, to);
        assert!(said.starts_with(&format!("{key} is ")), "{to}: {said}");
    }
    assert!(refused("/srv/in/legacy.vmdk", "/srv/in/legacy").contains("disk[0].source_format is not set"));
}

#[test]
fn a_misspelt_key_is_refused_by_its_name_and_line() {
    let said = toml::from_str::<Written>(&GOOD.replace("vcpus", "cpus")).expect_err("refused").to_string();
    assert!(said.contains("cpus") && said.contains("line 6"), "{said}");
}

#[test]
fn the_format_is_said_or_read_from_the_ending_and_never_from_the_content() {
    for (ending, format) in [
        ("vhd", SourceFormat::Vpc),
        ("VHDX", SourceFormat::Vhdx),
        ("vmdk", SourceFormat::Vmdk),
        ("img", SourceFormat::Raw),
        ("qcow2", SourceFormat::Qcow2),
    ] {
        let text = GOOD.replace("legacy.vmdk", &format!("legacy.{ending}"));
        assert_eq!(parse(&text).expect("good").disks[0].source.format(), format);
    }
    let said = GOOD.replacen("target = \"vda\"", "target = \"vda\"\nsource_format = \"vhd\"", 1);
    assert_eq!(parse(&said).expect("good").disks[0].source.format(), SourceFormat::Vpc);
}

#[test]
fn the_description_in_the_handbook_is_good_and_names_every_setting() {
    let handbook = include_str!("../../../docs/operations.md");
    let (_, section) = handbook.split_once("## Importing servers").expect("a section");
    let example =
        section.split("```toml").nth(2).and_then(|rest| rest.split("```").next()).expect("an example");
    let description = parse(example).expect("good");
    assert_eq!((description.networks.len(), description.disks.len()), (1, 1));
    for key in [
        "uuid",
        "owner",
        "labels",
        "firmware",
        "accelerator",
        "console_log",
        "conversion_limit",
        "resources",
        "network",
        "mac",
        "size_mib",
    ] {
        assert!(example.contains(key), "{key} is not in the example");
    }
}
