//! The life of a reservation: held, committed, shipped; or released, expired, refused.

use millrace_avro::events::common::Fingerprint;
use millrace_avro::events::inventory::{
    CommitReservation, HeldReservation, RejectReason, ReleaseReservation, ReservationCommitFailed,
    ReservationCommitted, ReservationExpired, ReservationRejected, ReservationReleased,
    ReserveStock, ShipReservation, StockReserved, StockShipped,
};
use millrace_avro::events::orders::ReservationPart;
use millrace_avro::keys::ReservationId;
use millrace_streams::Timestamp;

use super::allocate::allocate;
use super::run::Run;
use super::stock::{at_each, at_mut, available, covers, levels};
use crate::emit::Note;

/// What has become of a reservation that is held no more, as one byte of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Released,
    Expired,
    Committed,
    Shipped,
    Rejected,
}

impl Fate {
    const ALL: [Self; 5] = [
        Self::Released,
        Self::Expired,
        Self::Committed,
        Self::Shipped,
        Self::Rejected,
    ];

    fn note(self) -> u8 {
        self as u8
    }

    fn read(note: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|fate| fate.note() == note)
    }
}

impl Run<'_> {
    pub(super) fn reserve(&mut self, asked: &ReserveStock) {
        if self.hold_of(&asked.reservation_id).is_some() {
            return self.duplicate();
        }
        let refusal = match self.fate(&asked.reservation_id) {
            Some(Fate::Released) => Some(RejectReason::Released),
            Some(_) => return self.duplicate(),
            None if !self.stock.configured => Some(RejectReason::UnknownSku),
            None if asked.quantity < 1 => Some(RejectReason::Invalid),
            None if self.stock.holds.len() >= self.limits.holds_max => {
                Some(RejectReason::InsufficientStock)
            }
            None if asked.hold_until_ms <= self.emit.at().as_millis() => {
                Some(RejectReason::Expired)
            }
            None => None,
        };
        if let Some(reason) = refusal {
            return self.reject(asked, reason);
        }
        match allocate(
            &self.stock.locations,
            self.stock.policy,
            &asked.near,
            asked.quantity,
        ) {
            Some(parts) => self.hold(asked, parts),
            None => self.reject(asked, RejectReason::InsufficientStock),
        }
    }

    fn hold(&mut self, asked: &ReserveStock, parts: Vec<ReservationPart>) {
        at_each(&mut self.stock, &parts, |at, pieces| at.held += pieces);
        self.stock.holds.push(HeldReservation {
            reservation_id: asked.reservation_id.clone(),
            order_id: asked.order_id.clone(),
            parts: parts.clone(),
            hold_until_ms: asked.hold_until_ms,
            origin: self.emit.origin(),
        });
        let fact = StockReserved {
            reservation_id: asked.reservation_id.clone(),
            order_id: asked.order_id.clone(),
            sku: self.stock.sku.clone(),
            quantity: asked.quantity,
            levels: levels(&self.stock, &parts),
            parts,
            hold_until_ms: asked.hold_until_ms,
        };
        self.answer(&asked.order_id, fact);
    }

    fn reject(&mut self, asked: &ReserveStock, reason: RejectReason) {
        // A tombstone stays what it is; it has to refuse the next late reservation as well.
        if reason != RejectReason::Released {
            self.close(&asked.reservation_id, Fate::Rejected);
        }
        let fact = ReservationRejected {
            reservation_id: asked.reservation_id.clone(),
            order_id: asked.order_id.clone(),
            sku: self.stock.sku.clone(),
            quantity: asked.quantity,
            reason,
            available: available(&self.stock).max(0),
        };
        self.answer(&asked.order_id, fact);
    }

    pub(super) fn commit(&mut self, asked: &CommitReservation) {
        if let Some(hold) = self.take_hold(&asked.reservation_id) {
            at_each(&mut self.stock, &hold.parts, |at, pieces| at.held -= pieces);
            return self.own(asked, hold.parts, false);
        }
        match self.fate(&asked.reservation_id) {
            Some(Fate::Committed | Fate::Shipped) => self.duplicate(),
            Some(Fate::Released | Fate::Rejected) => self.fail(asked, RejectReason::Released),
            Some(Fate::Expired) | None => self.have_again(asked),
        }
    }

    /// The hold is gone: has the stock again, or fails.
    fn have_again(&mut self, asked: &CommitReservation) {
        let (locations, policy) = (&self.stock.locations, self.stock.policy);
        let parts = (asked.quantity > 0)
            .then(|| allocate(locations, policy, &[], asked.quantity))
            .flatten();
        match parts {
            Some(parts) => self.own(asked, parts, true),
            None => self.fail(asked, RejectReason::Expired),
        }
    }

    fn own(&mut self, asked: &CommitReservation, parts: Vec<ReservationPart>, reacquired: bool) {
        at_each(&mut self.stock, &parts, |at, pieces| at.committed += pieces);
        self.close(&asked.reservation_id, Fate::Committed);
        let fact = ReservationCommitted {
            reservation_id: asked.reservation_id.clone(),
            order_id: asked.order_id.clone(),
            sku: self.stock.sku.clone(),
            levels: levels(&self.stock, &parts),
            parts,
            reacquired,
        };
        self.answer(&asked.order_id, fact);
    }

    fn fail(&mut self, asked: &CommitReservation, reason: RejectReason) {
        self.close(&asked.reservation_id, Fate::Released);
        let fact = ReservationCommitFailed {
            reservation_id: asked.reservation_id.clone(),
            order_id: asked.order_id.clone(),
            sku: self.stock.sku.clone(),
            reason,
            available: available(&self.stock).max(0),
        };
        self.answer(&asked.order_id, fact);
    }

    pub(super) fn release(&mut self, asked: &ReleaseReservation) {
        if let Some(hold) = self.take_hold(&asked.reservation_id) {
            at_each(&mut self.stock, &hold.parts, |at, pieces| at.held -= pieces);
            return self.free(asked, hold.parts);
        }
        match self.fate(&asked.reservation_id) {
            Some(Fate::Released | Fate::Shipped) => self.duplicate(),
            // What an order owns is given back only by an order that knows where it lies.
            Some(Fate::Committed) | None if !asked.parts.is_empty() => self.give_back(asked),
            Some(Fate::Committed) => self.audit(Note::alert(
                "release-without-parts",
                format!("`{}` is committed", asked.reservation_id),
            )),
            // A tombstone: the reservation may still be on its way.
            Some(Fate::Expired | Fate::Rejected) | None => self.free(asked, Vec::new()),
        }
    }

    fn give_back(&mut self, asked: &ReleaseReservation) {
        if !covers(&self.stock, &asked.parts) {
            let detail = format!("`{}` gives back more than it owns", asked.reservation_id);
            return self.audit(Note::alert("release-exceeds-committed", detail));
        }
        at_each(&mut self.stock, &asked.parts, |at, pieces| {
            at.committed -= pieces;
        });
        self.free(asked, asked.parts.clone());
    }

    fn free(&mut self, asked: &ReleaseReservation, parts: Vec<ReservationPart>) {
        self.close(&asked.reservation_id, Fate::Released);
        let fact = ReservationReleased {
            reservation_id: asked.reservation_id.clone(),
            order_id: asked.order_id.clone(),
            sku: self.stock.sku.clone(),
            levels: levels(&self.stock, &parts),
            parts,
            reason: asked.reason.clone(),
        };
        self.answer(&asked.order_id, fact);
    }

    pub(super) fn ship(&mut self, asked: &ShipReservation) {
        if self.is_duplicate() {
            return self.duplicate();
        }
        // Shipments of one reservation may overtake each other, and the release of its rest.
        if covers(&self.stock, &asked.parts) {
            return self.take_out(asked);
        }
        let fate = self.fate(&asked.reservation_id);
        let detail = format!("`{}` is {fate:?}", asked.reservation_id);
        self.audit(Note::alert("shipped-without-stock", detail));
    }

    fn take_out(&mut self, asked: &ShipReservation) {
        let mut movements = Vec::new();
        for part in &asked.parts {
            if let Some(at) = at_mut(&mut self.stock, &part.location) {
                at.committed -= part.quantity;
                let missing = part.quantity - at.on_hand;
                if missing > 0 {
                    // What has left was there, whatever was counted: the count is corrected.
                    let index = movements.len();
                    movements.push(self.move_stock(&part.location, missing, "found", index));
                    let detail = format!("{missing} more than counted at `{}`", part.location);
                    self.audit(Note::warning("count-corrected", detail));
                }
            }
            let index = movements.len();
            movements.push(self.move_stock(&part.location, -part.quantity, "shipped", index));
        }
        if asked.last {
            self.close(&asked.reservation_id, Fate::Shipped);
        }
        self.remember_command();
        let fact = StockShipped {
            reservation_id: asked.reservation_id.clone(),
            order_id: asked.order_id.clone(),
            sku: self.stock.sku.clone(),
            parts: asked.parts.clone(),
            last: asked.last,
            movements,
            levels: levels(&self.stock, &asked.parts),
        };
        self.answer(&asked.order_id, fact);
    }

    /// Frees every hold whose time has passed.
    pub(super) fn expire(&mut self) {
        let now = self.emit.at();
        let is_over = |hold: &HeldReservation| Timestamp::from_millis(hold.hold_until_ms) <= now;
        let holds = std::mem::take(&mut self.stock.holds);
        let (over, live) = holds.into_iter().partition(is_over);
        self.stock.holds = live;
        let over: Vec<HeldReservation> = over;
        for hold in over {
            at_each(&mut self.stock, &hold.parts, |at, pieces| at.held -= pieces);
            self.close(&hold.reservation_id, Fate::Expired);
            let fact = ReservationExpired {
                reservation_id: hold.reservation_id,
                order_id: hold.order_id.clone(),
                sku: self.stock.sku.clone(),
                levels: levels(&self.stock, &hold.parts),
                parts: hold.parts,
            };
            self.answer(&hold.order_id, fact);
        }
    }

    fn hold_of(&self, id: &ReservationId) -> Option<&HeldReservation> {
        let mut holds = self.stock.holds.iter();
        holds.find(|hold| hold.reservation_id == *id)
    }

    fn take_hold(&mut self, id: &ReservationId) -> Option<HeldReservation> {
        let mut holds = self.stock.holds.iter();
        let index = holds.position(|hold| hold.reservation_id == *id)?;
        Some(self.stock.holds.remove(index))
    }

    fn fate(&self, id: &ReservationId) -> Option<Fate> {
        let note = self.stock.closed.note(Fingerprint::of(id.as_str()))?;
        Fate::read(note)
    }

    fn close(&mut self, id: &ReservationId, fate: Fate) {
        let id = Fingerprint::of(id.as_str());
        let closed_max = self.limits.closed_max;
        self.stock.closed.remember(id, fate.note(), closed_max);
    }

    fn duplicate(&mut self) {
        self.audit(Note::info(
            "duplicate",
            "the reservation has moved on already",
        ));
    }
}
