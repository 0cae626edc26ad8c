//! Orders with payments: what becomes of them, of the stock and of the money, over HTTP.

use std::time::Duration;

use millrace_api::config::Span;
use serde_json::{Value, json};

use crate::support::*;

impl TestMarket {
    /// Puts a mug into the cart of the customer, who registers for it, and orders it.
    pub(crate) async fn place(&self, email: &str, method: &str) -> (String, Value) {
        self.place_many(email, method, 1).await
    }

    /// As [`place`](Self::place), `quantity` of it.
    pub(crate) async fn place_many(
        &self,
        email: &str,
        method: &str,
        quantity: i64,
    ) -> (String, Value) {
        let token = self.customer(email).await;
        let item = json!({ "sku": "mug-red", "quantity": quantity });
        let add = self.post("/api/cart/items", &item).bearer_auth(&token);
        expect(add, 200).await;
        let order = json!({ "payment_method": method, "shipping_address": { "city": "Bonn" } });
        let place = self.post("/api/orders", &order).bearer_auth(&token);
        let placed = expect(place.header("idempotency-key", email), 201).await;
        (token, placed)
    }

    /// Orders a mug and waits for what becomes of it.
    pub(crate) async fn buy(&self, email: &str, method: &str) -> Value {
        let (token, placed) = self.place(email, method).await;
        self.settle(&token, &placed, |order| order["final_or_waiting"] == true)
            .await
    }

    pub(crate) async fn settle(
        &self,
        token: &str,
        order: &Value,
        is_it: impl Fn(&Value) -> bool,
    ) -> Value {
        let path = format!("/api/orders/{}?wait=10", order["id"].as_str().unwrap());
        until("the order's end", || async {
            let order = expect(self.get(&path).bearer_auth(token), 200).await;
            is_it(&order).then_some(order)
        })
        .await
    }

    /// What the gateway has kept of an order: captured less refunded.
    async fn kept(&self, admin: &str, order: &Value) -> i64 {
        let ledger = self.get("/simulator/ledger").bearer_auth(admin);
        let ledger = expect(ledger, 200).await;
        let charges = ledger["items"].as_array().unwrap().clone();
        let ours = charges.iter().filter(|c| c["order_id"] == order["id"]);
        let kept = |c: &Value| {
            c["captured"]["minor"].as_i64().unwrap() - c["refunded"]["minor"].as_i64().unwrap()
        };
        ours.map(kept).sum()
    }

    async fn reserved(&self, admin: &str) -> i64 {
        let stock = self.get("/api/admin/inventory/mug-red");
        let stock = expect(stock.bearer_auth(admin), 200).await;
        stock["reserved"].as_i64().unwrap()
    }
}

