//! The market over HTTP, with its topologies on the embedded log.

use crate::support::*;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_offers_and_a_guest_finds() {
    let market = TestMarket::start().await;
    let admin = market.offer(5).await;
    let product = expect(market.get("/api/products/mug"), 200).await;
    assert_eq!(
        product["price"],
        json!({ "minor": 1000, "currency": "EUR" })
    );
    assert_eq!(product["variants"][0]["available"], 5);
    let tree = expect(market.get("/api/categories"), 200).await;
    assert_eq!(tree["items"][0]["id"], "kitchen");
    for (query, count) in [
        ("q=TEA", 1),
        ("q=coffee", 0),
        ("category=kitchen", 1),
        ("min_price=1001", 0),
        ("in_stock=true", 1),
    ] {
        let found = expect(market.get(&format!("/api/products?{query}")), 200).await;
        assert_eq!(found["items"].as_array().unwrap().len(), count, "{query}");
        assert_eq!(found["facets"]["total"], count);
    }
    let first = expect_response(market.get("/api/products/mug"), 200).await;
    let tag = first.headers()["etag"].clone();
    let again = market
        .get("/api/products/mug")
        .header("if-none-match", &tag);
    expect(again, 304).await;

    let stale = market
        .put("/api/admin/products/mug", &mug(1200))
        .bearer_auth(&admin);
    let stale = problem(stale.header("if-match", "\"99\""), 412).await;
    assert_eq!(stale["code"], "version-mismatch");
    let update = market
        .put("/api/admin/products/mug", &mug(1200))
        .bearer_auth(&admin);
    let updated = expect(update.header("if-match", &tag), 200).await;
    assert_eq!(updated["price"]["minor"], 1200);
    let delete = market.request(reqwest::Method::DELETE, "/api/admin/products/mug");
    expect(delete.bearer_auth(&admin), 204).await;
    problem(market.get("/api/products/mug"), 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_fills_a_cart_and_takes_it_along_into_an_account() {
    let market = TestMarket::start().await;
    market.offer(5).await;
    let item = json!({ "sku": "mug-red", "quantity": 2 });
    let response = expect_response(market.post("/api/cart/items", &item), 200).await;
    let token = response.headers()["x-cart-token"]
        .to_str()
        .unwrap()
        .to_owned();
    let cart = body(response).await;
    assert_eq!(
        (&cart["items"][0]["quantity"], &cart["subtotal"]["minor"]),
        (&json!(2), &json!(2000))
    );
    let line = cart["items"][0]["id"].as_str().unwrap().to_owned();

    let other = expect(market.get("/api/cart"), 200).await;
    assert_eq!(other["items"], json!([]), "another guest has another cart");
    problem(
        market
            .get("/api/cart")
            .header("x-cart-token", format!("{token}x")),
        400,
    )
    .await;
    let too_many = market.put(
        &format!("/api/cart/items/{line}"),
        &json!({ "quantity": 6 }),
    );
    let too_many = problem(too_many.header("x-cart-token", &token), 409).await;
    assert_eq!(too_many["code"], "insufficient-stock");
    let change = market.put(
        &format!("/api/cart/items/{line}"),
        &json!({ "quantity": 3 }),
    );
    let changed = expect(change.header("x-cart-token", &token), 200).await;
    assert_eq!(changed["items"][0]["quantity"], 3);
    let unknown = market.post("/api/cart/items", &json!({ "sku": "cup", "quantity": 1 }));
    assert_eq!(
        problem(unknown, 422).await["errors"][0]["code"],
        "unknown-sku"
    );

    let new = json!({ "email": "ada@example.com", "password": PASSWORD, "name": "Ada" });
    expect(market.post("/api/auth/register", &new), 201).await;
    let login = json!({ "email": "ada@example.com", "password": PASSWORD });
    let login = market
        .post("/api/auth/login", &login)
        .header("x-cart-token", &token);
    let bearer = expect(login, 200).await["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let cart = expect(market.get("/api/cart").bearer_auth(&bearer), 200).await;
    assert_eq!(cart["items"][0]["quantity"], 3);
    let other = expect_response(market.post("/api/cart/items", &item), 200).await;
    let other = other.headers()["x-cart-token"].clone();
    let more = json!({ "sku": "mug-red", "quantity": 2 });
    let more = market.post("/api/cart/items", &more);
    expect(more.header("x-cart-token", &other), 200).await;
    let both = market.get("/api/cart").bearer_auth(&bearer);
    assert_eq!(
        expect(both.header("x-cart-token", &other), 200).await["items"][0]["quantity"],
        4,
        "the larger number counts, and is seen at once"
    );
    let again = market
        .get("/api/cart")
        .bearer_auth(&bearer)
        .header("x-cart-token", &token);
    assert_eq!(
        expect(again, 200).await["items"][0]["quantity"],
        4,
        "a merge counts once"
    );
    let remove = market.request(reqwest::Method::DELETE, &format!("/api/cart/items/{line}"));
    let empty = expect(remove.bearer_auth(&bearer), 200).await;
    assert_eq!(empty["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guests_cart_that_has_no_place_in_a_full_one_stays_as_it_is() {
    let market = TestMarket::start().await;
    let admin = market.offer(5).await;
    let sku = |number: usize| format!("cup-{number}");
    let variants: Vec<_> = (0..100)
        .map(|n| json!({ "sku": sku(n), "options": { "number": n.to_string() } }))
        .collect();
    let mut cups = mug(500);
    cups["id"] = json!("cups");
    cups["price"] = json!({ "minor": 500, "currency": "EUR" });
    cups["variants"] = json!(variants);
    let create = market.post("/api/admin/products", &cups);
    expect(create.bearer_auth(&admin), 201).await;
    let ada = market.customer("ada@example.com").await;
    for number in 0..100 {
        let path = format!("/api/admin/inventory/{}", sku(number));
        let policy = market.put(&path, &json!({ "policy": "backorder" }));
        expect(policy.bearer_auth(&admin), 200).await;
        let item = json!({ "sku": sku(number), "quantity": 1 });
        let add = market.post("/api/cart/items", &item).bearer_auth(&ada);
        expect(add, 200).await;
    }
    let item = json!({ "sku": "mug-red", "quantity": 1 });
    let added = expect_response(market.post("/api/cart/items", &item), 200).await;
    let guest = added.headers()["x-cart-token"].clone();
    for _ in 0..2 {
        let both = market.get("/api/cart").bearer_auth(&ada);
        let cart = expect(both.header("x-cart-token", &guest), 200).await;
        assert_eq!(cart["items"].as_array().unwrap().len(), 100);
    }
    let alone = market.get("/api/cart").header("x-cart-token", &guest);
    let alone = expect(alone, 200).await;
    assert_eq!(alone["items"][0]["sku"], "mug-red");
    let merged = market.records("cart-commands").into_iter();
    let merges = merged.filter(|record| record["headers"]["ce_type"] == "cart.merge");
    assert_eq!(merges.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_placed_once_whatever_is_repeated() {
    let mut market = TestMarket::start().await;
    market.offer(5).await;
    let (ada, eve) = (
        market.customer("ada@example.com").await,
        market.customer("eve@example.com").await,
    );
    let order = json!({ "payment_method": "pm_ok", "shipping_address": { "city": "Bonn" } });
    let place = |market: &TestMarket, key: &str, body: &serde_json::Value| {
        market
            .post("/api/orders", body)
            .bearer_auth(&ada)
            .header("idempotency-key", key.to_owned())
    };
    let keyless = market.post("/api/orders", &order).bearer_auth(&ada);
    assert_eq!(
        problem(keyless, 400).await["code"],
        "idempotency-key-missing"
    );
    assert_eq!(
        problem(place(&market, "k0", &order), 409).await["code"],
        "empty-cart"
    );
    let item = json!({ "sku": "mug-red", "quantity": 2 });
    expect(market.post("/api/cart/items", &item).bearer_auth(&ada), 200).await;
    let mut cheap = order.clone();
    cheap["expected_total"] = json!({ "minor": 1, "currency": "EUR" });
    let risen = problem(place(&market, "k1", &cheap), 409).await;
    assert_eq!(
        (&risen["code"], &risen["lines"][0]["sku"]),
        (&json!("price-changed"), &json!("mug-red"))
    );

    let first = expect_response(place(&market, "k2", &order), 201).await;
    let location = first.headers()["location"].to_str().unwrap().to_owned();
    let first = body(first).await;
    assert_eq!(first["items"][0]["quantity"], 2);
    assert_eq!(first["shipping_address"]["city"], "Bonn");
    let again = expect_response(place(&market, "k2", &order), 201).await;
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!(body(again).await, first);
    assert_eq!(
        problem(place(&market, "k2", &cheap), 422).await["code"],
        "idempotency-key-reused"
    );

    market.restart().await;
    let replayed = expect_response(place(&market, "k2", &order), 201).await;
    assert_eq!(replayed.headers()["idempotent-replayed"], "true");
    assert_eq!(body(replayed).await, first);

    problem(market.get(&location).bearer_auth(&eve), 404).await;
    let list = expect(market.get("/api/orders").bearer_auth(&ada), 200).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let cancel = market
        .put(&format!("{location}/cancel"), &json!({}))
        .bearer_auth(&ada);
    expect(cancel, 200).await;
    let ended = expect(
        market.get(&format!("{location}?wait=20")).bearer_auth(&ada),
        200,
    )
    .await;
    assert!(ended["timeline"].as_array().unwrap().len() > 1, "{ended}");
}
