//! What the program was told: by flags, by the environment, by a file, and by default, in this order.
//!
//! [`Options`] is what one source says, [`Settings`] what holds. Every option is a flag
//! (`--reservation-ttl 2s`), an environment variable (`MILLRACE_RESERVATION_TTL=2s`) and a key of
//! the TOML file that `--config` names (`reservation_ttl = "2s"`).

mod cli;
mod options;
mod span;
mod topologies;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::Uri;
use millrace_avro::money::Currency;
use millrace_effects::views::redis::RedisViews;

use crate::accounts::{AccountOptions, rules};
use crate::sql;

pub use cli::{Cli, Command, Format, LogCommand, StateCommand, TopologyCommand, one_line};
pub use options::{Options, Switch};
pub use span::Span;

/// The shortest secret that is taken: a shorter one could be guessed.
const SECRET_BYTES_MIN: usize = 16;

/// Why a configuration is refused. Its text is one line that names the option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("configuration: {0}")]
pub struct ConfigError(pub String);

/// The configuration that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where everything durable of the embedded mode lies.
    pub data: PathBuf,
    /// Where HTTP is served.
    pub listen: SocketAddr,
    /// Brokers of the cluster; `None` for the embedded log.
    pub kafka: Option<String>,
    /// How many other instances keep a warm copy of each task's state, on a cluster.
    pub standby_replicas: u32,
    /// The schema registry's address; `None` for the embedded one.
    pub registry: Option<String>,
    /// The address of PostgreSQL; `None` for an SQLite file under `data`.
    pub postgres: Option<String>,
    /// The address of Redis; `None` for memory.
    pub redis: Option<String>,
    /// Whether no other instance shares the cluster.
    pub single_instance: bool,
    /// What payment gateways sign their webhooks with; `None` for a random one.
    pub webhook_secret: Option<WebhookSecret>,
    /// The names of the topologies to run; empty for all.
    pub only: Vec<String>,
    /// Whether a first start seeds the demonstration catalogue.
    pub demo: bool,
    /// The currency of carts and orders that name none.
    pub currency: Currency,
    /// The first administrator.
    pub admin: Option<AdminSeed>,
    /// Bounds on what clients may ask.
    pub limits: Limits,
    /// How long things last.
    pub times: Times,
}

/// The account that a first start makes.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminSeed {
    /// Its mail address.
    pub email: String,
    /// Its password; `None` for a random one that is printed once.
    pub password: Option<String>,
}

impl std::fmt::Debug for AdminSeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AdminSeed({})", self.email)
    }
}

/// Bounds on what clients may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Whether requests are counted per client and minute.
    pub rate_limits: bool,
    /// Requests a minute, per client.
    pub requests_per_minute: u32,
    /// Logins, registrations and resets a minute, per mail address.
    pub logins_per_minute: u32,
    /// Orders a minute, per client.
    pub checkouts_per_minute: u32,
    /// The largest body of a request, in bytes.
    pub body_bytes_max: usize,
    /// How many passwords are hashed at once.
    pub password_hashes_max: NonZeroUsize,
    /// Whether a change of a product, a cart or stock needs `If-Match`.
    pub require_if_match: bool,
}

/// How long things last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How long goods are held for an order that is not paid.
    pub reservation_ttl: Duration,
    /// After which time without a change a cart is abandoned.
    pub cart_idle: Duration,
    /// After which time without a change a cart is forgotten.
    pub cart_ttl: Duration,
    /// How long a request waits for the decision on its command.
    pub command_wait: Duration,
    /// The longest `?wait=` that a client gets.
    pub wait_max: Duration,
    /// How long an access token is valid.
    pub access_token_ttl: Duration,
    /// How long a refresh token is valid.
    pub refresh_token_ttl: Duration,
    /// How long a token to reset a password is valid.
    pub reset_token_ttl: Duration,
    /// How long the answer to an idempotency key is remembered.
    pub idempotency_ttl: Duration,
    /// How long a request may take, waiting included.
    pub request_timeout: Duration,
}

/// What webhooks are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(pub String);

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

impl Settings {
    /// The settings that `given`, the file that it names, and the defaults make together.
    ///
    /// # Errors
    /// When the file cannot be read, or a value cannot hold.
    pub fn resolve(given: Options) -> Result<Self, ConfigError> {
        let file = match &given.config {
            Some(path) => read_file(path)?,
            None => Options::default(),
        };
        Self::from_options(given.or(file))
    }

