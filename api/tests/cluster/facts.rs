//! What an independent reader sees: Kafka's own console consumer, reading committed records only.

use std::collections::BTreeMap;

use millrace_deploy::Kafka;

/// The topics whose facts are numbered by what they happened to.
const NUMBERED: &str = "order-events|inventory-events|payment-events";

/// What the types of their facts begin with.
const DOMAINS: [&str; 3] = ["order", "inventory", "payment"];

/// A fact, by its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) key: String,
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) seq: u64,
}

impl Fact {
    /// The domain that it is a fact of: `order` of `order.created`.
    fn domain(&self) -> &str {
        self.kind.split('.').next().unwrap_or_default()
    }
}

/// Every committed fact of orders, stock and payments, those of a partition in its order.
pub(crate) fn committed(kafka: &Kafka) -> Vec<Fact> {
    let output = kafka
        .tool(&[
            "org.apache.kafka.tools.consumer.ConsoleConsumer",
            "--include",
            NUMBERED,
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

/// What is not as it should be: facts of each domain, each once, and those of each order, SKU or
/// order's payments numbered from 1 without a gap, in this order.
pub(crate) fn findings(facts: &[Fact]) -> Vec<String> {
    let mut ids = BTreeMap::new();
    let mut seqs: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let silent = |domain: &&str| !facts.iter().any(|fact| fact.domain() == *domain);
    let silent = DOMAINS.into_iter().filter(silent);
    let mut findings: Vec<_> = silent.map(|domain| format!("no {domain} facts")).collect();
    for fact in facts {
        if let Some(before) = ids.insert(&fact.id, fact) {
            findings.push(format!("{fact:?} was there before: {before:?}"));
        }
        let last = seqs.entry((fact.domain(), &fact.key)).or_default();
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

#[test]
fn facts_that_are_repeated_or_missing_are_found() {
    let fact = |kind: &str, seq| Fact {
        key: "ord-1".to_owned(),
        id: format!("{kind}-{seq}"),
        kind: kind.to_owned(),
        seq,
    };
    let whole = [
        fact("order.created", 1),
        fact("payment.initiated", 1),
        fact("inventory.reserved", 1),
        fact("payment.captured", 2),
        fact("order.confirmed", 2),
    ];
    assert_eq!(findings(&whole), Vec::<String>::new());
    let repeated = [&whole[..], &whole[4..]].concat();
    assert_eq!(findings(&repeated).len(), 2, "its id and its number");
    let gap = [&whole[..3], &[fact("payment.refunded", 3)]].concat();
    assert!(findings(&gap)[0].ends_with("follows number 1"));
    assert_eq!(findings(&whole[..1]).len(), 2, "no stock, no payments");
}
