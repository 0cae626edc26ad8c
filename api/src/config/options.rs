//! What one source says: flags, environment and file speak of the same options.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::Span;

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// It holds.
    On,
    /// It does not hold.
    Off,
}

/// Declares the options once: as flags with their environment variables, as keys of the file, and
/// how two sources are laid over each other.
macro_rules! options {
    ($( $(#[doc = $doc:literal])+ $name:ident: $type:ty = $env:literal ($($extra:tt)+) ;)+) => {
        /// What one source says; `None` where it says nothing.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Args, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Options {
            /// A TOML file with the same keys, with `_` for `-`.
            #[arg(long, env = "MILLRACE_CONFIG", global = true, value_name = "FILE")]
            #[serde(skip)]
            pub config: Option<PathBuf>,
            /// Seed no demonstration catalogue.
            #[arg(long, env = "MILLRACE_NO_DEMO", global = true, value_parser = FalseyValueParser::new())]
            pub no_demo: bool,
            /// Serve on Kafka without PostgreSQL: this is the only instance, with its accounts in
            /// files.
            #[arg(long, env = "MILLRACE_SINGLE_INSTANCE", global = true, value_parser = FalseyValueParser::new())]
            pub single_instance: bool,
            $(
                $(#[doc = $doc])+
                #[arg(long, env = $env, global = true, $($extra)+)]
                pub $name: Option<$type>,
            )+
        }

        impl Options {
            /// These options, and those of `below` where these say nothing.
            #[must_use]
            pub fn or(self, below: Self) -> Self {
                Self {
                    config: self.config.or(below.config),
                    no_demo: self.no_demo || below.no_demo,
                    single_instance: self.single_instance || below.single_instance,
                    $( $name: self.$name.or(below.$name), )+
                }
            }
        }
    };
}

options! {
    /// The folder for everything durable of the embedded mode.
    data: PathBuf = "MILLRACE_DATA" (value_name = "DIR");
    /// Where to serve HTTP: address and port.
    listen: SocketAddr = "MILLRACE_LISTEN" (value_name = "ADDR");
    /// Brokers of a Kafka cluster; without it the log is in the process.
    kafka: String = "MILLRACE_KAFKA" (value_name = "BROKERS");
    /// How many other instances keep a warm copy of each task's state, on Kafka.
    standby_replicas: u32 = "MILLRACE_STANDBY_REPLICAS" (value_name = "N");
    /// A schema registry; without it the process serves one.
    registry: String = "MILLRACE_REGISTRY" (value_name = "URL");
    /// A PostgreSQL database; without it accounts are in an SQLite file.
    postgres: String = "MILLRACE_POSTGRES" (value_name = "URL", hide_env_values = true);
    /// A Redis server; without it caches are in memory.
    redis: String = "MILLRACE_REDIS" (value_name = "URL", hide_env_values = true);
    /// Run these topologies only.
    only: Vec<String> = "MILLRACE_ONLY" (value_name = "NAMES", value_delimiter = ',', num_args = 1);
    /// The currency of carts and orders that name none.
    currency: String = "MILLRACE_CURRENCY" (value_name = "CODE");
    /// The mail address of the first administrator.
    admin_email: String = "MILLRACE_ADMIN_EMAIL" (value_name = "MAIL");
    /// The password of the first administrator; without it a random one is printed once.
    admin_password: String = "MILLRACE_ADMIN_PASSWORD" (value_name = "TEXT", hide_env_values = true);
    /// What payment gateways sign their webhooks with; without it a random one is kept under `data`.
    webhook_secret: String = "MILLRACE_WEBHOOK_SECRET" (value_name = "TEXT", hide_env_values = true);
    /// Whether requests are counted per client.
    rate_limits: Switch = "MILLRACE_RATE_LIMITS" (value_name = "on|off");
    /// Requests a minute, per client: an account, or the address of guests.
    requests_per_minute: u32 = "MILLRACE_REQUESTS_PER_MINUTE" (value_name = "N");
    /// Logins, registrations and resets a minute, per client.
    logins_per_minute: u32 = "MILLRACE_LOGINS_PER_MINUTE" (value_name = "N");
    /// Orders a minute, per client.
    checkouts_per_minute: u32 = "MILLRACE_CHECKOUTS_PER_MINUTE" (value_name = "N");
    /// The largest body of a request.
    body_bytes_max: usize = "MILLRACE_BODY_BYTES_MAX" (value_name = "BYTES");
    /// How many passwords are hashed at once.
    password_hashes_max: usize = "MILLRACE_PASSWORD_HASHES_MAX" (value_name = "N");
    /// Whether changes of products, carts and stock need `If-Match`.
    require_if_match: Switch = "MILLRACE_REQUIRE_IF_MATCH" (value_name = "on|off");
    /// How long goods are held for an order that is not paid.
    reservation_ttl: Span = "MILLRACE_RESERVATION_TTL" (value_name = "TIME");
    /// After which time without a change a cart is abandoned.
    cart_idle: Span = "MILLRACE_CART_IDLE" (value_name = "TIME");
    /// After which time without a change a cart is forgotten.
    cart_ttl: Span = "MILLRACE_CART_TTL" (value_name = "TIME");
    /// How long a request waits for the decision on its command.
    command_wait: Span = "MILLRACE_COMMAND_WAIT" (value_name = "TIME");
    /// The longest `?wait=` that a client gets.
    wait_max: Span = "MILLRACE_WAIT_MAX" (value_name = "TIME");
    /// How long an access token is valid.
    access_token_ttl: Span = "MILLRACE_ACCESS_TOKEN_TTL" (value_name = "TIME");
    /// How long a refresh token is valid.
    refresh_token_ttl: Span = "MILLRACE_REFRESH_TOKEN_TTL" (value_name = "TIME");
    /// How long a token to reset a password is valid.
    reset_token_ttl: Span = "MILLRACE_RESET_TOKEN_TTL" (value_name = "TIME");
    /// How long the answer to an idempotency key is remembered.
    idempotency_ttl: Span = "MILLRACE_IDEMPOTENCY_TTL" (value_name = "TIME");
    /// How long a request may take, waiting included.
    request_timeout: Span = "MILLRACE_REQUEST_TIMEOUT" (value_name = "TIME");
}