    /// The settings of a program that is told nothing.
    ///
    /// # Errors
    /// Never, as long as the defaults are valid; a test says so.
    pub fn from_options(told: Options) -> Result<Self, ConfigError> {
        let limits = limits(&told)?;
        let times = times(&told)?;
        Ok(Self {
            data: told.data.unwrap_or_else(|| "millrace-data".into()),
            listen: told
                .listen
                .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
            kafka: told.kafka,
            standby_replicas: told.standby_replicas.unwrap_or(1),
            registry: told.registry.map(checked_registry).transpose()?,
            postgres: told.postgres.map(checked_postgres).transpose()?,
            redis: told.redis.map(checked_redis).transpose()?,
            single_instance: told.single_instance,
            webhook_secret: told
                .webhook_secret
                .as_deref()
                .map(webhook_secret)
                .transpose()?,
            only: told.only.unwrap_or_default(),
            demo: !told.no_demo,
            currency: currency(told.currency.as_deref())?,
            admin: admin(told.admin_email, told.admin_password)?,
            limits,
            times,
        })
    }
}

impl Settings {
    /// What the accounts are told.
    pub fn accounts(&self) -> AccountOptions {
        AccountOptions {
            access_token_ttl: self.times.access_token_ttl,
            refresh_token_ttl: self.times.refresh_token_ttl,
            reset_token_ttl: self.times.reset_token_ttl,
            password_hashes_max: self.limits.password_hashes_max,
        }
    }

    /// Checks what is needed to open the log: records on a cluster name their schemas by a number
    /// that every reader has to understand alike.
    ///
    /// # Errors
    /// When they would not.
    pub fn check_log(&self) -> Result<(), ConfigError> {
        match self.kafka.is_some() && self.registry.is_none() {
            true => Err(ConfigError(
                "`kafka` needs `registry`: the address of a schema registry that all instances \
                 share"
                    .into(),
            )),
            false => Ok(()),
        }
    }

    /// Checks what is needed to serve: the log, and that instances on one cluster know the same
    /// accounts, keys and charges.
    ///
    /// # Errors
    /// When they would not.
    pub fn check_serving(&self) -> Result<(), ConfigError> {
        self.check_log()?;
        let shares = self.postgres.is_some() || self.single_instance;
        match self.kafka.is_some() && !shares {
            true => Err(ConfigError(
                "`kafka` needs `postgres`, which all instances share, to serve; or say \
                 `single-instance` if this is the only one"
                    .into(),
            )),
            false => Ok(()),
        }
    }
}

fn read_file(path: &Path) -> Result<Options, ConfigError> {
    let refuse = |why: String| ConfigError(format!("file `{}`: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    toml::from_str(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text
            .get(..at)
            .map_or(1, |before| before.matches('\n').count() + 1);
        refuse(format!(
            "line {line}: {}",
            error.message().replace('\n', " ")
        ))
    })
}

fn limits(told: &Options) -> Result<Limits, ConfigError> {
    let default_hashes = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let hashes = told.password_hashes_max.unwrap_or(default_hashes.get());
    let rate = |name: &str, given: Option<u32>, default| positive(name, given.unwrap_or(default));
    Ok(Limits {
        rate_limits: told.rate_limits != Some(Switch::Off),
        requests_per_minute: rate("requests-per-minute", told.requests_per_minute, 6_000)?,
        logins_per_minute: rate("logins-per-minute", told.logins_per_minute, 20)?,
        checkouts_per_minute: rate("checkouts-per-minute", told.checkouts_per_minute, 30)?,
        body_bytes_max: positive("body-bytes-max", told.body_bytes_max.unwrap_or(256 << 10))?,
        password_hashes_max: NonZeroUsize::new(positive("password-hashes-max", hashes)?)
            .unwrap_or(default_hashes),
        require_if_match: told.require_if_match == Some(Switch::On),
    })
}

