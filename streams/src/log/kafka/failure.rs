//! What an error of a transaction means: for its outcome, and for the member.

use rdkafka::types::RDKafkaErrorCode;

use super::ffi::NativeError;
use crate::log::{CommitError, LogError};

/// Why a transaction was cut off, as far as it tells something about the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Another producer has taken the transactional id.
    Fenced,
    /// The group does not know the member.
    UnknownMember,
    /// Nothing of the kind.
    Other,
}

/// Why a commit is no clean success.
pub(super) struct Failure {
    pub(super) error: CommitError,
    pub(super) cause: Cause,
}

impl Failure {
    /// The broker was not yet asked to end the transaction.
    pub(super) fn before_the_end(error: NativeError) -> Self {
        let cause = cause_of(&error);
        let kind = if cause == Cause::Fenced || is_refused_member(error.code) {
            CommitError::Fenced
        } else {
            without_effect(error.code)
        };
        Self {
            error: kind(error.text),
            cause,
        }
    }

    /// The broker was asked, perhaps more than once: even a refusal may be the answer to the
    /// second time, after the first took effect. Only an error of the transaction itself is clear.
    pub(super) fn at_the_end(error: NativeError) -> Self {
        let cause = cause_of(&error);
        let kind = if error.abortable && cause == Cause::Other {
            without_effect(error.code)
        } else {
            CommitError::Unknown
        };
        Self {
            error: kind(error.text),
            cause,
        }
    }
}

fn without_effect(code: RDKafkaErrorCode) -> fn(String) -> CommitError {
    if is_for_good(code) {
        CommitError::Refused
    } else {
        CommitError::Aborted
    }
}

/// The group does not accept this member's epoch for these partitions.
fn is_refused_member(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::FencedInstanceId
            | RDKafkaErrorCode::FencedMemberEpoch
            | RDKafkaErrorCode::StaleMemberEpoch
    )
}

/// The same records and offsets would be refused again. What is missing for a while only, as a topic
/// that was just made, the library has asked for long enough before it tells.
fn is_for_good(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::InvalidTimestamp
            | RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::MessageBatchTooLarge
            | RDKafkaErrorCode::OffsetMetadataTooLarge
            | RDKafkaErrorCode::PolicyViolation
            | RDKafkaErrorCode::UnsupportedForMessageFormat
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
    )
}

pub(super) fn cause_of(error: &NativeError) -> Cause {
    match error.code {
        RDKafkaErrorCode::Fenced
        | RDKafkaErrorCode::ProducerFenced
        | RDKafkaErrorCode::InvalidProducerEpoch
        | RDKafkaErrorCode::InvalidProducerIdMapping => Cause::Fenced,
        RDKafkaErrorCode::UnknownMemberId => Cause::UnknownMember,
        _ => Cause::Other,
    }
}

pub(super) fn start_error(error: NativeError) -> LogError {
    match error.code {
        RDKafkaErrorCode::InvalidArgument
        | RDKafkaErrorCode::InvalidTransactionTimeout
        | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed => LogError::Config(error.text),
        _ => LogError::Unavailable(error.text),
    }
}

pub(super) fn send_error(error: &NativeError) -> LogError {
    if is_for_good(error.code) {
        return LogError::Config(format!("cannot write: {}", error.text));
    }
    LogError::Unavailable(error.text.clone())
}
