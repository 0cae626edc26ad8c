//! The stock of a SKU, in scenes.

use std::sync::Arc;
use std::time::Duration;

use millrace_avro::codec::SchemaClient;

use millrace_avro::event::{EventId, Meta};
use millrace_avro::events::common::{AuditEvent, ReplyEvent};
use millrace_avro::events::inventory::{
    AdjustStock, CommitReservation, ConfigureStock, ReleaseReservation, ReserveStock,
    ShipReservation,
};
use millrace_avro::events::orders::ReservationPart;
use millrace_avro::keys::{LocationId, ReservationId};
use millrace_avro::registry::Registry;
use millrace_streams::serde::Resources;
use millrace_streams::{RecordCodec, StreamsConfig, Topic};

use super::*;

struct Stage {
    now: Timestamp,
    state: Option<StockState>,
    deadline: Option<Timestamp>,
    events: u64,
}

fn mug() -> Sku {
    Sku::new("mug").unwrap()
}

fn order(name: &str) -> OrderId {
    OrderId::new(name).unwrap()
}

fn parts(quantity: i64) -> Vec<ReservationPart> {
    vec![ReservationPart {
        location: LocationId::new("main").unwrap(),
        quantity,
    }]
}

impl Stage {
    fn new() -> Self {
        Self {
            now: Timestamp::from_millis(1_000),
            state: None,
            deadline: None,
            events: 0,
        }
    }

    /// A SKU with `on_hand` pieces.
    fn with(on_hand: i64) -> Self {
        let mut stage = Self::new();
        stage.adjust(on_hand);
        stage
    }

    fn tell(&mut self, body: impl Into<InventoryCommand>) -> Vec<String> {
        self.events += 1;
        self.tell_as(&format!("event-{}", self.events), body)
    }

    fn tell_as(&mut self, id: &str, body: impl Into<InventoryCommand>) -> Vec<String> {
        let meta = Meta::new(EventId::new(id), "/test", self.now);
        let event = Event::new(meta, body);
        let step = Inventory::default().on_event(&mug(), self.state.take(), &event, self.now);
        self.take(step)
    }

    fn take(&mut self, step: Step<StockState, InventoryEffect>) -> Vec<String> {
        self.state = step.state;
        self.deadline = step.deadline;
        step.effects.iter().filter_map(name).collect()
    }

    fn pass_deadline(&mut self) -> Vec<String> {
        self.now = self.deadline.unwrap();
        let state = self.state.take().unwrap();
        let step = Inventory::default().on_deadline(&mug(), state, self.now);
        self.take(step)
    }

    fn adjust(&mut self, delta: i64) -> Vec<String> {
        self.tell(AdjustStock {
            sku: mug(),
            location: LocationId::new("main").unwrap(),
            delta,
            reason: "received".to_owned(),
        })
    }

    fn reserve(&mut self, name: &str, quantity: i64) -> Vec<String> {
        let hold_until = self.now + Duration::from_secs(60);
        self.tell(ReserveStock {
            reservation_id: ReservationId::of(&order(name), &mug()),
            order_id: order(name),
            sku: mug(),
            quantity,
            hold_until_ms: hold_until.as_millis(),
            near: Vec::new(),
        })
    }

    fn commit(&mut self, name: &str, quantity: i64) -> Vec<String> {
        self.tell(CommitReservation {
            reservation_id: ReservationId::of(&order(name), &mug()),
            order_id: order(name),
            sku: mug(),
            quantity,
        })
    }

    fn release(&mut self, name: &str, parts: Vec<ReservationPart>) -> Vec<String> {
        self.tell(ReleaseReservation {
            reservation_id: ReservationId::of(&order(name), &mug()),
            order_id: order(name),
            sku: mug(),
            parts,
            reason: "test".to_owned(),
        })
    }

    fn ship(&mut self, name: &str, quantity: i64, last: bool) -> Vec<String> {
        self.tell(ShipReservation {
            reservation_id: ReservationId::of(&order(name), &mug()),
            order_id: order(name),
            sku: mug(),
            parts: parts(quantity),
            last,
        })
    }

