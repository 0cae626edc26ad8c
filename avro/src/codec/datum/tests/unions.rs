//! Unions as options, as untagged enums, and as enums whose variants name the branch.

use serde::{Deserialize, Serialize};

use super::{CHAIN, Chain, Shape, decode, encoded, round_trip, schema};
use crate::codec::datum::DEPTH_MAX;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Card {
    number: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Transfer {
    number: String,
}

const MEANS: &str = r#"{"type": "record", "name": "Paid", "fields": [{"name": "by", "type": [
    "null",
    "string",
    {"type": "array", "items": "long"},
    {"type": "record", "name": "Card", "fields": [{"name": "number", "type": "string"}]},
    {"type": "record", "name": "Transfer", "fields": [{"name": "number", "type": "string"}]},
    {"type": "enum", "name": "Kind", "symbols": ["CASH", "GIFT"]}
]}]}"#;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    #[serde(rename = "CASH")]
    Cash,
    #[serde(rename = "GIFT")]
    Gift,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Means {
    #[serde(rename = "null")]
    Nothing,
    #[serde(rename = "string")]
    Note(String),
    #[serde(rename = "array")]
    Parts(i64, i64),
    Card(Card),
    Transfer {
        number: String,
    },
    Kind(Kind),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Paid<T> {
    by: T,
}

#[test]
fn a_variant_is_the_branch_of_its_name() {
    let number = || "4".to_owned();
    let means = [
        (Means::Nothing, &[0][..]),
        (Means::Note(number()), &[2, 2, b'4']),
        (Means::Parts(1, 2), &[4, 4, 2, 4, 0]),
        (Means::Card(Card { number: number() }), &[6, 2, b'4']),
        (Means::Transfer { number: number() }, &[8, 2, b'4']),
        (Means::Kind(Kind::Gift), &[10, 2]),
    ];
    for (by, bytes) in means {
        assert_eq!(round_trip(&Paid { by }, &schema(MEANS)), bytes);
    }
}

#[test]
fn an_untagged_enum_is_the_branch_that_takes_its_value() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Kind(Kind),
        Note(String),
        Card(Card),
    }
    let schema = schema(MEANS);
    let card = || Card { number: "4".into() };
    round_trip(
        &Paid {
            by: Untagged::Card(card()),
        },
        &schema,
    );
    round_trip(
        &Paid {
            by: Some(Untagged::Note("x".into())),
        },
        &schema,
    );
    assert_eq!(
        round_trip(
            &Paid {
                by: None::<Untagged>
            },
            &schema
        ),
        [0]
    );
}

#[test]
fn a_struct_is_the_branch_of_its_name() {
    let transfer = Some(Transfer { number: "4".into() });
    assert_eq!(
        round_trip(&Paid { by: transfer }, &schema(MEANS)),
        [8, 2, b'4']
    );
}

#[test]
fn an_optional_enum_is_read_by_its_symbols_even_if_one_is_its_name() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Odd {
        Odd,
        #[serde(rename = "null")]
        Null,
    }
    let schema = schema(r#"["null", {"type": "enum", "name": "Odd", "symbols": ["null", "Odd"]}]"#);
    assert_eq!(round_trip(&Some(Odd::Odd), &schema), [2, 2]);
    assert_eq!(round_trip(&Some(Odd::Null), &schema), [2, 0]);
    assert_eq!(round_trip(&None::<Odd>, &schema), [0]);
}

#[test]
fn a_variant_that_no_branch_has_is_refused() {
    #[derive(Serialize)]
    enum Other {
        Cheque(String),
        Coin,
    }
    let shape = Shape::of(&schema(MEANS));
    let refused = encoded(
        &Paid {
            by: Other::Cheque("1".into()),
        },
        &shape,
    )
    .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "/by/Cheque: a variant with content, whose name is that of no branch of a union"
    );
    let kind = Shape::of(&schema(
        r#"{"type": "enum", "name": "Kind", "symbols": ["CASH"]}"#,
    ));
    let refused = encoded(&Other::Coin, &kind).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "/Coin: text where the schema has an enum"
    );
}

#[test]
fn what_is_too_deep_to_be_read_is_not_written() {
    let schema = schema(CHAIN);
    round_trip(&Chain::of(DEPTH_MAX.into()), &schema);
    let shape = Shape::of(&schema);
    let deeper = Chain::of(usize::from(DEPTH_MAX) + 1);
    let refused = encoded(&deeper, &shape).unwrap_err().to_string();
    assert!(refused.ends_with("nested more than 64 deep"), "{refused}");
    let bytes = [vec![2; DEPTH_MAX.into()], vec![0]].concat();
    let refused = decode::read::<Chain>(&bytes, &shape)
        .unwrap_err()
        .to_string();
    assert!(refused.ends_with("nested more than 64 deep"), "{refused}");
}
