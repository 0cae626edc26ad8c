//! Goods that leave: which lines a shipment serves, and from where its pieces come.

use std::collections::BTreeSet;

use millrace_avro::events::common::rfc3339;
use millrace_avro::events::orders::{
    LineReservation, OrderLine, OrderShipmentRequested, OrderState, ReservationPart,
    ReservationStatus, Shipment, ShippedItem,
};
use millrace_avro::keys::Sku;
use millrace_streams::Timestamp;

use crate::emit::Refusal;

/// A shipment that fits its order.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// What leaves.
    pub(super) shipment: Shipment,
    /// True when nothing is left afterwards.
    pub(super) ships_all: bool,
}

impl Plan {
    /// Checks what is asked against what is left.
    pub(super) fn of(
        order: &OrderState,
        asked: &OrderShipmentRequested,
        at: Timestamp,
    ) -> Result<Self, Refusal> {
        let items = match asked.items.as_slice() {
            [] => all_that_is_left(&order.lines),
            items => sum_by_sku(items),
        };
        for item in &items {
            check(order, item)?;
        }
        let left: i64 = order.lines.iter().map(left).sum();
        let leaves: i64 = items.iter().map(|item| item.quantity).sum();
        Ok(Self {
            ships_all: leaves == left,
            shipment: Shipment {
                shipment_id: asked.shipment_id.clone(),
                items,
                tracking: asked.tracking.clone(),
                at: rfc3339(at),
            },
        })
    }
}

/// How many pieces of a line have neither left nor been cancelled.
pub(super) fn left(line: &OrderLine) -> i64 {
    line.quantity - line.shipped - line.cancelled
}

/// Everything that is left of some lines, one item per SKU.
pub(super) fn all_that_is_left<'a>(
    lines: impl IntoIterator<Item = &'a OrderLine>,
) -> Vec<ShippedItem> {
    let items = lines.into_iter().map(|line| ShippedItem {
        sku: line.sku.clone(),
        quantity: left(line),
    });
    let items: Vec<_> = items.collect();
    let mut items = sum_by_sku(&items);
    items.retain(|item| item.quantity > 0);
    items
}

/// The SKUs whose goods had expired and could not be had again.
pub(super) fn lost(order: &OrderState) -> BTreeSet<Sku> {
    let failed = |r: &&LineReservation| r.status == ReservationStatus::CommitFailed;
    let lost = order.reservations.iter().filter(failed);
    lost.map(|reservation| reservation.sku.clone()).collect()
}

fn sum_by_sku(items: &[ShippedItem]) -> Vec<ShippedItem> {
    let mut sums: Vec<ShippedItem> = Vec::new();
    for item in items {
        match sums.iter_mut().find(|sum| sum.sku == item.sku) {
            Some(sum) => sum.quantity = sum.quantity.saturating_add(item.quantity),
            None => sums.push(item.clone()),
        }
    }
    sums
}

fn check(order: &OrderState, item: &ShippedItem) -> Result<(), Refusal> {
    let ordered = order.lines.iter().filter(|line| line.sku == item.sku);
    let left: i64 = ordered.map(left).sum();
    if item.quantity < 1 || item.quantity > left {
        let detail = format!("{left} of `{}` are left to ship", item.sku);
        return Err(Refusal::new("invalid-shipment", detail));
    }
    let mut mine = order.reservations.iter().filter(|r| r.sku == item.sku);
    if !mine.all(|r| r.status == ReservationStatus::Committed) {
        let detail = format!("`{}` is not committed yet; try again", item.sku);
        return Err(Refusal::new("not-ready", detail));
    }
    Ok(())
}

/// Takes `quantity` pieces out of `parts`, in their order; fewer when there are fewer.
pub(super) fn take(parts: &mut Vec<ReservationPart>, quantity: i64) -> Vec<ReservationPart> {
    let mut missing = quantity;
    let mut taken = Vec::new();
    for part in parts.iter_mut() {
        let pieces = part.quantity.min(missing).max(0);
        missing -= pieces;
        part.quantity -= pieces;
        if pieces > 0 {
            taken.push(ReservationPart {
                location: part.location.clone(),
                quantity: pieces,
            });
        }
    }
    parts.retain(|part| part.quantity > 0);
    taken
}

/// Counts `quantity` pieces of a SKU as shipped, on its lines in their order.
pub(super) fn count_shipped(lines: &mut [OrderLine], item: &ShippedItem) {
    let mut missing = item.quantity;
    for line in lines.iter_mut().filter(|line| line.sku == item.sku) {
        let pieces = left(line).min(missing);
        line.shipped += pieces;
        missing -= pieces;
    }
}
