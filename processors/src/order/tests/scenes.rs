//! Scenes of an order's life.

use millrace_avro::events::orders::{
    CaptureMode, FulfilmentStatus, OrderDeliveryReported, OrderPlaced, OrderStatus, PaymentStatus,
    ReturnStatus,
};
use millrace_avro::events::payments::AttemptStatus as A;

use super::stage::{Stage, awaiting_payment, cancel, confirmed, euro, key, placed, shipment};
use crate::order::{OrderInput, view};

/// Confirmed without a payment, because it costs nothing.
fn free() -> Stage {
    let mut stage = Stage::new();
    let mut free = placed();
    for line in &mut free.lines {
        line.unit_price = euro(0);
    }
    stage.command(free);
    stage.reserved("lamp", 1);
    stage.reserved("mug", 2);
    stage
}

#[test]
fn an_order_is_reserved_paid_shipped_and_delivered() {
    let mut stage = Stage::new();
    assert_eq!(
        stage.command(placed()),
        [
            "order.created",
            "inventory.reserve lamp",
            "inventory.reserve mug",
            "reply Accepted"
        ]
    );
    assert_eq!(stage.reserved("lamp", 1), [""; 0]);
    assert_eq!(
        stage.reserved("mug", 2),
        [
            "order.reserved",
            "order.payment_requested",
            "payment.start",
            "cart.check_out cart"
        ]
    );
    assert_eq!(stage.payments(&[(A::Processing, 0, 0)]), [""; 0]);
    assert_eq!(
        stage.payments(&[(A::Captured, 3700, 0)]),
        [
            "order.confirmed",
            "inventory.commit lamp",
            "inventory.commit mug"
        ]
    );
    stage.committed("lamp", 1);
    stage.committed("mug", 2);
    assert_eq!(
        stage.command(shipment("s1", &[("mug", 1)])),
        [
            "order.partially_shipped",
            "inventory.ship mug",
            "reply Accepted"
        ]
    );
    assert_eq!(
        stage.command(shipment("s2", &[])),
        [
            "order.shipped",
            "inventory.ship mug",
            "inventory.ship lamp",
            "reply Accepted"
        ]
    );
    let delivery = OrderDeliveryReported { order_id: key() };
    assert_eq!(
        stage.command(delivery),
        ["order.delivered", "reply Accepted"]
    );
    let shown = view(stage.order());
    assert_eq!(shown.payment_status, PaymentStatus::Captured);
    assert_eq!(shown.fulfilment_status, FulfilmentStatus::Delivered);
    assert_eq!(shown.return_status, ReturnStatus::None);
    assert_eq!((shown.version, shown.timeline.len()), (7, 7));
    assert_eq!(stage.deadline, None);
}

#[test]
fn demand_is_summed_per_sku() {
    let mut stage = Stage::new();
    stage.command(placed());
    let demand: Vec<_> = stage
        .order()
        .reservations
        .iter()
        .map(|r| (r.sku.as_str(), r.quantity))
        .collect();
    assert_eq!(demand, [("lamp", 1), ("mug", 2)]);
}

#[test]
fn an_order_that_makes_no_sense_or_got_dearer_never_exists() {
    let with = |change: fn(&mut OrderPlaced)| {
        let mut order = placed();
        change(&mut order);
        let mut stage = Stage::new();
        let answer = stage.command(order).remove(0);
        assert!(stage.state.is_none());
        answer
    };
    let refused = |code: &str| format!("reply Refused {code}");
    assert_eq!(with(|o| o.lines.clear()), refused("empty-order"));
    assert_eq!(with(|o| o.lines[0].quantity = 0), refused("invalid-line"));
    assert_eq!(
        with(|o| o.expected_total = Some(euro(3699))),
        refused("price-changed")
    );
    assert_eq!(
        with(|o| o.currency = millrace_avro::money::Currency::JPY),
        refused("invalid-amount")
    );
}

#[test]
fn a_rejected_line_releases_the_others() {
    let mut stage = Stage::new();
    stage.command(placed());
    stage.reserved("mug", 2);
    assert_eq!(
        stage.rejected("lamp"),
        ["order.rejected", "inventory.release mug"]
    );
    assert_eq!(stage.order().reason.as_deref(), Some("insufficient-stock"));
    assert_eq!(stage.deadline, None);
}

#[test]
fn a_line_that_is_reserved_after_the_end_is_released_at_once() {
    let mut stage = Stage::new();
    stage.command(placed());
    stage.rejected("lamp");
    assert_eq!(stage.reserved("mug", 2), ["inventory.release mug"]);
    assert_eq!(stage.reserved("mug", 2), ["inventory.release mug"]);
}

