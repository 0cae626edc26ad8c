//! What a broker tells of its cluster: the addresses of the brokers, and the ids of topics, which
//! tell a topic from another that had its name before.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use super::brokers::{Brokers, address};
use super::wire::{Api, Connection, Decoder, Encoder};
use crate::log::LogError;

const METADATA: Api = Api {
    key: 3,
    version: 12,
    flexible: true,
};

/// How long one broker may take before the next is asked: a stream thread waits.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// What a broker tells.
#[derive(Debug, PartialEq, Eq)]
struct Metadata {
    brokers: Vec<String>,
    /// The ids of topics, by name.
    ids: HashMap<String, u128>,
}

/// Asks the first broker that answers for the ids of all topics, and learns of the others.
pub(super) fn topic_ids(
    brokers: &Brokers,
    timeout: Duration,
) -> Result<HashMap<String, u128>, LogError> {
    let answered = brokers.ask(|address| {
        let mut connection = Connection::open(address, timeout.min(ANSWERS_WITHIN))?;
        ask(&mut connection, Topics::All)
    });
    let told = answered.map_err(|failure| {
        LogError::Unavailable(format!("no broker tells the ids of its topics: {failure}"))
    })?;
    brokers.learn(told.brokers);
    Ok(told.ids)
}

/// Asks the broker behind `connection` who the others are.
pub(super) fn learn_brokers(brokers: &Brokers, connection: &mut Connection) -> io::Result<()> {
    brokers.learn(ask(connection, Topics::None)?.brokers);
    Ok(())
}

/// Which topics to tell of.
#[derive(Clone, Copy)]
enum Topics {
    All,
    None,
}

fn ask(connection: &mut Connection, topics: Topics) -> io::Result<Metadata> {
    let answer = connection.call(METADATA, &encode(topics))?;
    decode(&mut Decoder::new(&answer))
}

fn encode(topics: Topics) -> Encoder {
    let mut body = Encoder::default();
    match topics {
        Topics::All => body.null_array(),
        Topics::None => body.array(&[], |_, (): &()| {}),
    }
    body.i8(0); // none is created
    body.i8(0); // no rights are told
    body.no_tags();
    body
}

fn decode(answer: &mut Decoder<'_>) -> io::Result<Metadata> {
    let _throttle = answer.i32()?;
    let brokers = answer.array(broker)?;
    let _cluster = answer.nullable_string()?;
    let _controller = answer.i32()?;
    let topics = answer.array(topic)?;
    // An id of zero stands for none.
    let ids = topics.into_iter().filter(|(_, id)| *id != 0).collect();
    Ok(Metadata { brokers, ids })
}

fn broker(answer: &mut Decoder<'_>) -> io::Result<String> {
    let (_node, host, port) = (answer.i32()?, answer.string()?, answer.i32()?);
    let _rack = answer.nullable_string()?;
    answer.skip_tags()?;
    Ok(address(&host, port))
}

fn topic(answer: &mut Decoder<'_>) -> io::Result<(String, u128)> {
    let _error = answer.i16()?;
    let (name, id) = (answer.string()?, answer.u128()?);
    let _internal = answer.i8()?;
    answer.array(skip_partition)?;
    let _rights = answer.i32()?;
    answer.skip_tags()?;
    Ok((name, id))
}

fn skip_partition(answer: &mut Decoder<'_>) -> io::Result<()> {
    let _error = answer.i16()?;
    let (_number, _leader, _epoch) = (answer.i32()?, answer.i32()?, answer.i32()?);
    // Replicas, those in sync, and those that are away.
    for _ in 0..3 {
        answer.array(Decoder::i32)?;
    }
    answer.skip_tags()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_by_name_and_a_topic_without_one_is_left_out() {
        let mut bytes = vec![0; 4]; // throttle
        bytes.extend([2, 0, 0, 0, 1, 2, b'h', 0, 0, 0x23, 0x84, 0, 0]); // one broker
        bytes.extend([0, 0, 0, 0, 1]); // no cluster id, the controller
        bytes.push(3); // two topics
        for (name, id) in [(b'a', 7_u128), (b'b', 0)] {
            bytes.extend([0, 0, 2, name]);
            bytes.extend(id.to_be_bytes());
            bytes.push(0); // not internal
            bytes.push(2); // one partition
            bytes.extend([0; 14]); // error, number, leader, epoch
            bytes.extend([2, 0, 0, 0, 1, 2, 0, 0, 0, 1, 1, 0]); // replicas, in sync, away, tags
            bytes.extend([0; 5]); // rights, tags
        }
        bytes.push(0);
        let told = decode(&mut Decoder::new(&bytes)).expect("it is whole");
        let whole = Metadata {
            brokers: vec!["h:9092".to_owned()],
            ids: HashMap::from([("a".to_owned(), 7)]),
        };
        assert_eq!(told, whole);
    }
}
