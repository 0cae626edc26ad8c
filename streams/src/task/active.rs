//! A running task.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ProcessError, ProcessResult};
use crate::log::{
    CommittedOffset, Offset, OutputBatch, Position, RawRecord, RecordBatch, TaskId, TopicPartition,
    TopicSlot,
};
use crate::serde::SerdeError;
use crate::task::context::TaskContext;
use crate::task::failure::Failure;
use crate::task::inputs::Inputs;
use crate::task::panic::catch;
use crate::task::stores::TaskStore;
use crate::time::Timestamp;
use crate::topology::{Instance, Source};

/// A task: its operators, their context, and the records that wait.
pub(crate) struct Task {
    cx: TaskContext,
    instance: Instance,
    inputs: Inputs,
    /// The source of each input queue.
    source_of: Vec<usize>,
    /// The latest timestamp that is taken as it is.
    latest: Timestamp,
    /// The queue whose head is being processed: what a panic is about.
    at_hand: Option<usize>,
    /// The record at which an incarnation before has failed, and its fault: it is not tried again.
    set_aside: Option<(Position, ProcessError)>,
    /// Set when that record was met, or where the task begins is not committed yet: nothing is
    /// processed before a commit, so that what comes next may fail without bringing it back.
    commit_first: bool,
    /// True if a punctuation or tick has made output or store writes since the last commit.
    ticked: bool,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({})", self.cx.id)
    }
}

impl Task {
    /// A task whose stores are restored; `inputs` begin at the committed offsets.
    pub(crate) fn new(cx: TaskContext, instance: Instance, inputs: Inputs) -> Self {
        let source = |topic: &Arc<str>| {
            let found = instance.sources.iter().position(|(name, _)| name == topic);
            // Inputs are made from the sources' topics, so each is found.
            found.unwrap_or_default()
        };
        let source_of = inputs.topics().map(source).collect();
        let wall_clock = cx.wall_clock();
        let mut cx = cx;
        cx.partitions = inputs.offsets().map(|(read, _)| read.clone()).collect();
        let mut task = Self {
            cx,
            instance,
            inputs,
            source_of,
            latest: wall_clock,
            at_hand: None,
            set_aside: None,
            commit_first: false,
            ticked: false,
        };
        task.set_wall_clock(wall_clock);
        task
    }

    fn set_wall_clock(&mut self, at: Timestamp) {
        self.cx.set_wall_clock(at);
        self.latest = self.cx.handling.timestamps.latest(self.cx.wall_clock());
        self.inputs.set_latest(self.latest);
    }

    /// Does not try this record again: an incarnation before has failed at it.
    pub(crate) fn set_aside(&mut self, record: Position, fault: ProcessError) {
        self.set_aside = Some((record, fault));
    }

    /// Commits where the task begins before it processes anything: a begin at the end of a partition
    /// would be looked up again after a failure, and what came in between skipped.
    pub(crate) fn commit_begin(&mut self) {
        self.inputs.mark_uncommitted();
        self.commit_first = true;
    }

    /// True if nothing is processed before a commit.
    pub(crate) fn commits_first(&self) -> bool {
        self.commit_first
    }

    /// Drops what is not committed and goes on with new operators, at the stream time of the last
    /// commit; for those who keep a task over a failure.
    pub(crate) fn begin_again(&mut self, instance: Instance, stream_time: Timestamp) {
        self.cx.stores.iter_mut().for_each(TaskStore::discard);
        self.cx.begin_again(stream_time);
        self.instance = instance;
        self.ticked = false;
    }

    pub(crate) fn id(&self) -> TaskId {
        self.cx.id
    }

    pub(crate) fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    pub(crate) fn inputs_mut(&mut self) -> &mut Inputs {
        &mut self.inputs
    }

    pub(crate) fn stores(&self) -> &[TaskStore] {
        &self.cx.stores
    }

    pub(crate) fn stores_mut(&mut self) -> &mut [TaskStore] {
        &mut self.cx.stores
    }

    pub(crate) fn context(&self) -> &TaskContext {
        &self.cx
    }

    /// Takes the stores out; the task is at its end.
    pub(crate) fn into_stores(self) -> Vec<TaskStore> {
        self.cx.stores
    }

    /// Calls every operator's `init`; once, before the first record.
    pub(crate) fn init(&mut self, outputs: &mut OutputBatch) -> Result<(), Error> {
        self.with_outputs(outputs, |task| task.each_hook(|hooks, cx| hooks.init(cx)))
    }

