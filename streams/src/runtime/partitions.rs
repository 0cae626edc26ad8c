//! How many partitions topics have, as far as the cluster was asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::error::{Error, TopologyError};
use crate::log::{Log, LogError};

/// How long a topic that was made a moment ago may be unknown to whoever was asked.
const TOPIC_GRACE: Duration = Duration::from_secs(5);

/// The number of partitions of every topic. Nobody waits for a question of somebody else.
#[derive(Debug, Default)]
pub(crate) struct Partitions {
    known: Mutex<HashMap<Arc<str>, i32>>,
    /// Since when a topic that must exist is unknown.
    missing_since: Mutex<Option<Duration>>,
}

impl Partitions {
    /// The number of partitions of `topic`, if that is known.
    pub(crate) fn of(&self, topic: &str) -> Option<i32> {
        self.known.lock().get(topic).copied()
    }

    /// Asks the log.
    ///
    /// # Errors
    /// When the log does not answer.
    pub(crate) fn learn(&self, log: &dyn Log) -> Result<(), LogError> {
        let told = log.topics()?;
        let mut known = self.known.lock();
        for topic in told {
            let count = known.entry(topic.name).or_insert(0);
            // Answers may come late, or from a broker that has not heard; partitions only grow.
            *count = (*count).max(topic.partitions);
        }
        Ok(())
    }

    /// What is known of all topics, which is asked for anew if one of `topics` is not among them.
    /// `now` is the time since any moment.
    ///
    /// # Errors
    /// [`TopologyError::MissingTopic`] when one does not exist for seconds;
    /// [`LogError::Unavailable`] until then.
    pub(crate) fn with(
        &self,
        topics: &[Arc<str>],
        log: &dyn Log,
        now: Duration,
    ) -> Result<HashMap<Arc<str>, i32>, Error> {
        let is_known = |topic: &&Arc<str>| self.of(topic).is_some();
        if !topics.iter().all(|topic| is_known(&topic)) {
            self.learn(log)?;
        }
        let mut missing_since = self.missing_since.lock();
        let Some(missing) = topics.iter().find(|topic| !is_known(topic)) else {
            *missing_since = None;
            return Ok(self.known.lock().clone());
        };
        let since = *missing_since.get_or_insert(now);
        if now.saturating_sub(since) < TOPIC_GRACE {
            let reason = format!("topic `{missing}` is not known yet");
            return Err(LogError::Unavailable(reason).into());
        }
        Err(TopologyError::MissingTopic {
            topic: missing.as_ref().into(),
        }
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Topic;
    use crate::log::TopicSpec;
    use crate::log::sim::SimLog;

    const WORDS: Topic<String, String> = Topic::new("words");

    fn create(log: &SimLog, name: &str, partitions: i32) {
        let spec = TopicSpec {
            name: name.into(),
            partitions,
            ..WORDS.spec()
        };
        log.create_topics(&[spec]).expect("created");
    }

    #[test]
    fn a_topic_that_is_missing_for_seconds_does_not_exist() {
        let (log, partitions) = (SimLog::quiet(), Partitions::default());
        let with = |at| partitions.with(&["words".into()], &log, Duration::from_secs(at));
        assert!(with(100).expect_err("unknown").unavailable().is_some());
        assert!(with(104).expect_err("unknown").unavailable().is_some());
        let error = with(105).expect_err("it does not come");
        assert!(matches!(
            error,
            Error::Topology(TopologyError::MissingTopic { .. })
        ));
        create(&log, "words", 3);
        assert_eq!(with(106).expect("created")["words"], 3);
    }

    #[test]
    fn an_answer_that_comes_late_takes_no_partition_away() {
        let partitions = Partitions::default();
        let (before, after) = (SimLog::quiet(), SimLog::quiet());
        create(&before, "words", 1);
        create(&after, "words", 2);
        partitions.learn(&after).expect("told");
        partitions.learn(&before).expect("told");
        assert_eq!(partitions.of("words"), Some(2));
    }
}
