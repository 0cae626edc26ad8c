//! From a committed call of the payment rule to the gateway, and back as a command.

use std::sync::Arc;
use std::time::Duration;

use millrace_avro::catalog::{GATEWAY_CALLS, PAYMENT_COMMANDS};
use millrace_avro::codec::SchemaClient;
use millrace_avro::event::{Event, EventId, Meta};
use millrace_avro::events::orders::CaptureMode;
use millrace_avro::events::payments::{
    GatewayAction, GatewayCall, GatewayEffect, GatewayFactKind as Kind, GatewayReported,
    PaymentCommand,
};
use millrace_avro::keys::{OrderId, PaymentId};
use millrace_avro::money::{Currency, Money};
use millrace_avro::registry::Registry;
use millrace_deploy::wait;
use millrace_effects::gateway::simulator::{Simulator, SimulatorOptions};
use millrace_effects::gateway::webhook::Secret;
use millrace_effects::payments::GatewayCalls;
use millrace_effects::runner::{Effects, EffectsConfig, Running};
use millrace_streams::headers::HeaderList;
use millrace_streams::log::sim::SimLog;
use millrace_streams::log::{Isolation, Log, NewRecord};
use millrace_streams::serde::{Data, Resources, Role, Serde as _, SerdeContext};
use millrace_streams::{SystemClock, Timestamp};
use tokio::runtime::Runtime;

struct World {
    log: SimLog,
    resources: Resources,
    simulator: Simulator,
    effects: Effects,
    runtime: Runtime,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        let clock = Arc::new(SystemClock::default());
        let options = SimulatorOptions {
            secret: Secret::new("whsec"),
            customers_approve_after: None,
        };
        let path = folder.path().join("ledger.jsonl");
        let handle = runtime.handle().clone();
        let simulator = Simulator::open(&path, options, clock.clone(), handle).unwrap();
        let log = SimLog::quiet();
        log.create_topics(&[GATEWAY_CALLS.spec(), PAYMENT_COMMANDS.spec()])
            .unwrap();
        let client = SchemaClient::local(Arc::new(Registry::in_memory()));
        let calls = GatewayCalls::new(Arc::new(simulator.clone()), clock);
        Self {
            log,
            resources: Resources::new().with(Arc::new(client)),
            simulator,
            effects: Effects::new("market-effects").on(GATEWAY_CALLS, PAYMENT_COMMANDS, calls),
            runtime,
            _folder: folder,
        }
    }

    fn start(&self, instance: &str) -> Running {
        let mut config = EffectsConfig::default();
        config.resources = self.resources.clone();
        let runtime = self.runtime.handle().clone();
        self.effects
            .start(&self.log, config, instance, runtime)
            .unwrap()
    }

    fn serde<T: Data>(&self, topic: &str) -> T::Serde {
        let resources = &self.resources;
        T::serde(&SerdeContext {
            topic,
            role: Role::Value,
            resources,
        })
        .unwrap()
    }

    fn ask(&self, id: &str, call: GatewayCall) {
        let meta = Meta::new(EventId::new(id), "/payments", Timestamp::from_millis(1));
        let (order, mut headers, mut value) =
            (call.order_id.clone(), HeaderList::new(), Vec::new());
        let event = Event::<GatewayEffect>::new(meta, call);
        let mut serde = self.serde::<Event<GatewayEffect>>(GATEWAY_CALLS.name());
        serde.serialize(&event, &mut headers, &mut value).unwrap();
        let record = NewRecord {
            topic: GATEWAY_CALLS.name().into(),
            key: Some(order.as_str().as_bytes().to_vec()),
            value: Some(value),
            headers,
            timestamp: Timestamp::from_millis(1),
        };
        let writer = self.log.writer("test").unwrap();
        futures::executor::block_on(writer.append(record)).unwrap();
    }

    /// Waits for so many reports.
    fn reports(&self, count: usize) -> Vec<(Meta, GatewayReported)> {
        let limit = Duration::from_secs(60);
        let records = wait::until(limit, "the reports", || {
            let records = self
                .log
                .dump(PAYMENT_COMMANDS.name(), Isolation::ReadCommitted);
            Ok((records.len() >= count).then_some(records))
        });
        let mut serde = self.serde::<Event<PaymentCommand>>(PAYMENT_COMMANDS.name());
        let read = |record: &millrace_streams::log::sim::DumpedRecord| {
            let event = serde
                .deserialize(record.value.as_deref(), record.headers.view())
                .unwrap();
            match event.body {
                PaymentCommand::GatewayReported(report) => (event.meta, report),
                other => panic!("{other:?}"),
            }
        };
        records.unwrap().iter().map(read).collect()
    }
}

