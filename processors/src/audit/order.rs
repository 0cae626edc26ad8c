//! Invariants of orders, over the facts about one order.

use std::time::Duration;

use millrace_avro::event::{Event, EventSet, Meta};
use millrace_avro::events::audit::{AuditedReservation, OrderAudit};
use millrace_avro::events::common::{AuditEvent, InvariantViolated};
use millrace_avro::events::inventory::InventoryEvent;
use millrace_avro::events::orders::{
    OrderCreated, OrderEvent, OrderLine, OrderStatus, Origin, ReservationPart,
};
use millrace_avro::events::payments::{AttemptStatus, PaymentEvent, PaymentStanding};
use millrace_avro::keys::{AggregateId, OrderId, Sku};
use millrace_avro::money::Money;
use millrace_streams::Timestamp;

use super::{SOURCE, Violation};
use crate::emit::Emitter;
use crate::order::OrderLimits;
use crate::order::table::is_terminal;
use crate::payment::{PaymentLimits, standing};
use crate::transition::{Step, Transition};

/// How long the auditor waits before it calls something stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditLimits {
    /// How long a terminal order may take to give goods and money back.
    pub settle_within: Duration,
    /// How much later than its deadline an order may move.
    pub late_by: Duration,
    /// The times of the orders that are audited.
    pub orders: OrderLimits,
    /// The times of their payments.
    pub payments: PaymentLimits,
}

impl Default for AuditLimits {
    fn default() -> Self {
        Self {
            settle_within: Duration::from_secs(10 * 60),
            late_by: Duration::from_secs(60),
            orders: OrderLimits::default(),
            payments: PaymentLimits::default(),
        }
    }
}

/// What the auditor of an order hears.
#[derive(Clone, Debug, PartialEq)]
pub enum OrderFact {
    /// From the order itself.
    Order(Event<OrderEvent>),
    /// From the stock, about its reservations.
    Stock(Event<InventoryEvent>),
    /// From its payments.
    Payment(Event<PaymentEvent>),
}

impl OrderFact {
    fn meta(&self) -> &Meta {
        match self {
            Self::Order(event) => &event.meta,
            Self::Stock(event) => &event.meta,
            Self::Payment(event) => &event.meta,
        }
    }

    fn type_name(&self) -> &'static str {
        match self {
            Self::Order(event) => event.body.type_name(),
            Self::Stock(event) => event.body.type_name(),
            Self::Payment(event) => event.body.type_name(),
        }
    }
}

/// The auditor of an order.
#[derive(Clone, Copy, Debug, Default)]
pub struct OrderAuditor {
    /// Its times.
    pub limits: AuditLimits,
}

impl Transition for OrderAuditor {
    type Key = OrderId;
    type State = OrderAudit;
    type Event = OrderFact;
    type Effect = Event<AuditEvent>;

    fn on_event(
        &self,
        key: &OrderId,
        state: Option<OrderAudit>,
        event: &OrderFact,
        at: Timestamp,
    ) -> Step<OrderAudit, Event<AuditEvent>> {
        let mut audit = state.unwrap_or_else(|| unseen(key));
        let mut emit = Emitter::of(event.meta(), event.type_name(), SOURCE, at);
        let seq = i64::try_from(event.meta().seq).unwrap_or(i64::MAX);
        let found = match event {
            OrderFact::Order(event) => self.hear_order(&mut audit, &event.body, seq, at),
            OrderFact::Stock(event) => hear_stock(&mut audit, &event.body, seq),
            OrderFact::Payment(event) => hear_payments(&mut audit, standing(&event.body)),
        };
        finish(audit, found, &mut emit)
    }

    fn on_deadline(
        &self,
        key: &OrderId,
        mut state: OrderAudit,
        at: Timestamp,
    ) -> Step<OrderAudit, Event<AuditEvent>> {
        let origin = Origin {
            correlation_id: key.as_str().to_owned(),
            traceparent: None,
            actor: None,
        };
        let due = state.watch_until_ms.map(Timestamp::from_millis);
        let seq = state.last_seq;
        let mut emit = Emitter::of_deadline(key.as_str(), seq, &origin, SOURCE, due, at);
        let is_due = due.is_some_and(|due| due <= at);
        let found = match is_due {
            true => self.check_in_the_end(&mut state, at),
            false => Vec::new(),
        };
        finish(state, found, &mut emit)
    }
}

