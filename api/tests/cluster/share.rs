//! Two instances share the tasks; one dies, and the other goes on from its standbys.

use std::collections::BTreeMap;

use millrace_deploy::market::{Load, Market, drill};
use tokio::task::block_in_place;
use tokio::time::Instant;

use crate::facts::{committed, count, findings};
use crate::group::{Member, members, wait_until};
use crate::servers::{LIMIT, Servers};

/// The group of the order saga.
pub(crate) const GROUP: &str = "orders";

const SEED: u64 = 17;

/// True if two members have half of the tasks each, and the other half as standbys.
pub(crate) fn shared(members: &[Member]) -> bool {
    let [first, second] = members else {
        return false;
    };
    first.active.len() == 2 && first.active == second.standby && second.active == first.standby
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_share_the_tasks_and_the_survivor_goes_on_from_its_standbys() {
    let Some(servers) = block_in_place(|| Servers::start("share")) else {
        return;
    };
    let start = || block_in_place(|| Market::start(servers.options())).unwrap();
    let (survivor, mut victim) = (start(), start());
    let (shop, other) = (survivor.shop(), victim.shop());
    let admin = shop.admin().await.unwrap();
    drill::offer(&admin).await.unwrap();
    let load = Load::start(&[shop.clone(), other], drill::load(SEED)).await;
    let mut load = load.unwrap();
    block_in_place(|| wait_until(&servers.kafka, GROUP, shared));
    load.written_since(Instant::now(), LIMIT).await.unwrap();

    let before = runs(&survivor.log()).count();
    victim.kill();
    let alone = |members: &[Member]| matches!(members, [one] if one.active.len() == 4);
    block_in_place(|| wait_until(&servers.kafka, GROUP, alone));
    load.written_since(Instant::now(), LIMIT).await.unwrap();
    let settled = drill::settle(&shop, &admin, load).await;
    let (promises, _) = settled.unwrap_or_else(|error| panic!("{error:#}\n{}", survivor.log()));

    let log = survivor.log();
    let taken_over: Vec<_> = runs(&log).skip(before).collect();
    assert_eq!(taken_over.len(), 2, "{log}");
    for line in taken_over {
        assert!(line.contains("replayed=0"), "not from a standby: {line}");
    }
    assert_eq!(survivor.gave_up_state(), None);
    let facts = block_in_place(|| committed(&servers.kafka));
    assert_eq!(findings(&facts), Vec::<String>::new());
    each_order_was_created_once(&facts, &promises.orders.concat());
}

/// The lines that tell that a task runs.
fn runs(log: &str) -> impl Iterator<Item = &str> {
    let of_group = format!("task runs application={GROUP} ");
    log.lines().filter(move |line| line.contains(&of_group))
}

/// An independent reader sees every acknowledged order, and no other.
pub(crate) fn each_order_was_created_once(facts: &[crate::facts::Fact], promised: &[String]) {
    let promised: BTreeMap<_, _> = promised.iter().map(|id| (id.as_str(), 1)).collect();
    assert_eq!(count(facts, "order.created"), promised);
}

#[test]
fn a_description_of_a_group_is_read() {
    let text =
        "GROUP  MEMBER\norders x ACTIVE: 0:[2,3]; STANDBY: 0:[0,1]; TARGET-ACTIVE: 0:[2,3]; \n";
    let expected = [Member {
        active: vec!["0:2".to_owned(), "0:3".to_owned()],
        standby: vec!["0:0".to_owned(), "0:1".to_owned()],
    }];
    assert_eq!(members(text), expected);
}
