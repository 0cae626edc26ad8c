//! Every problem that a client can meet, and its HTTP status: RFC 9457, in one catalogue.
//!
//! `docs/problems.md` is made of this catalogue, and a test holds the two together.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::request;

/// Declares the catalogue: variant, code, status, title, and what a client does about it.
macro_rules! problems {
    ($($variant:ident = $code:literal $status:ident $title:literal $remedy:literal;)+) => {
        /// The kinds of problems.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $( #[doc = $title] $variant, )+
        }

        impl Kind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )+ ];

            /// The stable name, for programs.
            pub fn code(self) -> &'static str {
                match self { $( Self::$variant => $code, )+ }
            }

            /// The HTTP status.
            pub fn status(self) -> StatusCode {
                match self { $( Self::$variant => StatusCode::$status, )+ }
            }

            /// What it is, for people.
            pub fn title(self) -> &'static str {
                match self { $( Self::$variant => $title, )+ }
            }

            /// What a client does about it.
            pub fn remedy(self) -> &'static str {
                match self { $( Self::$variant => $remedy, )+ }
            }
        }
    };
}

problems! {
    Malformed = "malformed-request" BAD_REQUEST "The request cannot be understood"
        "Correct the syntax; `errors` points to the place.";
    KeyMissing = "idempotency-key-missing" BAD_REQUEST "The request needs an Idempotency-Key"
        "Send a header `Idempotency-Key` that is unique for what you mean to do, and the same for each repetition.";
    Unauthenticated = "unauthenticated" UNAUTHORIZED "The request needs a valid access token"
        "Log in, or refresh the token, and send `Authorization: Bearer TOKEN`.";
    InvalidCredentials = "invalid-credentials" UNAUTHORIZED "The credentials are not valid"
        "Ask the user for mail address and password again; log in again where a refresh token was sent.";
    InvalidSignature = "invalid-signature" UNAUTHORIZED "The signature is not valid"
        "Sign the body as the gateway's documentation says, with the secret that both sides know.";
    Forbidden = "forbidden" FORBIDDEN "The account may not do this"
        "Use an account with the role that is needed.";
    NotFound = "not-found" NOT_FOUND "There is no such thing"
        "Check the address. What belongs to others looks the same as what does not exist.";
    MethodNotAllowed = "method-not-allowed" METHOD_NOT_ALLOWED "The resource has no such method"
        "Use a method that the header `Allow` lists.";
    EmailTaken = "email-taken" CONFLICT "The mail address has an account"
        "Log in, or reset the password.";
    InFlight = "idempotency-in-flight" CONFLICT "The first request with this key is under way"
        "Repeat the request after the seconds that `Retry-After` names.";
    PriceChanged = "price-changed" CONFLICT "The total has risen"
        "Show the customer `lines` and `totals`, and order again with the new `expected_total`.";
    InsufficientStock = "insufficient-stock" CONFLICT "There is not enough in stock"
        "Ask for less, or later.";
    EmptyCart = "empty-cart" CONFLICT "The cart is empty"
        "Put something into the cart first.";
    IllegalTransition = "illegal-transition" CONFLICT "What is asked is impossible in this state"
        "Choose one of the actions in `allowed`.";
    Refused = "refused" CONFLICT "The command was refused"
        "See `reason`, a stable name, and `detail`.";
    VersionMismatch = "version-mismatch" PRECONDITION_FAILED "It has changed in the meantime"
        "Read it again, and send the new `ETag` in `If-Match`.";
    BodyTooLarge = "body-too-large" PAYLOAD_TOO_LARGE "The body is too large"
        "Send less.";
    UnsupportedMediaType = "unsupported-media-type" UNSUPPORTED_MEDIA_TYPE "The body is not JSON"
        "Send JSON with `Content-Type: application/json`.";
    InvalidFields = "invalid-fields" UNPROCESSABLE_ENTITY "The request has invalid fields"
        "Correct the fields that `errors` points to.";
    KeyReused = "idempotency-key-reused" UNPROCESSABLE_ENTITY "The key belongs to another request"
        "Use a new `Idempotency-Key` for a request with another body.";
    RefundTooLarge = "refund-exceeds-captured" UNPROCESSABLE_ENTITY "There is not that much left to refund"
        "Refund at most `refundable`.";
    PreconditionRequired = "precondition-required" PRECONDITION_REQUIRED "The change needs a precondition"
        "Read it first, and send its `ETag` in `If-Match`.";
    TooManyRequests = "too-many-requests" TOO_MANY_REQUESTS "Too many requests"
        "Wait for the seconds that `Retry-After` names.";
    Internal = "internal" INTERNAL_SERVER_ERROR "Something went wrong here"
        "Repeat the request with the same `Idempotency-Key`; if it persists, report `trace_id`.";
    Unavailable = "unavailable" SERVICE_UNAVAILABLE "The service cannot answer now"
        "Repeat the request, with the same `Idempotency-Key`, after the seconds that `Retry-After` names.";
    TimedOut = "timed-out" GATEWAY_TIMEOUT "The request took too long"
        "Repeat the request with the same `Idempotency-Key`.";
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where it stands in the body: a JSON pointer (RFC 6901); empty for the whole body.
    pub pointer: String,
    /// What is wrong, for programs.
    pub code: &'static str,
    /// What is wrong, for people.
    pub message: String,
}

