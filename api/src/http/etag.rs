//! Versions as `ETag`s: conditional reads, and changes that nobody else has overtaken.
//!
//! A tag is `"VERSION"`, or `"VERSION-DIGEST"` where the body shows more than the versioned thing,
//! such as a product with what is available of it. `If-Match` looks at the version only.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::problem::{Kind, Problem, Result};

/// The answer `body` with the tag of `version`.
pub fn versioned(version: i64, body: &impl Serialize) -> Response {
    with_tag(&format!("\"{version}\""), axum::Json(body).into_response())
}

/// The answer `body` with a tag of what it says; 304 without a body when the client has it.
///
/// # Errors
/// 500 when `body` is no JSON.
pub fn conditional(headers: &HeaderMap, version: i64, body: &impl Serialize) -> Result<Response> {
    let bytes = serde_json::to_vec(body).map_err(|_| Problem::new(Kind::Internal))?;
    let digest = hex::encode(Sha256::digest(&bytes))
        .chars()
        .take(16)
        .collect::<String>();
    let tag = format!("\"{version}-{digest}\"");
    let mut response = match has(headers, &tag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Response::new(Body::from(bytes)),
    };
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    let revalidate = HeaderValue::from_static("no-cache");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, revalidate);
    Ok(with_tag(&tag, response))
}

fn with_tag(tag: &str, mut response: Response) -> Response {
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn has(headers: &HeaderMap, tag: &str) -> bool {
    tags(headers, &header::IF_NONE_MATCH)
        .any(|given| given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag)
}

/// The version that the client has seen, by `If-Match`; `None` when any will do.
///
/// # Errors
/// 412 for a tag that is none of ours, 428 when there is none and `required`, 400 for several.
pub fn if_match(headers: &HeaderMap, required: bool) -> Result<Option<i64>> {
    let mut tags = tags(headers, &header::IF_MATCH);
    match (tags.next(), tags.next()) {
        (None, _) if headers.contains_key(header::IF_MATCH) => Err(Kind::VersionMismatch.into()),
        (None, _) if required => Err(Kind::PreconditionRequired.into()),
        (None, _) => Ok(None),
        (Some(_), Some(_)) => {
            let detail = "`If-Match` takes one tag, or `*`";
            Err(Problem::new(Kind::Malformed).detail(detail))
        }
        (Some("*"), None) => Ok(None),
        (Some(tag), None) => {
            let inner = tag.trim_matches('"');
            let version = inner
                .split('-')
                .next()
                .and_then(|version| version.parse().ok());
            version
                .map(Some)
                .ok_or_else(|| Kind::VersionMismatch.into())
        }
    }
}

fn tags<'a>(
    headers: &'a HeaderMap,
    name: &header::HeaderName,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let values = headers.get_all(name).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn a_client_that_has_the_body_gets_none() {
        let fresh = conditional(&HeaderMap::new(), 3, &"body").unwrap();
        let tag = fresh.headers()[header::ETAG].clone();
        assert!(tag.to_str().unwrap().starts_with("\"3-"));
        let again = HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)]);
        assert_eq!(conditional(&again, 3, &"body").unwrap().status(), 304);
        assert_eq!(conditional(&again, 3, &"other").unwrap().status(), 200);
    }

    #[test]
    fn if_match_names_a_version() {
        let version = |value| if_match(&headers(header::IF_MATCH, value), true);
        assert_eq!(version("\"7\"").unwrap(), Some(7));
        assert_eq!(version("\"7-abc\"").unwrap(), Some(7));
        assert_eq!(version("*").unwrap(), None);
        assert_eq!(version("\"x\"").unwrap_err().kind, Kind::VersionMismatch);
        let unreadable = HeaderValue::from_bytes(b"\"\xe9\"").unwrap();
        let unreadable = HeaderMap::from_iter([(header::IF_MATCH, unreadable)]);
        let refused = if_match(&unreadable, false).unwrap_err().kind;
        assert_eq!(refused, Kind::VersionMismatch);
        assert_eq!(version("\"3\", \"4\"").unwrap_err().kind, Kind::Malformed);
        let none = HeaderMap::new();
        assert_eq!(if_match(&none, false).unwrap(), None);
        assert_eq!(
            if_match(&none, true).unwrap_err().kind,
            Kind::PreconditionRequired
        );
    }
}
