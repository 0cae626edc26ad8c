//! Bodies: JSON that is refused where it says more, less or else than was asked.

use std::fmt;
use std::marker::PhantomData;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use millrace_avro::money::{Currency, Money};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_path_to_error::{Path, Segment};

use super::problem::{FieldError, Kind, Problem, Result};

/// A JSON body. Types that it reads deny unknown fields.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        check_type(request.headers())?;
        let bytes = read(request, state).await?;
        parse(&bytes).map(Self)
    }
}

/// A `T` that must stand as an object: what is derived for it would take an array as well, with the
/// fields in the order of their declaration.
#[derive(Clone, Copy, Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// An amount of money in a body, `{"minor": 1999, "currency": "EUR"}`, and nothing else.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(from = "Object<Amount>")]
pub struct MoneyBody(pub Money);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Amount {
    minor: i64,
    currency: Currency,
}

impl From<Object<Amount>> for MoneyBody {
    fn from(Object(Amount { minor, currency }): Object<Amount>) -> Self {
        Self(Money::new(minor, currency))
    }
}

/// Refuses a body that does not say it is JSON.
pub(super) fn check_type(headers: &HeaderMap) -> Result<()> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = kind
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    match essence == "application/json" || essence.ends_with("+json") {
        true => Ok(()),
        false => Err(Kind::UnsupportedMediaType.into()),
    }
}

/// The whole body as it came, within the limit of its route.
#[derive(Clone, Debug)]
pub struct Raw(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        read(request, state).await.map(Self)
    }
}

/// The whole body, within the limit of its route.
pub(super) async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes> {
    Bytes::from_request(request, state)
        .await
        .map_err(|rejection: BytesRejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Kind::BodyTooLarge.into(),
            _ => Problem::new(Kind::Malformed).detail("the body cannot be read"),
        })
}

/// Reads a body.
///
/// # Errors
/// 400 for what is no JSON, 422 with a pointer for what is other JSON; a body is an object.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut deserializer);
    let Object(value) = read.map_err(|error| {
        let pointer = pointer(error.path());
        let error = error.into_inner();
        let kind = match error.is_data() {
            true => Kind::InvalidFields,
            false => Kind::Malformed,
        };
        field_problem(kind, pointer, &error)
    })?;
    deserializer
        .end()
        .map_err(|error| field_problem(Kind::Malformed, String::new(), &error))?;
    Ok(value)
}

fn field_problem(kind: Kind, pointer: String, error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let message = text
        .split(" at line ")
        .next()
        .unwrap_or_default()
        .to_owned();
    let missing = missing_field(&message).map(escaped);
    let code = match &message {
        m if m.starts_with("unknown field") => "unknown-field",
        _ if missing.is_some() => "required",
        _ => "invalid",
    };
    let pointer = match missing {
        Some(field) => format!("{pointer}/{field}"),
        None => pointer,
    };
    Problem::new(kind).errors(vec![FieldError {
        pointer,
        code,
        message,
    }])
}

/// The field that is not there: the error comes from the object that should have it.
fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

fn pointer(path: &Path) -> String {
    path.iter()
        .fold(String::new(), |pointer, segment| match segment {
            Segment::Seq { index } => format!("{pointer}/{index}"),
            Segment::Map { key } => format!("{pointer}/{}", escaped(key)),
            Segment::Enum { variant } => format!("{pointer}/{}", escaped(variant)),
            Segment::Unknown => pointer,
        })
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Collects what is wrong with a body that could be read.
#[derive(Debug, Default)]
pub struct Checks {
    errors: Vec<FieldError>,
}

impl Checks {
    /// No complaint yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Complains about the field at `pointer` unless `holds`.
    pub fn require(&mut self, holds: bool, pointer: &str, code: &'static str, message: &str) {
        if !holds {
            let (pointer, message) = (pointer.to_owned(), message.to_owned());
            self.errors.push(FieldError {
                pointer,
                code,
                message,
            });
        }
    }

    /// Text of 1 to `chars_max` characters, without control characters but for line ends and tabs.
    pub fn text(&mut self, pointer: &str, text: &str, chars_max: usize) {
        let fits = !text.trim().is_empty() && text.chars().count() <= chars_max;
        self.require(
            fits,
            pointer,
            "length",
            &format!("1 to {chars_max} characters"),
        );
        let is_shown = !text.contains(|c: char| c.is_control() && !"\n\r\t".contains(c));
        let message = "no control characters but line ends and tabs";
        self.require(is_shown, pointer, "invalid", message);
    }

    /// The value, or a complaint that it could not be made.
    pub fn value<T, E: fmt::Display>(&mut self, pointer: &str, value: Result<T, E>) -> Option<T> {
        let error = value.as_ref().err().map(ToString::to_string);
        self.require(
            error.is_none(),
            pointer,
            "invalid",
            &error.unwrap_or_default(),
        );
        value.ok()
    }

    /// # Errors
    /// 422 with everything that was found.
    pub fn done(self) -> Result<()> {
        match self.errors.is_empty() {
            true => Ok(()),
            false => Err(Problem::new(Kind::InvalidFields).errors(self.errors)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line {
        #[expect(dead_code, reason = "only read by serde")]
        quantity: u8,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[expect(dead_code, reason = "only read by serde")]
        lines: Vec<Line>,
    }

    fn refusal(text: &str) -> (Kind, String) {
        let problem = parse::<Body>(text.as_bytes()).unwrap_err();
        (problem.kind, format!("{problem:?}"))
    }

    #[test]
    fn an_error_points_to_its_field() {
        for (text, pointer) in [
            (
                r#"{"lines":[{"quantity":1},{"quantity":"x"}]}"#,
                "/lines/1/quantity",
            ),
            (r#"{"lines":[{"quantity":300}]}"#, "/lines/0/quantity"),
            (r#"{"lines":[{"quantity":1,"price":2}]}"#, "/lines/0/price"),
            (r#"{"lines":[], "a/b": 1}"#, "/a~1b"),
            ("{}", "/lines"),
            (r#"{"lines":[{"quantity":1},{}]}"#, "/lines/1/quantity"),
            (r#"[[{"quantity":1}]]"#, ""),
            ("null", ""),
        ] {
            let (kind, shown) = refusal(text);
            assert_eq!(kind, Kind::InvalidFields);
            assert!(shown.contains(&format!("pointer: {pointer:?}")), "{shown}");
        }
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for text in ["", "{", "{\"lines\":[]} x", "{\"lines\": NaN}"] {
            assert_eq!(refusal(text).0, Kind::Malformed, "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_without_an_overflow_of_the_stack() {
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        assert_eq!(
            parse::<serde_json::Value>(deep.as_bytes())
                .unwrap_err()
                .kind,
            Kind::Malformed
        );
    }

    #[test]
    fn checks_collect_every_complaint() {
        let mut checks = Checks::new();
        checks.text("/name", " ", 5);
        checks.value("/n", "x".parse::<u8>());
        checks.text("/zero", "a\0b", 5);
        checks.text("/lines", "a\n\tb", 5);
        let shown = format!("{:?}", checks.done().unwrap_err());
        for (pointer, is_wrong) in [
            ("/name", true),
            ("/n", true),
            ("/zero", true),
            ("/lines", false),
        ] {
            assert_eq!(
                shown.contains(&format!("{pointer:?}")),
                is_wrong,
                "{pointer}: {shown}"
            );
        }
    }
}
