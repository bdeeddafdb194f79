//! When each move of a wave begins and ends, on the links and slots that moves share.
//!
//! Moves are started in the order of a list, each as soon as its way is free. Of a guest that writes while it is sent, a slower migration sends
//! more; so a move goes at the full rate of its way or waits, and only one that hardly writes may take what others have left. That leaves gaps
//! where a link carries seven of something and its moves last long. So it is also tried to give every host the rate by which it is done just
//! when the busiest link is, no sooner: idle guests then fill that link to the last moment. The shortest of what was tried is it.

mod timetable;
mod ways;

pub use timetable::{Scheduled, Timetable};
pub use ways::{Transfer, Way, Ways};

use ways::Work;

/// Schedules moves, all of which may be under way at once as far as room is concerned.
#[must_use]
pub fn schedule(ways: &Ways, transfers: &[Transfer]) -> Timetable {
    let work = Work::new(ways, transfers);
    let least = work.least();
    let paced = Work::new(&work.paced(ways, least), transfers);
    let tried = [&work, &paced].into_iter().flat_map(|work| {
        let lists = [work.longest_first(), work.most_loaded_first()];
        lists.into_iter().map(|list| timetable::run(work, &list))
    });
    let lasts = |moves: &[Scheduled]| moves.iter().map(|one| one.ends).max().unwrap_or(0);
    let moves = tried.min_by_key(|moves| lasts(moves)).unwrap_or_default();
    Timetable { lasts: lasts(&moves), moves, least }
}
