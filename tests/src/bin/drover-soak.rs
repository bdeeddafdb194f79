//! `drover-soak`: cutovers of servers with local disks, again and again, for hours. `make soak` builds and runs it.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use drover_tests::lab;
use drover_tests::scene::{Alone, Scene, Stage};
use drover_tests::warm::{self, Crowd, Seed};

/// Cut servers with local disks over at random moments, several at once, and look each time whether anything was lost.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many cutovers; it ends with the leg in which the last of them is. A hundred take some ten minutes.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    cutovers: u32,
    /// How many servers are moved at once.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=40))]
    servers: u16,
    /// What lots are drawn by; any, if nothing is said.
    #[arg(long)]
    seed: Option<u64>,
}

/// How often a crowd is moved before another one is drawn.
const LEGS: usize = 4;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if let Some(reason) = lab::unable() {
        bail!("there can be no lab here: {reason}");
    }
    let _alone = Alone::wait()?;
    let seed = arguments.seed.map_or_else(Seed::any, Seed);
    println!("soak: {} cutovers, {} at once, --seed {seed}", arguments.cutovers, arguments.servers);
    let scene = Scene::open(Stage { lab: "soak", hosts: 3, options: warm::options })?;
    let began = Instant::now();
    let mut done = 0;
    for number in 0.. {
        let seed = Seed(seed.0.wrapping_add(number));
        scene
            .perform(|scene| move_a_crowd(scene, arguments, seed, &mut done))
            .with_context(|| format!("after {done} cutovers, with seed {seed}\n{}", scene.drover().logs()))?;
        if done >= arguments.cutovers {
            break;
        }
        scene.tidy()?;
    }
    println!("soak: {done} cutovers in {:.0} s, and nothing was lost", began.elapsed().as_secs_f64());
    Ok(())
}

fn move_a_crowd(scene: &Scene, arguments: &Arguments, seed: Seed, done: &mut u32) -> Result<()> {
    let mut crowd = Crowd::gather(scene, &format!("s{done}"), arguments.servers.into(), seed)?;
    let mut hosts = ["h1", "h2"];
    for _ in 0..LEGS {
        let report = crowd.travel(hosts[0], hosts[1])?;
        crowd.settle(hosts[0])?;
        *done += u32::try_from(report.cutovers)?;
        println!("soak: {done}: {report}");
        if *done >= arguments.cutovers {
            break;
        }
        hosts.reverse();
    }
    Ok(())
}
