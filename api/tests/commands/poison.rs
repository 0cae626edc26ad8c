//! What cannot be understood goes to the dead letters, the rest goes on, and letters come back.

use millrace_avro::keys::Sku;
use millrace_streams::log::{LogError, NewRecord};
use serde_json::{Value, json};

use crate::support::{Market, lines, printed, run};

const LETTERS: &str = "inventory-dead-letter";

fn sku() -> Sku {
    Sku::new("mug-red").expect("a key")
}

/// Commands that nobody can read, under the key of one that everybody can.
fn poison(good: &NewRecord) -> [NewRecord; 3] {
    let cut_off = |bytes: &Vec<u8>| bytes[..bytes.len() - 3].to_vec();
    let unknown_id = |bytes: &Vec<u8>| {
        let mut bytes = bytes.clone();
        bytes[1..5].copy_from_slice(&u32::MAX.to_be_bytes());
        bytes
    };
    [
        NewRecord {
            value: good.value.as_ref().map(cut_off),
            ..good.clone()
        },
        NewRecord {
            value: good.value.as_ref().map(unknown_id),
            ..good.clone()
        },
        NewRecord {
            key: None,
            ..good.clone()
        },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_becomes_a_dead_letter_and_comes_back_exactly_once() {
    let market = Market::start().await;
    let good = market.delivery("good", &sku(), 5);
    for record in poison(&good) {
        market.append(record).await;
    }
    let too_large = NewRecord {
        value: Some(vec![0; 64 << 20]),
        ..good.clone()
    };
    let writer = market.ground.log.writer("test").expect("a writer");
    let refused = writer.append(too_large).await;
    assert!(
        matches!(refused, Err(LogError::RecordTooLarge { .. })),
        "{refused:?}"
    );
    drop(writer);
    market.append(good).await;
    market.shows(&sku(), 5).await;
    let folder = market.stop().await;
    let folder = folder.path();

    let letters = lines(folder, &["log", "dump", LETTERS]);
    assert_eq!(letters.len(), 3);
    for letter in &letters {
        let headers = &letter["headers"];
        assert_eq!(headers["__streams.errors.topic"], "inventory-commands");
        assert_ne!(headers["__streams.errors.message"], "");
        assert_eq!(headers["ce_id"], "good");
    }

    let dry = printed(folder, &["replay", LETTERS, "--dry-run"]);
    assert!(
        dry.ends_with("3 would be put back, 0 left as they are\n"),
        "{dry}"
    );
    let first = printed(folder, &["replay", LETTERS]);
    assert!(
        first.ends_with("3 put back, 0 left as they are\n"),
        "{first}"
    );
    let second = printed(folder, &["replay", LETTERS]);
    assert_eq!(second, "0 put back, 0 left as they are\n");
    let commands = lines(folder, &["log", "dump", "inventory-commands"]);
    assert_eq!(commands.len(), 7);
    let back = commands
        .iter()
        .filter(|c| c["headers"]["__replay.topic"] == LETTERS);
    let faults = back
        .clone()
        .filter(|c| c["headers"].get("__streams.errors.topic").is_some());
    assert_eq!((back.count(), faults.count()), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_for_an_unknown_sku_gets_an_answer_that_names_it() {
    let market = Market::start().await;
    let body = json!({ "sku": "nothing", "quantity": 1 });
    let request = reqwest::Client::new().post(market.url("/api/cart/items"));
    let answer = request.json(&body).send().await.expect("an answer");
    assert_eq!(answer.status(), 422);
    let problem: Value = answer.json().await.expect("a problem");
    assert_eq!(problem["errors"][0]["pointer"], "/sku", "{problem}");
    market.stop().await;
}

#[test]
fn what_is_no_topic_is_not_replayed() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = crate::support::refusal(&run(folder.path(), &["replay", LETTERS]));
    assert!(
        refused.contains("holds no log") && refused.contains("--data"),
        "{refused}"
    );
}
