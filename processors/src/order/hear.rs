//! What an order hears: remembered first, then classified as one input of the table.

use millrace_avro::event::Event;
use millrace_avro::events::common::Fingerprint;
use millrace_avro::events::inventory::{InventoryEvent, RejectReason};
use millrace_avro::events::orders::{
    OrderCommand, OrderShipmentRequested, OrderState, OrderStatus, ReservationPart,
    ReservationStatus,
};
use millrace_avro::events::payments::{PaymentEvent, PaymentStanding};
use millrace_avro::keys::Sku;

use super::OrderInput;
use super::guard::{has_heard_of_all, is_live, is_paid};
use super::run::Run;
use super::ship::Plan;
use super::table::{Cell, Input};
use super::view::status_name;
use crate::emit::{Note, Verdict};
use crate::payment::standing;

impl Run<'_> {
    pub(super) fn hear(&mut self, event: &OrderInput) {
        match event {
            OrderInput::Command(event) => self.hear_command(&event.body),
            OrderInput::Stock(event) => self.hear_stock(event),
            OrderInput::Payment(event) => self.hear_payment(event),
        }
    }

    pub(super) fn hear_deadline(&mut self) {
        let due = self.order.deadline_ms;
        if due.is_none_or(|due| self.emit.at().as_millis() < due) {
            return;
        }
        self.reason = match self.order.status {
            OrderStatus::Pending => "reservation-timeout".to_owned(),
            OrderStatus::AwaitingPayment => "payment-timeout".to_owned(),
            _ => String::new(),
        };
        self.set_deadline();
        let leaf = self.leaf(Input::Deadline);
        self.apply(leaf);
    }

    fn hear_command(&mut self, command: &OrderCommand) {
        let id = Fingerprint::of(self.emit.cause_id());
        if self.order.recent.has(id) {
            return self.reply(&Verdict::Unchanged);
        }
        match command {
            OrderCommand::Placed(_) => self.reply(&Verdict::Unchanged),
            OrderCommand::CancelRequested(cancel) => {
                let reason = cancel.reason.clone();
                self.reason = reason.unwrap_or_else(|| "cancelled-by-customer".to_owned());
                self.obey(Input::Cancel);
            }
            OrderCommand::ShipmentRequested(shipment) => {
                self.ship(shipment);
            }
            OrderCommand::DeliveryReported(_) => self.obey(Input::Deliver),
        }
    }

    fn ship(&mut self, asked: &OrderShipmentRequested) {
        let mut known = self.order.shipments.iter();
        if known.any(|known| known.shipment_id == asked.shipment_id) {
            return self.reply(&Verdict::Unchanged);
        }
        // A state in which nothing ships is a better reason than a shipment that does not fit.
        if matches!(self.leaf(Input::Ship), Cell::Illegal | Cell::NoOp) {
            return self.obey(Input::Ship);
        }
        match Plan::of(&self.order, asked, self.emit.at()) {
            Ok(plan) => {
                self.plan = Some(plan);
                self.obey(Input::Ship);
            }
            Err(refusal) => self.refuse(refusal.code, refusal.detail),
        }
    }

    /// Does what a command asks, and answers it.
    fn obey(&mut self, input: Input) {
        match self.leaf(input) {
            Cell::Illegal | Cell::Audit => {
                let status = status_name(self.order.status);
                self.refuse("illegal-transition", format!("the order is {status}"));
            }
            Cell::NoOp => self.reply(&Verdict::Unchanged),
            leaf => {
                self.apply(leaf);
                self.accept();
            }
        }
    }

    fn hear_stock(&mut self, event: &Event<InventoryEvent>) {
        let revision = i64::try_from(event.meta.seq).unwrap_or(i64::MAX);
        match take_stock(&mut self.order, &event.body, revision) {
            Heard::News(input) => {
                if let InventoryEvent::ReservationRejected(rejected) = &event.body {
                    self.reason = reject_reason(rejected.reason).to_owned();
                }
                self.heed(input);
            }
            Heard::Stale => self.stale(),
            Heard::Foreign => self.audit(Note::warning(
                "foreign-reservation",
                "the order has no reservation of this SKU",
            )),
        }
    }

    fn hear_payment(&mut self, event: &Event<PaymentEvent>) {
        let news = standing(&event.body);
        let known = self.order.payments.as_ref();
        if known.is_some_and(|known| known.revision >= news.revision) {
            return self.stale();
        }
        if news.captured.currency != self.order.currency {
            let note = Note::alert("foreign-currency", "a payment in another currency");
            return self.audit(note);
        }
        self.order.payments = Some(news.clone());
        let input = classify_payments(&self.order, news);
        self.heed(input);
        self.refund_owed();
    }

    /// Does what the table says about an event that is news.
    fn heed(&mut self, input: Input) {
        self.touch();
        if self.reason.is_empty() {
            self.reason = reason_of(input).to_owned();
        }
        let leaf = self.leaf(input);
        if matches!(leaf, Cell::Audit | Cell::Illegal) {
            let status = status_name(self.order.status);
            let detail = format!("{input:?} while the order is {status}");
            return self.audit(match leaf {
                Cell::Illegal => Note::alert("impossible-event", detail),
                _ => Note::warning("unexpected-event", detail),
            });
        }
        self.apply(leaf);
    }

    fn stale(&mut self) {
        self.audit(Note::info("stale-event", "a newer event was heard before"));
    }
}

