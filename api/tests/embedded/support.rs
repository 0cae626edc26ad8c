//! The program as these tests start it.

use std::time::Duration;

use millrace_deploy::market::{Market, MarketOptions};

/// How long a market may take to come to rest after its load.
pub(crate) const REST: Duration = Duration::from_secs(60);

pub(crate) fn options() -> MarketOptions {
    MarketOptions::new(env!("CARGO_BIN_EXE_millrace"))
}

/// A market without a demonstration catalogue.
pub(crate) fn market() -> Market {
    Market::start(options().switch("--no-demo")).unwrap()
}
