//! A consumer without a subscription: it reads what it is assigned, and drains its queue in
//! batches.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka_sys as sys;

use super::{Client, NativeError, bytes_of, check_code, ms, offsets};
use crate::headers::HeaderList;
use crate::time::Timestamp;

/// A consumer of assigned partitions. Its configuration must have a `group.id`, which the library
/// asks for even where no group is joined.
pub(in crate::log::kafka) struct Consumer {
    // The queue refers to the client: fields are dropped in this order.
    queue: Queue,
    pointers: Vec<*mut sys::rd_kafka_message_t>,
    client: Arc<Client>,
}

// SAFETY: the vector of pointers is empty between calls; queue and client are thread safe.
unsafe impl Send for Consumer {}

impl Consumer {
    /// Starts a consumer; it connects in the background.
    pub(in crate::log::kafka) fn start(config: &ClientConfig) -> Result<Self, NativeError> {
        let client = Client::start(sys::rd_kafka_type_t::RD_KAFKA_CONSUMER, config, |_| ())?;
        // SAFETY: the client is valid; with the redirection one queue serves everything.
        let queue = unsafe {
            check_code(sys::rd_kafka_poll_set_consumer(client.ptr()))?;
            sys::rd_kafka_queue_get_consumer(client.ptr())
        };
        let queue = NonNull::new(queue).ok_or_else(|| {
            NativeError::new(
                RDKafkaErrorCode::UnknownGroup,
                "the consumer has no group.id",
            )
        })?;
        Ok(Self {
            queue: Queue(queue),
            pointers: Vec::new(),
            client: Arc::new(client),
        })
    }

    /// Hands every message that waits to `each`, at most `limit` of them; waits up to `wait` for
    /// the first, and not at all for more.
    ///
    /// The library's batch call waits its whole time-out unless the batch gets full, so the first
    /// message is taken by a call of its own.
    pub(in crate::log::kafka) fn drain(
        &mut self,
        wait: Duration,
        limit: usize,
        mut each: impl FnMut(&Message<'_>),
    ) {
        // SAFETY: the queue is valid.
        let first = unsafe { sys::rd_kafka_consume_queue(self.queue.0.as_ptr(), ms(wait)) };
        let Some(first) = NonNull::new(first) else {
            return;
        };
        // All messages live until the last was looked at, so their topics' addresses tell the
        // topics apart.
        let first = Owned(first);
        let rest = self.take_waiting(limit.saturating_sub(1));
        for message in std::iter::once(&first).chain(&rest) {
            each(&message.view());
        }
    }

    fn take_waiting(&mut self, limit: usize) -> Vec<Owned> {
        self.pointers.clear();
        self.pointers.reserve(limit);
        // SAFETY: the vector has room for `limit` pointers, and the library tells how many it has
        // written; a negative count is an error that also comes as a message.
        unsafe {
            let taken = sys::rd_kafka_consume_batch_queue(
                self.queue.0.as_ptr(),
                0,
                self.pointers.as_mut_ptr(),
                limit,
            );
            self.pointers.set_len(usize::try_from(taken).unwrap_or(0));
        }
        let taken = self.pointers.drain(..);
        taken.filter_map(NonNull::new).map(Owned).collect()
    }

    /// Adds partitions, each with the offset to begin at.
    pub(in crate::log::kafka) fn add(&self, list: &TopicPartitionList) -> Result<(), NativeError> {
        // SAFETY: client and list are valid; the library copies the list.
        unsafe {
            NativeError::check(sys::rd_kafka_incremental_assign(
                self.client.ptr(),
                list.ptr(),
            ))
        }
    }

    /// Removes partitions, with everything that was fetched ahead for them.
    pub(in crate::log::kafka) fn remove(
        &self,
        list: &TopicPartitionList,
    ) -> Result<(), NativeError> {
        // SAFETY: as above.
        unsafe {
            NativeError::check(sys::rd_kafka_incremental_unassign(
                self.client.ptr(),
                list.ptr(),
            ))
        }
    }

    /// Stops fetching, and forgets what was fetched ahead.
    pub(in crate::log::kafka) fn pause(
        &self,
        list: &TopicPartitionList,
    ) -> Result<(), NativeError> {
        // SAFETY: as above.
        check_code(unsafe { sys::rd_kafka_pause_partitions(self.client.ptr(), list.ptr()) })
    }

    /// Goes on fetching. Only for partitions that are paused: on others the library would drop
    /// what it has fetched ahead and go on behind it.
    pub(in crate::log::kafka) fn resume(
        &self,
        list: &TopicPartitionList,
    ) -> Result<(), NativeError> {
        // SAFETY: as above.
        check_code(unsafe { sys::rd_kafka_resume_partitions(self.client.ptr(), list.ptr()) })
    }

    /// What asks the cluster, from this or any other thread.
    pub(in crate::log::kafka) fn inquirer(&self) -> Inquirer {
        Inquirer(Arc::clone(&self.client))
    }
}

/// Asks the cluster in a consumer's name; it keeps the client alive.
#[derive(Clone)]
pub(in crate::log::kafka) struct Inquirer(Arc<Client>);

impl Inquirer {
    /// Fills in the offsets and metadata that the consumer's group has committed. Under
    /// read_committed it waits for pending ones.
    pub(in crate::log::kafka) fn committed(
        &self,
        list: &TopicPartitionList,
        wait: Duration,
    ) -> Result<(), NativeError> {
        // SAFETY: client and list are valid, and nobody else reads the list meanwhile.
        check_code(unsafe { sys::rd_kafka_committed(self.0.ptr(), list.ptr(), ms(wait)) })
    }

