//! Server-sent events: what a client that comes again is sent, and when a stream ends.

use std::time::Duration;

use tokio::time::timeout;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_of_an_order_ends_with_its_last_state_and_is_not_begun_again() {
    let (market, _) = TestMarket::paying(5, |_| ()).await;
    let order = market.buy("ada@example.com", "pm_decline").await;
    assert_eq!(order["status"], "payment_failed");
    let token = market.login("ada@example.com").await;
    let path = format!("/api/orders/{}/events", order["id"].as_str().unwrap());
    let events = || market.get(&path).bearer_auth(&token);
    let whole = async |request| {
        let stream = expect_response(request, 200).await;
        let text = timeout(Duration::from_secs(20), stream.text()).await;
        text.expect("the stream ends").unwrap()
    };

    let text = whole(events()).await;
    assert_eq!(text.matches("event: order").count(), 1, "{text}");
    assert!(text.contains("payment_failed"), "{text}");
    let mut lines = text.lines();
    let id = lines.find_map(|line| line.strip_prefix("id: ")).unwrap();
    let (partition, offset) = id.split_once('-').unwrap();
    let before = offset.parse::<i64>().unwrap() - 1;

    let again = events().header("last-event-id", format!("{partition}-{before}"));
    assert_eq!(whole(again).await, text, "what was missed is sent");
    let again = events().header("last-event-id", id);
    assert_eq!(expect(again, 204).await, serde_json::Value::Null);
    let elsewhere = events().header("last-event-id", "none");
    assert_eq!(whole(elsewhere).await, text);
}
