//! Carts and stock levels in a real Redis: applied once, and healed after whatever happens to it.

use std::sync::Arc;
use std::time::Duration;

use millrace_avro::catalog::{CARTS, STOCK_LEVELS};
use millrace_avro::codec::SchemaClient;
use millrace_avro::events::carts::{CartItemView, CartView};
use millrace_avro::events::inventory::{StockPolicy, StockView};
use millrace_avro::keys::{CartId, ProductId, Sku};
use millrace_avro::money::{Currency, Money};
use millrace_avro::registry::Registry;
use millrace_deploy::{Redis, require, wait};
use millrace_effects::views::redis::{CachedStock, Following, RedisViews};
use millrace_streams::headers::HeaderList;
use millrace_streams::log::sim::SimLog;
use millrace_streams::log::{Log, NewRecord};
use millrace_streams::serde::{Data, Presence, Resources, Role, Serde as _, SerdeContext};
use millrace_streams::{Timestamp, Topic};
use tokio::runtime::Runtime;

struct World {
    log: SimLog,
    resources: Resources,
    runtime: Runtime,
    views: RedisViews,
}

impl World {
    fn new(redis: &Redis) -> Self {
        let log = SimLog::quiet();
        log.create_topics(&[CARTS.spec(), STOCK_LEVELS.spec()])
            .unwrap();
        let client = SchemaClient::local(Arc::new(Registry::in_memory()));
        Self {
            log,
            resources: Resources::new().with(Arc::new(client)),
            runtime: Runtime::new().unwrap(),
            views: RedisViews::new(&redis.url()).unwrap(),
        }
    }

    fn follow(&self) -> Following {
        let runtime = self.runtime.handle().clone();
        self.views
            .follow(&self.log, &self.resources, runtime)
            .unwrap()
    }

    fn put<K, V: Data>(&self, topic: Topic<K, V>, key: &str, value: &V) {
        let (resources, topic) = (&self.resources, topic.name());
        let at = SerdeContext {
            topic,
            role: Role::Value,
            resources,
        };
        let (mut headers, mut bytes) = (HeaderList::new(), Vec::new());
        let presence = V::serde(&at)
            .unwrap()
            .serialize(value, &mut headers, &mut bytes)
            .unwrap();
        let record = NewRecord {
            topic: topic.into(),
            key: Some(key.as_bytes().to_vec()),
            value: (presence == Presence::Value).then_some(bytes),
            headers,
            timestamp: Timestamp::from_millis(0),
        };
        let writer = self.log.writer("test").unwrap();
        futures::executor::block_on(writer.append(record)).unwrap();
    }

    fn put_stock(&self, sku: &str, available: i64, version: i64) {
        self.put(STOCK_LEVELS, sku, &stock(sku, available, version));
    }

    fn stock(&self, sku: &str) -> Option<CachedStock> {
        let sku = Sku::new(sku).unwrap();
        self.runtime.block_on(self.views.stock(&sku)).ok().flatten()
    }

    fn wait_for_stock(&self, sku: &str, available: i64) {
        let limit = Duration::from_secs(60);
        wait::until(limit, "the stock in redis", || {
            let stock = self.stock(sku);
            Ok(stock.filter(|stock| stock.available == available))
        })
        .unwrap();
    }
}

fn stock(sku: &str, available: i64, version: i64) -> StockView {
    StockView {
        sku: Sku::new(sku).unwrap(),
        policy: StockPolicy::Deny,
        low_stock_threshold: 0,
        on_hand: available + 1,
        reserved: 1,
        available,
        locations: Vec::new(),
        movements: Vec::new(),
        version,
        updated_at: String::new(),
    }
}

fn eur(minor: i64) -> Money {
    Money::new(minor, Currency::EUR)
}

fn cart(id: &str, skus: &[(&str, i64)], version: i64) -> CartView {
    let item = |(sku, quantity): &(&str, i64)| CartItemView {
        id: (*sku).to_owned(),
        sku: Sku::new(sku).unwrap(),
        product_id: ProductId::new("mug").unwrap(),
        name: "Mug".to_owned(),
        quantity: *quantity,
        unit_price: eur(500),
        line_total: eur(500 * quantity),
        available: 9,
    };
    let items: Vec<_> = skus.iter().map(item).collect();
    let total = eur(items.iter().map(|item| item.line_total.minor).sum());
    CartView {
        id: CartId::new(id).unwrap(),
        user_id: None,
        items,
        subtotal: total,
        discount: eur(0),
        tax: eur(0),
        shipping: eur(0),
        total,
        merged_into: None,
        version,
        updated_at: String::new(),
        last_order: None,
    }
}

#[test]
fn carts_and_stock_levels_are_shown_and_replaced_whole() {
    let redis = require!(Redis);
    let world = World::new(&redis);
    world.put(
        CARTS,
        "c1",
        &Some(cart("c1", &[("red", 1), ("blue", 2)], 1)),
    );
    world.put(CARTS, "c1", &Some(cart("c1", &[("blue", 3)], 2)));
    world.put(CARTS, "c2", &Some(cart("c2", &[("red", 1)], 1)));
    world.put(CARTS, "c2", &Some(cart("c2", &[], 2)));
    world.put(CARTS, "c3", &Some(cart("c3", &[("red", 1)], 1)));
    world.put(CARTS, "c3", &None);
    world.put_stock("red", 4, 1);
    let following = world.follow();
    world.wait_for_stock("red", 4);
    let read = |id: &str| {
        let id = CartId::new(id).unwrap();
        world.runtime.block_on(world.views.cart(&id)).unwrap()
    };
    let limit = Duration::from_secs(60);
    let cart = wait::until(limit, "the cart", || {
        Ok(read("c1").filter(|cart| cart.version == 2))
    });
    let cart = cart.unwrap();
    assert_eq!(cart.total, eur(1_500));
    let lines: Vec<_> = cart
        .items
        .iter()
        .map(|line| (line.sku.as_str(), line.quantity))
        .collect();
    assert_eq!(lines, [("blue", 3)]);
    wait::until(limit, "an empty cart and a forgotten one", || {
        Ok((read("c2").is_none() && read("c3").is_none()).then_some(()))
    })
    .unwrap();
    following.stop();
}