#[test]
fn the_next_attempt_follows_a_failed_one_until_there_are_too_many() {
    let mut stage = awaiting_payment();
    let again = ["order.payment_requested", "payment.start"];
    assert_eq!(stage.payments(&[(A::Failed, 0, 0)]), again);
    // The attempt that was just begun is not known to this fact.
    assert_eq!(stage.payments(&[(A::Failed, 0, 0)]), [""; 0]);
    assert_eq!(stage.payments(&[(A::Failed, 0, 0); 2]), again);
    assert_eq!(
        stage.payments(&[(A::Failed, 0, 0); 3]),
        [
            "order.payment_failed",
            "inventory.release lamp",
            "inventory.release mug",
            "payment.undo"
        ]
    );
    assert_eq!(stage.order().status, OrderStatus::PaymentFailed);
}

#[test]
fn a_cancelled_order_waits_for_its_money() {
    let mut stage = awaiting_payment();
    assert_eq!(
        stage.command(cancel()),
        [
            "order.cancelling",
            "inventory.release lamp",
            "inventory.release mug",
            "payment.undo",
            "reply Accepted"
        ]
    );
    assert_eq!(stage.command(cancel()), ["reply Unchanged"]);
    assert_eq!(stage.payments(&[(A::Captured, 3700, 0)]), ["payment.undo"]);
    assert_eq!(
        stage.payments(&[(A::Refunded, 3700, 3700)]),
        ["order.cancelled"]
    );
    let reason = stage.order().reason.as_deref();
    assert_eq!(reason, Some("cancelled-by-customer"));
}

#[test]
fn money_that_comes_after_the_end_goes_back_and_somebody_is_told() {
    let mut stage = awaiting_payment();
    stage.pass_deadline();
    assert_eq!(stage.order().status, OrderStatus::Expired);
    assert_eq!(
        stage.payments(&[(A::Captured, 3700, 0)]),
        ["payment.undo", "audit Alert order-needs-attention"]
    );
}

#[test]
fn a_commit_that_fails_cancels_the_order_and_refunds_it() {
    let mut stage = awaiting_payment();
    stage.payments(&[(A::Captured, 3700, 0)]);
    stage.committed("lamp", 1);
    assert_eq!(
        stage.commit_failed("mug"),
        ["order.cancelling", "inventory.release lamp", "payment.undo"]
    );
    assert_eq!(
        stage.payments(&[(A::Refunded, 3700, 3700)]),
        ["order.cancelled"]
    );
}

#[test]
fn a_commit_under_way_is_released_when_it_is_known_where_it_lies() {
    let mut stage = awaiting_payment();
    stage.payments(&[(A::Captured, 3700, 0)]);
    let told = stage.command(cancel());
    assert_eq!(told, ["order.cancelling", "payment.undo", "reply Accepted"]);
    assert_eq!(stage.committed("lamp", 1), ["inventory.release lamp"]);
    assert_eq!(stage.committed("mug", 2), ["inventory.release mug"]);
}

#[test]
fn a_hold_that_expires_ends_an_unpaid_order_and_leaves_a_confirmed_one() {
    let mut stage = awaiting_payment();
    assert_eq!(
        stage.hold_expired("lamp"),
        ["order.expired", "inventory.release mug", "payment.undo"]
    );
    let mut stage = awaiting_payment();
    stage.payments(&[(A::Captured, 3700, 0)]);
    assert_eq!(stage.hold_expired("lamp"), [""; 0]);
    assert_eq!(stage.order().status, OrderStatus::Confirmed);
}

#[test]
fn an_order_that_owes_nobody_money_is_cancelled_at_once() {
    let mut free = free();
    let told = free.command(cancel());
    assert_eq!(told, ["order.cancelled", "reply Accepted"]);

    let mut unavailable = self::free();
    assert_eq!(unavailable.commit_failed("mug"), ["order.cancelled"]);

    let mut voided = awaiting_payment();
    voided.payments(&[(A::Captured, 3700, 0)]);
    voided.payments(&[(A::Voided, 0, 0)]);
    let told = voided.command(cancel());
    assert_eq!(told[0], "order.cancelled");
}

#[test]
fn money_that_a_dispute_has_lost_is_not_waited_for() {
    let mut lost = confirmed();
    lost.payments(&[(A::Lost, 3700, 0)]);
    assert_eq!(lost.command(cancel())[0], "order.cancelled");

    let mut disputed = confirmed();
    disputed.payments(&[(A::Disputed, 3700, 0)]);
    assert_eq!(disputed.command(cancel())[0], "order.cancelling");
    let told = disputed.payments(&[(A::Lost, 3700, 0)]);
    assert_eq!(told, ["order.cancelled"]);
}

