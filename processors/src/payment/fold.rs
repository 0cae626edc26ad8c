//! From a set of gateway facts to status and amounts, whatever the order in which they came.

use std::collections::BTreeMap;

use millrace_avro::events::payments::{
    AttemptStatus, GatewayFact, GatewayFactKind as Kind, PaymentAttempt, PaymentStanding,
    PaymentSummary, PaymentsState, Refund, RefundStatus, RefundSummary,
};
use millrace_avro::money::{Currency, Money};

/// What the facts of an attempt add up to, in minor units of its currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How much is or was set aside: as the gateway says, or, if it speaks of no authorisation, what
    /// it has captured.
    pub authorized: i64,
    /// How much was taken.
    pub captured: i64,
    /// How much went back.
    pub refunded: i64,
}

/// The facts that count: of those with one reference, the newest.
///
/// Of two with the same time, the one with the greater id counts, so that the answer does not
/// depend on the order in which they came.
pub fn winners(facts: &[GatewayFact]) -> Vec<&GatewayFact> {
    let mut newest: BTreeMap<&str, &GatewayFact> = BTreeMap::new();
    for fact in facts {
        let known = newest.entry(fact.reference.as_str()).or_insert(fact);
        if age(known) < age(fact) {
            *known = fact;
        }
    }
    let mut winners: Vec<_> = newest.into_values().collect();
    winners.sort_by_key(|fact| age(fact));
    winners
}

fn age(fact: &GatewayFact) -> (i64, &str) {
    (fact.occurred_at_ms, fact.fact_id.as_str())
}

/// What the facts of an attempt add up to.
pub fn sums(facts: &[GatewayFact]) -> Sums {
    let winners = winners(facts);
    let sum = |kind: Kind| -> i64 {
        let of_kind = winners.iter().filter(|fact| fact.kind == kind);
        of_kind.fold(0, |sum, fact| sum.saturating_add(fact.amount.minor))
    };
    let captured = sum(Kind::Captured);
    Sums {
        authorized: set_aside(facts, &winners).unwrap_or(captured),
        captured,
        refunded: sum(Kind::Refunded),
    }
}

/// What was set aside and not let go since, as the gateway says; `None` if it does not speak of it.
/// A capture uses what was set aside under its reference, and does not let it go.
fn set_aside(facts: &[GatewayFact], winners: &[&GatewayFact]) -> Option<i64> {
    let stands = |fact: &&&GatewayFact| matches!(fact.kind, Kind::Authorized | Kind::Captured);
    let amounts = winners.iter().filter(stands).filter_map(|winner| {
        let mine = facts.iter().filter(|f| f.reference == winner.reference);
        let set_aside = mine.filter(|fact| fact.kind == Kind::Authorized);
        let newest = set_aside.max_by_key(|fact| age(fact))?;
        Some(newest.amount.minor)
    });
    amounts.reduce(i64::saturating_add)
}

/// Where an attempt stands: by its facts, and failed if it was given up before they decided.
pub fn status(attempt: &PaymentAttempt) -> AttemptStatus {
    match said(&attempt.facts) {
        status if attempt.abandoned && is_undecided(status) => AttemptStatus::Failed,
        status => status,
    }
}

/// True while the gateway has neither set money aside nor refused.
pub fn is_undecided(status: AttemptStatus) -> bool {
    matches!(
        status,
        AttemptStatus::Initiated | AttemptStatus::RequiresAction | AttemptStatus::Processing
    )
}

/// Where an attempt stands by what the gateway has said, and by nothing else.
pub fn said(facts: &[GatewayFact]) -> AttemptStatus {
    let winners = winners(facts);
    let newest_of = |kinds: &[Kind]| winners.iter().rev().find(|f| kinds.contains(&f.kind));
    let sums = sums(facts);
    let dispute = newest_of(&[Kind::Disputed, Kind::DisputeWon, Kind::DisputeLost]);
    match dispute.map(|fact| fact.kind) {
        Some(Kind::Disputed) => return AttemptStatus::Disputed,
        Some(Kind::DisputeWon) => return AttemptStatus::Won,
        Some(_) => return AttemptStatus::Lost,
        None => {}
    }
    if sums.captured > 0 {
        return match sums.refunded {
            0 => AttemptStatus::Captured,
            refunded if refunded < sums.captured => AttemptStatus::PartiallyRefunded,
            _ => AttemptStatus::Refunded,
        };
    }
    if newest_of(&[Kind::Authorized]).is_some() {
        return AttemptStatus::Authorized;
    }
    let undecided = [
        Kind::Voided,
        Kind::Failed,
        Kind::RequiresAction,
        Kind::Processing,
    ];
    match newest_of(&undecided).map(|fact| fact.kind) {
        Some(Kind::Voided) => AttemptStatus::Voided,
        Some(Kind::Failed) => AttemptStatus::Failed,
        Some(Kind::RequiresAction) => AttemptStatus::RequiresAction,
        Some(_) => AttemptStatus::Processing,
        None => AttemptStatus::Initiated,
    }
}