fn times(told: &Options) -> Result<Times, ConfigError> {
    const MINUTE: u64 = 60;
    const DAY: u64 = 24 * 60 * MINUTE;
    let time = |name: &str, given: Option<Span>, default_s: u64| match given {
        Some(Span(Duration::ZERO)) => Err(ConfigError(format!("`{name}` must be longer than 0"))),
        Some(Span(time)) => Ok(time),
        None => Ok(Duration::from_secs(default_s)),
    };
    Ok(Times {
        reservation_ttl: time("reservation-ttl", told.reservation_ttl, 15 * MINUTE)?,
        cart_idle: time("cart-idle", told.cart_idle, DAY)?,
        cart_ttl: time("cart-ttl", told.cart_ttl, 30 * DAY)?,
        command_wait: time("command-wait", told.command_wait, 5)?,
        wait_max: time("wait-max", told.wait_max, 30)?,
        access_token_ttl: time("access-token-ttl", told.access_token_ttl, 15 * MINUTE)?,
        refresh_token_ttl: time("refresh-token-ttl", told.refresh_token_ttl, 30 * DAY)?,
        reset_token_ttl: time("reset-token-ttl", told.reset_token_ttl, 30 * MINUTE)?,
        idempotency_ttl: time("idempotency-ttl", told.idempotency_ttl, DAY)?,
        request_timeout: time("request-timeout", told.request_timeout, MINUTE)?,
    })
}

fn positive<N: Default + PartialEq>(name: &str, n: N) -> Result<N, ConfigError> {
    match n == N::default() {
        true => Err(ConfigError(format!("`{name}` must be at least 1"))),
        false => Ok(n),
    }
}

fn currency(code: Option<&str>) -> Result<Currency, ConfigError> {
    code.map_or(Ok(Currency::EUR), Currency::new)
        .map_err(|error| ConfigError(format!("`currency`: {error}")))
}

fn webhook_secret(text: &str) -> Result<WebhookSecret, ConfigError> {
    match text.trim().len() >= SECRET_BYTES_MIN {
        true => Ok(WebhookSecret(text.trim().to_owned())),
        false => Err(ConfigError(format!(
            "`webhook-secret` must have at least {SECRET_BYTES_MIN} characters"
        ))),
    }
}

fn checked_postgres(url: String) -> Result<String, ConfigError> {
    let is_one = url.starts_with("postgres://") || url.starts_with("postgresql://");
    match is_one && sql::address_of(&url).is_some() {
        true => Ok(url),
        false => Err(no_address(
            "postgres",
            "must be a URL",
            &url,
            "postgres://user@host/db",
        )),
    }
}

/// Addresses of a registry, separated by commas.
fn checked_registry(urls: String) -> Result<String, ConfigError> {
    let is_address = |url: &str| {
        let uri = url.trim().parse::<Uri>().ok();
        let scheme = uri.as_ref().and_then(|uri| uri.scheme_str());
        matches!(scheme, Some("http" | "https"))
    };
    match urls.split(',').all(is_address) {
        true => Ok(urls),
        false => Err(no_address(
            "registry",
            "must be a URL",
            &urls,
            "http://127.0.0.1:8081",
        )),
    }
}

fn checked_redis(url: String) -> Result<String, ConfigError> {
    match RedisViews::new(&url) {
        Ok(_) => Ok(url),
        Err(error) => {
            let why = format!("must be a URL ({error})");
            Err(no_address("redis", &why, &url, "redis://127.0.0.1:6379/0"))
        }
    }
}

fn no_address(name: &str, why: &str, url: &str, such_as: &str) -> ConfigError {
    // What stands before the last `@` may be a password.
    let shown = url.rsplit('@').next().unwrap_or_default();
    ConfigError(format!("`{name}` {why}, as `{such_as}`, not `{shown}`"))
}

/// The first administrator is held to what is asked of every account.
fn admin(
    email: Option<String>,
    password: Option<String>,
) -> Result<Option<AdminSeed>, ConfigError> {
    let refuse = |why: &str| Err(ConfigError(why.to_owned()));
    if email.is_none() && password.is_some() {
        return refuse("`admin-password` is given without `admin-email`");
    }
    if !email.as_deref().is_none_or(rules::is_email) {
        return refuse("`admin-email` must be a mail address");
    }
    if !password.as_deref().is_none_or(rules::is_password) {
        let rule = rules::password_rule();
        return refuse(&format!("`admin-password` must have {rule}"));
    }
    Ok(email.map(|email| AdminSeed { email, password }))
}

#[cfg(test)]
mod tests;
