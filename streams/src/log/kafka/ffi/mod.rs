//! librdkafka's own calls behind safe types: the only unsafe code of the project.
//!
//! The safe wrapper crate polls in steps of 100 ms where the library returns at once, takes one
//! message per call, looks topics up by name for each record, and hides the constructor of the
//! group metadata that a Streams member needs. What is called here is what that costs.
//!
//! | type | is |
//! | --- | --- |
//! | [`Consumer`] | a client without a subscription: assign, drain in batches, ask for offsets |
//! | [`Producer`] | a transactional producer; [`TopicHandle`] produces to one topic |
//! | [`NativeError`] | what went wrong, with the library's advice on what to do |
#![allow(
    unsafe_code,
    reason = "batch fetch, produce and transactions exist only as C calls"
)]

mod consumer;
mod offsets;
mod producer;

use std::ffi::{CStr, CString, c_char, c_int};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka_sys as sys;

pub(super) use consumer::{Consumer, Inquirer, Message};
pub(super) use producer::{GroupIdentity, Outgoing, Producer, TopicHandle, wire_timestamp};

/// An error of the library.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct NativeError {
    /// Which one.
    pub(super) code: RDKafkaErrorCode,
    /// The client can do nothing any more.
    pub(super) fatal: bool,
    /// The transaction has not taken effect, and has to be aborted.
    pub(super) abortable: bool,
    /// The library's words.
    pub(super) text: String,
}

impl NativeError {
    fn from_code(code: RDKafkaRespErr) -> Self {
        // SAFETY: the library answers a static string for every code.
        let text = unsafe { text_of(sys::rd_kafka_err2str(code)) };
        Self {
            code: code.into(),
            fatal: false,
            abortable: false,
            text,
        }
    }

    fn new(code: RDKafkaErrorCode, text: impl Into<String>) -> Self {
        Self {
            code,
            fatal: false,
            abortable: false,
            text: text.into(),
        }
    }

    /// There is no answer yet; asking again may bring one.
    pub(super) fn not_ready() -> Self {
        Self::new(
            RDKafkaErrorCode::LeaderNotAvailable,
            "no leader answers yet",
        )
    }

    /// A call was given up.
    pub(super) fn timed_out(text: &str) -> Self {
        Self::new(RDKafkaErrorCode::OperationTimedOut, text)
    }

    /// A record names a topic or partition that it cannot have.
    pub(super) fn no_such_slot() -> Self {
        Self::new(
            RDKafkaErrorCode::UnknownPartition,
            "no such topic or partition",
        )
    }

    /// Takes over an error object; null is success.
    ///
    /// # Safety
    /// `error` is null, or an error object that nobody else destroys.
    unsafe fn check(error: *mut sys::rd_kafka_error_t) -> Result<(), Self> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: the object is valid until it is destroyed, and its text is copied before that.
        unsafe {
            let taken = Self {
                code: sys::rd_kafka_error_code(error).into(),
                fatal: sys::rd_kafka_error_is_fatal(error) != 0,
                abortable: sys::rd_kafka_error_txn_requires_abort(error) != 0,
                text: text_of(sys::rd_kafka_error_string(error)),
            };
            sys::rd_kafka_error_destroy(error);
            Err(taken)
        }
    }
}

fn check_code(code: RDKafkaRespErr) -> Result<(), NativeError> {
    if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    Err(NativeError::from_code(code))
}

/// A client of the library; it is destroyed with this.
struct Client {
    native: NonNull<sys::rd_kafka_t>,
}

// SAFETY: the library documents its client as thread safe, and nothing here depends on the thread.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

impl Client {
    /// Starts a client. `prepare` may register callbacks on the configuration first.
    fn start(
        kind: sys::rd_kafka_type_t,
        config: &ClientConfig,
        prepare: impl FnOnce(*mut sys::rd_kafka_conf_t),
    ) -> Result<Self, NativeError> {
        let config = config.create_native_config().map_err(|error| {
            NativeError::new(RDKafkaErrorCode::InvalidArgument, error.to_string())
        })?;
        let mut text = [0 as c_char; 512];
        // SAFETY: the configuration is valid until `rd_kafka_new` succeeds, which takes it over;
        // the buffer is as long as is said.
        let native = unsafe {
            sys::rd_kafka_conf_set_log_cb(config.ptr(), Some(on_log));
            prepare(config.ptr());
            sys::rd_kafka_new(kind, config.ptr(), text.as_mut_ptr(), text.len())
        };
        let Some(native) = NonNull::new(native) else {
            // SAFETY: the library ends its text with a zero.
            let text = unsafe { text_of(text.as_ptr()) };
            return Err(NativeError::new(RDKafkaErrorCode::InvalidArgument, text));
        };
        // The client owns the configuration from here on.
        let _ = ManuallyDrop::new(config);
        Ok(Self { native })
    }

