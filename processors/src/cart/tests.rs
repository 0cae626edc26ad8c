//! Carts, in scenes.

use std::time::Duration;

use millrace_avro::event::{EventId, Meta};
use millrace_avro::events::carts::{
    AddCartItem, CheckOutCart, MergeCart, Quote, RemoveCartItem, SetCartItem,
};
use millrace_avro::events::orders::ShippedItem;
use millrace_avro::keys::{OrderId, ProductId, Sku, UserId};
use millrace_avro::money::{Currency, Money, Rate};

use super::*;

struct Stage {
    id: CartId,
    now: Timestamp,
    state: Option<CartState>,
    deadline: Option<Timestamp>,
    events: u64,
    sent: Vec<Event<CartCommand>>,
}

fn cart(name: &str) -> CartId {
    CartId::new(name).unwrap()
}

fn quote(available: i64) -> Quote {
    Quote {
        product_id: ProductId::new("product").unwrap(),
        name: "A thing".to_owned(),
        unit_price: Money::new(1000, Currency::EUR),
        tax_rate: Rate::basis_points(2000),
        available,
        on_demand: false,
    }
}

impl Stage {
    fn new(id: &str) -> Self {
        Self {
            id: cart(id),
            now: Timestamp::from_millis(1_000),
            state: None,
            deadline: None,
            events: 0,
            sent: Vec::new(),
        }
    }

    fn tell(&mut self, body: impl Into<CartCommand>) -> Vec<String> {
        self.events += 1;
        let id = EventId::new(format!("{}-{}", self.id, self.events));
        let event = Event::new(Meta::new(id, "/test", self.now), body);
        self.hear(&event)
    }

    fn hear(&mut self, event: &Event<CartCommand>) -> Vec<String> {
        let step = Carts::default().on_event(&self.id, self.state.take(), event, self.now);
        self.take(step)
    }

    fn take(&mut self, step: Step<CartState, CartEffect>) -> Vec<String> {
        self.state = step.state;
        self.deadline = step.deadline;
        let mut names = Vec::new();
        for effect in step.effects {
            match effect {
                CartEffect::Fact(event) => names.push(event.body.type_name().to_owned()),
                CartEffect::Cart(_, event) => self.sent.push(event),
                CartEffect::Reply(event) => {
                    let ReplyEvent::Replied(reply) = event.body;
                    names.extend(reply.code);
                }
                CartEffect::View(Some(_)) => {}
                CartEffect::View(None) => names.push("gone".to_owned()),
            }
        }
        names
    }

    fn pass_deadline(&mut self) -> Vec<String> {
        self.now = self.deadline.unwrap();
        let step = Carts::default().on_deadline(&self.id, self.state.take().unwrap(), self.now);
        self.take(step)
    }

    fn add(&mut self, sku: &str, quantity: i64) -> Vec<String> {
        self.add_quoted(sku, quantity, quote(10))
    }

    fn add_quoted(&mut self, sku: &str, quantity: i64, quote: Quote) -> Vec<String> {
        self.tell(AddCartItem {
            cart_id: self.id.clone(),
            user_id: None,
            sku: Sku::new(sku).unwrap(),
            quantity,
            quote,
            expected_version: None,
        })
    }

    fn set(&mut self, line: &str, quantity: i64, version: Option<i64>) -> Vec<String> {
        self.tell(SetCartItem {
            cart_id: self.id.clone(),
            line_id: line.to_owned(),
            quantity,
            quote: Some(quote(10)),
            expected_version: version,
        })
    }

    fn merge_into(&mut self, into: &str) -> Vec<String> {
        self.tell(MergeCart {
            cart_id: self.id.clone(),
            into: cart(into),
            user_id: UserId::new("user").unwrap(),
        })
    }

    fn check_out(&mut self, items: &[(&str, i64)]) -> Vec<String> {
        let item = |(sku, quantity): &(&str, i64)| ShippedItem {
            sku: Sku::new(sku).unwrap(),
            quantity: *quantity,
        };
        self.tell(CheckOutCart {
            cart_id: self.id.clone(),
            order_id: OrderId::new("order").unwrap(),
            lines: items.iter().map(item).collect(),
        })
    }

    fn lines(&self) -> Vec<(&str, i64)> {
        let lines = self.state.iter().flat_map(|cart| &cart.lines);
        lines
            .map(|line| (line.sku.as_str(), line.quantity))
            .collect()
    }
}

