//! The shared cache in Redis: filled beside the market, asked while an instance begins, and never
//! trusted.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use millrace_api::live::cache::Cache;
use millrace_api::live::memory::MemoryViews;
use millrace_api::market::{self, Market, Ports};
use millrace_api::outside::NoGateways;
use millrace_api::ports::{Commands, Message, PortError, Views as _};
use millrace_avro::event::Meta;
use millrace_avro::keys::Sku;
use millrace_deploy::{Redis, require};
use millrace_effects::views::redis::RedisViews;
use millrace_streams::log::Position;
use serde_json::{Value, json};

use crate::support::*;

/// Waits until Redis says that so much is available of the SKU.
async fn wait_for_stock(redis: &Redis, sku: &str, available: i64) {
    let (views, sku) = (
        RedisViews::new(&redis.url()).unwrap(),
        Sku::new(sku).unwrap(),
    );
    until("the stock in redis", || async {
        let stock = views.stock(&sku).await.ok().flatten();
        stock.filter(|stock| stock.available == available)
    })
    .await;
}

async fn market_with(redis: &Redis) -> TestMarket {
    let url = redis.url();
    TestMarket::start_with(move |options| options.redis = Some(url)).await
}

/// What a client reads of the mug: what is available, by the product and by a cart.
async fn available(market: &TestMarket, guest: &str) -> (Value, Value) {
    let product = expect(market.get("/api/products/mug"), 200).await;
    let cart = market.get("/api/cart").header("x-cart-token", guest);
    let cart = expect(cart, 200).await;
    let (line, variant) = (&cart["items"][0], &product["variants"][0]);
    (variant["available"].clone(), line["available"].clone())
}

async fn adjust(market: &TestMarket, admin: &str, delta: i64, key: &str) {
    let body = json!({ "sku": "mug-red", "location": "main", "delta": delta, "reason": "counted" });
    let adjust = market.post("/api/admin/inventory/adjustments", &body);
    let adjust = adjust.bearer_auth(admin);
    expect(adjust.header("idempotency-key", key), 201).await;
}

async fn guest_with_a_mug(market: &TestMarket) -> String {
    let item = json!({ "sku": "mug-red", "quantity": 1 });
    let added = expect_response(market.post("/api/cart/items", &item), 200).await;
    let token = added.headers()["x-cart-token"].to_str();
    token.unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_right_whatever_becomes_of_redis() {
    let mut redis = require!(Redis);
    redis.kill();
    let mut market = market_with(&redis).await;
    let admin = market.offer(5).await;
    let guest = guest_with_a_mug(&market).await;
    assert_eq!(available(&market, &guest).await, (json!(5), json!(5)));

    redis.restart().unwrap();
    wait_for_stock(&redis, "mug-red", 5).await;
    redis.send(&["FLUSHALL"]).unwrap();
    assert_eq!(available(&market, &guest).await, (json!(5), json!(5)));
    wait_for_stock(&redis, "mug-red", 5).await;

    redis.send(&["SET", "stock:mug-red", "x"]).unwrap();
    assert_eq!(available(&market, &guest).await, (json!(5), json!(5)));
    adjust(&market, &admin, 1, "a").await;
    wait_for_stock(&redis, "mug-red", 6).await;

    redis.pause().unwrap();
    adjust(&market, &admin, 1, "b").await;
    assert_eq!(available(&market, &guest).await, (json!(7), json!(7)));
    market.restart().await;
    assert_eq!(available(&market, &guest).await, (json!(7), json!(7)));
    redis.resume().unwrap();
    wait_for_stock(&redis, "mug-red", 7).await;
    market.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_leaves_in_redis_what_is_there() {
    let redis = require!(Redis);
    let mut market = market_with(&redis).await;
    let admin = market.offer(5).await;
    guest_with_a_mug(&market).await;
    wait_for_stock(&redis, "mug-red", 5).await;
    // the stock, the cart's lines and totals, and the position
    let size = ":4";
    until("the cart in redis", || async {
        (redis.send(&["DBSIZE"]).unwrap() == size).then_some(())
    })
    .await;
    for round in 0..3 {
        market.restart().await;
        adjust(&market, &admin, 1, &format!("k{round}")).await;
        wait_for_stock(&redis, "mug-red", 6 + round).await;
        assert_eq!(redis.send(&["DBSIZE"]).unwrap(), size);
    }
    market.stop().await;
}

/// An instance whose log does not answer.
#[derive(Debug)]
struct NoCommands;

impl Commands for NoCommands {
    fn append(&self, _: Meta, _: Message) -> BoxFuture<'static, Result<Position, PortError>> {
        async { Err(PortError::Unavailable("no log".to_owned())) }.boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_still_reads_its_log_shows_carts_from_redis() {
    let redis = require!(Redis);
    let market = market_with(&redis).await;
    market.offer(5).await;
    let guest = guest_with_a_mug(&market).await;
    wait_for_stock(&redis, "mug-red", 5).await;

    let first = market.instance().app();
    let views = Arc::new(MemoryViews::new());
    assert!(!views.caught_up());
    let ports = Ports {
        process: "second".to_owned(),
        commands: Arc::new(NoCommands),
        views,
        cache: Cache::open(Some(&redis.url())).unwrap(),
        gateways: Arc::new(NoGateways),
        applications: Arc::default(),
        lags: first.lags.clone(),
    };
    let mut settings = first.settings.clone();
    settings.times.command_wait = Duration::from_secs(5);
    let second = Market::open(settings, first.sql.clone(), ports);
    let routes = market::router(second.await.unwrap(), axum::Router::new());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/cart", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let read = || async {
        let cart = reqwest::Client::new()
            .get(&url)
            .header("x-cart-token", &guest);
        expect(cart, 200).await
    };
    // the cart comes to Redis beside the stock
    let cart = until("the cart in redis", || async {
        let cart = read().await;
        (cart["items"][0]["available"] == 5).then_some(cart)
    });
    assert_eq!(cart.await["items"][0]["sku"], "mug-red");
    redis.send(&["FLUSHALL"]).unwrap();
    // filled again by the first instance
    until("the cart in redis again", || async {
        (read().await["items"][0]["available"] == 5).then_some(())
    })
    .await;
    drop(redis);
    let unknown = reqwest::Client::new().get(&url);
    let unknown = unknown.header("x-cart-token", &guest).send();
    let unknown = tokio::time::timeout(Duration::from_secs(20), unknown).await;
    let unknown = unknown.expect("nothing waits for redis").unwrap();
    assert_eq!(
        unknown.status(),
        503,
        "a cart that nobody knows is not called empty"
    );
}