    fn ptr(&self) -> *mut sys::rd_kafka_t {
        self.native.as_ptr()
    }

    /// The number of partitions of a topic; `None` if there is no such topic.
    fn partition_count(&self, topic: &str, wait: Duration) -> Result<Option<i32>, NativeError> {
        let handle = NativeTopic::open(self, topic)?;
        let mut metadata = std::ptr::null();
        // SAFETY: client and topic are valid; the answer is read before it is destroyed, and its
        // array has as many elements as it says.
        unsafe {
            let code = sys::rd_kafka_metadata(self.ptr(), 0, handle.0, &raw mut metadata, ms(wait));
            check_code(code)?;
            let topics =
                std::slice::from_raw_parts((*metadata).topics, count((*metadata).topic_cnt));
            let answer = topics.first().map(|topic| (topic.err, topic.partition_cnt));
            sys::rd_kafka_metadata_destroy(metadata);
            partition_answer(answer)
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Nobody here subscribes, so there is no group to say goodbye to, and no reason to wait
        // for a coordinator that may be down.
        // SAFETY: the last use of the pointer; queues and topics that refer to it are gone, because
        // whoever owns them owns this client too and drops them first.
        unsafe {
            sys::rd_kafka_destroy_flags(self.ptr(), sys::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        }
    }
}

fn partition_answer(answer: Option<(RDKafkaRespErr, c_int)>) -> Result<Option<i32>, NativeError> {
    use RDKafkaRespErr as Code;
    match answer {
        None => Ok(None),
        Some((
            Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
            | Code::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
            | Code::RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION,
            _,
        )) => Ok(None),
        Some((code, partitions)) => check_code(code).map(|()| Some(partitions)),
    }
}

/// A topic object of the library.
struct NativeTopic(*mut sys::rd_kafka_topic_t);

impl NativeTopic {
    /// The caller drops it before the client.
    fn open(client: &Client, name: &str) -> Result<Self, NativeError> {
        let name = c_string(name)?;
        // SAFETY: client and name are valid during the call, which copies the name.
        let native =
            unsafe { sys::rd_kafka_topic_new(client.ptr(), name.as_ptr(), std::ptr::null_mut()) };
        if native.is_null() {
            let text = format!("`{}` is not a topic name", name.to_string_lossy());
            return Err(NativeError::new(RDKafkaErrorCode::InvalidTopic, text));
        }
        Ok(Self(native))
    }
}

impl Drop for NativeTopic {
    fn drop(&mut self) {
        // SAFETY: the object came from `rd_kafka_topic_new`, and this is its last use.
        unsafe { sys::rd_kafka_topic_destroy(self.0) }
    }
}

// SAFETY: topic objects may be used from any thread, as the client they belong to.
unsafe impl Send for NativeTopic {}
// SAFETY: as above.
unsafe impl Sync for NativeTopic {}

/// The library's log lines become events of `tracing`, for who looks for them: it calls a broker
/// that restarts an error, several times a second, and what matters comes back from its calls.
unsafe extern "C" fn on_log(
    _client: *const sys::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    line: *const c_char,
) {
    // SAFETY: the library passes two strings that live during the call.
    let (facility, line) = unsafe { (text_of(facility), text_of(line)) };
    match level {
        ..=2 => tracing::error!(target: "librdkafka", facility, "{line}"),
        3..=6 => tracing::debug!(target: "librdkafka", facility, "{line}"),
        _ => tracing::trace!(target: "librdkafka", facility, "{line}"),
    }
}

/// Copies a string of the library.
///
/// # Safety
/// `text` is null or a string that ends with a zero.
unsafe fn text_of(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

fn c_string(text: &str) -> Result<CString, NativeError> {
    CString::new(text).map_err(|_| {
        let text = format!("`{}` contains a zero byte", text.escape_debug());
        NativeError::new(RDKafkaErrorCode::InvalidArgument, text)
    })
}

/// Bytes of the library; null is `None`.
///
/// # Safety
/// `data` is null, or `len` readable bytes that live as long as `'a`.
unsafe fn bytes_of<'a>(data: *const std::ffi::c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: as the caller promises.
    (!data.is_null()).then(|| unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// A time-out as the library takes it.
fn ms(wait: Duration) -> c_int {
    c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX)
}

fn count(value: c_int) -> usize {
    usize::try_from(value).unwrap_or(0)
}
