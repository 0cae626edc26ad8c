//! Invariants of stock, over the facts of one SKU.

use millrace_avro::event::{Event, EventSet};
use millrace_avro::events::audit::{AuditedLocation, StockAudit};
use millrace_avro::events::common::{AuditEvent, InvariantViolated};
use millrace_avro::events::inventory::{InventoryEvent, Movement, StockLevel};
use millrace_avro::events::orders::ReservationPart;
use millrace_avro::keys::{AggregateId, LocationId, Sku, SkuAtLocation};
use millrace_streams::Timestamp;

use super::{SOURCE, Violation};
use crate::emit::Emitter;
use crate::inventory::is_on_demand;
use crate::transition::{Step, Transition};

/// The auditor of a SKU's stock. It waits for nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct StockAuditor;

impl Transition for StockAuditor {
    type Key = Sku;
    type State = StockAudit;
    type Event = Event<InventoryEvent>;
    type Effect = Event<AuditEvent>;

    fn on_event(
        &self,
        key: &Sku,
        state: Option<StockAudit>,
        event: &Event<InventoryEvent>,
        at: Timestamp,
    ) -> Step<StockAudit, Event<AuditEvent>> {
        let mut audit = state.unwrap_or_else(|| unseen(key));
        let mut emit = Emitter::of(&event.meta, event.body.type_name(), SOURCE, at);
        let seq = i64::try_from(event.meta.seq).unwrap_or(i64::MAX);
        let found = match seq <= audit.last_seq {
            true => Vec::new(),
            false => audit_fact(&mut audit, &event.body, seq),
        };
        Step {
            effects: report(&mut audit, found, &mut emit),
            state: Some(audit),
            deadline: None,
        }
    }

    fn on_deadline(
        &self,
        _: &Sku,
        state: StockAudit,
        _: Timestamp,
    ) -> Step<StockAudit, Event<AuditEvent>> {
        Step {
            state: Some(state),
            effects: Vec::new(),
            deadline: None,
        }
    }
}

fn unseen(key: &Sku) -> StockAudit {
    StockAudit {
        sku: key.clone(),
        on_demand: false,
        locations: Vec::new(),
        last_seq: 0,
        reported: Vec::new(),
    }
}

/// A violation at a location, or none any more.
type Finding = (LocationId, i32, Option<Violation>);

fn audit_fact(audit: &mut StockAudit, fact: &InventoryEvent, seq: i64) -> Vec<Finding> {
    let gap = (seq != audit.last_seq + 1)
        .then(|| Violation::new(2, format!("fact {seq} follows {}", audit.last_seq)));
    audit.last_seq = seq;
    let told = told(fact);
    if let Some(on_demand) = told.on_demand {
        audit.on_demand = on_demand;
    }
    for movement in told.movements {
        seen(audit, &movement.location).movements += movement.delta;
    }
    for part in told.parts {
        seen(audit, &part.location).live += told.sign * part.quantity;
    }
    let on_demand = audit.on_demand;
    let mut found = Vec::new();
    for level in told.levels {
        let known = seen(audit, &level.location).clone();
        found.extend(compare(&known, level, on_demand));
        found.push((level.location.clone(), 2, sum_of_movements(&known, level)));
    }
    if let Some(gap) = gap {
        let nowhere = told.levels.first().map(|level| level.location.clone());
        found.extend(nowhere.map(|location| (location, 2, Some(gap))));
    }
    found
}

/// What a fact says about locations.
struct Told<'a> {
    movements: &'a [Movement],
    parts: &'a [ReservationPart],
    /// What `parts` add to the live reservations: 1, 0 or -1 times their quantity.
    sign: i64,
    levels: &'a [StockLevel],
    on_demand: Option<bool>,
}

fn told(fact: &InventoryEvent) -> Told<'_> {
    use std::slice::from_ref;
    let told = |parts, sign, levels| Told {
        movements: &[],
        parts,
        sign,
        levels,
        on_demand: None,
    };
    match fact {
        InventoryEvent::Adjusted(fact) => Told {
            movements: from_ref(&fact.movement),
            ..told(&[], 0, from_ref(&fact.level))
        },
        InventoryEvent::Configured(fact) => Told {
            on_demand: Some(is_on_demand(fact.policy)),
            ..told(&[], 0, &[])
        },
        InventoryEvent::Reserved(fact) => told(&fact.parts, 1, &fact.levels),
        InventoryEvent::Released(fact) => told(&fact.parts, -1, &fact.levels),
        InventoryEvent::Expired(fact) => told(&fact.parts, -1, &fact.levels),
        InventoryEvent::Committed(fact) => {
            told(&fact.parts, i64::from(fact.reacquired), &fact.levels)
        }
        InventoryEvent::Shipped(fact) => Told {
            movements: &fact.movements,
            ..told(&fact.parts, -1, &fact.levels)
        },
        InventoryEvent::ReservationRejected(_)
        | InventoryEvent::CommitFailed(_)
        | InventoryEvent::LowStock(_) => told(&[], 0, &[]),
    }
}

fn seen<'a>(audit: &'a mut StockAudit, location: &LocationId) -> &'a mut AuditedLocation {
    let mut all = audit.locations.iter();
    let index = all.position(|known| known.location == *location);
    let index = index.unwrap_or_else(|| {
        audit.locations.push(AuditedLocation {
            location: location.clone(),
            movements: 0,
            live: 0,
        });
        audit.locations.len() - 1
    });
    &mut audit.locations[index]
}

fn compare(known: &AuditedLocation, level: &StockLevel, on_demand: bool) -> Option<Finding> {
    let StockLevel {
        on_hand,
        reserved,
        available,
        ..
    } = *level;
    let live = known.live;
    let violation = if on_hand < 0 {
        Some(format!("on hand is {on_hand}"))
    } else if reserved != live {
        Some(format!(
            "reserved is {reserved}, live reservations are {live}"
        ))
    } else if available != on_hand - reserved || (available < 0 && !on_demand) {
        Some(format!(
            "available is {available} of {on_hand} - {reserved}"
        ))
    } else {
        None
    };
    let violation = violation.map(|detail| Violation::new(1, detail));
    Some((level.location.clone(), 1, violation))
}

fn sum_of_movements(known: &AuditedLocation, level: &StockLevel) -> Option<Violation> {
    (known.movements != level.on_hand).then(|| {
        let (sum, on_hand) = (known.movements, level.on_hand);
        Violation::new(2, format!("movements sum to {sum}, on hand is {on_hand}"))
    })
}

/// Reports what is violated and was not, and forgets what has healed.
fn report(
    audit: &mut StockAudit,
    found: Vec<Finding>,
    emit: &mut Emitter,
) -> Vec<Event<AuditEvent>> {
    let mut effects = Vec::new();
    for (location, invariant, violation) in found {
        let name = format!("{invariant}@{location}");
        let was_reported = audit.reported.contains(&name);
        match violation {
            None => audit.reported.retain(|reported| *reported != name),
            Some(_) if was_reported => {}
            Some(violation) => {
                audit.reported.push(name);
                effects.push(emit.event(InvariantViolated {
                    invariant,
                    aggregate: AggregateId::of(SkuAtLocation::of(&audit.sku, &location)),
                    detail: violation.detail,
                }));
            }
        }
    }
    effects
}
