//! The scheduler on PostgreSQL, on real libvirt and QEMU. What differs from SQLite is how it takes up its work after a
//! crash: the lease is a row that somebody else could have taken.

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use drover_tests::installation::{Database, Options};
use drover_tests::scene::{self, Scene, Stage, guest, metadata};

#[path = "../../scheduler/tests/common/postgres.rs"]
mod postgres;

fn main() -> ExitCode {
    if !std::env::args().any(|word| word == "--list") && postgres::cluster().is_none() {
        return ExitCode::SUCCESS;
    }
    scene::run_on(
        Stage { lab: "test-postgres", hosts: 3, options },
        drover_tests::tests![a_drain_on_postgresql_outlives_its_scheduler],
    )
}

fn options() -> Result<Options> {
    let cluster = postgres::cluster().context("there is no PostgreSQL any more")?;
    Ok(Options { database: Database::Postgres(cluster.database()), ..Options::new(scene::POLICY) })
}

fn a_drain_on_postgresql_outlives_its_scheduler(scene: &Scene) -> Result<()> {
    let mut reboot = guest("pg-reboot", "h1", &[]);
    reboot.metadata = metadata(&[], "<drover:live-migration>forbidden</drover:live-migration>");
    scene.add(&[guest("pg-live", "h1", &[("pace", "slow")]), reboot])?;
    scene.drain("h1")?;
    scene.until_in_transfer("pg-live")?;
    scene.drover().kill_scheduler()?;
    scene.drover().start_scheduler()?;
    for (server, method) in [("pg-live", "live"), ("pg-reboot", "reboot")] {
        let migration = scene.until_moved(server)?;
        ensure!(migration["method"] == method && migration["tries"] == 1, "{migration:#}");
    }
    scene.until_drained("h1")
}
