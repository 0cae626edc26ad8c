//! Fulfilment: orders are shipped and delivered, by administrators.

use axum::Json as Answer;
use axum::extract::State;
use axum::response::Response;
use millrace_avro::event::{EventId, Meta};
use millrace_avro::events::orders::{
    OrderCommand, OrderDeliveryReported, OrderShipmentRequested, ShippedItem,
};
use millrace_avro::keys::{OrderId, Sku};
use serde::Deserialize;
use serde_json::json;

use super::{decide, reached, visible};
use crate::http::auth::Admin;
use crate::http::extract::Path;
use crate::http::idempotency::{Idempotent, Once};
use crate::http::json::{Checks, Object};
use crate::http::problem::{Kind, Problem, Result};
use crate::http::request;
use crate::market::{App, Market, accepted, created, key};
use crate::ports::Message;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewShipment {
    #[serde(default)]
    items: Vec<Object<NewShippedItem>>,
    tracking: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewShippedItem {
    sku: String,
    quantity: i64,
}

pub(super) async fn deliver(
    State(app): State<App>,
    Admin(client): Admin,
    Path(id): Path<String>,
) -> Result<Response> {
    let id: OrderId = key(&id)?;
    visible(&app, &client, &id)?;
    let report = OrderDeliveryReported {
        order_id: id.clone(),
    };
    decide(
        &app,
        &client,
        &id,
        EventId::random(),
        OrderCommand::DeliveryReported(report),
    )
    .await
}

pub(super) async fn ship(
    State(app): State<App>,
    Admin(client): Admin,
    Path(id): Path<String>,
    Idempotent { body, intent }: Idempotent<NewShipment, false>,
) -> Result<Response> {
    let id: OrderId = key(&id)?;
    visible(&app, &client, &id)?;
    let mut checks = Checks::new();
    let mut items = Vec::with_capacity(body.items.len());
    for (index, Object(item)) in body.items.iter().enumerate() {
        let sku = checks.value(&format!("/items/{index}/sku"), Sku::new(&item.sku));
        let pointer = format!("/items/{index}/quantity");
        checks.require(item.quantity > 0, &pointer, "range", "at least 1");
        items.extend(sku.map(|sku| ShippedItem {
            sku,
            quantity: item.quantity,
        }));
    }
    checks.done()?;
    let ask = async move |once: Once| {
        let request = OrderShipmentRequested {
            order_id: id,
            shipment_id: once.key("shp", "shipment")?,
            items,
            tracking: body.tracking,
        };
        let command_id = once.id("order.shipment_requested", 0);
        let meta = request::current().command(command_id, client.user.as_str());
        ask_ship(&app, meta, request).await
    };
    intent.once(ask).await
}

async fn ask_ship(app: &Market, meta: Meta, request: OrderShipmentRequested) -> Result<Response> {
    let (id, shipment_id) = (request.order_id.clone(), request.shipment_id.clone());
    let location = format!("/api/orders/{id}");
    let message = Message::Order(id.clone(), OrderCommand::ShipmentRequested(request));
    let reply = app
        .ask(meta, message, app.settings.times.command_wait)
        .await?;
    let decided = match reply {
        Some(reply) => reached(app, &id, reply.version).await,
        None => None,
    };
    let Some(order) = decided else {
        let body = json!({ "shipment_id": shipment_id });
        return Ok(accepted(&location, Answer(body)));
    };
    let mut shipments = order.shipments.iter();
    match shipments.find(|it| it.shipment_id == shipment_id) {
        Some(shipment) => Ok(created(&location, Answer(shipment))),
        // An order whose goods have all left takes no notice.
        None => Err(Problem::new(Kind::IllegalTransition)
            .with("reason", "nothing-to-ship")
            .with("allowed", &order.allowed_actions)),
    }
}