/// A problem, on its way to the client.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The kind.
    pub kind: Kind,
    details: Box<Details>,
}

/// What is rarely there, kept out of the way of what is returned always.
#[derive(Clone, Debug, Default, PartialEq)]
struct Details {
    detail: Option<String>,
    errors: Vec<FieldError>,
    extensions: Map<String, Value>,
    retry_after_s: Option<u64>,
}

/// What a handler returns.
pub type Result<T, E = Problem> = std::result::Result<T, E>;

impl Problem {
    /// A problem of this kind.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            details: Box::default(),
        }
    }

    /// The same, explained.
    #[must_use]
    pub fn detail(mut self, text: impl Into<String>) -> Self {
        self.details.detail = Some(text.into());
        self
    }

    /// The same, with errors of fields.
    #[must_use]
    pub fn errors(mut self, errors: Vec<FieldError>) -> Self {
        self.details.errors = errors;
        self
    }

    /// A body that has one invalid field, at `pointer`.
    pub fn field(pointer: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidFields).errors(vec![FieldError {
            pointer: pointer.to_owned(),
            code,
            message: message.into(),
        }])
    }

    /// The same, with those texts only of the list `name` that `keep` takes.
    #[must_use]
    pub fn retain(mut self, name: &str, keep: impl Fn(&str) -> bool) -> Self {
        let list = self.details.extensions.get_mut(name);
        if let Some(list) = list.and_then(Value::as_array_mut) {
            list.retain(|text| text.as_str().is_some_and(&keep));
        }
        self
    }

    /// The same, with a member beyond those of the RFC.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        // A value that is no JSON would be a mistake of ours; the client learns the rest.
        let value = serde_json::to_value(value).unwrap_or_default();
        self.details.extensions.insert(name.to_owned(), value);
        self
    }

    /// The same, worth another try after some seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.details.retry_after_s = Some(seconds);
        self
    }

    fn body(&self) -> Value {
        let mut body = self.details.extensions.clone();
        let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
        put("type", json!(format!("/problems#{}", self.kind.code())));
        put("title", json!(self.kind.title()));
        put("status", json!(self.kind.status().as_u16()));
        put("code", json!(self.kind.code()));
        put("trace_id", json!(request::current().trace_id));
        if let Some(detail) = &self.details.detail {
            put("detail", json!(detail));
        }
        if !self.details.errors.is_empty() {
            put("errors", json!(self.details.errors));
        }
        Value::Object(body)
    }
}

impl From<Kind> for Problem {
    fn from(kind: Kind) -> Self {
        Self::new(kind)
    }
}

impl From<sqlx::Error> for Problem {
    /// A database that does not answer is worth another try; the rest is our mistake.
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(%error, "database");
        match error {
            sqlx::Error::Database(_) | sqlx::Error::ColumnDecode { .. } => Kind::Internal.into(),
            _ => Self::new(Kind::Unavailable).retry_after(1),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body().to_string()));
        *response.status_mut() = self.kind.status();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.kind.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.details.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The catalogue as a page.
pub fn page() -> String {
    let head = "# Problems\n\nErrors are `application/problem+json` (RFC 9457). `code` names the \
                kind and never changes; `errors` points to fields by JSON pointers; `trace_id` \
                finds the request in logs and traces.\n";
    Kind::ALL.iter().fold(head.to_owned(), |page, kind| {
        let (code, status) = (kind.code(), kind.status().as_u16());
        format!(
            "{page}\n## {code}\n\n{status}: {}. {}\n",
            kind.title(),
            kind.remedy()
        )
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use expect_test::expect_file;

    use super::*;

    #[test]
    fn every_problem_is_documented() {
        expect_file!["../../docs/problems.md"].assert_eq(&page());
    }

    #[test]
    fn a_code_names_one_problem() {
        let codes: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), Kind::ALL.len());
    }

    #[test]
    fn a_problem_carries_its_members() {
        let error = FieldError {
            pointer: "/a/0".into(),
            code: "required",
            message: "x".into(),
        };
        let problem = Problem::new(Kind::InvalidFields)
            .errors(vec![error])
            .with("lines", [1]);
        let body = problem.body();
        assert_eq!(body["type"], "/problems#invalid-fields");
        assert_eq!(body["status"], 422);
        assert_eq!(body["errors"][0]["pointer"], "/a/0");
        assert_eq!(body["lines"][0], 1);
        assert!(body["trace_id"].is_string());
    }
}
