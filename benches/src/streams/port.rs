//! The log port without an engine: what is fetched is sent on and committed, record by record the
//! same bytes. An engine over this port that writes as much is not faster.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use millrace_streams::log::{
    CommittedOffset, HeldTasks, Log, Member, Offset, OffsetReset, OutputBatch, OutputRecord,
    RecordBatch, Seat, SubtopologyMetadata, TopicPartition, TopicSlot, TopologyMetadata,
};

use super::client::{Job, Pass, ends, pass};
use super::{Measured, connect, topologies};
use crate::clock;

/// As the engine commits.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
/// As the engine hands its output over.
const SEND_BYTES: usize = 64 << 10;

/// Passes the input of `job` on to its output.
pub(super) fn run(job: &Job) -> Result<Measured> {
    let log = connect(&job.bootstrap)?;
    let ends = ends(&log, &job.input)?;
    let began = clock::now();
    let mut member = log.join(seat(job))?;
    take_all_tasks(&mut *member, ends.len())?;
    let begins: Vec<_> = ends
        .iter()
        .map(|(partition, _)| (partition.clone(), 0))
        .collect();
    member.assign(&begins)?;
    let mut passing = Passing::new(member, &job.output);
    let measured = pass(&mut passing, &ends, began)?;
    passing.member.leave()?;
    Ok(measured)
}

fn seat(job: &Job) -> Seat {
    let source = SubtopologyMetadata {
        sources: vec![job.input.as_str().into()],
        ..SubtopologyMetadata::default()
    };
    Seat {
        application: job.application.as_str().into(),
        process_id: job.application.clone(),
        member_id: format!("{}-0", job.application),
        endpoint: None,
        topology: Arc::new(TopologyMetadata {
            subtopologies: vec![source],
        }),
        offset_reset: OffsetReset::Earliest,
        fetch_bytes_max: 16 << 20,
        transaction_timeout: Duration::from_secs(10),
    }
}

fn take_all_tasks(member: &mut dyn Member, partitions: usize) -> Result<()> {
    let began = clock::now();
    loop {
        if let Some(assignment) = member.poll_assignment()? {
            let active = assignment.active;
            let all = active.len() == partitions;
            member.confirm(&HeldTasks {
                active,
                standby: Vec::new(),
            })?;
            if all {
                return Ok(());
            }
        }
        ensure!(
            began.elapsed() < Duration::from_secs(60),
            "the group gives no tasks"
        );
        clock::pause(Duration::from_millis(1));
    }
}

struct Passing {
    member: Box<dyn Member>,
    outputs: OutputBatch,
    slot: TopicSlot,
    fetched: Vec<RecordBatch>,
    positions: HashMap<TopicPartition, Offset>,
    committed_at: Instant,
}

impl Passing {
    fn new(member: Box<dyn Member>, output: &str) -> Self {
        let mut outputs = OutputBatch::new();
        Self {
            member,
            slot: outputs.slot(output),
            outputs,
            fetched: Vec::new(),
            positions: HashMap::new(),
            committed_at: clock::now(),
        }
    }
}

impl Pass for Passing {
    fn step(&mut self) -> Result<()> {
        self.member
            .fetch(Duration::from_millis(20), &mut self.fetched)?;
        for batch in self.fetched.drain(..) {
            if !batch.is_empty() {
                topologies::note(batch.len() as u64);
            }
            for record in batch.iter() {
                self.outputs.push(OutputRecord {
                    topic: self.slot,
                    partition: batch.partition.partition,
                    timestamp: record.timestamp,
                    headers: record.headers,
                    key: record.key,
                    value: record.value,
                });
                if self.outputs.bytes() >= SEND_BYTES {
                    self.member.send(&mut self.outputs)?;
                }
            }
            self.positions
                .insert(batch.partition.clone(), batch.position);
            self.member.recycle(batch);
        }
        if self.committed_at.elapsed() >= COMMIT_INTERVAL {
            self.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        self.member.send(&mut self.outputs)?;
        let offset = |(partition, offset): (&TopicPartition, &Offset)| {
            let committed = CommittedOffset {
                offset: *offset,
                metadata: String::new(),
            };
            (partition.clone(), committed)
        };
        let offsets: Vec<_> = self.positions.iter().map(offset).collect();
        self.member.commit(&offsets).context("the commit failed")?;
        self.committed_at = clock::now();
        Ok(())
    }

    fn has_reached(&self, ends: &[(TopicPartition, Offset)]) -> bool {
        ends.iter().all(|(partition, end)| {
            self.positions
                .get(partition)
                .is_some_and(|position| position >= end)
        })
    }
}