fn last_event(order: &Value) -> &Value {
    let timeline = order["timeline"].as_array().unwrap();
    &timeline.last().unwrap()["event"]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_payment_method_of_the_simulator_does_what_its_name_says() {
    let (market, admin) = TestMarket::paying(9, |_| ()).await;
    let paid = |order: &Value| order["payment_status"] == "captured";
    for method in [
        "pm_ok",
        "pm_requires_action",
        "pm_drop_reply",
        "pm_error_then_ok",
        "pm_slow",
    ] {
        let email = format!("{method}@example.com");
        let (token, placed) = market.place(&email, method).await;
        let order = market.settle(&token, &placed, paid).await;
        assert_eq!(
            (&order["status"], last_event(&order)),
            (&json!("confirmed"), &json!("order.confirmed")),
            "{method}: {order}"
        );
        assert_eq!(market.kept(&admin, &order).await, 1000, "{method}");
    }
    assert_eq!(market.reserved(&admin).await, 5);
    for method in ["pm_decline", "pm_unheard_of"] {
        let order = market.buy(&format!("{method}@example.com"), method).await;
        assert_eq!(order["status"], "payment_failed");
        assert_eq!(last_event(&order), "order.payment_failed");
        assert_eq!(market.kept(&admin, &order).await, 0);
    }
    until("the reservations' release", || async {
        (market.reserved(&admin).await == 5).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_that_come_twice_late_and_out_of_order_move_nothing_more() {
    let (market, admin) = TestMarket::paying(9, |_| ()).await;
    let delivery = json!({ "copies": 3, "delay_ms": 20, "hold_ms": 200 });
    let webhooks = |body: &Value| {
        let request = market.put("/simulator/webhooks", body);
        request.bearer_auth(&admin)
    };
    expect(webhooks(&delivery), 204).await;
    problem(webhooks(&json!({ "copies": 99 })), 422).await;
    for method in ["pm_ok", "pm_requires_action"] {
        let (token, placed) = market.place(&format!("{method}@example.com"), method).await;
        let paid = |order: &Value| order["payment_status"] == "captured";
        let order = market.settle(&token, &placed, paid).await;
        let payment = order["payments"][0]["id"].as_str().unwrap();
        let refund = market.post(
            &format!("/api/admin/payments/{payment}/refunds"),
            &json!({ "amount": { "minor": 1000, "currency": "EUR" }, "reason": "broken" }),
        );
        let refund = refund.bearer_auth(&admin).header("idempotency-key", method);
        expect(refund, 201).await;
        let back = |order: &Value| order["payment_status"] == "refunded";
        let order = market.settle(&token, &order, back).await;
        assert_eq!(market.kept(&admin, &order).await, 0);
    }
    let forged = market.post("/api/webhooks/payments/simulator", &json!({}));
    assert_eq!(problem(forged, 401).await["code"], "invalid-signature");
    problem(market.post("/api/webhooks/payments/other", &json!({})), 404).await;
}

// The gateway answers after three seconds; an order has ended before in both ways.

fn is_back(order: &Value) -> bool {
    order["payment_status"] == "refunded"
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_comes_after_an_order_was_cancelled_goes_back() {
    let (market, admin) = TestMarket::paying(9, |_| ()).await;
    let (ada, order) = market.place("ada@example.com", "pm_slow").await;
    let is_charged = async || (market.kept(&admin, &order).await > 0).then_some(());
    until("a charge", is_charged).await;
    let path = format!("/api/orders/{}/cancel", order["id"].as_str().unwrap());
    let cancel = market.put(&path, &json!({ "reason": "too slow" }));
    expect(cancel.bearer_auth(&ada), 200).await;
    let order = market.settle(&ada, &order, is_back).await;
    assert_eq!(order["status"], "cancelled");
    assert_eq!(market.kept(&admin, &order).await, 0);
    assert_eq!(market.reserved(&admin).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_comes_after_an_order_has_expired_goes_back() {
    let (market, admin) = TestMarket::paying(9, |options| {
        options.reservation_ttl = Some(Span(Duration::from_secs(2)));
    })
    .await;
    let (eve, order) = market.place("eve@example.com", "pm_slow").await;
    let order = market
        .settle(&eve, &order, |order| order["status"] == "expired")
        .await;
    assert_eq!(last_event(&order), "order.expired");
    assert_eq!(market.reserved(&admin).await, 0);
    let order = market.settle(&eve, &order, is_back).await;
    assert_eq!(order["status"], "expired");
    assert_eq!(market.kept(&admin, &order).await, 0);
    assert_eq!(market.reserved(&admin).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_takes_what_is_left_and_no_more() {
    let (market, admin) = TestMarket::paying(5, |_| ()).await;
    let order = market.buy("ada@example.com", "pm_ok").await;
    let path = format!(
        "/api/admin/payments/{}/refunds",
        order["payments"][0]["id"].as_str().unwrap()
    );
    let refund = |minor: i64, key: &str| {
        let body = json!({ "amount": { "minor": minor, "currency": "EUR" }, "reason": "late" });
        let refund = market.post(&path, &body).bearer_auth(&admin);
        refund.header("idempotency-key", key.to_owned())
    };
    let first = expect(refund(400, "a"), 201).await;
    assert_eq!(expect(refund(400, "a"), 201).await, first);
    let refused = problem(refund(601, "b"), 422).await;
    assert_eq!(
        (&refused["code"], &refused["refundable"]["minor"]),
        (&json!("refund-exceeds-captured"), &json!(600))
    );
    expect(refund(600, "c"), 201).await;
    problem(refund(1, "d"), 422).await;
    until("both refunds", || async {
        (market.kept(&admin, &order).await == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_for_later_is_accepted_at_once_in_the_shape_of_an_order() {
    let (market, _) = TestMarket::paying(5, |_| ()).await;
    let token = market.customer("ada@example.com").await;
    let item = json!({ "sku": "mug-red", "quantity": 2 });
    expect(
        market.post("/api/cart/items", &item).bearer_auth(&token),
        200,
    )
    .await;
    let mut order = json!({ "payment_method": "pm_ok", "shipping_address": { "city": "Bonn" } });
    order["expected_total"] = json!({ "minor": 9000, "currency": "USD" });
    let place = |order: &Value, key: &str| {
        let place = market.post("/api/orders", order).bearer_auth(&token);
        let place = place.header("prefer", "respond-async");
        place.header("idempotency-key", key.to_owned())
    };
    let foreign = problem(place(&order, "a"), 422).await;
    assert_eq!(foreign["errors"][0]["pointer"], "/expected_total/currency");
    order["expected_total"]["currency"] = json!("EUR");
    let accepted = expect_response(place(&order, "b"), 202).await;
    let location = accepted.headers()["location"].to_str().unwrap().to_owned();
    let token_of = |answer: &reqwest::Response| answer.headers()["position-token"].clone();
    let position = token_of(&accepted);
    let read = market.get(&location).bearer_auth(&token);
    expect(read.header("position-token", position), 200).await;
    let other = market.get(&location).bearer_auth(&token);
    problem(other.header("position-token", "none"), 400).await;
    let accepted = body(accepted).await;
    assert_eq!(accepted["totals"]["total"]["minor"], 2000);
    let order = market.get(&format!("{location}?wait=20"));
    let order = expect(order.bearer_auth(&token), 200).await;
    assert_eq!(order["status"], "confirmed");
    for (name, value) in accepted.as_object().unwrap() {
        assert!(!order[name].is_null() && !value.is_null(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulator_shows_its_ledger_to_all_and_listens_to_administrators_only() {
    let (market, admin) = TestMarket::paying(1, |_| ()).await;
    let ada = market.customer("ada@example.com").await;
    let off = json!({ "copies": 0 });
    let deliver = || market.put("/simulator/webhooks", &off);
    problem(deliver(), 401).await;
    problem(deliver().bearer_auth(&ada), 403).await;
    expect(deliver().bearer_auth(&admin), 204).await;
    let ledger = market.get("/simulator/ledger");
    assert_eq!(expect(ledger, 200).await["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_shown_the_actions_of_their_role_and_administrators_every_order() {
    let (market, admin) = TestMarket::paying(5, |_| ()).await;
    let (ada, eve) = ("ada@example.com", "eve@example.com");
    let (adas, eves) = (
        market.buy(ada, "pm_ok").await,
        market.buy(eve, "pm_ok").await,
    );
    assert_eq!(adas["allowed_actions"], json!(["cancel"]));
    let path = format!("/api/orders/{}", adas["id"].as_str().unwrap());
    let shown = expect(market.get(&path).bearer_auth(&admin), 200).await;
    assert_eq!(shown["allowed_actions"], json!(["cancel", "ship"]));

    let first = market.get("/api/admin/orders?limit=1").bearer_auth(&admin);
    let first = expect(first, 200).await;
    assert_eq!(first["items"][0]["id"], eves["id"], "the newest first");
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = format!("/api/admin/orders?limit=1&cursor={cursor}");
    let second = expect(market.get(&second).bearer_auth(&admin), 200).await;
    assert_eq!(second["items"][0]["id"], adas["id"]);
    assert_eq!(second["next_cursor"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_a_cart_is_ordered_once_however_fast_one_order_follows_another() {
    let (market, _) = TestMarket::paying(9, |_| ()).await;
    let token = market.customer("ada@example.com").await;
    let add = || {
        let item = json!({ "sku": "mug-red", "quantity": 1 });
        market.post("/api/cart/items", &item).bearer_auth(&token)
    };
    let place = |key: String| {
        let order = json!({ "payment_method": "pm_ok", "shipping_address": { "city": "Bonn" } });
        let place = market.post("/api/orders", &order).bearer_auth(&token);
        let place = place.header("idempotency-key", key);
        async { place.send().await.unwrap().status().as_u16() }
    };
    for n in 0..4 {
        expect(add(), 200).await;
        let (one, other) = tokio::join!(place(format!("{n}-a")), place(format!("{n}-b")));
        let mut statuses = [one, other];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409]);
    }
    let orders = expect(market.get("/api/orders").bearer_auth(&token), 200).await;
    let orders = orders["items"].as_array().unwrap();
    let quantities: Vec<_> = orders
        .iter()
        .map(|it| &it["items"][0]["quantity"])
        .collect();
    assert_eq!(quantities, [1, 1, 1, 1]);
}
