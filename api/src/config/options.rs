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

/// Declares the options once, under headings: as flags with their environment variables, as keys of
/// the file, and how two sources are laid over each other.
macro_rules! options {
    ($( $heading:literal {
        $( $(#[doc = $doc:literal])+ $name:ident: $type:ty = $env:literal ($($extra:tt)+) ;)+
    } )+) => {
        /// What one source says; `None` where it says nothing.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Args, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Options {
            /// A TOML file with the same keys, with `_` for `-`.
            #[arg(long, env = "MILLRACE_CONFIG", global = true, value_name = "FILE")]
            #[serde(skip)]
            pub config: Option<PathBuf>,
            $( $(
                $(#[doc = $doc])+
                #[arg(long, env = $env, global = true, help_heading = $heading, $($extra)+)]
                pub $name: Option<$type>,
            )+ )+
            /// Seed no demonstration catalogue.
            #[arg(long, env = "MILLRACE_NO_DEMO", global = true, value_parser = FalseyValueParser::new(),
                  help_heading = SERVING)]
            pub no_demo: bool,
            /// Serve on Kafka without PostgreSQL: this is the only instance, with its accounts in
            /// files.
            #[arg(long, env = "MILLRACE_SINGLE_INSTANCE", global = true, value_parser = FalseyValueParser::new(),
                  help_heading = SERVING)]
            pub single_instance: bool,
        }

        impl Options {
            /// These options, and those of `below` where these say nothing.
            #[must_use]
            pub fn or(self, below: Self) -> Self {
                Self {
                    config: self.config.or(below.config),
                    no_demo: self.no_demo || below.no_demo,
                    single_instance: self.single_instance || below.single_instance,
                    $( $( $name: self.$name.or(below.$name), )+ )+
                }
            }
        }
    };
}

/// Over what is of use to `serve` only.
const SERVING: &str = "Serving";

options! {
    "Data, log and topologies" {
    /// The folder of this machine: state, and what no server keeps of log, accounts, schemas, mails
    /// [default: millrace-data].
    data: PathBuf = "MILLRACE_DATA" (value_name = "DIR");
    /// Brokers of a Kafka cluster, of version 4.2 or newer, with Streams groups and without TLS;
    /// unless given, the log is in the process.
    kafka: String = "MILLRACE_KAFKA" (value_name = "BROKERS");
    /// A schema registry; unless given, the process has its own.
    registry: String = "MILLRACE_REGISTRY" (value_name = "URL");
    /// These topologies only, separated by commas; all of them unless given.
    only: Vec<String> = "MILLRACE_ONLY" (value_name = "NAMES", value_delimiter = ',', num_args = 1);
    }
    "Serving" {
    /// Where to serve HTTP: address and port [default: 127.0.0.1:8080].
    listen: SocketAddr = "MILLRACE_LISTEN" (value_name = "ADDR");
    /// How many other instances keep a warm copy of each task's state, on Kafka [default: 1].
    standby_replicas: u32 = "MILLRACE_STANDBY_REPLICAS" (value_name = "N");
    /// A PostgreSQL database; unless given, accounts are in an SQLite file.
    postgres: String = "MILLRACE_POSTGRES" (value_name = "URL", hide_env_values = true);
    /// A Redis server; unless given, caches are in memory.
    redis: String = "MILLRACE_REDIS" (value_name = "URL", hide_env_values = true);
    /// The currency of carts and orders that name none [default: EUR].
    currency: String = "MILLRACE_CURRENCY" (value_name = "CODE");
    /// The mail address of the first administrator; unless given, `admin@localhost`.
    admin_email: String = "MILLRACE_ADMIN_EMAIL" (value_name = "MAIL");
    /// The password of the first administrator; unless given, a random one is printed once.
    admin_password: String = "MILLRACE_ADMIN_PASSWORD" (value_name = "TEXT", hide_env_values = true);
    /// What payment gateways sign their webhooks with; unless given, a random one is kept under
    /// `data`.
    webhook_secret: String = "MILLRACE_WEBHOOK_SECRET" (value_name = "TEXT", hide_env_values = true);
    }
    "Limits of serving" {
    /// Whether requests are counted per client [default: on].
    rate_limits: Switch = "MILLRACE_RATE_LIMITS" (value_name = "on|off", hide_possible_values = true);
    /// Requests a minute, per client: an account, or the address of guests [default: 6000].
    requests_per_minute: u32 = "MILLRACE_REQUESTS_PER_MINUTE" (value_name = "N");
    /// Logins, registrations and resets a minute, per mail address [default: 20].
    logins_per_minute: u32 = "MILLRACE_LOGINS_PER_MINUTE" (value_name = "N");
    /// Orders a minute, per client [default: 30].
    checkouts_per_minute: u32 = "MILLRACE_CHECKOUTS_PER_MINUTE" (value_name = "N");
    /// The largest body of a request [default: 262144].
    body_bytes_max: usize = "MILLRACE_BODY_BYTES_MAX" (value_name = "BYTES");
    /// How many passwords are hashed at once; unless given, as many as there are processors.
    password_hashes_max: usize = "MILLRACE_PASSWORD_HASHES_MAX" (value_name = "N");
    /// Whether changes of products, carts and stock need `If-Match` [default: off].
    require_if_match: Switch = "MILLRACE_REQUIRE_IF_MATCH" (value_name = "on|off", hide_possible_values = true);
    }
    "Times of serving" {
    /// How long goods are held for an order that is not paid [default: 15m].
    reservation_ttl: Span = "MILLRACE_RESERVATION_TTL" (value_name = "TIME");
    /// After which time without a change a cart is abandoned [default: 1d].
    cart_idle: Span = "MILLRACE_CART_IDLE" (value_name = "TIME");
    /// After which time without a change a cart is forgotten [default: 30d].
    cart_ttl: Span = "MILLRACE_CART_TTL" (value_name = "TIME");
    /// How long a request waits for the decision on its command [default: 5s].
    command_wait: Span = "MILLRACE_COMMAND_WAIT" (value_name = "TIME");
    /// The longest `?wait=` that a client gets [default: 30s].
    wait_max: Span = "MILLRACE_WAIT_MAX" (value_name = "TIME");
    /// How long an access token is valid [default: 15m].
    access_token_ttl: Span = "MILLRACE_ACCESS_TOKEN_TTL" (value_name = "TIME");
    /// How long a refresh token is valid [default: 30d].
    refresh_token_ttl: Span = "MILLRACE_REFRESH_TOKEN_TTL" (value_name = "TIME");
    /// How long a token to reset a password is valid [default: 30m].
    reset_token_ttl: Span = "MILLRACE_RESET_TOKEN_TTL" (value_name = "TIME");
    /// How long the answer to an idempotency key is remembered [default: 1d].
    idempotency_ttl: Span = "MILLRACE_IDEMPOTENCY_TTL" (value_name = "TIME");
    /// How long a request may take, waiting included [default: 1m].
    request_timeout: Span = "MILLRACE_REQUEST_TIMEOUT" (value_name = "TIME");
    }
}
