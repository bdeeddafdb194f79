//! How owners are reached, and when they allow reboot migrations.

use drover_notifier::mail::Sender;
use drover_policies::conduct::slot_length;
use drover_policies::estimate::{expected_move, expected_reboot};
use drover_policies::fleet::Server;
use drover_policies::ids::{OwnerId, WindowId};
use drover_policies::language::{BadLanguage, Language};
use drover_policies::notices::{Contact, Reminders};
use drover_policies::owners::{Opens, OwnerFreeze, OwnerWindow, OwnersRules, Scope, Whose};
use drover_policies::time::{Instant, Span};
use drover_policies::windows::{BadRecurrence, Recurrence, Slot, open_slots, parse_timezone};

use super::{Decided, Reply, Wish, find_server, store_problem};
use crate::http::extract::etag;
use crate::http::problem::{Kind, Problem};
use crate::http::views::{ContactBody, ContactView, OpensView, ScopeView, SlotView, WindowBody, WindowView};
use crate::store::{Batch, StoredWindow};

/// How far ahead, and how many of, the next openings are shown.
pub(super) const SHOWN_AHEAD: Span = Span::days(400);
const SHOWN: usize = 10;

/// The most windows that one account may have, and the most addresses: each look goes through all of them.
const MOST_WINDOWS: usize = 100;
const MOST_ADDRESSES: usize = 20;

/// Whether something is done, or only shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Really {
    /// It is done.
    Do,
    /// It is checked like any other, and nothing changes.
    Preview,
}

/// When a window is open next.
#[must_use]
pub fn next_openings(opens: &Opens, now: Instant) -> Vec<SlotView> {
    let (recurring, once) = match opens {
        Opens::Recurring { recurrence } => (std::slice::from_ref(recurrence), &[][..]),
        Opens::Once { slot } => (&[][..], std::slice::from_ref(slot)),
    };
    let range = Slot::from_start(now, SHOWN_AHEAD);
    open_slots(recurring, once, &[], range).into_iter().take(SHOWN).map(SlotView::from).collect()
}

impl Wish {
    /// Sets how an owner is reached.
    ///
    /// # Errors
    /// The account is another's, or something about the contact is wrong.
    pub async fn put_owner(&self, given: &str, body: &ContactBody) -> Result<Reply, Problem> {
        let owner = OwnerId::new(given).map_err(|bad| Problem::parameter("owner", bad.to_string()))?;
        if !self.caller.may_see(Some(&owner)) {
            return Err(Problem::not_found("owner", given));
        }
        let contact = contact(owner, body)?;
        self.has_words(&contact.language)?;
        self.carry_out(|| async {
            let before = self.app.store.owner(&contact.owner).await.map_err(|error| store_problem(&error))?;
            let before = before.map(|before| Reply::ok(&ContactView::from(&before))).transpose()?;
            self.check_etag(before.map(|reply| reply.body))?;
            let batch = Batch { owners_put: vec![contact.clone()], ..Batch::new(self.app.clock.now()) };
            Ok(Decided::new(batch, Reply::ok(&ContactView::from(&contact))?))
        })
        .await
    }

    /// A language in which nothing could be written to him would be found out by the first mail in English.
    fn has_words(&self, language: &Language) -> Result<(), Problem> {
        let known = &self.app.languages;
        if known.contains(language) || known.contains(&language.bare()) {
            return Ok(());
        }
        let known: Vec<String> = known.iter().map(ToString::to_string).collect();
        let detail =
            format!("field language: there are no words for {language}; write one of {}", known.join(", "));
        Err(Problem::field("language", detail).with("known", known))
    }

