//! A flag to wait for: how a fetch learns that records have come.

use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// A flag that one thread waits for and any thread sets.
#[derive(Debug, Default)]
pub(super) struct Signal {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    /// Clears the flag. What happens from now on sets it again.
    pub(super) fn clear(&self) {
        *self.set.lock() = false;
    }

    /// Sets the flag and wakes whoever waits.
    pub(super) fn set(&self) {
        let mut set = self.set.lock();
        if !*set {
            *set = true;
            self.changed.notify_all();
        }
    }

    /// Waits until the flag is set; false if `deadline` came first.
    pub(super) fn wait_until(&self, deadline: Instant) -> bool {
        let mut set = self.set.lock();
        while !*set {
            if self.changed.wait_until(&mut set, deadline).timed_out() {
                return *set;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flag_set_before_the_wait_is_not_lost() {
        let signal = Signal::default();
        signal.clear();
        signal.set();
        assert!(signal.wait_until(Instant::now()));
    }

    #[test]
    fn another_thread_ends_the_wait() {
        let signal = Arc::new(Signal::default());
        let other = Arc::clone(&signal);
        let thread = std::thread::spawn(move || other.set());
        assert!(signal.wait_until(Instant::now() + Duration::from_secs(60)));
        thread.join().expect("no panic");
    }
}
