//! Errors, by what to do about them.

use std::sync::Arc;

use crate::log::{LogError, Position, TaskId, TopicPartition};
use crate::serde::SerdeError;

/// A topology that contradicts itself. Fix the topology.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopologyError {
    /// A durable name is not of `[a-z0-9-]`.
    #[error("`{name}` cannot name a {what}; use a-z, 0-9 and - only, at most 200 characters")]
    BadName {
        /// What it should name.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Two things that own data have one name.
    #[error("the {what} name `{name}` is used twice; give each its own")]
    DuplicateName {
        /// What it names.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A topic is read twice by one topology.
    #[error("topic `{topic}` is read twice; read it once and use the stream twice")]
    DuplicateSource {
        /// The topic.
        topic: String,
    },
    /// There is no source.
    #[error("topology `{name}` reads no topic; begin with a stream or a table")]
    Empty {
        /// The topology.
        name: String,
    },
    /// A store was asked for that the topology does not have, or that the operator is not connected
    /// to.
    #[error("there is no store `{store}` here; name it in the topology")]
    UnconnectedStore {
        /// The store.
        store: String,
    },
    /// A store is used with other types, or in another order, than where it was defined.
    #[error("store `{store}` is {known}, and is used as {used}; use one constant for both")]
    StoreMismatch {
        /// The store.
        store: String,
        /// What it was defined as.
        known: String,
        /// What it is used as.
        used: String,
    },
    /// A record was piped into a topic that nothing reads.
    #[error("the topology does not read topic `{topic}`; pipe into one of its source topics")]
    UnreadTopic {
        /// The topic.
        topic: String,
    },
    /// A sink's topic does not exist.
    #[error("topic `{topic}` does not exist; create it first")]
    MissingTopic {
        /// The topic.
        topic: String,
    },
    /// A serde could not be built.
    #[error("no serde for topic `{topic}`: {source}")]
    Serde {
        /// The topic.
        topic: String,
        /// Why.
        source: SerdeError,
    },
}

/// Why a record could not be processed. The process handler decides what happens to the record.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The record's bytes are not of the topic's types.
    #[error(transparent)]
    Input(SerdeError),
    /// What follows from the record cannot be written, or what a store holds cannot be read.
    #[error(transparent)]
    Serde(#[from] SerdeError),
    /// A record that the topology writes is larger than the log takes.
    #[error("record of {bytes} bytes for `{target}` is over the limit of {limit}")]
    TooLarge {
        /// The topic or store.
        target: Arc<str>,
        /// The size of key, value and headers.
        bytes: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// The processor's own reason.
    #[error("{0}")]
    Rejected(String),
    /// Code of the topology has panicked at this record.
    #[error("panicked: {0}")]
    Panicked(String),
    /// The state of this task cannot be used: no fault of the record.
    #[error("state: {0}")]
    State(#[from] Arc<millrace_state::Error>),
    /// The topology is not as the processor expects: no fault of the record.
    #[error(transparent)]
    Topology(#[from] TopologyError),
}

impl From<millrace_state::Error> for ProcessError {
    fn from(error: millrace_state::Error) -> Self {
        Self::State(Arc::new(error))
    }
}

impl ProcessError {
    /// True if the record is at fault, so that a handler may set it aside.
    pub fn is_records_fault(&self) -> bool {
        match self {
            Self::Input(error) | Self::Serde(error) => {
                !matches!(error, SerdeError::Unavailable { .. })
            }
            Self::TooLarge { .. } | Self::Rejected(_) | Self::Panicked(_) => true,
            Self::State(_) | Self::Topology(_) => false,
        }
    }

    /// What does not answer, if the error is gone once it does.
    pub(crate) fn unavailable(&self) -> Option<&str> {
        match self {
            Self::Input(error)
            | Self::Serde(error)
            | Self::Topology(TopologyError::Serde { source: error, .. }) => error.unavailable(),
            _ => None,
        }
    }

    /// The kind of error in a few words: a header of dead letters, a label of metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Input(_) => "deserialize",
            Self::Serde(_) => "serialize",
            Self::TooLarge { .. } => "record too large",
            Self::Rejected(_) => "rejected",
            Self::Panicked(_) => "panic",
            Self::State(_) => "state",
            Self::Topology(_) => "topology",
        }
    }
}

/// What an operator answers.
pub type ProcessResult = Result<(), ProcessError>;

/// Why an application does not run.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Fix the topology.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// See [`LogError`].
    #[error(transparent)]
    Log(#[from] LogError),
    /// The state directory or a store.
    #[error(transparent)]
    State(#[from] Arc<millrace_state::Error>),
    /// A record could not be processed and the handler said to fail.
    #[error("task {task} failed at offset {offset} of `{topic}-{partition}`: {source}")]
    Process {
        /// The task.
        task: TaskId,
        /// The record's topic.
        topic: Arc<str>,
        /// The record's partition.
        partition: i32,
        /// The record's offset.
        offset: i64,
        /// Why.
        source: ProcessError,
    },
    /// A task failed outside of a record: in a punctuation, at a commit.
    #[error("task {task} failed: {source}")]
    Task {
        /// The task.
        task: TaskId,
        /// Why.
        source: ProcessError,
    },
    /// Code of the topology has panicked, and did so again after the task was made anew.
    #[error("task {task} panicked{}: {message}", at(record))]
    Panicked {
        /// The task.
        task: TaskId,
        /// The record at hand; `None` in a punctuation, a tick, or at a commit.
        record: Option<Position>,
        /// What it panicked with.
        message: String,
    },
    /// A thread of the application has panicked outside of any task: a fault of the engine.
    #[error("thread `{thread}` panicked: {message}; report it, and start again")]
    ThreadPanicked {
        /// The thread's name.
        thread: String,
        /// What it panicked with.
        message: String,
    },
    /// A record of a global table's topic is not of the table's types, and the handler said to fail.
    #[error("global table failed at offset {offset} of `{topic}-{partition}`: {source}")]
    GlobalTable {
        /// The record's topic.
        topic: Arc<str>,
        /// The record's partition.
        partition: i32,
        /// The record's offset.
        offset: i64,
        /// Why.
        source: SerdeError,
    },
    /// A query's key has no bytes, or what it found is of another type.
    #[error("query: {0}")]
    Query(SerdeError),
    /// Fix the configuration.
    #[error("{0}")]
    Config(String),
}

impl Error {
    /// What does not answer, if the error is gone once it does: the log, or what a serde needs.
    pub(crate) fn unavailable(&self) -> Option<&str> {
        match self {
            Self::Log(LogError::Unavailable(reason)) => Some(reason),
            Self::Process { source, .. } | Self::Task { source, .. } => source.unavailable(),
            Self::Topology(TopologyError::Serde { source, .. })
            | Self::GlobalTable { source, .. } => source.unavailable(),
            _ => None,
        }
    }

    /// The task that has failed, if it was one.
    pub(crate) fn task(&self) -> Option<TaskId> {
        match self {
            Self::Process { task, .. } | Self::Task { task, .. } | Self::Panicked { task, .. } => {
                Some(*task)
            }
            _ => None,
        }
    }

    /// The record at which a task has failed, and its fault, if the task can go on without it.
    pub(crate) fn at_record(&self) -> Option<(TaskId, Position, ProcessError)> {
        match self {
            Self::Process {
                task,
                topic,
                partition,
                offset,
                source,
            } if source.is_records_fault() => {
                let partition = TopicPartition::new(topic.clone(), *partition);
                let offset = *offset;
                Some((*task, Position { partition, offset }, source.clone()))
            }
            Self::Panicked {
                task,
                record: Some(record),
                message,
            } => Some((
                *task,
                record.clone(),
                ProcessError::Panicked(message.clone()),
            )),
            _ => None,
        }
    }
}

impl From<millrace_state::Error> for Error {
    fn from(error: millrace_state::Error) -> Self {
        Self::State(Arc::new(error))
    }
}

fn at(record: &Option<Position>) -> String {
    let Some(record) = record else {
        return String::new();
    };
    format!(" at offset {} of `{}`", record.offset, record.partition)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(source: ProcessError) -> Error {
        let task = TaskId {
            subtopology: 0,
            partition: 0,
        };
        Error::Task { task, source }
    }

    #[test]
    fn a_serde_that_does_not_answer_is_waited_for_wherever_it_is_missed() {
        let away = || SerdeError::Unavailable {
            reason: "away".into(),
        };
        let not_built = || TopologyError::Serde {
            topic: "words".into(),
            source: away(),
        };
        for error in [
            failed(away().into()),
            failed(ProcessError::Input(away())),
            failed(not_built().into()),
            not_built().into(),
        ] {
            assert_eq!(error.unavailable(), Some("away"), "{error:?}");
        }
        let rejected = failed(ProcessError::Rejected("no".into()));
        assert_eq!(rejected.unavailable(), None);
    }
}
