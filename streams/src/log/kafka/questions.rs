//! Asks about partitions without waiting for the answers.
//!
//! An answer is given once, to who asks about the same partitions. It is never of a time before the
//! question: whatever makes the answers to earlier questions wrong says so by
//! [`forget`](Questions::forget) or [`forget_about`](Questions::forget_about). Those are a confirmed
//! assignment, the way back, a new membership, another set of partitions to read, and a commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::watchdog::{Pending, Watchdog};
use crate::log::{LogError, TopicPartition};

/// How many questions may wait for their turn or to be picked up.
const QUESTIONS_MAX: usize = 64;

/// How often to say that there is no answer.
const COMPLAINT: Duration = Duration::from_secs(10);

/// Questions that are asked one after the other, on a thread that starts with the first of them.
pub(super) struct Questions<A> {
    name: &'static str,
    watchdog: Option<Watchdog>,
    asked: Vec<Question<A>>,
    /// When the first of the questions in a row was not answered, or that was last complained of.
    silent_since: Option<Instant>,
}

struct Question<A> {
    about: Vec<TopicPartition>,
    answer: Answer<A>,
    _wanted: Wanted,
}

/// While it lives, a question waits for its turn; then it is not asked any more.
struct Wanted(Arc<AtomicBool>);

enum Answer<A> {
    Pending(Pending<Result<A, LogError>>),
    Here(Result<A, LogError>),
}

impl<A: Send + 'static> Questions<A> {
    /// Nothing is asked yet. `name` is the thread's.
    pub(super) const fn new(name: &'static str) -> Self {
        Self {
            name,
            watchdog: None,
            asked: Vec::new(),
            silent_since: None,
        }
    }

    /// The answer to `ask` about `partitions`, if it is there. Otherwise it is asked, unless too many
    /// questions are on their way; and asked again if the cluster did not answer.
    ///
    /// # Errors
    /// What asking again does not mend.
    pub(super) fn poll(
        &mut self,
        partitions: &[TopicPartition],
        ask: impl FnOnce(&[TopicPartition]) -> Result<A, LogError> + Send + 'static,
    ) -> Result<Option<A>, LogError> {
        self.take_answers();
        let mine = self
            .asked
            .iter()
            .position(|asked| asked.about == partitions);
        if let Some(index) = mine {
            if matches!(self.asked[index].answer, Answer::Pending(_)) {
                return Ok(None);
            }
            match self.asked.remove(index).answer {
                Answer::Here(Err(LogError::Unavailable(reason))) => self.complain(&reason),
                Answer::Here(answer) => {
                    self.silent_since = None;
                    return answer.map(Some);
                }
                Answer::Pending(_) => {}
            }
        }
        self.begin(partitions, ask)?;
        Ok(None)
    }

    /// Whatever the answers are going to be, they are not wanted.
    pub(super) fn forget(&mut self) {
        self.asked.clear();
    }

    /// The same of what was asked about any partition that is `changed`.
    pub(super) fn forget_about(&mut self, changed: impl Fn(&TopicPartition) -> bool) {
        self.asked.retain(|asked| !asked.about.iter().any(&changed));
    }

    fn take_answers(&mut self) {
        for asked in &mut self.asked {
            let Answer::Pending(pending) = &asked.answer else {
                continue;
            };
            match pending.poll() {
                Ok(None) => {}
                Ok(Some(answer)) => asked.answer = Answer::Here(answer),
                Err(_) => {
                    // The thread is gone, and another is started.
                    self.watchdog = None;
                    let text = "the thread that asks has ended".to_owned();
                    asked.answer = Answer::Here(Err(LogError::Unavailable(text)));
                }
            }
        }
    }

    fn begin(
        &mut self,
        partitions: &[TopicPartition],
        ask: impl FnOnce(&[TopicPartition]) -> Result<A, LogError> + Send + 'static,
    ) -> Result<(), LogError> {
        if self.asked.len() >= QUESTIONS_MAX {
            // Who asked may ask about other partitions by now, and never take the answer.
            self.asked
                .retain(|asked| matches!(asked.answer, Answer::Pending(_)));
        }
        if self.asked.len() >= QUESTIONS_MAX {
            return Ok(());
        }
        let watchdog = match &self.watchdog {
            Some(watchdog) => watchdog,
            None => self.watchdog.insert(start(self.name)?),
        };
        let is_wanted = Arc::new(AtomicBool::new(true));
        let (about, wanted) = (partitions.to_vec(), Arc::clone(&is_wanted));
        let name = self.name;
        let pending = watchdog.begin(move || {
            if !wanted.load(Ordering::Relaxed) {
                return Err(LogError::Unavailable("nobody wants to know".to_owned()));
            }
            let began = Instant::now();
            let answer = ask(&about);
            let (about, took) = (about.len(), began.elapsed());
            tracing::debug!(
                question = name,
                about,
                ?took,
                is_ok = answer.is_ok(),
                "asked"
            );
            answer
        });
        self.asked.push(Question {
            about: partitions.to_vec(),
            answer: Answer::Pending(pending),
            _wanted: Wanted(is_wanted),
        });
        Ok(())
    }

    /// Notes that the cluster did not answer; says so if that goes on.
    fn complain(&mut self, reason: &str) {
        let now = Instant::now();
        let since = *self.silent_since.get_or_insert(now);
        if now.duration_since(since) >= COMPLAINT {
            tracing::warn!(question = self.name, reason, "still no answer; asking on");
            self.silent_since = Some(now);
        }
    }
}

