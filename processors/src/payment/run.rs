//! One step of an order's payments: take the command in, recompute, tell what has changed.

use millrace_avro::events::payments::{
    AttemptStatus, CapturePayment, GatewayAction, GatewayReported, PaymentAttempt, PaymentCommand,
    PaymentEvent, PaymentInitiated, PaymentStanding, PaymentsState, Refund, RefundPayment,
    RefundStatus, StartPayment,
};
use millrace_avro::keys::AggregateId;
use millrace_avro::money::{Currency, Money};
use millrace_streams::Timestamp;

use super::fold::{self, is_open, refundable};
use super::told::standing_mut;
use super::view::view;
use super::{PaymentEffect, PaymentLimits};
use crate::emit::{Emitter, Note, Refusal, Verdict};
use crate::transition::Step;

/// The payments of an order in the middle of a step.
pub(super) struct Run<'a> {
    pub(super) payments: PaymentsState,
    pub(super) limits: &'a PaymentLimits,
    pub(super) emit: Emitter,
    pub(super) effects: Vec<PaymentEffect>,
    /// Facts to tell when the step ends, with a standing that is still to be filled in.
    told: Vec<PaymentEvent>,
}

impl<'a> Run<'a> {
    pub(super) fn new(payments: PaymentsState, limits: &'a PaymentLimits, emit: Emitter) -> Self {
        Self {
            payments,
            limits,
            emit,
            effects: Vec::new(),
            told: Vec::new(),
        }
    }

    pub(super) fn obey(&mut self, command: &PaymentCommand) {
        match command {
            PaymentCommand::Start(start) => self.start(start),
            PaymentCommand::Capture(capture) => self.capture(capture),
            PaymentCommand::Undo(_) => self.undo(),
            PaymentCommand::Refund(refund) => self.refund(refund),
            PaymentCommand::GatewayReported(report) => self.take_report(report),
        }
    }

    fn start(&mut self, start: &StartPayment) {
        let mut known = self.payments.attempts.iter();
        if known.any(|attempt| attempt.payment_id == start.payment_id) {
            return;
        }
        let currency = *self.payments.currency.get_or_insert(start.amount.currency);
        if currency != start.amount.currency || start.amount.minor <= 0 {
            return self.audit(Note::alert(
                "invalid-amount",
                "an attempt that cannot be paid",
            ));
        }
        // An order that has ended, or is paid by an attempt that was believed to have failed, begins
        // no payment: it hears that the new attempt has failed.
        let undone = self.payments.undone || self.is_covered(start.amount);
        if !undone {
            self.give_up_earlier_attempts();
        }
        self.payments.attempts.push(PaymentAttempt {
            payment_id: start.payment_id.clone(),
            number: start.number,
            amount: start.amount,
            method: start.method.clone(),
            capture: start.capture,
            status: AttemptStatus::Initiated,
            facts: Vec::new(),
            unwanted: undone,
            abandoned: undone,
            awaiting: None,
            tries: 0,
            due_ms: None,
            created_at_ms: self.emit.at().as_millis(),
        });
        let index = self.payments.attempts.len() - 1;
        self.tell(PaymentInitiated {
            order_id: self.payments.order_id.clone(),
            payment_id: start.payment_id.clone(),
            amount: start.amount,
            standing: unfilled(currency),
        });
        if !undone {
            self.ask(index, GatewayAction::Authorize);
        }
        self.settle(index);
    }

    fn is_covered(&self, amount: Money) -> bool {
        let wanted = self.payments.attempts.iter().filter(|a| !a.unwanted);
        let kept: i64 = wanted.map(|a| fold::kept(&self.payments, a)).sum();
        kept >= amount.minor
    }

    /// One attempt at a time may take money: what an earlier one still takes goes back.
    fn give_up_earlier_attempts(&mut self) {
        for index in 0..self.payments.attempts.len() {
            self.payments.attempts[index].unwanted = true;
            self.settle(index);
        }
    }

