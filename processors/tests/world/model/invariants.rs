//! What must hold in the world: at every instant, and when everything has come to rest.

use millrace_avro::event::Event;
use millrace_avro::events::common::AuditEvent;
use millrace_avro::events::orders::{CaptureMode, OrderState, OrderStatus, ReservationStatus};
use millrace_avro::events::payments::{Refund, RefundStatus};
use millrace_avro::keys::{LocationId, OrderId, PaymentId, Sku};
use millrace_processors::order::table::is_terminal;
use millrace_streams::Timestamp;

use super::World;

impl World {
    /// What must hold at every instant.
    pub(crate) fn check_always(&self) {
        for (sku, (stock, _)) in &self.stock {
            for at in &stock.locations {
                let available = at.on_hand - at.held - at.committed;
                assert!(
                    at.on_hand >= 0 && at.held >= 0 && at.committed >= 0,
                    "{sku}: {at:?}"
                );
                assert!(available >= 0, "{sku} is oversold: {at:?}");
                let parts = stock.holds.iter().flat_map(|hold| &hold.parts);
                let here = parts.filter(|part| part.location == at.location);
                assert_eq!(
                    at.held,
                    here.map(|part| part.quantity).sum::<i64>(),
                    "{sku}"
                );
            }
        }
        for (order, deadline) in self.orders.values() {
            assert_eq!(
                order.deadline_ms.is_none(),
                is_terminal(order.status),
                "{order:?}"
            );
            assert_eq!(deadline.map(Timestamp::as_millis), order.deadline_ms);
        }
    }

    /// What must hold when nothing is under way.
    pub(crate) fn check_at_rest(&self) {
        for (id, (order, _)) in &self.orders {
            self.check_money(id, order);
            self.check_goods(order);
        }
        for (sku, (stock, _)) in &self.stock {
            assert!(stock.holds.is_empty(), "{sku} has holds at rest");
            for at in &stock.locations {
                let owned = self.owned(sku, &at.location);
                assert_eq!(at.committed, owned, "{sku} at {}", at.location);
            }
        }
    }

    fn check_money(&self, id: &OrderId, order: &OrderState) {
        let payments = self.payments.get(id).map(|(payments, _)| payments);
        let attempts = payments.iter().flat_map(|payments| &payments.attempts);
        let ids: Vec<PaymentId> = attempts.map(|a| a.payment_id.clone()).collect();
        let (kept, open, excess) = self.gateway.books(&ids);
        assert!(excess <= 0, "an attempt has taken too much: {order:?}");
        match order.status {
            OrderStatus::Confirmed
            | OrderStatus::PartiallyShipped
            | OrderStatus::Shipped
            | OrderStatus::Delivered => self.check_money_kept(id, order, kept),
            status => {
                assert!(is_terminal(status), "{order:?} {payments:?}");
                assert_eq!((kept, open), (0, 0), "{order:?} {payments:?}");
            }
        }
    }

    /// What was promised went back, or all of it did; everything else that was paid is kept, and
    /// nothing leaves for nothing.
    fn check_money_kept(&self, id: &OrderId, order: &OrderState, kept: i64) {
        let total = order.totals.total.minor;
        assert!(
            kept <= total && kept >= 0,
            "{kept} kept of {total}: {order:?}"
        );
        let payments = &self.payments[id].0;
        let succeeded = |refund: &&Refund| refund.status == RefundStatus::Succeeded;
        let sum = |counts: fn(&str) -> bool| -> i64 {
            let refunds = payments.refunds.iter().filter(succeeded);
            let counted = refunds.filter(|refund| counts(&refund.reason));
            counted.map(|refund| refund.amount.minor).sum()
        };
        let promised = self.promised.get(id).copied().unwrap_or_default();
        let given = sum(|reason| reason == "rest-cancelled");
        assert!(given == promised || kept == 0, "{order:?} {payments:?}");
        let waits = order.status == OrderStatus::PartiallyShipped;
        assert!(kept > 0 || !waits, "{order:?} {payments:?}");
        if order.capture == CaptureMode::Automatic || !order.shipments.is_empty() {
            let refunded = sum(|reason| reason != "payment-undone");
            assert_eq!(kept + refunded, total, "{order:?} {payments:?}");
        }
    }

    fn check_goods(&self, order: &OrderState) {
        use ReservationStatus as R;
        let kept = matches!(
            order.status,
            OrderStatus::Confirmed | OrderStatus::PartiallyShipped
        );
        for reservation in &order.reservations {
            let holds = matches!(
                reservation.status,
                R::Requested | R::Held | R::Committing | R::Committed
            );
            assert!(kept || !holds, "{order:?}");
        }
    }

    fn owned(&self, sku: &Sku, location: &LocationId) -> i64 {
        let reservations = self
            .orders
            .values()
            .flat_map(|(order, _)| &order.reservations);
        let mine = reservations.filter(|r| r.sku == *sku);
        let committed = mine.filter(|r| r.status == ReservationStatus::Committed);
        let parts = committed.flat_map(|reservation| &reservation.parts);
        let here = parts.filter(|part| part.location == *location);
        here.map(|part| part.quantity).sum()
    }

    /// The stock never hears of a shipment or a release that it cannot account for.
    pub(super) fn noted(&self, event: &Event<AuditEvent>) {
        let AuditEvent::Noted(entry) = &event.body else {
            return;
        };
        let broken = [
            "shipped-without-stock",
            "release-exceeds-committed",
            "release-without-parts",
        ];
        assert!(!broken.contains(&entry.code.as_str()), "{entry:?}");
    }
}
