//! What the auditor finds is shown to administrators.

use std::time::Duration;

use millrace_avro::catalog::INVENTORY_EVENTS;
use millrace_avro::event::{Event, EventId, Meta};
use millrace_avro::events::inventory::{InventoryEvent, Movement, StockAdjusted, StockLevel};
use millrace_avro::keys::{LocationId, Sku};
use millrace_deploy::wait;
use millrace_streams::{RecordCodec, Timestamp};
use serde_json::{Value, json};

use crate::support::{ADMIN, Market, PASSWORD};

/// A fact that nobody can have published: more is there than was ever moved.
fn forged() -> InventoryEvent {
    let location = LocationId::new("main").expect("a key");
    StockAdjusted {
        sku: Sku::new("mug-red").expect("a key"),
        movement: Movement {
            id: "movement".into(),
            location: location.clone(),
            delta: 5,
            reason: "received".into(),
            actor: "test".into(),
            cause: "test".into(),
            at: String::new(),
        },
        level: StockLevel {
            location,
            on_hand: 6,
            reserved: 0,
            available: 6,
        },
    }
    .into()
}

async fn login(market: &Market, client: &reqwest::Client) -> String {
    let body = json!({ "email": ADMIN, "password": PASSWORD });
    let request = client.post(market.url("/api/auth/login")).json(&body);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    answer["access_token"].as_str().expect("a token").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_fact_is_reported_to_administrators_only() {
    let market = Market::start().await;
    let mut codec = RecordCodec::new(INVENTORY_EVENTS, &market.ground.resources).expect("serdes");
    let at = Timestamp::from_millis(1_700_000_000_000);
    let event = Event::new(
        Meta::new(EventId::new("forged"), "/test", at).with_seq(1),
        forged(),
    );
    let sku = Sku::new("mug-red").expect("a key");
    market
        .append(codec.encode(&sku, &event, at).expect("bytes"))
        .await;

    let views = market.instance.app().views.clone();
    let found = || Ok((!views.audit().latest.is_empty()).then_some(()));
    wait::until(Duration::from_secs(30), "a violation", found).expect("it is found");
    let client = reqwest::Client::new();
    let path = market.url("/api/admin/audit");
    assert_eq!(client.get(&path).send().await.unwrap().status(), 401);
    let token = login(&market, &client).await;
    let answer = client.get(&path).bearer_auth(token).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(
        (
            &answer["violations"],
            &answer["violations_by_invariant"]["2"]
        ),
        (&json!(1), &json!(1))
    );
    let item = &answer["items"][0];
    assert_eq!(
        (&item["invariant"], &item["about"]),
        (&json!(2), &json!("main/mug-red"))
    );
    let metrics = client
        .get(market.url("/metrics"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        metrics.contains("audit_violations{invariant=\"2\"} 1"),
        "{metrics}"
    );
    market.stop().await;
}
