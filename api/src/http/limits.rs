//! Rate limits: a sliding window per client and class of request, in memory.
//!
//! A window is two counters, of this minute and of the one before, the latter weighed by how much
//! of it still lies in the window. The number of clients that are remembered is bounded: when too
//! many came in two minutes, all are forgotten, which lets more through, never less.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::problem::{Kind, Problem, Result};
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
    windows: Arc<Mutex<HashMap<(Class, String), Window>>>,
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
        }
    }

    /// Counts a request of `who`; `None` when nothing is counted.
    ///
    /// # Errors
    /// 429 when there were too many.
    pub fn take(&self, class: Class, who: &str) -> Result<Option<Left>> {
        if !self.limits.rate_limits {
            return Ok(None);
        }
        self.take_at(class, who, clock::now().as_millis()).map(Some)
    }

    fn take_at(&self, class: Class, who: &str, now_ms: i64) -> Result<Left> {
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
        let window = windows.entry((class, who.to_lowercase())).or_default();
        window.move_to(now_ms.div_euclid(WINDOW_MS));
        let reset_ms = WINDOW_MS - now_ms.rem_euclid(WINDOW_MS);
        let reset_s = u64::try_from((reset_ms + 999) / 1000).unwrap_or(60);
        let used = window.used(reset_ms);
        if used >= limit {
            return Err(Problem::new(Kind::TooManyRequests).retry_after(reset_s));
        }
        window.now += 1;
        Ok(Left {
            limit,
            remaining: limit - used - 1,
            reset_s,
        })
    }
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
        let take = |who, at| limits.take_at(Class::Any, who, at);
        assert_eq!(
            take("a", 0).unwrap(),
            Left {
                limit: 2,
                remaining: 1,
                reset_s: 60
            }
        );
        assert_eq!(take("a", 1).unwrap().remaining, 0);
        assert_eq!(take("a", 2).unwrap_err().kind, Kind::TooManyRequests);
        assert!(
            take("b", 2).is_ok(),
            "another client has a window of its own"
        );
    }

    #[test]
    fn the_window_slides_over_the_end_of_the_minute() {
        let limits = limits(10);
        for at in 0..10 {
            limits.take_at(Class::Any, "a", at).unwrap();
        }
        assert!(limits.take_at(Class::Any, "a", WINDOW_MS).is_err());
        let half = WINDOW_MS + WINDOW_MS / 2;
        assert_eq!(limits.take_at(Class::Any, "a", half).unwrap().remaining, 4);
        assert_eq!(
            limits
                .take_at(Class::Any, "a", 4 * WINDOW_MS)
                .unwrap()
                .remaining,
            9
        );
    }
}
