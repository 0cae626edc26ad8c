//! The market's routes. Each is thin: check the request, give a command, wait for its answer and
//! for the view that shows it, and answer.

mod accounts;
mod admin;
mod audit;
mod behaviour;
mod carts;
mod catalogue;
mod health;
mod orders;
mod payments;
mod stock;

pub(crate) use admin::CATALOGUE;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Json as Answer;
use axum::extract::{DefaultBodyLimit, FromRef, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use millrace_avro::event::Meta;
use millrace_avro::events::carts::CartView;
use millrace_avro::events::common::{CommandReply, Outcome};
use millrace_avro::keys::{CartId, Sku};
use millrace_streams::{ApplicationState, Streams as Application};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::accounts::tokens::Tokens;
use crate::accounts::{AccountError, Accounts};
use crate::config::Settings;
use crate::http::idempotency::Idempotency;
use crate::http::limits::RateLimits;
use crate::http::position::{self, Position, Wait};
use crate::http::problem::{Kind, Problem, Result, page};
use crate::http::sse::Streams;
use crate::http::{limits, request};
use crate::live::cache::Cache;
use crate::live::lag::Lags;
use crate::ports::{Commands, Gateways, LOOK, Message, PortError, ViewKey, Views, wait_for};
use crate::sql::Sql;

use self::carts::CartTokens;
use self::orders::Turns;

/// The routes, as a page.
const ROUTES: &str = include_str!("../../docs/routes.md");

/// What every handler shares.
pub type App = Arc<Market>;
type Router = axum::Router<App>;

/// The market, as the routes see it.
#[derive(Debug)]
pub struct Market {
    /// The settings that hold.
    pub settings: Settings,
    /// The database of accounts and keys.
    pub sql: Sql,
    /// The accounts.
    pub accounts: Accounts,
    /// Gives commands.
    pub commands: Arc<dyn Commands>,
    /// Shows what became of them.
    pub views: Arc<dyn Views>,
    /// Helps them while they catch up.
    pub cache: Cache,
    /// Understands webhooks.
    pub gateways: Arc<dyn Gateways>,
    /// Decide about them.
    pub applications: Arc<[Application]>,
    /// Knows how far they are behind.
    pub lags: Lags,
    /// Counts requests.
    pub limits: RateLimits,
    idempotency: Idempotency,
    cart_tokens: CartTokens,
    turns: Turns,
    streams: Streams,
    seeding: AtomicBool,
}

/// What the market is made of.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Tells this process from others that share the database; the same after a restart.
    pub process: String,
    /// Gives commands.
    pub commands: Arc<dyn Commands>,
    /// Shows what became of them.
    pub views: Arc<dyn Views>,
    /// Helps them while they catch up.
    pub cache: Cache,
    /// Understands webhooks.
    pub gateways: Arc<dyn Gateways>,
    /// Decide about them: the topologies that run in this process.
    pub applications: Arc<[Application]>,
    /// Knows how far they are behind.
    pub lags: Lags,
}

