//! Reads a topic from its first record to its end, partition by partition.

use std::time::Duration;

use anyhow::{Context as _, Result};
use millrace_streams::log::{Isolation, Log, RawRecord, Reader, TopicPartition};

/// How long one fetch waits.
const MAX_WAIT: Duration = Duration::from_millis(200);
/// How many fetches in a row may bring nothing before the log is held to be away: a minute.
const SILENT_FETCHES_MAX: u32 = 300;

/// Tells `each` every record of `topic` that there is now, with its partition.
pub(super) fn scan(
    log: &dyn Log,
    topic: &str,
    isolation: Isolation,
    mut each: impl FnMut(i32, RawRecord<'_>) -> Result<()>,
) -> Result<()> {
    let mut reader = log.reader(isolation)?;
    for partition in 0..partitions(log, topic)? {
        let partition = TopicPartition::new(topic, partition);
        scan_partition(reader.as_mut(), &partition, &mut each)?;
    }
    Ok(())
}

/// How many partitions `topic` has.
pub(super) fn partitions(log: &dyn Log, topic: &str) -> Result<i32> {
    let topics = log.topics()?;
    let found = topics.iter().find(|info| &*info.name == topic);
    let missing = || format!("no topic is named `{topic}`; `millrace topics` lists the catalogue");
    Ok(found.with_context(missing)?.partitions)
}

fn scan_partition(
    reader: &mut dyn Reader,
    partition: &TopicPartition,
    each: &mut impl FnMut(i32, RawRecord<'_>) -> Result<()>,
) -> Result<()> {
    let bounds = reader.bounds(std::slice::from_ref(partition))?;
    let bounds = bounds.first().context("a partition has bounds")?;
    let (mut position, end) = (bounds.start, bounds.end);
    reader.assign(&[(partition.clone(), position)])?;
    let (mut batches, mut silent) = (Vec::new(), 0);
    while position < end {
        reader.fetch(MAX_WAIT, &mut batches)?;
        silent = if batches.is_empty() { silent + 1 } else { 0 };
        anyhow::ensure!(silent < SILENT_FETCHES_MAX, "`{partition}` does not answer");
        for batch in batches.drain(..) {
            for record in batch.iter().filter(|record| record.offset < end) {
                each(partition.partition, record)?;
            }
            position = batch.position.max(position);
        }
    }
    Ok(())
}
