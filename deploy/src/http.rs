//! The one HTTP question that starting a server needs: does this path answer 200?

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long a ready server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Whether a GET of `path` at `address` (`HOST:PORT`) answers 200.
pub(crate) fn answers(address: &str, path: &str) -> bool {
    status_line(address, path).is_some_and(|line| line.ends_with(" 200"))
}

/// The first bytes of the answer, `HTTP/1.1 200`.
fn status_line(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut line = [0; 12];
    stream.read_exact(&mut line).ok()?;
    String::from_utf8(line.to_vec()).ok()
}
