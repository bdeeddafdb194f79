//! A place for a server that no host of ours has: one that is imported.

use super::super::why::NEEDED_FOR_IMPORTS;
use super::super::{Choice, NoPlace, Score, WhyNotHere, Wish, suits};
use super::Room;
use crate::ids::HostName;
use crate::import::Chosen;
use std::collections::BTreeMap;

impl<'a> Room<'a> {
    /// Whether a server can be imported to a host, and how full that is with it. Its own reservation there does not count.
    ///
    /// A host that was chosen by name may be one of which nobody knows how much room is in the image's directory: its agent looks.
    ///
    /// # Errors
    /// Says why not.
    pub fn judge_newcomer(
        &self,
        wish: &Wish<'_>,
        host: &HostName,
        chosen: &Chosen,
    ) -> Result<Score, WhyNotHere> {
        let place = self.place(host).ok_or(WhyNotHere::Unknown)?;
        let facts = &place.host.facts;
        if let Some(lacks) = NEEDED_FOR_IMPORTS.into_iter().find(|needed| !facts.can(*needed)) {
            return Err(WhyNotHere::NotImporting { lacks });
        }
        // There is no source that it could be compared with.
        suits::machine(wish, facts, facts)?;
        self.company(wish, place)?;
        match (self.storage(wish, place), chosen) {
            (Ok(()), _)
            | (Err(WhyNotHere::NotReplicating | WhyNotHere::NoDirectory { .. }), Chosen::ByName) => {}
            (Err(why), Chosen::ByName | Chosen::ByPlanner { .. }) => return Err(why),
        }
        let score = self.capacity(wish, place)?;
        self.open(wish, place)?;
        Ok(score)
    }

    /// The best host for a server that is imported, of one cluster or of all; `refused_by` are left out.
    ///
    /// # Errors
    /// Says of every host why it can't take it.
    pub fn find_newcomer(
        &self,
        wish: &Wish<'_>,
        cluster: Option<&str>,
        refused_by: &BTreeMap<HostName, String>,
    ) -> Result<Choice, NoPlace> {
        let chosen = Chosen::ByPlanner { cluster: None, refused_by: BTreeMap::new() };
        let looked_at =
            self.clusters.iter().filter(|(name, _)| cluster.is_none_or(|wanted| wanted == **name));
        let judged = looked_at.flat_map(|(_, hosts)| hosts).map(|host| {
            let score = self.judge_newcomer(wish, host, &chosen);
            let score = score.and_then(|score| match refused_by.get(*host) {
                Some(why) => Err(WhyNotHere::Excluded { why: why.clone() }),
                None => Ok(score),
            });
            (*host, score)
        });
        let cluster = cluster.unwrap_or("any").to_owned();
        self.best(wish, judged.collect()).map_err(|none| NoPlace { cluster, ..none })
    }
}
