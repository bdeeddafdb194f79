//! Finds libnbd, which `hypervisor/nbd_sys.rs` declares the functions of.

fn main() -> Result<(), String> {
    println!("cargo::rerun-if-changed=build.rs");
    // 1.4 is the first whose handles may be used by several threads and tell the block sizes of a server.
    let found = pkg_config::Config::new().atleast_version("1.4").probe("libnbd");
    found.map(drop).map_err(|error| format!("{error}\nlibnbd is in the package libnbd-dev"))
}
