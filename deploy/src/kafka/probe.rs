//! Asks a broker which brokers take part in its cluster: the proof that it is ready.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// A Metadata request, version 1, that asks about no topic.
///
/// Frame length, then api key 3, version 1, correlation id 0, a null client id, no topics.
const REQUEST: [u8; 18] = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];

/// How long a ready broker may take to answer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The number of brokers that the broker at `port` knows to be in service, if it answers.
///
/// A fenced broker, one that has not caught up yet, is not among them.
pub(super) fn brokers_in_service(port: u16) -> Option<usize> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    stream.write_all(&REQUEST).ok()?;
    // frame length, correlation id, length of the array of brokers
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).ok()?;
    let [.., a, b, c, d] = answer;
    usize::try_from(i32::from_be_bytes([a, b, c, d])).ok()
}
