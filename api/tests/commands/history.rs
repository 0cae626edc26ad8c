//! What commands refuse because it cannot be taken back.

use std::path::Path;

use millrace_avro::keys::Sku;
use millrace_streams::log::TopicPartition;
use millrace_streams::log::embedded::{EmbeddedLog, EmbeddedOptions};

use crate::support::{Market, lines, printed, refusal, run};

/// Deletes the first records of `topic`, as its retention does in time.
fn age(folder: &Path, topic: &str) {
    let log = EmbeddedLog::open(folder.join("log"), EmbeddedOptions::default()).expect("a log");
    for partition in 0..4 {
        let partition = TopicPartition::new(topic, partition);
        log.purge_before(&partition, 1).expect("an older log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_that_would_lose_what_is_deleted_from_the_input_has_to_be_asked_for() {
    let market = Market::start().await;
    let sku = Sku::new("mug-red").expect("a key");
    market.append(market.delivery("one", &sku, 5)).await;
    market.append(market.delivery("two", &sku, 2)).await;
    market.shows(&sku, 7).await;
    let folder = market.stop().await;
    let folder = folder.path();
    age(folder, "inventory-commands");

    for arguments in [&["reset", "--yes"][..], &["reset", "--only", "inventory"]] {
        let refused = run(folder, arguments);
        let (said, line) = (
            String::from_utf8_lossy(&refused.stdout).into_owned(),
            refusal(&refused),
        );
        assert!(
            said.contains(
                "LOSES FOR EVER: what the records said that are deleted from inventory-commands"
            ),
            "{said}"
        );
        assert!(
            line.contains("nothing was reset") && line.contains("`--lose-history`"),
            "{line}"
        );
    }
    let held = lines(folder, &["state", "dump", "stock-by-sku"]);
    assert_eq!(held[0]["value"]["sku"], "mug-red", "nothing is lost yet");

    let refused = refusal(&run(folder, &["replay", "inventory-events"]));
    assert!(refused.contains("takes no dead letters"), "{refused}");

    let told = printed(folder, &["reset", "--yes", "--only", "carts"]);
    assert!(told.contains("`carts` begins anew"), "{told}");
    let lost = ["reset", "--yes", "--only", "inventory", "--lose-history"];
    let told = printed(folder, &lost);
    assert!(told.contains("`inventory` begins anew"), "{told}");
}
