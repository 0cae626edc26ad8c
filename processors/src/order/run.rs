//! One step of an order: look the input up, change the state, tell the fact, follow with acts.

use std::time::Duration;

use millrace_avro::event::EventSet;
use millrace_avro::events::common::{Fingerprint, rfc3339};
use millrace_avro::events::inventory::ReserveStock;
use millrace_avro::events::orders::{
    OrderCancelled, OrderCancelling, OrderConfirmed, OrderCreated, OrderDelivered, OrderEvent,
    OrderExpired, OrderPartiallyShipped, OrderPaymentFailed, OrderPlaced, OrderRejected,
    OrderReserved, OrderShipped, OrderState, OrderStatus, ReservationStatus, TimelineEntry,
};
use millrace_avro::keys::{AggregateId, ReservationId, Sku};
use millrace_streams::Timestamp;

use super::ship::Plan;
use super::table::{self, Cell, Input};
use super::view::{allowed_actions, view};
use super::{OrderEffect, OrderLimits};
use crate::emit::{Emitter, Note, Refusal, Verdict};
use crate::transition::Step;

/// An order in the middle of a step.
pub(super) struct Run<'a> {
    pub(super) order: OrderState,
    pub(super) limits: &'a OrderLimits,
    pub(super) emit: Emitter,
    pub(super) effects: Vec<OrderEffect>,
    /// The shipment that a command asks for.
    pub(super) plan: Option<Plan>,
    /// Why an order ends, if it ends in this step.
    pub(super) reason: String,
    changed: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(order: OrderState, limits: &'a OrderLimits, emit: Emitter) -> Self {
        Self {
            order,
            limits,
            emit,
            effects: Vec::new(),
            plan: None,
            reason: String::new(),
            changed: false,
        }
    }

    /// The first step: tells that the order exists, and asks for its goods.
    pub(super) fn begin(&mut self, placed: &OrderPlaced) {
        self.fact(OrderCreated {
            order_id: self.order.order_id.clone(),
            user_id: self.order.user_id.clone(),
            cart_id: self.order.cart_id.clone(),
            lines: self.order.lines.clone(),
            totals: self.order.totals.clone(),
        });
        for index in 0..self.order.reservations.len() {
            let reservation = &self.order.reservations[index];
            let sku = reservation.sku.clone();
            let command = ReserveStock {
                reservation_id: ReservationId::of(&self.order.order_id, &sku),
                order_id: self.order.order_id.clone(),
                sku: sku.clone(),
                quantity: reservation.quantity,
                hold_until_ms: self.order.hold_until_ms,
                near: placed.near.clone(),
            };
            let command = self.emit.event(command);
            self.effects.push(OrderEffect::Stock(sku, command));
        }
        self.accept();
    }

    /// The leaf of the table's cell for `input`, with every guard answered.
    pub(super) fn leaf(&self, input: Input) -> Cell {
        let ships_all = self.plan.as_ref().is_some_and(|plan| plan.ships_all);
        let mut cell = table::cell(self.order.status, input);
        while let Cell::When(guard, yes, no) = cell {
            let holds = guard.holds(&self.order, self.limits, ships_all);
            cell = if holds { *yes } else { *no };
        }
        cell
    }

    /// Does what a leaf says; `false` when it was nothing.
    pub(super) fn apply(&mut self, leaf: Cell) -> bool {
        let acts = match leaf {
            Cell::Go(status, acts) => {
                self.go(status);
                acts
            }
            Cell::Stay(acts) => acts,
            Cell::NoOp | Cell::Audit | Cell::Illegal | Cell::When(..) => return false,
        };
        for act in acts {
            self.act(*act);
        }
        self.changed = true;
        true
    }

    fn go(&mut self, status: OrderStatus) {
        self.order.status = status;
        if self.order.reason.is_none() && !self.reason.is_empty() {
            self.order.reason = Some(self.reason.clone());
        }
        self.set_deadline();
        let fact = self.fact_of(status);
        self.fact(fact);
    }

    /// The fact that tells of a state.
    fn fact_of(&self, status: OrderStatus) -> OrderEvent {
        let order_id = self.order.order_id.clone();
        let user_id = self.order.user_id.clone();
        let reason = self.order.reason.clone().unwrap_or_default();
        let shipment = self.plan.as_ref().map(|plan| plan.shipment.clone());
        match (status, shipment) {
            (OrderStatus::Pending | OrderStatus::AwaitingPayment, _) => {
                OrderReserved { order_id, user_id }.into()
            }
            (OrderStatus::Confirmed, _) => OrderConfirmed {
                order_id,
                user_id,
                lines: self.order.lines.clone(),
                totals: self.order.totals.clone(),
            }
            .into(),
            (OrderStatus::PartiallyShipped, Some(shipment)) => OrderPartiallyShipped {
                order_id,
                user_id,
                shipment,
            }
            .into(),
            (OrderStatus::PartiallyShipped | OrderStatus::Shipped, shipment) => OrderShipped {
                order_id,
                user_id,
                shipment,
            }
            .into(),
            (OrderStatus::Delivered, _) => OrderDelivered { order_id, user_id }.into(),
            (OrderStatus::Cancelling, _) => OrderCancelling {
                order_id,
                user_id,
                reason,
            }
            .into(),
            (OrderStatus::Cancelled, _) => OrderCancelled {
                order_id,
                user_id,
                reason,
            }
            .into(),
            (OrderStatus::Rejected, _) => OrderRejected {
                order_id,
                user_id,
                reason,
                skus: self.rejected_skus(),
            }
            .into(),
            (OrderStatus::Expired, _) => OrderExpired {
                order_id,
                user_id,
                reason,
            }
            .into(),
            (OrderStatus::PaymentFailed, _) => OrderPaymentFailed {
                order_id,
                user_id,
                attempts: self.order.payment_attempts,
            }
            .into(),
        }
    }

    fn rejected_skus(&self) -> Vec<Sku> {
        let rejected = self.order.reservations.iter().filter(|reservation| {
            matches!(
                reservation.status,
                ReservationStatus::Rejected | ReservationStatus::Expired
            )
        });
        rejected
            .map(|reservation| reservation.sku.clone())
            .collect()
    }

    /// Starts the clock of the order's state.
    pub(super) fn set_deadline(&mut self) {
        let (at, limits) = (self.emit.at(), self.limits);
        let hold_until = Timestamp::from_millis(self.order.hold_until_ms);
        let after = |span: Duration| Some(at + span);
        let deadline = match self.order.status {
            OrderStatus::Pending => after(limits.pending_for),
            OrderStatus::AwaitingPayment => Some(hold_until.max(at) + limits.expiry_grace),
            OrderStatus::Confirmed | OrderStatus::PartiallyShipped => after(limits.ship_within),
            OrderStatus::Shipped => after(limits.deliver_within),
            OrderStatus::Cancelling => after(limits.undo_again_after),
            status => {
                debug_assert!(table::is_terminal(status));
                None
            }
        };
        self.order.deadline_ms = deadline.map(Timestamp::as_millis);
    }

    /// Tells a fact, and writes it into the order's timeline.
    pub(super) fn fact(&mut self, body: impl Into<OrderEvent>) {
        let event = self.emit.fact::<OrderEvent>(&mut self.order.seq, body);
        let timeline = &mut self.order.timeline;
        timeline.push(TimelineEntry {
            event: event.body.type_name().to_owned(),
            at: rfc3339(event.meta.time),
            id: event.meta.id.as_str().to_owned(),
        });
        let excess = timeline.len().saturating_sub(self.limits.timeline_max);
        timeline.drain(..excess);
        self.effects.push(OrderEffect::Fact(event));
        self.changed = true;
    }

    /// Marks the order as changed, though no fact was told.
    pub(super) fn touch(&mut self) {
        self.changed = true;
    }

    pub(super) fn accept(&mut self) {
        let id = Fingerprint::of(self.emit.cause_id());
        self.order.recent.remember(id, 0, self.limits.recent_max);
        self.reply(&Verdict::Accepted);
    }

    pub(super) fn refuse(&mut self, code: &'static str, detail: impl Into<String>) {
        let mut refusal = Refusal::new(code, detail);
        refusal.allowed = allowed_actions(self.order.status);
        self.reply(&Verdict::Refused(refusal));
    }

    pub(super) fn reply(&mut self, verdict: &Verdict) {
        let aggregate = AggregateId::from(&self.order.order_id);
        let reply = self.emit.reply(aggregate, self.order.seq, verdict);
        self.effects.push(OrderEffect::Reply(reply));
    }

    pub(super) fn audit(&mut self, note: Note) {
        let aggregate = AggregateId::from(&self.order.order_id);
        let entry = self.emit.audit(aggregate, "order", note);
        self.effects.push(OrderEffect::Audit(entry));
    }

    /// Ends the step: shows the order if it has changed.
    pub(super) fn finish(mut self) -> Step<OrderState, OrderEffect> {
        if self.changed {
            self.order.updated_at_ms = self.emit.at().as_millis();
            let shown = Box::new(view(&self.order));
            self.effects.push(OrderEffect::View(shown));
        }
        Step {
            deadline: self.order.deadline_ms.map(Timestamp::from_millis),
            state: Some(self.order),
            effects: self.effects,
        }
    }
}