    /// On hand, held, committed.
    fn level(&self) -> (i64, i64, i64) {
        let at = &self.state.as_ref().unwrap().locations[0];
        (at.on_hand, at.held, at.committed)
    }
}

fn name(effect: &InventoryEffect) -> Option<String> {
    Some(match effect {
        InventoryEffect::Fact(event) => event.body.type_name().to_owned(),
        InventoryEffect::Reply(event) => {
            let ReplyEvent::Replied(reply) = &event.body;
            let code = reply.code.as_deref().unwrap_or_default();
            format!("reply {:?} {code}", reply.outcome)
                .trim()
                .to_owned()
        }
        InventoryEffect::Audit(event) => match &event.body {
            AuditEvent::Noted(entry) => format!("audit {}", entry.code),
            AuditEvent::InvariantViolated(_) => "audit violation".to_owned(),
        },
        InventoryEffect::Answer(..) | InventoryEffect::View(_) => return None,
    })
}

const NOTHING: [&str; 1] = ["audit duplicate"];

#[test]
fn a_reservation_is_held_committed_and_shipped() {
    let mut stage = Stage::with(10);
    assert_eq!(stage.reserve("a", 3), ["inventory.reserved"]);
    assert_eq!(stage.level(), (10, 3, 0));
    assert_eq!(stage.commit("a", 3), ["inventory.committed"]);
    assert_eq!((stage.level(), stage.deadline), ((10, 0, 3), None));
    assert_eq!(stage.ship("a", 2, false), ["inventory.shipped"]);
    assert_eq!(stage.ship("a", 1, true), ["inventory.shipped"]);
    assert_eq!(stage.level(), (7, 0, 0));
}

#[test]
fn the_last_piece_is_sold_once() {
    let mut stage = Stage::with(1);
    assert_eq!(
        stage.reserve("a", 1),
        ["inventory.reserved", "inventory.low_stock"][..1]
    );
    assert_eq!(stage.reserve("b", 1), ["inventory.reservation_rejected"]);
    assert_eq!(stage.level(), (1, 1, 0));
}

#[test]
fn a_reservation_is_all_or_nothing() {
    let mut stage = Stage::with(4);
    assert_eq!(stage.reserve("a", 5), ["inventory.reservation_rejected"]);
    assert_eq!(stage.level(), (4, 0, 0));
}

#[test]
fn a_sku_that_nobody_knows_is_refused_with_its_reason() {
    let mut stage = Stage::new();
    let event = ReserveStock {
        reservation_id: ReservationId::of(&order("a"), &mug()),
        order_id: order("a"),
        sku: mug(),
        quantity: 1,
        hold_until_ms: 60_000,
        near: Vec::new(),
    };
    let meta = Meta::new(EventId::new("event"), "/test", stage.now);
    let event = Event::new(meta, event);
    let step = Inventory::default().on_event(&mug(), None, &event, stage.now);
    let reasons = step.effects.iter().filter_map(|effect| match effect {
        InventoryEffect::Fact(event) => match &event.body {
            InventoryEvent::ReservationRejected(fact) => Some(fact.reason),
            _ => None,
        },
        _ => None,
    });
    let unknown = millrace_avro::events::inventory::RejectReason::UnknownSku;
    assert_eq!(reasons.collect::<Vec<_>>(), [unknown]);
    stage.tell(ConfigureStock {
        sku: mug(),
        policy: None,
        low_stock_threshold: None,
        expected_version: None,
    });
    assert!(stage.state.unwrap().configured);
}

#[test]
fn duplicates_do_nothing() {
    let mut stage = Stage::with(10);
    stage.reserve("a", 3);
    assert_eq!(stage.reserve("a", 3), NOTHING);
    stage.commit("a", 3);
    assert_eq!(stage.commit("a", 3), NOTHING);
    assert_eq!(stage.reserve("a", 3), NOTHING);
    stage.release("a", parts(3));
    assert_eq!(stage.release("a", parts(3)), NOTHING);
    assert_eq!(stage.level(), (10, 0, 0));
    let again = AdjustStock {
        sku: mug(),
        location: LocationId::new("main").unwrap(),
        delta: 5,
        reason: "received".to_owned(),
    };
    let first = stage.tell_as("same", again.clone());
    assert_eq!(first, ["inventory.adjusted", "reply Accepted"]);
    assert_eq!(stage.tell_as("same", again), ["reply Unchanged"]);
    assert_eq!(stage.level().0, 15);
}

