//! What a group's coordinator is told about the group itself: how many standbys it keeps of each
//! task, how long it waits for a silent member.

use std::io;
use std::time::Duration;

use super::brokers::Brokers;
use super::options::KafkaOptions;
use super::requests::code;
use super::wire::{Api, Connection, Decoder, Encoder};
use crate::log::LogError;

const INCREMENTAL_ALTER_CONFIGS: Api = Api {
    key: 44,
    version: 1,
    flexible: true,
};

/// Kafka's number of a group among the kinds of things that can be set.
const GROUP: i8 = 32;
/// Kafka's number of "set it to this value".
const SET: i8 = 0;
/// How long a broker may take to carry it out.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Sets what the options say of every group, before its first member joins.
pub(super) fn apply(
    options: &KafkaOptions,
    brokers: &Brokers,
    group: &str,
) -> Result<(), LogError> {
    if options.group_settings.is_empty() {
        return Ok(());
    }
    let body = encode(group, &options.group_settings);
    let answered = brokers.ask(|address| {
        let mut connection = Connection::open(address, CALL_TIMEOUT)?;
        let answer = connection.call(INCREMENTAL_ALTER_CONFIGS, &body)?;
        decode(&mut Decoder::new(&answer))
    });
    match answered {
        Ok(None) => Ok(()),
        Ok(Some(refusal)) => Err(refusal.about(group)),
        Err(failure) => Err(LogError::Unavailable(format!(
            "no broker takes the settings of group `{group}`: {failure}"
        ))),
    }
}

fn encode(group: &str, settings: &[(String, String)]) -> Encoder {
    let mut body = Encoder::default();
    body.array(&[group], |body, group| {
        body.i8(GROUP);
        body.string(group);
        body.array(settings, |body, (name, value)| {
            body.string(name);
            body.i8(SET);
            body.string(value);
            body.no_tags();
        });
        body.no_tags();
    });
    body.i8(0); // carried out, not only checked
    body.no_tags();
    body
}

/// Why the cluster does not set something.
struct Refusal {
    code: i16,
    message: String,
}

impl Refusal {
    fn about(self, group: &str) -> LogError {
        let Self { code, message } = self;
        let text = format!("group `{group}`: {message} (code {code})");
        if PASSING.contains(&code) {
            LogError::Unavailable(text)
        } else {
            LogError::Config(text)
        }
    }
}

/// Codes of what passes by itself: a time-out, and a controller that is elsewhere by now.
const PASSING: [i16; 2] = [code::REQUEST_TIMED_OUT, code::NOT_CONTROLLER];

fn decode(answer: &mut Decoder<'_>) -> io::Result<Option<Refusal>> {
    let _throttle = answer.i32()?;
    let refusals = answer.array(|answer| {
        let (code, message) = (answer.i16()?, answer.nullable_string()?);
        let (_kind, _name) = (answer.i8()?, answer.string()?);
        answer.skip_tags()?;
        let message = message.unwrap_or_else(|| "the cluster refuses its settings".into());
        Ok((code != code::NONE).then_some(Refusal { code, message }))
    })?;
    Ok(refusals.into_iter().flatten().next())
}
