//! How far the applications are behind: what of their input is not committed yet, as a metric.

use std::sync::Arc;
use std::time::Duration;

use millrace_streams::log::{Isolation, Log, LogError, Reader, TopicPartition};
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

/// Measures until the task is aborted.
pub async fn run(log: Arc<dyn Log>, inputs: Vec<Inputs>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for topic in inputs.iter().flat_map(|inputs| &inputs.topics) {
        // To be seen before the first one comes.
        metrics::counter!("dead_letter_records_total", "topic" => topic.clone()).increment(0);
    }
    let inputs: Arc<[Inputs]> = inputs.into();
    loop {
        ticks.tick().await;
        let (log, inputs) = (log.clone(), inputs.clone());
        let measured = tokio::task::spawn_blocking(move || measure(&*log, &inputs)).await;
        if let Ok(Err(error)) = measured {
            debug!(%error, "the lag is not known");
        }
    }
}

fn measure(log: &dyn Log, inputs: &[Inputs]) -> Result<(), LogError> {
    let topics = log.topics()?;
    let mut reader = log.reader(Isolation::ReadCommitted)?;
    for Inputs {
        application,
        topics: names,
    } in inputs
    {
        for info in topics
            .iter()
            .filter(|info| names.iter().any(|name| **name == *info.name))
        {
            let numbers = 0..info.partitions;
            let partitions: Vec<_> = numbers
                .map(|number| TopicPartition::new(&*info.name, number))
                .collect();
            let lag = lag(log, reader.as_mut(), application, &partitions)?;
            let labels = [
                ("application", application.clone()),
                ("topic", info.name.to_string()),
            ];
            // Numbers of records are far below what a float tells exactly.
            #[expect(clippy::cast_precision_loss, reason = "a metric")]
            metrics::gauge!("input_lag_records", &labels).set(lag as f64);
        }
    }
    Ok(())
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
