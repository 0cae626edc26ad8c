//! Goldens of the market's wiring: what each topology looks like, and every name that owns data.
//!
//! A change of a description is a change of the wiring. A change of a durable name loses data unless
//! it is migrated: it belongs into the changelog, under "State and topic names". To accept one, run
//! the tests with `UPDATE_EXPECT=1`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use millrace_streams::Topology;
use millrace_topologies::registry::{ENTRIES, Limits, VIEWS};

/// Every topology of the market: those of the registry, and the views.
fn topologies() -> Vec<Topology> {
    let limits = Limits::default();
    let all = ENTRIES.iter().chain([&VIEWS]);
    all.map(|entry| (entry.define)(&limits).expect("the topology is sound"))
        .collect()
}

fn in_crate(path: String) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn each_topology_is_described_as_in_its_golden() {
    for topology in topologies() {
        let golden = in_crate(format!("tests/describe/{}.txt", topology.name()));
        expect_file![golden].assert_eq(&topology.describe());
    }
}

#[test]
fn every_durable_name_is_in_the_golden() {
    let mut names = String::new();
    for topology in topologies() {
        for name in topology.durable_names(topology.name()) {
            names += &name;
            names.push('\n');
        }
    }
    let golden = in_crate("tests/describe/durable-names.txt".into());
    expect_file![golden].assert_eq(&names);
}

/// The diagram in the documentation of a topology's file.
fn diagram(topology: &Topology) -> String {
    let file = in_crate(format!("src/{}.rs", topology.name()));
    let source = std::fs::read_to_string(&file).expect("one file per topology, named alike");
    let lines = source.lines().map(|line| line.trim_start_matches("/// "));
    let diagram = lines.skip_while(|line| *line != "```text").skip(1);
    let diagram: Vec<_> = diagram.take_while(|line| *line != "```").collect();
    assert!(!diagram.is_empty(), "no diagram in {}", file.display());
    diagram.join("\n")
}

/// The names in a diagram; remarks in parentheses are none.
fn names(diagram: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for part in diagram.split('(').enumerate() {
        let text = match part {
            (0, text) => text,
            (_, remark) => remark.split_once(')').expect("a closed remark").1,
        };
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        let words = words.map(|word| word.trim_matches('-'));
        names.extend(words.filter(|word| !word.is_empty()).map(str::to_owned));
    }
    names
}

/// The names that the diagram of a topology must show: its topics and stores. The stores of
/// deadlines go with their states.
fn drawn(topology: &Topology) -> BTreeSet<String> {
    let topics = [topology.source_topics(), topology.sink_topics()].concat();
    let names = topology.durable_names(topology.name());
    let stores = names.iter().filter_map(|name| name.strip_prefix("store "));
    let stores = stores.filter(|store| !store.ends_with("-deadlines"));
    topics
        .into_iter()
        .chain(stores)
        .map(str::to_owned)
        .collect()
}

#[test]
fn each_diagram_shows_the_topics_and_stores_of_its_topology() {
    for topology in topologies() {
        let diagram = diagram(&topology).replace("-> global tables", "");
        assert_eq!(names(&diagram), drawn(&topology), "{}", topology.name());
    }
}
