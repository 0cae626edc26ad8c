//! Events of a type that a topology does not know: skipped and counted, and no bad records.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};
use millrace_avro::catalog::{INVENTORY_COMMANDS, INVENTORY_EVENTS};
use millrace_avro::codec::SchemaClient;
use millrace_avro::event::{Event, EventId, EventSet, Meta};
use millrace_avro::events::inventory::{AdjustStock, InventoryEvent};
use millrace_avro::events::orders::{OrderCancelRequested, OrderCommand};
use millrace_avro::keys::{LocationId, OrderId, Sku};
use millrace_avro::registry::Registry;
use millrace_processors::inventory::InventoryLimits;
use millrace_streams::serde::Resources;
use millrace_streams::{TestDriverOptions, Timestamp, Topic, TopologyTestDriver};
use millrace_topologies::inventory;

const NOW: Timestamp = Timestamp::from_millis(1_000);

/// The topic of the stock's commands, as somebody sees it who sends it commands to orders.
const FOREIGN_COMMANDS: Topic<Sku, Event<OrderCommand>> = Topic::new(INVENTORY_COMMANDS.name());

/// Counts dropped records by their reason, and nothing else.
#[derive(Default)]
struct Dropped {
    by_reason: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
}

impl Dropped {
    fn counts(&self) -> BTreeMap<String, u64> {
        let by_reason = self.by_reason.lock().expect("nobody has panicked");
        let counts = by_reason.iter();
        counts
            .map(|(reason, count)| (reason.clone(), count.load(Ordering::Relaxed)))
            .collect()
    }
}

impl Recorder for Dropped {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        if key.name() != "dropped_records_total" {
            return Counter::noop();
        }
        let reason = key.labels().map(Label::value).collect();
        let mut by_reason = self.by_reason.lock().expect("nobody has panicked");
        Counter::from_arc(Arc::clone(by_reason.entry(reason).or_default()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

fn driver() -> TopologyTestDriver {
    let topology = inventory(InventoryLimits::default()).expect("the topology is sound");
    let registry = Arc::new(Registry::in_memory());
    let mut options = TestDriverOptions::default();
    options.resources = Resources::new().with(Arc::new(SchemaClient::local(registry)));
    TopologyTestDriver::with_options(&topology, options).expect("a driver")
}

fn sku() -> Sku {
    Sku::new("mug-red").expect("a key")
}

fn event<E: EventSet>(id: &str, body: impl Into<E>) -> Event<E> {
    Event::new(Meta::new(EventId::new(id), "/test", NOW), body)
}

fn send_what_it_does_not_know(driver: &mut TopologyTestDriver) {
    let order_id = OrderId::new("order-1").expect("a key");
    let reason = None;
    let cancel = event("foreign", OrderCancelRequested { order_id, reason });
    let sent = driver.input(FOREIGN_COMMANDS).pipe(&sku(), &cancel, NOW);
    sent.expect("the task goes on");
}

fn deliver(driver: &mut TopologyTestDriver) {
    let adjust = AdjustStock {
        sku: sku(),
        location: LocationId::new("main").expect("a key"),
        delta: 5,
        reason: "delivery".into(),
    };
    let adjust = event("known", adjust);
    let sent = driver.input(INVENTORY_COMMANDS).pipe(&sku(), &adjust, NOW);
    sent.expect("the task goes on");
}

#[test]
fn an_event_of_an_unknown_type_is_skipped_and_counted() {
    let dropped = Dropped::default();
    let mut driver = driver();
    with_local_recorder(&dropped, || {
        send_what_it_does_not_know(&mut driver);
        deliver(&mut driver);
        send_what_it_does_not_know(&mut driver);
    });
    let expected = BTreeMap::from([("unknown type".to_owned(), 2)]);
    assert_eq!(dropped.counts(), expected);
    assert!(driver.dead_letters().is_empty(), "it is no bad record");
    let facts = driver.output(INVENTORY_EVENTS).read_values();
    let facts = facts.expect("typed facts");
    assert_eq!(facts.len(), 1);
    assert!(matches!(facts[0].body, InventoryEvent::Adjusted(_)));
}
