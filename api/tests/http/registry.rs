//! The embedded schema registry, as its own client meets it.

use millrace_avro::codec::SchemaClient;
use reqwest::Method;
use serde_json::json;

use crate::support::*;

const SCHEMA: &str = r#"{"type": "record", "name": "Lamp", "fields": []}"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_registry_serves_confluents_api() {
    let market = TestMarket::start().await;
    let url = market.url("/registry");
    let register = move || {
        let client = SchemaClient::http(url.as_str()).unwrap();
        client.register("lamps", "Lamp", SCHEMA).unwrap()
    };
    let id = tokio::task::spawn_blocking(register).await.unwrap();
    let found = expect(market.get(&format!("/registry/schemas/ids/{id}")), 200).await;
    assert_eq!(found["schema"], SCHEMA);
    let subjects = expect(market.get("/registry/subjects"), 200).await;
    let subjects = subjects.as_array().unwrap();
    assert!(subjects.contains(&json!("lamps-Lamp")));
    assert!(subjects.contains(&json!("order-commands-millrace.orders.OrderPlaced")));
    let versions = expect(market.get("/registry/subjects/lamps-Lamp/versions"), 200).await;
    assert_eq!(versions, json!([1]));
    let root = expect_response(market.request(Method::GET, "/registry/"), 200).await;
    assert_eq!(
        root.headers()["content-type"],
        "application/vnd.schemaregistry.v1+json"
    );
    let none = expect(market.get("/registry/subjects/none/versions"), 404).await;
    assert_eq!(none["error_code"], 40401);
}