    /// Adds a window, or replaces the one of that id; or only shows what that would come to.
    ///
    /// # Errors
    /// The id is another owner's, or the window never opens, or is too short to be of use.
    pub async fn put_window(&self, given: &str, body: &WindowBody, how: Really) -> Result<Reply, Problem> {
        let id: WindowId = given.parse().map_err(|_| {
            Problem::parameter(
                "window",
                format!("{given:?} is no id of a window; a new one's is a UUID of your choice"),
            )
        })?;
        self.carry_out(|| async {
            let now = self.app.clock.now();
            let window = self.window(body, now).await?;
            let known = self.known_window(id).await?;
            // One's own are changed; an id of another owner's reads as taken, which it would also be by chance.
            if known.as_ref().is_some_and(|known| known.window.owner != window.owner) {
                return Err(Problem::new(Kind::Refused, "this id can't be used; choose another UUID"));
            }
            let view = WindowView::of(id, &window, next_openings(&window.opens, now));
            let before = known
                .as_ref()
                .map(|known| WindowView::of(id, &known.window, next_openings(&known.window.opens, now)));
            self.check_etag(before.map(|before| Reply::ok(&before)).transpose()?.map(|reply| reply.body))?;
            let created = known.is_none();
            if created {
                self.has_few_windows(&window.owner).await?;
            }
            if how == Really::Preview {
                return Ok(Decided::new(Batch::new(now), Reply::ok(&view)?));
            }
            let created_at = known.map_or(now, |known| known.created_at);
            let batch =
                Batch { windows_put: vec![StoredWindow { id, window, created_at }], ..Batch::new(now) };
            let location = format!("/v1/windows/{id}");
            let reply = if created { Reply::created(location, &view)? } else { Reply::ok(&view)? };
            Ok(Decided::new(batch, reply))
        })
        .await
    }

    /// Removes a window.
    ///
    /// # Errors
    /// There is none of that id, or it is another owner's.
    pub async fn remove_window(&self, given: &str) -> Result<Reply, Problem> {
        self.carry_out(|| async {
            let missing = || Problem::not_found("window", given);
            let id: WindowId = given.parse().map_err(|_| missing())?;
            let known = self.known_window(id).await?;
            let known =
                known.filter(|known| self.caller.may_see(Some(&known.window.owner))).ok_or_else(missing)?;
            let batch = Batch { windows_removed: vec![known.id], ..Batch::new(self.app.clock.now()) };
            Ok(Decided::new(batch, Reply::nothing()))
        })
        .await
    }

    async fn has_few_windows(&self, owner: &OwnerId) -> Result<(), Problem> {
        let windows = self.app.store.windows_of(owner).await.map_err(|error| store_problem(&error))?;
        if windows.len() < MOST_WINDOWS {
            return Ok(());
        }
        Err(Problem::new(
            Kind::Refused,
            format!("an account has at most {MOST_WINDOWS} windows; remove some first"),
        ))
    }

    async fn known_window(&self, id: WindowId) -> Result<Option<StoredWindow>, Problem> {
        let windows = self.app.store.windows().await.map_err(|error| store_problem(&error))?;
        Ok(windows.into_iter().find(|window| window.id == id))
    }

    pub(super) fn check_etag(&self, before: Option<serde_json::Value>) -> Result<(), Problem> {
        let body = before.and_then(|body| serde_json::to_vec(&body).ok()).unwrap_or_default();
        self.envelope.if_match.check_etag(&etag(None, &body))
    }

    async fn window(&self, body: &WindowBody, now: Instant) -> Result<OwnerWindow, Problem> {
        let (owner, scope) = self.scoped(body.owner.as_deref(), &body.scope)?;
        let opens = opens(&body.opens, now)?;
        let window = OwnerWindow { owner, scope, opens };
        self.long_enough(&window).await?;
        self.not_frozen(&window).await?;
        Ok(window)
    }

