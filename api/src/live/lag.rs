//! How far the applications are behind: what of their input is not committed yet.

use std::sync::Arc;
use std::time::Duration;

use millrace_streams::log::{Isolation, Log, LogError, Reader, TopicInfo, TopicPartition};
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

/// How often it is looked: each look asks the log once per application.
const EVERY: Duration = Duration::from_secs(5);

/// The topics that an application reads.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The application's id.
    pub application: String,
    /// Its topics.
    pub topics: Vec<String>,
}

/// Measures the applications of this process, on the log that they read.
#[derive(Clone, Debug)]
pub struct Lags {
    log: Arc<dyn Log>,
    inputs: Arc<[Inputs]>,
}

impl Lags {
    /// For the applications that read `inputs` of `log`.
    pub fn new(log: Arc<dyn Log>, inputs: Vec<Inputs>) -> Self {
        let inputs = inputs.into();
        Self { log, inputs }
    }

    /// Shows the lag of each topic as a metric, until the task is aborted.
    pub async fn run(self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for topic in self.inputs.iter().flat_map(|inputs| &inputs.topics) {
            // To be seen before the first one comes.
            metrics::counter!("dead_letter_records_total", "topic" => topic.clone()).increment(0);
        }
        loop {
            ticks.tick().await;
            let lags = self.clone();
            measured(move || lags.inputs.iter().try_for_each(|it| lags.show(it))).await;
        }
    }

    /// How many records an application has not committed now; `None` if it does not run here, or
    /// the log does not answer.
    pub async fn of(&self, application: &str) -> Option<i64> {
        let mut inputs = self.inputs.iter();
        let inputs = inputs.find(|it| it.application == application)?.clone();
        let lags = self.clone();
        let behind = measured(move || lags.measure(&inputs)).await?;
        Some(behind.into_iter().map(|(_, lag)| lag).sum())
    }

    fn show(&self, inputs: &Inputs) -> Result<(), LogError> {
        for (topic, lag) in self.measure(inputs)? {
            let labels = [
                ("application", inputs.application.clone()),
                ("topic", topic),
            ];
            // Numbers of records are far below what a float tells exactly.
            #[expect(clippy::cast_precision_loss, reason = "a metric")]
            metrics::gauge!("input_lag_records", &labels).set(lag as f64);
        }
        Ok(())
    }

    /// The lag of an application, by topic.
    fn measure(&self, inputs: &Inputs) -> Result<Vec<(String, i64)>, LogError> {
        let mut reader = self.log.reader(Isolation::ReadCommitted)?;
        let topics = self.log.topics()?.into_iter();
        let read = topics.filter(|info| inputs.topics.iter().any(|name| **name == *info.name));
        let measure = |info: TopicInfo| {
            let numbers = 0..info.partitions;
            let partitions: Vec<_> = numbers
                .map(|number| TopicPartition::new(&*info.name, number))
                .collect();
            let lag = lag(&*self.log, &mut *reader, &inputs.application, &partitions)?;
            Ok((info.name.to_string(), lag))
        };
        read.map(measure).collect()
    }
}

/// What `measure` answers, beside the requests that wait for nothing; `None` if the log does not.
async fn measured<T: Send + 'static>(
    measure: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Option<T> {
    match tokio::task::spawn_blocking(measure).await.ok()? {
        Ok(measured) => Some(measured),
        Err(error) => {
            debug!(%error, "the lag is not known");
            None
        }
    }
}

/// The records between what is committed and the end.
fn lag(
    log: &dyn Log,
    reader: &mut dyn Reader,
    application: &str,
    partitions: &[TopicPartition],
) -> Result<i64, LogError> {
    let committed = log.committed(application, partitions)?;
    let bounds = reader.bounds(partitions)?;
    let behind = committed
        .into_iter()
        .zip(bounds)
        .map(|(committed, bounds)| {
            let at = committed.map_or(bounds.start, |committed| committed.offset);
            (bounds.end - at).max(0)
        });
    Ok(behind.sum())
}
