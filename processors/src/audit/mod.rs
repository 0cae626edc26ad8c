//! The auditor: watches the facts of all domains for contradictions.
//!
//! It hears what everybody hears, and trusts nothing but the facts: it adds movements up itself,
//! counts reservations itself, and compares. What must hold at every instant is checked with every
//! fact. What must hold in the end, because goods and money take a while to go back, is checked
//! when an order has been terminal for some time; and an order that should have moved by then and
//! has not is reported as well. A violation is reported once until it has healed.
//!
//! | invariant | watched by |
//! | --- | --- |
//! | 1 stock is never negative, reserved = live reservations | [`StockAuditor`] |
//! | 2 on hand = sum of movements, no fact is missing | [`StockAuditor`] |
//! | 3 terminal: what is captured and not refunded was kept or shipped | [`OrderAuditor`] |
//! | 4 refunds <= captured <= authorised | [`OrderAuditor`] |
//! | 5 terminal: no reservation, no open authorisation | [`OrderAuditor`] |
//! | 6 every order is terminal or moves in time | [`OrderAuditor`] |
//! | 7 one order per idempotency key, one charge per attempt | [`OrderAuditor`] |
//! | 8 lines sum to the order, to the minor unit | [`OrderAuditor`] |

mod order;
mod stock;

pub use order::{AuditLimits, OrderAuditor, OrderFact};
pub use stock::StockAuditor;

/// Where the auditor's events come from.
const SOURCE: &str = "/audit";

/// A contradiction between facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The number of the invariant, from 1.
    pub invariant: i32,
    /// The facts that contradict each other.
    pub detail: String,
}

impl Violation {
    fn new(invariant: i32, detail: impl Into<String>) -> Self {
        Self {
            invariant,
            detail: detail.into(),
        }
    }
}

#[cfg(test)]
mod tests;
