//! What a drill offers and buys: enough of most things, and of some not enough.

use anyhow::Result;

use super::{Buyer, LoadOptions};

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
