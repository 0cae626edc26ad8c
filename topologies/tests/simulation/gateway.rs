//! A gateway that declines, is silent and loses its answers, but never charges an attempt twice.

use std::collections::BTreeMap;

use millrace_avro::events::orders::CaptureMode;
use millrace_avro::events::payments::{
    GatewayAction, GatewayCall, GatewayFact, GatewayFactKind as Kind,
};
use millrace_avro::keys::{OrderId, PaymentId, RefundId};
use millrace_avro::money::Money;

/// The method whose authorisation is declined.
pub(crate) const DECLINED: &str = "pm_decline";
/// The method that is never authorised, nor declined.
pub(crate) const SILENT: &str = "pm_silent";

/// What the gateway has in its own books.
#[derive(Default)]
pub(crate) struct Gateway {
    charges: BTreeMap<PaymentId, Charge>,
    facts: u64,
}

struct Charge {
    order: OrderId,
    amount: Money,
    captured: i64,
    is_open: bool,
    is_void: bool,
    refunds: BTreeMap<RefundId, i64>,
    /// Everything that was ever said about it.
    said: Vec<GatewayFact>,
}

impl Gateway {
    /// Carries a call out, once, and says everything it knows of the charge.
    pub(crate) fn answer(&mut self, call: &GatewayCall) -> Vec<GatewayFact> {
        let is_new = !self.charges.contains_key(&call.payment_id);
        let charge = self.charges.entry(call.payment_id.clone());
        charge.or_insert_with(|| Charge::of(call));
        match call.action {
            GatewayAction::Authorize if is_new => self.authorize(call),
            GatewayAction::Authorize => {}
            GatewayAction::Capture => self.capture(call),
            GatewayAction::Void => self.void(call),
            GatewayAction::Refund => self.refund(call),
        }
        self.charge(call).said.clone()
    }

    /// What is kept of an order's money, and how many authorisations are open.
    pub(crate) fn books(&self, order: &OrderId) -> (i64, usize) {
        let mine = || self.charges.values().filter(|one| one.order == *order);
        let kept = mine().map(|one| one.captured - one.refunds.values().sum::<i64>());
        (kept.sum(), mine().filter(|one| one.is_open).count())
    }

    /// How often money went back.
    pub(crate) fn refunds(&self) -> usize {
        self.charges.values().map(|one| one.refunds.len()).sum()
    }

    fn authorize(&mut self, call: &GatewayCall) {
        match call.method.as_str() {
            DECLINED => return self.say(call, "auth", Kind::Failed),
            SILENT => return,
            _ => {}
        }
        self.charge(call).is_open = true;
        self.say(call, "auth", Kind::Authorized);
        if call.capture == CaptureMode::Automatic {
            self.capture(call);
        }
    }

    fn capture(&mut self, call: &GatewayCall) {
        let charge = self.charge(call);
        if charge.is_open {
            charge.is_open = false;
            charge.captured = charge.amount.minor;
            self.say(call, "cap", Kind::Captured);
        }
    }

    fn void(&mut self, call: &GatewayCall) {
        let charge = self.charge(call);
        if charge.captured == 0 && !charge.is_void {
            charge.is_open = false;
            charge.is_void = true;
            self.say(call, "auth", Kind::Voided);
        }
    }

    fn refund(&mut self, call: &GatewayCall) {
        let refund = call.refund_id.clone().expect("a refund has an id");
        let charge = self.charge(call);
        if charge.refunds.contains_key(&refund) {
            return;
        }
        charge.refunds.insert(refund.clone(), call.amount.minor);
        let refunded: i64 = charge.refunds.values().sum();
        assert!(refunded <= charge.captured, "refunds more than it has");
        self.push(call, format!("re-{refund}"), Kind::Refunded, call.amount);
    }

    fn say(&mut self, call: &GatewayCall, about: &str, kind: Kind) {
        let amount = self.charge(call).amount;
        let reference = format!("{about}-{}", call.payment_id);
        self.push(call, reference, kind, amount);
    }

    fn push(&mut self, call: &GatewayCall, reference: String, kind: Kind, amount: Money) {
        self.facts += 1;
        let refund_id = call.refund_id.clone();
        let fact = GatewayFact {
            fact_id: format!("fact-{}", self.facts),
            reference,
            kind,
            amount,
            occurred_at_ms: i64::try_from(self.facts).expect("few"),
            refund_id: refund_id.filter(|_| kind == Kind::Refunded),
            detail: None,
        };
        self.charge(call).said.push(fact);
    }

    fn charge(&mut self, call: &GatewayCall) -> &mut Charge {
        let charge = self.charges.get_mut(&call.payment_id);
        charge.expect("the charge is known")
    }
}

impl Charge {
    fn of(call: &GatewayCall) -> Self {
        Self {
            order: call.order_id.clone(),
            amount: call.amount,
            captured: 0,
            is_open: false,
            is_void: false,
            refunds: BTreeMap::new(),
            said: Vec::new(),
        }
    }
}