/// An invariant that was checked, with its violation if there is one.
type Finding = (i32, Option<Violation>);

impl OrderAuditor {
    fn hear_order(
        &self,
        audit: &mut OrderAudit,
        fact: &OrderEvent,
        seq: i64,
        at: Timestamp,
    ) -> Vec<Finding> {
        if seq <= audit.last_seq {
            return Vec::new();
        }
        let gap = (seq != audit.last_seq + 1)
            .then(|| Violation::new(2, format!("fact {seq} follows {}", audit.last_seq)));
        audit.last_seq = seq;
        let mut found = vec![(2, gap)];
        match fact {
            OrderEvent::Created(created) => {
                found.push((7, created_again(audit)));
                found.push((8, sums(created)));
                audit.totals = Some(created.totals.clone());
            }
            OrderEvent::RestCancelled(rest) => audit.promised_minor += rest.refund.minor,
            _ => {}
        }
        audit.late = false;
        if let Some(status) = status_of(fact) {
            audit.status = Some(status);
            found.push((6, None));
        }
        let status = audit.status.unwrap_or(OrderStatus::Pending);
        audit.watch_until_ms = Some((at + self.patience(status)).as_millis());
        found
    }

    /// How long an order may stay as it is, or take to settle its end.
    fn patience(&self, status: OrderStatus) -> Duration {
        let limits = &self.limits.orders;
        let wait = match status {
            OrderStatus::Pending => limits.pending_for,
            OrderStatus::AwaitingPayment => limits.reservation_ttl + limits.expiry_grace,
            OrderStatus::Confirmed | OrderStatus::PartiallyShipped => limits.ship_within,
            OrderStatus::Shipped => limits.deliver_within,
            // Its money may have to be asked for again and again.
            OrderStatus::Cancelling => self.limits.payments.owed_within(),
            status => {
                debug_assert!(is_terminal(status));
                self.limits.settle_within
            }
        };
        wait + self.limits.late_by
    }

    /// What must hold by now.
    fn check_in_the_end(&self, audit: &mut OrderAudit, at: Timestamp) -> Vec<Finding> {
        let status = audit.status.unwrap_or(OrderStatus::Pending);
        audit.watch_until_ms = None;
        if !is_terminal(status) && !audit.late {
            // After an outage this deadline passes together with the order's own.
            audit.late = true;
            audit.watch_until_ms = Some((at + self.limits.late_by).as_millis());
            return Vec::new();
        }
        if !is_terminal(status) {
            let detail = format!("{status:?} since fact {}, with no deadline", audit.last_seq);
            return vec![(6, Some(Violation::new(6, detail)))];
        }
        let found = vec![(3, money_kept(audit, status)), (5, still_held(audit))];
        if found.iter().any(|(_, violation)| violation.is_some()) {
            let again = at + self.limits.settle_within;
            audit.watch_until_ms = Some(again.as_millis());
        }
        found
    }
}

fn unseen(key: &OrderId) -> OrderAudit {
    OrderAudit {
        order_id: key.clone(),
        totals: None,
        status: None,
        payments: None,
        reservations: Vec::new(),
        last_seq: 0,
        watch_until_ms: None,
        reported: Vec::new(),
        promised_minor: 0,
        late: false,
    }
}

fn status_of(fact: &OrderEvent) -> Option<OrderStatus> {
    Some(match fact {
        OrderEvent::Created(_) => OrderStatus::Pending,
        OrderEvent::Reserved(_) => OrderStatus::AwaitingPayment,
        OrderEvent::Confirmed(_) => OrderStatus::Confirmed,
        OrderEvent::PartiallyShipped(_) => OrderStatus::PartiallyShipped,
        OrderEvent::Shipped(_) => OrderStatus::Shipped,
        OrderEvent::Delivered(_) => OrderStatus::Delivered,
        OrderEvent::Cancelling(_) => OrderStatus::Cancelling,
        OrderEvent::Cancelled(_) => OrderStatus::Cancelled,
        OrderEvent::Rejected(_) => OrderStatus::Rejected,
        OrderEvent::Expired(_) => OrderStatus::Expired,
        OrderEvent::PaymentFailed(_) => OrderStatus::PaymentFailed,
        OrderEvent::PaymentRequested(_) | OrderEvent::RestCancelled(_) | OrderEvent::Overdue(_) => {
            return None;
        }
    })
}

