//! All topologies of the market, by name: the plug-in point.

use std::collections::BTreeMap;

use millrace_processors::audit::AuditLimits;
use millrace_processors::cart::CartLimits;
use millrace_processors::inventory::InventoryLimits;
use millrace_processors::order::OrderLimits;
use millrace_processors::payment::PaymentLimits;
use millrace_processors::product::ProductLimits;
use millrace_streams::log::TopicSpec;
use millrace_streams::{StreamsConfig, Topology, TopologyError};

/// The limits of all rules: times, counts, sizes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Of orders.
    pub orders: OrderLimits,
    /// Of stock.
    pub inventory: InventoryLimits,
    /// Of payments.
    pub payments: PaymentLimits,
    /// Of carts.
    pub carts: CartLimits,
    /// Of products.
    pub products: ProductLimits,
    /// Of the auditor, but for the times of orders and payments, which are those above.
    pub audit: AuditLimits,
}

impl Limits {
    /// The auditor's limits, for orders and payments with these times.
    pub(crate) fn audit(&self) -> AuditLimits {
        AuditLimits {
            orders: self.orders,
            payments: self.payments,
            ..self.audit
        }
    }
}

/// A topology that can be run by name.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The name, which is also the application's id.
    pub name: &'static str,
    /// What it does, in one line.
    pub purpose: &'static str,
    /// Draws it.
    pub define: fn(&Limits) -> Result<Topology, TopologyError>,
    /// Sets what it wants otherwise than the others: threads, times, handlers.
    pub configure: fn(&mut StreamsConfig),
}

/// The topologies of the market that run as applications, in the order in which an order passes
/// them.
pub const ENTRIES: &[Entry] = crate::LISTED;

/// What no application runs and each instance holds whole: the views.
pub const VIEWS: Entry = crate::views::ENTRY;

/// The topics that some entries need and do not own, as their constants say that they are to be:
/// what has to be there before they run.
///
/// # Errors
/// When an entry cannot be drawn.
pub fn topics<'a>(
    entries: impl IntoIterator<Item = &'a Entry>,
    limits: &Limits,
) -> Result<Vec<TopicSpec>, TopologyError> {
    let mut specs = BTreeMap::new();
    for entry in entries {
        for spec in (entry.define)(limits)?.topic_specs() {
            specs.insert(spec.name.clone(), spec.clone());
        }
    }
    Ok(specs.into_values().collect())
}

/// The market's entries of a comma-separated list of names; all of them for `None`.
///
/// # Errors
/// As [`select_from`].
pub fn select(only: Option<&str>) -> Result<Vec<&'static Entry>, String> {
    select_from(ENTRIES, only)
}

/// Those of `entries` that a comma-separated list names; all of them for `None`.
///
/// # Errors
/// The first name that no entry has, with those that there are.
pub fn select_from<'a>(entries: &'a [Entry], only: Option<&str>) -> Result<Vec<&'a Entry>, String> {
    let Some(only) = only else {
        return Ok(entries.iter().collect());
    };
    let find = |name: &str| {
        let found = entries.iter().find(|entry| entry.name == name);
        found.ok_or_else(|| {
            let known: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
            format!(
                "no topology is named `{name}`; there are {}",
                known.join(", ")
            )
        })
    };
    only.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(find)
        .collect()
}
