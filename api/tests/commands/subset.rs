//! `serve --only NAMES` runs these topologies and no others.

use std::path::Path;

use millrace_deploy::market::{Market, MarketOptions};
use tokio::task::block_in_place;

use crate::support::{refusal, run, settings};

#[test]
fn the_named_topologies_are_run_and_no_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = settings(folder.path());
    settings.only = vec!["inventory".into(), "audit".into()];
    let entries = settings.entries().expect("known names");
    let names: Vec<_> = entries.iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["inventory", "audit"]);
}

#[test]
fn an_unknown_name_is_refused_with_those_that_there_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = refusal(&run(
        folder.path(),
        &["serve", "--only", "inventory,shipping"],
    ));
    assert!(
        refused.contains("no topology is named `shipping`; there are products,"),
        "{refused}"
    );
    assert!(
        !folder.path().join("log").exists(),
        "nothing is made before the settings hold"
    );
}

/// The program on the data in `folder`, as the flags say.
fn market(folder: &Path, flags: &[&str]) -> Market {
    let options = MarketOptions::new(env!("CARGO_BIN_EXE_millrace")).data(folder);
    let flags = ["--no-demo", "--command-wait", "1s"].iter().chain(flags);
    let options = flags.fold(options, |options, flag| options.switch(flag));
    block_in_place(|| Market::start(options)).expect("a market that is ready")
}

/// Whether the log tells that a task of a topology runs.
fn runs(market: &Market, topology: &str) -> bool {
    let line = format!("task runs application={topology} ");
    market.log().contains(&line)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_of_inventory_alone_decides_about_stock_and_leaves_orders_to_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = market(folder.path(), &[]);
    let admin = whole.shop().admin().await.expect("a login");
    admin.offer("lamp", &[("lamp", 5)]).await.expect("an offer");
    let ada = whole.shop().buyer("ada@example.com").await;
    let ada = ada.expect("an account");
    let put = ada.put_in_cart("lamp", 1).await.expect("an answer");
    assert_eq!(put.status, 200, "{put:?}");
    drop(whole);

    let part = market(folder.path(), &["--only", "inventory"]);
    let placed = ada.at(&part.shop()).place("pm_ok", "only").await;
    let placed = placed.expect("an answer");
    assert_eq!(placed.status, 202, "nobody decides: {placed:?}");
    // Later than the order, and decided.
    let admin = admin.at(&part.shop());
    admin.receive("lamp", 2).await.expect("a delivery");
    assert_eq!(admin.stock("lamp").await.expect("a stock").on_hand, 7);
    let orders = ada.at(&part.shop()).orders().await.expect("a list");
    assert_eq!(orders, []);
    let others = ["orders", "payments", "carts", "products", "audit"];
    let running: Vec<_> = others.iter().filter(|name| runs(&part, name)).collect();
    assert!(
        runs(&part, "inventory") && running.is_empty(),
        "{running:?}"
    );
    drop(part);

    let whole = market(folder.path(), &[]);
    let order = ada.at(&whole.shop()).order(placed.id(), 30).await;
    assert_eq!(order.expect("the order").status, "confirmed");
}
