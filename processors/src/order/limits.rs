//! The times and counts that bound an order.

use std::time::Duration;

/// The times and counts that bound an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderLimits {
    /// How long goods are held for an order that is not paid.
    pub reservation_ttl: Duration,
    /// How long an order waits for its reservations to answer.
    pub pending_for: Duration,
    /// How long an order waits, after the hold has ended, to hear of it from the stock.
    pub expiry_grace: Duration,
    /// After which time an order that waits to be shipped is overdue, and again.
    pub ship_within: Duration,
    /// After which time goods are taken to have arrived.
    pub deliver_within: Duration,
    /// After which time a cancelled order asks for its money again.
    pub undo_again_after: Duration,
    /// How many payment attempts an order may make.
    pub payment_attempts_max: i64,
    /// How often the refund of what will not leave is asked for before somebody has to look.
    pub refunds_of_rest_max: usize,
    /// How many lines an order may have.
    pub lines_max: usize,
    /// How many pieces a line may have.
    pub quantity_max: i64,
    /// How many steps of its life an order keeps.
    pub timeline_max: usize,
    /// How many commands an order remembers, to know a duplicate.
    pub recent_max: usize,
}

impl Default for OrderLimits {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            reservation_ttl: 15 * MINUTE,
            pending_for: MINUTE,
            expiry_grace: Duration::from_secs(5),
            ship_within: 14 * DAY,
            deliver_within: 30 * DAY,
            undo_again_after: MINUTE,
            payment_attempts_max: 3,
            refunds_of_rest_max: 16,
            lines_max: 100,
            quantity_max: 9_999,
            timeline_max: 64,
            recent_max: 32,
        }
    }
}
