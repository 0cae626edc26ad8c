//! Scenes of orders of which a rest does not leave, and of the money that is owed for it.

use millrace_avro::events::orders::{OrderStatus, ReservationStatus, ReturnStatus};
use millrace_avro::events::payments::{AttemptStatus as A, RefundStatus};

use super::stage::{awaiting_payment, cancel, confirmed, euro, shipment};
use crate::order::view;

#[test]
fn cancelling_what_is_partly_shipped_refunds_the_rest() {
    let mut stage = confirmed();
    stage.command(shipment("s1", &[("mug", 1)]));
    assert_eq!(
        stage.command(cancel()),
        [
            "order.shipped",
            "inventory.release lamp",
            "inventory.release mug",
            "order.rest_cancelled",
            "payment.refund",
            "reply Accepted"
        ]
    );
    let order = stage.order();
    let left: Vec<_> = order
        .lines
        .iter()
        .map(|l| (l.shipped, l.cancelled))
        .collect();
    assert_eq!(left, [(1, 0), (0, 1), (0, 1)]);
    assert!(
        order
            .reservations
            .iter()
            .all(|r| r.status == ReservationStatus::Released)
    );
    let shown = stage.payments(&[(A::PartiallyRefunded, 3700, 3100)]);
    assert_eq!(shown, [""; 0]);
    assert_eq!(view(stage.order()).return_status, ReturnStatus::Partial);
}

#[test]
fn what_is_left_of_an_order_that_is_refunded_in_full_does_not_leave_for_nothing() {
    let mut stage = confirmed();
    stage.command(shipment("s1", &[("mug", 1)]));
    assert_eq!(
        stage.payments(&[(A::Refunded, 3700, 3700)]),
        [
            "order.shipped",
            "inventory.release lamp",
            "inventory.release mug",
            "order.rest_cancelled"
        ]
    );
    let order = stage.order();
    assert_eq!(order.reason.as_deref(), Some("refunded"));
    assert_eq!(order.refund_promised_minor, 0, "all of it went back before");
    let cancelled: i64 = order.lines.iter().map(|line| line.cancelled).sum();
    assert_eq!(cancelled, 2);
    assert_eq!(view(order).return_status, ReturnStatus::Full);
    let refused = ["reply Unchanged"];
    assert_eq!(stage.command(shipment("s2", &[("lamp", 1)])), refused);
}

#[test]
fn a_part_that_is_refunded_leaves_the_rest_to_be_shipped() {
    let mut stage = confirmed();
    stage.command(shipment("s1", &[("mug", 1)]));
    let told = stage.payments(&[(A::PartiallyRefunded, 3700, 600)]);
    assert_eq!(told, [""; 0]);
    assert_eq!(stage.command(shipment("s2", &[]))[0], "order.shipped");
}

#[test]
fn what_was_refunded_by_hand_is_not_refunded_again_when_the_rest_is_cancelled() {
    let mut stage = confirmed();
    stage.command(shipment("s1", &[("mug", 2)]));
    // The lamp goes back by hand, in part and then whole, before its buyer cancels it.
    stage.payments(&[(A::PartiallyRefunded, 3700, 2000)]);
    let mut whole = stage.clone();
    let told = stage.command(cancel());
    assert!(told.contains(&"payment.refund".to_owned()), "{told:?}");
    assert_eq!(stage.refunds.last().unwrap().amount, euro(500));
    // Nobody can tell what it was for: somebody may look.
    let note = "audit Warning refund-reduced".to_owned();
    assert!(told.contains(&note), "{told:?}");
    whole.payments(&[(A::PartiallyRefunded, 3700, 2500)]);
    let told = whole.command(cancel());
    assert!(!told.contains(&"payment.refund".to_owned()) && told.contains(&note));
    assert_eq!(whole.order().refund_promised_minor, 2500);
}

#[test]
fn a_commit_under_way_when_the_rest_is_cancelled_is_released() {
    let mut stage = awaiting_payment();
    stage.payments(&[(A::Captured, 3700, 0)]);
    stage.committed("mug", 2);
    stage.command(shipment("s1", &[("mug", 2)]));
    assert_eq!(
        stage.command(cancel()),
        [
            "order.shipped",
            "order.rest_cancelled",
            "payment.refund",
            "reply Accepted"
        ]
    );
    assert_eq!(stage.committed("lamp", 1), ["inventory.release lamp"]);
}

