//! What a drill offers and buys, enough of most things and of some not enough, and how it ends.

use std::time::Duration;

use anyhow::Result;

use super::audit::{Claims, Outcomes, settles};
use super::{Buyer, Load, LoadOptions, Promises, Shop};

/// How long a market may take to come to rest after its load.
const REST: Duration = Duration::from_secs(60);

/// How many of each SKU are received.
const STOCK: [i64; 8] = [100_000, 100_000, 100_000, 100_000, 100_000, 100_000, 50, 5];

/// How buyers pay: every way that the gateway simulator knows and answers at once.
const PAYS: [&str; 6] = [
    "pm_ok",
    "pm_ok",
    "pm_decline",
    "pm_requires_action",
    "pm_drop_reply",
    "pm_error_then_ok",
];

/// How many buy at the same time.
const BUYERS: usize = 8;

/// What comes into stock, and is to be accounted for.
pub fn received() -> Vec<(String, i64)> {
    let numbered = STOCK.into_iter().enumerate();
    numbered
        .map(|(number, count)| (format!("drill-{number}"), count))
        .collect()
}

/// Offers what the load buys.
///
/// # Errors
/// When the market does not take it.
pub async fn offer(admin: &Buyer) -> Result<()> {
    let received = received();
    let stock: Vec<_> = received
        .iter()
        .map(|(sku, count)| (sku.as_str(), *count))
        .collect();
    admin.offer("drill", &stock).await
}

/// Buyers of all of it; the same `seed` buys the same.
pub fn load(seed: u64) -> LoadOptions {
    LoadOptions {
        seed,
        buyers: BUYERS,
        skus: received().into_iter().map(|(sku, _)| sku).collect(),
        payment_methods: PAYS.map(str::to_owned).to_vec(),
    }
}

/// Ends `load`, and waits until every promise is kept and everything adds up: what was promised, and
/// how many orders ended where.
///
/// # Errors
/// What does not add up, when it does not within a minute.
pub async fn settle(shop: &Shop, admin: &Buyer, load: Load) -> Result<(Promises, Outcomes)> {
    let buyers = load.buyers().to_vec();
    let promises = load.stop().await?;
    let claims = Claims {
        shop,
        buyers: &buyers,
        promises: &promises,
        admin,
        received: &received(),
    };
    let outcomes = settles(&claims, REST).await?;
    println!("{} orders: {outcomes:?}", promises.count());
    Ok((promises, outcomes))
}
