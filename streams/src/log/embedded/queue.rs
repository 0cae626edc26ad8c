//! The queue in front of the journal: what members and writers want to have written.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::channel::oneshot;
use parking_lot::{Condvar, Mutex};

use super::entry::{Entry, PartitionId};
use crate::log::{LogError, Offset};

/// Something to write, all or nothing.
#[derive(Debug)]
pub(super) struct Request {
    /// Records, in their order.
    pub(super) sections: Vec<Pending>,
    /// Anything but records.
    pub(super) entries: Vec<Entry>,
    /// Refuse the request if this was lifted.
    pub(super) permit: Option<Arc<Permit>>,
    reply: oneshot::Sender<Reply>,
    bytes: usize,
}

/// The answer to a request, with the offset of the last record of each of its sections.
pub(super) type Reply = Result<Vec<Offset>, Failure>;

/// Records of one partition that have no offsets yet.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) partition: PartitionId,
    /// Encoded as a dense section.
    pub(super) data: Vec<u8>,
    /// At least 1.
    pub(super) count: u32,
    pub(super) max_timestamp: i64,
    /// The checksum over `data`, if the sender had time to compute it.
    pub(super) crc: Option<u32>,
}

/// Why a request was not carried out.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// It has no effect, now or later.
    NotWritten(LogError),
    /// It has no effect, because its sender was fenced.
    Fenced,
    /// A write or sync of it failed, so only opening the log again will tell.
    Unknown(LogError),
}

impl Failure {
    /// The failure as the log port tells it where there is no transaction.
    pub(super) fn into_error(self) -> LogError {
        match self {
            Self::NotWritten(error) | Self::Unknown(error) => error,
            Self::Fenced => LogError::MemberLost("another incarnation has its place".to_owned()),
        }
    }
}

/// A member's right to write, until it is lifted.
#[derive(Debug, Default)]
pub(super) struct Permit {
    lifted: AtomicBool,
}

impl Permit {
    /// Takes the right away: no request that is not yet being written will be.
    pub(super) fn lift(&self) {
        self.lifted.store(true, Ordering::SeqCst);
    }

    /// True if the right was taken away.
    pub(super) fn is_lifted(&self) -> bool {
        self.lifted.load(Ordering::SeqCst)
    }
}

impl Request {
    /// A request and where its answer will come.
    pub(super) fn new(
        sections: Vec<Pending>,
        entries: Vec<Entry>,
        permit: Option<Arc<Permit>>,
    ) -> (Self, oneshot::Receiver<Reply>) {
        let (reply, answer) = oneshot::channel();
        let bytes = sections.iter().map(|section| section.data.len()).sum();
        let request = Self {
            sections,
            entries,
            permit,
            reply,
            bytes,
        };
        (request, answer)
    }

    /// Answers the request. Whoever asked may have gone.
    pub(super) fn answer(self, reply: Reply) {
        let _ = self.reply.send(reply);
    }
}

/// Requests that wait, up to a limit of bytes.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// Told when there is a request, or the queue is closed.
    work: Condvar,
    /// Told when there is room again, or the queue is closed.
    room: Condvar,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    requests: VecDeque<Request>,
    bytes: usize,
    closed: bool,
}

/// A frame takes requests up to this size, so that the first does not wait long for the last.
const GROUP_BYTES_MAX: usize = 16 << 20;

impl Queue {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            work: Condvar::new(),
            room: Condvar::new(),
            bytes_max,
        }
    }

    /// Adds a request; waits while the queue is full.
    pub(super) fn push(&self, request: Request) -> Result<(), LogError> {
        let mut waiting = self.waiting.lock();
        while !waiting.closed && waiting.is_full(request.bytes, self.bytes_max) {
            self.room.wait(&mut waiting);
        }
        self.add(&mut waiting, request)
    }

    /// Adds a request, unless the queue is full.
    pub(super) fn try_push(&self, request: Request) -> Result<(), LogError> {
        let mut waiting = self.waiting.lock();
        if waiting.is_full(request.bytes, self.bytes_max) {
            let bytes = waiting.bytes;
            return Err(LogError::Unavailable(format!(
                "{bytes} bytes wait to be written already"
            )));
        }
        self.add(&mut waiting, request)
    }

    fn add(&self, waiting: &mut Waiting, request: Request) -> Result<(), LogError> {
        if waiting.closed {
            return Err(closed());
        }
        waiting.bytes += request.bytes;
        waiting.requests.push_back(request);
        if waiting.requests.len() == 1 {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Takes the requests for the next frame, at least one; `None` once the queue is closed and
    /// empty.
    pub(super) fn take(&self) -> Option<Vec<Request>> {
        let mut waiting = self.waiting.lock();
        while waiting.requests.is_empty() {
            if waiting.closed {
                return None;
            }
            self.work.wait(&mut waiting);
        }
        let group = waiting.take_group();
        self.room.notify_all();
        Some(group)
    }

    /// Forgets the requests that wait; their senders learn that the outcome is unknown.
    pub(super) fn clear(&self) {
        let mut waiting = self.waiting.lock();
        waiting.requests.clear();
        waiting.bytes = 0;
    }

    /// Refuses further requests. Those that wait are still carried out.
    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.work.notify_all();
        self.room.notify_all();
    }
}

impl Waiting {
    // A request larger than the limit is let in alone.
    fn is_full(&self, bytes: usize, bytes_max: usize) -> bool {
        !self.requests.is_empty() && self.bytes + bytes > bytes_max
    }

    fn take_group(&mut self) -> Vec<Request> {
        let mut group = Vec::with_capacity(self.requests.len().min(1024));
        let mut bytes = 0;
        while let Some(request) = self.requests.pop_front() {
            bytes += request.bytes;
            group.push(request);
            let next = self.requests.front().map_or(0, |next| next.bytes);
            if bytes + next > GROUP_BYTES_MAX {
                break;
            }
        }
        self.bytes -= bytes;
        group
    }
}

/// The error after the log was closed.
pub(super) fn closed() -> LogError {
    LogError::Unavailable("the log is closed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::entry::TopicId;
    use super::*;

    fn request(bytes: usize) -> Request {
        let section = Pending {
            partition: (TopicId(0), 0),
            data: vec![0; bytes],
            count: 1,
            max_timestamp: 0,
            crc: None,
        };
        Request::new(vec![section], Vec::new(), None).0
    }

    #[test]
    fn a_full_queue_refuses_until_something_is_taken() {
        let queue = Queue::new(10);
        queue.try_push(request(8)).expect("room");
        assert!(matches!(
            queue.try_push(request(8)),
            Err(LogError::Unavailable(_))
        ));
        assert_eq!(queue.take().map(|group| group.len()), Some(1));
        queue.try_push(request(8)).expect("room again");
    }

    #[test]
    fn a_request_over_the_limit_is_let_in_alone() {
        let queue = Queue::new(10);
        queue.try_push(request(100)).expect("alone");
    }

    #[test]
    fn a_group_ends_at_its_size_limit() {
        let queue = Queue::new(usize::MAX);
        for _ in 0..3 {
            queue.push(request(GROUP_BYTES_MAX / 2)).expect("room");
        }
        assert_eq!(queue.take().map(|group| group.len()), Some(2));
        assert_eq!(queue.take().map(|group| group.len()), Some(1));
    }

    #[test]
    fn a_closed_queue_hands_out_the_rest() {
        let queue = Queue::new(10);
        queue.push(request(1)).expect("room");
        queue.close();
        assert!(queue.push(request(1)).is_err());
        assert_eq!(queue.take().map(|group| group.len()), Some(1));
        assert!(queue.take().is_none());
    }
}