    /// A window that opens in freezes only is a mistake.
    async fn not_frozen(&self, window: &OwnerWindow) -> Result<(), Problem> {
        let freezes =
            self.app.store.freezes(Some(&window.owner)).await.map_err(|error| store_problem(&error))?;
        let with = |freezes: Vec<OwnerFreeze>| OwnersRules::new([window.clone()], freezes, []);
        let all: Vec<OwnerFreeze> = freezes.into_iter().map(|stored| stored.value.freeze).collect();
        let without = self.without_opening(&with(all.clone()), &window.owner, &window.scope).await?;
        let before = self.without_opening(&with(Vec::new()), &window.owner, &window.scope).await?;
        let frozen: Vec<&String> = without.iter().filter(|name| !before.contains(name)).collect();
        let Some(first) = frozen.first() else { return Ok(()) };
        let names: Vec<&str> = all.iter().map(OwnerFreeze::name).collect();
        Err(Problem::field(
            "opens",
            format!(
                "field opens: in the next {SHOWN_AHEAD} every opening for {first} lies in a freeze ({}); choose another time, or change the freeze",
                names.join(", ")
            ),
        )
        .with("freezes", names))
    }

    /// Whose something is to be, and for which of his servers.
    pub(super) fn scoped(&self, owner: Option<&str>, scope: &ScopeView) -> Result<(OwnerId, Scope), Problem> {
        let fleet = self.app.fleet();
        let scoped = match scope {
            ScopeView::Server { server } => Some(find_server(&fleet, &self.caller, server)?),
            ScopeView::Label { .. } | ScopeView::Account => None,
        };
        let owner = self.window_owner(owner, scoped)?;
        if let Some(server) = scoped
            && server.facts.owner.as_ref() != Some(&owner)
        {
            return Err(Problem::field(
                "scope.server",
                format!("field scope.server: {} does not belong to {owner}", server.facts.name),
            ));
        }
        let scope = match (scope, scoped) {
            (_, Some(server)) => Scope::Server { server: server.facts.id },
            (ScopeView::Label { name, value }, None) => {
                // No server has a label without a name or a value: it would hold for nobody, and look as if it did.
                if name.trim().is_empty() || value.trim().is_empty() {
                    return Err(Problem::field(
                        "scope",
                        format!(
                            "field scope: \"{name}={value}\" is half a label; write name=value, as tier=db"
                        ),
                    ));
                }
                Scope::Label { name: name.clone(), value: value.clone() }
            }
            (ScopeView::Server { .. } | ScopeView::Account, None) => Scope::Account,
        };
        Ok((owner, scope))
    }

    fn window_owner(&self, asked: Option<&str>, server: Option<&Server>) -> Result<OwnerId, Problem> {
        let given =
            match (asked, self.caller.owner(), server.and_then(|server| server.facts.owner.as_ref())) {
                (Some(given), _, _) => OwnerId::new(given)
                    .map_err(|bad| Problem::field("owner", format!("field owner: {bad}")))?,
                (None, Some(own), _) => own.clone(),
                (None, None, Some(owner)) => owner.clone(),
                (None, None, None) => {
                    return Err(Problem::field("owner", "field owner is missing; say whose it is"));
                }
            };
        if self.caller.may_see(Some(&given)) {
            Ok(given)
        } else {
            Err(Problem::field(
                "owner",
                "field owner: this can be set for your own account only; leave the field out",
            ))
        }
    }

    /// A window in which no server that it holds for could be moved is a mistake.
    async fn long_enough(&self, window: &OwnerWindow) -> Result<(), Problem> {
        let history = self.app.store.reboot_downtimes().await.map_err(|error| store_problem(&error))?;
        let fleet = self.app.fleet();
        let needed = fleet
            .servers()
            .values()
            .filter(|server| applies(window, server))
            .map(|server| {
                let effective = self.app.policies.shared_of(server, &fleet);
                let own = history.get(&server.facts.id).map_or(&[][..], Vec::as_slice);
                let expected = expected_move(&server.facts, &effective.policy, own, None);
                slot_length(&effective.policy, &expected)
            })
            .min()
            .unwrap_or_else(|| {
                let general = self.app.policies.general();
                slot_length(general, &expected_reboot(&general.reboot, &[]))
            });
        let (field, open) = match &window.opens {
            Opens::Recurring { recurrence } => ("opens.duration", recurrence.duration),
            Opens::Once { slot } => ("opens.end", slot.length()),
        };
        if open >= needed {
            return Ok(());
        }
        Err(Problem::field(
            field,
            format!(
                "field {field}: the window is open for {open}, and a migration needs {needed} with its expected downtime; \
                 make it at least {needed} long"
            ),
        )
        .with("needed", needed))
    }
}

