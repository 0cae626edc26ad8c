//! `replay`: puts dead letters back to where they came from, exactly once.
//!
//! Each goes to the topic and partition that it came from, with its key, value, timestamp and own
//! headers; what was said about its fault goes, and `__replay.topic`, `__replay.partition` and
//! `__replay.offset` say where it lay. The group `<topic>-replay` remembers how far it has come, in
//! the same transactions: an interrupted run goes on, and a second run puts nothing back twice.
//!
//! A letter that is not about a whole record is left as it is: an update of a table, or an output
//! whose record was processed all the same. So is one from a topic that only its application may
//! write to. Why is printed for each.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use millrace_streams::catalog::{is_dead_letter_topic, is_internal_topic};
use millrace_streams::headers::{HeaderList, Headers};
use millrace_streams::log::{
    CommittedOffset, Log, Member, OutputBatch, OutputRecord, RawRecord, RecordBatch,
    SubtopologyMetadata, TopicPartition, TopologyMetadata,
};

use super::alone;
use super::scan::partitions;
use crate::ground::Ground;

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
    if !is_dead_letter_topic(topic) {
        bail!("`{topic}` takes no dead letters; name a topic such as `orders-dead-letter`");
    }
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
            let from = format!("{} {}", batch.partition, record.offset);
            match self.target(record.headers) {
                Ok((topic, partition)) => {
                    writeln!(out, "{from} -> {topic}-{partition}")?;
                    push(&mut outputs, &topic, partition, &batch.partition, record);
                    self.back += 1;
                }
                Err(reason) => {
                    writeln!(out, "{from} stays: {reason}")?;
                    self.left += 1;
                }
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

    /// Where a letter goes back to, or why it stays.
    fn target(&self, headers: Headers<'_>) -> Result<(Arc<str>, i32), String> {
        let says = |name: &str| headers.text(&format!("{FAULT}{name}"));
        let number = |name: &str| says(name).and_then(|text| text.parse::<i64>().ok());
        let topic = says("topic").ok_or("it is no dead letter")?;
        if let Some(store) = says("update") {
            return Err(format!("it is an update of store `{store}`, not a record"));
        }
        if let Some(output) = says("output") {
            return Err(format!("only an output to `{output}` is missing"));
        }
        if is_internal_topic(topic) {
            return Err(format!("only its application writes to `{topic}`"));
        }
        if number("offset").is_none_or(|offset| offset < 0) {
            return Err("it is about no record of a topic".into());
        }
        let gone = || format!("`{topic}` or its partition does not exist any more");
        let (topic, width) = self.widths.get_key_value(topic).ok_or_else(gone)?;
        let partition = number("partition").and_then(|n| i32::try_from(n).ok());
        let partition = partition.filter(|partition| (0..*width).contains(partition));
        Ok((topic.clone(), partition.ok_or_else(gone)?))
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
