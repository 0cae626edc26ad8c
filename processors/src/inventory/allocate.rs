//! From which locations a demand is served.

use millrace_avro::events::inventory::{StockAt, StockPolicy};
use millrace_avro::events::orders::ReservationPart;
use millrace_avro::keys::LocationId;

use super::stock::available_at;

/// Chooses locations for a positive demand; `None` when it cannot be served in full.
///
/// The first location in order of preference that can serve all; else as much as each has, in that
/// order; else, where the policy allows, the rest at the first location.
pub(super) fn allocate(
    locations: &[StockAt],
    policy: StockPolicy,
    near: &[LocationId],
    quantity: i64,
) -> Option<Vec<ReservationPart>> {
    let ordered = by_preference(locations, near);
    if let Some(one) = ordered.iter().find(|at| available_at(at) >= quantity) {
        return Some(vec![part(one, quantity)]);
    }
    let mut missing = quantity;
    let mut parts = Vec::new();
    for at in &ordered {
        let pieces = available_at(at).clamp(0, missing);
        if pieces > 0 {
            parts.push(part(at, pieces));
            missing -= pieces;
        }
    }
    if missing == 0 {
        return Some(parts);
    }
    if policy == StockPolicy::Deny {
        return None;
    }
    let first = ordered.first()?;
    match parts
        .iter_mut()
        .find(|part| part.location == first.location)
    {
        Some(part) => part.quantity += missing,
        None => parts.insert(0, part(first, missing)),
    }
    Some(parts)
}

/// The preferred locations first, in their order; then the others in theirs.
fn by_preference<'a>(locations: &'a [StockAt], near: &[LocationId]) -> Vec<&'a StockAt> {
    let rank = |at: &&StockAt| {
        let preferred = near.iter().position(|location| *location == at.location);
        preferred.unwrap_or(near.len())
    };
    let mut ordered: Vec<_> = locations.iter().collect();
    ordered.sort_by_key(rank);
    ordered
}

fn part(at: &StockAt, quantity: i64) -> ReservationPart {
    ReservationPart {
        location: at.location.clone(),
        quantity,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(name: &str, on_hand: i64, held: i64) -> StockAt {
        StockAt {
            location: LocationId::new(name).unwrap(),
            on_hand,
            held,
            committed: 0,
        }
    }

    fn served(locations: &[StockAt], policy: StockPolicy, near: &[&str], quantity: i64) -> String {
        let near: Vec<_> = near.iter().map(|n| LocationId::new(n).unwrap()).collect();
        match allocate(locations, policy, &near, quantity) {
            None => "none".to_owned(),
            Some(parts) => {
                let parts = parts
                    .iter()
                    .map(|p| format!("{}:{}", p.location, p.quantity));
                parts.collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn the_nearest_that_can_serve_all_serves_else_the_demand_is_split() {
        use StockPolicy::{Backorder, Deny};
        let stock = [at("a", 3, 1), at("b", 5, 0), at("c", 9, 9)];
        for (policy, near, quantity, expected) in [
            (Deny, &[][..], 2, "a:2"),
            (Deny, &["b"][..], 2, "b:2"),
            (Deny, &["c", "b"][..], 2, "b:2"),
            (Deny, &[][..], 5, "b:5"),
            (Deny, &["b"][..], 7, "b:5 a:2"),
            (Deny, &[][..], 8, "none"),
            (Backorder, &[][..], 8, "a:3 b:5"),
            (Backorder, &["c"][..], 9, "c:2 a:2 b:5"),
        ] {
            assert_eq!(served(&stock, policy, near, quantity), expected);
        }
        assert_eq!(served(&[], Backorder, &[], 1), "none");
    }
}