fn applies(window: &OwnerWindow, server: &Server) -> bool {
    server.facts.owner.as_ref() == Some(&window.owner)
        && window.scope.nearness(&Whose::server(server)).is_some()
}

fn opens(view: &OpensView, now: Instant) -> Result<Opens, Problem> {
    match (&view.cron, &view.duration, view.start, view.end) {
        (Some(cron), Some(duration), None, None) => recurring(cron, duration, view.timezone.as_deref()),
        (None, None, Some(start), Some(end)) => once(start, end, now),
        _ => Err(Problem::field(
            "opens",
            "field opens: write either cron, duration and timezone (\"0 2 * * 0\", \"4h\", \"Europe/Berlin\"), or start and end",
        )),
    }
}

fn recurring(cron: &str, duration: &str, timezone: Option<&str>) -> Result<Opens, Problem> {
    let bad =
        |field: &str, text: &dyn std::fmt::Display| Problem::field(field, format!("field {field}: {text}"));
    let duration: Span = duration.parse().map_err(|error| bad("opens.duration", &error))?;
    let timezone =
        parse_timezone(timezone.unwrap_or("UTC")).map_err(|error| bad("opens.timezone", &error))?;
    let recurrence = Recurrence::new(cron, duration, timezone).map_err(|error| match &error {
        BadRecurrence::Cron(cron) => bad("opens.cron", cron),
        BadRecurrence::NoDuration | BadRecurrence::TooLong { .. } => bad("opens.duration", &error),
    })?;
    Ok(Opens::Recurring { recurrence })
}

fn once(start: Instant, end: Instant, now: Instant) -> Result<Opens, Problem> {
    let slot = Slot { start, end };
    if slot.is_empty() {
        return Err(Problem::field(
            "opens.end",
            format!("field opens.end: {end} is not after the start, {start}"),
        ));
    }
    if end <= now {
        return Err(Problem::field(
            "opens.end",
            format!("field opens.end: {end} is past, so the window never opens"),
        ));
    }
    Ok(Opens::Once { slot })
}

fn contact(owner: OwnerId, body: &ContactBody) -> Result<Contact, Problem> {
    let timezone = parse_timezone(&body.timezone)
        .map_err(|bad| Problem::field("timezone", format!("field timezone: {bad}")))?;
    if body.mail.len() > MOST_ADDRESSES {
        return Err(Problem::field("mail", format!("field mail: at most {MOST_ADDRESSES} addresses")));
    }
    for (index, address) in body.mail.iter().enumerate() {
        let sender = Sender { from: address.clone(), reply_to: None };
        if address.contains(['<', '>', ' ', ',']) || !sender.check().is_empty() {
            let field = format!("mail[{index}]");
            return Err(Problem::field(
                &field,
                format!("field {field}: {address:?} is no mail address; write it as name@example.org"),
            ));
        }
    }
    if body.name.chars().count() > 200 || body.name.chars().any(char::is_control) {
        return Err(Problem::field("name", "field name must be one line of at most 200 characters"));
    }
    let language: Language = body
        .language
        .parse()
        .map_err(|bad: BadLanguage| Problem::field("language", format!("field language: {bad}")))?;
    let reminders = if body.reminders { Reminders::Wanted } else { Reminders::Unwanted };
    let name = body.name.trim().to_owned();
    Ok(Contact { owner, name, mail: body.mail.clone(), timezone, language, reminders })
}
