//! What an independent reader sees: Kafka's own console consumer, reading committed records only.

use std::collections::BTreeMap;

use millrace_deploy::Kafka;

/// A fact, by its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) key: String,
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) seq: u64,
}

/// Every committed record of `topic`, in the order of its partitions.
pub(crate) fn committed(kafka: &Kafka, topic: &str) -> Vec<Fact> {
    let output = kafka
        .tool(&[
            "org.apache.kafka.tools.consumer.ConsoleConsumer",
            "--topic",
            topic,
            "--from-beginning",
            "--isolation-level",
            "read_committed",
            "--timeout-ms",
            "20000",
            "--formatter-property",
            "print.headers=true",
            "--formatter-property",
            "print.key=true",
            "--formatter-property",
            "print.value=false",
        ])
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        !text.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // The tool's own messages stand between the records.
    let records = text.lines().filter(|line| line.contains("ce_id:"));
    records.map(parse).collect()
}

/// Reads `NAME:VALUE,NAME:VALUE<tab>KEY`.
fn parse(line: &str) -> Fact {
    let (headers, key) = line.split_once('\t').unwrap_or_else(|| panic!("{line}"));
    let headers: BTreeMap<_, _> = headers
        .split(',')
        .filter_map(|header| header.split_once(':'))
        .collect();
    let header = |name: &str| (*headers.get(name).unwrap_or_else(|| panic!("{line}"))).to_owned();
    Fact {
        key: key.to_owned(),
        id: header("ce_id"),
        kind: header("ce_type"),
        seq: header("seq").parse().unwrap(),
    }
}

/// What is not as it should be: each fact once, and those of each order numbered from 1 without a
/// gap, in this order.
pub(crate) fn findings(facts: &[Fact]) -> Vec<String> {
    let mut ids = BTreeMap::new();
    let mut seqs: BTreeMap<&str, u64> = BTreeMap::new();
    let mut findings = Vec::new();
    for fact in facts {
        if let Some(before) = ids.insert(&fact.id, fact) {
            findings.push(format!("{fact:?} was there before: {before:?}"));
        }
        let last = seqs.entry(&fact.key).or_default();
        if fact.seq != *last + 1 {
            findings.push(format!("{fact:?} follows number {last}"));
        }
        *last = fact.seq;
    }
    findings
}

/// How many facts of this type there are, by key.
pub(crate) fn count<'a>(facts: &'a [Fact], kind: &str) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for fact in facts.iter().filter(|fact| fact.kind == kind) {
        *counts.entry(fact.key.as_str()).or_default() += 1;
    }
    counts
}
