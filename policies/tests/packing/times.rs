//! Schedules: as short as links and slots allow.

use drover_policies::packing::schedule::{Transfer, Way, Ways, schedule};
use drover_policies::packing::{
    Host, HostRow, Move, Open, Problem, ReachRow, Resource, Server, ServerRow, Wave, check,
};
use drover_policies::samples::Racks;

fn transfer(server: u32, from: u32, to: u32, bytes: u64) -> Transfer {
    Transfer {
        of: Move { server: ServerRow(server), from: HostRow(from), to: HostRow(to) },
        bytes,
        dirty_rate: 0,
        besides: 0,
    }
}

#[test]
fn a_link_carries_one_at_full_rate_after_the_other() {
    let ways = Ways::among(3, Way { rate: 100, out: 4, into: 4 });
    let table = schedule(&ways, &[transfer(0, 0, 1, 1000), transfer(1, 0, 2, 500)]);
    let times: Vec<(u64, u64)> = table.moves.iter().map(|one| (one.begins, one.ends)).collect();
    assert_eq!(times, [(0, 10_000), (10_000, 15_000)]);
    assert_eq!((table.lasts, table.least), (15_000, 15_000));
}

#[test]
fn a_guest_that_writes_waits_for_the_full_rate_and_an_idle_one_takes_what_is_left() {
    let mut ways = Ways::among(4, Way { rate: 100, ..Way::FREE });
    ways.racks_of = [0, 0, 1, 1].map(|rack| vec![rack]).into();
    ways.racks = vec![Way { rate: 120, ..Way::FREE }; 2];
    let idle = [transfer(0, 0, 2, 1000), transfer(1, 1, 3, 1000)];
    assert_eq!(schedule(&ways, &idle).moves[1].begins, 0);
    let writing = idle.map(|one| Transfer { dirty_rate: 60, ..one });
    let table = schedule(&ways, &writing);
    assert!(table.moves.iter().all(|one| one.rate == 100), "{table:?}");
    assert_eq!(table.moves.iter().map(|one| one.begins).min(), Some(0));
    assert_eq!(table.moves.iter().map(|one| one.begins).max(), Some(25_000));
}

#[test]
fn slots_of_a_host_and_a_cluster_are_kept() {
    let mut ways = Ways::among(5, Way { rate: u64::MAX, out: 2, into: 1 });
    ways.most_rate = 100;
    let moves: Vec<Transfer> = (0..4).map(|n| transfer(n, 0, n + 1, 1000)).collect();
    assert_eq!(schedule(&ways, &moves).lasts, 20_000);
    ways.at_once = 1;
    assert_eq!(schedule(&ways, &moves).lasts, 40_000);
}

#[test]
fn the_published_racks_are_emptied_in_hardly_more_than_the_bound() {
    for size in [1, 2, 4] {
        let racks = Racks::new(size);
        let table = schedule(&racks.ways, &racks.transfers);
        let server = |transfer: &Transfer| Server {
            name: format!("s{}", transfer.of.server.0),
            needs: vec![1],
            host: transfer.of.from,
            apart: Vec::new(),
            reach: ReachRow(0),
        };
        let hosts = racks.ways.hosts.len();
        let problem = Problem {
            resources: vec![Resource { name: "servers".to_owned(), weight: 1.0 }],
            hosts: vec![Host { name: "h".to_owned(), has: vec![4], open: Open::Yes }; hosts],
            servers: racks.transfers.iter().map(server).collect(),
            reaches: vec![vec![true; hosts]],
        };
        let wave = Wave { hosts: Vec::new(), moves: racks.transfers.iter().map(|one| one.of).collect() };
        let at: Vec<HostRow> = wave.moves.iter().map(|one| one.from).collect();
        check::moments(&problem, &at, &wave, &racks.ways, &racks.transfers, &table)
            .expect("every rule is kept");
        let (lasts, least) = (racks.makespan(table.lasts), racks.makespan(table.least));
        assert!(lasts * 100 <= least * 102, "{size}: {lasts} ms, and {least} is the bound");
    }
}