#[test]
fn lines_are_added_changed_and_removed() {
    let mut stage = Stage::new("c");
    assert_eq!(stage.add("a", 1), ["cart.item_added"]);
    assert_eq!(stage.add("a", 2), ["cart.item_changed"]);
    assert_eq!(stage.set("a", 5, Some(2)), ["cart.item_changed"]);
    assert_eq!(stage.set("a", 4, Some(2)), ["version-conflict"]);
    assert_eq!(stage.set("b", 4, None), ["unknown-line"]);
    let shown = view(stage.state.as_ref().unwrap(), &CartLimits::default());
    let sums = [shown.subtotal, shown.tax, shown.total].map(|money| money.minor);
    assert_eq!((shown.version, sums), (3, [5000, 1000, 6000]));
    assert_eq!(stage.set("a", 0, None), ["cart.item_removed"]);
    let remove = RemoveCartItem {
        cart_id: cart("c"),
        line_id: "a".to_owned(),
        expected_version: None,
    };
    assert_eq!(stage.tell(remove), ["unknown-line"]);
}

#[test]
fn a_change_is_checked_against_stock_price_and_bounds() {
    let mut stage = Stage::new("c");
    assert_eq!(stage.add("a", 11), ["insufficient-stock"]);
    assert_eq!(stage.add("a", 0), ["invalid-quantity"]);
    assert!(stage.state.is_none());
    let on_demand = Quote {
        on_demand: true,
        ..quote(0)
    };
    assert_eq!(
        stage.add_quoted("a", 11, on_demand.clone()),
        ["cart.item_added"]
    );
    assert_eq!(stage.add_quoted("b", 1000, on_demand), ["too-many-pieces"]);
    assert_eq!(
        stage.add_quoted("b", 1, quote_in_dollars()),
        ["invalid-amount"]
    );
}

#[test]
fn a_merge_loses_no_line_and_may_be_repeated() {
    let mut guest = Stage::new("guest");
    guest.add("a", 3);
    guest.add("b", 1);
    let mut user = Stage::new("user");
    user.add("b", 2);
    user.add("c", 1);
    assert_eq!(guest.merge_into("user"), ["cart.merged"]);
    let command = guest.sent.remove(0);
    assert_eq!(user.hear(&command), ["cart.merged"]);
    assert_eq!(user.lines(), [("b", 2), ("c", 1), ("a", 3)]);
    assert_eq!(guest.lines(), []);
    assert_eq!(user.hear(&command), [""; 0]);
    assert_eq!(guest.merge_into("user"), [""; 0]);
    assert!(guest.sent.is_empty());
    assert_eq!(user.lines(), [("b", 2), ("c", 1), ("a", 3)]);
}

#[test]
fn a_line_that_comes_after_a_merge_is_merged_as_well() {
    let mut guest = Stage::new("guest");
    guest.add("a", 1);
    guest.merge_into("user");
    guest.add("b", 1);
    assert_eq!(guest.merge_into("user"), ["cart.merged"]);
    let mut user = Stage::new("user");
    for command in guest.sent {
        user.hear(&command);
    }
    assert_eq!(user.lines(), [("a", 1), ("b", 1)]);
}

#[test]
fn an_order_takes_what_it_took() {
    let mut stage = Stage::new("c");
    stage.add("a", 3);
    stage.add("b", 1);
    assert_eq!(stage.check_out(&[("a", 2), ("b", 1)]), ["cart.checked_out"]);
    assert_eq!(stage.lines(), [("a", 1)]);
}

#[test]
fn an_idle_cart_is_abandoned_once_until_it_changes() {
    let mut stage = Stage::new("c");
    stage.add("a", 1);
    let first = stage.deadline;
    stage.now = stage.now + Duration::from_secs(60);
    stage.add("b", 1);
    assert!(stage.deadline > first);
    assert_eq!(stage.pass_deadline(), ["cart.abandoned"]);
    stage.add("b", 1);
    assert_eq!(stage.pass_deadline(), ["cart.abandoned"]);
}

