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

/// What lies before a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nothing: it is the first.
    Nothing,
    /// The first page.
    First,
    /// The page that begins at a cursor.
    Page(String),
}

impl Before {
    /// What lies before the page that begins after `place`, if it begins after one; `back` goes so
    /// many items back from there.
    pub fn of<K: Serialize>(place: Option<&K>, back: impl FnOnce(&K) -> Option<K>) -> Self {
        match place.map(back) {
            None => Self::Nothing,
            Some(None) => Self::First,
            Some(Some(begin)) => Self::Page(encode(&begin)),
        }
    }
}

/// The header `Link` to the pages before and after `uri`.
pub fn links(uri: &Uri, before: &Before, next: Option<&str>) -> HeaderMap {
    let query = uri.query().unwrap_or_default().split('&');
    let query = query.filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let query: Vec<_> = query.map(str::to_owned).collect();
    let link = |rel: &str, cursor: Option<&str>| {
        let cursor = cursor.map(|cursor| format!("cursor={cursor}"));
        let query: Vec<_> = query.iter().cloned().chain(cursor).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("<{}{mark}{}>; rel=\"{rel}\"", uri.path(), query.join("&"))
    };
    let prev = match before {
        Before::Nothing => None,
        Before::First => Some(link("prev", None)),
        Before::Page(cursor) => Some(link("prev", Some(cursor))),
    };
    let next = next.map(|cursor| link("next", Some(cursor)));
    let links = prev.into_iter().chain(next);
    let links = links.filter_map(|link| HeaderValue::from_str(&link).ok());
    let mut headers = HeaderMap::new();
    for link in links {
        headers.append(header::LINK, link);
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
    fn links_keep_the_query_but_for_its_cursor() {
        let uri = Uri::from_static("/api/products?q=mug&cursor=old&limit=2");
        let told = |before: &Before, next| {
            let headers = links(&uri, before, next);
            let links = headers.get_all(header::LINK).iter();
            let links = links.map(|link| link.to_str().unwrap().to_owned());
            links.collect::<Vec<_>>()
        };
        let next = "</api/products?q=mug&limit=2&cursor=new>; rel=\"next\"";
        assert_eq!(told(&Before::Nothing, Some("new")), [next]);
        let first = "</api/products?q=mug&limit=2>; rel=\"prev\"";
        assert_eq!(told(&Before::First, Some("new")), [first, next]);
        let prev = "</api/products?q=mug&limit=2&cursor=far>; rel=\"prev\"";
        assert_eq!(told(&Before::Page("far".to_owned()), None), [prev]);
        assert_eq!(told(&Before::Nothing, None), [""; 0]);
    }
}
