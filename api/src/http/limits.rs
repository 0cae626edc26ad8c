//! Rate limits: a sliding window per client and class of request, in memory.
//!
//! A window is two counters, of this minute and of the one before, the latter weighed by how much
//! of it still lies in the window. The number of clients that are remembered is bounded: when too
//! many came in two minutes, all are forgotten, which lets more through, never less. A client is
//! remembered by a hash, so that a long name takes no more than a short one.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use parking_lot::Mutex;

use super::auth::Principal;
use super::problem::{Kind, Problem, Result};
use crate::accounts::tokens::Tokens;
use crate::clock;
use crate::config::Limits;

const WINDOW_MS: i64 = 60_000;
/// How many windows are remembered at most.
const WINDOWS_MAX: usize = 100_000;

/// What is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Any request.
    Any,
    /// Attempts to log in, register or reset, per account.
    Login,
    /// Orders, per user.
    Checkout,
}

/// Counts requests.
#[derive(Clone, Debug)]
pub struct RateLimits {
    limits: Limits,
    windows: Arc<Mutex<HashMap<u64, Window>>>,
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    minute: i64,
    now: u32,
    before: u32,
}

/// What is left of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Requests a minute.
    pub limit: u32,
    /// Requests that would still pass.
    pub remaining: u32,
    /// Seconds until this minute ends.
    pub reset_s: u64,
}

impl RateLimits {
    /// The limits of `limits`.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            windows: Arc::default(),
            hasher: RandomState::new(),
        }
    }

    /// Counts a request of `who`; `None` when nothing is counted.
    ///
    /// # Errors
    /// 429 when there were too many.
    pub fn take(&self, class: Class, who: &str) -> Result<()> {
        match self.count(class, who) {
            Some(Err(left)) => Err(left.refusal()),
            _ => Ok(()),
        }
    }

    /// Counts a request of `who`, and says what is left; `Err` when there were too many. `None`
    /// when nothing is counted.
    fn count(&self, class: Class, who: &str) -> Option<Result<Left, Left>> {
        let counts = self.limits.rate_limits;
        counts.then(|| self.count_at(class, who, clock::now().as_millis()))
    }

    fn count_at(&self, class: Class, who: &str, now_ms: i64) -> Result<Left, Left> {
        let limit = match class {
            Class::Any => self.limits.requests_per_minute,
            Class::Login => self.limits.logins_per_minute,
            Class::Checkout => self.limits.checkouts_per_minute,
        };
        let mut windows = self.windows.lock();
        if windows.len() >= WINDOWS_MAX {
            let minute = now_ms.div_euclid(WINDOW_MS);
            windows.retain(|_, window| window.minute >= minute - 1);
            if windows.len() >= WINDOWS_MAX {
                windows.clear();
            }
        }
        let client = self.hasher.hash_one((class, who.to_lowercase()));
        let window = windows.entry(client).or_default();
        window.move_to(now_ms.div_euclid(WINDOW_MS));
        let reset_ms = WINDOW_MS - now_ms.rem_euclid(WINDOW_MS);
        let reset_s = u64::try_from((reset_ms + 999) / 1000).unwrap_or(60);
        let used = window.used(reset_ms);
        let left = |remaining| Left {
            limit,
            remaining,
            reset_s,
        };
        if used >= limit {
            return Err(left(0));
        }
        window.now += 1;
        Ok(left(limit - used - 1))
    }
}

impl Left {
    fn refusal(self) -> Problem {
        Problem::new(Kind::TooManyRequests).retry_after(self.reset_s)
    }

    fn tell(self, headers: &mut HeaderMap) {
        for (name, value) in [
            ("ratelimit-limit", u64::from(self.limit)),
            ("ratelimit-remaining", u64::from(self.remaining)),
            ("ratelimit-reset", self.reset_s),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
    }
}

/// Counts each request of a client, and tells in the headers of its answer what is left. A client is
/// its account, or where it is not logged in its address.
pub async fn limited(
    State((limits, tokens)): State<(RateLimits, Tokens)>,
    request: Request,
    next: Next,
) -> Response {
    match limits.count(Class::Any, &client(&tokens, &request)) {
        None => next.run(request).await,
        Some(Ok(left)) => {
            let mut response = next.run(request).await;
            left.tell(response.headers_mut());
            response
        }
        Some(Err(left)) => {
            let mut response = left.refusal().into_response();
            left.tell(response.headers_mut());
            response
        }
    }
}

fn client(tokens: &Tokens, request: &Request) -> String {
    let account = Principal::of(request.headers(), tokens);
    account.map_or_else(|| address(request), |account| account.to_string())
}

fn address(request: &Request) -> String {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map_or_else(String::new, |ConnectInfo(peer)| peer.ip().to_string())
}

impl Window {
    fn move_to(&mut self, minute: i64) {
        if minute != self.minute {
            self.before = if minute == self.minute + 1 {
                self.now
            } else {
                0
            };
            self.now = 0;
            self.minute = minute;
        }
    }

    /// What counts when `reset_ms` of this minute are left.
    fn used(self, reset_ms: i64) -> u32 {
        let before = i64::from(self.before) * reset_ms / WINDOW_MS;
        self.now
            .saturating_add(u32::try_from(before).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Options, Settings};

    fn limits(requests_per_minute: u32) -> RateLimits {
        let mut settings = Settings::from_options(Options::default()).unwrap();
        settings.limits.requests_per_minute = requests_per_minute;
        RateLimits::new(settings.limits)
    }

    #[test]
    fn a_client_that_asks_too_often_has_to_wait() {
        let limits = limits(2);
        let take = |who, at| limits.count_at(Class::Any, who, at);
        assert_eq!(
            take("a", 0).unwrap(),
            Left {
                limit: 2,
                remaining: 1,
                reset_s: 60
            }
        );
        assert_eq!(take("a", 1).unwrap().remaining, 0);
        assert_eq!(take("a", 2).unwrap_err().remaining, 0);
        assert!(take("A", 2).is_err(), "the same mail address");
        assert!(
            take("b", 2).is_ok(),
            "another client has a window of its own"
        );
    }

    #[test]
    fn the_window_slides_over_the_end_of_the_minute() {
        let limits = limits(10);
        for at in 0..10 {
            limits.count_at(Class::Any, "a", at).unwrap();
        }
        assert!(limits.count_at(Class::Any, "a", WINDOW_MS).is_err());
        let half = WINDOW_MS + WINDOW_MS / 2;
        assert_eq!(limits.count_at(Class::Any, "a", half).unwrap().remaining, 4);
        assert_eq!(
            limits
                .count_at(Class::Any, "a", 4 * WINDOW_MS)
                .unwrap()
                .remaining,
            9
        );
    }
}
