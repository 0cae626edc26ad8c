//! Who asks: the bearer token of a request, as an extractor of each role.

use std::fmt;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use millrace_avro::keys::UserId;

use super::problem::{Kind, Problem};
use crate::accounts::Role;
use crate::accounts::tokens::{Claims, Tokens};

/// A client that is logged in.
#[derive(Clone, Debug)]
pub struct Client {
    /// The user.
    pub user: UserId,
    /// What the account may do.
    pub role: Role,
}

/// A client that is logged in as an administrator.
#[derive(Clone, Debug)]
pub struct Admin(pub Client);

/// A client that may be logged in. A token that is not valid is refused all the same.
#[derive(Clone, Debug)]
pub struct MaybeClient(pub Option<Client>);

/// On whose behalf a request is made, where guests may ask as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal(String);

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Principal {
    /// Who is logged in, by a valid token among `headers`.
    pub fn of(headers: &HeaderMap, tokens: &Tokens) -> Option<Self> {
        let claims = claims(headers, tokens).ok().flatten();
        claims.map(|claims| Self(claims.sub.to_string()))
    }
}

impl Client {
    /// The client as a principal.
    pub fn principal(&self) -> Principal {
        Principal(self.user.to_string())
    }
}

fn claims(headers: &HeaderMap, tokens: &Tokens) -> Result<Option<Claims>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let text = value.to_str().ok().and_then(|value| value.split_once(' '));
    let bearer = text.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let claims = bearer.and_then(|(_, token)| tokens.check(token.trim()));
    claims.map(Some).ok_or_else(|| Kind::Unauthenticated.into())
}

impl<S: Send + Sync> FromRequestParts<S> for MaybeClient
where
    Tokens: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let claims = claims(&parts.headers, &Tokens::from_ref(state))?;
        Ok(Self(claims.map(|claims| Client {
            user: claims.sub,
            role: claims.role,
        })))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Client
where
    Tokens: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let MaybeClient(client) = MaybeClient::from_request_parts(parts, state).await?;
        client.ok_or_else(|| Kind::Unauthenticated.into())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Admin
where
    Tokens: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let client = Client::from_request_parts(parts, state).await?;
        match client.role {
            Role::Admin => Ok(Self(client)),
            Role::Customer => Err(Kind::Forbidden.into()),
        }
    }
}
