//! Registering, removing and trying out owners' webhooks.

use axum::http::StatusCode;
use drover_notifier::webhook::{Answered, Secret, test_body};
use drover_policies::ids::{NoticeId, OwnerId, WebhookId};
use drover_policies::migration::operators;
use drover_policies::notices::Tells;
use drover_policies::time::{Instant, Span};

use super::{Decided, Reply, Wish, store_problem};
use crate::clock;
use crate::http::problem::{Kind, Problem};
use crate::http::views::{IssuedWebhook, RotateBody, TestedWebhook, WebhookBody, WebhookView};
use crate::outbound::BadTarget;
use crate::store::{Batch, ReplacedSecret, RotatedWebhook, StoredWebhook};
use crate::webhooks::unknown_kind;

/// The most webhooks that one account may have: each message of its tickets goes to all of them.
const MOST_WEBHOOKS: usize = 10;

/// For so long a secret that was replaced signs as well, unless said.
const GRACE: Span = Span::hours(24);

/// But for no longer than this: who rotates a secret wants the old one to end.
const LONGEST_GRACE: Span = Span::days(7);

/// How many secrets that were replaced may sign at once: each makes a header longer that receivers have to read.
const MOST_REPLACED: usize = 3;

impl Wish {
    /// Registers a webhook; its secret is shown this once.
    ///
    /// # Errors
    /// Something about it is wrong, or the account has too many.
    pub async fn add_webhook(&self, body: &WebhookBody) -> Result<Reply, Problem> {
        let owner = self.owner_of_webhook(body.owner.as_deref())?;
        let bad_url = |bad: BadTarget| Problem::field("url", format!("field url: {bad}"));
        let url = self.app.outbound.target(&body.url).map_err(bad_url)?;
        if let Some(bad) = unknown_kind(&body.kinds, Tells::KINDS) {
            return Err(Problem::field("kinds", format!("field kinds: {bad}")));
        }
        self.app.outbound.look_up(&url).await.map_err(bad_url)?;
        self.carry_out(|| async {
            let known = self.app.store.webhooks(Some(&owner)).await.map_err(|error| store_problem(&error))?;
            if known.len() >= MOST_WEBHOOKS {
                return Err(Problem::new(
                    Kind::Refused,
                    format!("this account has {} webhooks, which is the most; remove one first", known.len()),
                ));
            }
            let secret = Secret::of(clock::secret());
            let webhook = StoredWebhook {
                id: WebhookId::draw(self.app.ids.as_ref()),
                owner: owner.clone(),
                url: url.to_string(),
                secret: secret.reveal(),
                replaced: Vec::new(),
                kinds: body.kinds.clone(),
                created_at: self.app.clock.now(),
                disabled: None,
            };
            let location = format!("/v1/webhooks/{}", webhook.id);
            let (shown, for_repeat) = issued(&webhook, webhook.created_at)?;
            let batch = Batch { webhooks_added: vec![webhook], ..Batch::new(self.app.clock.now()) };
            let reply = Reply { status: StatusCode::CREATED, location: Some(location), ..shown };
            Ok(Decided { for_repeat: Some(for_repeat), ..Decided::new(batch, reply) })
        })
        .await
    }

    /// Gives a webhook another secret, which is shown this once. The one before signs as well until its time is over, and so do those
    /// before it; where none is wished, all of them end at once.
    ///
    /// # Errors
    /// There is no such one, the time is too long, or too many secrets sign already.
    pub async fn rotate_webhook(&self, given: &str, body: &RotateBody) -> Result<Reply, Problem> {
        let grace = body.grace.unwrap_or(GRACE);
        if grace > LONGEST_GRACE {
            let detail = format!("field grace: {grace} is too long; the most is {LONGEST_GRACE}");
            return Err(Problem::field("grace", detail));
        }
        self.carry_out(|| async {
            let now = self.app.clock.now();
            let before = self.webhook(given).await?;
            let after = StoredWebhook {
                secret: Secret::of(clock::secret()).reveal(),
                replaced: replaced(&before, grace, now)?,
                ..before.clone()
            };
            let (reply, for_repeat) = issued(&after, now)?;
            let batch = Batch { webhooks_rotated: vec![RotatedWebhook { before, after }], ..Batch::new(now) };
            Ok(Decided { for_repeat: Some(for_repeat), ..Decided::new(batch, reply) })
        })
        .await
    }

