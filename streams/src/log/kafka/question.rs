//! Asks for committed offsets without waiting for the answer, which a pending commit holds back.

use super::watchdog::{Pending, Watchdog};
use crate::log::{CommittedOffset, LogError, TopicPartition};

type Answer = Result<Vec<Option<CommittedOffset>>, LogError>;

/// How many questions may be on their way: each waits behind the one before it.
const QUESTIONS_MAX: usize = 4;

/// Questions on their way, one after the other, on a thread of their own.
pub(super) struct Question {
    watchdog: Watchdog,
    asked: Vec<Asked>,
}

struct Asked {
    about: Vec<TopicPartition>,
    /// False if its answer is too old already.
    is_wanted: bool,
    pending: Pending<Answer>,
}

impl Asked {
    /// True while there is no answer. One that is there is taken out, and gone.
    fn is_under_way(&self) -> bool {
        matches!(self.pending.poll(), Ok(None))
    }
}

impl Question {
    /// Nothing is asked yet.
    pub(super) fn start(name: &str) -> Result<Self, LogError> {
        let watchdog = Watchdog::start(name)
            .map_err(|error| LogError::Unavailable(format!("no thread: {error}")))?;
        let asked = Vec::new();
        Ok(Self { watchdog, asked })
    }

    /// The answer to `ask` about `partitions`, if it is there. Otherwise it is asked, unless too many
    /// questions are on their way. A question about other partitions does not take its place.
    pub(super) fn poll(
        &mut self,
        partitions: &[TopicPartition],
        ask: impl FnOnce(&[TopicPartition]) -> Answer + Send + 'static,
    ) -> Result<Option<Vec<Option<CommittedOffset>>>, LogError> {
        self.drop_unwanted();
        let mine = |asked: &Asked| asked.is_wanted && asked.about == partitions;
        if let Some(index) = self.asked.iter().position(mine) {
            let answer = match self.asked.get(index).map(|asked| asked.pending.poll()) {
                Some(Ok(None)) => return Ok(None),
                Some(Ok(answer)) => answer,
                Some(Err(_)) | None => None,
            };
            self.asked.remove(index);
            match answer {
                Some(Ok(offsets)) => return Ok(Some(offsets)),
                None | Some(Err(LogError::Unavailable(_))) => {}
                Some(Err(error)) => return Err(error),
            }
        }
        if self.asked.len() == QUESTIONS_MAX {
            // Who asked may ask about other partitions by now, and never take the answer.
            self.asked.retain(Asked::is_under_way);
        }
        if self.asked.len() < QUESTIONS_MAX {
            self.begin(partitions, ask);
        }
        Ok(None)
    }

    fn begin(
        &mut self,
        partitions: &[TopicPartition],
        ask: impl FnOnce(&[TopicPartition]) -> Answer + Send + 'static,
    ) {
        let about = partitions.to_vec();
        let pending = self.watchdog.begin(move || ask(&about));
        self.asked.push(Asked {
            about: partitions.to_vec(),
            is_wanted: true,
            pending,
        });
    }

    /// Whatever the answers are going to be, they are not wanted. Their calls take their time all the
    /// same, and count as on their way until then.
    pub(super) fn forget(&mut self) {
        for asked in &mut self.asked {
            asked.is_wanted = false;
        }
    }

    /// The same of what was asked about partitions for which an offset is committed.
    pub(super) fn forget_about(&mut self, committed: &[(TopicPartition, CommittedOffset)]) {
        for asked in &mut self.asked {
            let mut partitions = committed.iter().map(|(partition, _)| partition);
            asked.is_wanted &= !partitions.any(|partition| asked.about.contains(partition));
        }
    }

    fn drop_unwanted(&mut self) {
        self.asked
            .retain(|asked| asked.is_wanted || asked.is_under_way());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(offset: i64) -> Answer {
        let metadata = String::new();
        Ok(vec![Some(CommittedOffset { offset, metadata })])
    }

    fn wait_for(question: &mut Question, topic: &str, answer: i64) -> i64 {
        let about = [TopicPartition::new(topic, 0)];
        loop {
            let told = question.poll(&about, move |_| offset(answer));
            if let Some(offsets) = told.expect("no error") {
                return offsets[0].as_ref().expect("an offset").offset;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn an_answer_goes_to_who_asked_and_only_if_it_is_still_wanted() {
        let mut question = Question::start("test").expect("a thread");
        let (a, b) = ([TopicPartition::new("a", 0)], [TopicPartition::new("b", 0)]);
        assert_eq!(question.poll(&a, |_| offset(1)), Ok(None));
        assert_eq!(wait_for(&mut question, "b", 2), 2);
        assert_eq!(question.poll(&b, |_| offset(3)), Ok(None));
        question.forget();
        assert_eq!(wait_for(&mut question, "b", 4), 4);
    }

    #[test]
    fn who_asks_waits_for_no_answer_that_another_waits_for() {
        let mut question = Question::start("test").expect("a thread");
        let about = [TopicPartition::new("pending", 0)];
        let silent = |_: &[TopicPartition]| Err(LogError::Unavailable("pending".into()));
        loop {
            assert_eq!(question.poll(&about, silent), Ok(None));
            let other = [TopicPartition::new("ready", 0)];
            if question
                .poll(&other, |_| offset(6))
                .expect("no error")
                .is_some()
            {
                break;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn answers_that_nobody_takes_keep_nobody_from_asking() {
        let mut question = Question::start("test").expect("a thread");
        for topic in ["a", "b", "c", "d"] {
            let about = [TopicPartition::new(topic, 0)];
            assert_eq!(question.poll(&about, |_| offset(1)), Ok(None));
        }
        assert_eq!(wait_for(&mut question, "e", 7), 7);
    }

    #[test]
    fn questions_that_are_not_wanted_do_not_pile_up() {
        let mut question = Question::start("test").expect("a thread");
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let about = [TopicPartition::new("a", 0)];
        let held = move |_: &[TopicPartition]| {
            wait.recv().ok();
            offset(1)
        };
        assert_eq!(question.poll(&about, held), Ok(None));
        for _ in 0..100 {
            question.forget();
            assert_eq!(question.poll(&about, |_| offset(2)), Ok(None));
        }
        assert_eq!(question.asked.len(), QUESTIONS_MAX);
        drop(go);
        assert_eq!(wait_for(&mut question, "a", 3), 3);
    }

    #[test]
    fn a_question_without_an_answer_is_asked_again_and_does_not_wait() {
        let mut question = Question::start("test").expect("a thread");
        let about = [TopicPartition::new("a", 0)];
        let silent = |_: &[TopicPartition]| Err(LogError::Unavailable("pending".into()));
        assert_eq!(question.poll(&about, silent), Ok(None));
        assert_eq!(wait_for(&mut question, "a", 5), 5);
    }
}
