//! `state dump`: what a store holds, as lines of JSON: the fold of its changelog.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Result, bail};
use millrace_streams::catalog::changelog_topic;
use millrace_streams::log::Isolation;
use millrace_topologies::registry::ENTRIES;

use super::line::Lines;
use super::scan::scan;
use crate::config::Settings;
use crate::ground::Ground;

pub(super) fn dump(
    ground: &Ground,
    settings: &Settings,
    store: &str,
    out: &mut dyn Write,
) -> Result<()> {
    let topic = changelog_of(settings, store)?;
    let lines = Lines::new(&ground.resources)?;
    let mut held = BTreeMap::new();
    scan(
        &*ground.log,
        &topic,
        Isolation::ReadCommitted,
        |partition, record| {
            let key = (partition, record.key.unwrap_or_default().to_vec());
            match record.value {
                Some(_) => held.insert(key, lines.of(partition, record)?),
                None => held.remove(&key),
            };
            Ok(())
        },
    )?;
    for line in held.values() {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// The topic whose fold is `store`.
fn changelog_of(settings: &Settings, store: &str) -> Result<String> {
    let stores = stores(settings)?;
    match stores.get(store) {
        Some(topic) => Ok(topic.clone()),
        None => {
            let known: Vec<&str> = stores.keys().map(String::as_str).collect();
            bail!(
                "no store is named `{store}`; there are {}",
                known.join(", ")
            )
        }
    }
}

/// Every store of the market with the topic that it is a fold of.
fn stores(settings: &Settings) -> Result<BTreeMap<String, String>> {
    let mut stores = BTreeMap::new();
    for (topic, store) in millrace_topologies::views()?.global_tables() {
        stores.insert(store.to_owned(), topic.to_owned());
    }
    for entry in ENTRIES {
        let topology = (entry.define)(&settings.rules())?;
        for name in topology.durable_names(entry.name) {
            if let Some(store) = name.strip_prefix("store ") {
                stores.insert(store.to_owned(), changelog_topic(entry.name, store));
            }
        }
    }
    Ok(stores)
}

#[cfg(test)]
mod tests {
    use millrace_avro::catalog;

    use super::*;
    use crate::config::Options;

    #[test]
    fn every_store_of_the_catalogue_can_be_dumped() {
        let settings = Settings::from_options(Options::default()).unwrap();
        let known = stores(&settings).unwrap();
        for store in catalog::stores() {
            assert!(known.contains_key(store.name), "{}", store.name);
        }
        assert_eq!(known["order-saga"], "orders-order-saga-changelog");
        assert_eq!(known["order-view"], "orders");
    }

    #[test]
    fn an_unknown_store_is_refused_with_those_that_there_are() {
        let settings = Settings::from_options(Options::default()).unwrap();
        let error = changelog_of(&settings, "sagas").unwrap_err().to_string();
        assert!(
            error.starts_with("no store is named `sagas`; there are cart-by-id, "),
            "{error}"
        );
    }
}
