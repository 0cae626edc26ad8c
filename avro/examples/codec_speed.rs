//! What Avro's encodings cost for an order of twelve fields and three lines, on one core.
//!
//! `cargo run --release -p millrace-avro --example codec_speed`

#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::hint::black_box;
use std::time::Instant;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use millrace_avro::codec::{Data, SchemaClient, SerdeContext, from_datum, subject, to_datum};
use millrace_avro::event::{Event, EventId, Meta};
use millrace_avro::registry::Registry;
use millrace_streams::Timestamp;
use millrace_streams::headers::HeaderList;
use millrace_streams::serde::{Resources, Role, Serde as _};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Status {
    Pending,
    Confirmed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    sku: String,
    title: String,
    quantity: i32,
    unit_price: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Address {
    name: String,
    street: String,
    city: String,
    postcode: String,
    country: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OrderCreated {
    order_id: String,
    user_id: String,
    status: Status,
    currency: String,
    lines: Vec<Line>,
    subtotal: i64,
    shipping: i64,
    tax: i64,
    total: i64,
    promotion: Option<String>,
    ship_to: Address,
    created_at: i64,
}

const SCHEMA: &str = r#"{
    "type": "record", "name": "OrderCreated", "namespace": "speed", "fields": [
        {"name": "order_id", "type": "string"},
        {"name": "user_id", "type": "string"},
        {"name": "status", "type": {
            "type": "enum", "name": "Status", "symbols": ["PENDING", "CONFIRMED"]
        }},
        {"name": "currency", "type": "string"},
        {"name": "lines", "type": {"type": "array", "items": {
            "type": "record", "name": "Line", "fields": [
                {"name": "sku", "type": "string"},
                {"name": "title", "type": "string"},
                {"name": "quantity", "type": "int"},
                {"name": "unit_price", "type": "long"}
            ]
        }}},
        {"name": "subtotal", "type": "long"},
        {"name": "shipping", "type": "long"},
        {"name": "tax", "type": "long", "default": 0},
        {"name": "total", "type": "long"},
        {"name": "promotion", "type": ["null", "string"], "default": null},
        {"name": "ship_to", "type": {"type": "record", "name": "Address", "fields": [
            {"name": "name", "type": "string"},
            {"name": "street", "type": "string"},
            {"name": "city", "type": "string"},
            {"name": "postcode", "type": "string"},
            {"name": "country", "type": "string"}
        ]}},
        {"name": "created_at", "type": "long"}
    ]
}"#;

const TAX: &str = r#"{"name": "tax", "type": "long", "default": 0},"#;

millrace_avro::avro_record!(OrderCreated = "speed.OrderCreated", schema SCHEMA);
millrace_avro::events! {
    enum OrderEvent {
        Created(OrderCreated) = "order.created",
    }
}

/// [`OrderCreated`] before it had a tax.
#[derive(Serialize)]
struct Untaxed {
    order_id: String,
    user_id: String,
    status: Status,
    currency: String,
    lines: Vec<Line>,
    subtotal: i64,
    shipping: i64,
    total: i64,
    promotion: Option<String>,
    ship_to: Address,
    created_at: i64,
}

impl From<OrderCreated> for Untaxed {
    fn from(order: OrderCreated) -> Self {
        Self {
            order_id: order.order_id,
            user_id: order.user_id,
            status: order.status,
            currency: order.currency,
            lines: order.lines,
            subtotal: order.subtotal,
            shipping: order.shipping,
            total: order.total,
            promotion: order.promotion,
            ship_to: order.ship_to,
            created_at: order.created_at,
        }
    }
}

fn order() -> OrderCreated {
    let line = |number: i32| Line {
        sku: format!("SKU-{number:06}"),
        title: "A pair of woollen socks".into(),
        quantity: number,
        unit_price: 1_299,
    };
    OrderCreated {
        order_id: "01890a5d-ac96-774b-bcce-b302099a8057".into(),
        user_id: "01890a5d-ac96-774b-bcce-b302099a8058".into(),
        status: Status::Pending,
        currency: "EUR".into(),
        lines: (1..=3).map(line).collect(),
        subtotal: 7_794,
        shipping: 490,
        tax: 1_322,
        total: 8_284,
        promotion: Some("WINTER10".into()),
        ship_to: Address {
            name: "Ada Lovelace".into(),
            street: "12 St James's Square".into(),
            city: "London".into(),
            postcode: "SW1Y 4JH".into(),
            country: "GB".into(),
        },
        created_at: 1_700_000_000_123,
    }
}

/// Prints the best of five rounds: noise only ever adds.
fn measure<T>(what: &str, mut run: impl FnMut() -> T) {
    const CALLS: u32 = 50_000;
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let begin = Instant::now();
        for _ in 0..CALLS {
            black_box(run());
        }
        best = best.min(begin.elapsed().as_secs_f64() / f64::from(CALLS));
    }
    println!("{what:<44} {:>8.0} ns", best * 1e9);
}

