//! When owners want nothing to happen, and how many of theirs they want rebooted at once.

use chrono_tz::Tz;
use drover_policies::appointment::Appointment;
use drover_policies::conduct::slot_length;
use drover_policies::estimate::expected_move;
use drover_policies::ids::{FreezeId, LimitId, OwnerId};
use drover_policies::owners::{Closed, OwnerFreeze, OwnerLimit, OwnersRules, Scope, Whose};
use drover_policies::time::Span;
use drover_policies::windows::{Exclusion, Slot, Wanted, parse_timezone};

use super::owners::SHOWN_AHEAD;
use super::{Decided, Reply, Wish, store_problem};
use crate::freezes::{self, Copy, FETCH_EVERY, FetchError};
use crate::http::problem::{Kind, Problem};
use crate::http::views::{DaysView, FreezeBody, FreezeView, LimitBody, LimitView, ScopeView};
use crate::outbound::CallError;
use crate::store::{Batch, FreezeSource, StoredFreeze, StoredLimit, Versioned, Write};

/// The most of each that one account may have: each look goes through all of them.
const MOST_FREEZES: usize = 50;
const MOST_LIMITS: usize = 50;

/// How many servers are looked at for warnings, and the longest name of a freeze.
const LOOKED_AT: usize = 50;
const LONGEST_NAME: usize = 100;

impl Wish {
    /// Adds a freeze, or replaces the one of that id. A calendar is read, and one at an address is fetched, before anything is stored.
    ///
    /// # Errors
    /// The id is another owner's, or something about the freeze or its calendar is wrong.
    pub async fn put_freeze(&self, given: &str, body: &FreezeBody) -> Result<Reply, Problem> {
        let id: FreezeId = given.parse().map_err(|_| no_uuid("freeze", given))?;
        let (owner, scope) = self.scoped(body.owner.as_deref(), &body.scope)?;
        let name = name(&body.name)?;
        let (closed, source) = self.closed(body, name).await?;
        let freeze = OwnerFreeze { owner, scope, closed };
        self.carry_out(|| async {
            let now = self.app.clock.now();
            let known = self.app.store.freeze(id).await.map_err(|error| store_problem(&error))?;
            if known.as_ref().is_some_and(|known| known.value.freeze.owner != freeze.owner) {
                return Err(Problem::new(Kind::Refused, "this id can't be used; choose another UUID"));
            }
            let before =
                known.as_ref().map(|known| Reply::ok(&FreezeView::of(&known.value, now))).transpose()?;
            self.check_etag(before.map(|reply| reply.body))?;
            let others =
                self.app.store.freezes(Some(&freeze.owner)).await.map_err(|error| store_problem(&error))?;
            if known.is_none() && others.len() >= MOST_FREEZES {
                return Err(too_many("freezes", MOST_FREEZES));
            }
            let created_at = known.as_ref().map_or(now, |known| known.value.created_at);
            let stored = StoredFreeze { id, freeze: freeze.clone(), source: source.clone(), created_at };
            let mut view = FreezeView::of(&stored, now);
            view.warnings = self.warnings(&stored, others).await?;
            let write = match &known {
                Some(Versioned { generation, .. }) => Write::Update(stored, *generation),
                None => Write::Insert(stored),
            };
            let batch = Batch { freezes: vec![write], ..Batch::new(now) };
            let location = format!("/v1/freezes/{id}");
            let reply = if known.is_none() { Reply::created(location, &view)? } else { Reply::ok(&view)? };
            Ok(Decided::new(batch, reply))
        })
        .await
    }

    /// Removes a freeze.
    ///
    /// # Errors
    /// There is none of that id, or it is another owner's.
    pub async fn remove_freeze(&self, given: &str) -> Result<Reply, Problem> {
        self.carry_out(|| async {
            let missing = || Problem::not_found("freeze", given);
            let id: FreezeId = given.parse().map_err(|_| missing())?;
            let known = self.app.store.freeze(id).await.map_err(|error| store_problem(&error))?;
            known.filter(|known| self.caller.may_see(Some(&known.value.freeze.owner))).ok_or_else(missing)?;
            let batch = Batch { freezes_removed: vec![id], ..Batch::new(self.app.clock.now()) };
            Ok(Decided::new(batch, Reply::nothing()))
        })
        .await
    }

