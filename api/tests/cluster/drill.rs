//! What the load of these tests buys.

use millrace_deploy::market::{Buyer, LoadOptions};

const SKUS: usize = 8;
/// More than any drill buys, but for the first SKU: that one runs out.
const STOCK: i64 = 10_000;
const SCARCE: i64 = 60;

/// What comes into stock, and is to be accounted for.
pub(crate) fn received() -> Vec<(String, i64)> {
    let stock = |n| if n == 0 { SCARCE } else { STOCK };
    (0..SKUS)
        .map(|n| (format!("drill-{n}"), stock(n)))
        .collect()
}

/// Offers what the load buys.
pub(crate) async fn offer(admin: &Buyer) {
    let received = received();
    let stock: Vec<_> = received
        .iter()
        .map(|(sku, count)| (sku.as_str(), *count))
        .collect();
    admin.offer("drill", &stock).await.unwrap();
}

/// Eight buyers who pay in every way that the gateway simulator knows and answers at once.
pub(crate) fn drill(seed: u64) -> LoadOptions {
    let pays = [
        "pm_ok",
        "pm_ok",
        "pm_decline",
        "pm_requires_action",
        "pm_drop_reply",
        "pm_error_then_ok",
    ];
    LoadOptions {
        seed,
        buyers: 8,
        skus: received().into_iter().map(|(sku, _)| sku).collect(),
        payment_methods: pays.map(str::to_owned).to_vec(),
    }
}
