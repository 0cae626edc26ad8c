//! Tables and joins with them: deletions, nulls, timing, late records, headers.

use millrace_streams::headers::HeaderList;
use millrace_streams::{Store, Topic, Topology, TopologyTestDriver};

use super::{at, driver, text};

const NAMES: Topic<u64, Option<String>> = Topic::new("names");
const NAME: Store<u64, String> = Store::new("name");
const VISITS: Topic<u64, String> = Topic::new("visits");
const GREETINGS: Topic<u64, String> = Topic::new("greetings");
const COPY: Topic<u64, String> = Topic::new("copy");
const NULLABLE_COPY: Topic<u64, Option<String>> = Topic::new("copy");
const COUNT: Store<u64, u64> = Store::new("count");

fn name(driver: &mut TopologyTestDriver, name: Option<&str>, ms: i64) {
    let name = name.map(text);
    driver.input(NAMES).pipe(&1, &name, at(ms)).expect("piped");
}

fn visit(driver: &mut TopologyTestDriver, page: &str, ms: i64) {
    driver
        .input(VISITS)
        .pipe(&1, &text(page), at(ms))
        .expect("piped");
}

fn greetings(driver: &mut TopologyTestDriver) -> Vec<String> {
    driver.output(GREETINGS).read_values().expect("values")
}

fn joined() -> TopologyTestDriver {
    let topology = Topology::define("joined", |t| {
        let names = t.table(NAMES.of_values(), NAME);
        let visits = t.stream(VISITS);
        visits
            .join(names, |page, name| format!("{name} at {page}"))
            .to(GREETINGS);
    });
    driver(&topology.expect("the topology is sound"))
}

fn left_joined() -> TopologyTestDriver {
    let topology = Topology::define("joined", |t| {
        let names = t.table(NAMES.of_values(), NAME);
        let greet = |page: &String, name: Option<&String>| format!("{name:?} at {page}");
        t.stream(VISITS).left_join(names, greet).to(GREETINGS);
    });
    driver(&topology.expect("the topology is sound"))
}

#[test]
fn a_join_drops_records_before_the_value_and_after_its_deletion() {
    let mut driver = joined();
    visit(&mut driver, "a", 0);
    name(&mut driver, Some("ann"), 1);
    visit(&mut driver, "b", 2);
    name(&mut driver, None, 3);
    visit(&mut driver, "c", 4);
    assert_eq!(greetings(&mut driver), ["ann at b"]);
}

#[test]
fn a_left_join_passes_every_record_of_the_stream_once() {
    let mut driver = left_joined();
    visit(&mut driver, "a", 0);
    name(&mut driver, Some("ann"), 1);
    visit(&mut driver, "b", 2);
    name(&mut driver, None, 3);
    visit(&mut driver, "c", 4);
    let expected = ["None at a", "Some(\"ann\") at b", "None at c"];
    assert_eq!(greetings(&mut driver), expected);
}

#[test]
fn a_late_record_is_joined_with_the_value_of_now() {
    let mut driver = joined();
    name(&mut driver, Some("ann"), 10);
    name(&mut driver, Some("bea"), 20);
    visit(&mut driver, "late", 15);
    let greeting = driver
        .output(GREETINGS)
        .read()
        .expect("typed")
        .expect("one");
    assert_eq!(
        (greeting.value.as_str(), greeting.timestamp),
        ("bea at late", at(15))
    );
}

#[test]
fn an_update_of_the_table_alone_makes_no_output() {
    let mut driver = left_joined();
    visit(&mut driver, "a", 0);
    greetings(&mut driver);
    name(&mut driver, Some("ann"), 1);
    name(&mut driver, Some("bea"), 2);
    assert!(driver.output(GREETINGS).is_empty());
}