    async fn closed(&self, body: &FreezeBody, name: String) -> Result<(Closed, FreezeSource), Problem> {
        let timezone = || zone("timezone", body.timezone.as_deref().unwrap_or("UTC"));
        match (&body.days, &body.calendar, &body.url) {
            (Some(days), None, None) => {
                Ok((Closed::Days { days: exclusion(days, name)? }, FreezeSource::Days))
            }
            (None, Some(text), None) => {
                let timezone = timezone()?;
                let times = freezes::read(text.clone(), timezone)
                    .await
                    .map_err(|bad| Problem::field("calendar", format!("field calendar: {bad}")))?;
                Ok((Closed::Calendar { name, times }, FreezeSource::Calendar { timezone }))
            }
            (None, None, Some(url)) => {
                let timezone = timezone()?;
                let bad = |error: FetchError| Problem::field("url", format!("field url: {error}"));
                let (times, etag) = match freezes::fetch(&self.app, url, None, timezone).await.map_err(bad)? {
                    Copy::New { times, etag } => (times, etag),
                    // Nothing was known of it that could have been the same.
                    Copy::Same => return Err(bad(CallError::Status { status: 304 }.into())),
                };
                let now = self.app.clock.now();
                let source = FreezeSource::Url {
                    timezone,
                    url: url.clone(),
                    etag,
                    good_at: now,
                    next_at: now + FETCH_EVERY.delta(),
                    failure: None,
                };
                Ok((Closed::Calendar { name, times }, source))
            }
            _ => Err(Problem::field(
                "days",
                "a freeze has either days ({\"from\": \"2026-12-19\", \"to\": \"2027-01-03\", \"timezone\": \"Europe/Berlin\"}), or a calendar, or a url; write one of them",
            )),
        }
    }

    /// What the owner should know of a freeze that he sets: whom it leaves without a time, and what it does not change.
    async fn warnings(
        &self,
        new: &StoredFreeze,
        others: Vec<Versioned<StoredFreeze>>,
    ) -> Result<Vec<String>, Problem> {
        let owner = &new.freeze.owner;
        let windows = self.app.store.windows_of(owner).await.map_err(|error| store_problem(&error))?;
        let others = others.into_iter().filter(|other| other.value.id != new.id);
        let rules = OwnersRules::new(
            windows.into_iter().map(|stored| stored.window),
            others.map(|other| other.value.freeze).chain([new.freeze.clone()]),
            [],
        );
        let mut warnings = Vec::new();
        for name in self.without_opening(&rules, owner, &new.freeze.scope).await? {
            warnings.push(format!(
                "{name}: with this freeze none of its windows opens for long enough in the next {SHOWN_AHEAD}; a reboot migration of it would find no time"
            ));
        }
        let open = self.app.store.migrations_open().await.map_err(|error| store_problem(&error))?;
        let fleet = self.app.fleet();
        let times = new.freeze.times();
        for migration in open.iter().map(|open| &open.value).filter(|open| open.owner.as_ref() == Some(owner))
        {
            let labels = fleet.server(migration.server).map(|server| &server.facts.labels);
            let whose = Whose { owner: Some(owner), server: migration.server, labels };
            let (Appointment::Accepted { slot, .. } | Appointment::Rescheduled { slot, .. }) =
                &migration.appointment
            else {
                continue;
            };
            if new.freeze.scope.nearness(&whose).is_some() && times.touching(*slot).is_some() {
                warnings.push(format!(
                    "{} ({}) keeps the time that was agreed, {}; reschedule or decline it if nothing shall happen then",
                    migration.ticket_number(),
                    migration.server_name,
                    slot.start
                ));
            }
        }
        Ok(warnings)
    }

    /// Servers of a scope for which no window opens for long enough, as far ahead as is shown.
    pub(super) async fn without_opening(
        &self,
        rules: &OwnersRules,
        owner: &OwnerId,
        scope: &Scope,
    ) -> Result<Vec<String>, Problem> {
        let history = self.app.store.reboot_downtimes().await.map_err(|error| store_problem(&error))?;
        let (fleet, now) = (self.app.fleet(), self.app.clock.now());
        let range = Slot::from_start(now, SHOWN_AHEAD);
        let servers = fleet.servers();
        let concerned = servers.values().filter(|server| {
            server.facts.owner.as_ref() == Some(owner) && scope.nearness(&Whose::server(server)).is_some()
        });
        let mut without = Vec::new();
        for server in concerned.take(LOOKED_AT) {
            let effective = self.app.policies.shared_of(server, &fleet);
            let own = history.get(&server.facts.id).map_or(&[][..], Vec::as_slice);
            let expected = expected_move(&server.facts, &effective.policy, own, None);
            let length = slot_length(&effective.policy, &expected);
            let (open, _) = rules.open_for(&Whose::server(server), &effective.policy, range);
            let wanted = Wanted { not_before: now, length, step: Span::minutes(1) };
            if wanted.fits(&open).next().is_none() {
                without.push(server.facts.name.clone());
            }
        }
        Ok(without)
    }

