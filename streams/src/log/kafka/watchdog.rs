//! Runs calls that block on a thread of their own, and gives up on those that do not come back.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

type Call = Box<dyn FnOnce() + Send>;

/// A thread for calls into librdkafka that may outlive their own time-out.
///
/// A call that is given up on keeps the thread; make a new watchdog then. The thread ends when the
/// watchdog is dropped and its call, if any, comes back.
#[derive(Debug)]
pub(super) struct Watchdog {
    calls: Sender<Call>,
}

/// The call has not come back in time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stuck;

/// A call on its way.
#[derive(Debug)]
pub(super) struct Pending<T>(Receiver<T>);

impl Watchdog {
    /// Starts the thread.
    pub(super) fn start(name: &str) -> io::Result<Self> {
        let (calls, received) = channel::<Call>();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                for call in received {
                    call();
                }
            })?;
        Ok(Self { calls })
    }

    /// Runs `call` on the thread, and waits up to `within` for its answer.
    pub(super) fn run<T: Send + 'static>(
        &self,
        within: Duration,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Stuck> {
        self.begin(call).wait(within)
    }

    /// Runs `call` on the thread.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Pending<T> {
        let (answer, answered) = channel();
        let call = move || {
            // Nobody waits any more: the answer is of no use.
            let _ = answer.send(call());
        };
        // Without a thread the answer's channel closes, which counts as stuck.
        let _ = self.calls.send(Box::new(call));
        Pending(answered)
    }
}

impl<T> Pending<T> {
    /// Waits up to `within`.
    pub(super) fn wait(&self, within: Duration) -> Result<T, Stuck> {
        self.0.recv_timeout(within).map_err(|_| Stuck)
    }

    /// The answer, if it is there. `Err` when it will never be.
    pub(super) fn poll(&self) -> Result<Option<T>, Stuck> {
        match self.0.recv_timeout(Duration::ZERO) {
            Ok(answer) => Ok(Some(answer)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Stuck),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_in_time_is_passed_on() {
        let watchdog = Watchdog::start("test").expect("a thread");
        assert_eq!(watchdog.run(Duration::from_secs(5), || 7), Ok(7));
    }

    #[test]
    fn a_call_that_does_not_come_back_is_given_up() {
        let watchdog = Watchdog::start("test").expect("a thread");
        let (_hold, held) = channel::<()>();
        let call = move || held.recv().is_err();
        assert_eq!(watchdog.run(Duration::from_millis(20), call), Err(Stuck));
    }
}
