//! How records that lie in a topic come into a store: in its stored form, each with its timestamp.

use millrace_state::Store;

use super::TIMESTAMP_BYTES;
use crate::error::Error;
use crate::log::{RawRecord, RecordBatch};

/// Writes a changelog's records into a store's committed state.
pub(crate) fn restore_batch(store: &mut Store, batch: &RecordBatch) -> Result<(), Error> {
    restore_where(store, batch, |_| Ok(true))
}

/// As [`restore_batch`], without the records that `takes` refuses.
pub(crate) fn restore_where(
    store: &mut Store,
    batch: &RecordBatch,
    mut takes: impl FnMut(RawRecord<'_>) -> Result<bool, Error>,
) -> Result<(), Error> {
    // The stored form has the record's timestamp in front of the value: built end to end first, so
    // that the store can borrow it.
    let mut stored = Vec::with_capacity(batch.bytes() + batch.len() * TIMESTAMP_BYTES);
    let mut spans = Vec::with_capacity(batch.len());
    for record in batch.iter() {
        let Some(key) = record.key else { continue };
        if !takes(record)? {
            continue;
        }
        let start = stored.len();
        if let Some(value) = record.value {
            stored.extend_from_slice(&record.timestamp.as_millis().to_be_bytes());
            stored.extend_from_slice(value);
        }
        spans.push((key, record.value.map(|_| start..stored.len())));
    }
    let pairs = spans
        .into_iter()
        .map(|(key, span)| (key, span.and_then(|span| stored.get(span))));
    store.restore(pairs, batch.position)?;
    Ok(())
}