#[test]
fn a_line_that_is_lost_after_another_has_left_is_cancelled_and_refunded() {
    let mut stage = awaiting_payment();
    stage.payments(&[(A::Captured, 3700, 0)]);
    stage.committed("mug", 2);
    stage.command(shipment("s1", &[("mug", 1)]));
    assert_eq!(
        stage.commit_failed("lamp"),
        ["order.rest_cancelled", "payment.refund"]
    );
    assert_eq!(stage.order().status, OrderStatus::PartiallyShipped);

    let mut stage = awaiting_payment();
    stage.payments(&[(A::Captured, 3700, 0)]);
    stage.committed("mug", 2);
    stage.command(shipment("s1", &[("mug", 2)]));
    assert_eq!(
        stage.commit_failed("lamp"),
        ["order.shipped", "order.rest_cancelled", "payment.refund"]
    );
}

#[test]
fn what_is_owed_goes_back_once_it_was_taken() {
    let mut stage = awaiting_payment();
    stage.payments(&[(A::Captured, 3700, 0)]);
    stage.committed("mug", 2);
    stage.committed("lamp", 1);
    stage.command(shipment("s1", &[("mug", 2)]));
    // As if the capture that the shipment asked for were still under way.
    let order = stage.state.as_mut().unwrap();
    order.payments.as_mut().unwrap().attempts[0].captured = euro(0);
    let told = stage.command(cancel());
    assert!(!told.contains(&"payment.refund".to_owned()), "{told:?}");
    assert_eq!(
        stage.payments(&[(A::Captured, 3700, 0)]),
        ["payment.refund"]
    );
    assert_eq!(stage.payments(&[(A::Captured, 3700, 0)]), [""; 0]);
}

#[test]
fn a_refund_that_fails_is_owed_again_until_somebody_has_to_look() {
    let mut stage = confirmed();
    stage.command(shipment("s1", &[("mug", 2)]));
    stage.command(cancel());
    let tries = stage.saga.limits.refunds_of_rest_max;
    for number in 1..tries {
        assert_eq!(stage.payments(&[(A::Captured, 3700, 0)]), [""; 0]);
        stage.refunds.last_mut().unwrap().status = RefundStatus::Failed;
        assert_eq!(
            stage.payments(&[(A::Captured, 3700, 0)]),
            ["payment.refund"]
        );
        assert_eq!(stage.refunds.len(), number + 1, "each has its own id");
    }
    let mut given_up = stage.clone();
    given_up.refunds.last_mut().unwrap().status = RefundStatus::Failed;
    assert_eq!(
        given_up.payments(&[(A::Captured, 3700, 0)]),
        ["audit Alert refund-impossible"]
    );
    stage.refunds.last_mut().unwrap().status = RefundStatus::Succeeded;
    let refunded = stage.payments(&[(A::PartiallyRefunded, 3700, 2500)]);
    assert_eq!(refunded, [""; 0]);
}

#[test]
fn a_refund_that_the_payments_have_not_heard_of_is_asked_again_with_its_id() {
    let mut stage = confirmed();
    stage.command(shipment("s1", &[("mug", 2)]));
    stage.command(cancel());
    let asked = std::mem::take(&mut stage.refunds);
    assert_eq!(
        stage.payments(&[(A::Captured, 3700, 0)]),
        ["payment.refund"]
    );
    assert_eq!(stage.refunds, asked);
}

#[test]
fn a_disputed_charge_is_not_refunded_before_the_dispute_is_won() {
    let mut stage = confirmed();
    stage.command(shipment("s1", &[("mug", 2)]));
    stage.payments(&[(A::Disputed, 3700, 0)]);
    let told = stage.command(cancel());
    assert!(!told.contains(&"payment.refund".to_owned()), "{told:?}");
    assert_eq!(stage.payments(&[(A::Won, 3700, 0)]), ["payment.refund"]);
}