impl Market {
    /// The market on `ports`, with its accounts in `sql`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn open(settings: Settings, sql: Sql, ports: Ports) -> Result<App, AccountError> {
        Ok(Arc::new(Self {
            accounts: Accounts::open(sql.clone(), settings.accounts()).await?,
            idempotency: Idempotency::new(
                sql.clone(),
                &ports.process,
                settings.times.idempotency_ttl,
            ),
            cart_tokens: CartTokens::new(sql.secret("cart-tokens").await?),
            limits: RateLimits::new(settings.limits),
            turns: Turns::default(),
            streams: Streams::default(),
            seeding: AtomicBool::new(false),
            commands: ports.commands,
            views: ports.views,
            cache: ports.cache,
            gateways: ports.gateways,
            applications: ports.applications,
            lags: ports.lags,
            sql,
            settings,
        }))
    }

    /// The table of idempotency keys.
    pub fn idempotency(&self) -> &Idempotency {
        &self.idempotency
    }

    /// A cart: from memory, or while that catches up from the shared cache, as soon as one of them
    /// knows.
    ///
    /// # Errors
    /// 503 when neither knows in time.
    async fn cart(&self, id: &CartId) -> Result<Option<Arc<CartView>>> {
        let deadline = Instant::now() + self.settings.times.command_wait;
        loop {
            // Asked first: what is read afterwards is as new as the answer says.
            let caught_up = self.views.caught_up();
            let known = self.views.cart(id).map(|seen| seen.view);
            if caught_up {
                return Ok(known);
            }
            if let Some(cached) = self.cache.cart(id).await.map(Arc::new) {
                let carts = known.into_iter().chain([cached]);
                return Ok(carts.rev().max_by_key(|cart| cart.version));
            }
            wait_for_views(deadline).await?;
        }
    }

    /// What is available of a SKU, by the newest that is known.
    async fn available(&self, sku: &Sku) -> i64 {
        let known = self.views.stock(sku).map(|seen| seen.view);
        let known = known.map(|stock| (stock.version, stock.available));
        if self.views.caught_up() {
            return known.map_or(0, |(_, available)| available);
        }
        let cached = self.cache.stock(sku).await;
        let cached = cached.map(|stock| (stock.version, stock.available));
        known.max(cached).map_or(0, |(_, available)| available)
    }

    /// Whether every topology of this process runs all its tasks.
    pub fn decides(&self) -> bool {
        let runs = |it: &Application| matches!(it.state(), ApplicationState::Running);
        self.applications.iter().all(runs)
    }

    /// Whether the demonstration catalogue is being filled.
    pub fn is_seeding(&self) -> bool {
        self.seeding.load(Ordering::Acquire)
    }

    /// Says whether the demonstration catalogue is being filled.
    pub fn set_seeding(&self, seeding: bool) {
        self.seeding.store(seeding, Ordering::Release);
    }

    /// Ends what waits for long, so that the process can end.
    pub fn close(&self) {
        self.streams.close();
    }

    /// Gives a command, and has the answer to its request say where it lies.
    async fn give(&self, meta: Meta, message: Message) -> Result<()> {
        let position = message.view().map(|view| Position::new(&meta.id, view));
        self.commands.append(meta, message).await?;
        if let Some(position) = position {
            request::current().wrote(position);
        }
        Ok(())
    }

    /// Gives a command and waits for its answer; `None` when there is none in time.
    async fn ask(
        &self,
        meta: Meta,
        message: Message,
        wait: Duration,
    ) -> Result<Option<CommandReply>> {
        let reply = self.views.reply(&meta.id);
        self.give(meta, message).await?;
        match reply.within(wait).await {
            Some(reply) if reply.outcome == Outcome::Refused => Err(refusal(&reply)),
            answered => Ok(answered),
        }
    }

    /// Waits, as long as is usual, for what `look` finds in the view `key`.
    async fn settled<T>(&self, key: &ViewKey, look: impl FnMut() -> Option<T>) -> Option<T> {
        wait_for(
            self.views.as_ref(),
            key,
            self.settings.times.command_wait,
            look,
        )
        .await
    }
}

impl FromRef<App> for Tokens {
    fn from_ref(app: &App) -> Self {
        app.accounts.tokens().clone()
    }
}

impl FromRef<App> for Idempotency {
    fn from_ref(app: &App) -> Self {
        app.idempotency.clone()
    }
}

impl From<PortError> for Problem {
    fn from(error: PortError) -> Self {
        tracing::warn!(%error, "port");
        match error {
            PortError::Unavailable(_) => Self::new(Kind::Unavailable).retry_after(1),
            PortError::TooLarge => Kind::BodyTooLarge.into(),
            PortError::Invalid(_) => Kind::Internal.into(),
        }
    }
}

/// The whole API, and the routes of others `beside` it.
pub fn router(app: App, beside: Router) -> axum::Router {
    let times = &app.settings.times;
    let limit = times.request_timeout;
    let body_bytes_max = app.settings.limits.body_bytes_max;
    let wait = Wait {
        views: app.views.clone(),
        limit: times.command_wait,
    };
    let limited = (app.limits.clone(), app.accounts.tokens().clone());
    Router::new()
        .merge(accounts::router())
        .merge(catalogue::router())
        .merge(carts::router())
        .merge(orders::router())
        .merge(payments::router())
        .merge(stock::router())
        .merge(admin::router())
        .merge(audit::router())
        .merge(behaviour::router())
        // nobody is answered from the past: not even a client that did not ask whether it is ready
        .layer(from_fn_with_state(wait, position::reached))
        .layer(from_fn_with_state(app.clone(), caught_up))
        .merge(beside)
        .route("/", get(root))
        .route("/routes", get(async || markdown(ROUTES)))
        .route("/problems", get(async || markdown(page())))
        .fallback(async || Problem::new(Kind::NotFound))
        // before any work is done for a client that asks too often
        .layer(from_fn_with_state(limited, limits::limited))
        // whoever watches the process is always answered
        .merge(health::router())
        .method_not_allowed_fallback(async || Problem::new(Kind::MethodNotAllowed))
        // a request that takes too long is answered, and its work given up
        .layer(from_fn(move |request, next| {
            request::in_time(limit, request, next)
        }))
        // a body that is too large is refused before it is read
        .layer(DefaultBodyLimit::max(body_bytes_max))
        // outermost, so that every answer is counted and has its id
        .layer(from_fn(request::observe))
        .with_state(app)
}

