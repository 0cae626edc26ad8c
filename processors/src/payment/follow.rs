//! What follows from an attempt's facts: what to tell, and what to ask the gateway next.

use millrace_avro::event::EventId;
use millrace_avro::events::orders::CaptureMode;
use millrace_avro::events::payments::{
    AttemptStatus, GatewayAction, GatewayCall, GatewayEffect, PaymentAuthorized, PaymentCaptured,
    PaymentDisputeClosed, PaymentDisputed, PaymentEvent, PaymentFailed, PaymentProcessing,
    PaymentRefundFailed, PaymentRefundRequested, PaymentRefunded, PaymentRequiresAction,
    PaymentVoided, Refund, RefundPayment, RefundStatus,
};
use millrace_avro::keys::RefundId;
use millrace_avro::money::Money;

use super::PaymentEffect;
use super::fold::{self, refundable};
use super::run::{Run, new_refund, unfilled};
use crate::emit::Note;

impl Run<'_> {
    /// Brings an attempt up to date with its facts, tells what has changed, and asks the gateway
    /// for the next step.
    pub(super) fn settle(&mut self, index: usize) {
        self.settle_refunds(index);
        let attempt = &mut self.payments.attempts[index];
        let (before, after) = (attempt.status, fold::status(attempt));
        attempt.status = after;
        self.drop_answered_call(index);
        let refunds_only = |status| {
            matches!(
                status,
                AttemptStatus::PartiallyRefunded | AttemptStatus::Refunded
            )
        };
        if before != after && !(refunds_only(after) && refunds_only(before)) {
            self.tell_status(index);
        }
        self.ask_next(index);
    }

    /// Brings the refunds of an attempt up to date, and tells which were decided.
    fn settle_refunds(&mut self, index: usize) {
        let attempt = &self.payments.attempts[index];
        let mut decided = Vec::new();
        for refund in &mut self.payments.refunds {
            if refund.payment_id != attempt.payment_id {
                continue;
            }
            let status = fold::refund_status(refund, &attempt.facts);
            if status != refund.status {
                refund.status = status;
                refund.due_ms = match status {
                    RefundStatus::Pending => refund.due_ms,
                    _ => None,
                };
                decided.push(refund.clone());
            }
        }
        for refund in decided {
            match refund.status {
                RefundStatus::Succeeded => self.tell_refunded(index, Some(refund.refund_id)),
                RefundStatus::Failed => {
                    let reason = fold::detail(&self.payments.attempts[index]);
                    let reason = reason.unwrap_or_else(|| "refused by the gateway".to_owned());
                    self.tell_refund_failed(refund.refund_id, refund.amount, index, reason);
                }
                RefundStatus::Requested | RefundStatus::Pending => {}
            }
        }
    }

    /// Waits no longer for what the facts have answered.
    fn drop_answered_call(&mut self, index: usize) {
        use AttemptStatus as A;
        let progress = self.emit.at() + self.limits.progress_within;
        let attempt = &mut self.payments.attempts[index];
        let said = fold::said(&attempt.facts);
        let answered = match attempt.awaiting {
            None => false,
            Some(GatewayAction::Authorize) => said != A::Initiated,
            Some(_) => !fold::is_undecided(said) && said != A::Authorized,
        };
        if answered {
            attempt.awaiting = None;
            attempt.tries = 0;
        }
        let works_on_it = matches!(attempt.status, A::RequiresAction | A::Processing);
        match attempt.awaiting {
            Some(_) => {}
            None if works_on_it && !answered && attempt.due_ms.is_some() => {}
            None => attempt.due_ms = works_on_it.then(|| progress.as_millis()),
        }
    }

    /// Asks the gateway for what the attempt needs next, unless that is asked already.
    fn ask_next(&mut self, index: usize) {
        use AttemptStatus as A;
        let attempt = &self.payments.attempts[index];
        let next = match (attempt.status, attempt.unwanted) {
            (A::Initiated | A::RequiresAction | A::Processing | A::Authorized, true) => {
                Some(GatewayAction::Void)
            }
            (A::Authorized, false) if attempt.capture == CaptureMode::Automatic => {
                Some(GatewayAction::Capture)
            }
            _ => None,
        };
        if let Some(next) = next.filter(|next| attempt.awaiting != Some(*next)) {
            self.ask(index, next);
        }
        let attempt = &self.payments.attempts[index];
        let left = refundable(&self.payments, attempt);
        if attempt.unwanted && left > 0 {
            self.send_back(index, left);
        }
    }

    /// Sends all the money of an unwanted attempt back.
    fn send_back(&mut self, index: usize, minor: i64) {
        let attempt = &self.payments.attempts[index];
        let mine = |refund: &&Refund| refund.payment_id == attempt.payment_id;
        let number = self.payments.refunds.iter().filter(mine).count();
        if number >= self.limits.refunds_of_undone_max {
            let note = Note::alert("refund-impossible", "money has to go back by hand");
            return self.audit(note);
        }
        let cause = EventId::new(attempt.payment_id.as_str());
        let id = EventId::derive(&cause, "refund", u32::try_from(number).unwrap_or(u32::MAX));
        let asked = RefundPayment {
            order_id: self.payments.order_id.clone(),
            // Invariant: a derived id is a UUID, which every key may be.
            refund_id: RefundId::new(id.as_str()).expect("a UUID is a key"),
            payment_id: Some(attempt.payment_id.clone()),
            amount: Money::new(minor, attempt.amount.currency),
            reason: "payment-undone".to_owned(),
        };
        self.hold_refund(index, asked);
    }

    /// Holds a refund against the captured amount, and asks the gateway for it.
    pub(super) fn hold_refund(&mut self, index: usize, asked: RefundPayment) {
        let attempt = &self.payments.attempts[index];
        let fact = PaymentRefundRequested {
            order_id: self.payments.order_id.clone(),
            payment_id: attempt.payment_id.clone(),
            refund_id: asked.refund_id.clone(),
            amount: asked.amount,
            reason: asked.reason.clone(),
            standing: unfilled(asked.amount.currency),
        };
        let refund = new_refund(asked, attempt, self.emit.at());
        self.payments.refunds.push(refund);
        self.tell(fact);
        self.ask_refund(self.payments.refunds.len() - 1);
    }

    /// Asks the gateway something about an attempt, for the first time.
    pub(super) fn ask(&mut self, index: usize, action: GatewayAction) {
        let attempt = &mut self.payments.attempts[index];
        attempt.awaiting = Some(action);
        attempt.tries = 0;
        self.ask_once_more(index);
    }

    fn ask_once_more(&mut self, index: usize) {
        let attempt = &mut self.payments.attempts[index];
        let Some(action) = attempt.awaiting else {
            return;
        };
        attempt.tries += 1;
        let due = self.emit.at() + self.limits.patience(attempt.tries);
        attempt.due_ms = Some(due.as_millis());
        let id = attempt.payment_id.as_str();
        let winners = fold::winners(&attempt.facts);
        let call = GatewayCall {
            order_id: self.payments.order_id.clone(),
            payment_id: attempt.payment_id.clone(),
            action,
            // One charge per attempt: its id is the key of the charge.
            idempotency_key: match action {
                GatewayAction::Authorize => id.to_owned(),
                GatewayAction::Capture => format!("{id}:capture"),
                GatewayAction::Void | GatewayAction::Refund => format!("{id}:void"),
            },
            amount: attempt.amount,
            method: attempt.method.clone(),
            capture: attempt.capture,
            reference: winners.first().map(|fact| fact.reference.clone()),
            refund_id: None,
            attempt: attempt.tries,
        };
        self.call(call);
    }

    fn ask_refund(&mut self, index: usize) {
        let refund = &mut self.payments.refunds[index];
        refund.tries += 1;
        let due = self.emit.at() + self.limits.patience(refund.tries);
        refund.due_ms = Some(due.as_millis());
        let refund = &self.payments.refunds[index];
        let mut attempts = self.payments.attempts.iter();
        let Some(attempt) = attempts.find(|a| a.payment_id == refund.payment_id) else {
            return;
        };
        let captures = fold::winners(&attempt.facts);
        let call = GatewayCall {
            order_id: self.payments.order_id.clone(),
            payment_id: refund.payment_id.clone(),
            action: GatewayAction::Refund,
            idempotency_key: refund.refund_id.as_str().to_owned(),
            amount: refund.amount,
            method: attempt.method.clone(),
            capture: attempt.capture,
            reference: captures.first().map(|fact| fact.reference.clone()),
            refund_id: Some(refund.refund_id.clone()),
            attempt: refund.tries,
        };
        self.call(call);
    }

    fn call(&mut self, call: GatewayCall) {
        let event = self.emit.event::<GatewayEffect>(call);
        self.effects.push(PaymentEffect::Call(event));
    }

    /// Asks again what was not answered in time, and gives up what was asked too often.
    pub(super) fn ask_again(&mut self) {
        let now = self.emit.at().as_millis();
        for index in 0..self.payments.attempts.len() {
            if self.payments.attempts[index]
                .due_ms
                .is_some_and(|due| due <= now)
            {
                self.attempt_is_due(index);
            }
        }
        for index in 0..self.payments.refunds.len() {
            let refund = &self.payments.refunds[index];
            if fold::is_open(refund) && refund.due_ms.is_some_and(|due| due <= now) {
                self.refund_is_due(index);
            }
        }
    }

    fn attempt_is_due(&mut self, index: usize) {
        let attempt = &mut self.payments.attempts[index];
        let capture = attempt.capture;
        let tries_max = attempt
            .awaiting
            .map(|action| self.limits.tries(action, capture));
        if tries_max.is_some_and(|tries_max| attempt.tries < tries_max) {
            return self.ask_once_more(index);
        }
        attempt.due_ms = None;
        let (id, manual) = (
            attempt.payment_id.clone(),
            attempt.capture == CaptureMode::Manual,
        );
        match attempt.awaiting {
            Some(GatewayAction::Void) => {
                let detail = format!("`{id}` was neither voided nor refused; look at the gateway");
                return self.audit(Note::alert("void-unanswered", detail));
            }
            // Goods may have left for this money: it is not given up by itself.
            Some(GatewayAction::Capture) if manual => {
                let detail = format!("`{id}` was not captured; ask again");
                return self.audit(Note::alert("capture-unanswered", detail));
            }
            _ => {}
        }
        let attempt = &mut self.payments.attempts[index];
        // It may have taken money all the same: then that money goes back by itself.
        attempt.unwanted = true;
        attempt.abandoned = true;
        self.settle(index);
        // Nobody knows whether the gateway has heard of it.
        if self.payments.attempts[index].awaiting != Some(GatewayAction::Void) {
            self.ask(index, GatewayAction::Void);
        }
    }

    /// Asks once more what had been asked too often, because somebody wants the money back again.
    pub(super) fn revive_calls(&mut self) {
        for index in 0..self.payments.attempts.len() {
            let attempt = &self.payments.attempts[index];
            if attempt.awaiting == Some(GatewayAction::Void) && attempt.due_ms.is_none() {
                self.ask(index, GatewayAction::Void);
            }
        }
        for index in 0..self.payments.refunds.len() {
            let refund = &mut self.payments.refunds[index];
            if fold::is_open(refund) && refund.due_ms.is_none() {
                refund.tries = 0;
                self.ask_refund(index);
            }
        }
    }

    fn refund_is_due(&mut self, index: usize) {
        if self.payments.refunds[index].tries < self.limits.owed_tries_max {
            return self.ask_refund(index);
        }
        let refund = &mut self.payments.refunds[index];
        refund.due_ms = None;
        // Its amount stays held: the gateway may have sent the money.
        let detail = format!(
            "refund `{}` was not answered; look at the gateway",
            refund.refund_id
        );
        self.audit(Note::alert("refund-unanswered", detail));
    }

    /// Tells the status of an attempt.
    pub(super) fn tell_status(&mut self, index: usize) {
        use AttemptStatus as A;
        let attempt = &self.payments.attempts[index];
        let sums = fold::sums(&attempt.facts);
        let (order_id, payment_id) = (self.payments.order_id.clone(), attempt.payment_id.clone());
        let (amount, standing) = (attempt.amount, unfilled(attempt.amount.currency));
        let money = |minor| Money::new(minor, amount.currency);
        let detail = fold::detail(attempt);
        let fact: PaymentEvent = match attempt.status {
            A::Initiated => return,
            A::RequiresAction => PaymentRequiresAction {
                order_id,
                payment_id,
                amount,
                detail,
                standing,
            }
            .into(),
            A::Processing => PaymentProcessing {
                order_id,
                payment_id,
                amount,
                standing,
            }
            .into(),
            A::Authorized => PaymentAuthorized {
                order_id,
                payment_id,
                amount: money(sums.authorized),
                standing,
            }
            .into(),
            A::Captured => PaymentCaptured {
                order_id,
                payment_id,
                amount: money(sums.captured),
                standing,
            }
            .into(),
            A::Failed => PaymentFailed {
                order_id,
                payment_id,
                amount,
                reason: detail.unwrap_or_else(|| no_answer(attempt.unwanted).to_owned()),
                standing,
            }
            .into(),
            A::Voided => PaymentVoided {
                order_id,
                payment_id,
                amount,
                standing,
            }
            .into(),
            A::Disputed => PaymentDisputed {
                order_id,
                payment_id,
                amount: money(sums.captured),
                standing,
            }
            .into(),
            A::Won | A::Lost => PaymentDisputeClosed {
                order_id,
                payment_id,
                amount: money(sums.captured),
                won: attempt.status == A::Won,
                standing,
            }
            .into(),
            // A refund that the shop has asked for was told with its id already.
            A::PartiallyRefunded | A::Refunded => return self.tell_foreign_refund(index),
        };
        self.tell(fact);
    }

    fn tell_foreign_refund(&mut self, index: usize) {
        if !self.has_told_refund() {
            self.tell_refunded(index, None);
        }
    }

    fn tell_refunded(&mut self, index: usize, refund_id: Option<RefundId>) {
        let attempt = &self.payments.attempts[index];
        let refunded = fold::sums(&attempt.facts).refunded;
        self.tell(PaymentRefunded {
            order_id: self.payments.order_id.clone(),
            payment_id: attempt.payment_id.clone(),
            refund_id,
            amount: Money::new(refunded, attempt.amount.currency),
            standing: unfilled(attempt.amount.currency),
        });
    }

    fn tell_refund_failed(&mut self, id: RefundId, amount: Money, index: usize, reason: String) {
        let payment_id = self.payments.attempts[index].payment_id.clone();
        self.tell(PaymentRefundFailed {
            order_id: self.payments.order_id.clone(),
            payment_id,
            refund_id: Some(id),
            amount,
            reason,
            standing: unfilled(amount.currency),
        });
        self.audit(Note::alert("refund-failed", "money did not go back"));
    }
}

fn no_answer(undone: bool) -> &'static str {
    match undone {
        true => "undone",
        false => "no-answer",
    }
}
