//! How a market on a cluster starts, and what it refuses.

use millrace_deploy::market::Market;
use tokio::task::block_in_place;

use crate::servers::{LIMIT, Servers, program};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_on_real_servers_is_confirmed_and_its_buyer_is_known_to_every_instance() {
    let Some(servers) = block_in_place(|| Servers::start("start")) else {
        return;
    };
    let start = || block_in_place(|| Market::start(servers.options())).unwrap();
    let (first, second) = (start(), start());
    let (shop, other) = (first.shop(), second.shop());
    let admin = shop.admin().await.unwrap();
    admin.offer("lamp", &[("lamp-1", 5)]).await.unwrap();

    let buyer = shop.buyer("ada@example.com").await.unwrap();
    assert_eq!(buyer.put_in_cart("lamp-1", 2).await.unwrap().status, 200);
    let placed = buyer.place("pm_ok", "only").await.unwrap();
    assert!(matches!(placed.status, 201 | 202), "{placed:?}");
    let again = other.login("ada@example.com").await.unwrap();
    let order = again
        .order(placed.id(), LIMIT.as_secs().min(30))
        .await
        .unwrap();
    assert_eq!(
        (order.status.as_str(), order.payment_status.as_str()),
        ("confirmed", "captured")
    );
    let repeated = again.place("pm_ok", "only").await.unwrap();
    assert_eq!(
        repeated.id(),
        placed.id(),
        "an idempotency key holds on every instance"
    );
}

#[test]
fn a_market_on_a_cluster_says_in_one_line_what_it_misses() {
    let nobody = "127.0.0.1:1";
    let cases = [
        (program().flag("--kafka", nobody), "needs `registry`"),
        (
            program()
                .flag("--kafka", nobody)
                .flag("--registry", "http://127.0.0.1:1"),
            "`kafka` needs `postgres`",
        ),
        (
            program()
                .flag("--kafka", nobody)
                .flag("--registry", "http://127.0.0.1:1")
                .variable("MILLRACE_SINGLE_INSTANCE", "1"),
            "no broker answers at `127.0.0.1:1`",
        ),
    ];
    for (options, expected) in cases {
        let output = Market::stopped(options).unwrap().refused().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && told.contains(expected),
            "{told}"
        );
        let lines = told.lines().filter(|line| line.starts_with("error"));
        assert_eq!(lines.count(), 1, "{told}");
    }
}
