//! Stock: what administrators say of a SKU decides what is sold of it.

use serde_json::{Value, json};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn demand_beyond_the_stock_is_promised_where_the_policy_says_so() {
    let (market, admin) = TestMarket::paying(1, |_| ()).await;
    let path = "/api/admin/inventory/mug-red";
    let configure = |body: Value| market.put(path, &body).bearer_auth(&admin);
    let token = market.customer("ada@example.com").await;
    let add = || {
        let item = json!({ "sku": "mug-red", "quantity": 2 });
        market.post("/api/cart/items", &item).bearer_auth(&token)
    };
    let refused = problem(add(), 409).await;
    assert_eq!(refused["code"], "insufficient-stock");
    let unknown = configure(json!({ "policy": "promise" }));
    problem(unknown, 422).await;
    let negative = problem(configure(json!({ "low_stock_threshold": -1 })), 422).await;
    assert_eq!(negative["errors"][0]["pointer"], "/low_stock_threshold");

    let stock = expect(configure(json!({ "policy": "backorder" })), 200).await;
    assert_eq!(stock["policy"], "backorder");
    expect(add(), 200).await;
    let order = json!({ "payment_method": "pm_ok", "shipping_address": { "city": "Bonn" } });
    let place = market.post("/api/orders", &order).bearer_auth(&token);
    let placed = expect(place.header("idempotency-key", "one"), 201).await;
    let confirmed = |order: &Value| order["status"] == "confirmed";
    market.settle(&token, &placed, confirmed).await;
    let stock = expect(market.get(path).bearer_auth(&admin), 200).await;
    assert_eq!(
        (&stock["on_hand"], &stock["reserved"], &stock["available"]),
        (&json!(1), &json!(2), &json!(-1))
    );
    // What was promised is not taken back; from now on nothing more is.
    let promised = problem(configure(json!({ "policy": "deny" })), 409).await;
    assert_eq!(promised["reason"], "stock-promised");
    let eve = market.customer("eve@example.com").await;
    problem(market.put(path, &json!({})).bearer_auth(&eve), 403).await;
}
