//! What a client may ask for, and what it may not.

use reqwest::Method;
use serde_json::json;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_too_often_is_told_when_to_come_again() {
    let market = TestMarket::start_with(|options| options.requests_per_minute = Some(5)).await;
    let first = expect_response(market.get("/api/categories"), 200).await;
    assert_eq!(first.headers()["ratelimit-limit"], "5");
    assert_eq!(first.headers()["ratelimit-remaining"], "4");
    let ada = market.customer("ada@example.com").await;
    until("the end of a guest's requests", || async {
        let guest = market.get("/api/categories").send().await.unwrap();
        (guest.status() == 429).then_some(())
    })
    .await;
    let refused = expect_response(market.get("/registry/subjects"), 429).await;
    let number = |name: &str| {
        let text = refused.headers()[name].to_str().unwrap();
        text.parse::<u64>().unwrap()
    };
    assert_eq!(number("ratelimit-remaining"), 0);
    assert!((1..=60).contains(&number("retry-after")));
    assert_eq!(number("retry-after"), number("ratelimit-reset"));
    assert_eq!(body(refused).await["code"], "too-many-requests");
    let account = market.get("/api/categories").bearer_auth(&ada);
    let account = expect_response(account, 200).await;
    assert_eq!(account.headers()["ratelimit-remaining"], "4");
    expect(market.get("/livez"), 200).await;
    expect(market.get("/readyz"), 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_a_problem_whoever_reads_it() {
    let (market, admin) =
        TestMarket::paying(1, |options| options.body_bytes_max = Some(1000)).await;
    let ada = market.customer("ada@example.com").await;
    let large = json!({ "reason": "x".repeat(2000) });
    let cancel = market.put("/api/orders/none/cancel", &large);
    for request in [
        cancel.bearer_auth(&ada),
        market.post("/api/webhooks/payments/simulator", &large),
        market
            .put("/simulator/webhooks", &large)
            .bearer_auth(&admin),
    ] {
        assert_eq!(problem(request, 413).await["code"], "body-too-large");
    }
    let ledger = market.request(Method::DELETE, "/simulator/ledger");
    assert_eq!(problem(ledger, 405).await["code"], "method-not-allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_whose_topology_does_not_run_is_not_ready() {
    let market = TestMarket::start().await;
    until("a market that is ready", || async {
        let told = market.get("/readyz").send().await.unwrap();
        (told.status() == 200).then_some(())
    })
    .await;
    market.instance().app().applications[0].close();
    let told = expect(market.get("/readyz"), 503).await;
    assert_eq!(
        (&told["topologies"], &told["views"]),
        (&json!("not ready"), &json!("ready"))
    );
}
