//! A transactional producer: records go to explicit partitions through topic handles, and the last
//! offset of each lane comes back with the delivery reports.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka_sys as sys;

use super::{Client, NativeError, NativeTopic, c_string, check_code, ms};
use crate::headers::Headers;
use crate::time::Timestamp;

/// A transactional producer.
///
/// Calls on a transaction block; everything may be called from any thread.
pub(in crate::log::kafka) struct Producer {
    client: Client,
    // Behind the client: callbacks refer to it until the client is gone.
    deliveries: Arc<Deliveries>,
}

/// What the delivery reports have told.
#[derive(Default)]
struct Deliveries {
    state: Mutex<DeliveryState>,
}

#[derive(Default)]
struct DeliveryState {
    /// The last offset written, per lane; -1 for none.
    last: Vec<i64>,
    failure: Option<NativeError>,
}

impl Producer {
    /// Starts a producer; it connects in the background.
    pub(in crate::log::kafka) fn start(config: &ClientConfig) -> Result<Self, NativeError> {
        let deliveries = Arc::new(Deliveries::default());
        let opaque = Arc::as_ptr(&deliveries);
        let client = Client::start(sys::rd_kafka_type_t::RD_KAFKA_PRODUCER, config, |conf| {
            // SAFETY: the configuration is valid; the pointer outlives the client.
            unsafe {
                sys::rd_kafka_conf_set_opaque(conf, opaque.cast_mut().cast());
                sys::rd_kafka_conf_set_dr_msg_cb(conf, Some(on_delivery));
            }
        })?;
        Ok(Self { client, deliveries })
    }

    /// Serves delivery reports; waits up to `wait` for the first.
    pub(in crate::log::kafka) fn poll(&self, wait: Duration) {
        // SAFETY: the client is valid.
        unsafe { sys::rd_kafka_poll(self.client.ptr(), ms(wait)) };
    }

    /// The first failed delivery since the producer was made.
    pub(in crate::log::kafka) fn failure(&self) -> Option<NativeError> {
        self.deliveries.state.lock().failure.clone()
    }

    /// Makes room for `lanes` lanes.
    pub(in crate::log::kafka) fn reserve_lanes(&self, lanes: usize) {
        self.deliveries.state.lock().last.resize(lanes, -1);
    }

    /// The last offset of each lane since the last call, in lane order; -1 for none.
    pub(in crate::log::kafka) fn take_last_offsets(&self, into: &mut Vec<i64>) {
        into.clear();
        let mut state = self.deliveries.state.lock();
        into.extend(
            state
                .last
                .iter_mut()
                .map(|last| std::mem::replace(last, -1)),
        );
    }

    /// Fences whoever uses this transactional id, ends its transaction, and waits for that.
    pub(in crate::log::kafka) fn init_transactions(
        &self,
        wait: Duration,
    ) -> Result<(), NativeError> {
        // SAFETY: the client is valid; the answer is ours.
        unsafe { NativeError::check(sys::rd_kafka_init_transactions(self.client.ptr(), ms(wait))) }
    }

    /// Opens a transaction. Tells nobody, and does not block.
    pub(in crate::log::kafka) fn begin_transaction(&self) -> Result<(), NativeError> {
        // SAFETY: as above.
        unsafe { NativeError::check(sys::rd_kafka_begin_transaction(self.client.ptr())) }
    }

    /// Adds offsets to the transaction in the name of a group's member.
    pub(in crate::log::kafka) fn send_offsets(
        &self,
        offsets: &TopicPartitionList,
        group: &GroupIdentity,
        wait: Duration,
    ) -> Result<(), NativeError> {
        // SAFETY: client, list and metadata are valid during the call.
        unsafe {
            NativeError::check(sys::rd_kafka_send_offsets_to_transaction(
                self.client.ptr(),
                offsets.ptr(),
                group.0.as_ptr(),
                ms(wait),
            ))
        }
    }

    /// Sends what is queued at once, and waits for all deliveries. Serves delivery reports
    /// meanwhile.
    pub(in crate::log::kafka) fn flush(&self, wait: Duration) -> Result<(), NativeError> {
        // SAFETY: the client is valid.
        check_code(unsafe { sys::rd_kafka_flush(self.client.ptr(), ms(wait)) })
    }

