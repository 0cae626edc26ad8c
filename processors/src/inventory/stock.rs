//! Arithmetic over the locations of a SKU.

use millrace_avro::events::inventory::{StockAt, StockLevel, StockPolicy, StockState};
use millrace_avro::events::orders::ReservationPart;
use millrace_avro::keys::LocationId;

/// What is available at a location.
pub(super) fn available_at(at: &StockAt) -> i64 {
    at.on_hand - at.held - at.committed
}

/// What is available in all locations.
pub(super) fn available(stock: &StockState) -> i64 {
    stock.locations.iter().map(available_at).sum()
}

/// The stock at a location, as facts and clients see it.
pub(super) fn level(at: &StockAt) -> StockLevel {
    StockLevel {
        location: at.location.clone(),
        on_hand: at.on_hand,
        reserved: at.held + at.committed,
        available: available_at(at),
    }
}

/// The levels of the locations of `parts`.
pub(super) fn levels(stock: &StockState, parts: &[ReservationPart]) -> Vec<StockLevel> {
    let touched = |at: &&StockAt| parts.iter().any(|part| part.location == at.location);
    stock.locations.iter().filter(touched).map(level).collect()
}

/// The stock at `location`.
pub(super) fn at_mut<'a>(
    stock: &'a mut StockState,
    location: &LocationId,
) -> Option<&'a mut StockAt> {
    let mut all = stock.locations.iter_mut();
    all.find(|at| at.location == *location)
}

/// Applies `change` to each location of `parts` with its quantity.
pub(super) fn at_each(
    stock: &mut StockState,
    parts: &[ReservationPart],
    change: impl Fn(&mut StockAt, i64),
) {
    for part in parts {
        if let Some(at) = at_mut(stock, &part.location) {
            change(at, part.quantity);
        }
    }
}

/// True if what is committed covers `parts`.
pub(super) fn covers(stock: &StockState, parts: &[ReservationPart]) -> bool {
    parts.iter().all(|part| {
        let same = |other: &&ReservationPart| other.location == part.location;
        let sum: i64 = parts.iter().filter(same).map(|p| p.quantity).sum();
        let mut at = stock.locations.iter();
        part.quantity > 0 && at.any(|at| at.location == part.location && at.committed >= sum)
    })
}

/// True if demand beyond the stock is promised.
pub(crate) fn is_on_demand(policy: StockPolicy) -> bool {
    matches!(policy, StockPolicy::Backorder | StockPolicy::Preorder)
}