/// Invariant 7: an order's id follows from its idempotency key, so one key creates it once.
fn created_again(audit: &OrderAudit) -> Option<Violation> {
    let detail = || format!("created again after fact {}", audit.last_seq);
    audit.totals.is_some().then(|| Violation::new(7, detail()))
}

/// Invariant 8: the lines sum to the order.
fn sums(created: &OrderCreated) -> Option<Violation> {
    let totals = &created.totals;
    let sum = |amount: fn(&OrderLine) -> Money| -> i64 {
        created.lines.iter().map(|line| amount(line).minor).sum()
    };
    let lines = (sum(|l| l.line_total), sum(|l| l.discount), sum(|l| l.tax));
    let (subtotal, discount) = (totals.subtotal.minor, totals.discount.minor);
    let (tax, shipping) = (totals.tax.minor, totals.shipping.minor);
    let adds_up = totals.total.minor == subtotal - discount + tax + shipping;
    // The tax on the shipping belongs to no line, and is no more than the shipping.
    let tax_fits = (0..=shipping).contains(&(tax - lines.2));
    let holds = adds_up && (lines.0, lines.1) == (subtotal, discount) && tax_fits;
    (!holds).then(|| Violation::new(8, format!("lines sum to {lines:?}, totals are {totals:?}")))
}

fn hear_stock(audit: &mut OrderAudit, fact: &InventoryEvent, seq: i64) -> Vec<Finding> {
    let Some((sku, live)) = live_after(fact) else {
        return Vec::new();
    };
    let mut all = audit.reservations.iter_mut();
    let known = all.find(|known| known.sku == *sku);
    let pieces = |parts: &[ReservationPart]| parts.iter().map(|p| p.quantity).sum::<i64>();
    match known {
        Some(known) if seq <= known.revision => return Vec::new(),
        Some(known) => {
            known.revision = seq;
            known.live = match live {
                Live::Takes(parts) => pieces(parts),
                Live::Gives(parts) => known.live - pieces(parts),
                Live::Nothing => 0,
            };
        }
        None => audit.reservations.push(AuditedReservation {
            sku: sku.clone(),
            revision: seq,
            live: match live {
                Live::Takes(parts) => pieces(parts),
                Live::Gives(_) | Live::Nothing => 0,
            },
        }),
    }
    let settled = still_held(audit).is_none();
    if settled { vec![(5, None)] } else { Vec::new() }
}

