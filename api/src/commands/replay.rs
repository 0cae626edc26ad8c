//! `replay`: puts dead letters back to where they came from, exactly once.
//!
//! Each goes to the topic and partition that it came from, with its key, value, timestamp and own
//! headers; what was said about its fault goes, and `__replay.topic`, `__replay.partition` and
//! `__replay.offset` say where it lay. The group `<topic>-replay` remembers how far it has come, in
//! the same transactions: an interrupted run goes on, and a second run puts nothing back twice.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use millrace_streams::headers::{HeaderList, Headers};
use millrace_streams::log::{
    CommittedOffset, Log, Member, OutputBatch, OutputRecord, RawRecord, RecordBatch,
    SubtopologyMetadata, TopicPartition, TopologyMetadata,
};

use super::alone;
use super::scan::partitions;
use crate::serve::Ground;

/// What the headers about a fault begin with.
const FAULT: &str = "__streams.errors.";
/// How long one fetch waits.
const MAX_WAIT: Duration = Duration::from_millis(200);
/// How many fetches in a row may bring nothing: a minute.
const SILENT_FETCHES_MAX: u32 = 300;

pub(super) fn replay(
    ground: &Ground,
    topic: &str,
    dry_run: bool,
    out: &mut dyn Write,
) -> Result<()> {
    let log = &*ground.log;
    let count = partitions(log, topic)?;
    let mut member = alone::join(log, &format!("{topic}-replay"), source(topic))?;
    let all = (0..count).map(|partition| TopicPartition::new(topic, partition));
    let mut run = Run::begin(log, member.as_mut(), all.collect(), dry_run)?;
    let ended = run.put_all_back(out);
    let (back, left) = (run.back, run.left);
    member.leave()?;
    ended?;
    let verb = if dry_run {
        "would be put back"
    } else {
        "put back"
    };
    writeln!(out, "{back} {verb}, {left} left as they are")?;
    Ok(())
}

/// One source and no store: as many tasks as the topic has partitions.
fn source(topic: &str) -> TopologyMetadata {
    TopologyMetadata {
        subtopologies: vec![SubtopologyMetadata {
            sources: vec![topic.into()],
            ..SubtopologyMetadata::default()
        }],
    }
}

struct Run<'a> {
    member: &'a mut dyn Member,
    /// How many partitions each topic has.
    widths: HashMap<Arc<str>, i32>,
    /// Where each partition is read on, and where it ends.
    places: HashMap<TopicPartition, (i64, i64)>,
    dry_run: bool,
    /// How many letters went back.
    back: u64,
    /// How many records are no letters, or have nowhere to go.
    left: u64,
}

impl<'a> Run<'a> {
    fn begin(
        log: &dyn Log,
        member: &'a mut dyn Member,
        all: Vec<TopicPartition>,
        dry_run: bool,
    ) -> Result<Self> {
        member.recover()?;
        let committed = member.committed(&all)?;
        let bounds = member.bounds(&all)?;
        let places = all.into_iter().zip(committed.into_iter().zip(bounds));
        let places: HashMap<_, _> = places
            .map(|(partition, (committed, bounds))| {
                let position = committed.map_or(bounds.start, |known| known.offset);
                (partition, (position.max(bounds.start), bounds.end))
            })
            .collect();
        let begin: Vec<_> = places.iter().map(|(p, (at, _))| (p.clone(), *at)).collect();
        member.assign(&begin)?;
        let topics = log.topics()?.into_iter();
        Ok(Self {
            member,
            widths: topics.map(|info| (info.name, info.partitions)).collect(),
            places,
            dry_run,
            back: 0,
            left: 0,
        })
    }

    fn put_all_back(&mut self, out: &mut dyn Write) -> Result<()> {
        let (mut batches, mut silent) = (Vec::new(), 0);
        while self.places.values().any(|(at, end)| at < end) {
            self.member.fetch(MAX_WAIT, &mut batches)?;
            silent = if batches.is_empty() { silent + 1 } else { 0 };
            if silent >= SILENT_FETCHES_MAX {
                bail!("the log does not answer; run it again to go on");
            }
            for batch in batches.drain(..) {
                self.put_back(&batch, out)?;
            }
        }
        Ok(())
    }

    /// One batch, one transaction.
    fn put_back(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        let Some((at, end)) = self.places.get_mut(&batch.partition) else {
            return Ok(());
        };
        let upto = batch.position.min(*end);
        *at = batch.position.max(*at);
        let mut outputs = OutputBatch::new();
        for record in batch.iter().filter(|record| record.offset < upto) {
            match self.target(record.headers) {
                Some((topic, partition)) => {
                    let from = format!("{} {}", batch.partition, record.offset);
                    writeln!(out, "{from} -> {topic}-{partition}")?;
                    push(&mut outputs, &topic, partition, &batch.partition, record);
                    self.back += 1;
                }
                None => self.left += 1,
            }
        }
        if self.dry_run {
            return Ok(());
        }
        if !outputs.is_empty() {
            self.member.send(&mut outputs)?;
        }
        let offset = CommittedOffset {
            offset: upto,
            metadata: String::new(),
        };
        let committed = self.member.commit(&[(batch.partition.clone(), offset)]);
        committed.context("run it again to go on")?;
        Ok(())
    }

    /// Where a letter came from, if that still exists.
    fn target(&self, headers: Headers<'_>) -> Option<(Arc<str>, i32)> {
        let topic = headers.text(&format!("{FAULT}topic"))?;
        let partition: i32 = headers.text(&format!("{FAULT}partition"))?.parse().ok()?;
        let (topic, width) = self.widths.get_key_value(topic)?;
        (0..*width)
            .contains(&partition)
            .then(|| (topic.clone(), partition))
    }
}

fn push(
    outputs: &mut OutputBatch,
    topic: &str,
    partition: i32,
    from: &TopicPartition,
    record: RawRecord<'_>,
) {
    let mut headers = HeaderList::new();
    for (name, value) in record
        .headers
        .iter()
        .filter(|(name, _)| !name.starts_with(FAULT))
    {
        headers.push(name, value);
    }
    headers.set("__replay.topic", from.topic.as_bytes());
    headers.set("__replay.partition", from.partition.to_string().as_bytes());
    headers.set("__replay.offset", record.offset.to_string().as_bytes());
    let topic = outputs.slot(topic);
    outputs.push(OutputRecord {
        topic,
        partition,
        timestamp: record.timestamp,
        headers: headers.view(),
        key: record.key,
        value: record.value,
    });
}
