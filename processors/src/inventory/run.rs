//! One step of a SKU: adjustments and settings, and what every step ends with.

use millrace_avro::events::common::{Fingerprint, rfc3339};
use millrace_avro::events::inventory::{
    AdjustStock, ConfigureStock, InventoryCommand, InventoryEvent, Movement, StockAdjusted,
    StockAt, StockConfigured, StockLow, StockPolicy, StockState,
};
use millrace_avro::keys::{AggregateId, LocationId, OrderId};
use millrace_streams::Timestamp;

use super::stock::{at_mut, available, available_at, is_on_demand, level};
use super::view::view;
use super::{InventoryEffect, InventoryLimits};
use crate::emit::{Emitter, Note, Refusal, Verdict};
use crate::transition::Step;

/// A SKU in the middle of a step.
pub(super) struct Run<'a> {
    pub(super) stock: StockState,
    pub(super) limits: &'a InventoryLimits,
    pub(super) emit: Emitter,
    effects: Vec<InventoryEffect>,
    changed: bool,
    /// True if this step may arm the report of low stock: goods have come in, or low is defined anew.
    may_arm: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(stock: StockState, limits: &'a InventoryLimits, emit: Emitter) -> Self {
        Self {
            stock,
            limits,
            emit,
            effects: Vec::new(),
            changed: false,
            may_arm: false,
        }
    }

    pub(super) fn obey(&mut self, command: &InventoryCommand) {
        match command {
            InventoryCommand::Adjust(adjust) => self.adjust(adjust),
            InventoryCommand::Configure(configure) => self.configure(configure),
            InventoryCommand::Reserve(reserve) => self.reserve(reserve),
            InventoryCommand::Commit(commit) => self.commit(commit),
            InventoryCommand::Release(release) => self.release(release),
            InventoryCommand::Ship(ship) => self.ship(ship),
        }
    }

    fn adjust(&mut self, adjust: &AdjustStock) {
        if self.is_duplicate() {
            return self.reply(&Verdict::Unchanged);
        }
        if let Err(refusal) = self.check_adjustment(adjust) {
            return self.reply(&Verdict::Refused(refusal));
        }
        self.stock.configured = true;
        self.may_arm = adjust.delta > 0;
        let movement = self.move_stock(&adjust.location, adjust.delta, &adjust.reason, 0);
        let Some(at) = at_mut(&mut self.stock, &adjust.location) else {
            return;
        };
        let level = level(at);
        self.tell(StockAdjusted {
            sku: self.stock.sku.clone(),
            movement,
            level,
        });
        self.remember_command();
        self.reply(&Verdict::Accepted);
    }

    fn check_adjustment(&self, adjust: &AdjustStock) -> Result<(), Refusal> {
        if adjust.delta == 0 {
            return Err(Refusal::new(
                "invalid-delta",
                "an adjustment changes something",
            ));
        }
        let mut all = self.stock.locations.iter();
        let at = all.find(|at| at.location == adjust.location);
        if at.is_none() && self.stock.locations.len() >= self.limits.locations_max {
            return Err(Refusal::new(
                "too-many-locations",
                "the SKU has too many locations",
            ));
        }
        let (on_hand, reserved) = at.map_or((0, 0), |at| (at.on_hand, at.held + at.committed));
        let after = on_hand.saturating_add(adjust.delta);
        if after < 0 || after > self.limits.on_hand_max {
            let detail = format!("{on_hand} are on hand");
            return Err(Refusal::new("insufficient-stock", detail));
        }
        if adjust.delta < 0 && after < reserved && !is_on_demand(self.stock.policy) {
            let detail = format!("{reserved} of {on_hand} are reserved");
            return Err(Refusal::new("stock-reserved", detail));
        }
        Ok(())
    }

    fn configure(&mut self, configure: &ConfigureStock) {
        if self.is_duplicate() {
            return self.reply(&Verdict::Unchanged);
        }
        if let Err(refusal) = self.check_version(configure.expected_version) {
            return self.reply(&Verdict::Refused(refusal));
        }
        let policy = configure.policy.unwrap_or(self.stock.policy);
        let threshold = configure.low_stock_threshold;
        let threshold = threshold.unwrap_or(self.stock.low_stock_threshold).max(0);
        let is_so = self.stock.policy == policy && self.stock.low_stock_threshold == threshold;
        if self.stock.configured && is_so {
            return self.reply(&Verdict::Unchanged);
        }
        if let Err(refusal) = self.check_policy(policy) {
            return self.reply(&Verdict::Refused(refusal));
        }
        self.may_arm = self.stock.low_stock_threshold != threshold;
        self.stock.policy = policy;
        self.stock.low_stock_threshold = threshold;
        self.stock.configured = true;
        self.tell(StockConfigured {
            sku: self.stock.sku.clone(),
            policy,
            low_stock_threshold: threshold,
        });
        self.remember_command();
        self.reply(&Verdict::Accepted);
    }

    /// Nothing is denied that was promised already.
    fn check_policy(&self, policy: StockPolicy) -> Result<(), Refusal> {
        let mut promised = self
            .stock
            .locations
            .iter()
            .filter(|at| available_at(at) < 0);
        match promised.next() {
            Some(at) if !is_on_demand(policy) => {
                let (missing, location) = (-available_at(at), &at.location);
                let detail = format!("{missing} more than there is are promised at `{location}`");
                Err(Refusal::new("stock-promised", detail))
            }
            _ => Ok(()),
        }
    }

    fn check_version(&self, expected: Option<i64>) -> Result<(), Refusal> {
        match expected {
            Some(expected) if expected != self.stock.seq => {
                let detail = format!("the stock is at version {}", self.stock.seq);
                Err(Refusal::new("version-conflict", detail))
            }
            _ => Ok(()),
        }
    }

    /// Changes what lies at a location; `index` tells the movements of one step apart.
    pub(super) fn move_stock(
        &mut self,
        location: &LocationId,
        delta: i64,
        reason: &str,
        index: usize,
    ) -> Movement {
        if at_mut(&mut self.stock, location).is_none() {
            self.stock.locations.push(StockAt {
                location: location.clone(),
                on_hand: 0,
                held: 0,
                committed: 0,
            });
        }
        if let Some(at) = at_mut(&mut self.stock, location) {
            at.on_hand = at.on_hand.saturating_add(delta);
        }
        let movement = Movement {
            id: format!("{}-{index}", self.emit.cause_id()),
            location: location.clone(),
            delta,
            reason: reason.to_owned(),
            actor: self.emit.actor().to_owned(),
            cause: self.emit.cause_id().to_owned(),
            at: rfc3339(self.emit.at()),
        };
        self.stock.movements.insert(0, movement.clone());
        self.stock.movements.truncate(self.limits.movements_max);
        movement
    }

    /// True if the command that causes this step was answered before.
    pub(super) fn is_duplicate(&self) -> bool {
        self.stock.recent.has(Fingerprint::of(self.emit.cause_id()))
    }

    pub(super) fn remember_command(&mut self) {
        let id = Fingerprint::of(self.emit.cause_id());
        self.stock.recent.remember(id, 0, self.limits.recent_max);
    }

    /// Tells a fact.
    pub(super) fn tell(&mut self, body: impl Into<InventoryEvent>) {
        let event = self.emit.fact(&mut self.stock.seq, body);
        self.effects.push(InventoryEffect::Fact(event));
        self.changed = true;
    }

    /// Tells a fact, and tells it to the order that waits for it.
    pub(super) fn answer(&mut self, order: &OrderId, body: impl Into<InventoryEvent>) {
        let event = self.emit.fact(&mut self.stock.seq, body);
        self.effects.push(InventoryEffect::Fact(event.clone()));
        self.effects
            .push(InventoryEffect::Answer(order.clone(), event));
        self.changed = true;
    }

    pub(super) fn reply(&mut self, verdict: &Verdict) {
        let aggregate = AggregateId::from(&self.stock.sku);
        let reply = self.emit.reply(aggregate, self.stock.seq, verdict);
        self.effects.push(InventoryEffect::Reply(reply));
    }

    pub(super) fn audit(&mut self, note: Note) {
        let aggregate = AggregateId::from(&self.stock.sku);
        let entry = self.emit.audit(aggregate, "stock", note);
        self.effects.push(InventoryEffect::Audit(entry));
    }

    /// Reports low stock once when it is crossed. A restock above the threshold arms the report
    /// again; goods that were merely held and come free do not.
    fn watch_level(&mut self) {
        let (available, threshold) = (available(&self.stock), self.stock.low_stock_threshold);
        if available > threshold {
            self.stock.low_armed |= self.may_arm;
        } else if self.stock.low_armed {
            self.stock.low_armed = false;
            self.tell(StockLow {
                sku: self.stock.sku.clone(),
                available,
                threshold,
            });
        }
    }

    /// Ends the step: watches the level, and shows the stock if it has changed.
    pub(super) fn finish(mut self) -> Step<StockState, InventoryEffect> {
        if self.changed {
            self.watch_level();
            let shown = Box::new(view(&self.stock, self.emit.at()));
            self.effects.push(InventoryEffect::View(shown));
        }
        let is_nothing = self.stock.seq == 0;
        Step {
            deadline: next_due(&self.stock),
            state: (!is_nothing).then_some(self.stock),
            effects: self.effects,
        }
    }
}

/// When the next hold expires.
pub(super) fn next_due(stock: &StockState) -> Option<Timestamp> {
    let due = stock.holds.iter().map(|hold| hold.hold_until_ms).min();
    due.map(Timestamp::from_millis)
}
