//! The acts that follow a transition, each with its effects.

use std::collections::BTreeSet;

use millrace_avro::event::EventId;
use millrace_avro::events::carts::{CartCommand, CheckOutCart};
use millrace_avro::events::inventory::{
    CommitReservation, InventoryCommand, ReleaseReservation, ShipReservation,
};
use millrace_avro::events::orders::{
    CaptureMode, OrderLine, OrderOverdue, OrderPaymentRequested, OrderRestCancelled,
    ReservationStatus,
};
use millrace_avro::events::payments::{
    AttemptStatus, CapturePayment, PaymentCommand, PaymentStanding, RefundPayment, RefundStatus,
    RefundSummary, StartPayment, UndoPayments,
};
use millrace_avro::keys::{PaymentId, RefundId, ReservationId, Sku};
use millrace_avro::money::{Money, MoneyError, in_currency};

use super::OrderEffect;
use super::guard::{kept, refundable};
use super::run::Run;
use super::ship::{all_that_is_left, count_shipped, left, lost, take};
use super::view::status_name;
use crate::emit::Note;
use crate::pricing::share_of_line;

/// What follows a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Give back every reservation that is asked for, held or committed. One whose commit is under
    /// way is given back when the stock has answered, because only then it is known where it lies.
    ReleaseAll,
    /// Commit every hold.
    CommitAll,
    /// Begin the next payment attempt.
    NextAttempt,
    /// Void or refund every payment, now and later.
    UndoPayments,
    /// Take the order's lines out of the cart they came from.
    EmptyCart,
    /// Take the goods of the shipment out of the stock.
    Ship,
    /// Cancel what has not left, and refund it.
    CancelRest,
    /// Cancel what has not left of an order whose money has all gone back: nothing more is owed.
    CancelRefunded,
    /// Cancel the lines whose goods could not be had again, and refund them.
    CancelLost,
    /// Tell that the order waits for too long.
    Overdue,
    /// Tell the audit log that somebody has to look.
    Alert,
}