    /// Waits for all deliveries, and commits. Serves delivery reports meanwhile.
    pub(in crate::log::kafka) fn commit_transaction(
        &self,
        wait: Duration,
    ) -> Result<(), NativeError> {
        // SAFETY: as above.
        unsafe {
            NativeError::check(sys::rd_kafka_commit_transaction(
                self.client.ptr(),
                ms(wait),
            ))
        }
    }

    /// Drops what is queued, and aborts. Serves delivery reports meanwhile.
    pub(in crate::log::kafka) fn abort_transaction(
        &self,
        wait: Duration,
    ) -> Result<(), NativeError> {
        // SAFETY: as above.
        unsafe { NativeError::check(sys::rd_kafka_abort_transaction(self.client.ptr(), ms(wait))) }
    }

    /// Forgets every record that was not acknowledged.
    fn purge(&self) {
        let flags = sys::RD_KAFKA_PURGE_F_QUEUE
            | sys::RD_KAFKA_PURGE_F_INFLIGHT
            | sys::RD_KAFKA_PURGE_F_NON_BLOCKING;
        // SAFETY: as above. A failure leaves the records to the client's end.
        unsafe { sys::rd_kafka_purge(self.client.ptr(), flags) };
        self.poll(Duration::ZERO);
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.purge();
    }
}

/// Notes what became of a message.
unsafe extern "C" fn on_delivery(
    _client: *mut sys::rd_kafka_t,
    message: *const sys::rd_kafka_message_t,
    opaque: *mut c_void,
) {
    // SAFETY: the library passes a valid message, and the pointer that was set as its opaque value,
    // which outlives the client.
    let (deliveries, message) = unsafe { (&*opaque.cast::<Deliveries>(), &*message) };
    let mut state = deliveries.state.lock();
    if message.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        state
            .failure
            .get_or_insert_with(|| NativeError::from_code(message.err));
        return;
    }
    // The opaque value of a message is its lane's number, never followed as a pointer.
    if let Some(last) = state.last.get_mut(message._private.addr()) {
        *last = message.offset.max(*last);
    }
}

/// Who commits offsets: a member of a group, at an epoch.
pub(in crate::log::kafka) struct GroupIdentity(NonNull<sys::rd_kafka_consumer_group_metadata_t>);

// SAFETY: the object is written once, and only read afterwards.
unsafe impl Send for GroupIdentity {}

impl GroupIdentity {
    /// The member `member` of `group`, at `epoch`.
    pub(in crate::log::kafka) fn new(
        group: &str,
        epoch: i32,
        member: &str,
    ) -> Result<Self, NativeError> {
        let (group, member) = (c_string(group)?, c_string(member)?);
        // SAFETY: both strings are valid during the call, which copies them.
        let native = unsafe {
            sys::rd_kafka_consumer_group_metadata_new_with_genid(
                group.as_ptr(),
                epoch,
                member.as_ptr(),
                std::ptr::null(),
            )
        };
        let native = NonNull::new(native)
            .ok_or_else(|| NativeError::new(RDKafkaErrorCode::InvalidArgument, "group metadata"))?;
        Ok(Self(native))
    }
}

impl Drop for GroupIdentity {
    fn drop(&mut self) {
        // SAFETY: the object came from the library, and this is its last use.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) }
    }
}

/// A record on its way out.
pub(in crate::log::kafka) struct Outgoing<'a> {
    /// The partition.
    pub(in crate::log::kafka) partition: i32,
    /// The lane under which its offset is noted.
    pub(in crate::log::kafka) lane: usize,
    /// The timestamp.
    pub(in crate::log::kafka) timestamp: Timestamp,
    /// The headers.
    pub(in crate::log::kafka) headers: Headers<'a>,
    /// The key.
    pub(in crate::log::kafka) key: Option<&'a [u8]>,
    /// The value.
    pub(in crate::log::kafka) value: Option<&'a [u8]>,
}

/// Produces to one topic.
pub(in crate::log::kafka) struct TopicHandle {
    // The topic refers to the client: fields are dropped in this order.
    topic: NativeTopic,
    producer: Arc<Producer>,
}

impl TopicHandle {
    /// A handle of `topic`.
    pub(in crate::log::kafka) fn open(
        producer: &Arc<Producer>,
        topic: &str,
    ) -> Result<Self, NativeError> {
        Ok(Self {
            topic: NativeTopic::open(&producer.client, topic)?,
            producer: Arc::clone(producer),
        })
    }

