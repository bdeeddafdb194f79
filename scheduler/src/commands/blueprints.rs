//! What a server shall look like at its next launch.

use std::collections::BTreeSet;
use std::path::Path;

use drover_policies::blueprint::Blueprint;
use drover_policies::events::{Event, Happened};
use drover_policies::fleet::{Fleet, Host, Plug, Reach, Replication, Server, ServerFacts};
use drover_policies::ids::ServerId;
use drover_policies::policy::Subject;

use super::{Decided, Reply, Wish, find_server, store_problem};
use crate::app::App;
use crate::http::problem::Problem;
use crate::http::views::{BlueprintBody, BlueprintView};
use crate::store::{Batch, StoredBlueprint, Versioned, Write};

impl Wish {
    /// Sets a server's blueprint.
    ///
    /// # Errors
    /// Something about it is wrong, it can't be had anywhere, or it is not the caller's to set.
    pub async fn put_blueprint(&self, given: &str, body: &BlueprintBody) -> Result<Reply, Problem> {
        self.carry_out(|| async {
            let fleet = self.app.fleet();
            let server = find_server(&fleet, &self.caller, given)?;
            let blueprint = Blueprint::from(body);
            if blueprint.is_empty() {
                let text = "the blueprint changes nothing: say memory_bytes, vcpus, networks, disks or boot, or clear it with DELETE";
                return Err(Problem::field("memory_bytes", text));
            }
            blueprint
                .check()
                .map_err(|bad| Problem::field(bad.part().field(), format!("field {bad}")))?;
            let known = known(&self.app, server.facts.id).await?;
            self.may_set(server, &fleet, known.as_ref(), &blueprint)?;
            networks_can_be_had(&blueprint, server, &fleet)?;
            disks_can_be_had(&blueprint, server, &fleet)?;
            self.set(server, known, Some(blueprint))
        })
        .await
    }

    /// Clears a server's blueprint: it stays as it is. Clearing what is not there changes nothing.
    ///
    /// # Errors
    /// It says what is not the caller's to set.
    pub async fn clear_blueprint(&self, given: &str) -> Result<Reply, Problem> {
        self.carry_out(|| async {
            let fleet = self.app.fleet();
            let server = find_server(&fleet, &self.caller, given)?;
            let known = known(&self.app, server.facts.id).await?;
            self.may_set(server, &fleet, known.as_ref(), &Blueprint::default())?;
            Ok(Decided { reply: Reply::nothing(), ..self.set(server, known, None)? })
        })
        .await
    }

    fn set(
        &self,
        server: &Server,
        known: Option<Versioned<StoredBlueprint>>,
        blueprint: Option<Blueprint>,
    ) -> Result<Decided, Problem> {
        let eyes = self.caller.eyes();
        let before = BlueprintView::of(server, known.as_ref().map(|known| &known.value), eyes);
        self.check_etag(serde_json::to_value(&before).ok())?;
        let at = self.app.clock.now();
        let mut batch = Batch::new(at);
        let was = known.as_ref().map(|known| &known.value.blueprint);
        if was == blueprint.as_ref() {
            return Ok(Decided::new(batch, Reply::ok(&before)?));
        }
        let text = blueprint.as_ref().map_or("as it is".to_owned(), ToString::to_string);
        batch.events.push(Event {
            at,
            maintenance: None,
            migration: None,
            import: None,
            server: Some((server.facts.id, server.facts.name.clone())),
            owner: server.facts.owner.clone(),
            host: Some(server.host.clone()),
            what: Happened::BlueprintSet { blueprint: text, by: self.caller.actor() },
        });
        let stored = blueprint.map(|blueprint| StoredBlueprint {
            server: server.facts.id,
            blueprint,
            by: self.caller.actor(),
            at,
        });
        let view = BlueprintView::of(server, stored.as_ref(), eyes);
        match (stored, known) {
            (Some(stored), None) => batch.blueprints.push(Write::Insert(stored)),
            (Some(stored), Some(known)) => batch.blueprints.push(Write::Update(stored, known.generation)),
            (None, Some(known)) => batch.blueprints_removed.push((server.facts.id, known.generation)),
            (None, None) => {}
        }
        Ok(Decided::new(batch, Reply::ok(&view)?))
    }

