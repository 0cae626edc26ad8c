//! What a topology says of itself, and what it refuses.

use expect_test::expect;
use millrace_streams::{Store, Topic, Topology, TopologyError};

use super::text;

const ORDERS: Topic<u64, String> = Topic::new("orders");
const RETURNS: Topic<u64, String> = Topic::new("returns");
const CUSTOMERS: Topic<String, String> = Topic::new("customers");
const CUSTOMER: Store<String, String> = Store::new("customer");
const ENRICHED: Topic<String, String> = Topic::new("enriched");
const COUNT: Store<String, u64> = Store::new("count");
const COUNTS: Topic<String, u64> = Topic::new("counts");

fn enriched() -> Topology {
    let topology = Topology::define("enriched", |t| {
        let customers = t.global_table(CUSTOMERS, CUSTOMER);
        let by_customer = t
            .stream(ORDERS)
            .select_key(|_, customer| customer.clone())
            .repartition("by-customer");
        by_customer.count(COUNT).to(COUNTS);
        by_customer
            .join_global(customers, |key, _| key.clone(), |_, c| c.clone())
            .to(ENRICHED);
    });
    topology.expect("the topology is sound")
}

#[test]
fn a_description_shows_repartitions_and_global_stores_as_kafka_streams_does() {
    let expected = expect![[r#"
        Topology: enriched:
           Sub-topology: 0
            Source: source-0 (topics: [orders])
              --> select-key-1
            Processor: select-key-1 (stores: [])
              --> repartition-sink-2
              <-- source-0
            Sink: repartition-sink-2 (topic: by-customer-repartition)
              <-- select-key-1

          Sub-topology: 1
            Source: source-3 (topics: [by-customer-repartition])
              --> aggregate-4, join-global-6
            Processor: aggregate-4 (stores: [count])
              --> sink-5
              <-- source-3
            Sink: sink-5 (topic: counts)
              <-- aggregate-4
            Processor: join-global-6 (stores: [customer])
              --> sink-7
              <-- source-3
            Sink: sink-7 (topic: enriched)
              <-- join-global-6

          Sub-topology: 2 for global store (will not generate tasks)
            Source: global-source-0 (topics: [customers])
              --> global-table-0
            Processor: global-table-0 (stores: [customer])
              --> none
              <-- global-source-0

    "#]];
    expected.assert_eq(&enriched().describe());
}

#[test]
fn a_chart_shows_repartitions_and_global_stores() {
    let expected = expect![[r#"
        flowchart TD
          subgraph sub0["sub-topology 0"]
            source-0[/"orders"/]
            select-key-1("select-key-1")
            repartition-sink-2[/"by-customer-repartition"/]
          end
          source-0 --> select-key-1
          select-key-1 --> repartition-sink-2
          subgraph sub1["sub-topology 1"]
            source-3[/"by-customer-repartition"/]
            aggregate-4("aggregate-4")
            sink-5[/"counts"/]
            join-global-6("join-global-6")
            sink-7[/"enriched"/]
          end
          source-3 --> aggregate-4
          aggregate-4 --- count[("count")]
          aggregate-4 --> sink-5
          source-3 --> join-global-6
          join-global-6 --- customer[("customer")]
          join-global-6 --> sink-7
          subgraph global0["global store customer"]
            global-source-0[/"customers"/]
            global-table-0("global-table-0")
          end
          global-source-0 --> global-table-0
          global-table-0 --- customer[("customer")]
    "#]];
    expected.assert_eq(&enriched().mermaid());
}

#[test]
fn the_durable_names_are_all_that_the_application_creates() {
    let expected = [
        "global customer",
        "store count",
        "topic shop-by-customer-repartition",
        "topic shop-count-changelog",
        "topic shop-dead-letter",
    ];
    assert_eq!(enriched().durable_names("shop"), expected);
}

fn refused(topology: Result<Topology, TopologyError>) -> TopologyError {
    topology.expect_err("it contradicts itself")
}

#[test]
fn a_topic_is_read_once() {
    let topology = Topology::define("twice", |t| {
        t.stream(CUSTOMERS);
        t.table(CUSTOMERS, CUSTOMER);
    });
    let topic = text("customers");
    assert_eq!(refused(topology), TopologyError::DuplicateSource { topic });
}

#[test]
fn a_store_name_is_given_once() {
    let name = || TopologyError::DuplicateName {
        what: "store",
        name: text("customer"),
    };
    let tables = Topology::define("twice", |t| {
        t.table(CUSTOMERS, CUSTOMER);
        t.stream(ENRICHED).to_table(CUSTOMER);
    });
    assert_eq!(refused(tables), name());
    let global = Topology::define("twice", |t| {
        t.stream(ENRICHED).to_table(CUSTOMER);
        t.global_table(CUSTOMERS, CUSTOMER);
    });
    assert_eq!(refused(global), name());
}

fn copartitioned(topology: Result<Topology, TopologyError>) -> Vec<Vec<String>> {
    let metadata = topology.expect("the topology is sound").metadata("shop");
    let groups = metadata
        .subtopologies
        .iter()
        .flat_map(|part| &part.copartition_groups);
    groups
        .map(|group| group.iter().map(ToString::to_string).collect())
        .collect()
}

#[test]
fn streams_that_are_merged_and_meet_in_no_store_may_be_partitioned_apart() {
    let merged = Topology::define("merged", |t| {
        t.stream(ORDERS)
            .merge(t.stream(RETURNS))
            .filter(|_, _| true)
            .to(ORDERS);
    });
    assert!(copartitioned(merged).is_empty());
}

#[test]
fn streams_that_meet_in_a_store_are_copartitioned() {
    const NEWEST: Store<u64, String> = Store::new("newest");
    let counted = Topology::define("counted", |t| {
        t.stream(ORDERS).merge(t.stream(RETURNS)).to_table(NEWEST);
    });
    assert_eq!(copartitioned(counted), [["orders", "returns"]]);
    let joined = Topology::define("joined", |t| {
        let newest = t.table(RETURNS, NEWEST);
        t.stream(ORDERS)
            .join(newest, |order, _| order.clone())
            .to(ORDERS);
    });
    assert_eq!(copartitioned(joined), [["returns", "orders"]]);
    let repartitioned = Topology::define("repartitioned", |t| {
        let orders = t.stream(ORDERS).select_key(|_, customer| customer.clone());
        let orders = orders.repartition("by-customer");
        t.stream(CUSTOMERS).merge(orders).count(COUNT);
    });
    let expected = [["shop-by-customer-repartition", "customers"]];
    assert_eq!(copartitioned(repartitioned), expected);
}
