//! What is wrong with a body, and where.

use serde_json::{Value, json};

use crate::support::*;

/// The first complaint of a 422: its pointer, code and message.
async fn complaint(request: reqwest::RequestBuilder) -> (String, String, String) {
    let refused = problem(request, 422).await;
    let error = &refused["errors"][0];
    let text = |name: &str| match &error[name] {
        Value::String(text) => text.clone(),
        _ => panic!("no {name}: {refused}"),
    };
    (text("pointer"), text("code"), text("message"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complaint_names_the_field_and_the_bound_that_holds() {
    let market = TestMarket::start().await;
    let admin = market.offer(1).await;
    let add = |quantity: i64| {
        let item = json!({ "sku": "mug-red", "quantity": quantity });
        market.post("/api/cart/items", &item)
    };
    let (pointer, _, message) = complaint(add(1000)).await;
    assert_eq!((&*pointer, &*message), ("/quantity", "1 to 999"));

    let missing = market.post("/api/cart/items", &json!({ "sku": "mug-red" }));
    let (pointer, code, _) = complaint(missing).await;
    assert_eq!((&*pointer, &*code), ("/quantity", "required"));

    let session = json!({ "type": "viewed_product", "product_id": "mug", "session": "a\nb" });
    let (pointer, ..) = complaint(market.post("/api/events", &session)).await;
    assert_eq!(pointer, "/session");

    let orphan = json!({ "id": "cups", "name": "Cups", "parent_id": "nowhere" });
    let orphan = market.post("/api/admin/categories", &orphan);
    let (pointer, ..) = complaint(orphan.bearer_auth(&admin)).await;
    assert_eq!(pointer, "/parent_id");

    let dear = market.put("/api/admin/products/mug", &mug(i64::MAX));
    let (pointer, code, _) = complaint(dear.bearer_auth(&admin)).await;
    assert_eq!((&*pointer, &*code), ("/variants/0/price", "range"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_cart_of_the_dearest_thing_has_a_sum() {
    let market = TestMarket::start().await;
    let admin = market.offer(999).await;
    let mut dearest = mug(1_000_000_000_000);
    dearest["tax_rate"] = json!(1_000_000);
    let dearest = market.put("/api/admin/products/mug", &dearest);
    expect(dearest.bearer_auth(&admin), 200).await;
    let item = json!({ "sku": "mug-red", "quantity": 999 });
    let cart = expect(market.post("/api/cart/items", &item), 200).await;
    assert_eq!(cart["total"]["minor"], 1_998_000_000_000_000_i64);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_stock_of_what_nobody_sells() {
    let market = TestMarket::start().await;
    let admin = market.offer(1).await;
    let adjust = json!({ "sku": "cup", "location": "main", "delta": 3, "reason": "received" });
    let adjust = market.post("/api/admin/inventory/adjustments", &adjust);
    let adjust = adjust.header("idempotency-key", "cup").bearer_auth(&admin);
    problem(adjust, 404).await;
    let configure = json!({ "low_stock_threshold": 2 });
    let configure = market.put("/api/admin/inventory/cup", &configure);
    problem(configure.bearer_auth(&admin), 404).await;
    let shown = market.get("/api/admin/inventory/cup");
    problem(shown.bearer_auth(&admin), 404).await;
}
