//! SIGKILL at random moments under load, and back on the same cluster.

use std::time::Duration;

use millrace_deploy::market::audit::{Claims, settles};
use millrace_deploy::market::{Dice, Load, Market};
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

use crate::drill::{drill, offer, received};
use crate::servers::{LIMIT, REST, Servers};

/// How many kills in a row, unless `MILLRACE_KILLS` says otherwise.
const KILLS: u64 = 20;
const SEED: u64 = 7;

fn number(variable: &str, otherwise: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(otherwise, |text| text.parse().unwrap())
}

/// Kills the market and starts it again: how long until it is ready, and until it commits.
async fn restart(market: &mut Market, load: &mut Load) -> (Duration, Duration) {
    market.kill();
    let began = Instant::now();
    block_in_place(|| market.restart()).unwrap();
    let ready = began.elapsed();
    let written = load.written_since(began, LIMIT).await;
    written.unwrap_or_else(|error| panic!("{error:#}\n{}", market.log()));
    (ready, began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_promised_on_a_cluster_survives_kills_at_random_moments() {
    let Some(servers) = block_in_place(|| Servers::start("kill")) else {
        return;
    };
    let (kills, seed) = (
        number("MILLRACE_KILLS", KILLS),
        number("MILLRACE_SEED", SEED),
    );
    let options = servers.options().variable("MILLRACE_RESERVATION_TTL", "5s");
    let mut market = block_in_place(|| Market::start(options)).unwrap();
    let shop = market.shop();
    let admin = shop.admin().await.unwrap();
    offer(&admin).await;
    let mut load = Load::start(std::slice::from_ref(&shop), drill(seed))
        .await
        .unwrap();
    let mut dice = Dice::new(seed);
    let mut times = Vec::new();
    for kill in 0..kills {
        // The pause is the fault: the kill comes at a moment of its own.
        sleep(Duration::from_millis(200 + dice.below(1500))).await;
        let promised = load.promises().count();
        let (ready, committed) = restart(&mut market, &mut load).await;
        println!(
            "kill {kill}: {promised} orders; ready after {ready:.2?}, committed after {committed:.2?}"
        );
        times.push(committed);
    }
    let buyers = load.buyers().to_vec();
    let promises = load.stop().await.unwrap();
    let claims = Claims {
        shop: &shop,
        buyers: &buyers,
        promises: &promises,
        admin: &admin,
        received: &received(),
    };
    let outcomes = settles(&claims, REST).await;
    let outcomes =
        outcomes.unwrap_or_else(|error| panic!("seed {seed}: {error:#}\n{}", market.log()));
    times.sort_unstable();
    println!("{} orders: {outcomes:?}", promises.count());
    println!(
        "refused {:?}, failed {:?}, unanswered {}",
        promises.refused, promises.failed, promises.unanswered
    );
    println!(
        "back to the first commit: p50 {:.2?}, worst {:.2?}",
        times[times.len() / 2],
        times[times.len() - 1]
    );
    assert!(outcomes.values().sum::<usize>() > 0, "nothing was bought");
    assert_eq!(market.gave_up_state(), None);
}