    fn capture(&mut self, capture: &CapturePayment) {
        let mut attempts = self.payments.attempts.iter();
        let wanted = |attempt: &PaymentAttempt| attempt.payment_id == capture.payment_id;
        let Some(index) = attempts.position(wanted) else {
            return self.refuse("unknown-payment", "there is no such payment attempt");
        };
        let attempt = &self.payments.attempts[index];
        match attempt.status {
            AttemptStatus::Authorized if attempt.unwanted => {
                self.refuse("payment-undone", "the payment is on its way back");
            }
            AttemptStatus::Authorized => {
                let is_asked = attempt.awaiting == Some(GatewayAction::Capture);
                if !is_asked || attempt.due_ms.is_none() {
                    self.ask(index, GatewayAction::Capture);
                }
                self.reply(&Verdict::Accepted);
            }
            AttemptStatus::Captured => self.reply(&Verdict::Unchanged),
            _ => self.refuse("not-authorized", "nothing is set aside to be taken"),
        }
    }

    fn undo(&mut self) {
        self.payments.undone = true;
        self.payments.undo_rounds += 1;
        for index in 0..self.payments.attempts.len() {
            self.payments.attempts[index].unwanted = true;
            self.settle(index);
        }
        self.revive_calls();
    }

    fn refund(&mut self, asked: &RefundPayment) {
        let mut known = self.payments.refunds.iter();
        if known.any(|refund| refund.refund_id == asked.refund_id) {
            return self.reply(&Verdict::Unchanged);
        }
        if self.payments.refunds.len() >= self.limits.refunds_max {
            // The order itself may have asked, and nobody reads the answer.
            let detail = format!("{} have to go back by hand", asked.amount);
            self.audit(Note::alert("refund-impossible", detail));
            return self.refuse("too-many-refunds", "the order has too many refunds");
        }
        match self.attempt_to_refund(asked) {
            Ok(index) => {
                self.hold_refund(index, asked.clone());
                self.reply(&Verdict::Accepted);
            }
            Err(refusal) => self.reply(&Verdict::Refused(refusal)),
        }
    }

    /// The attempt that has enough money left.
    fn attempt_to_refund(&self, asked: &RefundPayment) -> Result<usize, Refusal> {
        if asked.amount.minor <= 0 || Some(asked.amount.currency) != self.payments.currency {
            return Err(Refusal::new(
                "invalid-amount",
                "nothing that could be refunded",
            ));
        }
        let wanted = |attempt: &PaymentAttempt| {
            asked
                .payment_id
                .as_ref()
                .is_none_or(|id| *id == attempt.payment_id)
        };
        let attempts = self.payments.attempts.iter().enumerate();
        let mut candidates = attempts.filter(|(_, attempt)| wanted(attempt)).peekable();
        if candidates.peek().is_none() {
            return Err(Refusal::new(
                "unknown-payment",
                "there is no such payment attempt",
            ));
        }
        let mut most = 0;
        for (index, attempt) in candidates {
            let left = refundable(&self.payments, attempt);
            if left >= asked.amount.minor {
                return Ok(index);
            }
            most = most.max(left);
        }
        let left = Money::new(most, asked.amount.currency);
        let detail = format!("{left} are left to be refunded");
        Err(Refusal::new("refund-exceeds-captured", detail))
    }

    /// Takes in what a gateway says. A fact that is known already changes nothing.
    fn take_report(&mut self, report: &GatewayReported) {
        let mut attempts = self.payments.attempts.iter();
        let Some(index) = attempts.position(|a| a.payment_id == report.payment_id) else {
            return self.audit(Note::alert(
                "unknown-payment",
                format!("a gateway speaks of `{}`", report.payment_id),
            ));
        };
        let before = fold::sums(&self.payments.attempts[index].facts);
        let attempt = &mut self.payments.attempts[index];
        let mut news = 0;
        for fact in &report.facts {
            let known = attempt
                .facts
                .iter()
                .any(|known| known.fact_id == fact.fact_id);
            let foreign = fact.amount.currency != attempt.amount.currency;
            if !known && !foreign && attempt.facts.len() < self.limits.facts_max {
                attempt.facts.push(fact.clone());
                news += 1;
            }
        }
        if news == 0 {
            return self.audit(Note::info(
                "duplicate-report",
                "nothing new from the gateway",
            ));
        }
        let after = fold::sums(&attempt.facts);
        self.settle(index);
        if after != before && self.told.is_empty() {
            self.tell_status(index);
        }
        if after.captured > before.captured && self.payments.attempts[index].unwanted {
            self.audit(Note::alert(
                "late-capture",
                "money of an ended order goes back",
            ));
        }
    }

