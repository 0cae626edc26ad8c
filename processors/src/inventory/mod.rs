//! The stock of a SKU: what lies where, what is promised, and to whom.
//!
//! One task owns a SKU in all its locations, so nothing is ever promised twice. A reservation is
//! all or nothing: it is *held* until a point in time, and *committed* when the order is paid.
//! What is held is remembered one by one, because it may expire; what is committed is a number per
//! location, because its order remembers the rest and brings it along. So the state of a SKU grows
//! with the orders that are being paid, not with those that wait to be shipped.
//!
//! - `reserved` = held + committed, `available` = on hand - reserved.
//! - A location is chosen that can serve all: the first of the order's preference, else in the
//!   order in which locations first had stock. If none can, the demand is split in that order.
//! - With policy *deny* nothing beyond the stock is promised; with *backorder* and *preorder* the
//!   rest is promised at the first location, and its available stock is negative until more comes.
//! - A release before its reservation leaves a tombstone, so the late reservation is refused.
//! - A commit after the hold has expired has the stock again, or tells that it failed.
//! - Duplicates do nothing: a bounded memory knows the reservations that ended and the commands
//!   that were answered lately.

mod allocate;
mod limits;
mod reserve;
mod run;
mod stock;
mod view;

use millrace_avro::event::{Event, EventSet};
use millrace_avro::events::common::{AuditEvent, Recent, ReplyEvent};
use millrace_avro::events::inventory::{
    InventoryCommand, InventoryEvent, StockPolicy, StockState, StockView,
};
use millrace_avro::events::orders::Origin;
use millrace_avro::keys::{OrderId, Sku};
use millrace_streams::Timestamp;

pub use limits::InventoryLimits;
pub(crate) use stock::is_on_demand;
pub use view::view;

use crate::emit::Emitter;
use crate::transition::{Step, Transition};
use run::{Run, next_due};

/// Where the rule's events come from.
const SOURCE: &str = "/inventory";

/// The rule of a SKU's stock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inventory {
    /// Its times and counts.
    pub limits: InventoryLimits,
}

/// What the stock of a SKU wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum InventoryEffect {
    /// Tell a fact.
    Fact(Event<InventoryEvent>),
    /// Tell the same fact to the order that waits for it.
    Answer(OrderId, Event<InventoryEvent>),
    /// Answer a client.
    Reply(Event<ReplyEvent>),
    /// Tell the audit log.
    Audit(Event<AuditEvent>),
    /// Show the stock as it is now.
    View(Box<StockView>),
}

impl Transition for Inventory {
    type Key = Sku;
    type State = StockState;
    type Event = Event<InventoryCommand>;
    type Effect = InventoryEffect;

    fn on_event(
        &self,
        key: &Sku,
        state: Option<StockState>,
        event: &Event<InventoryCommand>,
        at: Timestamp,
    ) -> Step<StockState, InventoryEffect> {
        let emit = Emitter::of(&event.meta, event.body.type_name(), SOURCE, at);
        let stock = state.unwrap_or_else(|| new_stock(key, &self.limits));
        let mut run = Run::new(stock, &self.limits, emit);
        run.obey(&event.body);
        run.finish()
    }

    fn on_deadline(
        &self,
        key: &Sku,
        state: StockState,
        at: Timestamp,
    ) -> Step<StockState, InventoryEffect> {
        let origin = state.holds.first().map(|hold| hold.origin.clone());
        let origin = origin.unwrap_or_else(|| nobody(key));
        let (seq, due) = (state.seq, next_due(&state));
        let emit = Emitter::of_deadline(key.as_str(), seq, &origin, SOURCE, due, at);
        let mut run = Run::new(state, &self.limits, emit);
        run.expire();
        run.finish()
    }
}

fn new_stock(key: &Sku, limits: &InventoryLimits) -> StockState {
    StockState {
        sku: key.clone(),
        policy: StockPolicy::Deny,
        low_stock_threshold: limits.low_stock_threshold,
        configured: false,
        low_armed: false,
        locations: Vec::new(),
        holds: Vec::new(),
        closed: Recent::new(),
        recent: Recent::new(),
        movements: Vec::new(),
        seq: 0,
    }
}

fn nobody(key: &Sku) -> Origin {
    Origin {
        correlation_id: key.as_str().to_owned(),
        traceparent: None,
        actor: None,
    }
}

#[cfg(test)]
mod tests;