    /// Copies a record into the producer's queue. Does not block: a full queue is the error
    /// [`RDKafkaErrorCode::QueueFull`].
    pub(in crate::log::kafka) fn produce(&self, record: &Outgoing<'_>) -> Result<(), NativeError> {
        use sys::rd_kafka_vtype_t as Kind;
        let headers = NativeHeaders::from(record.headers)?;
        let fields = [
            field(Kind::RD_KAFKA_VTYPE_RKT, |u| u.rkt = self.topic.0),
            field(Kind::RD_KAFKA_VTYPE_PARTITION, |u| {
                u.i32_ = record.partition;
            }),
            field(Kind::RD_KAFKA_VTYPE_MSGFLAGS, |u| u.i = COPY),
            field(Kind::RD_KAFKA_VTYPE_TIMESTAMP, |u| {
                u.i64_ = wire_timestamp(record.timestamp);
            }),
            field(Kind::RD_KAFKA_VTYPE_OPAQUE, |u| {
                u.ptr = std::ptr::without_provenance_mut(record.lane);
            }),
            field(Kind::RD_KAFKA_VTYPE_KEY, |u| u.mem = memory(record.key)),
            field(Kind::RD_KAFKA_VTYPE_VALUE, |u| u.mem = memory(record.value)),
            field(Kind::RD_KAFKA_VTYPE_HEADERS, |u| u.headers = headers.0),
        ];
        // A record without headers, the common case, does not name them.
        let used = fields.len() - usize::from(headers.0.is_null());
        // SAFETY: the fields have the members that their kinds ask for; key and value are copied
        // during the call; the headers are taken over when it succeeds.
        unsafe {
            let client = self.producer.client.ptr();
            let answer = sys::rd_kafka_produceva(client, fields.as_ptr(), used);
            NativeError::check(answer)?;
        }
        headers.taken_over();
        Ok(())
    }
}

/// The library takes 0 for "now", which would not be the same bytes twice; 1 is next to it.
pub(in crate::log::kafka) fn wire_timestamp(timestamp: Timestamp) -> i64 {
    match timestamp.as_millis() {
        0 => 1,
        ms => ms,
    }
}

const COPY: c_int = sys::RD_KAFKA_MSG_F_COPY;

type FieldValue = sys::rd_kafka_vu_s__bindgen_ty_1;

fn field(kind: sys::rd_kafka_vtype_t, set: impl FnOnce(&mut FieldValue)) -> sys::rd_kafka_vu_t {
    let mut u = FieldValue {
        ptr: std::ptr::null_mut(),
    };
    set(&mut u);
    sys::rd_kafka_vu_t { vtype: kind, u }
}

fn memory(bytes: Option<&[u8]>) -> sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
    sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
        ptr: bytes.map_or(std::ptr::null_mut(), |bytes| {
            bytes.as_ptr().cast_mut().cast()
        }),
        size: bytes.map_or(0, <[u8]>::len),
    }
}

/// Headers of the library; null for none.
struct NativeHeaders(*mut sys::rd_kafka_headers_t);

impl NativeHeaders {
    fn from(headers: Headers<'_>) -> Result<Self, NativeError> {
        if headers.is_empty() {
            return Ok(Self(std::ptr::null_mut()));
        }
        // SAFETY: the call only allocates.
        let native = Self(unsafe { sys::rd_kafka_headers_new(4) });
        for (name, value) in headers {
            native.add(name, value)?;
        }
        Ok(native)
    }

    fn add(&self, name: &str, value: Option<&[u8]>) -> Result<(), NativeError> {
        let value = memory(value);
        // SAFETY: the list is valid, and the call copies as many bytes as it is told.
        check_code(unsafe {
            sys::rd_kafka_header_add(
                self.0,
                name.as_ptr().cast(),
                name.len().cast_signed(),
                value.ptr,
                value.size.cast_signed(),
            )
        })
    }

    fn taken_over(self) {
        std::mem::forget(self);
    }
}

impl Drop for NativeHeaders {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the list is ours, as nobody has taken it over.
            unsafe { sys::rd_kafka_headers_destroy(self.0) }
        }
    }
}
