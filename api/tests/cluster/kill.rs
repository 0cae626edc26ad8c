//! SIGKILL at random moments under load, and back on the same cluster.

use millrace_deploy::market::Market;
use millrace_deploy::market::kills::{KillOptions, survives};
use tokio::task::block_in_place;

use crate::servers::Servers;

const SEED: u64 = 7;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_promised_on_a_cluster_survives_kills_at_random_moments() {
    let Some(servers) = block_in_place(|| Servers::start("kill")) else {
        return;
    };
    let options = servers.options().variable("MILLRACE_RESERVATION_TTL", "5s");
    let mut market = block_in_place(|| Market::start(options)).unwrap();
    let kills = KillOptions::from_environment(SEED).unwrap();
    survives(&mut market, kills).await.unwrap();
}
