//! What a record costs on its way through a batch: in at the fetch, out again at the task.

mod kit;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kit::CpuTime;
use millrace_benches::sample::{Sample, samples};
use millrace_streams::headers::Headers;
use millrace_streams::log::{RawRecord, RecordBatch, TopicPartition};

/// As many as one fetch brings.
const RECORDS: u64 = 4_096;

fn fill(batch: &mut RecordBatch, partition: &TopicPartition, samples: &[Sample]) {
    batch.reset(partition.clone());
    for (offset, sample) in (0..).zip(samples) {
        batch.push(RawRecord {
            offset,
            timestamp: sample.timestamp,
            headers: Headers::EMPTY,
            key: Some(sample.key.as_bytes()),
            value: Some(&sample.value),
        });
    }
}

fn batch(criterion: &mut Criterion<CpuTime>) {
    let samples: Vec<_> = samples(RECORDS, 1_000).collect();
    let partition = TopicPartition::new("samples", 0);
    let mut batch = RecordBatch::default();
    fill(&mut batch, &partition, &samples);
    let mut group = criterion.benchmark_group("batch of records of 162 bytes");
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function("read", |b| {
        b.iter(|| {
            batch
                .iter()
                .map(|record| black_box(record).offset)
                .sum::<i64>()
        });
    });
    group.bench_function("fill a used one", |b| {
        b.iter(|| fill(&mut batch, &partition, &samples));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = kit::harness();
    targets = batch
}
criterion_main!(benches);
