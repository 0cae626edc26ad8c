//! A payment attempt as clients see it.

use millrace_avro::events::common::rfc3339;
use millrace_avro::events::payments::{
    PaymentAttempt, PaymentView, PaymentsState, Refund, RefundView,
};
use millrace_avro::money::Money;
use millrace_streams::Timestamp;

use super::fold::{refundable, sums};

/// An attempt as clients see it.
pub fn view(payments: &PaymentsState, attempt: &PaymentAttempt) -> PaymentView {
    let sums = sums(&attempt.facts);
    let money = |minor| Money::new(minor, attempt.amount.currency);
    let mine = |refund: &&Refund| refund.payment_id == attempt.payment_id;
    PaymentView {
        id: attempt.payment_id.clone(),
        order_id: payments.order_id.clone(),
        status: attempt.status,
        amount: attempt.amount,
        authorized: money(sums.authorized),
        captured: money(sums.captured),
        refunded: money(sums.refunded),
        refundable: money(refundable(payments, attempt)),
        refunds: payments.refunds.iter().filter(mine).map(refund).collect(),
        created_at: rfc3339(Timestamp::from_millis(attempt.created_at_ms)),
        version: payments.seq,
    }
}

fn refund(refund: &Refund) -> RefundView {
    RefundView {
        id: refund.refund_id.clone(),
        amount: refund.amount,
        reason: refund.reason.clone(),
        status: refund.status,
        requested_at: rfc3339(Timestamp::from_millis(refund.requested_at_ms)),
    }
}
