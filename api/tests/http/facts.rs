//! What requests leave in the log: facts about users, and the trace and request that began each.

use std::time::Duration;

use millrace_api::config::Span;
use serde_json::{Value, json};

use crate::support::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn is_of(kind: &str) -> impl Fn(&Value) -> bool {
    move |record| record["headers"]["ce_type"] == kind
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_an_account_is_published_once_and_in_order() {
    let mut market = TestMarket::start().await;
    let token = market.customer("ada@example.com").await;
    let me = market.get("/api/users/me").bearer_auth(&token);
    let user = expect(me, 200).await["user_id"].clone();
    let signed_in = |record: &Value| record["key"] == user && is_of("user.signed_in")(record);
    market.record("user-events", signed_in).await;
    // Nothing waits for the next start, so nothing is published again.
    market.restart().await;
    market.login("ada@example.com").await;
    let again = async || {
        let records = market.records("user-events").into_iter();
        let kinds = records.filter(|record| record["key"] == user);
        let kinds: Vec<_> = kinds.map(|it| it["headers"]["ce_type"].clone()).collect();
        (kinds.len() > 2).then_some(kinds)
    };
    let kinds = until("the second login", again).await;
    assert_eq!(
        kinds,
        ["user.registered", "user.signed_in", "user.signed_in"]
    );
    let text = json!(market.records("user-events")).to_string();
    for secret in ["ada@example.com", PASSWORD] {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_of_an_account_belongs_to_the_request_that_changed_it() {
    let market = TestMarket::start().await;
    let body = json!({ "email": "ada@example.com", "password": PASSWORD, "name": "Ada" });
    let register = market.post("/api/auth/register", &body);
    let register = register
        .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
        .header("x-request-id", "req-8");
    expect(register, 201).await;
    let is_hers = |record: &Value| record["headers"]["correlation_id"] == "req-8";
    let registered = market.record("user-events", is_hers).await;
    assert_eq!(registered["headers"]["ce_type"], "user.registered");
    let trace = registered["headers"]["traceparent"].as_str();
    let is_continued = trace.is_some_and(|trace| trace.starts_with(&format!("00-{TRACE}-")));
    assert!(is_continued, "{registered}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_tell_of_behaviour_is_kept_by_user_or_by_session() {
    let market = TestMarket::start().await;
    let token = market.customer("ada@example.com").await;
    let me = market.get("/api/users/me").bearer_auth(&token);
    let user = expect(me, 200).await["user_id"].clone();
    let tell = |body: &Value| market.post("/api/events", body);

    let viewed = json!({ "type": "viewed_product", "product_id": "mug" });
    expect(tell(&viewed).bearer_auth(&token), 202).await;
    let viewed = market.record("user-events", is_of("user.viewed_product"));
    let viewed = viewed.await;
    assert_eq!(
        (&viewed["key"], &viewed["value"]["product_id"]),
        (&user, &json!("mug"))
    );
    let searched = json!({ "type": "searched", "query": "tea", "results": 3, "session": "s-1" });
    expect(tell(&searched), 202).await;
    let searched = market.record("user-events", is_of("user.searched")).await;
    assert_eq!(searched["key"], "guest_s-1");
    assert_eq!(searched["value"]["results"], 3);

    for (wrong, pointer) in [
        (
            json!({ "type": "added_to_cart", "product_id": "mug", "quantity": 0 }),
            "/quantity",
        ),
        (json!({ "type": "searched", "query": "" }), "/query"),
        (
            json!({ "type": "viewed_product", "product_id": "" }),
            "/product_id",
        ),
    ] {
        let refused = problem(tell(&wrong), 422).await;
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{wrong}");
    }
    problem(
        tell(&json!({ "type": "purchased", "product_id": "mug" })),
        422,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_and_the_request_of_a_client_reach_every_fact_that_they_cause() {
    let (market, admin) = TestMarket::paying(5, |_| ()).await;
    // What a webhook tells first, it has begun.
    let silent = market.put("/simulator/webhooks", &json!({ "copies": 0 }));
    expect(silent.bearer_auth(&admin), 204).await;
    let token = market.customer("ada@example.com").await;
    let item = json!({ "sku": "mug-red", "quantity": 1 });
    let add = market.post("/api/cart/items", &item).bearer_auth(&token);
    expect(add, 200).await;
    let order = json!({ "payment_method": "pm_ok", "shipping_address": { "city": "Bonn" } });
    let place = market.post("/api/orders", &order).bearer_auth(&token);
    let place = place
        .header("idempotency-key", "one")
        .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
        .header("x-request-id", "req-7");
    expect(place, 201).await;
    for (topic, kind) in [
        ("order-events", "order.created"),
        ("inventory-events", "inventory.reserved"),
        ("payment-events", "payment.captured"),
        ("order-events", "order.confirmed"),
    ] {
        let fact = market.record(topic, is_of(kind)).await;
        let headers = &fact["headers"];
        let trace = headers["traceparent"].as_str().unwrap_or_default();
        assert!(trace.starts_with(&format!("00-{TRACE}-")), "{kind}: {fact}");
        assert_eq!(headers["correlation_id"], "req-7", "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_that_nobody_touches_is_told_to_be_abandoned_once_and_not_after_an_order() {
    let market = TestMarket::start_with(|options| {
        options.cart_idle = Some(Span(Duration::from_secs(2)));
    })
    .await;
    market.offer(5).await;
    let item = json!({ "sku": "mug-red", "quantity": 1 });
    let guest = expect(market.post("/api/cart/items", &item), 200).await;
    let abandoned = market.record("cart-events", is_of("cart.abandoned")).await;
    assert_eq!(abandoned["key"], guest["id"]);
    let (_, order) = market.place("ada@example.com", "pm_ok").await;
    let checked_out = market.record("cart-events", is_of("cart.checked_out"));
    assert_eq!(checked_out.await["value"]["order_id"], order["id"]);
    // A later spell of somebody else ends after any of the others would have.
    let eve = expect(market.post("/api/cart/items", &item), 200).await;
    let of_eve = |record: &Value| record["key"] == eve["id"] && is_of("cart.abandoned")(record);
    market.record("cart-events", of_eve).await;
    let records = market.records("cart-events").into_iter();
    let told: Vec<_> = records.filter(is_of("cart.abandoned")).collect();
    let carts: Vec<_> = told.iter().map(|record| &record["key"]).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(carts.contains(&&guest["id"]) && carts.contains(&&eve["id"]));
}