    /// Processes up to `limit` records; answers how many. Batches that are used up go to `used`.
    pub(crate) fn process(
        &mut self,
        limit: usize,
        outputs: &mut OutputBatch,
        used: &mut Vec<RecordBatch>,
    ) -> Result<usize, Error> {
        self.with_outputs(outputs, |task| {
            for done in 0..limit {
                let next = task.inputs.next_queue();
                let Some(queue) = next.filter(|_| !task.commit_first) else {
                    return Ok(done);
                };
                task.at_hand = Some(queue);
                let processed = task.process_head(queue);
                task.at_hand = None;
                processed?;
                used.extend(task.inputs.advance(queue));
                task.punctuate_by_stream_time()?;
            }
            Ok(limit)
        })
    }

    fn process_head(&mut self, queue: usize) -> Result<(), Error> {
        let Some((partition, record)) = self.inputs.head(queue) else {
            return Ok(());
        };
        let source = self
            .source_of
            .get(queue)
            .and_then(|at| self.instance.sources.get_mut(*at));
        let Some((_, source)) = source else {
            return Ok(());
        };
        let is_here = |(at, _): &mut (Position, ProcessError)| {
            at.offset == record.offset && at.partition == *partition
        };
        self.cx.begin();
        self.cx.origin = Some((queue, record.offset));
        let processed = match self.set_aside.take_if(is_here) {
            None => run(&mut **source, &mut self.cx, record, self.latest),
            Some((_, fault)) => {
                self.commit_first = true;
                Err(fault)
            }
        };
        let Err(error) = processed else {
            self.cx.handle_outputs(partition, record, None);
            return Ok(());
        };
        if let ProcessError::Input(SerdeError::UnknownType { .. }) = error {
            metrics::counter!("dropped_records_total", "reason" => "unknown type").increment(1);
            return Ok(());
        }
        let failure = Failure {
            partition,
            record,
            update: None,
            output: None,
            error: &error,
        };
        // A record that has left something is taken back as a whole first: it fails here, and is
        // handled when it is met again.
        if !self.cx.has_written() && self.cx.handle(&failure) {
            return Ok(());
        }
        Err(Error::Process {
            task: self.cx.id,
            topic: partition.topic.clone(),
            partition: partition.partition,
            offset: record.offset,
            source: error,
        })
    }

    fn punctuate_by_stream_time(&mut self) -> Result<(), Error> {
        let now = self.cx.stream_time();
        while let Some(due) = self.cx.by_stream_time.take_due(now) {
            self.punctuate(due.hook, due.id, now)?;
        }
        Ok(())
    }

    /// Delivers the wall clock: scheduled punctuations, and the ticks of operators with deadlines.
    pub(crate) fn tick(&mut self, at: Timestamp, outputs: &mut OutputBatch) -> Result<(), Error> {
        self.set_wall_clock(at);
        let at = self.cx.wall_clock();
        self.with_outputs(outputs, |task| {
            while let Some(due) = task.cx.by_wall_clock.take_due(at) {
                task.punctuate(due.hook, due.id, at)?;
            }
            task.cx.begin_tick(at);
            let before = task.cx.outputs.len();
            task.each_hook(|hooks, cx| hooks.tick(cx, at))?;
            task.cx.handle_outputs_of_time();
            task.ticked |= task.cx.outputs.len() > before;
            Ok(())
        })
    }

    fn punctuate(
        &mut self,
        hook: usize,
        id: crate::task::PunctuationId,
        at: Timestamp,
    ) -> Result<(), Error> {
        self.cx.begin_tick(at);
        self.ticked = true;
        let Some(hooks) = self.instance.hooks.get(hook) else {
            return Ok(());
        };
        let punctuated = hooks.borrow_mut().punctuate(&mut self.cx, id, at);
        self.cx.handle_outputs_of_time();
        punctuated.map_err(|source| self.failed(source))
    }

    /// True if there is something to commit.
    pub(crate) fn is_dirty(&self) -> bool {
        self.ticked || self.inputs.is_dirty() || self.buffered_bytes() > 0
    }

