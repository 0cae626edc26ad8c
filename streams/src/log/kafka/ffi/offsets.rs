//! Offsets as a reader of everything sees them, asked for by a client that reads what is committed.

use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::consumer::Queue;
use super::{Client, NativeError, check_code, ms};

/// How much later than its request an answer may come.
const ANSWER_SLACK: Duration = Duration::from_millis(100);

/// Replaces the times in `list`, -1 for the end and -2 for the beginning, with offsets and errors.
pub(super) fn list_uncommitted(
    client: &Client,
    list: &TopicPartitionList,
    wait: Duration,
) -> Result<(), NativeError> {
    let answers = Queue::new(client)?;
    let options = Options::read_uncommitted(client, wait)?;
    // SAFETY: all four are valid; the library copies list and options, and keeps the queue alive.
    unsafe {
        sys::rd_kafka_ListOffsets(client.ptr(), list.ptr(), options.0.as_ptr(), answers.ptr());
    }
    Answer::take(&answers, wait + ANSWER_SLACK)?.copy_into(list)
}

struct Options(NonNull<sys::rd_kafka_AdminOptions_t>);

impl Options {
    fn read_uncommitted(client: &Client, wait: Duration) -> Result<Self, NativeError> {
        use sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED as UNCOMMITTED;
        use sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS as LIST_OFFSETS;
        // SAFETY: the client is valid.
        let native = unsafe { sys::rd_kafka_AdminOptions_new(client.ptr(), LIST_OFFSETS) };
        let no_options = || NativeError::new(RDKafkaErrorCode::InvalidArgument, "no options");
        let this = NonNull::new(native).map(Self).ok_or_else(no_options)?;
        // SAFETY: the options are valid; a buffer of no bytes takes no text.
        unsafe {
            NativeError::check(sys::rd_kafka_AdminOptions_set_isolation_level(
                this.0.as_ptr(),
                UNCOMMITTED,
            ))?;
            check_code(sys::rd_kafka_AdminOptions_set_request_timeout(
                this.0.as_ptr(),
                ms(wait),
                std::ptr::null_mut(),
                0,
            ))?;
        }
        Ok(this)
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: the object came from the library, and this is its last use.
        unsafe { sys::rd_kafka_AdminOptions_destroy(self.0.as_ptr()) }
    }
}

struct Answer(NonNull<sys::rd_kafka_event_t>);

impl Answer {
    fn take(answers: &Queue, wait: Duration) -> Result<Self, NativeError> {
        // SAFETY: the queue is valid.
        let native = unsafe { sys::rd_kafka_queue_poll(answers.ptr(), ms(wait)) };
        let late = || NativeError::timed_out("the brokers do not tell where partitions end");
        let this = NonNull::new(native).map(Self).ok_or_else(late)?;
        // SAFETY: the event is valid.
        check_code(unsafe { sys::rd_kafka_event_error(this.0.as_ptr()) })?;
        Ok(this)
    }

    fn copy_into(&self, list: &TopicPartitionList) -> Result<(), NativeError> {
        // SAFETY: the event is valid, and its parts live as long; the answer's elements have a
        // topic, and nobody else uses `list` meanwhile.
        unsafe {
            for info in self.infos()? {
                let told = &*sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*info);
                let element =
                    sys::rd_kafka_topic_partition_list_find(list.ptr(), told.topic, told.partition);
                if let Some(element) = element.as_mut() {
                    (element.offset, element.err) = (told.offset, told.err);
                }
            }
        }
        Ok(())
    }

    fn infos(&self) -> Result<&[*const sys::rd_kafka_ListOffsetsResultInfo_t], NativeError> {
        let mut count = 0;
        // SAFETY: the event is valid; the array has as many elements as it says, and lives as long
        // as the event.
        unsafe {
            let result = sys::rd_kafka_event_ListOffsets_result(self.0.as_ptr());
            if result.is_null() {
                return Err(NativeError::timed_out("an answer to something else"));
            }
            let infos = sys::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
            if count == 0 {
                return Ok(&[]);
            }
            Ok(std::slice::from_raw_parts(infos.cast_const(), count))
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: the event came from the library, and this is its last use.
        unsafe { sys::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}