    /// Sets how many at once.
    ///
    /// # Errors
    /// The id is another owner's, the limit is for one server, or none at all.
    pub async fn put_limit(&self, given: &str, body: &LimitBody) -> Result<Reply, Problem> {
        let id: LimitId = given.parse().map_err(|_| no_uuid("limit", given))?;
        self.carry_out(|| async {
            let (owner, scope) = self.scoped(body.owner.as_deref(), &body.scope)?;
            if let ScopeView::Server { .. } = body.scope {
                return Err(Problem::field(
                    "scope",
                    "field scope: one server is never rebooted twice at once, so a limit for it says nothing; set it for a label or the account",
                ));
            }
            if body.max_simultaneous == 0 {
                return Err(Problem::field(
                    "max_simultaneous",
                    "field max_simultaneous: 0 would let nothing happen ever; write 1 or more, or set a freeze for the time in which nothing shall happen",
                ));
            }
            let now = self.app.clock.now();
            let all = self.app.store.limits(None).await.map_err(|error| store_problem(&error))?;
            let known = all.iter().find(|known| known.id == id);
            if known.is_some_and(|known| known.limit.owner != owner) {
                return Err(Problem::new(Kind::Refused, "this id can't be used; choose another UUID"));
            }
            let before = known.map(|known| Reply::ok(&LimitView::from(known))).transpose()?;
            self.check_etag(before.map(|reply| reply.body))?;
            let same = |other: &&StoredLimit| other.limit.owner == owner && other.id != id;
            if let Some(other) = all.iter().filter(same).find(|other| other.limit.scope == scope) {
                return Err(Problem::new(
                    Kind::Refused,
                    format!("limit {} is for {scope} already; change that one, or remove it", other.id),
                ));
            }
            if known.is_none() && all.iter().filter(same).count() >= MOST_LIMITS {
                return Err(too_many("limits", MOST_LIMITS));
            }
            let limit = OwnerLimit { owner, scope, max_simultaneous: body.max_simultaneous };
            let stored = StoredLimit { id, limit, created_at: known.map_or(now, |known| known.created_at) };
            let view = LimitView::from(&stored);
            let location = format!("/v1/limits/{id}");
            let reply = if known.is_none() { Reply::created(location, &view)? } else { Reply::ok(&view)? };
            Ok(Decided::new(Batch { limits_put: vec![stored], ..Batch::new(now) }, reply))
        })
        .await
    }

    /// Removes a limit.
    ///
    /// # Errors
    /// There is none of that id, or it is another owner's.
    pub async fn remove_limit(&self, given: &str) -> Result<Reply, Problem> {
        self.carry_out(|| async {
            let missing = || Problem::not_found("limit", given);
            let id: LimitId = given.parse().map_err(|_| missing())?;
            let all = self.app.store.limits(None).await.map_err(|error| store_problem(&error))?;
            all.iter()
                .find(|known| known.id == id && self.caller.may_see(Some(&known.limit.owner)))
                .ok_or_else(missing)?;
            let batch = Batch { limits_removed: vec![id], ..Batch::new(self.app.clock.now()) };
            Ok(Decided::new(batch, Reply::nothing()))
        })
        .await
    }
}

fn no_uuid(what: &str, given: &str) -> Problem {
    let detail = format!("{given:?} is no id of a {what}; a new one's is a UUID of your choice");
    Problem::parameter(what, detail)
}

fn too_many(what: &str, most: usize) -> Problem {
    Problem::new(Kind::Refused, format!("an account has at most {most} {what}; remove some first"))
}

fn name(given: &str) -> Result<String, Problem> {
    let name = given.trim();
    let fits =
        !name.is_empty() && name.chars().count() <= LONGEST_NAME && !name.chars().any(char::is_control);
    fits.then(|| name.to_owned()).ok_or_else(|| {
        Problem::field(
            "name",
            format!(
                "field name must be one line of 1 to {LONGEST_NAME} characters, such as \"year-end sale\""
            ),
        )
    })
}

fn zone(field: &str, given: &str) -> Result<Tz, Problem> {
    parse_timezone(given).map_err(|bad| Problem::field(field, format!("field {field}: {bad}")))
}

fn exclusion(days: &DaysView, name: String) -> Result<Exclusion, Problem> {
    let timezone = zone("days.timezone", &days.timezone)?;
    let exclusion = Exclusion { from: days.from, to: days.to, timezone, name };
    exclusion.check().map_err(|bad| Problem::field("days.to", format!("field days.to: {bad}")))?;
    Ok(exclusion)
}