fn start(name: &str) -> Result<Watchdog, LogError> {
    Watchdog::start(name).map_err(|error| LogError::Unavailable(format!("no thread: {error}")))
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    fn about(topic: &str) -> [TopicPartition; 1] {
        [TopicPartition::new(topic, 0)]
    }

    fn wait_for(questions: &mut Questions<i64>, topic: &str, answer: i64) -> i64 {
        loop {
            let told = questions.poll(&about(topic), move |_| Ok(answer));
            if let Some(answer) = told.expect("no error") {
                return answer;
            }
            std::thread::yield_now();
        }
    }

    fn silent(_: &[TopicPartition]) -> Result<i64, LogError> {
        Err(LogError::Unavailable("pending".into()))
    }

    /// A question about `topic` that is being asked until the sender is dropped.
    fn hold(questions: &mut Questions<i64>, topic: &str) -> Sender<()> {
        let (go, wait) = channel::<()>();
        let (begin, begun) = channel();
        let held = move |_: &[TopicPartition]| {
            begin.send(()).ok();
            wait.recv().ok();
            Ok(1)
        };
        assert_eq!(questions.poll(&about(topic), held), Ok(None));
        begun.recv().expect("it is asked");
        go
    }

    #[test]
    fn an_answer_goes_to_who_asked_and_only_if_it_is_still_wanted() {
        let mut questions = Questions::new("test");
        assert_eq!(questions.poll(&about("a"), |_| Ok(1)), Ok(None));
        assert_eq!(wait_for(&mut questions, "b", 2), 2);
        assert_eq!(questions.poll(&about("b"), |_| Ok(3)), Ok(None));
        questions.forget();
        assert_eq!(wait_for(&mut questions, "b", 4), 4);
        assert_eq!(questions.poll(&about("b"), |_| Ok(5)), Ok(None));
        assert_eq!(questions.poll(&about("c"), |_| Ok(6)), Ok(None));
        questions.forget_about(|partition| &*partition.topic == "b");
        assert_eq!(wait_for(&mut questions, "b", 7), 7);
        assert_eq!(wait_for(&mut questions, "c", 8), 6);
    }

    #[test]
    fn who_asks_waits_for_no_answer_that_another_waits_for() {
        let mut questions = Questions::new("test");
        loop {
            assert_eq!(questions.poll(&about("pending"), silent), Ok(None));
            let ready = questions.poll(&about("ready"), |_| Ok(6));
            if ready.expect("no error").is_some() {
                break;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn answers_that_nobody_takes_keep_nobody_from_asking() {
        let mut questions = Questions::new("test");
        for n in 0..QUESTIONS_MAX {
            let about = about(&format!("topic-{n}"));
            assert_eq!(questions.poll(&about, |_| Ok(1)), Ok(None));
        }
        assert_eq!(wait_for(&mut questions, "another", 7), 7);
    }

    #[test]
    fn a_question_that_is_not_wanted_is_not_asked() {
        let mut questions = Questions::new("test");
        let go = hold(&mut questions, "a");
        let (asked, told) = channel();
        for _ in 0..10 * QUESTIONS_MAX {
            let asked = asked.clone();
            let ask = move |_: &[TopicPartition]| {
                asked.send(()).ok();
                Ok(2)
            };
            assert_eq!(questions.poll(&about("b"), ask), Ok(None));
            questions.forget();
        }
        drop(go);
        assert_eq!(wait_for(&mut questions, "c", 3), 3);
        assert!(told.try_recv().is_err());
    }

    #[test]
    fn a_question_without_an_answer_is_asked_again() {
        let mut questions = Questions::new("test");
        assert_eq!(questions.poll(&about("a"), silent), Ok(None));
        assert_eq!(wait_for(&mut questions, "a", 5), 5);
    }

    #[test]
    fn a_refusal_is_told() {
        let mut questions = Questions::<i64>::new("test");
        let refused = || LogError::Config("not allowed".into());
        loop {
            match questions.poll(&about("a"), move |_| Err(refused())) {
                Ok(None) => std::thread::yield_now(),
                told => break assert_eq!(told, Err(refused())),
            }
        }
    }

    #[test]
    fn a_thread_that_panicked_is_replaced() {
        let mut questions = Questions::new("test");
        let panics = |_: &[TopicPartition]| panic!("as the test wants it");
        assert_eq!(questions.poll(&about("a"), panics), Ok(None));
        assert_eq!(wait_for(&mut questions, "a", 5), 5);
    }
}
