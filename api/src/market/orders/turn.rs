//! One order at a time takes lines out of a user's cart. The next one waits for its turn: it would order
//! again what the one before has not taken out yet.

use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use millrace_avro::events::common::rfc3339;
use millrace_avro::events::orders::{OrderStatus, OrderView};
use millrace_avro::keys::{CartId, OrderId, UserId};
use tokio::time::Instant;

use crate::clock;
use crate::http::problem::Result;
use crate::market::{Market, carts, wait_for_views};
use crate::ports::Views;

/// An order that was placed longer ago holds up no other: something does not run that should.
const UNDER_WAY: Duration = Duration::from_secs(10);
/// With so many turns, those that are over are forgotten.
const TURNS_MAX: usize = 10_000;

/// Whose turn it is in this process, per user: an order that was placed here need not be seen yet.
#[derive(Debug, Default)]
pub(in crate::market) struct Turns(DashMap<UserId, (OrderId, Instant)>);

impl Turns {
    /// Takes the turn for `order`, unless another has it that is not over.
    fn take(&self, user: &UserId, order: &OrderId, is_over: impl Fn(&OrderId) -> bool) -> bool {
        if self.0.len() >= TURNS_MAX {
            self.0.retain(|_, (_, since)| since.elapsed() < UNDER_WAY);
        }
        let mine = (order.clone(), Instant::now());
        match self.0.entry(user.clone()) {
            Entry::Vacant(turn) => {
                turn.insert(mine);
                true
            }
            Entry::Occupied(mut turn) => {
                let (other, since) = turn.get();
                let free = other == order || since.elapsed() >= UNDER_WAY || is_over(other);
                if free {
                    turn.insert(mine);
                }
                free
            }
        }
    }

    /// Gives the turn back: the order was not placed.
    pub(super) fn give_back(&self, user: &UserId, order: &OrderId) {
        self.0.remove_if(user, |_, (holder, _)| holder == order);
    }
}

/// Waits until the cart of `user` shows what the orders before `order` have left there.
///
/// # Errors
/// 503 when one of them takes too long.
pub(super) async fn take(app: &Market, user: &UserId, order: &OrderId) -> Result<()> {
    let deadline = Instant::now() + app.settings.times.command_wait;
    let cart = carts::cart_of(user);
    let views = &*app.views;
    let is_over = |other: &OrderId| {
        let other = views.order(other);
        other.is_some_and(|other| !is_under_way(views, &cart, &other.view))
    };
    loop {
        let newest = views.orders_of(Some(user), None, 1).pop();
        let is_free = newest.is_none_or(|newest| !is_under_way(views, &cart, &newest));
        if is_free && app.turns.take(user, order, is_over) {
            return Ok(());
        }
        wait_for_views(deadline).await?;
    }
}

/// Whether the order may still take lines out of the cart, as far as is seen here.
fn is_under_way(views: &dyn Views, cart: &CartId, order: &OrderView) -> bool {
    let takes_none = matches!(
        order.status,
        OrderStatus::Rejected | OrderStatus::Cancelled | OrderStatus::Expired
    );
    let cart = views.cart(cart).map(|seen| seen.view);
    let has_taken = cart.is_some_and(|cart| cart.last_order.as_ref() == Some(&order.id));
    !takes_none && !has_taken && order.created_at > rfc3339(clock::now() - UNDER_WAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_taken_once_until_it_is_over_given_back_or_too_old() {
        let turns = Turns::default();
        let user = UserId::new("usr_1").unwrap();
        let [first, second] = ["ord_1", "ord_2"].map(|id| OrderId::new(id).unwrap());
        let (over, running) = (|_: &OrderId| true, |_: &OrderId| false);
        assert!(turns.take(&user, &first, running));
        assert!(turns.take(&user, &first, running), "it is its own turn");
        assert!(!turns.take(&user, &second, running));
        assert!(turns.take(&user, &second, over));
        turns.give_back(&user, &first);
        assert!(!turns.take(&user, &first, running), "it was not its turn");
        turns.give_back(&user, &second);
        assert!(turns.take(&user, &first, running));
        tokio::time::advance(UNDER_WAY).await;
        assert!(turns.take(&user, &second, running));
    }
}
