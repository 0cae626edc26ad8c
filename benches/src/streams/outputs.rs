//! What a run has written, in a form in which two runs can be compared.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use anyhow::{Result, ensure};
use millrace_streams::log::kafka::KafkaLog;
use millrace_streams::log::{Isolation, Log, TopicPartition};

use super::{PARTITIONS, Workload};

/// How often the reader may find nothing before its end.
const PATIENCE: usize = 100;

/// Records of an output: a sum over all of them, or over the last of each key.
#[derive(Debug)]
pub(super) struct Outputs {
    records: u64,
    /// The sum of the hashes of all records; no order among keys is promised.
    sum: u64,
    /// The hash of the last record of each key, where only that one is defined.
    last: Option<HashMap<Vec<u8>, u64>>,
}

impl Outputs {
    /// Every record counts.
    pub(super) fn all() -> Self {
        Self {
            records: 0,
            sum: 0,
            last: None,
        }
    }

    /// The last record of each key counts.
    pub(super) fn last_by_key() -> Self {
        Self {
            last: Some(HashMap::new()),
            ..Self::all()
        }
    }

    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        let mut hasher = DefaultHasher::new();
        (key, value).hash(&mut hasher);
        let hash = hasher.finish();
        self.records += 1;
        self.sum = self.sum.wrapping_add(hash);
        if let Some(last) = &mut self.last
            && let Some(before) = last.insert(key.to_vec(), hash)
        {
            self.sum = self.sum.wrapping_sub(before);
        }
    }

    /// The number of records, those counted that are not the last of their key.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// True if what counts is the same.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        self.counted() == other.counted() && self.sum == other.sum
    }

    fn counted(&self) -> u64 {
        let keys = self.last.as_ref().map(|last| last.len() as u64);
        keys.unwrap_or(self.records)
    }
}

impl fmt::Display for Outputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (counted, sum) = (self.counted(), self.sum);
        write!(f, "{counted} records that count (sum {sum:016x})")
    }
}

/// Reads the committed records of `topic`.
pub(super) fn read(log: &KafkaLog, topic: &str, workload: Workload) -> Result<Outputs> {
    let mut outputs = match workload {
        Workload::Pass | Workload::W1 => Outputs::all(),
        Workload::W2 | Workload::W2Each => Outputs::last_by_key(),
    };
    let mut reader = log.reader(Isolation::ReadCommitted)?;
    let partitions: Vec<_> = (0..PARTITIONS)
        .map(|n| TopicPartition::new(topic, n))
        .collect();
    let begins: Vec<_> = partitions
        .iter()
        .map(|partition| (partition.clone(), 0))
        .collect();
    reader.assign(&begins)?;
    let mut ended = HashMap::new();
    let (mut batches, mut silent) = (Vec::new(), 0);
    while ended.len() < partitions.len() {
        reader.fetch(Duration::from_millis(100), &mut batches)?;
        silent = if batches.is_empty() { silent + 1 } else { 0 };
        ensure!(silent < PATIENCE, "`{topic}` cannot be read to its end");
        for batch in batches.drain(..) {
            for record in batch.iter() {
                outputs.add(
                    record.key.unwrap_or_default(),
                    record.value.unwrap_or_default(),
                );
            }
            if batch.at_end {
                ended.insert(batch.partition.partition, batch.position);
            }
        }
    }
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_keys_does_not_count() {
        let (mut one, mut other) = (Outputs::all(), Outputs::all());
        for (key, value) in [("a", "1"), ("b", "2")] {
            one.add(key.as_bytes(), value.as_bytes());
        }
        for (key, value) in [("b", "2"), ("a", "1")] {
            other.add(key.as_bytes(), value.as_bytes());
        }
        assert!(one.agrees_with(&other));
        other.add(b"b", b"2");
        assert!(!one.agrees_with(&other));
    }

    #[test]
    fn only_the_last_record_of_a_key_counts() {
        let (mut one, mut other) = (Outputs::last_by_key(), Outputs::last_by_key());
        for value in ["1", "2", "3"] {
            one.add(b"a", value.as_bytes());
        }
        other.add(b"a", b"3");
        assert!(one.agrees_with(&other));
        other.add(b"a", b"4");
        assert!(!one.agrees_with(&other));
    }
}
