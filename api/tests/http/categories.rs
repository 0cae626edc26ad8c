//! Categories: what is found in them, and how administrators arrange them.

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::support::*;

/// The ids of the products that a category shows.
async fn products(market: &TestMarket, category: &str) -> Vec<Value> {
    let path = format!("/api/categories/{category}/products");
    let page = expect(market.get(&path), 200).await;
    let items = page["items"].as_array().unwrap();
    items.iter().map(|item| item["id"].clone()).collect()
}

fn put(market: &TestMarket, admin: &str, id: &str, body: &Value) -> RequestBuilder {
    let path = format!("/api/admin/categories/{id}");
    market.put(&path, body).bearer_auth(admin)
}

fn delete(market: &TestMarket, admin: &str, id: &str) -> RequestBuilder {
    let path = format!("/api/admin/categories/{id}");
    market.delete(&path).bearer_auth(admin)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_category_shows_its_products_and_those_of_the_categories_below() {
    let market = TestMarket::start().await;
    let admin = market.offer(5).await;
    let create = async |body: Value| {
        let create = market.post("/api/admin/categories", &body);
        expect(create.bearer_auth(&admin), 201).await
    };
    create(json!({ "id": "house", "name": "House" })).await;
    create(json!({ "id": "garden", "name": "Garden" })).await;
    assert_eq!(products(&market, "kitchen").await, ["mug"]);
    assert_eq!(products(&market, "house").await, [json!(null); 0]);

    let below = json!({ "name": "Kitchen", "parent_id": "house", "position": 2 });
    let moved = expect(put(&market, &admin, "kitchen", &below), 200).await;
    assert_eq!(
        (&moved["parent_id"], &moved["position"]),
        (&json!("house"), &json!(2))
    );
    assert_eq!(products(&market, "house").await, ["mug"]);
    assert_eq!(products(&market, "garden").await, [json!(null); 0]);
    let facets = expect(market.get("/api/categories/house/products"), 200).await;
    assert_eq!(facets["facets"]["total"], 1);
    problem(market.get("/api/categories/none/products"), 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn categories_are_changed_and_deleted_as_long_as_they_stay_a_tree() {
    let market = TestMarket::start().await;
    let admin = market.offer(5).await;
    let sub = json!({ "id": "cups", "name": "Cups", "parent_id": "kitchen" });
    let sub = market.post("/api/admin/categories", &sub);
    expect(sub.bearer_auth(&admin), 201).await;

    let renamed = json!({ "name": "Cooking" });
    let renamed = expect(put(&market, &admin, "kitchen", &renamed), 200).await;
    assert_eq!(renamed["name"], "Cooking");
    let tree = expect(market.get("/api/categories"), 200).await;
    assert_eq!(tree["items"][0]["name"], "Cooking");
    assert_eq!(tree["items"][0]["children"][0]["id"], "cups");

    let circle = json!({ "name": "Cooking", "parent_id": "cups" });
    let circle = problem(put(&market, &admin, "kitchen", &circle), 409).await;
    assert_eq!(circle["reason"], "category-circle");
    let orphan = json!({ "name": "Cups", "parent_id": "none" });
    let orphan = problem(put(&market, &admin, "cups", &orphan), 422).await;
    assert_eq!(orphan["reason"], "unknown-category");
    let other = json!({ "id": "cups", "name": "Cooking" });
    let other = problem(put(&market, &admin, "kitchen", &other), 422).await;
    assert_eq!(other["errors"][0]["pointer"], "/id");
    problem(
        put(&market, &admin, "none", &json!({ "name": "None" })),
        404,
    )
    .await;

    let parent = problem(delete(&market, &admin, "kitchen"), 409).await;
    assert_eq!(parent["reason"], "category-has-children");
    expect(delete(&market, &admin, "cups"), 204).await;
    problem(market.get("/api/categories/cups/products"), 404).await;
    problem(delete(&market, &admin, "cups"), 404).await;
    let eve = market.customer("eve@example.com").await;
    problem(delete(&market, &eve, "kitchen"), 403).await;
}
