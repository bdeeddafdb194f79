//! A scheduler with five hosts and six servers, on SQLite in a folder of its own, with a clock that stands.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use drover_agent_api::{
    GuestsAnswer, GuestsAsk, Inventory, Operation, OperationReport, OperationState, Order, PROTOCOL,
    SyncRequest,
};
use drover_notifier::Renderer;
use drover_notifier::reply::Keys;
use drover_policies::fleet::{
    Ability, Allowance, CertificateDigest, Fleet, HostFacts, LocalStorage, Replication, Server,
};
use drover_policies::ids::{HostName, IdSource};
use drover_policies::policy::PolicySet;
use drover_policies::samples::{NOON, Sample, gib, host_name, local_disk, owner_id, server_id};
use drover_policies::time::{Clock, Instant, Span};
use drover_scheduler::app::{App, Parts};
use drover_scheduler::auth::issue;
use drover_scheduler::clock::RandomIds;
use drover_scheduler::config::Config;
use drover_scheduler::lease::Lease;
use drover_scheduler::store::{Role, Store};
use drover_scheduler::{execute, http, sync};
use http_body_util::BodyExt;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

/// A clock that goes only when it is set.
pub struct Standing(Mutex<Instant>);

impl Clock for Standing {
    fn now(&self) -> Instant {
        *self.0.lock().expect("nobody panics while holding it")
    }
}

pub struct Api {
    pub app: Arc<App>,
    clock: Arc<Standing>,
    router: Router,
    /// An operator's token.
    pub operator: String,
    /// The token of owner acme, who has `web`, `db`, `stuck` and the first `twin`.
    pub acme: String,
    /// The token of owner globex, who has `shop` and the second `twin`.
    pub globex: String,
    /// The token of the agent of h1.
    pub agent: String,
    incarnation: Mutex<u64>,
    fleet: Fleet,
    _folder: TempDir,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {:?}", self.text))
    }

    /// The problem's kind.
    pub fn problem(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let json = self.json();
        assert_eq!(json["status"], self.status.as_u16());
        assert!(json["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{json}");
        assert_eq!(json["request_id"].as_str(), self.headers["x-request-id"].to_str().ok());
        json["type"].as_str().expect("a type").rsplit('/').next().expect("a slug").to_owned()
    }

    pub fn detail(&self) -> String {
        self.json()["detail"].as_str().expect("a detail").to_owned()
    }
}

/// A request that is being put together.
pub struct Asking<'a> {
    api: &'a Api,
    request: axum::http::request::Builder,
    body: Body,
}

impl Asking<'_> {
    pub fn token(mut self, token: &str) -> Self {
        self.request = self.request.header("authorization", format!("Bearer {token}"));
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub fn json(mut self, body: &Value) -> Self {
        self.request = self.request.header("content-type", "application/json");
        self.body = Body::from(body.to_string());
        self
    }

    pub fn text(mut self, body: &str) -> Self {
        self.body = Body::from(body.to_owned());
        self
    }

    pub async fn send(self) -> Answer {
        let request = self.request.body(self.body).expect("a request");
        let response = self.api.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).expect("text"),
        }
    }
}

/// The agents here carry out nothing, so no look before a move would ever end.
/// A stream that says nothing for so long has said all: longer than the pages' one gathers what happens.
const SILENCE: Duration = Duration::from_millis(700);

const NO_LOOK: &str = "[validation]\nbefore_within = \"0s\"\n";

fn fleet() -> Fleet {
    let globex = Some(owner_id("globex"));
    let forbidden = Some(Allowance::Forbidden);
    Sample::new()
        .hosts(&["h1", "h2", "h3", "h4", "h5"])
        .server("h1", "web", |_| {})
        .server("h1", "db", |db| db.rules.live_migration = forbidden)
        .server("h1", "shop", |shop| {
            shop.owner = globex.clone();
            shop.rules.live_migration = forbidden;
        })
        .server("h2", "stuck", |stuck| {
            stuck.disks.push(local_disk("vdb", "/var/lib/secret-path/stuck.img"));
        })
        .server("h5", "twin", |_| {})
        .server("h3", "twin", |twin| twin.owner = globex.clone())
        .fleet()
}

/// The same fleet, whose agents take copies of local disks.
fn replicating(mut fleet: Fleet) -> Fleet {
    let path = "/var/lib/secret-path".into();
    let storage = LocalStorage { path, total_bytes: gib(100), free_bytes: gib(50) };
    for (name, host) in &mut fleet.hosts {
        host.facts.replication = Some(Replication {
            address: format!("{name}.example:16520"),
            certificate: CertificateDigest("0".repeat(64)),
            directories: vec![storage.clone()],
        });
    }
    fleet
}

