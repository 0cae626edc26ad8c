//! The stock of a SKU as clients see it.

use millrace_avro::events::common::rfc3339;
use millrace_avro::events::inventory::{StockState, StockView};
use millrace_streams::Timestamp;

use super::stock::level;

/// The stock as clients see it; `at` is when it last changed.
pub fn view(stock: &StockState, at: Timestamp) -> StockView {
    let locations: Vec<_> = stock.locations.iter().map(level).collect();
    StockView {
        sku: stock.sku.clone(),
        policy: stock.policy,
        low_stock_threshold: stock.low_stock_threshold,
        on_hand: locations.iter().map(|level| level.on_hand).sum(),
        reserved: locations.iter().map(|level| level.reserved).sum(),
        available: locations.iter().map(|level| level.available).sum(),
        locations,
        movements: stock.movements.clone(),
        version: stock.seq,
        updated_at: rfc3339(at),
    }
}