/// Lets a request wait until the views have caught up with the log, as long as is usual. Only a
/// cart that the shared cache may know is shown before.
async fn caught_up(State(app): State<App>, request: Request, next: Next) -> Response {
    let is_read = request.method() == Method::GET && request.uri().path() == "/api/cart";
    if is_read && app.cache.is_shared() {
        return next.run(request).await;
    }
    let deadline = Instant::now() + app.settings.times.command_wait;
    while !app.views.caught_up() {
        if let Err(problem) = wait_for_views(deadline).await {
            return problem.into_response();
        }
    }
    next.run(request).await
}

/// Waits a little for the views to catch up; 503 once it is `deadline`.
async fn wait_for_views(deadline: Instant) -> Result<()> {
    if Instant::now() > deadline {
        return Err(Problem::new(Kind::Unavailable).retry_after(1));
    }
    sleep(LOOK).await;
    Ok(())
}

/// Where to begin.
async fn root() -> Response {
    let links = json!({
        "routes": "/routes",
        "problems": "/problems",
        "products": "/api/products",
        "categories": "/api/categories",
        "ready": "/readyz",
        "metrics": "/metrics",
    });
    Answer(json!({ "name": "millrace", "links": links })).into_response()
}

fn markdown(page: impl IntoResponse) -> Response {
    let markdown = HeaderValue::from_static("text/markdown; charset=utf-8");
    ([(header::CONTENT_TYPE, markdown)], page).into_response()
}

/// Why a command was refused, as the client is told.
fn refusal(reply: &CommandReply) -> Problem {
    let code = reply.code.as_deref().unwrap_or("refused");
    let kind = match code {
        "unknown-order" | "unknown-payment" | "unknown-product" | "unknown-line" => Kind::NotFound,
        "version-conflict" => Kind::VersionMismatch,
        "insufficient-stock" | "stock-reserved" | "stock-promised" => Kind::InsufficientStock,
        "price-changed" => Kind::PriceChanged,
        "empty-order" => Kind::EmptyCart,
        "unknown-category" => Kind::InvalidFields,
        "refund-exceeds-captured" => Kind::RefundTooLarge,
        "illegal-transition" | "not-ready" => Kind::IllegalTransition,
        code if code.starts_with("invalid-") => Kind::InvalidFields,
        _ => Kind::Refused,
    };
    if kind == Kind::NotFound {
        return kind.into();
    }
    let problem = match kind {
        Kind::InvalidFields => {
            let (pointer, field) = refused_field(code);
            let detail = reply.detail.as_deref().unwrap_or(kind.title());
            Problem::field(pointer, field, detail)
        }
        _ => Problem::new(kind),
    };
    let problem = problem.with("reason", code).with("allowed", &reply.allowed);
    match &reply.detail {
        Some(detail) => problem.detail(detail),
        None => problem,
    }
}

/// Where the field stands that a refusal is about, and what is wrong with it; the whole body where
/// the rule does not say.
fn refused_field(code: &str) -> (&'static str, &'static str) {
    match code {
        "unknown-category" => ("/parent_id", "unknown-category"),
        "invalid-category" => ("/name", "invalid"),
        "invalid-quantity" => ("/quantity", "range"),
        "invalid-delta" => ("/delta", "range"),
        "invalid-shipment" => ("/items", "invalid"),
        _ => ("", "invalid"),
    }
}

/// 202: the decision takes longer; `location` will show it.
fn accepted(location: &str, body: impl IntoResponse) -> Response {
    at(StatusCode::ACCEPTED, location, body)
}

/// 201: `location` shows what was made.
fn created(location: &str, body: impl IntoResponse) -> Response {
    at(StatusCode::CREATED, location, body)
}

fn at(status: StatusCode, location: &str, body: impl IntoResponse) -> Response {
    let mut response = (status, body).into_response();
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// A key from a path: one that cannot exist is not found.
fn key<K: std::str::FromStr>(text: &str) -> Result<K> {
    text.parse().map_err(|_| Kind::NotFound.into())
}
