//! A thousand random small fleets beside an exact search: are the moves the fewest there can be?
//!
//! The search knows nothing of the planner. It asks less than the planner has to keep: only that everything has room in the end, whatever the
//! order. So its number is a bound for every planner, and to meet it is to be optimal.

use drover_policies::packing::{HostRow, Problem, check, evacuate_making_way};

use crate::common::{Lots, problem};

/// More than so many others that make way are not looked for.
const MOST: usize = 3;

/// A fleet that stands, up to 6 hosts and 14 servers, and the hosts that are to be emptied.
fn drawn(lots: &mut Lots) -> (Problem, Vec<HostRow>) {
    let hosts: Vec<u64> = (0..3 + lots.below(4)).map(|_| 10 + lots.below(8)).collect();
    let full = 40 + lots.below(56);
    let mut kept: Vec<(u64, u32, Option<u32>)> = Vec::new();
    for _ in 0..6 + lots.below(40) {
        let host = lots.below(hosts.len() as u64);
        let (size, group) = (1 + lots.below(7), (lots.below(5) == 0).then(|| lots.below(3) as u32));
        let there = || kept.iter().filter(|(_, at, _)| u64::from(*at) == host);
        let used: u64 = there().map(|(size, ..)| size).sum();
        let meets = group.is_some() && there().any(|(.., other)| *other == group);
        if kept.len() < 14 && (used + size) * 100 <= hosts[host as usize] * full && !meets {
            kept.push((size, host as u32, group));
        }
    }
    let doomed = (0..1 + lots.below(2)).map(|host| HostRow(host as u32)).collect();
    (problem(&hosts, &kept), doomed)
}

/// How many others have to make way at the least; nothing if more than [`MOST`] would, or it can't be done.
fn fewest_others(problem: &Problem, doomed: &[HostRow]) -> Option<usize> {
    let leaves = |server: &usize| doomed.contains(&problem.servers[*server].host);
    let (leaving, others): (Vec<usize>, Vec<usize>) = (0..problem.servers.len()).partition(leaves);
    (0..=MOST).find(|count| {
        sets(&others, *count).into_iter().any(|set| {
            let mut moved: Vec<usize> = leaving.iter().chain(&set).copied().collect();
            moved.sort_by_key(|server| std::cmp::Reverse(problem.servers[*server].needs[0]));
            let stays = |server: &usize| !moved.contains(server);
            let mut on: Vec<Vec<usize>> = vec![Vec::new(); problem.hosts.len()];
            for server in (0..problem.servers.len()).filter(stays) {
                on[problem.servers[server].host.0 as usize].push(server);
            }
            all_fit(problem, doomed, &moved, &mut on)
        })
    })
}

fn sets(of: &[usize], count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let with = |index: usize| {
        sets(&of[index + 1..], count - 1).into_iter().map(move |mut set| {
            set.push(of[index]);
            set
        })
    };
    (0..of.len()).flat_map(with).collect()
}

fn all_fit(problem: &Problem, doomed: &[HostRow], moved: &[usize], on: &mut Vec<Vec<usize>>) -> bool {
    let Some((first, rest)) = moved.split_first() else { return true };
    let server = &problem.servers[*first];
    (0..problem.hosts.len()).any(|host| {
        let row = HostRow(host as u32);
        let there = || on[host].iter().map(|other| &problem.servers[*other]);
        let used: u64 = there().map(|other| other.needs[0]).sum();
        let meets = there().any(|other| other.apart.iter().any(|group| server.apart.contains(group)));
        if doomed.contains(&row)
            || row == server.host
            || used + server.needs[0] > problem.hosts[host].has[0]
            || meets
        {
            return false;
        }
        on[host].push(*first);
        let fit = all_fit(problem, doomed, rest, on);
        on[host].pop();
        fit
    })
}

#[test]
fn of_a_thousand_small_fleets_99_in_100_are_emptied_with_the_fewest_moves() {
    let mut lots = Lots(20_261_121);
    let (mut optimal, mut making_way, mut impossible) = (0, 0, 0);
    for number in 0..1000 {
        let (problem, doomed) = drawn(&mut lots);
        let found = evacuate_making_way(&problem, &doomed);
        assert_eq!(check::waves(&problem, &found.waves(&problem, &doomed)), Ok(()), "fleet {number}");
        let others = found.making_way.len();
        let ours = found.unplaced.is_empty().then_some(others);
        let exact = fewest_others(&problem, &doomed);
        assert!(ours >= exact || ours.is_none(), "fleet {number}: {ours:?} is less than the exact {exact:?}");
        optimal += usize::from(ours == exact);
        making_way += usize::from(exact.is_some_and(|others| others > 0));
        impossible += usize::from(exact.is_none());
    }
    println!("{optimal} of 1000 optimal; in {making_way} others make way, {impossible} are impossible");
    // Fleets that are easy in every respect would prove nothing.
    assert!(making_way >= 30 && impossible >= 100, "{making_way} and {impossible}");
    assert!(optimal >= 990, "{optimal} of 1000");
}
