//! SIGKILL at random moments under load, and back on the same data.

use std::time::Duration;

use millrace_deploy::market::audit::{Claims, settles};
use millrace_deploy::market::{Dice, Load, LoadOptions, Market};
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

use crate::support::{REST, options};

/// How many kills in a row, unless `MILLRACE_KILLS` says otherwise.
const KILLS: u64 = 20;
const SEED: u64 = 11;
/// Of most things there is enough for all that is bought, of some there is not.
const STOCK: [i64; 8] = [100_000, 100_000, 100_000, 100_000, 100_000, 100_000, 50, 5];
/// How soon a market must commit again, on a machine that does much else.
const LIMIT: Duration = Duration::from_secs(60);

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
    load.written_since(began, LIMIT).await.unwrap();
    (ready, began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_promised_survives_kills_at_random_moments() {
    let (kills, seed) = (
        number("MILLRACE_KILLS", KILLS),
        number("MILLRACE_SEED", SEED),
    );
    let options = options()
        .switch("--no-demo")
        .variable("MILLRACE_RESERVATION_TTL", "5s");
    let mut market = Market::start(options).unwrap();
    let shop = market.shop();
    let admin = shop.admin().await.unwrap();
    let numbered = STOCK.iter().enumerate();
    let received: Vec<_> = numbered
        .map(|(n, count)| (format!("drill-{n}"), *count))
        .collect();
    let stock: Vec<_> = received
        .iter()
        .map(|(sku, count)| (sku.as_str(), *count))
        .collect();
    admin.offer("drill", &stock).await.unwrap();
    let pays = [
        "pm_ok",
        "pm_ok",
        "pm_decline",
        "pm_requires_action",
        "pm_drop_reply",
        "pm_error_then_ok",
    ];
    let load = LoadOptions {
        seed,
        buyers: 8,
        skus: received.iter().map(|(sku, _)| sku.clone()).collect(),
        payment_methods: pays.map(str::to_owned).to_vec(),
    };
    let mut load = Load::start(std::slice::from_ref(&shop), load)
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
        received: &received,
    };
    let outcomes = settles(&claims, REST).await;
    let outcomes =
        outcomes.unwrap_or_else(|error| panic!("seed {seed}: {error:#}\n{}", market.log()));
    times.sort_unstable();
    println!("{} orders: {outcomes:?}", promises.count());
    println!(
        "refused {:?}, failed {:?}, undecided {}, unanswered {}",
        promises.refused, promises.failed, promises.undecided, promises.unanswered
    );
    println!(
        "back to the first commit: p50 {:.2?}, worst {:.2?}",
        times[times.len() / 2],
        times[times.len() - 1]
    );
    assert!(outcomes.values().sum::<usize>() > 0, "nothing was bought");
    assert_eq!(market.gave_up_state(), None);
}
