//! SIGKILL at random moments under load, and back on the same data.

use millrace_deploy::market::Market;
use millrace_deploy::market::kills::{KillOptions, survives};

use crate::support::options;

const SEED: u64 = 11;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_promised_survives_kills_at_random_moments() {
    let options = options()
        .switch("--no-demo")
        .variable("MILLRACE_RESERVATION_TTL", "5s");
    let mut market = Market::start(options).unwrap();
    let kills = KillOptions::from_environment(SEED).unwrap();
    survives(&mut market, kills).await.unwrap();
}