impl Api {
    pub async fn new() -> Self {
        Self::with_policy("").await
    }

    /// The same with agents that take copies of local disks.
    pub async fn replicating() -> Self {
        Self { fleet: replicating(fleet()), ..Self::new().await }
    }

    /// The same with h3 and h4, to which servers can be imported.
    pub async fn importing() -> Self {
        let mut fleet = replicating(fleet());
        for name in ["h3", "h4"] {
            let host = fleet.hosts.get_mut(&host_name(name)).expect("it is there");
            host.facts.abilities.extend([Ability::Import, Ability::ReadForeignImages, Ability::FixGuests]);
        }
        let api = Self { fleet, ..Self::new().await };
        api.report().await;
        api
    }

    /// A server appears on a host.
    pub async fn appears(&mut self, host: &str, server: Server) {
        self.fleet.sightings.entry(host_name(host)).or_default().insert(server.facts.id, server);
        self.report().await;
    }

    /// A server is on another host than it was; its number is as for [`id`].
    pub async fn moves(&mut self, server: u128, from: &str, to: &str) {
        let on = self.fleet.sightings.get_mut(&host_name(from)).expect("a host");
        let server = on.remove(&server_id(server)).expect("it is there");
        self.appears(to, Server { host: host_name(to), ..server }).await;
    }

    /// A host is another than it was.
    pub async fn host_is(&mut self, host: &str, change: impl FnOnce(&mut HostFacts)) {
        change(&mut self.fleet.hosts.get_mut(&host_name(host)).expect("it is there").facts);
        self.report().await;
    }

    /// The same with another configuration.
    pub async fn configured(change: impl FnOnce(&mut Config)) -> Self {
        Self::with("", change).await
    }

    /// The same with a policy of its own.
    pub async fn with_policy(policy: &str) -> Self {
        Self::with(policy, |_| {}).await
    }

    /// The same with both; a database that it names is used.
    pub async fn with(policy: &str, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config { data_dir: folder.path().to_owned(), ..Config::default() };
        change(&mut config);
        let store = Store::open(&config.database_url()).await.expect("a store");
        store.migrate().await.expect("tables");
        let lease = Lease::take(&store, "test", NOON).await.expect("a store").expect("nobody else has it");
        let clock = Arc::new(Standing(Mutex::new(NOON)));
        let mut tokens = Vec::new();
        for (role, name) in [
            (Role::Operator, "ada"),
            (Role::Owner(owner_id("acme")), "acme"),
            (Role::Owner(owner_id("globex")), "globex"),
            (Role::Agent(host_name("h1")), "h1"),
        ] {
            let issued = issue(RandomIds.next(), role, name, NOON);
            store.add_token(&issued.token).await.expect("stored");
            tokens.push(issued.secret);
        }
        let parts = Parts {
            config,
            store,
            clock: clock.clone(),
            ids: Arc::new(RandomIds),
            policies: Arc::new(
                PolicySet::parse(&[("a.toml", NO_LOOK), ("policy.toml", policy)]).expect("a policy"),
            ),
            lease,
            page_keys: Some(Keys::read(&Keys::write([7; 32])).expect("a key")),
            languages: Renderer::new(None).expect("the shipped words").languages().cloned().collect(),
        };
        let app = App::open(parts).await.expect("an app");
        let [operator, acme, globex, agent] = <[String; 4]>::try_from(tokens).expect("four");
        let router = http::router(app.clone());
        let api = Self {
            app,
            clock,
            router,
            operator,
            acme,
            globex,
            agent,
            incarnation: Mutex::new(0),
            fleet: fleet(),
            _folder: folder,
        };
        api.report().await;
        api
    }

    /// Every agent tells what it sees.
    pub async fn report(&self) {
        let fleet = &self.fleet;
        let incarnation = {
            let mut known = self.incarnation.lock().expect("nobody panics while holding it");
            *known += 1;
            *known
        };
        for host in fleet.hosts.values() {
            let inventory = Inventory {
                serial: 1,
                observed_at: self.clock.now(),
                host: host.facts.clone(),
                servers: fleet.on(&host.name).map(|server| server.facts.clone()).collect(),
            };
            let request = sync_request(&host.name, incarnation, Some(inventory));
            sync::sync(&self.app, &host.name, request).await.expect("taken in");
        }
    }

    /// Time passes, and the agents go on reporting.
    pub async fn pass(&self, span: Span) {
        *self.clock.0.lock().expect("nobody panics while holding it") += span.delta();
        self.report().await;
    }

