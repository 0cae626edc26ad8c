//! What follows from a step: facts are told and audited, messages go on their way, and the gateway
//! answers.

use std::fmt::Write as _;

use millrace_avro::event::{Event, EventSet};
use millrace_avro::events::audit::OrderAudit;
use millrace_avro::events::common::AuditEvent;
use millrace_avro::events::inventory::StockState;
use millrace_avro::events::orders::{OrderEvent, OrderState};
use millrace_avro::events::payments::{
    GatewayCall, GatewayEffect, GatewayFact, GatewayReported, PaymentsState,
};
use millrace_avro::keys::{OrderId, PaymentId, Sku};
use millrace_processors::audit::{OrderAuditor, OrderFact, StockAuditor};
use millrace_processors::inventory::InventoryEffect;
use millrace_processors::order::{OrderEffect, OrderInput};
use millrace_processors::payment::PaymentEffect;
use millrace_processors::transition::{Step, Transition};

use super::{Message, World};
use crate::gateway::Mood;

impl World {
    pub(super) fn order_stepped(&mut self, id: OrderId, step: Step<OrderState, OrderEffect>) {
        for effect in step.effects {
            match effect {
                OrderEffect::Fact(event) => {
                    self.told(&format!("order {id}"), &event);
                    if let OrderEvent::RestCancelled(rest) = &event.body {
                        *self.promised.entry(id.clone()).or_default() += rest.refund.minor;
                    }
                    self.audit_order(&id, &OrderFact::Order(event));
                }
                OrderEffect::Stock(sku, event) => self.under_way.push(Message::Stock(sku, event)),
                OrderEffect::Payment(event) => {
                    self.under_way.push(Message::Payment(id.clone(), event));
                }
                OrderEffect::Cart(..)
                | OrderEffect::Reply(_)
                | OrderEffect::Audit(_)
                | OrderEffect::View(_) => {}
            }
        }
        if let Some(state) = step.state {
            self.orders.insert(id, (state, step.deadline));
        }
    }

    pub(super) fn stock_stepped(&mut self, sku: Sku, step: Step<StockState, InventoryEffect>) {
        for effect in step.effects {
            match effect {
                InventoryEffect::Fact(event) => {
                    self.told(&format!("stock {sku}"), &event);
                    let state = self.stock_audits.remove(&sku).map(|(state, _)| state);
                    let step = StockAuditor.on_event(&sku, state, &event, self.now);
                    assert_eq!(step.effects, [], "the auditor complains about {sku}");
                    self.stock_audits
                        .insert(sku.clone(), (step.state.unwrap(), None));
                }
                InventoryEffect::Answer(order, event) => {
                    self.audit_order(&order, &OrderFact::Stock(event.clone()));
                    let input = OrderInput::Stock(event);
                    self.under_way.push(Message::Order(order, input));
                }
                InventoryEffect::Audit(event) => self.noted(&event),
                InventoryEffect::Reply(_) | InventoryEffect::View(_) => {}
            }
        }
        if let Some(state) = step.state {
            self.stock.insert(sku, (state, step.deadline));
        }
    }

    pub(super) fn payments_stepped(
        &mut self,
        id: OrderId,
        step: Step<PaymentsState, PaymentEffect>,
    ) {
        for effect in step.effects {
            match effect {
                PaymentEffect::Fact(event) => {
                    self.told(&format!("payments {id}"), &event);
                    self.audit_order(&id, &OrderFact::Payment(event.clone()));
                    let input = OrderInput::Payment(event);
                    self.under_way.push(Message::Order(id.clone(), input));
                }
                PaymentEffect::Call(event) => {
                    let GatewayEffect::Call(call) = event.body;
                    self.under_way.push(Message::Call(call));
                }
                PaymentEffect::Reply(_) | PaymentEffect::Audit(_) | PaymentEffect::View(..) => {}
            }
        }
        if let Some(state) = step.state {
            self.payments.insert(id, (state, step.deadline));
        }
    }

    fn audit_order(&mut self, id: &OrderId, fact: &OrderFact) {
        let state = self.order_audits.remove(id).map(|(state, _)| state);
        let step = OrderAuditor::default().on_event(id, state, fact, self.now);
        self.order_audited(id.clone(), step);
    }

    pub(super) fn order_audited(&mut self, id: OrderId, step: Step<OrderAudit, Event<AuditEvent>>) {
        // While messages are held up for longer than any deadline, the auditor may well worry.
        if self.calm {
            assert_eq!(step.effects, [], "the auditor complains about {id}");
        }
        self.order_audits
            .insert(id, (step.state.unwrap(), step.deadline));
    }
    pub(super) fn call_gateway(&mut self, call: &GatewayCall) {
        let mood = Mood {
            declines: !self.calm && self.roll(4) == 0,
            wants_action: !self.calm && self.roll(4) == 0,
            refund_fails: !self.calm && self.roll(4) == 0,
        };
        let said = self.gateway.answer(call, &mood);
        let reply_is_lost = !self.calm && self.roll(5) == 0;
        if !reply_is_lost {
            // A gateway tells what has happened in any order, and not all of it every time.
            let some = match self.calm {
                true => said,
                false => said
                    .into_iter()
                    .filter(|_| self.roll(4) > 0)
                    .rev()
                    .collect(),
            };
            self.report(call.order_id.clone(), call.payment_id.clone(), some);
        }
    }

    pub(super) fn report(
        &mut self,
        order_id: OrderId,
        payment_id: PaymentId,
        facts: Vec<GatewayFact>,
    ) {
        let event = self.event(GatewayReported {
            order_id: order_id.clone(),
            payment_id,
            facts,
        });
        self.under_way.push(Message::Payment(order_id, event));
    }

    /// Facts of an aggregate are numbered from 1 without gaps.
    fn told<E: EventSet + std::fmt::Debug>(&mut self, aggregate: &str, event: &Event<E>) {
        let last = self.last_seq.entry(aggregate.to_owned()).or_default();
        assert_eq!(event.meta.seq, *last + 1, "{aggregate}");
        *last = event.meta.seq;
        writeln!(self.story, "{aggregate} {event:?}").unwrap();
    }
}
