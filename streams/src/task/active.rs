//! A running task.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ProcessError};
use crate::log::{
    CommittedOffset, Offset, OutputBatch, RecordBatch, TaskId, TopicPartition, TopicSlot,
};
use crate::serde::SerdeError;
use crate::task::context::TaskContext;
use crate::task::dead_letter::{DeadLetters, ErrorHandling, OnError};
use crate::task::inputs::Inputs;
use crate::task::stores::TaskStore;
use crate::time::Timestamp;
use crate::topology::Instance;

/// A task: its operators, their context, and the records that wait.
pub(crate) struct Task {
    cx: TaskContext,
    instance: Instance,
    inputs: Inputs,
    /// The source of each input queue.
    source_of: Vec<usize>,
    errors: ErrorHandling,
    dead_letters: Option<DeadLetters>,
    /// Counts what the log does not tell: records that were skipped.
    skipped: u64,
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
    pub(crate) fn new(
        cx: TaskContext,
        instance: Instance,
        inputs: Inputs,
        errors: ErrorHandling,
        dead_letters: Option<DeadLetters>,
    ) -> Self {
        let source = |topic: &Arc<str>| {
            let found = instance.sources.iter().position(|(name, _)| name == topic);
            // Inputs are made from the sources' topics, so each is found.
            found.unwrap_or_default()
        };
        let source_of = inputs.topics().map(source).collect();
        let (skipped, ticked) = (0, false);
        Self {
            cx,
            instance,
            inputs,
            source_of,
            errors,
            dead_letters,
            skipped,
            ticked,
        }
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

    pub(crate) fn context_mut(&mut self) -> &mut TaskContext {
        &mut self.cx
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
                let Some(queue) = task.inputs.next_queue() else {
                    return Ok(done);
                };
                task.process_head(queue)?;
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
        let processed = if record.timestamp < Timestamp::from_millis(0) {
            let reason = format!("timestamp {}", record.timestamp);
            Err(ProcessError::Input(SerdeError::Malformed {
                what: "record",
                reason,
            }))
        } else {
            self.cx.begin_record(record.timestamp);
            source.process(&mut self.cx, record)
        };
        let Err(error) = processed else { return Ok(()) };
        if let ProcessError::Input(SerdeError::UnknownType { .. }) = error {
            self.skipped += 1;
            metrics::counter!("dropped_records_total", "reason" => "unknown type").increment(1);
            return Ok(());
        }
        let handling = if error.is_records_fault() {
            self.errors.for_error(&error)
        } else {
            OnError::Fail
        };
        match (handling, self.dead_letters) {
            (OnError::DeadLetter, Some(dead_letters)) => {
                tracing::warn!(%error, %partition, offset = record.offset, "record set aside");
                let topic = partition.topic.clone();
                metrics::counter!("dead_letter_records_total", "topic" => topic).increment(1);
                dead_letters.write(&mut self.cx.outputs, partition, record, &error);
                Ok(())
            }
            (OnError::Continue, _) => {
                tracing::warn!(%error, %partition, offset = record.offset, "record skipped");
                self.skipped += 1;
                metrics::counter!("dropped_records_total", "reason" => error.kind()).increment(1);
                Ok(())
            }
            (OnError::Fail | OnError::DeadLetter, _) => Err(Error::Process {
                task: self.cx.id,
                topic: partition.topic.clone(),
                partition: partition.partition,
                offset: record.offset,
                source: error,
            }),
        }
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
        self.cx.set_wall_clock(at);
        let at = self.cx.wall_clock();
        self.with_outputs(outputs, |task| {
            while let Some(due) = task.cx.by_wall_clock.take_due(at) {
                task.punctuate(due.hook, due.id, at)?;
            }
            task.cx.begin_tick(at);
            let before = task.cx.outputs.len();
            task.each_hook(|hooks, cx| hooks.tick(cx, at))?;
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

    /// The offsets to commit, with the stream time beside each.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = (TopicPartition, CommittedOffset)> {
        let metadata = encode_stream_time(self.cx.stream_time());
        self.inputs.dirty_offsets().map(move |(partition, offset)| {
            (
                partition.clone(),
                CommittedOffset {
                    offset,
                    metadata: metadata.clone(),
                },
            )
        })
    }

    /// The commit has succeeded.
    pub(crate) fn committed(
        &mut self,
        last_offsets: &[(TopicSlot, i32, Offset)],
    ) -> Result<(), Error> {
        self.inputs.mark_committed();
        self.ticked = false;
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

    /// Hands what is committed to the disk in the background, when it is time.
    pub(crate) fn flush_stores(&mut self, now: Timestamp) -> Result<(), Error> {
        let id = self.cx.id;
        let failed = |source| Error::Task { task: id, source };
        self.cx
            .stores
            .iter_mut()
            .try_for_each(|store| store.maybe_flush(now).map_err(failed))
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

    /// Lends the stream thread's output to the operators for the time of `run`.
    fn with_outputs<R>(
        &mut self,
        outputs: &mut OutputBatch,
        run: impl FnOnce(&mut Self) -> R,
    ) -> R {
        std::mem::swap(&mut self.cx.outputs, outputs);
        let result = run(self);
        std::mem::swap(&mut self.cx.outputs, outputs);
        result
    }

    /// A failure outside of a record.
    fn failed(&self, source: ProcessError) -> Error {
        Error::Task {
            task: self.cx.id,
            source,
        }
    }
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
