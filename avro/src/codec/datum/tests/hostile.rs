//! Bytes that lie about what follows.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::{any, proptest};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::tree::Tree;
use super::{CHAIN, Chain, Shape, decode, encoded, schema};
use crate::codec::datum::EMPTY_ITEMS_MAX;
use crate::samples::Schemas;

const I64_MAX: [u8; 10] = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
const I64_MIN: [u8; 10] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
const LONGS: &str = r#"{"type": "array", "items": "long"}"#;

fn read<T: DeserializeOwned>(schema: &str, bytes: &[u8]) -> Result<T, String> {
    let shape = Shape::of(&self::schema(schema));
    decode::read(bytes, &shape).map_err(|error| error.to_string())
}

#[track_caller]
fn refused<T: DeserializeOwned + std::fmt::Debug>(schema: &str, bytes: &[u8]) -> String {
    read::<T>(schema, bytes).unwrap_err()
}

#[test]
fn a_length_beyond_the_bytes_allocates_nothing_and_is_an_error() {
    let ends = "the bytes end too early";
    for ty in [r#""bytes""#, r#""string""#] {
        assert_eq!(refused::<Tree>(ty, &I64_MAX), ends);
        assert_eq!(
            refused::<Tree>(ty, &I64_MIN),
            format!("a length of {}", i64::MIN)
        );
        assert_eq!(refused::<Tree>(ty, &[1]), "a length of -1");
        assert_eq!(refused::<Tree>(ty, &[4, 0]), ends);
    }
    let fixed = r#"{"type": "fixed", "name": "F", "size": 3}"#;
    assert_eq!(refused::<Tree>(fixed, &[0, 0]), ends);
}

#[test]
fn a_block_of_more_items_than_bytes_is_an_error() {
    let map = r#"{"type": "map", "values": "long"}"#;
    for ty in [LONGS, map] {
        assert_eq!(
            refused::<Tree>(ty, &I64_MAX),
            format!("a block of {} items", i64::MAX)
        );
        let count = [&I64_MIN[..], &[2]].concat();
        assert_eq!(
            refused::<Tree>(ty, &count),
            format!("a block of {} items", 1_u64 << 63)
        );
    }
    let nulls = r#"{"type": "array", "items": "null"}"#;
    assert!(refused::<Vec<()>>(nulls, &I64_MAX).contains("a block of"));
    let shape = Shape::of(&schema(nulls));
    let many = encoded(&vec![(); EMPTY_ITEMS_MAX], &shape).unwrap();
    assert_eq!(
        read::<Vec<()>>(nulls, &many).map(|nulls| nulls.len()),
        Ok(EMPTY_ITEMS_MAX)
    );
    encoded(&vec![(); EMPTY_ITEMS_MAX + 1], &shape).unwrap_err();
}

#[test]
fn items_come_in_blocks_with_and_without_their_size() {
    let numbers = |bytes: &[u8]| read::<Vec<i64>>(LONGS, bytes);
    assert_eq!(numbers(&[0]), Ok(vec![]));
    assert_eq!(numbers(&[4, 2, 4, 2, 6, 0]), Ok(vec![1, 2, 3]));
    assert_eq!(numbers(&[3, 4, 2, 4, 1, 2, 6, 0]), Ok(vec![1, 2, 3]));
    assert_eq!(numbers(&[4, 2]), Err("the bytes end too early".into()));
    assert_eq!(numbers(&[2, 2]), Err("the bytes end too early".into()));
    let map = r#"{"type": "map", "values": "long"}"#;
    let entries = read::<BTreeMap<String, i64>>(map, &[1, 6, 2, b'a', 2, 2, 2, b'b', 4, 0]);
    assert_eq!(
        entries,
        Ok([("a".to_owned(), 1), ("b".to_owned(), 2)].into())
    );
}

#[test]
fn a_tuple_takes_as_many_items_as_it_has() {
    assert_eq!(read::<(i64, i64)>(LONGS, &[4, 2, 4, 0]), Ok((1, 2)));
    assert_eq!(
        read::<(i64, i64)>(LONGS, &[6, 2, 4, 6, 0]),
        Err("more items than are expected".into())
    );
    refused::<(i64, i64)>(LONGS, &[2, 2, 0]);
}

#[test]
fn numbers_and_booleans_and_text_are_what_their_type_allows() {
    assert_eq!(
        refused::<i64>(r#""long""#, &[0xff; 11]),
        "a number beyond 64 bits"
    );
    let beyond = [&[0xff; 9][..], &[2]].concat();
    assert_eq!(
        refused::<i64>(r#""long""#, &beyond),
        "a number beyond 64 bits"
    );
    assert_eq!(read::<i64>(r#""long""#, &I64_MIN), Ok(i64::MIN));
    let int = refused::<i32>(r#""int""#, &I64_MAX);
    assert_eq!(int, format!("{} for an int", i64::MAX));
    assert_eq!(
        refused::<bool>(r#""boolean""#, &[2]),
        "byte 2 for a boolean"
    );
    assert_eq!(
        refused::<String>(r#""string""#, &[2, 0xff]),
        "text that is not UTF-8"
    );
    assert_eq!(
        refused::<bool>(r#""boolean""#, &[1, 1]),
        "1 bytes are left over"
    );
}

#[test]
fn a_symbol_or_branch_that_does_not_exist_is_an_error() {
    let kind = r#"{"type": "enum", "name": "Kind", "symbols": ["A", "B"]}"#;
    assert_eq!(refused::<String>(kind, &[4]), "symbol 2 of 2");
    assert_eq!(refused::<String>(kind, &[1]), "symbol -1 of 2");
    let union = r#"["null", "long"]"#;
    assert_eq!(refused::<Option<i64>>(union, &[4, 0]), "branch 2 of 2");
}

#[test]
fn an_error_names_its_place() {
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it cannot be read")]
    struct Outer {
        lines: Vec<Line>,
    }
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it cannot be read")]
    struct Line {
        gift: bool,
    }
    let schema = r#"{"type": "record", "name": "Outer", "fields": [{"name": "lines", "type": {
        "type": "array", "items": {"type": "record", "name": "Line", "fields": [
            {"name": "gift", "type": "boolean"}
        ]}
    }}]}"#;
    let error = refused::<Outer>(schema, &[2, 7, 0]);
    assert_eq!(error, "/lines/gift: byte 7 for a boolean");
}

proptest! {
    #[test]
    fn no_bytes_panic_or_exhaust_memory(seed in 0..64_u64, bytes in vec(any::<u8>(), 0..200)) {
        let shape = Shape::of(&Schemas::record(seed));
        decode::read::<Tree>(&bytes, &shape).ok();
        let shape = Shape::of(&schema(CHAIN));
        decode::read::<Chain>(&bytes, &shape).ok();
    }
}
