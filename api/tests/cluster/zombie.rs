//! An instance that is stopped past its session and goes on later writes nothing that counts.

use millrace_deploy::market::{Load, Market, drill};
use tokio::task::block_in_place;
use tokio::time::Instant;

use crate::facts::{committed, findings};
use crate::group::{Member, wait_until};
use crate::servers::{LIMIT, Servers};
use crate::share::{GROUP, each_order_was_created_once, shared};

const SEED: u64 = 23;

/// What an instance logs when a group refuses what a member that it has given up still tries.
const REFUSED: &str = "member lost; closing its tasks and joining again";

/// How often that has happened to a member of an instance with this log.
fn refusals(log: &str) -> usize {
    let lines = log.lines();
    lines.filter(|line| line.contains(REFUSED)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_writes_nothing_twice_and_takes_its_seat_again() {
    let Some(servers) = block_in_place(|| Servers::start("zombie")) else {
        return;
    };
    let start = || block_in_place(|| Market::start(servers.options())).unwrap();
    let (healthy, mut zombie) = (start(), start());
    let (shop, other) = (healthy.shop(), zombie.shop());
    let admin = shop.admin().await.unwrap();
    drill::offer(&admin).await.unwrap();
    let load = Load::start(&[shop.clone(), other], drill::load(SEED)).await;
    let mut load = load.unwrap();
    block_in_place(|| wait_until(&servers.kafka, GROUP, shared));
    load.written_since(Instant::now(), LIMIT).await.unwrap();

    let before = refusals(&zombie.log());
    zombie.pause().unwrap();
    let alone = |members: &[Member]| matches!(members, [one] if one.active.len() == 4);
    block_in_place(|| wait_until(&servers.kafka, GROUP, alone));
    load.written_since(Instant::now(), LIMIT).await.unwrap();
    zombie.resume().unwrap();
    block_in_place(|| wait_until(&servers.kafka, GROUP, shared));
    load.written_since(Instant::now(), LIMIT).await.unwrap();
    let refused = refusals(&zombie.log()) - before;
    assert!(refused > 0, "nobody refused it: {}", zombie.log());

    let settled = drill::settle(&shop, &admin, load).await;
    let (promises, _) = settled
        .unwrap_or_else(|error| panic!("{error:#}\n{}\n---\n{}", healthy.log(), zombie.log()));
    let facts = block_in_place(|| committed(&servers.kafka));
    assert_eq!(findings(&facts), Vec::<String>::new());
    each_order_was_created_once(&facts, &promises.orders.concat());
    assert_eq!(healthy.gave_up_state(), None);
    assert_eq!(zombie.gave_up_state(), None);
}
