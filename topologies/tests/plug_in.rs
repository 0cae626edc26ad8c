//! New behaviour is one file and one line: a topology that the market does not know runs beside it.
//!
//! [`DELIVERIES`] to [`ENTRY`] would be a file in `topologies/src`, and its name a line of the list in
//! `lib.rs`. Nothing of the market changes for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_avro::catalog::{self, INVENTORY_COMMANDS, INVENTORY_EVENTS};
use millrace_avro::codec::SchemaClient;
use millrace_avro::event::{Event, EventId, Meta};
use millrace_avro::events::inventory::{AdjustStock, InventoryEvent};
use millrace_avro::keys::{LocationId, Sku};
use millrace_avro::registry::Registry;
use millrace_streams::log::Isolation;
use millrace_streams::log::sim::SimOptions;
use millrace_streams::serde::Resources;
use millrace_streams::{
    RecordCodec, Simulation, Store, StreamsConfig, Topic, Topology, TopologyError,
};
use millrace_topologies::registry::{ENTRIES, Entry, Limits, select_from, topics};

const DELIVERIES: Topic<Sku, u64> = Topic::new("deliveries").compacted();
const DELIVERIES_BY_SKU: Store<Sku, u64> = Store::new("deliveries-by-sku");

/// ```text
/// inventory-events -> [deliveries-by-sku] -> deliveries
/// ```
fn deliveries() -> Result<Topology, TopologyError> {
    Topology::define("deliveries", |t| {
        t.stream(INVENTORY_EVENTS)
            .filter(|_, event| matches!(&event.body, InventoryEvent::Adjusted(_)))
            .count(DELIVERIES_BY_SKU)
            .to(DELIVERIES);
    })
}

const ENTRY: Entry = Entry {
    name: "deliveries",
    purpose: "counts what comes in",
    define: |_| deliveries(),
    configure: |_| {},
};

/// The market's registry, with the one line more.
fn entries() -> Vec<Entry> {
    ENTRIES.iter().copied().chain([ENTRY]).collect()
}

fn create_topics(simulation: &mut Simulation) {
    let topics = topics(&entries(), &Limits::default()).expect("sound topologies");
    simulation.create_topics(&topics).expect("topics");
}

fn deliver(simulation: &mut Simulation, resources: &Resources, number: u32) {
    let mut codec = RecordCodec::new(INVENTORY_COMMANDS, resources).expect("serdes");
    let sku = Sku::new("mug-red").expect("a key");
    let command = AdjustStock {
        sku: sku.clone(),
        location: LocationId::new("main").expect("a key"),
        delta: 5,
        reason: "delivery".into(),
    };
    let at = simulation.now();
    let meta = Meta::new(EventId::new(format!("delivery-{number}")), "/test", at);
    let record = codec.encode(&sku, &Event::new(meta, command), at);
    let appended = simulation.append(&record.expect("bytes"));
    appended.expect("the log takes it");
}

#[test]
fn a_topology_that_the_market_does_not_know_runs_beside_it() {
    let mut simulation = Simulation::new(7, SimOptions::default());
    let registry = Arc::new(Registry::in_memory());
    let resources = Resources::new().with(Arc::new(SchemaClient::local(registry)));
    create_topics(&mut simulation);
    let entries = entries();
    for entry in select_from(&entries, Some("inventory,deliveries")).expect("known names") {
        let topology = (entry.define)(&Limits::default()).expect("the topology is sound");
        let mut config = StreamsConfig::default();
        (entry.configure)(&mut config);
        config.resources = resources.clone();
        simulation.add_application(&topology, config);
    }
    simulation.start_instances(2).expect("instances start");
    for number in 0..3 {
        deliver(&mut simulation, &resources, number);
    }
    simulation.settle().expect("the market comes to rest");
    let mut codec = RecordCodec::new(DELIVERIES, &resources).expect("serdes");
    let written = simulation
        .log()
        .dump(DELIVERIES.name(), Isolation::ReadCommitted);
    let counts: BTreeMap<String, u64> = written
        .iter()
        .map(|record| {
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            codec
                .decode(key, value, record.headers.view())
                .expect("typed")
        })
        .map(|(sku, count)| (sku.as_str().to_owned(), count))
        .collect();
    assert_eq!(counts, BTreeMap::from([("mug-red".to_owned(), 3)]));
}

#[test]
fn the_topologies_of_the_market_need_no_topic_beside_the_catalogue() {
    let catalogue: Vec<_> = catalog::topics().into_iter().map(|t| t.spec).collect();
    for spec in topics(ENTRIES, &Limits::default()).expect("sound topologies") {
        assert!(catalogue.contains(&spec), "{spec:?}");
    }
}

#[test]
fn a_topology_is_known_by_its_name_only_where_it_is_registered() {
    let entries = entries();
    let found = select_from(&entries, Some(" deliveries ,orders")).expect("known names");
    let names: Vec<_> = found.iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["deliveries", "orders"]);
    let error = select_from(ENTRIES, Some("deliveries")).expect_err("not of the market");
    assert_eq!(
        error,
        "no topology is named `deliveries`; there are products, categories, carts, orders, \
         inventory, payments, audit"
    );
}
