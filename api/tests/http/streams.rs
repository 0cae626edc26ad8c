//! Server-sent events: what a client that comes again is sent, and when a stream ends.

use std::time::Duration;

use serde_json::Value;
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
    assert_eq!(expect(again, 204).await, Value::Null);
    let elsewhere = events().header("last-event-id", "none");
    assert_eq!(whole(elsewhere).await, text);
}

/// A stream of server-sent events.
struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    /// The next event: its id and what it shows.
    async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                let read = field("id: ").zip(field("data: "));
                let read = read.map(|(id, data)| (id.to_owned(), data.to_owned()));
                self.text = rest.to_owned();
                if let Some((id, data)) = read {
                    return (id, serde_json::from_str(&data).unwrap());
                }
            } else {
                let chunk = timeout(Duration::from_secs(20), self.response.chunk()).await;
                let chunk = chunk.expect("an event").unwrap().expect("it goes on");
                self.text += std::str::from_utf8(&chunk).unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_not_over_is_streamed_as_it_goes_on() {
    let (market, _) = TestMarket::paying(5, |_| ()).await;
    // The gateway takes three seconds: the stream is open before.
    let (token, order) = market.place("ada@example.com", "pm_slow").await;
    let path = format!("/api/orders/{}/events", order["id"].as_str().unwrap());
    let response = expect_response(market.get(&path).bearer_auth(&token), 200).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = String::new();
    let mut events = Events { response, text };
    let (mut last, first) = events.next().await;
    let status = first["status"].as_str().unwrap();
    assert!(matches!(status, "pending" | "awaiting_payment"), "{first}");
    assert_ne!(first["payment_status"], "captured");
    assert!(first.get("shipping_address").is_none(), "{first}");
    loop {
        let (id, now) = events.next().await;
        assert!(offset(&id) > offset(&last), "{id} comes after {last}");
        last = id;
        if now["status"] == "confirmed" && now["payment_status"] == "captured" {
            break;
        }
    }
    let eve = market.customer("eve@example.com").await;
    problem(market.get(&path).bearer_auth(&eve), 404).await;
}

fn offset(id: &str) -> i64 {
    let (_, offset) = id.split_once('-').unwrap();
    offset.parse().unwrap()
}
