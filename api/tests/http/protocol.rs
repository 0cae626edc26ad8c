//! What holds for every route: problems, bodies, parameters, metrics, the end.

use std::time::Duration;

use millrace_api::config::Span;
use reqwest::Method;
use serde_json::json;
use tokio::time::timeout;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_request_is_told_as_a_problem() {
    let market = TestMarket::start_with(|options| {
        options.request_timeout = Some(Span(Duration::from_secs(3)));
        options.body_bytes_max = Some(1000);
    })
    .await;
    let token = market.customer("ada@example.com").await;
    let code = |body: serde_json::Value| body["code"].as_str().unwrap_or_default().to_owned();
    for (path, status, expected) in [
        ("/nowhere", 404, "not-found"),
        ("/api/products/%ff", 404, "not-found"),
        ("/api/products?limit=many", 400, "malformed-request"),
        ("/api/products?cursor=x", 400, "malformed-request"),
        ("/api/orders/x?wait=long", 400, "malformed-request"),
        ("/api/orders/x?wait=20", 504, "timed-out"),
    ] {
        let found = problem(market.get(path).bearer_auth(&token), status).await;
        assert_eq!(code(found), expected, "{path}");
    }
    let limit = problem(market.get("/api/products?limit=many"), 400).await;
    assert_eq!(limit["errors"][0]["pointer"], "?limit");
    let wrong = expect_response(market.request(Method::DELETE, "/api/products"), 405).await;
    assert!(wrong.headers()["allow"].to_str().unwrap().contains("GET"));
    assert_eq!(code(body(wrong).await), "method-not-allowed");

    let login = |text: String| {
        let request = market.request(Method::POST, "/api/auth/login");
        request
            .header("content-type", "application/json")
            .body(text)
    };
    for (text, status) in [
        ("{\"email\":".to_owned(), 400),
        ("[\"ada@example.com\", \"correct horse\"]".to_owned(), 422),
        ("null".to_owned(), 422),
        (
            "{\"email\": \"a\", \"password\": \"b\", \"role\": \"admin\"}".to_owned(),
            422,
        ),
        (format!("{{\"email\": \"{}\"}}", "a".repeat(2000)), 413),
    ] {
        problem(login(text), status).await;
    }
    let form = market
        .request(Method::POST, "/api/auth/login")
        .body("email=a");
    problem(form, 415).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn money_in_a_body_says_nothing_but_its_amount_and_currency() {
    let market = TestMarket::start().await;
    let admin = market.offer(1).await;
    for price in [
        json!([1000, "EUR"]),
        json!({ "minor": 1000, "currency": "EUR", "rate": 2 }),
        json!({ "minor": 10.5, "currency": "EUR" }),
        json!({ "minor": 1000, "currency": "Euro" }),
    ] {
        let mut product = mug(1000);
        product["variants"][0]["price"] = price.clone();
        let change = market.put("/api/admin/products/mug", &product);
        let refused = problem(change.bearer_auth(&admin), 422).await;
        let pointer = refused["errors"][0]["pointer"].as_str().unwrap();
        assert!(
            pointer.starts_with("/variants/0/price"),
            "{price}: {refused}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_needs_a_category_and_skus_of_its_own() {
    let market = TestMarket::start().await;
    let admin = market.offer(1).await;
    let create = |body| {
        market
            .post("/api/admin/products", &body)
            .bearer_auth(&admin)
    };
    let mut cup = mug(500);
    cup["id"] = json!("cup");
    let taken = problem(create(cup.clone()), 409).await;
    assert_eq!(taken["reason"], "sku-taken");
    cup["variants"][0]["sku"] = json!("cup-red");
    cup["category_id"] = json!("garden");
    let unknown = problem(create(cup.clone()), 422).await;
    assert_eq!(unknown["errors"][0]["pointer"], "/category_id");
    cup["category_id"] = json!("kitchen");
    expect(create(cup.clone()), 201).await;
    cup["variants"][0]["sku"] = json!("mug-red");
    let change = market.put("/api/admin/products/cup", &cup);
    problem(change.bearer_auth(&admin), 409).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_tell_what_is_processed_and_what_waits() {
    let (market, _) = TestMarket::paying(5, |_| ()).await;
    let order = market.buy("ada@example.com", "pm_ok").await;
    assert_eq!(order["status"], "confirmed");
    let metrics = until("the metrics", || async {
        let metrics = market.get("/metrics").send().await.unwrap();
        let metrics = metrics.text().await.unwrap();
        metrics.contains("input_lag_records{").then_some(metrics)
    })
    .await;
    for name in [
        "process_records_total{application=\"orders\"}",
        "commit_total{application=\"inventory\"}",
        "dead_letter_records_total{topic=\"order-commands\"}",
        "input_lag_records{application=\"payments\",topic=\"payment-commands\"}",
        "orders{status=\"confirmed\"}",
        "# HELP orders ",
    ] {
        assert!(metrics.contains(name), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_long_waits_end_with_the_instance() {
    let (mut market, _) = TestMarket::paying(5, |_| ()).await;
    let order = market.buy("ada@example.com", "pm_ok").await;
    let token = market.login("ada@example.com").await;
    let path = format!("/api/orders/{}", order["id"].as_str().unwrap());
    let events = market.get(&format!("{path}/events")).bearer_auth(&token);
    let mut events = expect_response(events, 200).await;
    let first = events.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("event: order"));
    let wait = market.get("/api/orders/none?wait=30").bearer_auth(&token);
    let wait = tokio::spawn(expect(wait, 404));
    let stopped = timeout(Duration::from_secs(10), market.stop()).await;
    stopped.expect("it ends in time");
    assert_eq!(events.chunk().await.unwrap(), None, "the stream has ended");
    // It may have come too late to be answered, but not late enough to wait.
    drop(wait.await);
}
