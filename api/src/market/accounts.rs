//! Accounts: register, log in and out, refresh, reset.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use super::{App, Router, carts};
use crate::accounts::rules::{is_email, is_password, password_rule};
use crate::accounts::{AccountError, NewUser, Role, Session, User};
use crate::http::auth::Client;
use crate::http::json::{Checks, Json};
use crate::http::limits::Class;
use crate::http::problem::{Kind, Problem, Result};
use crate::http::request;

const NAME_CHARS_MAX: usize = 200;

pub(super) fn router() -> Router {
    Router::new()
        .route("/api/auth/register", post(register))
        .route("/api/auth/login", post(login))
        .route("/api/auth/refresh", post(refresh))
        .route("/api/auth/logout", post(logout))
        .route("/api/auth/reset-password", post(reset_password))
        .route("/api/users/me", get(me))
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::EmailTaken => Kind::EmailTaken.into(),
            AccountError::InvalidCredentials => Kind::InvalidCredentials.into(),
            AccountError::Busy => Self::new(Kind::Unavailable).retry_after(1),
            AccountError::Sql(error) => error.into(),
            AccountError::Crypto(error) => {
                tracing::error!(error, "accounts");
                Kind::Internal.into()
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registration {
    email: String,
    password: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    email: String,
    password: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refresh {
    refresh_token: String,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "`{email}`, or `{token, new_password}`"
)]
enum Reset {
    Ask { email: String },
    Set { token: String, new_password: String },
}

#[derive(Serialize)]
struct TokenAnswer {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    refresh_token: String,
}

async fn register(State(app): State<App>, Json(body): Json<Registration>) -> Result<Response> {
    app.limits.take(Class::Login, body.email.trim())?;
    let mut checks = Checks::new();
    checks.require(is_email(&body.email), "/email", "format", "a mail address");
    check_password(&mut checks, "/password", &body.password);
    checks.text("/name", &body.name, NAME_CHARS_MAX);
    checks.done()?;
    let Registration {
        email,
        password,
        name,
    } = body;
    let new = NewUser {
        email,
        password,
        name,
        role: Role::Customer,
    };
    let user = app
        .accounts
        .register(new, &request::current().cause())
        .await?;
    let location = [(header::LOCATION, HeaderValue::from_static("/api/users/me"))];
    Ok((StatusCode::CREATED, location, Answer(user)).into_response())
}

async fn login(
    State(app): State<App>,
    headers: HeaderMap,
    Json(body): Json<Credentials>,
) -> Result<Response> {
    app.limits.take(Class::Login, body.email.trim())?;
    let cause = request::current().cause();
    let (user, session) = app
        .accounts
        .login(&body.email, body.password, &cause)
        .await?;
    carts::merge_guest(&app, &headers, &user.user_id).await?;
    token_answer(&app, &user, session)
}

async fn refresh(State(app): State<App>, Json(body): Json<Refresh>) -> Result<Response> {
    let (user, session) = app.accounts.refresh(&body.refresh_token).await?;
    token_answer(&app, &user, session)
}

async fn logout(State(app): State<App>, Json(body): Json<Refresh>) -> Result<StatusCode> {
    app.accounts.logout(&body.refresh_token).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn reset_password(State(app): State<App>, Json(body): Json<Reset>) -> Result<StatusCode> {
    match body {
        Reset::Ask { email } => {
            app.limits.take(Class::Login, email.trim())?;
            app.accounts.request_reset(&email).await?;
            Ok(StatusCode::ACCEPTED)
        }
        Reset::Set {
            token,
            new_password,
        } => {
            let mut checks = Checks::new();
            check_password(&mut checks, "/new_password", &new_password);
            checks.done()?;
            app.accounts.reset(&token, new_password).await?;
            Ok(StatusCode::NO_CONTENT)
        }
    }
}

async fn me(State(app): State<App>, client: Client) -> Result<Answer<User>> {
    let user = app.accounts.find(&client.user).await?;
    user.map(Answer).ok_or_else(|| Kind::Unauthenticated.into())
}

fn token_answer(app: &App, user: &User, session: Session) -> Result<Response> {
    let tokens = app.accounts.tokens();
    let answer = TokenAnswer {
        access_token: tokens.sign(user, &session)?,
        token_type: "Bearer",
        expires_in: tokens.ttl().as_secs(),
        refresh_token: session.refresh_token,
    };
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((no_store, Answer(answer)).into_response())
}

fn check_password(checks: &mut Checks, pointer: &str, password: &str) {
    checks.require(is_password(password), pointer, "length", &password_rule());
}