#[test]
fn a_release_before_its_reservation_leaves_a_tombstone() {
    let mut stage = Stage::with(10);
    assert_eq!(stage.release("a", Vec::new()), ["inventory.released"]);
    assert_eq!(stage.reserve("a", 3), ["inventory.reservation_rejected"]);
    assert_eq!(stage.reserve("a", 3), ["inventory.reservation_rejected"]);
    assert_eq!(stage.level(), (10, 0, 0));
}

#[test]
fn a_hold_expires_and_a_late_commit_has_it_again_or_fails() {
    let mut stage = Stage::with(5);
    stage.reserve("a", 4);
    assert_eq!(stage.pass_deadline(), ["inventory.expired"][..]);
    assert_eq!(stage.level(), (5, 0, 0));
    assert_eq!(stage.commit("a", 4), ["inventory.committed"]);
    assert_eq!(stage.level(), (5, 0, 4));

    let mut stage = Stage::with(5);
    stage.reserve("a", 4);
    stage.pass_deadline();
    stage.reserve("b", 4);
    assert_eq!(stage.commit("a", 4), ["inventory.commit_failed"]);
    assert_eq!(stage.level(), (5, 4, 0));
}

#[test]
fn each_hold_expires_in_its_own_time() {
    let mut stage = Stage::with(9);
    stage.reserve("a", 1);
    stage.now = stage.now + Duration::from_secs(10);
    stage.reserve("b", 1);
    assert_eq!(stage.pass_deadline(), ["inventory.expired"]);
    assert_eq!(stage.level(), (9, 1, 0));
    assert_eq!(stage.pass_deadline(), ["inventory.expired"]);
    assert_eq!(stage.deadline, None);
}

#[test]
fn low_stock_is_told_once_per_crossing_and_armed_by_a_restock() {
    let low = "inventory.low_stock".to_owned();
    let mut stage = Stage::with(7);
    assert!(stage.reserve("a", 2).contains(&low));
    assert!(!stage.reserve("b", 1).contains(&low));
    stage.adjust(1);
    assert!(
        !stage.reserve("c", 1).contains(&low),
        "5 is not above the threshold"
    );
    stage.adjust(3);
    assert!(stage.reserve("d", 3).contains(&low));
    stage.release("d", Vec::new());
    assert!(!stage.reserve("e", 3).contains(&low), "nothing came in");
    configure(&mut stage, None, Some(1));
    assert!(stage.reserve("f", 3).contains(&low), "low is less now");
}

fn configure(stage: &mut Stage, policy: Option<StockPolicy>, low: Option<i64>) -> Vec<String> {
    stage.tell(ConfigureStock {
        sku: mug(),
        policy,
        low_stock_threshold: low,
        expected_version: None,
    })
}

#[test]
fn what_is_promised_beyond_the_stock_is_not_denied_afterwards() {
    let mut stage = Stage::with(2);
    configure(&mut stage, Some(StockPolicy::Backorder), None);
    stage.reserve("a", 5);
    let denied = configure(&mut stage, Some(StockPolicy::Deny), None);
    assert_eq!(denied, ["reply Refused stock-promised"]);
    assert_eq!(stage.state.as_ref().unwrap().policy, StockPolicy::Backorder);
    stage.adjust(3);
    let denied = configure(&mut stage, Some(StockPolicy::Deny), None);
    assert!(denied.contains(&"reply Accepted".to_owned()), "{denied:?}");
}

