//! What every fact of a payment tells.

use millrace_avro::events::payments::{PaymentEvent, PaymentStanding};

/// All payments of the order, as the fact carries them.
pub fn standing(event: &PaymentEvent) -> &PaymentStanding {
    match event {
        PaymentEvent::Initiated(fact) => &fact.standing,
        PaymentEvent::RequiresAction(fact) => &fact.standing,
        PaymentEvent::Processing(fact) => &fact.standing,
        PaymentEvent::Authorized(fact) => &fact.standing,
        PaymentEvent::Captured(fact) => &fact.standing,
        PaymentEvent::Failed(fact) => &fact.standing,
        PaymentEvent::Voided(fact) => &fact.standing,
        PaymentEvent::RefundRequested(fact) => &fact.standing,
        PaymentEvent::Refunded(fact) => &fact.standing,
        PaymentEvent::RefundFailed(fact) => &fact.standing,
        PaymentEvent::Disputed(fact) => &fact.standing,
        PaymentEvent::DisputeClosed(fact) => &fact.standing,
    }
}

/// The same, to fill in.
pub(super) fn standing_mut(event: &mut PaymentEvent) -> &mut PaymentStanding {
    match event {
        PaymentEvent::Initiated(fact) => &mut fact.standing,
        PaymentEvent::RequiresAction(fact) => &mut fact.standing,
        PaymentEvent::Processing(fact) => &mut fact.standing,
        PaymentEvent::Authorized(fact) => &mut fact.standing,
        PaymentEvent::Captured(fact) => &mut fact.standing,
        PaymentEvent::Failed(fact) => &mut fact.standing,
        PaymentEvent::Voided(fact) => &mut fact.standing,
        PaymentEvent::RefundRequested(fact) => &mut fact.standing,
        PaymentEvent::Refunded(fact) => &mut fact.standing,
        PaymentEvent::RefundFailed(fact) => &mut fact.standing,
        PaymentEvent::Disputed(fact) => &mut fact.standing,
        PaymentEvent::DisputeClosed(fact) => &mut fact.standing,
    }
}