    /// Operators may set anything; owners what policy lets them.
    fn may_set(
        &self,
        server: &Server,
        fleet: &Fleet,
        known: Option<&Versioned<StoredBlueprint>>,
        after: &Blueprint,
    ) -> Result<(), Problem> {
        if self.caller.owner().is_none() {
            return Ok(());
        }
        let none = Blueprint::default();
        let before = known.map_or(&none, |known| &known.value.blueprint);
        let policy = self.app.policies.effective(&Subject::of(server, fleet));
        policy.policy.blueprint.allows(before, after).map_err(|not| {
            Problem::field(not.part().field(), format!("field {not}")).with("rule", "not_for_owners")
        })
    }
}

/// A server's blueprint, as it is stored.
///
/// # Errors
/// The database failed.
pub async fn known(app: &App, server: ServerId) -> Result<Option<Versioned<StoredBlueprint>>, Problem> {
    app.store.blueprint(server).await.map_err(|error| store_problem(&error))
}

/// Whether the server has such cards, and another host of its cluster what they are to be plugged into. Where agents don't tell, it is
/// found out when the server is launched.
fn networks_can_be_had(blueprint: &Blueprint, server: &Server, fleet: &Fleet) -> Result<(), Problem> {
    let Some(plugs) = &server.facts.plugs else { return Ok(()) };
    let names: BTreeSet<&str> = plugs.iter().map(Plug::name).collect();
    if let Some(unknown) = blueprint.networks.keys().find(|name| !names.contains(name.as_str())) {
        let has = if names.is_empty() {
            "it has none that are plugged into a network or bridge".to_owned()
        } else {
            format!("they are plugged into {}", names.into_iter().collect::<Vec<_>>().join(", "))
        };
        let text = format!(
            "field networks: none of {}'s cards is plugged into {unknown:?}; {has}",
            server.facts.name
        );
        return Err(Problem::field("networks", text));
    }
    let others = others(server, fleet);
    for wanted in blueprint.plugs(&server.facts) {
        let may_have = |host: &&&Host| host.facts.plugs.as_ref().is_none_or(|plugs| plugs.contains(&wanted));
        if !others.is_empty() && others.iter().find(may_have).is_none() {
            let text = format!(
                "field networks: no other host has {wanted}, so there would be no place for it; name one that another host has, or have it made \
                 there first"
            );
            return Err(Problem::field("networks", text));
        }
    }
    Ok(())
}

/// Whether the server has such local disks, and another host of its cluster such directories.
fn disks_can_be_had(blueprint: &Blueprint, server: &Server, fleet: &Fleet) -> Result<(), Problem> {
    let refused = |text: String| Err(Problem::field("disks", format!("field disks: {text}")));
    let local: Vec<&str> = local_names(&server.facts);
    if let Some(unknown) = blueprint.disks.keys().find(|disk| !local.contains(&disk.as_str())) {
        let has = if local.is_empty() { "none".to_owned() } else { local.join(", ") };
        return refused(format!("{} has no local disk {unknown}; it has {has}", server.facts.name));
    }
    let others = others(server, fleet);
    let directories: BTreeSet<&Path> =
        others.iter().filter_map(|host| host.facts.replication.as_ref()).flat_map(paths).collect();
    for (disk, shape) in &blueprint.disks {
        let Some(wanted) = &shape.directory else { continue };
        if !others.is_empty() && !directories.iter().any(|directory| wanted.starts_with(directory)) {
            let has: Vec<String> =
                directories.iter().map(|directory| directory.display().to_string()).collect();
            let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
            return refused(format!(
                "no other host takes {disk} in {}; their directories for disks: {has}",
                wanted.display()
            ));
        }
    }
    Ok(())
}

fn paths(replication: &Replication) -> impl Iterator<Item = &Path> {
    replication.directories.iter().map(|directory| directory.path.as_path())
}

fn local_names(server: &ServerFacts) -> Vec<&str> {
    server.disks.iter().filter(|disk| disk.reach == Reach::Local).map(|disk| disk.target.as_str()).collect()
}

/// The other hosts of the server's cluster.
fn others<'a>(server: &Server, fleet: &'a Fleet) -> Vec<&'a Host> {
    let cluster = fleet.hosts.get(&server.host).map(|host| &host.facts.cluster);
    let is_other = |host: &&Host| host.name != server.host && Some(&host.facts.cluster) == cluster;
    fleet.hosts.values().filter(is_other).collect()
}