fn call(payment: &str, action: GatewayAction, key: &str, method: &str) -> GatewayCall {
    GatewayCall {
        order_id: OrderId::new("o1").unwrap(),
        payment_id: PaymentId::new(payment).unwrap(),
        action,
        idempotency_key: key.to_owned(),
        amount: Money::new(1_999, Currency::EUR),
        method: method.to_owned(),
        capture: CaptureMode::Automatic,
        reference: None,
        refund_id: None,
        attempt: 1,
    }
}

fn kinds(report: &GatewayReported) -> Vec<Kind> {
    report.facts.iter().map(|fact| fact.kind).collect()
}

#[test]
fn what_the_gateway_says_comes_back_as_a_command_with_a_derived_id() {
    let world = World::new();
    let running = world.start("a");
    world.ask("e1", call("p1", GatewayAction::Authorize, "p1", "pm_ok"));
    let reports = world.reports(1);
    let (meta, report) = &reports[0];
    assert_eq!(
        meta.id,
        EventId::derive(&EventId::new("e1"), "payment.gateway_reported", 0)
    );
    assert_eq!(
        (meta.causation_id.as_str(), &*meta.source),
        ("e1", "/gateways/simulator")
    );
    assert_eq!(report.payment_id.as_str(), "p1");
    assert_eq!(kinds(report), [Kind::Authorized, Kind::Captured]);
    running.stop().unwrap();
}

#[test]
fn a_lost_reply_and_an_error_end_in_one_charge_each() {
    let world = World::new();
    let running = world.start("a");
    for (payment, method) in [("p1", "pm_drop_reply"), ("p2", "pm_error_then_ok")] {
        world.ask(
            payment,
            call(payment, GatewayAction::Authorize, payment, method),
        );
    }
    for (_, report) in world.reports(2) {
        assert_eq!(kinds(&report), [Kind::Authorized, Kind::Captured]);
    }
    assert_eq!(world.simulator.ledger().items.len(), 2);
    running.stop().unwrap();
}

#[test]
fn the_same_call_asked_again_charges_nothing_more() {
    let world = World::new();
    let running = world.start("a");
    for attempt in 1..=5 {
        let again = GatewayCall {
            attempt,
            ..call("p1", GatewayAction::Authorize, "p1", "pm_ok")
        };
        world.ask(&format!("e{attempt}"), again);
    }
    world.ask("e6", call("p1", GatewayAction::Void, "p1:void", "pm_ok"));
    let reports = world.reports(6);
    assert!(
        reports
            .iter()
            .all(|(_, report)| kinds(report) == [Kind::Authorized, Kind::Captured])
    );
    assert_eq!(world.simulator.ledger().items.len(), 1);
    running.stop().unwrap();
}

#[test]
fn an_instance_that_comes_after_a_stop_goes_on_where_the_other_ended() {
    let world = World::new();
    let first = world.start("a");
    world.ask("e1", call("p1", GatewayAction::Authorize, "p1", "pm_ok"));
    world.reports(1);
    first.stop().unwrap();
    world.ask(
        "e2",
        call("p2", GatewayAction::Authorize, "p2", "pm_decline"),
    );
    let second = world.start("b");
    let reports = world.reports(2);
    assert_eq!(kinds(&reports[1].1), [Kind::Failed]);
    second.stop().unwrap();
    assert_eq!(world.reports(2).len(), 2);
}