#[test]
fn an_order_that_has_settled_is_not_cancelling_for_longer_than_its_deadline() {
    let mut stage = awaiting_payment();
    stage.command(cancel());
    // As if the news that settled it had been heard by a version that did not heed it.
    let lost = stage.payment_event(&[(A::Lost, 3700, 0)], 50);
    let standing = crate::payment::standing(&lost.body).clone();
    stage.state.as_mut().unwrap().payments = Some(standing);
    assert_eq!(stage.pass_deadline(), ["order.cancelled"]);
}

#[test]
fn a_shipment_that_does_not_fit_is_refused_with_its_reason() {
    let mut stage = confirmed();
    let refused = |code: &str| vec![format!("reply Refused {code}")];
    let too_many = shipment("s1", &[("mug", 2), ("mug", 1)]);
    assert_eq!(stage.command(too_many), refused("invalid-shipment"));
    let foreign = shipment("s1", &[("vase", 1)]);
    assert_eq!(stage.command(foreign), refused("invalid-shipment"));
    stage.command(shipment("s1", &[("mug", 2)]));
    assert_eq!(stage.command(shipment("s1", &[])), ["reply Unchanged"]);

    let mut unpaid = awaiting_payment();
    let answer = unpaid.command(shipment("s1", &[]));
    assert_eq!(answer, refused("illegal-transition"));
    let mut uncommitted = awaiting_payment();
    uncommitted.payments(&[(A::Captured, 3700, 0)]);
    assert_eq!(
        uncommitted.command(shipment("s1", &[])),
        refused("not-ready")
    );
}

#[test]
fn manual_capture_is_paid_when_authorised_and_captured_when_goods_leave() {
    let mut stage = Stage::new();
    stage.command(OrderPlaced {
        capture: CaptureMode::Manual,
        ..placed()
    });
    stage.reserved("lamp", 1);
    stage.reserved("mug", 2);
    let mut event = stage.payment_event(&[(A::Authorized, 3700, 0)], 50);
    if let millrace_avro::events::payments::PaymentEvent::Captured(fact) = &mut event.body {
        fact.standing.captured = euro(0);
    }
    let told = stage.hear(&OrderInput::Payment(event));
    assert_eq!(told[0], "order.confirmed");
    stage.committed("lamp", 1);
    stage.committed("mug", 2);
    let told = stage.command(shipment("s1", &[]));
    assert!(told.contains(&"payment.capture".to_owned()));
}

#[test]
fn what_is_stale_or_impossible_goes_to_the_audit_log() {
    let mut stage = awaiting_payment();
    let late = stage.payment_event(&[(A::Processing, 0, 0)], 5);
    let early = stage.payment_event(&[(A::Initiated, 0, 0)], 4);
    stage.hear(&OrderInput::Payment(late.clone()));
    let stale = ["audit Info stale-event"];
    assert_eq!(stage.hear(&OrderInput::Payment(early)), stale);
    assert_eq!(stage.hear(&OrderInput::Payment(late)), stale);
    let impossible = stage.commit_failed("lamp");
    assert_eq!(impossible, ["audit Alert impossible-event"]);
    let foreign = stage.reserved("vase", 1);
    assert_eq!(foreign, ["audit Warning foreign-reservation"]);
}

#[test]
fn every_wait_ends() {
    let mut pending = Stage::new();
    pending.command(placed());
    pending.pass_deadline();
    assert_eq!(pending.order().status, OrderStatus::Rejected);

    let mut overdue = confirmed();
    let told = overdue.pass_deadline();
    assert_eq!(told, ["order.overdue", "audit Alert order-needs-attention"]);
    assert!(overdue.deadline > Some(overdue.now));

    let mut shipped = confirmed();
    shipped.command(shipment("s1", &[]));
    assert_eq!(shipped.pass_deadline(), ["order.delivered"]);

    let mut cancelling = awaiting_payment();
    cancelling.command(cancel());
    let told = cancelling.pass_deadline();
    assert_eq!(told, ["payment.undo", "audit Alert order-needs-attention"]);
}

#[test]
fn an_order_that_costs_nothing_needs_no_payment() {
    let stage = free();
    assert_eq!(stage.order().status, OrderStatus::Confirmed);
    assert_eq!(stage.order().payment_attempts, 0);
}

#[test]
fn repeating_an_event_gives_its_effects_the_same_ids() {
    let play = || {
        let mut stage = Stage::new();
        stage.command(placed());
        stage.state.map(|order| order.timeline)
    };
    assert_eq!(play(), play());
}
