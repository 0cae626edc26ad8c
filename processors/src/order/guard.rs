//! The questions that cells of the saga's table ask about an order.

use millrace_avro::events::orders::{CaptureMode, OrderState};
use millrace_avro::events::payments::{AttemptStatus, PaymentStanding, PaymentSummary};

use super::OrderLimits;
use super::ship::{left, lost};

/// A question about an order, as it is after what was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Does the payment cover the total?
    Paid,
    /// May another payment attempt begin?
    AttemptsLeft,
    /// Is every payment decided, and nothing kept?
    Settled,
    /// Is nothing left to ship, once this shipment has left?
    NothingLeft,
    /// Is nothing left to ship but goods that could not be had again?
    OnlyLostLeft,
}

impl Guard {
    /// The answer.
    pub(super) fn holds(self, order: &OrderState, limits: &OrderLimits, ships_all: bool) -> bool {
        match self {
            Self::Paid => is_paid(order),
            Self::AttemptsLeft => order.payment_attempts < limits.payment_attempts_max,
            Self::Settled => is_settled(order),
            Self::NothingLeft => ships_all,
            Self::OnlyLostLeft => only_lost_left(order),
        }
    }
}

/// True if the payment covers the total: captured and not on its way back, or authorised where
/// capture is manual.
pub(super) fn is_paid(order: &OrderState) -> bool {
    let total = order.totals.total.minor;
    let covered = order.payments.as_ref().map_or(0, |standing| {
        let captured = kept(standing);
        match order.capture {
            CaptureMode::Automatic => captured,
            CaptureMode::Manual => captured.max(authorized(standing)),
        }
    });
    covered >= total
}

/// True if no payment is under way and no money is kept.
pub(super) fn is_settled(order: &OrderState) -> bool {
    let Some(standing) = &order.payments else {
        return order.payment_attempts == 0;
    };
    let all_heard_of = has_heard_of_all(order, standing);
    all_heard_of && standing.attempts.iter().all(is_over)
}

/// True if nothing is under way at an attempt, and nothing of it is kept. What a dispute has lost is
/// gone.
fn is_over(attempt: &PaymentSummary) -> bool {
    let nothing_kept = attempt.captured.minor == attempt.refunded.minor;
    !is_live(attempt.status) && (nothing_kept || attempt.status == AttemptStatus::Lost)
}

fn only_lost_left(order: &OrderState) -> bool {
    let lost = lost(order);
    let mut open = order.lines.iter().filter(|line| left(line) > 0);
    open.all(|line| lost.contains(&line.sku))
}

/// True if the payments know of every attempt that was begun.
pub(super) fn has_heard_of_all(order: &OrderState, standing: &PaymentStanding) -> bool {
    i64::try_from(standing.attempts.len()).is_ok_and(|known| known >= order.payment_attempts)
}

/// True while an attempt may still take money, or has money set aside.
pub(super) fn is_live(status: AttemptStatus) -> bool {
    use AttemptStatus as A;
    matches!(
        status,
        A::Initiated | A::RequiresAction | A::Processing | A::Authorized
    )
}

/// Minor units that were captured, are not on their way back, and were not lost by a dispute.
pub(super) fn kept(standing: &PaymentStanding) -> i64 {
    left_without(standing, &[AttemptStatus::Lost])
}

/// Minor units that can be sent back: none of a charge that is disputed.
pub(super) fn refundable(standing: &PaymentStanding) -> i64 {
    left_without(standing, &[AttemptStatus::Lost, AttemptStatus::Disputed])
}

/// Minor units that were captured and are not on their way back, but for attempts that stand so.
fn left_without(standing: &PaymentStanding, but: &[AttemptStatus]) -> i64 {
    let counts = |attempt: &&PaymentSummary| !but.contains(&attempt.status);
    let attempts = standing.attempts.iter().filter(counts);
    let left = attempts.map(|attempt| attempt.captured.minor - attempt.refunded.minor);
    left.sum::<i64>().saturating_sub(standing.refunding.minor)
}

fn authorized(standing: &PaymentStanding) -> i64 {
    let live = standing.attempts.iter().filter(|a| is_live(a.status));
    live.map(|attempt| attempt.authorized.minor).sum()
}
