//! Asks for committed offsets without waiting for the answer, which a pending commit holds back.

use super::watchdog::{Pending, Watchdog};
use crate::log::{CommittedOffset, LogError, TopicPartition};

type Answer = Result<Vec<Option<CommittedOffset>>, LogError>;

/// One question at a time, on a thread of its own.
pub(super) struct Question {
    watchdog: Watchdog,
    asked: Option<(Vec<TopicPartition>, Pending<Answer>)>,
}

impl Question {
    /// Nothing is asked yet.
    pub(super) fn start(name: &str) -> Result<Self, LogError> {
        let watchdog = Watchdog::start(name)
            .map_err(|error| LogError::Unavailable(format!("no thread: {error}")))?;
        let asked = None;
        Ok(Self { watchdog, asked })
    }

    /// The answer to `ask` about `partitions`, if it is there. Otherwise it is asked, as soon as no
    /// other question is on its way.
    pub(super) fn poll(
        &mut self,
        partitions: &[TopicPartition],
        ask: impl FnOnce(&[TopicPartition]) -> Answer + Send + 'static,
    ) -> Result<Option<Vec<Option<CommittedOffset>>>, LogError> {
        if let Some((about, pending)) = &self.asked {
            let answer = match pending.poll() {
                Ok(None) => return Ok(None),
                Ok(answer) => answer.filter(|_| about == partitions),
                Err(_) => None,
            };
            self.asked = None;
            match answer {
                Some(Ok(offsets)) => return Ok(Some(offsets)),
                None | Some(Err(LogError::Unavailable(_))) => {}
                Some(Err(error)) => return Err(error),
            }
        }
        let about = partitions.to_vec();
        let pending = self.watchdog.begin(move || ask(&about));
        self.asked = Some((partitions.to_vec(), pending));
        Ok(None)
    }

    /// Whatever the answer is going to be, it is not wanted.
    pub(super) fn forget(&mut self) {
        self.asked = None;
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
    fn a_question_without_an_answer_is_asked_again_and_does_not_wait() {
        let mut question = Question::start("test").expect("a thread");
        let about = [TopicPartition::new("a", 0)];
        let silent = |_: &[TopicPartition]| Err(LogError::Unavailable("pending".into()));
        assert_eq!(question.poll(&about, silent), Ok(None));
        assert_eq!(wait_for(&mut question, "a", 5), 5);
    }
}
