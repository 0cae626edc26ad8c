//! What an append to the embedded log costs: 1 000 records under way at a time, on this machine's
//! disk. The clock on the wall counts here, because an append waits for the disk.

mod kit;

use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::executor::block_on;
use futures::future::try_join_all;
use millrace_benches::sample::{Sample, samples};
use millrace_streams::headers::HeaderList;
use millrace_streams::log::embedded::{EmbeddedLog, EmbeddedOptions};
use millrace_streams::log::{Cleanup, Log, NewRecord, TopicSpec};

/// How many records are under way at a time.
const UNDER_WAY: u64 = 1_000;

fn record(topic: &Arc<str>, sample: &Sample) -> NewRecord {
    NewRecord {
        topic: Arc::clone(topic),
        key: Some(sample.key.clone().into_bytes()),
        value: Some(sample.value.clone()),
        headers: HeaderList::new(),
        timestamp: sample.timestamp,
    }
}

fn journal(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(dir.path(), EmbeddedOptions::default()).unwrap();
    let topic: Arc<str> = "samples".into();
    let spec = TopicSpec {
        name: Arc::clone(&topic),
        partitions: 4,
        // What a measurement has written is of no use to the next.
        cleanup: Cleanup::Delete {
            retention: Some(Duration::from_secs(1)),
        },
    };
    log.create_topics(&[spec]).unwrap();
    let writer = log.writer("bench").unwrap();
    let samples: Vec<_> = samples(UNDER_WAY, UNDER_WAY).collect();
    let mut group = criterion.benchmark_group("journal append");
    group.bench_function("one record, awaited", |b| {
        b.iter(|| block_on(writer.append(record(&topic, &samples[0]))).unwrap());
    });
    group.throughput(Throughput::Elements(UNDER_WAY));
    group.bench_function("1 000 records under way", |b| {
        b.iter(|| {
            let appends = samples.iter().map(|s| writer.append(record(&topic, s)));
            block_on(try_join_all(appends)).unwrap()
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = kit::brief(Criterion::default());
    targets = journal
}
criterion_main!(benches);