/// What a reservation holds after a fact.
enum Live<'a> {
    Takes(&'a [ReservationPart]),
    Gives(&'a [ReservationPart]),
    Nothing,
}

fn live_after(fact: &InventoryEvent) -> Option<(&Sku, Live<'_>)> {
    Some(match fact {
        InventoryEvent::Reserved(fact) => (&fact.sku, Live::Takes(&fact.parts)),
        InventoryEvent::Committed(fact) => (&fact.sku, Live::Takes(&fact.parts)),
        InventoryEvent::Shipped(fact) => (&fact.sku, Live::Gives(&fact.parts)),
        InventoryEvent::Released(fact) => (&fact.sku, Live::Nothing),
        InventoryEvent::Expired(fact) => (&fact.sku, Live::Nothing),
        InventoryEvent::ReservationRejected(fact) => (&fact.sku, Live::Nothing),
        InventoryEvent::CommitFailed(fact) => (&fact.sku, Live::Nothing),
        InventoryEvent::Adjusted(_)
        | InventoryEvent::Configured(_)
        | InventoryEvent::LowStock(_) => {
            return None;
        }
    })
}

fn hear_payments(audit: &mut OrderAudit, news: &PaymentStanding) -> Vec<Finding> {
    let known = audit.payments.as_ref();
    if known.is_some_and(|known| known.revision >= news.revision) {
        return Vec::new();
    }
    audit.payments = Some(news.clone());
    let mut found = vec![(4, amounts_fit(news)), (7, one_charge(news))];
    if let Some(status) = audit.status.filter(|status| is_terminal(*status)) {
        let healed = money_kept(audit, status).is_none();
        found.extend(healed.then_some((3, None)));
        found.extend(still_held(audit).is_none().then_some((5, None)));
    }
    found
}

/// Invariant 4: refunds <= captured <= authorised.
fn amounts_fit(standing: &PaymentStanding) -> Option<Violation> {
    refunds_fit(standing).or_else(|| captures_fit(standing))
}

/// Where a gateway speaks of no authorisation, what it captures counts as authorised. For an attempt
/// that is no longer wanted nothing is authorised: all that it takes goes back, by invariant 3.
fn captures_fit(standing: &PaymentStanding) -> Option<Violation> {
    let mut wanted = standing.attempts.iter().filter(|a| !a.authorized.is_zero());
    let excess = wanted.find(|attempt| attempt.captured.minor > attempt.authorized.minor)?;
    let detail = format!(
        "`{}` has captured {} of {} authorised",
        excess.id, excess.captured, excess.authorized
    );
    Some(Violation::new(4, detail))
}

fn refunds_fit(standing: &PaymentStanding) -> Option<Violation> {
    let (captured, refunded) = (standing.captured.minor, standing.refunded.minor);
    let refunding = standing.refunding.minor;
    let fits = refunded + refunding <= captured
        && standing
            .attempts
            .iter()
            .all(|a| a.refunded.minor <= a.captured.minor);
    (!fits).then(|| {
        let detail = format!("{refunded} refunded and {refunding} pending of {captured} captured");
        Violation::new(4, detail)
    })
}

/// Invariant 7: no attempt takes more than it was made for.
fn one_charge(standing: &PaymentStanding) -> Option<Violation> {
    let mut attempts = standing.attempts.iter();
    let twice = attempts.find(|attempt| attempt.captured.minor > attempt.amount.minor)?;
    let detail = format!(
        "`{}` has taken {} of {}",
        twice.id, twice.captured, twice.amount
    );
    Some(Violation::new(7, detail))
}

/// Invariant 3: an order of which nothing is left keeps nothing, a delivered one was paid and keeps
/// nothing for what has not left. What a dispute has lost is not kept.
fn money_kept(audit: &OrderAudit, status: OrderStatus) -> Option<Violation> {
    let (captured, refunded) = audit
        .payments
        .as_ref()
        .map_or((0, 0), |p| (p.captured.minor, p.refunded.minor));
    let total = audit.totals.as_ref().map_or(0, |totals| totals.total.minor);
    let kept = captured - refunded - audit.payments.as_ref().map_or(0, lost);
    let holds = match status {
        OrderStatus::Delivered => kept <= total - audit.promised_minor && captured >= total,
        _ => kept == 0,
    };
    (!holds).then(|| {
        let detail = format!("{status:?} with {captured} captured and {refunded} refunded");
        Violation::new(3, detail)
    })
}

/// What disputes have taken away.
fn lost(standing: &PaymentStanding) -> i64 {
    let attempts = standing.attempts.iter();
    let lost = attempts.filter(|attempt| attempt.status == AttemptStatus::Lost);
    lost.map(|attempt| attempt.captured.minor - attempt.refunded.minor)
        .sum()
}

/// Invariant 5: a terminal order holds no goods and no money that is merely set aside.
fn still_held(audit: &OrderAudit) -> Option<Violation> {
    if let Some(live) = audit.reservations.iter().find(|held| held.live != 0) {
        let detail = format!("{} of `{}` are still reserved", live.live, live.sku);
        return Some(Violation::new(5, detail));
    }
    let attempts = audit.payments.iter().flat_map(|p| &p.attempts);
    let open = attempts
        .filter(|attempt| attempt.status == AttemptStatus::Authorized)
        .count();
    (open > 0).then(|| Violation::new(5, format!("{open} authorisations are open")))
}

/// Reports what is violated and was not, and forgets what has healed.
fn finish(
    mut audit: OrderAudit,
    found: Vec<Finding>,
    emit: &mut Emitter,
) -> Step<OrderAudit, Event<AuditEvent>> {
    let mut effects = Vec::new();
    for (invariant, violation) in found {
        let was_reported = audit.reported.contains(&invariant);
        match violation {
            None => audit.reported.retain(|reported| *reported != invariant),
            Some(_) if was_reported => {}
            Some(violation) => {
                audit.reported.push(invariant);
                effects.push(emit.event(InvariantViolated {
                    invariant,
                    aggregate: AggregateId::from(&audit.order_id),
                    detail: violation.detail,
                }));
            }
        }
    }
    Step {
        deadline: audit.watch_until_ms.map(Timestamp::from_millis),
        state: Some(audit),
        effects,
    }
}
