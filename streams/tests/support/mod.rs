//! What tests do to a Kafka broker beside using it.

mod bad_records;
pub(crate) mod faults;
pub(crate) mod proxy;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Says goodbye to the group's coordinator in the name of another member.
pub(crate) fn remove_member(broker: &str, group: &str, member: &str) -> io::Result<()> {
    const STREAMS_GROUP_HEARTBEAT: u16 = 88;
    const LEAVE: i32 = -1;
    const NULL_STRUCTURE: u8 = 0xff;
    let mut body = Vec::new();
    body.extend(STREAMS_GROUP_HEARTBEAT.to_be_bytes());
    body.extend([0; 2]); // version
    body.extend([0; 4]); // correlation
    body.extend([0; 2]); // an empty client id
    body.push(0); // no tagged fields
    for text in [group, member] {
        body.push(u8::try_from(text.len() + 1).map_err(io::Error::other)?);
        body.extend(text.as_bytes());
    }
    body.extend(LEAVE.to_be_bytes());
    body.extend((-1_i32).to_be_bytes()); // endpoint epoch
    body.extend([0; 2]); // instance, rack
    body.extend((-1_i32).to_be_bytes()); // rebalance time-out
    body.push(NULL_STRUCTURE); // topology
    body.extend([0; 3]); // tasks
    body.push(0); // process
    body.push(NULL_STRUCTURE); // endpoint
    body.extend([0; 3]); // client tags, offsets, end offsets
    body.extend([0; 2]); // no shutdown, no tagged fields
    let mut stream = TcpStream::connect(broker)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let len = u32::try_from(body.len()).map_err(io::Error::other)?;
    stream.write_all(&len.to_be_bytes())?;
    stream.write_all(&body)?;
    // Length, correlation, tagged fields, throttle time, error code.
    let mut answer = [0; 15];
    stream.read_exact(&mut answer)?;
    match answer {
        [.., 0, 0] => Ok(()),
        _ => Err(io::Error::other(format!("refused: {answer:?}"))),
    }
}