impl Run<'_> {
    pub(super) fn act(&mut self, act: Act) {
        match act {
            Act::ReleaseAll => self.release_all(),
            Act::CommitAll => self.commit_all(),
            Act::NextAttempt => self.next_attempt(),
            Act::UndoPayments => self.undo_payments(),
            Act::EmptyCart => self.empty_cart(),
            Act::Ship => self.ship_planned(),
            Act::CancelRest => self.cancel_rest(),
            Act::CancelRefunded => self.cancel_refunded(),
            Act::CancelLost => self.cancel_lost(),
            Act::Overdue => self.overdue(),
            Act::Alert => self.alert(),
        }
    }

    fn release_all(&mut self) {
        use ReservationStatus as R;
        let reason = self.order.reason.clone().unwrap_or_default();
        for index in 0..self.order.reservations.len() {
            let reservation = &mut self.order.reservations[index];
            if !matches!(reservation.status, R::Requested | R::Held | R::Committed) {
                continue;
            }
            // While it is merely held, the stock knows best where it lies.
            let committed = reservation.status == R::Committed;
            let parts = std::mem::take(&mut reservation.parts);
            reservation.status = R::Released;
            let sku = reservation.sku.clone();
            let command = ReleaseReservation {
                reservation_id: ReservationId::of(&self.order.order_id, &sku),
                order_id: self.order.order_id.clone(),
                sku: sku.clone(),
                parts: if committed { parts } else { Vec::new() },
                reason: reason.clone(),
            };
            self.ask_stock(sku, command);
        }
    }

    fn commit_all(&mut self) {
        for index in 0..self.order.reservations.len() {
            let reservation = &mut self.order.reservations[index];
            if reservation.status != ReservationStatus::Held {
                continue;
            }
            reservation.status = ReservationStatus::Committing;
            let sku = reservation.sku.clone();
            let command = CommitReservation {
                reservation_id: ReservationId::of(&self.order.order_id, &sku),
                order_id: self.order.order_id.clone(),
                sku: sku.clone(),
                quantity: reservation.quantity,
            };
            self.ask_stock(sku, command);
        }
    }

    fn next_attempt(&mut self) {
        self.order.payment_attempts += 1;
        let number = self.order.payment_attempts;
        let payment_id = self.payment_id(number);
        let amount = self.order.totals.total;
        self.fact(OrderPaymentRequested {
            order_id: self.order.order_id.clone(),
            user_id: self.order.user_id.clone(),
            payment_id: payment_id.clone(),
            number,
            amount,
        });
        self.ask_payments(StartPayment {
            order_id: self.order.order_id.clone(),
            payment_id,
            number,
            amount,
            method: self.order.payment_method.clone(),
            capture: self.order.capture,
        });
    }

    /// The id of an attempt: derived, so that the same attempt has the same id.
    fn payment_id(&self, number: i64) -> PaymentId {
        let order = EventId::new(self.order.order_id.as_str());
        let index = u32::try_from(number).unwrap_or(u32::MAX);
        let id = EventId::derive(&order, "payment", index);
        // Invariant: a derived id is a UUID, which every key may be.
        PaymentId::new(id.as_str()).expect("a UUID is a key")
    }

    fn undo_payments(&mut self) {
        if self.order.payment_attempts == 0 && self.order.payments.is_none() {
            return;
        }
        self.order.undoing = true;
        let reason = self.order.reason.clone().unwrap_or_default();
        self.ask_payments(UndoPayments {
            order_id: self.order.order_id.clone(),
            reason,
        });
    }

    fn empty_cart(&mut self) {
        let Some(cart_id) = self.order.cart_id.clone() else {
            return;
        };
        let command = CheckOutCart {
            cart_id: cart_id.clone(),
            order_id: self.order.order_id.clone(),
            lines: all_that_is_left(&self.order.lines),
        };
        let command = self.emit.event::<CartCommand>(command);
        self.effects.push(OrderEffect::Cart(cart_id, command));
    }

    fn ship_planned(&mut self) {
        let Some(plan) = self.plan.take() else {
            return;
        };
        for item in &plan.shipment.items {
            count_shipped(&mut self.order.lines, item);
            self.ship_reserved(&item.sku, item.quantity);
        }
        self.order.shipments.push(plan.shipment);
        self.capture_if_manual();
    }

    fn ship_reserved(&mut self, sku: &Sku, quantity: i64) {
        let mut all = self.order.reservations.iter_mut();
        let Some(reservation) = all.find(|r| r.sku == *sku) else {
            return;
        };
        let parts = take(&mut reservation.parts, quantity);
        let last = reservation.parts.is_empty();
        if last {
            reservation.status = ReservationStatus::Shipped;
        }
        let command = ShipReservation {
            reservation_id: ReservationId::of(&self.order.order_id, sku),
            order_id: self.order.order_id.clone(),
            sku: sku.clone(),
            parts,
            last,
        };
        self.ask_stock(sku.clone(), command);
    }

    fn capture_if_manual(&mut self) {
        if self.order.capture != CaptureMode::Manual {
            return;
        }
        let attempts = self.order.payments.iter().flat_map(|p| &p.attempts);
        let authorized: Vec<PaymentId> = attempts
            .filter(|attempt| attempt.status == AttemptStatus::Authorized)
            .map(|attempt| attempt.id.clone())
            .collect();
        for payment_id in authorized {
            self.ask_payments(CapturePayment {
                order_id: self.order.order_id.clone(),
                payment_id,
            });
        }
    }

    fn cancel_rest(&mut self) {
        self.release_all();
        let rest = self.every_sku();
        let owed = self.owed_for(&rest);
        self.cancel_lines(&rest, owed);
    }

    fn cancel_refunded(&mut self) {
        self.release_all();
        let rest = self.every_sku();
        self.cancel_lines(&rest, Money::zero(self.order.currency));
    }

    fn cancel_lost(&mut self) {
        let lost = lost(&self.order);
        let owed = self.owed_for(&lost);
        self.cancel_lines(&lost, owed);
    }

    fn every_sku(&self) -> BTreeSet<Sku> {
        let skus = self.order.lines.iter().map(|line| line.sku.clone());
        skus.collect()
    }

    /// The value of what is left of some SKUs; nothing, and an alert, where it cannot be told.
    fn owed_for(&mut self, skus: &BTreeSet<Sku>) -> Money {
        self.value_of_rest(skus).unwrap_or_else(|error| {
            self.audit(Note::alert("invalid-amount", error.to_string()));
            Money::zero(self.order.currency)
        })
    }

    /// Cancels what is left of some SKUs, and owes the customer `refund` for it.
    fn cancel_lines(&mut self, skus: &BTreeSet<Sku>, refund: Money) {
        let goes = |line: &&OrderLine| skus.contains(&line.sku);
        let items = all_that_is_left(self.order.lines.iter().filter(goes));
        for line in &mut self.order.lines {
            if skus.contains(&line.sku) {
                line.cancelled += left(line);
            }
        }
        self.fact(OrderRestCancelled {
            order_id: self.order.order_id.clone(),
            user_id: self.order.user_id.clone(),
            items,
            refund,
        });
        self.order.refund_promised_minor += refund.minor;
        self.refund_owed();
        if refund.minor > 0 {
            self.tell_reduced();
        }
    }

    /// Tells the audit log if a refund by hand has reduced what goes back for a cancelled rest: it may
    /// have been meant for what has left.
    fn tell_reduced(&mut self) {
        let promised = self.order.refund_promised_minor;
        let reduces = |standing: &PaymentStanding| {
            let refunded = standing.refunded.minor + standing.refunding.minor;
            let is_by_hand = refunded > given(&self.refunds_of_rest());
            is_by_hand && self.cap(standing) < promised.min(refundable(standing))
        };
        if self.order.payments.as_ref().is_some_and(reduces) {
            let detail = "what was refunded by hand counts against the cancelled rest";
            self.audit(Note::warning("refund-reduced", detail));
        }
    }

    /// The minor units that are kept beyond what has left and will leave.
    fn cap(&self, standing: &PaymentStanding) -> i64 {
        let sold = self.order.totals.total.minor - self.order.refund_promised_minor;
        kept(standing) - sold
    }

    fn value_of_rest(&self, skus: &BTreeSet<Sku>) -> Result<Money, MoneyError> {
        in_currency(self.order.currency, |ledger| {
            let mut value = ledger.zero();
            for line in &self.order.lines {
                if skus.contains(&line.sku) {
                    let before = line.shipped + line.cancelled;
                    value += ledger.take(share_of_line(line, before, left(line))?)?;
                }
            }
            ledger.money(value)
        })
    }

    /// Gives back what is owed, as far as it has been taken: a capture may still be under way.
    ///
    /// What is owed follows from the refunds that the payments know, so what has failed or was
    /// refused is owed again. Until a refund is known, asking again repeats its id. What somebody
    /// has refunded by hand before counts: what is kept stays worth what has left and will leave.
    pub(super) fn refund_owed(&mut self) {
        let promised = self.order.refund_promised_minor;
        let Some(standing) = self.order.payments.as_ref().filter(|_| promised > 0) else {
            return;
        };
        let known = self.refunds_of_rest();
        let number = known.len();
        let minor = (promised - given(&known))
            .min(self.cap(standing))
            .min(refundable(standing));
        if minor <= 0 {
            return;
        }
        if number >= self.limits.refunds_of_rest_max {
            let note = Note::alert("refund-impossible", "money has to go back by hand");
            return self.audit(note);
        }
        self.ask_payments(RefundPayment {
            order_id: self.order.order_id.clone(),
            refund_id: self.refund_of_rest(number),
            payment_id: None,
            amount: Money::new(minor, self.order.currency),
            reason: "rest-cancelled".to_owned(),
        });
    }

    /// The refunds of what will not leave, as far as the payments know them, oldest first.
    fn refunds_of_rest(&self) -> Vec<&RefundSummary> {
        let standing = self.order.payments.iter();
        let all: Vec<_> = standing.flat_map(|standing| &standing.refunds).collect();
        let numbers = 0..self.limits.refunds_of_rest_max;
        let known = numbers.map_while(|number| {
            let id = self.refund_of_rest(number);
            all.iter().copied().find(|refund| refund.id == id)
        });
        known.collect()
    }

    /// The id of a refund of what will not leave: derived, so that asking again repeats it.
    fn refund_of_rest(&self, number: usize) -> RefundId {
        let order = EventId::new(self.order.order_id.as_str());
        let index = u32::try_from(number).unwrap_or(u32::MAX);
        let id = EventId::derive(&order, "refund-of-rest", index);
        // Invariant: a derived id is a UUID, which every key may be.
        RefundId::new(id.as_str()).expect("a UUID is a key")
    }

    fn overdue(&mut self) {
        self.fact(OrderOverdue {
            order_id: self.order.order_id.clone(),
            user_id: self.order.user_id.clone(),
            status: self.order.status,
        });
        self.alert();
    }

    fn alert(&mut self) {
        let status = status_name(self.order.status);
        let detail = match self.order.undoing {
            true => format!("money of an order that is {status} has to go back"),
            false => format!("the order is {status} for too long"),
        };
        self.audit(Note::alert("order-needs-attention", detail));
    }

    fn ask_stock(&mut self, sku: Sku, command: impl Into<InventoryCommand>) {
        let command = self.emit.event::<InventoryCommand>(command);
        self.effects.push(OrderEffect::Stock(sku, command));
    }

    fn ask_payments(&mut self, command: impl Into<PaymentCommand>) {
        let command = self.emit.event::<PaymentCommand>(command);
        self.effects.push(OrderEffect::Payment(command));
    }
}

/// The minor units of refunds that have not failed.
fn given(refunds: &[&RefundSummary]) -> i64 {
    let given = refunds.iter().filter(|r| r.status != RefundStatus::Failed);
    given.map(|refund| refund.amount.minor).sum()
}
