//! Versions: a change that somebody else has overtaken is refused, and one without a version where
//! the market asks for it.

use millrace_api::config::Switch;
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::support::*;

/// The tag of what `read` answers.
async fn tag(read: RequestBuilder) -> String {
    let response = expect_response(read, 200).await;
    let tag = response.headers()["etag"].to_str().unwrap();
    tag.to_owned()
}

/// Sends a change without a version, and with one that is no longer true; then with the right one.
async fn takes_the_right_version_only(change: impl Fn() -> RequestBuilder, right: &str) {
    let without = problem(change(), 428).await;
    assert_eq!(without["code"], "precondition-required");
    for wrong in ["\"99\"", "\"0\"", "\"x\""] {
        let stale = problem(change().header("if-match", wrong), 412).await;
        assert_eq!(stale["code"], "version-mismatch");
    }
    expect(change().header("if-match", right), 200).await;
    problem(change().header("if-match", right), 412).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn products_stock_and_carts_change_by_the_version_that_was_seen() {
    let market = TestMarket::start_with(|options| {
        options.require_if_match = Some(Switch::On);
    })
    .await;
    let admin = market.offer(9).await;

    let product = tag(market.get("/api/products/mug")).await;
    let update = || {
        let update = market.put("/api/admin/products/mug", &mug(1200));
        update.bearer_auth(&admin)
    };
    takes_the_right_version_only(update, &product).await;

    let path = "/api/admin/inventory/mug-red";
    let stock = tag(market.get(path).bearer_auth(&admin)).await;
    let configure = || {
        let configure = market.put(path, &json!({ "low_stock_threshold": 2 }));
        configure.bearer_auth(&admin)
    };
    takes_the_right_version_only(configure, &stock).await;
    let now = expect(market.get(path).bearer_auth(&admin), 200).await;
    assert_eq!(now["low_stock_threshold"], 2);

    let ada = market.customer("ada@example.com").await;
    let item = json!({ "sku": "mug-red", "quantity": 1 });
    let add = market.post("/api/cart/items", &item).bearer_auth(&ada);
    let line = expect(add, 200).await["items"][0]["id"].clone();
    let line = format!("/api/cart/items/{}", line.as_str().unwrap());
    let cart = tag(market.get("/api/cart").bearer_auth(&ada)).await;
    let set = || {
        let set = market.put(&line, &json!({ "quantity": 3 }));
        set.bearer_auth(&ada)
    };
    takes_the_right_version_only(set, &cart).await;
    let cart = tag(market.get("/api/cart").bearer_auth(&ada)).await;
    let remove = || market.request(Method::DELETE, &line).bearer_auth(&ada);
    problem(remove(), 428).await;
    expect(remove().header("if-match", &cart), 200).await;

    let product = tag(market.get("/api/products/mug")).await;
    let delete = || {
        let delete = market.request(Method::DELETE, "/api/admin/products/mug");
        delete.bearer_auth(&admin)
    };
    problem(delete(), 428).await;
    expect(delete().header("if-match", product), 204).await;
}