#[test]
fn two_followers_and_a_restart_apply_nothing_twice_or_backwards() {
    let redis = require!(Redis);
    let world = World::new(&redis);
    (1..=500).for_each(|n| world.put_stock("red", n, n));
    let (first, second) = (world.follow(), world.follow());
    world.wait_for_stock("red", 500);
    (501..=600).for_each(|n| world.put_stock("red", n, n));
    first.stop();
    let third = world.follow();
    world.wait_for_stock("red", 600);
    (601..=700).for_each(|n| world.put_stock("red", n, n));
    world.wait_for_stock("red", 700);
    second.stop();
    third.stop();
    assert_eq!(world.stock("red").map(|stock| stock.version), Some(700));
}

#[test]
fn a_redis_that_lost_everything_is_filled_again_even_if_nothing_new_comes() {
    let mut redis = require!(Redis);
    let world = World::new(&redis);
    (0..50).for_each(|n| world.put_stock(&format!("s{n}"), n, 1));
    let following = world.follow();
    (0..50).for_each(|n| world.wait_for_stock(&format!("s{n}"), n));
    redis.kill();
    world.put_stock("s0", 1_000, 2);
    redis.restart().unwrap();
    world.wait_for_stock("s0", 1_000);
    (1..50).for_each(|n| world.wait_for_stock(&format!("s{n}"), n));
    following.stop();
}

#[test]
fn a_redis_that_was_flushed_is_filled_again_while_others_write() {
    let redis = require!(Redis);
    let world = World::new(&redis);
    (0..50).for_each(|n| world.put_stock(&format!("s{n}"), n, 1));
    let following = world.follow();
    world.wait_for_stock("s49", 49);
    for round in 2..5 {
        assert_eq!(redis.send(&["FLUSHALL"]).unwrap(), "+OK");
        world.put_stock("s0", 1_000 * round, round);
        world.wait_for_stock("s0", 1_000 * round);
        (1..50).for_each(|n| world.wait_for_stock(&format!("s{n}"), n));
    }
    following.stop();
}

#[test]
fn keys_of_a_wrong_type_fail_one_read_and_are_replaced() {
    let redis = require!(Redis);
    let world = World::new(&redis);
    world.put_stock("red", 1, 1);
    world.put_stock("blue", 2, 1);
    let following = world.follow();
    world.wait_for_stock("blue", 2);
    world.wait_for_stock("red", 1);
    assert_eq!(redis.send(&["SET", "stock:red", "x"]).unwrap(), "+OK");
    let red = Sku::new("red").unwrap();
    world.runtime.block_on(world.views.stock(&red)).unwrap_err();
    world.put_stock("red", 3, 2);
    world.wait_for_stock("red", 3);
    // a position that is none makes everything be read again
    redis.send(&["SET", "stock:blue", "x"]).unwrap();
    redis.send(&["SET", "view-position", "x"]).unwrap();
    world.wait_for_stock("blue", 2);
    redis.send(&["DEL", "stock:blue"]).unwrap();
    redis
        .send(&["HSET", "view-position", "stock-levels/0", "x"])
        .unwrap();
    (0..30).for_each(|n| world.put_stock(&format!("s{n}"), n, 1));
    (0..30).for_each(|n| world.wait_for_stock(&format!("s{n}"), n));
    following.stop();
}

#[test]
fn a_follower_that_starts_without_redis_fills_it_when_it_comes() {
    let mut redis = require!(Redis);
    redis.kill();
    let world = World::new(&redis);
    world.put_stock("red", 1, 1);
    let following = world.follow();
    let red = Sku::new("red").unwrap();
    world.runtime.block_on(world.views.stock(&red)).unwrap_err();
    redis.restart().unwrap();
    world.wait_for_stock("red", 1);
    following.stop();
}

#[test]
fn a_redis_that_hangs_holds_up_no_reader_for_long() {
    let mut redis = require!(Redis);
    let world = World::new(&redis);
    world.put_stock("red", 1, 1);
    let following = world.follow();
    world.wait_for_stock("red", 1);
    redis.pause().unwrap();
    world.put_stock("red", 2, 2);
    let red = Sku::new("red").unwrap();
    let read = world.runtime.block_on(world.views.stock(&red));
    assert_eq!(
        read.unwrap_err().to_string(),
        "redis: no answer within 100ms"
    );
    redis.resume().unwrap();
    world.wait_for_stock("red", 2);
    following.stop();
}

#[test]
fn a_log_that_was_made_anew_is_shown_from_its_beginning() {
    let redis = require!(Redis);
    let old = World::new(&redis);
    (1..=50).for_each(|n| old.put_stock("red", n, n));
    let following = old.follow();
    old.wait_for_stock("red", 50);
    following.stop();
    let new = World::new(&redis);
    new.put_stock("red", 7, 1);
    let following = new.follow();
    new.wait_for_stock("red", 7);
    following.stop();
}