/// Where a refund stands, by the facts about it; unchanged where there are none.
pub fn refund_status(refund: &Refund, facts: &[GatewayFact]) -> RefundStatus {
    let winners = winners(facts);
    let about = |fact: &&&GatewayFact| fact.refund_id.as_ref() == Some(&refund.refund_id);
    match winners.iter().rev().find(about).map(|fact| fact.kind) {
        Some(Kind::Refunded) => RefundStatus::Succeeded,
        Some(Kind::RefundFailed) => RefundStatus::Failed,
        Some(Kind::RefundPending) => RefundStatus::Pending,
        _ => refund.status,
    }
}

/// True while a refund holds its amount and the money has not gone back.
pub fn is_open(refund: &Refund) -> bool {
    matches!(
        refund.status,
        RefundStatus::Requested | RefundStatus::Pending
    )
}

/// Minor units that open refunds of an attempt hold.
pub fn refunding(payments: &PaymentsState, attempt: &PaymentAttempt) -> i64 {
    let mine = |refund: &&Refund| refund.payment_id == attempt.payment_id && is_open(refund);
    let held = payments.refunds.iter().filter(mine);
    held.fold(0, |sum, refund| sum.saturating_add(refund.amount.minor))
}

/// Minor units of an attempt that were taken and are not on their way back.
pub fn kept(payments: &PaymentsState, attempt: &PaymentAttempt) -> i64 {
    let sums = sums(&attempt.facts);
    (sums.captured - sums.refunded - refunding(payments, attempt)).max(0)
}

/// Minor units of an attempt that may still be sent back: nothing while the customer's bank decides
/// about them, or once it has sent them back itself.
pub fn refundable(payments: &PaymentsState, attempt: &PaymentAttempt) -> i64 {
    match said(&attempt.facts) {
        AttemptStatus::Disputed | AttemptStatus::Lost => 0,
        _ => kept(payments, attempt),
    }
}

/// All payments of an order, as its facts carry them.
pub fn standing(payments: &PaymentsState, currency: Currency) -> PaymentStanding {
    let money = |minor| Money::new(minor, currency);
    let all: Vec<Sums> = payments.attempts.iter().map(|a| sums(&a.facts)).collect();
    PaymentStanding {
        revision: payments.seq,
        attempts: payments.attempts.iter().map(summary).collect(),
        captured: money(all.iter().map(|sums| sums.captured).sum()),
        refunded: money(all.iter().map(|sums| sums.refunded).sum()),
        refunding: money(
            payments
                .attempts
                .iter()
                .map(|a| refunding(payments, a))
                .sum(),
        ),
        refunds: payments.refunds.iter().map(refund_summary).collect(),
    }
}

fn refund_summary(refund: &Refund) -> RefundSummary {
    RefundSummary {
        id: refund.refund_id.clone(),
        status: refund.status,
        amount: refund.amount,
    }
}

fn summary(attempt: &PaymentAttempt) -> PaymentSummary {
    let sums = sums(&attempt.facts);
    let money = |minor| Money::new(minor, attempt.amount.currency);
    let for_the_order = if attempt.unwanted { 0 } else { sums.authorized };
    PaymentSummary {
        id: attempt.payment_id.clone(),
        status: attempt.status,
        amount: attempt.amount,
        authorized: money(for_the_order),
        captured: money(sums.captured),
        refunded: money(sums.refunded),
        detail: detail(attempt),
    }
}

/// What the gateway last said about an attempt, in words.
pub(super) fn detail(attempt: &PaymentAttempt) -> Option<String> {
    let winners = winners(&attempt.facts);
    winners.iter().rev().find_map(|fact| fact.detail.clone())
}