#[test]
fn all_that_a_sku_may_remember_fits_a_record() {
    const STATE: Topic<Sku, StockState> = Topic::new("state");
    let mut stage = Stage::with(1_000_000);
    let limits = InventoryLimits::default();
    for number in 0..limits.closed_max.max(limits.recent_max) {
        stage.adjust(1);
        stage.release(&format!("order-{number}"), Vec::new());
    }
    for number in 0..limits.holds_max {
        let told = stage.reserve(&format!("0190c2f4-6a1e-7cc3-98c4-{number:012}"), 1);
        assert!(told.contains(&"inventory.reserved".to_owned()), "{told:?}");
    }
    let told = stage.reserve("one-more", 1);
    assert_eq!(told, ["inventory.reservation_rejected"]);
    let client = SchemaClient::local(Arc::new(Registry::in_memory()));
    let resources = Resources::new().with(Arc::new(client));
    let mut codec = RecordCodec::new(STATE, &resources).unwrap();
    let mut state = stage.state.unwrap();
    for hold in &mut state.holds {
        hold.origin.correlation_id = "0190c2f4-6a1e-7cc3-98c4-dc0c0c07398f".to_owned();
        hold.origin.traceparent =
            Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
        hold.origin.actor = Some("0190c2f4-6a1e-7cc3-98c4-dc0c0c07398f".to_owned());
    }
    let record = codec.encode(&mug(), &state, stage.now).unwrap();
    let bytes = record.value.unwrap().len();
    let limit = StreamsConfig::default().record_bytes_max;
    assert!(bytes < limit, "{bytes} of {limit}");
}

#[test]
fn settings_change_only_the_version_that_was_seen() {
    let mut stage = Stage::with(2);
    let before = stage.state.clone().unwrap();
    let seen = before.seq;
    let low_at = |threshold, version| ConfigureStock {
        sku: mug(),
        policy: None,
        low_stock_threshold: Some(threshold),
        expected_version: Some(version),
    };
    assert_eq!(
        stage.tell(low_at(1, seen + 1)),
        ["reply Refused version-conflict"]
    );
    assert_eq!(stage.state.as_ref(), Some(&before));
    stage.tell(low_at(1, seen));
    assert_eq!(stage.state.as_ref().unwrap().low_stock_threshold, 1);
    let again = stage.tell(low_at(0, seen));
    assert_eq!(again, ["reply Refused version-conflict"]);
}

#[test]
fn a_policy_promises_what_is_not_there() {
    let mut stage = Stage::with(2);
    stage.tell(ConfigureStock {
        sku: mug(),
        policy: Some(StockPolicy::Backorder),
        low_stock_threshold: None,
        expected_version: None,
    });
    assert_eq!(stage.reserve("a", 5), ["inventory.reserved"]);
    assert_eq!(stage.level(), (2, 5, 0));
    stage.commit("a", 5);
    let told = stage.ship("a", 5, true);
    assert_eq!(told, ["audit count-corrected", "inventory.shipped"]);
    assert_eq!(stage.level(), (0, 0, 0));
    let sum: i64 = stage.state.unwrap().movements.iter().map(|m| m.delta).sum();
    assert_eq!(sum, 0);
}

#[test]
fn an_adjustment_takes_neither_what_is_not_there_nor_what_is_reserved() {
    let mut stage = Stage::with(5);
    stage.reserve("a", 3);
    assert_eq!(stage.adjust(-6), ["reply Refused insufficient-stock"]);
    assert_eq!(stage.adjust(-3), ["reply Refused stock-reserved"]);
    assert_eq!(stage.adjust(0), ["reply Refused invalid-delta"]);
    assert_eq!(stage.adjust(-2)[0], "inventory.adjusted");
}

#[test]
fn what_an_order_owns_is_given_back_only_with_where_it_lies() {
    let mut stage = Stage::with(5);
    stage.reserve("a", 3);
    stage.commit("a", 3);
    let told = stage.release("a", Vec::new());
    assert_eq!(told, ["audit release-without-parts"]);
    let told = stage.release("a", parts(4));
    assert_eq!(told, ["audit release-exceeds-committed"]);
    assert_eq!(stage.release("a", parts(3)), ["inventory.released"]);
    assert_eq!(stage.level(), (5, 0, 0));
}

#[test]
fn histories_are_bounded() {
    let mut stage = Stage::with(1);
    for number in 0..1_000 {
        stage.adjust(1);
        stage.release(&format!("order-{number}"), Vec::new());
    }
    let limits = InventoryLimits::default();
    let stock = stage.state.unwrap();
    assert_eq!(stock.movements.len(), limits.movements_max);
    assert_eq!(stock.closed.len(), limits.closed_max);
    assert_eq!(stock.recent.len(), limits.recent_max);
}
