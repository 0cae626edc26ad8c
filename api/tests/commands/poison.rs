//! What cannot be understood goes to the dead letters, the rest goes on, and letters come back.

use millrace_avro::keys::Sku;
use millrace_streams::headers::HeaderList;
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

/// A dead letter about a source that is no whole record; `part` names what it is about.
fn letter_of_a_part(topic: &str, offset: &str, part: Option<(&str, &str)>) -> NewRecord {
    let mut headers = HeaderList::new();
    let place = [("topic", topic), ("partition", "0"), ("offset", offset)];
    for (name, value) in place.into_iter().chain(part) {
        headers.set(&format!("__streams.errors.{name}"), value.as_bytes());
    }
    NewRecord {
        topic: LETTERS.into(),
        key: Some(b"mug-red".to_vec()),
        value: Some(b"old".to_vec()),
        headers,
        timestamp: millrace_api::clock::now(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_whole_record_is_left_as_it_is_and_the_reason_is_told() {
    const CHANGELOG: &str = "inventory-stock-by-sku-changelog";
    let market = Market::start().await;
    let update = Some(("update", "stock-by-sku"));
    let output = Some(("output", "stock-levels"));
    for letter in [
        letter_of_a_part(CHANGELOG, "-1", update),
        letter_of_a_part("inventory-commands", "0", output),
        letter_of_a_part(CHANGELOG, "0", None),
        letter_of_a_part("inventory-commands", "-1", None),
    ] {
        market.append(letter).await;
    }
    let folder = market.stop().await;
    let folder = folder.path();
    let before = lines(folder, &["log", "dump", CHANGELOG]).len();
    let printed = printed(folder, &["replay", LETTERS]);
    let reasons: Vec<_> = printed.lines().collect();
    assert_eq!(
        reasons,
        [
            "inventory-dead-letter-0 0 stays: it is an update of store `stock-by-sku`, not a record",
            "inventory-dead-letter-0 1 stays: only an output to `stock-levels` is missing",
            "inventory-dead-letter-0 2 stays: only its application writes to \
             `inventory-stock-by-sku-changelog`",
            "inventory-dead-letter-0 3 stays: it is about no record of a topic",
            "0 put back, 4 left as they are",
        ]
    );
    assert_eq!(lines(folder, &["log", "dump", CHANGELOG]).len(), before);
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