    /// Removes a webhook, and all that waits for it.
    ///
    /// # Errors
    /// There is no such one.
    pub async fn remove_webhook(&self, given: &str) -> Result<Reply, Problem> {
        self.carry_out(|| async {
            let webhook = self.webhook(given).await?;
            let batch = Batch { webhooks_removed: vec![webhook.id], ..Batch::new(self.app.clock.now()) };
            Ok(Decided::new(batch, Reply::nothing()))
        })
        .await
    }

    /// Posts a test event, and tells what was answered. Nothing is stored. Of owners' own it is counted how many.
    ///
    /// # Errors
    /// There is no such webhook, it is disabled, or its owner had too many test events posted lately.
    pub async fn test_webhook(&self, given: &str) -> Result<Reply, Problem> {
        let webhook = self.webhook(given).await?;
        if let Some((_, why)) = &webhook.disabled {
            return Err(Problem::new(
                Kind::Refused,
                format!("it is disabled: {why}; remove it and add another"),
            ));
        }
        let hook = webhook.hook().map_err(|error| store_problem(&error))?;
        let (id, now) = (NoticeId(self.app.ids.next()), self.app.clock.now());
        if let Some(owner) = self.caller.owner() {
            let counted = self.app.webhook_tests.count(owner, now);
            counted.map_err(|refusal| Problem::too_often(refusal.to_string(), refusal.next, now))?;
        }
        let body = test_body(id, &self.app.config.delivery.event_source, now)
            .map_err(|error| Problem::internal(&error))?;
        let answered = hook.post(&self.app, &id.to_string(), body).await;
        Reply::ok(&match answered {
            Answered::Taken { status } => {
                TestedWebhook { arrived: true, status: Some(status), problem: None }
            }
            Answered::Gone => TestedWebhook {
                arrived: false,
                status: Some(410),
                problem: Some("the receiver says that it is gone for good".to_owned()),
            },
            Answered::NotNow { why, .. } => {
                TestedWebhook { arrived: false, status: None, problem: Some(why) }
            }
        })
    }

    /// One that the caller may see.
    async fn webhook(&self, given: &str) -> Result<StoredWebhook, Problem> {
        let missing = || Problem::not_found("webhook", given);
        let id: WebhookId = given.parse().map_err(|_| missing())?;
        let found = self.app.store.webhook(id).await.map_err(|error| store_problem(&error))?;
        found.filter(|webhook| self.caller.may_see(Some(&webhook.owner))).ok_or_else(missing)
    }

    fn owner_of_webhook(&self, given: Option<&str>) -> Result<OwnerId, Problem> {
        let given = given
            .map(|name| {
                OwnerId::new(name).map_err(|bad| Problem::field("owner", format!("field owner: {bad}")))
            })
            .transpose()?;
        let owner = match (self.caller.owner(), given) {
            (Some(own), None) => own.clone(),
            (Some(own), Some(given)) if *own == given => given,
            (Some(_), Some(given)) => return Err(Problem::not_found("owner", given.as_str())),
            (None, Some(given)) => given,
            (None, None) => {
                return Err(Problem::field(
                    "owner",
                    "field owner: say whose it is; your own webhooks are set in the scheduler's configuration",
                ));
            }
        };
        // Tickets of servers without an owner are the operators'.
        if owner == operators() {
            return Err(Problem::field(
                "owner",
                "field owner: operators' webhooks are set in the scheduler's configuration",
            ));
        }
        Ok(owner)
    }
}

/// The answer with the secret, and what a repeat is answered instead.
fn issued(webhook: &StoredWebhook, now: Instant) -> Result<(Reply, serde_json::Value), Problem> {
    let view = WebhookView::of(webhook, now);
    let shown = IssuedWebhook { webhook: view.clone(), secret: Some(webhook.secret.clone()) };
    Ok((Reply::ok(&shown)?, Reply::ok(&IssuedWebhook { webhook: view, secret: None })?.body))
}

/// The secrets that sign beside the one that comes.
fn replaced(before: &StoredWebhook, grace: Span, now: Instant) -> Result<Vec<ReplacedSecret>, Problem> {
    if grace.0.is_zero() {
        return Ok(Vec::new());
    }
    let mut replaced = before.replaced.clone();
    replaced.retain(|secret| now < secret.until);
    if replaced.len() >= MOST_REPLACED
        && let Some(next) = replaced.iter().map(|secret| secret.until).min()
    {
        let detail = format!(
            "{MOST_REPLACED} secrets that were replaced sign still, and no more may; the first ends at {next}. With grace 0s all of them end now"
        );
        return Err(Problem::too_often(detail, next, now));
    }
    replaced.push(ReplacedSecret { secret: before.secret.clone(), until: now + grace.delta() });
    Ok(replaced)
}