    /// Fills in offsets for times; the times -1 and -2 are the end, as this client's isolation
    /// level sees it, and the beginning. One request per broker.
    pub(in crate::log::kafka) fn offsets_for_times(
        &self,
        list: &TopicPartitionList,
        wait: Duration,
    ) -> Result<(), NativeError> {
        // SAFETY: as above.
        check_code(unsafe { sys::rd_kafka_offsets_for_times(self.0.ptr(), list.ptr(), ms(wait)) })
    }

    /// Fills in offsets as [`Inquirer::offsets_for_times`] does, but for readers of everything: the
    /// end is the high watermark.
    pub(in crate::log::kafka) fn offsets_uncommitted(
        &self,
        list: &TopicPartitionList,
        wait: Duration,
    ) -> Result<(), NativeError> {
        offsets::list_uncommitted(&self.0, list, wait)
    }

    /// The number of partitions of a topic; `None` if there is no such topic.
    pub(in crate::log::kafka) fn partition_count(
        &self,
        topic: &str,
        wait: Duration,
    ) -> Result<Option<i32>, NativeError> {
        self.0.partition_count(topic, wait)
    }
}

pub(super) struct Queue(NonNull<sys::rd_kafka_queue_t>);

impl Queue {
    /// An empty queue.
    pub(super) fn new(client: &Client) -> Result<Self, NativeError> {
        // SAFETY: the client is valid.
        let native = unsafe { sys::rd_kafka_queue_new(client.ptr()) };
        let no_queue = || NativeError::new(RDKafkaErrorCode::Fail, "no queue");
        NonNull::new(native).map(Self).ok_or_else(no_queue)
    }

    pub(super) fn ptr(&self) -> *mut sys::rd_kafka_queue_t {
        self.0.as_ptr()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the queue came from the library, and this is its last use.
        unsafe { sys::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

/// A message that is destroyed with this.
struct Owned(NonNull<sys::rd_kafka_message_t>);

impl Owned {
    fn view(&self) -> Message<'_> {
        Message {
            native: self.0,
            life: PhantomData,
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: the message came from the library, and this is its last use.
        unsafe { sys::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

/// A record, the end of a partition, or an error, as it came from the queue.
pub(in crate::log::kafka) struct Message<'a> {
    native: NonNull<sys::rd_kafka_message_t>,
    life: PhantomData<&'a sys::rd_kafka_message_t>,
}

impl<'a> Message<'a> {
    fn raw(&self) -> &'a sys::rd_kafka_message_t {
        // SAFETY: the message lives as long as `'a`.
        unsafe { self.native.as_ref() }
    }

    /// `None` for a record.
    pub(in crate::log::kafka) fn error(&self) -> Option<RDKafkaErrorCode> {
        let code = self.raw().err;
        (code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| code.into())
    }

    /// What tells the topic apart within one drain.
    pub(in crate::log::kafka) fn topic_address(&self) -> usize {
        self.raw().rkt.addr()
    }

    /// The topic's name; `None` for an error that is not about a topic.
    pub(in crate::log::kafka) fn topic(&self) -> Option<&'a str> {
        if self.raw().rkt.is_null() {
            return None;
        }
        // SAFETY: the message keeps its topic alive, and the name ends with a zero.
        let name = unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(self.raw().rkt)) };
        name.to_str().ok()
    }

    /// The partition.
    pub(in crate::log::kafka) fn partition(&self) -> i32 {
        self.raw().partition
    }

    /// The record's offset, or the end of the partition.
    pub(in crate::log::kafka) fn offset(&self) -> i64 {
        self.raw().offset
    }

    /// The record's timestamp.
    pub(in crate::log::kafka) fn timestamp(&self) -> Timestamp {
        // SAFETY: the message is valid, and the kind of the timestamp may be left out.
        let ms =
            unsafe { sys::rd_kafka_message_timestamp(self.native.as_ptr(), std::ptr::null_mut()) };
        Timestamp::from_millis(ms)
    }

    /// The key's bytes.
    pub(in crate::log::kafka) fn key(&self) -> Option<&'a [u8]> {
        // SAFETY: the message owns its key.
        unsafe { bytes_of(self.raw().key, self.raw().key_len) }
    }

    /// The value's bytes, or an error's text.
    pub(in crate::log::kafka) fn value(&self) -> Option<&'a [u8]> {
        // SAFETY: the message owns its value.
        unsafe { bytes_of(self.raw().payload, self.raw().len) }
    }

    /// Appends the record's headers to `list`.
    pub(in crate::log::kafka) fn copy_headers(&self, list: &mut HeaderList) {
        let mut headers = std::ptr::null_mut();
        // SAFETY: the message is valid, and owns the headers.
        let code = unsafe { sys::rd_kafka_message_headers(self.native.as_ptr(), &raw mut headers) };
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        let mut index = 0;
        // SAFETY: the headers live as long as the message.
        while let Some((name, value)) = unsafe { header_at(headers, index) } {
            list.push(&name.to_string_lossy(), value);
            index += 1;
        }
    }
}

/// # Safety
/// `headers` is a list that lives as long as `'a`.
unsafe fn header_at<'a>(
    headers: *const sys::rd_kafka_headers_t,
    index: usize,
) -> Option<(&'a CStr, Option<&'a [u8]>)> {
    let (mut name, mut value, mut len) = (std::ptr::null(), std::ptr::null(), 0);
    // SAFETY: the three places are written when the call succeeds; the name ends with a zero, and
    // name and value live as long as the list.
    unsafe {
        let code = sys::rd_kafka_header_get_all(
            headers,
            index,
            &raw mut name,
            &raw mut value,
            &raw mut len,
        );
        (code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR)
            .then(|| (CStr::from_ptr(name), bytes_of(value, len)))
    }
}
