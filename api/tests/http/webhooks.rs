//! Webhooks from outside, signed with the secret that the gateway and the market share.

use millrace_api::clock;
use millrace_api::config::{Options, Settings};
use millrace_api::gateway::signing_secret;
use millrace_avro::events::payments::{GatewayFact, GatewayFactKind};
use millrace_avro::keys::{OrderId, PaymentId};
use millrace_avro::money::{Currency, Money};
use millrace_effects::gateway::Answer;
use millrace_effects::gateway::webhook::{Notice, SIGNATURE, Secret};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::support::*;

/// A notice about the dispute `dp` of an order's payment, signed with `secret`.
fn notice(
    market: &TestMarket,
    order: &Value,
    kind: GatewayFactKind,
    secret: &str,
) -> RequestBuilder {
    let now = clock::now();
    let fact = GatewayFact {
        fact_id: format!("{kind:?}"),
        reference: "dp".to_owned(),
        kind,
        amount: Money::new(1000, Currency::EUR),
        occurred_at_ms: now.as_millis(),
        refund_id: None,
        detail: None,
    };
    let notice = Notice {
        id: format!("notice-{kind:?}"),
        answer: Answer {
            order_id: OrderId::new(order["id"].as_str().unwrap()).unwrap(),
            payment_id: PaymentId::new(order["payments"][0]["id"].as_str().unwrap()).unwrap(),
            facts: vec![fact],
        },
    };
    let body = serde_json::to_vec(&notice).unwrap();
    let signature = Secret::new(secret).sign(now, &body);
    let request = market.request(Method::POST, "/api/webhooks/payments/simulator");
    request.header(SIGNATURE, signature).body(body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_notice_that_comes_twice_is_taken_twice_and_applied_once() {
    use GatewayFactKind::{DisputeWon, Disputed};
    let (market, admin) = TestMarket::paying(5, |_| ()).await;
    let order = market.buy("ada@example.com", "pm_ok").await;
    let payment = order["payments"][0]["id"].as_str().unwrap();
    let path = format!("/api/admin/payments/{payment}");
    let comes_to = async |status: &str| {
        until(status, || async {
            let payment = expect(market.get(&path).bearer_auth(&admin), 200).await;
            (payment["status"] == status).then(|| payment["version"].as_i64().unwrap())
        })
        .await
    };
    problem(notice(&market, &order, Disputed, "another secret"), 401).await;
    expect(notice(&market, &order, Disputed, "secret"), 200).await;
    let disputed = comes_to("disputed").await;
    expect(notice(&market, &order, Disputed, "secret"), 200).await;
    expect(notice(&market, &order, DisputeWon, "secret"), 200).await;
    assert_eq!(comes_to("won").await, disputed + 1);
}

#[test]
fn the_secret_of_webhooks_is_given_or_stays_the_same_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let settings = |secret: Option<&str>| {
        Settings::from_options(Options {
            data: Some(folder.path().to_owned()),
            webhook_secret: secret.map(str::to_owned),
            ..Options::default()
        })
    };
    let kept = signing_secret(&settings(None).unwrap()).unwrap();
    assert!(kept.len() >= 16);
    assert_eq!(signing_secret(&settings(None).unwrap()).unwrap(), kept);
    let given = settings(Some("whsec_0123456789abcdef")).unwrap();
    assert_eq!(signing_secret(&given).unwrap(), "whsec_0123456789abcdef");
    assert!(!format!("{given:?}").contains("whsec"));
    let told = settings(Some("short")).unwrap_err().to_string();
    assert!(told.contains("`webhook-secret`"), "{told}");
}
