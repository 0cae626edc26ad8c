//! Payments: refunds, and what gateways report.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use millrace_avro::event::{EventId, Meta};
use millrace_avro::events::payments::{PaymentCommand, PaymentView, RefundPayment};
use millrace_avro::keys::PaymentId;
use serde::Deserialize;
use serde_json::json;

use super::{App, Market, Router, accepted, created, key};
use crate::http::auth::Admin;
use crate::http::etag::versioned;
use crate::http::extract::Path;
use crate::http::idempotency::{Idempotent, Once};
use crate::http::json::{Checks, MoneyBody, Raw};
use crate::http::problem::{Kind, Problem, Result};
use crate::http::request;
use crate::ports::{Message, ViewKey, WebhookError};

const REASON_CHARS_MAX: usize = 500;

pub(super) fn router() -> Router {
    Router::new()
        .route("/api/admin/payments/{id}", get(show))
        .route("/api/admin/payments/{id}/refunds", post(refund))
        .route("/api/webhooks/payments/{gateway}", post(webhook))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRefund {
    amount: MoneyBody,
    reason: String,
}

async fn show(State(app): State<App>, _admin: Admin, Path(id): Path<String>) -> Result<Response> {
    let seen = app.views.payment(&key(&id)?).ok_or(Kind::NotFound)?;
    Ok(versioned(seen.view.version, &*seen.view))
}

async fn refund(
    State(app): State<App>,
    Admin(client): Admin,
    Path(id): Path<String>,
    Idempotent { body, intent }: Idempotent<NewRefund>,
) -> Result<Response> {
    let id: PaymentId = key(&id)?;
    let payment = app.views.payment(&id).ok_or(Kind::NotFound)?.view;
    let MoneyBody(amount) = body.amount;
    let mut checks = Checks::new();
    checks.require(amount.minor > 0, "/amount/minor", "range", "more than 0");
    let currency = payment.amount.currency;
    let fits = amount.currency == currency;
    checks.require(fits, "/amount/currency", "currency", &format!("{currency}"));
    checks.text("/reason", &body.reason, REASON_CHARS_MAX);
    checks.done()?;
    let ask = async move |once: Once| {
        let refund = RefundPayment {
            order_id: payment.order_id.clone(),
            refund_id: once.key("ref", "refund")?,
            payment_id: Some(id),
            amount,
            reason: body.reason,
        };
        let command_id = once.id("payment.refund", 0);
        let meta = request::current().command(command_id, client.user.as_str());
        ask_refund(&app, meta, &payment, refund).await
    };
    intent.once(ask).await
}

async fn ask_refund(
    app: &Market,
    meta: Meta,
    payment: &PaymentView,
    refund: RefundPayment,
) -> Result<Response> {
    let location = format!("/api/admin/payments/{}", payment.id);
    let refund_id = refund.refund_id.clone();
    let message = Message::Payment(payment.order_id.clone(), PaymentCommand::Refund(refund));
    let wait = app.settings.times.command_wait;
    let asked = app
        .ask(meta, message, wait)
        .await
        .map_err(|problem| match problem.kind {
            Kind::RefundTooLarge => problem.with("refundable", payment.refundable),
            _ => problem,
        })?;
    let look = || {
        let payment = app.views.payment(&payment.id)?.view;
        payment
            .refunds
            .iter()
            .find(|refund| refund.id == refund_id)
            .cloned()
    };
    let shown = match asked {
        Some(_) => {
            app.settled(&ViewKey::Payment(payment.id.clone()), look)
                .await
        }
        None => None,
    };
    Ok(match shown {
        Some(refund) => created(&location, Answer(refund)),
        None => accepted(
            &location,
            Answer(json!({ "id": refund_id, "status": "requested" })),
        ),
    })
}

/// 200 once the report is in the log; a gateway that hears anything else sends it again.
async fn webhook(
    State(app): State<App>,
    Path(gateway): Path<String>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<StatusCode> {
    let webhook = app.gateways.webhook(&gateway, &headers, &body)?;
    let Some(webhook) = webhook else {
        return Ok(StatusCode::OK);
    };
    // The same for a notice that is sent twice.
    let cause = EventId::new(format!("{gateway}\n{}", webhook.id));
    let id = EventId::derive(&cause, "payment.gateway_reported", 0);
    let meta = request::current().command(id, &format!("gateway:{gateway}"));
    let order = webhook.report.order_id.clone();
    let message = Message::Payment(order, PaymentCommand::GatewayReported(webhook.report));
    app.commands.append(meta, message).await?;
    Ok(StatusCode::OK)
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::UnknownGateway => Kind::NotFound.into(),
            WebhookError::Signature => Kind::InvalidSignature.into(),
            WebhookError::Malformed(why) => Self::new(Kind::Malformed).detail(why),
        }
    }
}