#[test]
fn a_cart_that_nobody_changes_is_forgotten_however_it_was_left() {
    let ends: [fn(&mut Stage); 4] = [
        |abandoned| drop(abandoned.pass_deadline()),
        |emptied| drop(emptied.set("a", 0, None)),
        |merged| drop(merged.merge_into("user")),
        |ordered| drop(ordered.check_out(&[("a", 1)])),
    ];
    for leave in ends {
        let mut stage = Stage::new("c");
        stage.add("a", 1);
        leave(&mut stage);
        let changed_at = stage.state.as_ref().unwrap().changed_at_ms;
        let keep_for = CartLimits::default().keep_for;
        let over = Timestamp::from_millis(changed_at) + keep_for;
        assert_eq!(stage.deadline, Some(over));
        assert_eq!(stage.pass_deadline(), ["gone"]);
        assert!(stage.state.is_none() && stage.deadline.is_none());
    }
}

#[test]
fn a_cart_that_was_never_there_waits_for_nothing() {
    let mut stage = Stage::new("c");
    stage.add("a", 0);
    assert!(stage.state.is_none() && stage.deadline.is_none());
}

fn quote_in_dollars() -> Quote {
    Quote {
        unit_price: Money::new(1, Currency::USD),
        ..quote(10)
    }
}

/// A guest's cart in dollars, with what it gives to a user's cart.
fn guest_with_dollars() -> (Stage, Event<CartCommand>) {
    let mut guest = Stage::new("guest");
    guest.add_quoted("a", 1, quote_in_dollars());
    guest.add_quoted("c", 3, quote_in_dollars());
    guest.merge_into("user");
    let given = guest.sent.remove(0);
    (guest, given)
}

#[test]
fn lines_in_another_currency_go_back_to_the_cart_that_gave_them() {
    let (mut guest, given) = guest_with_dollars();
    let mut user = Stage::new("user");
    user.add("b", 2);
    for _ in 0..2 {
        assert_eq!(user.hear(&given), ["foreign-currency"]);
        for back in user.sent.drain(..) {
            guest.hear(&back);
        }
        assert_eq!(user.lines(), [("b", 2)]);
        assert_eq!(guest.lines(), [("a", 1), ("c", 3)]);
    }
    let state = guest.state.as_ref().unwrap();
    assert_eq!((&state.merged_into, &state.user_id), (&None, &None));
    let mut empty = Stage::new("user");
    assert_eq!(empty.hear(&given), ["cart.merged"]);
    assert!(empty.sent.is_empty());
}

#[test]
fn lines_that_no_cart_takes_are_not_sent_to_and_fro() {
    let (mut guest, given) = guest_with_dollars();
    guest.add("d", 1);
    let mut user = Stage::new("user");
    user.add("b", 2);
    user.hear(&given);
    for back in user.sent.drain(..) {
        assert_eq!(guest.hear(&back), ["invalid-amount"]);
    }
    assert!(guest.sent.is_empty());
}

#[test]
fn a_cart_that_became_an_order_is_not_abandoned() {
    let mut stage = Stage::new("c");
    stage.add("a", 1);
    let due = stage.deadline.unwrap();
    stage.check_out(&[("a", 1)]);
    stage.deadline = Some(due);
    assert_eq!(stage.pass_deadline(), [""; 0]);
}

#[test]
fn lines_that_a_full_cart_has_no_place_for_go_back_to_the_cart_that_gave_them() {
    let mut guest = Stage::new("guest");
    for sku in ["known", "first", "second"] {
        guest.add(sku, 2);
    }
    guest.merge_into("user");
    let given = guest.sent.remove(0);
    let mut user = Stage::new("user");
    user.add("known", 1);
    let others = CartLimits::default().lines_max - 2;
    for number in 0..others {
        user.add(&format!("other-{number}"), 1);
    }
    assert_eq!(user.hear(&given), ["cart.merged"]);
    assert_eq!(user.lines().len(), CartLimits::default().lines_max);
    assert_eq!(user.lines().first(), Some(&("known", 2)));
    assert_eq!(user.lines().last(), Some(&("first", 2)));
    for back in user.sent.drain(..) {
        guest.hear(&back);
    }
    assert_eq!(guest.lines(), [("second", 2)]);
    guest.merge_into("user");
    let given = guest.sent.remove(0);
    assert_eq!(user.hear(&given), ["too-many-lines"]);
    for back in user.sent.drain(..) {
        guest.hear(&back);
    }
    assert_eq!(guest.lines(), [("second", 2)]);
}
