//! Pages: opaque cursors and bounded limits.

use axum::http::{HeaderMap, HeaderValue, Uri, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::problem::{FieldError, Kind, Problem, Result};

/// The number of items on a page, unless the client says otherwise.
pub const LIMIT_DEFAULT: usize = 20;
/// The largest number of items on a page.
pub const LIMIT_MAX: usize = 100;

/// A page of items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; null on the last.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The first `limit` of `items`, which has one more when there is a next page; `key` says
    /// where an item stands.
    pub fn of<K: Serialize>(mut items: Vec<T>, limit: usize, key: impl Fn(&T) -> K) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more);
        Self {
            next_cursor: last.map(|item| encode(&key(item))),
            items,
        }
    }
}

/// The limit that a client gets.
///
/// # Errors
/// 400 for a limit out of bounds.
pub fn limit(asked: Option<usize>) -> Result<usize> {
    match asked.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        _ => Err(parameter("limit", format!("1 to {LIMIT_MAX}"))),
    }
}

/// A place as a cursor.
pub fn encode(place: &impl Serialize) -> String {
    // Places are made of text and numbers, which are always JSON.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(place).unwrap_or_default())
}

/// The place of a cursor.
///
/// # Errors
/// 400 for a cursor that was not made here.
pub fn decode<T: DeserializeOwned>(cursor: &str) -> Result<T> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let place = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    place.ok_or_else(|| parameter("cursor", "use `next_cursor` of the page before".to_owned()))
}

/// What is wrong with a parameter of the query.
pub fn parameter(name: &str, message: String) -> Problem {
    let pointer = format!("?{name}");
    Problem::new(Kind::Malformed).errors(vec![FieldError {
        pointer,
        code: "invalid",
        message,
    }])
}

/// The header `Link` to the page after `uri`.
pub fn link_next(uri: &Uri, next: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let Some(next) = next else {
        return headers;
    };
    let kept = uri.query().unwrap_or_default().split('&');
    let kept = kept.filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let query = kept.fold(String::new(), |query, pair| format!("{query}{pair}&"));
    let link = format!("<{}?{query}cursor={next}>; rel=\"next\"", uri.path());
    if let Ok(link) = HeaderValue::from_str(&link) {
        headers.insert(header::LINK, link);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_cursor_only_when_there_is_a_next_one() {
        let page = Page::of(vec![1, 2, 3], 2, |item| *item);
        assert_eq!(page.items, [1, 2]);
        assert_eq!(decode::<i32>(&page.next_cursor.unwrap()).unwrap(), 2);
        assert_eq!(Page::of(vec![1, 2], 2, |item| *item).next_cursor, None);
    }

    #[test]
    fn a_foreign_cursor_and_a_boundless_limit_are_refused() {
        assert!(decode::<i32>("x").is_err() && decode::<i32>("").is_err());
        assert!(limit(Some(0)).is_err() && limit(Some(101)).is_err());
        assert_eq!(limit(None).unwrap(), LIMIT_DEFAULT);
    }

    #[test]
    fn the_next_link_keeps_the_query_but_for_its_cursor() {
        let uri = Uri::from_static("/api/products?q=mug&cursor=old&limit=2");
        let headers = link_next(&uri, Some("new"));
        let expected = "</api/products?q=mug&limit=2&cursor=new>; rel=\"next\"";
        assert_eq!(headers.get(header::LINK).unwrap(), expected);
        assert!(link_next(&uri, None).is_empty());
    }
}