    /// Adds a fact to be told, with a standing that is filled in when the step ends: all facts of
    /// a step carry what the step has come to.
    pub(super) fn tell(&mut self, fact: impl Into<PaymentEvent>) {
        self.told.push(fact.into());
    }

    /// True if this step tells of money that went back.
    pub(super) fn has_told_refund(&self) -> bool {
        let mut told = self.told.iter();
        told.any(|fact| matches!(fact, PaymentEvent::Refunded(_)))
    }

    fn refuse(&mut self, code: &'static str, detail: &str) {
        self.reply(&Verdict::Refused(Refusal::new(code, detail)));
    }

    fn reply(&mut self, verdict: &Verdict) {
        let aggregate = AggregateId::from(&self.payments.order_id);
        let reply = self.emit.reply(aggregate, self.payments.seq, verdict);
        self.effects.push(PaymentEffect::Reply(reply));
    }

    pub(super) fn audit(&mut self, note: Note) {
        let aggregate = AggregateId::from(&self.payments.order_id);
        let entry = self.emit.audit(aggregate, "payment", note);
        self.effects.push(PaymentEffect::Audit(entry));
    }

    /// Ends the step: tells the facts, and shows the attempts if there are any.
    pub(super) fn finish(mut self) -> Step<PaymentsState, PaymentEffect> {
        let currency = self.payments.currency;
        let changed = !self.told.is_empty();
        let mut facts = Vec::with_capacity(self.told.len());
        for mut fact in std::mem::take(&mut self.told) {
            if let Some(currency) = currency {
                let standing = standing_mut(&mut fact);
                *standing = fold::standing(&self.payments, currency);
                standing.revision = self.payments.seq + 1;
            }
            let event = self.emit.fact(&mut self.payments.seq, fact);
            facts.push(PaymentEffect::Fact(event));
        }
        self.effects.splice(0..0, facts);
        if changed {
            for attempt in &self.payments.attempts {
                let shown = Box::new(view(&self.payments, attempt));
                let effect = PaymentEffect::View(attempt.payment_id.clone(), shown);
                self.effects.push(effect);
            }
        }
        Step {
            deadline: next_due(&self.payments),
            state: Some(self.payments),
            effects: self.effects,
        }
    }
}

/// When somebody has to be asked again.
pub(super) fn next_due(payments: &PaymentsState) -> Option<Timestamp> {
    let attempts = payments
        .attempts
        .iter()
        .filter_map(|attempt| attempt.due_ms);
    let open = payments.refunds.iter().filter(|refund| is_open(refund));
    let refunds = open.filter_map(|refund: &Refund| refund.due_ms);
    attempts.chain(refunds).min().map(Timestamp::from_millis)
}

/// A standing that is to be filled in when the step ends.
pub(super) fn unfilled(currency: Currency) -> PaymentStanding {
    let nothing = Money::zero(currency);
    PaymentStanding {
        revision: 0,
        attempts: Vec::new(),
        captured: nothing,
        refunded: nothing,
        refunding: nothing,
        refunds: Vec::new(),
    }
}

/// A refund that is being asked for.
pub(super) fn new_refund(asked: RefundPayment, attempt: &PaymentAttempt, at: Timestamp) -> Refund {
    Refund {
        refund_id: asked.refund_id,
        payment_id: attempt.payment_id.clone(),
        amount: asked.amount,
        reason: asked.reason,
        status: RefundStatus::Requested,
        tries: 0,
        due_ms: None,
        requested_at_ms: at.as_millis(),
    }
}
