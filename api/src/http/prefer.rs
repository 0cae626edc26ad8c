//! How long a client wants to wait: the header `Prefer` (RFC 7240) and the parameter `wait`.

use std::time::Duration;

use axum::http::HeaderMap;

/// What a client prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// As long as is usual.
    Usual,
    /// Not at all: `Prefer: respond-async`.
    No,
    /// For the last word, at most for so long: `Prefer: wait=SECONDS`.
    ForLastWord(Duration),
}

impl Wait {
    /// What `headers` prefer, at most `limit`.
    pub fn of(headers: &HeaderMap, limit: Duration) -> Self {
        let values = headers
            .get_all("prefer")
            .iter()
            .filter_map(|value| value.to_str().ok());
        let mut wait = Self::Usual;
        for preference in values
            .flat_map(|text| text.split([',', ';']))
            .map(str::trim)
        {
            if preference.eq_ignore_ascii_case("respond-async") {
                return Self::No;
            }
            let seconds = preference
                .strip_prefix("wait=")
                .and_then(|text| text.parse().ok());
            if let Some(seconds) = seconds {
                wait = Self::ForLastWord(Duration::from_secs(seconds).min(limit));
            }
        }
        wait
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_client_may_wait_long_or_not_at_all() {
        let of = |value| {
            let headers = HeaderMap::from_iter([(
                "prefer".parse().unwrap(),
                HeaderValue::from_static(value),
            )]);
            Wait::of(&headers, Duration::from_secs(30))
        };
        assert_eq!(of("respond-async, wait=3"), Wait::No);
        assert_eq!(of("wait=3"), Wait::ForLastWord(Duration::from_secs(3)));
        assert_eq!(of("wait=999"), Wait::ForLastWord(Duration::from_secs(30)));
        assert_eq!(of("wait=x"), Wait::Usual);
    }
}
