//! How the program ends, and what it refuses to begin.

use std::time::Duration;

use millrace_deploy::market::{Answer, Market};
use millrace_deploy::wait;
use serde_json::json;
use tokio::task::block_in_place;
use tokio::time::timeout;

use crate::support::{market, options};

/// How long the end may take.
const END_LIMIT: Duration = Duration::from_secs(10);
/// How long it may take until an order is seen.
const PLACE_LIMIT: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn who_is_asked_to_end_answers_first() {
    let mut market = market();
    let shop = market.shop();
    let admin = shop.admin().await.unwrap();
    admin.offer("lamp", &[("lamp", 5)]).await.unwrap();
    let buyer = shop.buyer("ada@example.com").await.unwrap();
    assert_eq!(buyer.put_in_cart("lamp", 1).await.unwrap().status, 200);
    // The gateway takes three seconds for this one, and the client waits for its last word.
    let order = json!({ "payment_method": "pm_slow", "shipping_address": { "city": "Bonn" } });
    let order = buyer
        .request(reqwest::Method::POST, "/api/orders")
        .json(&order);
    let order = order
        .header("idempotency-key", "slow")
        .header("prefer", "wait=30");
    let waiting = tokio::spawn(Answer::to(order));
    let placed = async {
        while buyer.orders().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PLACE_LIMIT, placed).await.expect("an order");

    market.terminate().unwrap();
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    market.terminate().ok();
    let status = block_in_place(|| market.wait_until_ended(END_LIMIT)).unwrap();
    assert_eq!(status.code(), Some(0), "{}", market.log());

    block_in_place(|| market.restart()).unwrap();
    let order = buyer.order(answer.id(), 30).await.unwrap();
    assert_eq!(order.status, "confirmed");
    let ledger = shop.ledger().await.unwrap();
    assert_eq!(ledger.len(), 1, "{ledger:?}");
}

#[test]
fn a_data_folder_in_use_is_refused_in_one_line() {
    let market = market();
    let second = Market::stopped(options().data(market.data())).unwrap();
    let refused = second.refused().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.contains("in use by another process; stop it"),
        "{said}"
    );
    let answers = || {
        let shop = market.url();
        Ok(std::net::TcpStream::connect(shop.trim_start_matches("http://")).ok())
    };
    wait::until(END_LIMIT, "the first market, untouched", answers).unwrap();
}
