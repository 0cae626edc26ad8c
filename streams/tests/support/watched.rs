//! A log that somebody watches, or has a hand in.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use millrace_streams::log::{
    Assignment, Bounds, CommitError, Committed, CommittedOffset, HeldTasks, Isolation, Log,
    LogError, Member, Offset, OutputBatch, Reader, RecordBatch, Seat, TopicInfo, TopicPartition,
    TopicSpec, Writer,
};

/// What is told of the members of a group, and what is asked before they go on.
pub(crate) trait Watch: fmt::Debug + Send + Sync {
    /// A member takes its seat.
    fn joins(&self) -> Result<(), LogError> {
        Ok(())
    }

    /// A member asks for its assignment; `false`: there is none yet.
    fn asks(&self) -> bool {
        true
    }

    /// True if the log does not answer about the partition.
    fn withholds(&self, _partition: &TopicPartition) -> bool {
        false
    }

    /// A member is about to fetch from these partitions.
    fn fetches(&self, _partitions: &[TopicPartition]) -> Result<(), LogError> {
        Ok(())
    }

    fn fetched(&self, _batches: &[RecordBatch]) {}

    fn recycled(&self, _batch: &RecordBatch) {}

    fn paused(&self, _partitions: &[TopicPartition]) {}

    fn resumed(&self, _partitions: &[TopicPartition]) {}

    fn committed(&self) {}
}

#[derive(Debug)]
pub(crate) struct Watched {
    log: Arc<dyn Log>,
    watch: Arc<dyn Watch>,
}

struct WatchedMember {
    member: Box<dyn Member>,
    watch: Arc<dyn Watch>,
    assigned: Vec<TopicPartition>,
    withheld: Vec<TopicPartition>,
}

pub(crate) fn watched(log: Arc<dyn Log>, watch: Arc<dyn Watch>) -> Arc<Watched> {
    Arc::new(Watched { log, watch })
}

impl WatchedMember {
    /// Holds back what is to be held back now, and lets go of the rest.
    fn withhold(&mut self) -> Result<(), LogError> {
        let assigned = self.assigned.iter();
        let now: Vec<_> = assigned
            .filter(|partition| self.watch.withholds(partition))
            .cloned()
            .collect();
        let released: Vec<_> = std::mem::take(&mut self.withheld)
            .into_iter()
            .filter(|partition| !now.contains(partition))
            .collect();
        self.member.pause(&now)?;
        self.withheld = now;
        self.member.resume(&released)
    }
}

impl Log for Watched {
    fn create_topics(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        self.log.create_topics(topics)
    }

    fn delete_topics(&self, topics: &[&str]) -> Result<(), LogError> {
        self.log.delete_topics(topics)
    }

    fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        self.log.topics()
    }

    fn join(&self, seat: Seat) -> Result<Box<dyn Member>, LogError> {
        self.watch.joins()?;
        Ok(Box::new(WatchedMember {
            member: self.log.join(seat)?,
            watch: self.watch.clone(),
            assigned: Vec::new(),
            withheld: Vec::new(),
        }))
    }

    fn reader(&self, isolation: Isolation) -> Result<Box<dyn Reader>, LogError> {
        self.log.reader(isolation)
    }

    fn writer(&self, name: &str) -> Result<Arc<dyn Writer>, LogError> {
        self.log.writer(name)
    }

    fn committed(
        &self,
        application: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        self.log.committed(application, partitions)
    }
}

impl Member for WatchedMember {
    fn poll_assignment(&mut self) -> Result<Option<Assignment>, LogError> {
        if self.watch.asks() {
            self.member.poll_assignment()
        } else {
            Ok(None)
        }
    }

    fn confirm(&mut self, held: &HeldTasks) -> Result<(), LogError> {
        self.member.confirm(held)
    }

    fn committed(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        self.member.committed(partitions)
    }

    fn poll_committed(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Option<Vec<Option<CommittedOffset>>>, LogError> {
        self.member.poll_committed(partitions)
    }

    fn bounds(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Bounds>, LogError> {
        self.member.bounds(partitions)
    }

    fn poll_bounds(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Option<Vec<Bounds>>, LogError> {
        self.member.poll_bounds(partitions)
    }

    fn assign(&mut self, partitions: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.member.assign(partitions)?;
        let assigned = partitions.iter().map(|(partition, _)| partition.clone());
        self.assigned = assigned.collect();
        self.withheld.clear();
        self.withhold()
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.watch.paused(partitions);
        self.member.pause(partitions)
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.watch.resumed(partitions);
        self.member.resume(partitions)
    }

    fn fetch(&mut self, max_wait: Duration, into: &mut Vec<RecordBatch>) -> Result<(), LogError> {
        self.withhold()?;
        self.watch.fetches(&self.assigned)?;
        self.member.fetch(max_wait, into)?;
        self.watch.fetched(into);
        Ok(())
    }

    fn recycle(&mut self, batch: RecordBatch) {
        self.watch.recycled(&batch);
        self.member.recycle(batch);
    }

    fn send(&mut self, outputs: &mut OutputBatch) -> Result<(), LogError> {
        self.member.send(outputs)
    }

    fn commit(
        &mut self,
        offsets: &[(TopicPartition, CommittedOffset)],
    ) -> Result<Committed, CommitError> {
        let committed = self.member.commit(offsets)?;
        self.watch.committed();
        Ok(committed)
    }

    fn recover(&mut self) -> Result<(), LogError> {
        self.member.recover()
    }

    fn rejoin(&mut self) -> Result<(), LogError> {
        self.member.rejoin()
    }

    fn leave(&mut self) -> Result<(), LogError> {
        self.member.leave()
    }
}
