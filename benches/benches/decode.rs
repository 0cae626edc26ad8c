//! What an event costs between bytes and a value: an order of three lines, with its headers.

mod kit;

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kit::CpuTime;
use millrace_avro::codec::{Data as _, SchemaClient, SerdeContext};
use millrace_avro::event::{Event, EventId, Meta};
use millrace_avro::events::orders::{OrderCreated, OrderEvent, OrderLine, Totals};
use millrace_avro::keys::{OrderId, ProductId, Sku, UserId};
use millrace_avro::money::{Currency, Money, Rate};
use millrace_avro::registry::Registry;
use millrace_streams::Timestamp;
use millrace_streams::headers::HeaderList;
use millrace_streams::serde::{Resources, Role, Serde as _};

fn order() -> OrderCreated {
    let euro = Currency::new("EUR").unwrap();
    let line = |number: i64| OrderLine {
        sku: Sku::new(&format!("SKU-{number:06}")).unwrap(),
        product_id: ProductId::new(&format!("product-{number:06}")).unwrap(),
        name: "A pair of woollen socks".to_owned(),
        quantity: number,
        unit_price: Money::new(1_299, euro),
        tax_rate: Rate::basis_points(1_900),
        discount: Money::zero(euro),
        tax: Money::new(247 * number, euro),
        line_total: Money::new(1_546 * number, euro),
        shipped: 0,
        cancelled: 0,
    };
    OrderCreated {
        order_id: OrderId::new("01890a5d-ac96-774b-bcce-b302099a8057").unwrap(),
        user_id: UserId::new("01890a5d-ac96-774b-bcce-b302099a8058").unwrap(),
        cart_id: None,
        lines: (1..=3).map(line).collect(),
        totals: Totals {
            subtotal: Money::new(7_794, euro),
            discount: Money::zero(euro),
            tax: Money::new(1_482, euro),
            shipping: Money::new(490, euro),
            total: Money::new(9_766, euro),
        },
    }
}

fn event() -> Event<OrderEvent> {
    let meta = Meta::new(
        EventId::new("request-7"),
        "/orders",
        Timestamp::from_millis(1),
    );
    let meta = meta
        .with_seq(1)
        .with_actor("u-1")
        .with_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    Event::new(meta, order())
}

fn decode(criterion: &mut Criterion<CpuTime>) {
    let registry = Arc::new(Registry::in_memory());
    let resources = Resources::new().with(Arc::new(SchemaClient::local(registry)));
    let at = SerdeContext {
        topic: "orders",
        role: Role::Value,
        resources: &resources,
    };
    let mut serde = <Event<OrderEvent>>::serde(&at).unwrap();
    let event = event();
    let (mut headers, mut bytes) = (HeaderList::new(), Vec::new());
    serde.serialize(&event, &mut headers, &mut bytes).unwrap();
    let mut group = criterion.benchmark_group("order event");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("decode", |b| {
        b.iter(|| serde.deserialize(Some(&bytes), headers.view()).unwrap());
    });
    let (mut headers, mut bytes) = (HeaderList::new(), Vec::new());
    group.bench_function("encode", |b| {
        b.iter(|| {
            headers.clear();
            bytes.clear();
            serde.serialize(&event, &mut headers, &mut bytes).unwrap()
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = kit::harness();
    targets = decode
}
criterion_main!(benches);