    /// The bytes that wait in the stores' buffers.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.cx.stores.iter().map(TaskStore::buffered_bytes).sum()
    }

    /// Forwards what tables hold back, and writes the changelogs: afterwards the output is all that
    /// belongs to the commit.
    pub(crate) fn prepare_commit(&mut self, outputs: &mut OutputBatch) -> Result<(), Error> {
        self.with_outputs(outputs, |task| {
            task.cx.begin_flush();
            task.each_hook(|hooks, cx| hooks.flush(cx))?;
            let now = task.cx.stream_time();
            for store in &task.cx.stores {
                store
                    .log_changes(&mut task.cx.outputs, now)
                    .map_err(|e| task.failed(e))?;
            }
            Ok(())
        })
    }

    /// The offsets to commit, with the stream time beside each: of every input, also where none has
    /// moved. The log checks with them that the task is still this member's, and a commit that is
    /// due to a punctuation alone must not escape that.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = (TopicPartition, CommittedOffset)> {
        let metadata = encode_stream_time(self.cx.stream_time());
        let dirty = self.is_dirty();
        let offsets = self.inputs.offsets().filter(move |_| dirty);
        offsets.map(move |(partition, offset)| {
            let metadata = metadata.clone();
            (partition.clone(), CommittedOffset { offset, metadata })
        })
    }

    /// The commit has succeeded.
    pub(crate) fn committed(
        &mut self,
        last_offsets: &[(TopicSlot, i32, Offset)],
    ) -> Result<(), Error> {
        self.inputs.mark_committed();
        self.ticked = false;
        self.commit_first = false;
        for index in 0..self.cx.stores.len() {
            let Some(store) = self.cx.stores.get_mut(index) else {
                break;
            };
            if let Err(error) = store.commit(last_offsets) {
                return Err(self.failed(error));
            }
        }
        Ok(())
    }

    fn each_hook(
        &mut self,
        mut call: impl FnMut(
            &mut dyn crate::topology::Hooks,
            &mut TaskContext,
        ) -> Result<(), ProcessError>,
    ) -> Result<(), Error> {
        for index in 0..self.instance.hooks.len() {
            let Some(hooks) = self.instance.hooks.get(index) else {
                break;
            };
            self.cx.hook = index;
            let called = call(&mut *hooks.borrow_mut(), &mut self.cx);
            called.map_err(|source| self.failed(source))?;
        }
        Ok(())
    }

    /// Lends the stream thread's output to the operators for the time of `run`. All code of the
    /// topology is called in here; when it panics, the task must not go on.
    fn with_outputs<R>(
        &mut self,
        outputs: &mut OutputBatch,
        run: impl FnOnce(&mut Self) -> Result<R, Error>,
    ) -> Result<R, Error> {
        std::mem::swap(&mut self.cx.outputs, outputs);
        let result = catch(|| run(self));
        std::mem::swap(&mut self.cx.outputs, outputs);
        result.unwrap_or_else(|message| Err(self.panicked(message)))
    }

    fn panicked(&mut self, message: String) -> Error {
        let head = self
            .at_hand
            .take()
            .and_then(|queue| self.inputs.head(queue));
        let record = head.map(|(partition, record)| Position {
            partition: partition.clone(),
            offset: record.offset,
        });
        Error::Panicked {
            task: self.cx.id,
            record,
            message,
        }
    }

    /// A failure outside of a record.
    fn failed(&self, source: ProcessError) -> Error {
        Error::Task {
            task: self.cx.id,
            source,
        }
    }
}

/// Runs one record through the operators, at the time that the timestamp policy gives it; `latest`
/// is the latest that the wall clock allows.
fn run(
    source: &mut dyn Source,
    cx: &mut TaskContext,
    record: RawRecord<'_>,
    latest: Timestamp,
) -> ProcessResult {
    let (stream_time, now) = (cx.stream_time(), cx.wall_clock());
    let mut record = record;
    if !(Timestamp::from_millis(0)..=latest.max(stream_time)).contains(&record.timestamp) {
        record.timestamp = cx.handling.timestamps.correct(record.timestamp, now)?;
        record.timestamp = record.timestamp.max(stream_time);
    }
    source.process(cx, record)
}

/// The stream time as it stands beside a committed offset.
fn encode_stream_time(stream_time: Timestamp) -> String {
    format!("stream-time={stream_time}")
}

/// The stream time that [`encode_stream_time`] has written; unknown for anything else.
pub(crate) fn decode_stream_time(metadata: &str) -> Timestamp {
    let ms = metadata
        .strip_prefix("stream-time=")
        .and_then(|ms| ms.parse().ok());
    ms.map_or(Timestamp::UNKNOWN, Timestamp::from_millis)
}
