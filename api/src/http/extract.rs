//! Parts of an address: parameters and ids, refused as every other thing that cannot be understood.

use axum::extract::{FromRequestParts, Path as AxumPath, Query as AxumQuery};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::cursor::parameter;
use super::problem::{Kind, Problem};

/// The parameters of the query. Those that a route does not know are left aside.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match AxumQuery::try_from_uri(&parts.uri) {
            Ok(AxumQuery(query)) => Ok(Self(query)),
            Err(rejection) => Err(refused(&rejection.body_text())),
        }
    }
}

/// The text reads `...: NAME: REASON`.
fn refused(text: &str) -> Problem {
    let mut parts = text.rsplitn(3, ": ");
    let reason = parts.next().unwrap_or_default().to_owned();
    parameter(parts.next().unwrap_or_default(), reason)
}

/// The ids of the path. One that cannot be read is that of nothing.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = AxumPath::from_request_parts(parts, state).await;
        path.map(|AxumPath(path)| Self(path))
            .map_err(|_| Kind::NotFound.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_cannot_be_read_is_named() {
        let text = "Failed to deserialize query string: limit: invalid digit found in string";
        let shown = format!("{:?}", refused(text));
        assert!(
            shown.contains("?limit") && shown.contains("invalid digit"),
            "{shown}"
        );
    }
}
