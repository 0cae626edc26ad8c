//! The embedded schema registry, as its own client meets it.

use millrace_avro::codec::{Credentials, RemoteConfig, SchemaClient};
use reqwest::Method;
use serde_json::json;

use crate::support::*;

const SCHEMA: &str = r#"{"type": "record", "name": "Lamp", "fields": []}"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_registry_serves_confluents_api() {
    let market = TestMarket::start().await;
    let mut config = RemoteConfig::from(market.url("/registry").as_str());
    config.credentials = Credentials::Token(market.admin().await);
    let register = move || {
        let client = SchemaClient::http(config).unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn guests_and_customers_read_schemas_and_change_none() {
    let market = TestMarket::start().await;
    let ada = market.customer("ada@example.com").await;
    let admin = market.admin().await;
    let versions = "/registry/subjects/lamps-Lamp/versions";
    let schema = json!({ "schema": SCHEMA });
    let level = json!({ "compatibility": "NONE" });
    let changes = || {
        [
            market.post(versions, &schema),
            market.put("/registry/config", &level),
            market.put("/registry/config/lamps-Lamp", &level),
            market.request(Method::DELETE, "/registry/subjects/lamps-Lamp"),
        ]
    };
    for change in changes() {
        assert_eq!(expect(change, 401).await["error_code"], 401);
    }
    for change in changes() {
        expect(change.bearer_auth(&ada), 403).await;
    }
    for change in changes() {
        expect(change.bearer_auth(&admin), 200).await;
    }
    let register = market.post(versions, &schema).bearer_auth(&admin);
    expect(register, 200).await;
    let known = market.post("/registry/subjects/lamps-Lamp", &schema);
    assert_eq!(expect(known, 200).await["version"], 2);
    let fits = format!("/registry/compatibility{}", &versions["/registry".len()..]);
    let fits = expect(market.post(&fits, &schema), 200).await;
    assert_eq!(fits["is_compatible"], true);
}
