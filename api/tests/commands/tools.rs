//! The commands that look into a market at rest, and the one that lets it begin anew.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Stdio;

use millrace_api::commands;
use millrace_api::config::{Command, Options, Settings};
use millrace_avro::keys::Sku;
use serde_json::{Value, json};

use crate::support::{Market, lines, millrace, printed, refusal, run};

async fn market_with_stock() -> tempfile::TempDir {
    let market = Market::start().await;
    let sku = Sku::new("mug-red").expect("a key");
    market.append(market.delivery("one", &sku, 5)).await;
    market.append(market.delivery("two", &sku, 2)).await;
    market.shows(&sku, 7).await;
    market.stop().await
}

/// Answers the question that `reset` asks.
fn reset_answering(folder: &Path, answer: &str) -> std::process::Output {
    let mut command = millrace(&["reset", "--only", "inventory"]);
    command.env("MILLRACE_DATA", folder);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(answer.as_bytes()).expect("an answer");
    drop(input);
    child.wait_with_output().expect("an end")
}

#[tokio::test(flavor = "multi_thread")]
async fn records_and_states_are_shown_as_lines_of_json() {
    let folder = market_with_stock().await;
    let folder = folder.path();
    let commands = lines(folder, &["log", "dump", "inventory-commands"]);
    let first = &commands[0];
    assert_eq!((commands.len(), &first["offset"]), (2, &0.into()));
    assert!(
        first["timestamp"].as_i64() > Some(1_700_000_000_000),
        "{first}"
    );
    assert_eq!(
        (&first["key"], &first["headers"]["ce_id"]),
        (&"mug-red".into(), &"one".into())
    );
    assert_eq!(first["value"]["delta"], 5);
    let silent = ["--registry", "http://127.0.0.1:1"];
    let dump = run(
        folder,
        &["log", "dump", "inventory-commands", silent[0], silent[1]],
    );
    let told = "does not answer as one; start it, or name another";
    assert!(refusal(&dump).contains(told), "{dump:?}");
    let uncommitted = lines(
        folder,
        &["log", "dump", "inventory-commands", "--uncommitted"],
    );
    assert!(uncommitted.len() >= 2);
    for store in ["stock-by-sku", "stock-view", "stock-audit"] {
        let held = lines(folder, &["state", "dump", store]);
        assert_eq!(held.len(), 1, "{store}");
        assert_eq!(held[0]["value"]["sku"], "mug-red", "{store}");
    }
    let refused = refusal(&run(folder, &["log", "dump", "nothing"]));
    assert!(refused.contains("no topic is named `nothing`"), "{refused}");
    let refused = refusal(&run(folder, &["state", "dump", "nothing"]));
    assert!(
        refused.contains("no store is named `nothing`; there are"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_asks_and_lets_a_topology_begin_anew_and_nothing_else() {
    let folder = market_with_stock().await;
    let folder = folder.path();
    let refused = reset_answering(folder, "no\n");
    assert!(refusal(&refused).contains("nothing was reset"));
    assert_eq!(lines(folder, &["state", "dump", "stock-by-sku"]).len(), 1);

    let done = reset_answering(folder, "yes\n");
    let told = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    assert!(told.contains("reads again: inventory-commands"), "{told}");
    assert!(told.contains("inventory-stock-by-sku-changelog"), "{told}");
    assert!(
        told.contains("keeps: all other topics, dead letters, schemas, accounts"),
        "{told}"
    );
    let gone = refusal(&run(folder, &["state", "dump", "stock-by-sku"]));
    assert!(gone.contains("inventory-stock-by-sku-changelog"), "{gone}");
    assert_eq!(lines(folder, &["log", "dump", "inventory-events"]).len(), 2);
    assert!(folder.join("accounts.db").exists());

    printed(folder, &["reset", "--yes", "--accounts"]);
    assert!(!folder.join("accounts.db").exists());
}

/// Where a reset ends that has begun: behind its first topology.
struct CutOff;

impl Write for CutOff {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        assert!(
            !String::from_utf8_lossy(bytes).contains("begins anew"),
            "cut off"
        );
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_that_was_cut_off_is_repeated_before_anything_runs() {
    let folder = market_with_stock().await;
    let folder = folder.path();
    let options = Options {
        data: Some(folder.to_owned()),
        only: Some(vec!["carts".to_owned(), "inventory".to_owned()]),
        ..Options::default()
    };
    let settings = Settings::from_options(options).expect("settings");
    let reset = Command::Reset {
        yes: true,
        accounts: false,
        lose_history: false,
    };
    let cut_off = || commands::run(reset, &settings, &mut CutOff);
    assert!(catch_unwind(AssertUnwindSafe(cut_off)).is_err());

    let serve = || refusal(&run(folder, &["serve", "--listen", "127.0.0.1:0"]));
    let refused = serve();
    let says = "a reset was cut off; repeat it: `millrace reset --only carts,inventory`";
    assert!(refused.contains(says), "{refused}");
    printed(folder, &["reset", "--yes", "--only", "inventory"]);
    let refused = serve();
    assert!(
        refused.contains("`millrace reset --only carts`"),
        "{refused}"
    );
    printed(folder, &["reset", "--yes", "--only", "carts"]);
    assert!(!folder.join("reset-unfinished").exists());
}

#[test]
fn the_catalogue_and_the_topologies_need_no_market() {
    let nowhere = Path::new("/nonexistent/millrace");
    let topics = printed(nowhere, &["topics"]);
    assert!(
        topics.starts_with("topic ") && topics.contains("\naudit-events "),
        "{topics}"
    );
    let list = printed(nowhere, &["topology", "list"]);
    assert!(
        list.lines().any(|line| line.starts_with("audit ")),
        "{list}"
    );
    for (format, shown) in [
        ("text", "Sub-topology: 0"),
        ("mermaid", "flowchart"),
        ("json", "\"durable_names\""),
    ] {
        let drawn = printed(
            nowhere,
            &["topology", "describe", "audit", "--format", format],
        );
        assert!(drawn.contains(shown), "{drawn}");
    }
    let views = printed(nowhere, &["topology", "describe", "views"]);
    assert!(views.contains("(stores: [order-view])"), "{views}");
}

#[test]
fn a_topology_as_json_has_its_nodes_and_what_leads_where() {
    let nowhere = Path::new("/nonexistent/millrace");
    let arguments = ["topology", "describe", "categories", "--format", "json"];
    let drawn: Value = serde_json::from_str(&printed(nowhere, &arguments)).expect("JSON");
    let part = &drawn["subtopologies"][0];
    assert_eq!(part["global"], false);
    let list = |name: &str| part[name].as_array().expect("a list").clone();
    let (nodes, edges) = (list("nodes"), list("edges"));
    let named = |name: &Value| nodes.iter().find(|node| node["name"] == *name);
    // From the source along the edges to the store, and from there to every sink.
    let source = nodes.iter().find(|node| node["role"] == "source");
    let source = source.expect("a source");
    assert_eq!(source["topic"], "category-commands");
    let next = edges.iter().find(|edge| edge["from"] == source["name"]);
    let decides = named(&next.expect("an edge")["to"]).expect("a node");
    assert_eq!(
        decides["stores"],
        json!(["category-tree", "category-tree-deadlines"])
    );
    let sinks = nodes.iter().filter(|node| node["role"] == "sink");
    let topics: Vec<_> = sinks.clone().map(|sink| &sink["topic"]).collect();
    assert_eq!(topics, ["category-events", "command-replies", "categories"]);
    for sink in sinks {
        assert!(edges.iter().any(|edge| edge["to"] == sink["name"]));
    }
}