#[test]
fn the_newest_to_arrive_is_the_value_of_a_table_also_when_it_is_late() {
    let topology = Topology::define("newest", |t| {
        t.stream(VISITS).to_table(NAME).to(COPY);
    });
    let mut driver = driver(&topology.expect("the topology is sound"));
    visit(&mut driver, "new", 20);
    visit(&mut driver, "late", 10);
    let copy = driver.output(COPY).read_all().expect("typed");
    let told: Vec<_> = copy
        .iter()
        .map(|c| (c.value.as_str(), c.timestamp))
        .collect();
    assert_eq!(told, [("new", at(20)), ("late", at(10))]);
    let mut store = driver.store(NAME).expect("the store");
    let stored = store.get_timestamped(&1).expect("read").expect("a value");
    assert_eq!((stored.value.as_str(), stored.timestamp), ("late", at(10)));
}

#[test]
fn a_null_deletes_from_a_table_of_a_nullable_stream() {
    const NULLABLE_NAME: Store<u64, Option<String>> = Store::new("name");
    let topology = Topology::define("newest", |t| {
        t.stream(NAMES).to_table(NULLABLE_NAME);
    });
    let mut driver = driver(&topology.expect("the topology is sound"));
    name(&mut driver, Some("ann"), 0);
    name(&mut driver, None, 1);
    let mut store = driver.store(NULLABLE_NAME).expect("the store");
    assert_eq!(store.get(&1).expect("read"), None);
}

#[test]
fn a_deletion_of_nothing_is_no_update() {
    let topology = Topology::define("copy", |t| t.table(NAMES.of_values(), NAME).to(COPY));
    let mut driver = driver(&topology.expect("the topology is sound"));
    name(&mut driver, None, 0);
    assert!(driver.output(COPY).is_empty());
}

fn copied() -> TopologyTestDriver {
    let topology = Topology::define("copy", |t| t.table(NAMES.of_values(), NAME).to(COPY));
    driver(&topology.expect("the topology is sound"))
}

#[test]
fn a_deletion_goes_on_with_the_timestamp_of_its_record() {
    let mut driver = copied();
    name(&mut driver, Some("ann"), 50);
    name(&mut driver, None, 20);
    let copy = driver.output(NULLABLE_COPY).read_all().expect("typed");
    let told: Vec<_> = copy.into_iter().map(|c| (c.value, c.timestamp)).collect();
    assert_eq!(told, [(Some(text("ann")), at(50)), (None, at(20))]);
}

#[test]
fn an_update_has_the_headers_of_the_record_that_made_it() {
    let mut driver = copied();
    let mut headers = HeaderList::new();
    headers.push("traceparent", Some(b"00-1"));
    let mut names = driver.input(NAMES);
    let ann = Some(text("ann"));
    names
        .pipe_with_headers(&1, &ann, headers.clone(), at(0))
        .expect("piped");
    names.pipe(&1, &Some(text("bea")), at(1)).expect("piped");
    names
        .pipe_with_headers(&1, &None, headers.clone(), at(2))
        .expect("piped");
    let copy = driver.output(NULLABLE_COPY).read_all().expect("typed");
    let told: Vec<_> = copy.into_iter().map(|c| c.headers).collect();
    assert_eq!(told, [headers.clone(), HeaderList::new(), headers]);
}

#[test]
fn nulls_count_unless_they_are_left_out() {
    const VALUES: Store<u64, u64> = Store::new("values");
    let topology = Topology::define("counts", |t| {
        let updates = t.table(NAMES.of_values(), NAME).to_stream();
        updates.count(COUNT);
        updates.flatten_values().count(VALUES);
    });
    let mut driver = driver(&topology.expect("the topology is sound"));
    name(&mut driver, Some("ann"), 0);
    name(&mut driver, None, 1);
    let mut count = |store| {
        driver
            .store(store)
            .expect("the store")
            .get(&1)
            .expect("read")
    };
    assert_eq!((count(COUNT), count(VALUES)), (Some(2), Some(1)));
}