fn apache(order: &OrderCreated) -> Result<(), Box<dyn std::error::Error>> {
    let schema = apache_avro::Schema::parse_str(SCHEMA)?;
    let writer = GenericDatumWriter::builder(&schema).build()?;
    let reader = GenericDatumReader::builder(&schema).build()?;
    let bytes = writer.write_ser_to_vec(order)?;
    println!("{} bytes", bytes.len());
    measure("apache-avro encode, value tree", || {
        let value = apache_avro::to_value(order)?.resolve(&schema)?;
        writer.write_value_to_vec(value)
    });
    measure("apache-avro encode, serde", || {
        writer.write_ser_to_vec(order)
    });
    measure("apache-avro decode, value tree", || {
        let value = reader.read_value(&mut &bytes[..])?;
        apache_avro::from_value::<OrderCreated>(&value)
    });
    measure("apache-avro decode, serde", || {
        reader.read_deser::<OrderCreated>(&mut &bytes[..])
    });
    Ok(())
}

fn ours(order: &OrderCreated) -> Result<(), Box<dyn std::error::Error>> {
    let bytes = to_datum(order)?;
    measure("millrace-avro encode", || to_datum(order));
    measure("millrace-avro decode", || {
        from_datum::<OrderCreated>(&bytes)
    });
    Ok(())
}

/// A whole event with its eleven headers, as a task writes and reads it.
fn events(order: &OrderCreated) -> Result<(), Box<dyn std::error::Error>> {
    let registry = std::sync::Arc::new(Registry::in_memory());
    // The same record before it had a tax: its default must be filled in.
    let old = SCHEMA.replace(TAX, "");
    let old_id = registry.register(&subject("orders", "speed.OrderCreated"), &old)?;
    let old = apache_avro::Schema::parse_str(&old)?;
    let old = GenericDatumWriter::builder(&old).build()?;
    let untaxed = old.write_ser_to_vec(&Untaxed::from(order.clone()))?;
    let untaxed = [&[0][..], &old_id.to_be_bytes(), &untaxed].concat();
    let resources = Resources::new().with(std::sync::Arc::new(SchemaClient::local(registry)));
    let at = SerdeContext {
        topic: "orders",
        role: Role::Value,
        resources: &resources,
    };
    let mut serde = <Event<OrderEvent> as Data>::serde(&at)?;
    let meta = Meta::new(EventId::random(), "/orders", Timestamp::from_millis(1));
    let meta = meta
        .with_seq(1)
        .with_actor("u-1")
        .with_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let event = Event::<OrderEvent>::new(meta, order.clone());
    let (mut headers, mut bytes) = (HeaderList::new(), Vec::new());
    measure("event with its headers, encode", || {
        headers.clear();
        bytes.clear();
        serde.serialize(&event, &mut headers, &mut bytes)
    });
    measure("event with its headers, decode", || {
        serde.deserialize(Some(&bytes), headers.view())
    });
    measure("event of an older schema, resolved", || {
        serde.deserialize(Some(&untaxed), headers.view())
    });
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let order = order();
    apache(&order)?;
    ours(&order)?;
    events(&order)
}
