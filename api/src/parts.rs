//! The parts of an instance that run by themselves, and what is told when one ends unasked.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Error, Result, anyhow};
use millrace_effects::runner::Running;
use millrace_effects::views::redis::Following;
use millrace_streams::{ApplicationState, Streams};
use tokio::task::{JoinHandle, block_in_place};
use tokio::time::interval;
use tracing::warn;

use crate::live::views::LogViews;

/// How long the topologies may take until their tasks run; the API answers meanwhile.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How often to look whether a part has ended.
const LOOK: Duration = Duration::from_millis(200);

/// What runs beside the server: the market is whole only while all of it does.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) applications: Arc<[Streams]>,
    /// `None` where the payments topology does not run.
    pub(crate) calls: Option<Running>,
    pub(crate) views: LogViews,
    /// `None` without a cache.
    pub(crate) caching: Option<Following>,
    /// What runs until it is aborted, by name.
    pub(crate) tasks: Vec<(&'static str, JoinHandle<()>)>,
}

impl Parts {
    /// Waits until every topology runs.
    pub(crate) fn running(&self) -> Result<()> {
        for application in &*self.applications {
            let state = block_in_place(|| application.wait_until_running(START_LIMIT));
            let name = application.application();
            match state {
                ApplicationState::Running => {}
                ApplicationState::Failed(error) => {
                    return Err(anyhow!("topology `{name}`: {error}"));
                }
                _ => return Err(anyhow!("topology `{name}` does not run")),
            }
        }
        Ok(())
    }

    /// Waits until a part has ended that nobody has stopped, and says which; most never do.
    pub(crate) async fn failed(&self) -> Error {
        let mut looks = interval(LOOK);
        loop {
            looks.tick().await;
            if let Some(failure) = self.failure().or_else(|| self.ended()) {
                return failure;
            }
        }
    }

    fn failure(&self) -> Option<Error> {
        let mut applications = self.applications.iter();
        applications.find_map(|application| match application.state() {
            ApplicationState::Failed(error) => {
                Some(anyhow!("topology `{}`: {error}", application.application()))
            }
            _ => None,
        })
    }

    fn ended(&self) -> Option<Error> {
        let calls = self.calls.as_ref().is_none_or(Running::is_running);
        let caching = self.caching.as_ref().is_none_or(Following::is_running);
        let tasks = self.tasks.iter();
        let tasks = tasks.map(|(name, task)| (*name, !task.is_finished()));
        [
            ("the calls to the payment gateway", calls),
            ("the views", self.views.is_running()),
            ("the views in Redis", caching),
        ]
        .into_iter()
        .chain(tasks)
        .find(|(_, runs)| !runs)
        .map(|(name, _)| anyhow!("{name} have ended by themselves; the log says why"))
    }

    /// Commits what is processed, and ends.
    pub(crate) fn stop(self) {
        if let Some(Err(error)) = self.calls.map(Running::stop) {
            warn!(%error, "effects stopped with an error");
        }
        self.applications.iter().for_each(Streams::close);
        drop(self.views);
        self.caching.into_iter().for_each(Following::stop);
    }
}

#[cfg(test)]
mod tests {
    use millrace_avro::codec::SchemaClient;
    use millrace_avro::registry::Registry;
    use millrace_streams::log::{
        CommittedOffset, Isolation, Log, LogError, Member, Reader, Seat, TopicInfo, TopicPartition,
        TopicSpec, Writer,
    };
    use millrace_streams::serde::Resources;
    use tokio::time::timeout;

    use super::*;

    /// A log that panics when it is read.
    #[derive(Debug)]
    struct Broken;

    fn broken<T>() -> T {
        panic!("the log is broken")
    }

    impl Log for Broken {
        fn create_topics(&self, _: &[TopicSpec]) -> Result<(), LogError> {
            broken()
        }

        fn delete_topics(&self, _: &[&str]) -> Result<(), LogError> {
            broken()
        }

        fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
            broken()
        }

        fn join(&self, _: Seat) -> Result<Box<dyn Member>, LogError> {
            broken()
        }

        fn reader(&self, _: Isolation) -> Result<Box<dyn Reader>, LogError> {
            broken()
        }

        fn writer(&self, _: &str) -> Result<Arc<dyn Writer>, LogError> {
            broken()
        }

        fn committed(
            &self,
            _: &str,
            _: &[TopicPartition],
        ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
            broken()
        }
    }

    #[tokio::test]
    async fn views_that_end_by_themselves_are_told() {
        let client = SchemaClient::local(Arc::new(Registry::in_memory()));
        let resources = Resources::new().with(Arc::new(client));
        let parts = Parts {
            applications: Arc::default(),
            calls: None,
            views: LogViews::start(Arc::new(Broken), &resources).unwrap(),
            caching: None,
            tasks: Vec::new(),
        };
        let told = timeout(Duration::from_secs(20), parts.failed()).await;
        let told = told.expect("it is told").to_string();
        assert!(told.starts_with("the views have ended"), "{told}");
    }
}
