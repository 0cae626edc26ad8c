//! One step of a cart.

use millrace_avro::events::carts::{
    AddCartItem, CartAbandoned, CartCheckedOut, CartCommand, CartEvent, CartItemAdded,
    CartItemChanged, CartItemRemoved, CartLine, CartMerged, CartState, CheckOutCart, MergeCart,
    Quote, RemoveCartItem, SetCartItem, TakeCartLines,
};
use millrace_avro::events::common::Fingerprint;
use millrace_avro::keys::{AggregateId, CartId, Sku, UserId};
use millrace_streams::Timestamp;

use super::view::{currency, price, view};
use super::{CartEffect, CartLimits};
use crate::emit::{Emitter, Refusal, Verdict};
use crate::transition::Step;

/// A cart in the middle of a step.
pub(super) struct Run<'a> {
    cart: CartState,
    limits: &'a CartLimits,
    emit: Emitter,
    effects: Vec<CartEffect>,
    changed: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(cart: CartState, limits: &'a CartLimits, emit: Emitter) -> Self {
        Self {
            cart,
            limits,
            emit,
            effects: Vec::new(),
            changed: false,
        }
    }

    pub(super) fn obey(&mut self, command: &CartCommand) {
        let id = Fingerprint::of(self.emit.cause_id());
        if self.cart.recent.has(id) {
            return self.reply(&Verdict::Unchanged);
        }
        let verdict = match command {
            CartCommand::AddItem(add) => self.add(add),
            CartCommand::SetItem(set) => self.set(set),
            CartCommand::RemoveItem(remove) => self.remove(remove),
            CartCommand::Merge(merge) => self.give(merge),
            CartCommand::TakeLines(take) => self.take(take),
            CartCommand::CheckOut(check_out) => self.check_out(check_out),
        };
        if verdict == Verdict::Accepted {
            self.cart.recent.remember(id, 0, self.limits.recent_max);
        }
        self.reply(&verdict);
    }

    fn add(&mut self, add: &AddCartItem) -> Verdict {
        let wanted = self.quantity_of(&add.sku).saturating_add(add.quantity);
        let checks = self
            .check_version(add.expected_version)
            .and_then(|()| positive(add.quantity))
            .and_then(|()| self.check_line(&add.sku, wanted, &add.quote));
        if let Err(refusal) = checks {
            return Verdict::Refused(refusal);
        }
        self.own(add.user_id.as_ref());
        self.put(&add.sku, wanted, &add.quote);
        Verdict::Accepted
    }

    fn set(&mut self, set: &SetCartItem) -> Verdict {
        if let Err(refusal) = self.check_version(set.expected_version) {
            return Verdict::Refused(refusal);
        }
        let Some(line) = self.line(&set.line_id).cloned() else {
            return Verdict::Refused(unknown_line());
        };
        if set.quantity == 0 {
            self.drop_line(&line.id);
            return Verdict::Accepted;
        }
        let Some(quote) = &set.quote else {
            let refusal = Refusal::new("unknown-sku", "the SKU is no longer for sale");
            return Verdict::Refused(refusal);
        };
        let checks =
            positive(set.quantity).and_then(|()| self.check_line(&line.sku, set.quantity, quote));
        if let Err(refusal) = checks {
            return Verdict::Refused(refusal);
        }
        if line.quantity == set.quantity && line.quote == *quote {
            return Verdict::Unchanged;
        }
        self.put(&line.sku, set.quantity, quote);
        Verdict::Accepted
    }

    fn remove(&mut self, remove: &RemoveCartItem) -> Verdict {
        if let Err(refusal) = self.check_version(remove.expected_version) {
            return Verdict::Refused(refusal);
        }
        match self.line(&remove.line_id).cloned() {
            Some(line) => {
                self.drop_line(&line.id);
                Verdict::Accepted
            }
            None => Verdict::Refused(unknown_line()),
        }
    }

    /// Gives every line to the user's cart.
    fn give(&mut self, merge: &MergeCart) -> Verdict {
        if merge.into == self.cart.cart_id {
            return Verdict::Unchanged;
        }
        let first = self.cart.merged_into.is_none();
        if !first && self.cart.lines.is_empty() {
            return Verdict::Unchanged;
        }
        let lines = std::mem::take(&mut self.cart.lines);
        self.cart.merged_into = Some(merge.into.clone());
        self.tell(CartMerged {
            cart_id: self.cart.cart_id.clone(),
            other: merge.into.clone(),
            gave: true,
            lines: lines.clone(),
        });
        let command = self.emit.event::<CartCommand>(TakeCartLines {
            cart_id: merge.into.clone(),
            from: self.cart.cart_id.clone(),
            user_id: merge.user_id.clone(),
            lines,
        });
        self.effects
            .push(CartEffect::Cart(merge.into.clone(), command));
        Verdict::Accepted
    }

    /// Takes the lines of a guest's cart: every line stays, the larger quantity counts. Lines in
    /// another currency than the cart's have no sum with it, and lines of more SKUs than a cart holds
    /// have no place there: they go back to where they came from.
    fn take(&mut self, take: &TakeCartLines) -> Verdict {
        let mine = self.cart.lines.first().or(take.lines.first());
        let mine = mine.map(|line| line.quote.unit_price.currency);
        let is_ours = |line: &CartLine| Some(line.quote.unit_price.currency) == mine;
        let is_known = |line: &CartLine| self.quantity_of(&line.sku) > 0;
        let mut room = self.limits.lines_max.saturating_sub(self.cart.lines.len());
        let fits = |line: &CartLine| {
            let has_place = is_known(line) || room > 0;
            let fits = is_ours(line) && has_place;
            room -= usize::from(fits && !is_known(line));
            fits
        };
        let (lines, rest): (Vec<_>, Vec<_>) = take.lines.iter().cloned().partition(fits);
        self.give_back(&take.from, &rest);
        if lines.is_empty() && !rest.is_empty() {
            return Verdict::Refused(match mine.filter(|_| !rest.iter().any(is_ours)) {
                Some(currency) => {
                    Refusal::new("foreign-currency", format!("the cart is in {currency}"))
                }
                None => self.too_many_lines(),
            });
        }
        self.own(Some(&take.user_id));
        for theirs in &lines {
            let mut mine = self.cart.lines.iter_mut();
            match mine.find(|line| line.sku == theirs.sku) {
                Some(mine) => mine.quantity = mine.quantity.max(theirs.quantity),
                None => self.cart.lines.push(theirs.clone()),
            }
        }
        self.tell(CartMerged {
            cart_id: self.cart.cart_id.clone(),
            other: take.from.clone(),
            gave: false,
            lines,
        });
        Verdict::Accepted
    }

    /// As if their owner added the lines to the cart that gave them. So they go back once: what does
    /// not fit there any more either is refused, and not sent to and fro.
    fn give_back(&mut self, giver: &CartId, lines: &[CartLine]) {
        for line in lines {
            let command = self.emit.event::<CartCommand>(AddCartItem {
                cart_id: giver.clone(),
                user_id: None,
                sku: line.sku.clone(),
                quantity: line.quantity,
                quote: line.quote.clone(),
                expected_version: None,
            });
            let effect = CartEffect::Cart(giver.clone(), command);
            self.effects.push(effect);
        }
    }

    fn check_out(&mut self, check_out: &CheckOutCart) -> Verdict {
        for item in &check_out.lines {
            let mut lines = self.cart.lines.iter_mut();
            if let Some(line) = lines.find(|line| line.sku == item.sku) {
                line.quantity = line.quantity.saturating_sub(item.quantity);
            }
        }
        self.cart.lines.retain(|line| line.quantity > 0);
        self.cart.last_order = Some(check_out.order_id.clone());
        self.tell(CartCheckedOut {
            cart_id: self.cart.cart_id.clone(),
            user_id: self.cart.user_id.clone(),
            order_id: check_out.order_id.clone(),
        });
        Verdict::Accepted
    }

    /// True when nobody waits for the cart any more.
    pub(super) fn is_over(&self) -> bool {
        let idle_at = idle_at(&self.cart, self.limits);
        idle_at.is_none() && next_due(&self.cart, self.limits) <= self.emit.at()
    }

    /// Ends the cart: nothing is left of it.
    pub(super) fn forget(self) -> Step<CartState, CartEffect> {
        Step {
            state: None,
            effects: vec![CartEffect::View(None)],
            deadline: None,
        }
    }

    pub(super) fn abandon_if_idle(&mut self) {
        let now = self.emit.at();
        if idle_at(&self.cart, self.limits).is_none_or(|idle_at| now < idle_at) {
            return;
        }
        let (idle_since_ms, lines) = (self.cart.changed_at_ms, self.cart.lines.clone());
        self.tell(CartAbandoned {
            cart_id: self.cart.cart_id.clone(),
            user_id: self.cart.user_id.clone(),
            lines,
            idle_since_ms,
        });
        // Being abandoned is no change of the cart, or it would be abandoned again.
        self.cart.changed_at_ms = idle_since_ms;
        self.cart.abandoned = true;
    }

    fn own(&mut self, user: Option<&UserId>) {
        if let Some(user) = user {
            self.cart.user_id = Some(user.clone());
        }
        // A guest who goes on shopping after having signed out starts anew.
        self.cart.merged_into = None;
    }

    fn put(&mut self, sku: &Sku, quantity: i64, quote: &Quote) {
        let (cart_id, user_id) = (self.cart.cart_id.clone(), self.cart.user_id.clone());
        let line = CartLine {
            id: sku.as_str().to_owned(),
            sku: sku.clone(),
            quantity,
            quote: quote.clone(),
        };
        let mut lines = self.cart.lines.iter_mut();
        if let Some(known) = lines.find(|known| known.sku == *sku) {
            let quantity_before = known.quantity;
            *known = line.clone();
            self.tell(CartItemChanged {
                cart_id,
                user_id,
                line,
                quantity_before,
            });
        } else {
            self.cart.lines.push(line.clone());
            self.tell(CartItemAdded {
                cart_id,
                user_id,
                line,
            });
        }
    }

    fn drop_line(&mut self, line_id: &str) {
        let mut lines = self.cart.lines.iter();
        let Some(index) = lines.position(|line| line.id == line_id) else {
            return;
        };
        let line = self.cart.lines.remove(index);
        self.tell(CartItemRemoved {
            cart_id: self.cart.cart_id.clone(),
            user_id: self.cart.user_id.clone(),
            line,
        });
    }

    fn check_version(&self, expected: Option<i64>) -> Result<(), Refusal> {
        match expected {
            Some(expected) if expected != self.cart.seq => {
                let detail = format!("the cart is at version {}", self.cart.seq);
                Err(Refusal::new("version-conflict", detail))
            }
            _ => Ok(()),
        }
    }

    fn check_line(&self, sku: &Sku, wanted: i64, quote: &Quote) -> Result<(), Refusal> {
        if wanted > self.limits.quantity_max {
            let detail = format!("a line has at most {} pieces", self.limits.quantity_max);
            return Err(Refusal::new("too-many-pieces", detail));
        }
        if wanted > quote.available && !quote.on_demand {
            let detail = format!("{} of `{sku}` are available", quote.available.max(0));
            return Err(Refusal::new("insufficient-stock", detail));
        }
        let is_new = self.quantity_of(sku) == 0;
        if is_new && self.cart.lines.len() >= self.limits.lines_max {
            return Err(self.too_many_lines());
        }
        self.check_sums(sku, wanted, quote)
    }

    /// The cart has one currency, and its sums fit.
    fn check_sums(&self, sku: &Sku, wanted: i64, quote: &Quote) -> Result<(), Refusal> {
        let mut lines: Vec<CartLine> = self.cart.lines.clone();
        lines.retain(|line| line.sku != *sku);
        let in_cart = match lines.is_empty() {
            true => quote.unit_price.currency,
            false => currency(&self.cart, self.limits),
        };
        lines.push(CartLine {
            id: sku.as_str().to_owned(),
            sku: sku.clone(),
            quantity: wanted,
            quote: quote.clone(),
        });
        match price(&lines, in_cart, self.limits) {
            Some(_) => Ok(()),
            None => Err(Refusal::new(
                "invalid-amount",
                format!("the cart is in {in_cart}, and its sums have a bound"),
            )),
        }
    }

    fn too_many_lines(&self) -> Refusal {
        let detail = format!("a cart has at most {} lines", self.limits.lines_max);
        Refusal::new("too-many-lines", detail)
    }

    fn quantity_of(&self, sku: &Sku) -> i64 {
        let mut lines = self.cart.lines.iter();
        lines
            .find(|line| line.sku == *sku)
            .map_or(0, |line| line.quantity)
    }

    fn line(&self, id: &str) -> Option<&CartLine> {
        self.cart.lines.iter().find(|line| line.id == id)
    }

    /// Tells a fact: a change that begins a new idle spell.
    fn tell(&mut self, body: impl Into<CartEvent>) {
        let event = self.emit.fact(&mut self.cart.seq, body);
        self.effects.push(CartEffect::Fact(event));
        self.cart.changed_at_ms = self.emit.at().as_millis();
        self.cart.abandoned = false;
        self.changed = true;
    }

    fn reply(&mut self, verdict: &Verdict) {
        let aggregate = AggregateId::of(&self.cart.cart_id);
        let reply = self.emit.reply(aggregate, self.cart.seq, verdict);
        self.effects.push(CartEffect::Reply(reply));
    }

    /// Ends the step: shows the cart if it has changed.
    pub(super) fn finish(mut self) -> Step<CartState, CartEffect> {
        if self.changed {
            let shown = Box::new(view(&self.cart, self.limits));
            self.effects.push(CartEffect::View(Some(shown)));
        }
        let state = (self.cart.seq > 0).then_some(self.cart);
        Step {
            deadline: state.as_ref().map(|cart| next_due(cart, self.limits)),
            state,
            effects: self.effects,
        }
    }
}

/// When the cart is told to be abandoned, or else is forgotten.
pub(super) fn next_due(cart: &CartState, limits: &CartLimits) -> Timestamp {
    let changed_at = Timestamp::from_millis(cart.changed_at_ms);
    idle_at(cart, limits).unwrap_or(changed_at + limits.keep_for)
}

/// When this idle spell is to be told.
fn idle_at(cart: &CartState, limits: &CartLimits) -> Option<Timestamp> {
    let waits = !cart.lines.is_empty() && !cart.abandoned;
    let changed_at = Timestamp::from_millis(cart.changed_at_ms);
    waits.then(|| changed_at + limits.idle_after)
}

fn positive(quantity: i64) -> Result<(), Refusal> {
    match quantity {
        1.. => Ok(()),
        _ => Err(Refusal::new("invalid-quantity", "a quantity is at least 1")),
    }
}

fn unknown_line() -> Refusal {
    Refusal::new("unknown-line", "the cart has no such line")
}
