//! Real servers for tests and for a local cluster, started without containers.
//!
//! [`Kafka`], [`Registry`], [`Postgres`] and [`Redis`] each start a server on free loopback ports
//! in a temporary folder, return when it answers, and end it when they are dropped. A test process
//! that dies without dropping them leaves nothing behind either.
//!
//! [`market`] starts the market's own program in the same way, buys from it and audits it.
//!
//! A test asks for its server with [`require!`], which skips the test where the server is not
//! installed, and refuses to skip in CI:
//!
//! ```
//! use millrace_deploy::{Redis, require};
//!
//! # fn main() {
//! let redis = require!(Redis);
//! assert!(redis.url().starts_with("redis://127.0.0.1:"));
//! # }
//! ```

mod artifacts;
mod http;
mod kafka;
pub mod market;
mod port;
mod postgres;
mod process;
mod redis;
mod registry;
pub mod wait;

use std::env;
use std::fs::OpenOptions;
use std::io::{self, Write};

use anyhow::Result;

pub use artifacts::fetch;
pub use kafka::{Broker, Kafka, KafkaOptions};
pub use port::Port;
pub use postgres::{Postgres, PostgresOptions};
pub use redis::{Redis, RedisOptions};
pub use registry::Registry;

/// A kind of server that tests can start.
pub trait Server: Sized {
    /// What can be chosen at the start.
    type Options: Default;

    /// The server's name in messages.
    const NAME: &'static str;

    /// Whether this machine has what the server needs.
    fn available() -> bool;

    /// Starts a server and waits until it answers.
    fn start_with(options: Self::Options) -> Result<Self>;
}

/// Starts a server for a test, or returns from the test where the server is not installed.
///
/// For a test that returns nothing: `let kafka = require!(Kafka);`, or, with options,
/// `let kafka = require!(Kafka, KafkaOptions::default().brokers(3));`.
#[macro_export]
macro_rules! require {
    ($server:ty) => {
        $crate::require!($server, ::core::default::Default::default())
    };
    ($server:ty, $options:expr) => {
        match $crate::require_with::<$server>($options) {
            Some(server) => server,
            None => return,
        }
    };
}

/// Starts a server for a test; `None`, and a word on standard error, where it is not installed.
///
/// # Panics
///
/// When the server does not start, and in CI (`CI=true`) when it is not installed.
pub fn require<S: Server>() -> Option<S> {
    require_with(S::Options::default())
}

/// As [`require()`], with options.
///
/// # Panics
///
/// When the server does not start, and in CI (`CI=true`) when it is not installed.
pub fn require_with<S: Server>(options: S::Options) -> Option<S> {
    if !S::available() {
        skip(S::NAME);
        return None;
    }
    match S::start_with(options) {
        Ok(server) => Some(server),
        Err(error) => panic!("cannot start {}: {error:#}", S::NAME),
    }
}

/// Whether a program that a test runs is installed; where it is not, says that the test is skipped.
///
/// # Panics
///
/// In CI (`CI=true`), when it is not installed.
pub fn require_program(name: &str) -> bool {
    let found = process::find_program(name).is_some();
    if !found {
        skip(name);
    }
    found
}

/// Reports a skipped test past the test runner, which hides what passing tests print.
fn skip(server: &str) {
    let line = format!("skipped: {server} is not installed; run cargo xtask setup\n");
    assert!(
        env::var_os("CI").is_none_or(|ci| ci != "true"),
        "in CI nothing is {line}"
    );
    // a report that cannot be written must not fail a test that was not run
    drop(io::stderr().write_all(line.as_bytes()));
    if let Some(path) = env::var_os("MILLRACE_SKIPPED") {
        let file = OpenOptions::new().create(true).append(true).open(path);
        drop(file.and_then(|mut file| file.write_all(line.as_bytes())));
    }
}
