//! A payment gateway that declines, dawdles, loses replies and speaks out of turn, but that
//! never charges an idempotency key twice.

use std::collections::BTreeMap;

use millrace_avro::events::orders::CaptureMode;
use millrace_avro::events::payments::{
    GatewayAction, GatewayCall, GatewayFact, GatewayFactKind as Kind,
};
use millrace_avro::keys::{PaymentId, RefundId};
use millrace_avro::money::Money;

/// What the gateway has in its own books.
#[derive(Debug, Default)]
pub(crate) struct Gateway {
    charges: BTreeMap<PaymentId, Charge>,
    clock: i64,
    facts: u64,
}

#[derive(Debug)]
struct Charge {
    amount: Money,
    captured: i64,
    open: bool,
    void: bool,
    refunds: BTreeMap<RefundId, i64>,
    /// Everything that was ever said about it.
    said: Vec<GatewayFact>,
}

/// How the gateway decides, drawn for each call.
pub(crate) struct Mood {
    pub(crate) declines: bool,
    pub(crate) wants_action: bool,
    pub(crate) refund_fails: bool,
}

impl Gateway {
    /// Carries a call out, once per charge, and says everything it knows of it.
    pub(crate) fn answer(&mut self, call: &GatewayCall, mood: &Mood) -> Vec<GatewayFact> {
        let id = &call.payment_id;
        if !self.charges.contains_key(id) {
            self.charges.insert(
                id.clone(),
                Charge {
                    amount: call.amount,
                    captured: 0,
                    open: false,
                    void: false,
                    refunds: BTreeMap::new(),
                    said: Vec::new(),
                },
            );
            match call.action {
                GatewayAction::Authorize if mood.declines => self.say(id, "auth", Kind::Failed),
                GatewayAction::Authorize if mood.wants_action => {
                    self.say(id, "auth", Kind::RequiresAction);
                }
                GatewayAction::Authorize => self.authorize(id, call.capture),
                _ => {}
            }
        }
        match call.action {
            GatewayAction::Authorize => {}
            GatewayAction::Capture => self.capture(id),
            GatewayAction::Void => self.void(id),
            GatewayAction::Refund => self.refund(call, mood),
        }
        self.charges[id].said.clone()
    }

    /// The customer has acted; `None` when there is nothing to act upon.
    pub(crate) fn customer_acts(
        &mut self,
        id: &PaymentId,
        agrees: bool,
    ) -> Option<Vec<GatewayFact>> {
        let charge = self.charges.get(id)?;
        let waits = charge.said.last()?.kind == Kind::RequiresAction;
        if !waits || charge.void {
            return None;
        }
        match agrees {
            true => self.authorize(id, CaptureMode::Automatic),
            false => self.say(id, "auth", Kind::Failed),
        }
        Some(self.charges[id].said.clone())
    }

    /// Captured and not refunded, open authorisations, and the largest capture of one charge in
    /// excess of its amount.
    pub(crate) fn books(&self, ids: &[PaymentId]) -> (i64, usize, i64) {
        let charges = || ids.iter().filter_map(|id| self.charges.get(id));
        let kept = charges().map(|c| c.captured - c.refunds.values().sum::<i64>());
        let open = charges().filter(|charge| charge.open).count();
        let excess = charges().map(|charge| charge.captured - charge.amount.minor);
        (kept.sum(), open, excess.max().unwrap_or(0))
    }

    fn authorize(&mut self, id: &PaymentId, capture: CaptureMode) {
        self.charge(id).open = true;
        self.say(id, "auth", Kind::Authorized);
        if capture == CaptureMode::Automatic && self.facts.is_multiple_of(2) {
            self.capture(id);
        }
    }

    fn capture(&mut self, id: &PaymentId) {
        let charge = self.charge(id);
        if charge.open {
            charge.open = false;
            charge.captured = charge.amount.minor;
            self.say(id, "cap", Kind::Captured);
        }
    }

    fn void(&mut self, id: &PaymentId) {
        let charge = self.charge(id);
        if charge.captured == 0 && !charge.void {
            charge.open = false;
            charge.void = true;
            self.say(id, "auth", Kind::Voided);
        }
    }

    fn refund(&mut self, call: &GatewayCall, mood: &Mood) {
        let Some(refund_id) = call.refund_id.clone() else {
            panic!("a refund without its id");
        };
        let about = |fact: &&GatewayFact| fact.refund_id.as_ref() == Some(&refund_id);
        let charge = self.charge(&call.payment_id);
        if charge.said.iter().any(|fact| about(&fact)) {
            return;
        }
        let refunded: i64 = charge.refunds.values().sum();
        assert!(
            refunded + call.amount.minor <= charge.captured,
            "refunds more than there is"
        );
        let failed_before = charge
            .said
            .iter()
            .filter(|f| f.kind == Kind::RefundFailed)
            .count();
        let kind = match mood.refund_fails && failed_before < 2 {
            true => Kind::RefundFailed,
            false => Kind::Refunded,
        };
        if kind == Kind::Refunded {
            charge.refunds.insert(refund_id.clone(), call.amount.minor);
        }
        let reference = format!("re-{refund_id}");
        self.push(
            &call.payment_id,
            &reference,
            kind,
            call.amount,
            Some(refund_id),
        );
    }

    fn say(&mut self, id: &PaymentId, reference: &str, kind: Kind) {
        let amount = self.charges[id].amount;
        self.push(id, &format!("{reference}-{id}"), kind, amount, None);
    }

    fn push(
        &mut self,
        id: &PaymentId,
        reference: &str,
        kind: Kind,
        amount: Money,
        refund_id: Option<RefundId>,
    ) {
        self.clock += 1;
        self.facts += 1;
        let fact = GatewayFact {
            fact_id: format!("fact-{}", self.facts),
            reference: reference.to_owned(),
            kind,
            amount,
            occurred_at_ms: self.clock,
            refund_id,
            detail: None,
        };
        self.charge(id).said.push(fact);
    }

    fn charge(&mut self, id: &PaymentId) -> &mut Charge {
        self.charges.get_mut(id).expect("the charge is known")
    }
}