    /// The scheduler looks, until there is nothing to do at once.
    pub async fn look(&self) {
        for _ in 0..3 {
            execute::look(&self.app).await.expect("a look");
        }
    }

    pub fn ask(&self, method: Method, path: &str) -> Asking<'_> {
        let request = Request::builder().method(method).uri(path);
        Asking { api: self, request, body: Body::empty() }
    }

    /// What a stream tells within a moment.
    pub async fn stream(&self, token: &str, path: &str, meanwhile: impl Future<Output = ()>) -> String {
        self.streamed("authorization", &format!("Bearer {token}"), path, meanwhile).await
    }

    /// The same for somebody who is signed in on the pages.
    pub async fn stream_of(&self, cookie: &str, path: &str, meanwhile: impl Future<Output = ()>) -> String {
        self.streamed("cookie", cookie, path, meanwhile).await
    }

    async fn streamed(
        &self,
        name: &str,
        value: &str,
        path: &str,
        meanwhile: impl Future<Output = ()>,
    ) -> String {
        let request = Request::builder().uri(path).header(name, value);
        let request = request.body(Body::empty()).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), StatusCode::OK);
        meanwhile.await;
        let mut body = response.into_body();
        let mut text = String::new();
        while let Ok(Some(frame)) = tokio::time::timeout(SILENCE, body.frame()).await {
            let bytes = frame.expect("a frame").into_data().expect("data");
            text.push_str(std::str::from_utf8(&bytes).expect("text"));
        }
        text
    }

    pub async fn get(&self, token: &str, path: &str) -> Answer {
        self.ask(Method::GET, path).token(token).send().await
    }

    pub async fn post(&self, token: &str, path: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path).token(token).json(body).send().await
    }

    pub async fn put(&self, token: &str, path: &str, body: &Value) -> Answer {
        self.ask(Method::PUT, path).token(token).json(body).send().await
    }

    /// Empties h1: `web` goes live, `db` and `shop` get tickets. Answers with the maintenance.
    pub async fn drain_h1(&self) -> Value {
        let body = serde_json::json!({ "hosts": ["h1"], "reason": "kernel-update", "deadline": "30d" });
        let answer = self.post(&self.operator, "/v1/maintenances", &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        self.look().await;
        answer.json()
    }

    /// The agent of a host says that libvirt names nothing there any more.
    pub async fn confirm_empty(&self, host: &str) {
        let at = self.clock.now();
        let empty = |order: &Order| {
            (*order == Order::ConfirmEmpty).then(|| OperationState::Counted { left: Vec::new(), at })
        };
        self.answer_orders(host, empty).await;
    }

    /// The agent of a host answers those of its orders that `answer` has a state for.
    pub async fn answer_orders(&self, host: &str, answer: impl Fn(&Order) -> Option<OperationState>) {
        let host = host_name(host);
        let wanted = self.app.store.operations_wanted_of(&host).await.expect("a store");
        let operations = wanted.iter().filter_map(|wanted| {
            let Operation { id, generation, order, .. } = &wanted.operation;
            Some(OperationReport { id: *id, generation: *generation, state: answer(order)? })
        });
        let incarnation = *self.incarnation.lock().expect("nobody panics while holding it");
        let request =
            SyncRequest { operations: operations.collect(), ..sync_request(&host, incarnation, None) };
        sync::sync(&self.app, &host, request).await.expect("taken in");
        self.look().await;
    }

    /// A host's agent asks and tells for the guests on it.
    pub async fn guests(&self, host: &str, ask: GuestsAsk) -> GuestsAnswer {
        let host = host_name(host);
        let incarnation = *self.incarnation.lock().expect("nobody panics while holding it");
        let request = SyncRequest { guests: Some(ask), ..sync_request(&host, incarnation, None) };
        let answer = sync::sync(&self.app, &host, request).await.expect("taken in");
        answer.guests.expect("it was asked for")
    }

    /// The migration of a server, as an operator sees it.
    pub async fn migration_of(&self, server: &str) -> Value {
        let answer = self.get(&self.operator, &format!("/v1/migrations?server={server}&only=all")).await;
        answer.json()["items"][0].clone()
    }
}

pub fn sync_request(host: &HostName, incarnation: u64, inventory: Option<Inventory>) -> SyncRequest {
    SyncRequest {
        protocol: PROTOCOL,
        host: host.clone(),
        incarnation,
        inventory,
        operations: Vec::new(),
        seen_revision: None,
        guests: None,
        wait_ms: 0,
    }
}

/// The id of a sample server, in the order of [`fleet`].
pub fn id(n: u128) -> String {
    server_id(n).to_string()
}