/// What an event is to an order.
enum Heard {
    News(Input),
    Stale,
    Foreign,
}

fn take_stock(order: &mut OrderState, event: &InventoryEvent, revision: i64) -> Heard {
    let Some(answer) = answer(event) else {
        return Heard::Foreign;
    };
    let mine = order.reservations.iter_mut().find(|r| r.sku == *answer.sku);
    let Some(reservation) = mine else {
        return Heard::Foreign;
    };
    if revision <= reservation.revision {
        return Heard::Stale;
    }
    reservation.revision = revision;
    // What was asked to be released, or has left, is not reserved again by an older answer that
    // comes later: the order is then told that it holds goods, and gives them back.
    if let Some(parts) = answer.parts {
        reservation.parts = parts.to_vec();
    }
    if let Some(status) = answer.status {
        reservation.status = status;
    }
    Heard::News(match answer.input {
        Input::LineReserved if all_reserved(order) => Input::AllReserved,
        input => input,
    })
}

fn all_reserved(order: &OrderState) -> bool {
    use ReservationStatus as R;
    let mut all = order.reservations.iter();
    all.all(|r| matches!(r.status, R::Held | R::Committing | R::Committed))
}

/// An inventory fact, as an answer to the order that owns the reservation.
struct Answer<'a> {
    sku: &'a Sku,
    status: Option<ReservationStatus>,
    parts: Option<&'a [ReservationPart]>,
    input: Input,
}

fn answer(event: &InventoryEvent) -> Option<Answer<'_>> {
    use ReservationStatus as R;
    type Parts<'a> = Option<&'a [ReservationPart]>;
    let (sku, status, parts, input): (_, _, Parts<'_>, _) = match event {
        InventoryEvent::Reserved(e) => (&e.sku, R::Held, Some(&e.parts), Input::LineReserved),
        InventoryEvent::ReservationRejected(e) => {
            (&e.sku, R::Rejected, Some(&[]), Input::LineRejected)
        }
        InventoryEvent::Released(e) => (&e.sku, R::Released, Some(&[]), Input::StockProgress),
        InventoryEvent::Committed(e) => {
            (&e.sku, R::Committed, Some(&e.parts), Input::StockProgress)
        }
        InventoryEvent::CommitFailed(e) => {
            (&e.sku, R::CommitFailed, Some(&[]), Input::CommitFailed)
        }
        InventoryEvent::Expired(e) => return Some(expired(&e.sku)),
        InventoryEvent::Shipped(e) => return Some(shipped(&e.sku)),
        InventoryEvent::Adjusted(_)
        | InventoryEvent::Configured(_)
        | InventoryEvent::LowStock(_) => {
            return None;
        }
    };
    Some(Answer {
        sku,
        status: Some(status),
        parts,
        input,
    })
}

fn expired(sku: &Sku) -> Answer<'_> {
    Answer {
        sku,
        status: Some(ReservationStatus::Expired),
        parts: Some(&[]),
        input: Input::ReservationExpired,
    }
}

/// The order itself knows what it has shipped.
fn shipped(sku: &Sku) -> Answer<'_> {
    Answer {
        sku,
        status: None,
        parts: None,
        input: Input::StockProgress,
    }
}

fn classify_payments(order: &OrderState, standing: &PaymentStanding) -> Input {
    let under_way =
        standing.attempts.iter().any(|a| is_live(a.status)) || !has_heard_of_all(order, standing);
    let nothing_kept = standing.captured.minor == standing.refunded.minor;
    let was_paid = !matches!(
        order.status,
        OrderStatus::Pending | OrderStatus::AwaitingPayment
    );
    if is_paid(order) {
        Input::Paid
    } else if under_way || !nothing_kept {
        Input::PaymentProgress
    } else if was_paid && !standing.captured.is_zero() {
        Input::RefundedInFull
    } else {
        Input::PaymentFailed
    }
}

fn reason_of(input: Input) -> &'static str {
    match input {
        Input::ReservationExpired => "reservation-expired",
        Input::CommitFailed => "insufficient-stock",
        Input::RefundedInFull => "refunded",
        Input::PaymentFailed => "payment-failed",
        _ => "",
    }
}

fn reject_reason(reason: RejectReason) -> &'static str {
    match reason {
        RejectReason::UnknownSku => "unknown-sku",
        RejectReason::InsufficientStock => "insufficient-stock",
        RejectReason::Released => "released",
        RejectReason::Expired => "reservation-expired",
        RejectReason::Invalid => "invalid-demand",
    }
}
