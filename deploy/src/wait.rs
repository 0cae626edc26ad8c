//! Waiting for a condition with a deadline: the only place of this crate that reads a clock.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long to pause between two looks at a condition.
const STEP: Duration = Duration::from_millis(20);

/// Looks at `probe` until it yields a value, at most for `limit`.
///
/// `what` names the awaited condition in the error. A probe that fails ends the wait at once: it
/// knows that the condition can no longer come true.
#[expect(
    clippy::disallowed_methods,
    reason = "this module owns the clock and the pauses"
)]
pub fn until<T>(
    limit: Duration,
    what: &str,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = probe()? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("{what}: did not happen within {} s", limit.as_secs_f32());
        }
        thread::sleep(STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_comes_true_ends_the_wait() {
        let mut looks = 0;
        let seen = until(Duration::from_secs(5), "three looks", || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(seen.unwrap(), 3);
    }

    #[test]
    fn a_condition_that_stays_false_is_named_in_the_error() {
        let error = until(Duration::ZERO, "the tide", || Ok(None::<()>)).unwrap_err();
        assert_eq!(error.to_string(), "the tide: did not happen within 0 s");
    }
}
