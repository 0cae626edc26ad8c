//! Events and records as bytes: round trips, golden bytes, and bytes that are wrong.

mod support;

use millrace_avro::codec::{from_datum, to_datum};
use millrace_avro::event::{Event, EventId, Meta};
use millrace_streams::Timestamp;
use millrace_streams::headers::HeaderList;
use millrace_streams::serde::{Presence, Resources, Serde, SerdeError};
use support::*;

fn event() -> Event<OrderEvent> {
    let id = EventId::new("e1");
    let meta = Meta::new(id, "/orders", Timestamp::from_millis(1_700_000_000_123));
    Event::new(meta.with_seq(1), placed())
}

fn cancelled() -> Event<OrderEvent> {
    let meta = Meta::new(EventId::new("e2"), "/orders", Timestamp::from_millis(5));
    Event::new(
        meta,
        Cancelled {
            order: "o1".into(),
            at: 5,
        },
    )
}

#[test]
fn an_event_survives_the_round_trip_with_its_metadata() {
    let resources = resources();
    for event in [event(), cancelled()] {
        let (bytes, headers) = written(&resources, &event);
        assert_eq!(read(&resources, &bytes, &headers), Ok(event));
    }
}

#[test]
fn the_bytes_of_an_event_are_golden() {
    let (bytes, headers) = written(&resources(), &event());
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    expect_test::expect!["0000000001046f3102020a736b752d31049e1f00021472696e6720747769636502026b02760001000000000000f83f04dead"].assert_eq(&hex);
    expect_test::expect![[r#"
        {
            "ce_specversion": Some(
                "1.0",
            ),
            "content-type": Some(
                "application/avro",
            ),
            "ce_id": Some(
                "e1",
            ),
            "ce_type": Some(
                "order.placed",
            ),
            "ce_source": Some(
                "/orders",
            ),
            "correlation_id": Some(
                "e1",
            ),
            "causation_id": Some(
                "e1",
            ),
            "ce_time": Some(
                "2023-11-14T22:13:20.123Z",
            ),
            "seq": Some(
                "1",
            ),
        }
    "#]]
    .assert_debug_eq(&headers);
}

#[test]
fn a_record_survives_the_round_trip_and_leaves_headers_alone() {
    let resources = resources();
    let (bytes, headers) = written(&resources, &placed());
    assert!(headers.view().is_empty());
    assert_eq!(read(&resources, &bytes, &headers), Ok(placed()));
    assert_eq!(from_datum(&to_datum(&placed()).unwrap()), Ok(placed()));
}

#[test]
fn a_tombstone_is_none() {
    let resources = resources();
    let mut serde = serde::<Option<Placed>>(&resources).unwrap();
    let (mut headers, mut out) = (HeaderList::new(), Vec::new());
    let presence = serde.serialize(&None, &mut headers, &mut out);
    assert_eq!(presence, Ok(Presence::Null));
    assert_eq!(serde.deserialize(None, headers.view()), Ok(None));
    let null = support::serde::<Placed>(&resources)
        .unwrap()
        .deserialize(None, headers.view());
    assert_eq!(
        null,
        Err(SerdeError::Null {
            what: "test.Placed"
        })
    );
}

#[test]
fn a_type_that_the_reader_does_not_know_is_named() {
    let resources = resources();
    let (bytes, headers) = written(&resources, &cancelled());
    let name = "test.Cancelled".to_owned();
    assert_eq!(
        read::<Event<OldOrderEvent>>(&resources, &bytes, &headers),
        Err(SerdeError::UnknownType { name })
    );
}

fn reason<T: std::fmt::Debug>(result: Result<T, SerdeError>) -> String {
    match result {
        Err(SerdeError::Malformed { reason, .. }) => reason,
        other => panic!("not malformed: {other:?}"),
    }
}

#[test]
fn malformed_bytes_say_what_is_wrong() {
    let resources = resources();
    let (good, headers) = written(&resources, &event());
    let reason = |bytes: &[u8]| reason(read::<Event<OrderEvent>>(&resources, bytes, &headers));
    assert_eq!(reason(&[]), "0 bytes, too few for the wire format");
    assert_eq!(reason(&good[..4]), "4 bytes, too few for the wire format");
    assert_eq!(reason(&[1, 0, 0, 0, 1]), "magic byte 1, not 0");
    assert_eq!(
        reason(&[0, 0, 0, 0, 99, 1]),
        "the schema registry knows no schema 99"
    );
    let long = [&good[..], &[7, 7]].concat();
    assert_eq!(reason(&long), "2 bytes are left over");
}

#[test]
fn every_truncation_is_malformed() {
    let resources = resources();
    let (good, headers) = written(&resources, &event());
    for len in 0..good.len() {
        reason(read::<Event<OrderEvent>>(
            &resources,
            &good[..len],
            &headers,
        ));
    }
}

#[test]
fn no_flipped_byte_panics() {
    let resources = resources();
    let (good, headers) = written(&resources, &event());
    let mut serde = serde::<Event<OrderEvent>>(&resources).unwrap();
    for position in 5..good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[position] ^= flip;
            serde.deserialize(Some(&bytes), headers.view()).ok();
        }
    }
}

#[test]
fn the_schema_of_another_record_is_malformed_for_state() {
    let resources = resources();
    let (bytes, headers) = written(
        &resources,
        &Cancelled {
            order: "o".into(),
            at: 1,
        },
    );
    let (_, _) = written(&resources, &placed());
    assert_eq!(
        reason(read::<Placed>(&resources, &bytes, &headers)),
        "schema 1 is of `test.Cancelled`"
    );
}

#[test]
fn a_value_that_violates_its_schema_leaves_no_bytes_behind() {
    #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Wrong {
        a: String,
    }
    millrace_avro::avro_record!(Wrong = "test.Wrong", schema r#"{
        "type": "record", "name": "Wrong", "namespace": "test",
        "fields": [{"name": "a", "type": "long"}]
    }"#);
    millrace_avro::avro_data!(Wrong);
    let mut serde = serde::<Wrong>(&resources()).unwrap();
    let mut out = b"before".to_vec();
    let wrong = Wrong { a: "x".into() };
    let result = serde.serialize(&wrong, &mut HeaderList::new(), &mut out);
    reason(result);
    assert_eq!(out, b"before");
}

#[test]
fn without_a_client_no_serde_is_built() {
    let result = serde::<Placed>(&Resources::new()).map(drop);
    assert!(reason(result).contains("Resources::with"));
}
