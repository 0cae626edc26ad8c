//! Loopback ports that no two servers of this machine get at the same time.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::Range;
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result};

/// Below the range from which Linux takes the local ports of outgoing connections (32768 and up),
/// so that no client can occupy a port while its server restarts.
const RANGE: Range<u16> = 20_000..32_000;

/// A reserved TCP port on the loopback interface; dropping it frees the port.
///
/// The reservation is the UDP socket of the same number, which none of the servers uses: it holds
/// across processes, survives a restart of the server, and vanishes with its owner however that
/// ends.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reservation: UdpSocket,
}

impl Port {
    /// Reserves a free port.
    pub fn reserve() -> Result<Self> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        (0..RANGE.len())
            .find_map(|_| Self::try_reserve(candidate(NEXT.fetch_add(1, Ordering::Relaxed))))
            .context("no free loopback port is left between 20000 and 32000")
    }

    /// The reserved port number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The address as clients write it, `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.number)
    }

    fn try_reserve(number: u16) -> Option<Self> {
        let reservation = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Self {
            number,
            _reservation: reservation,
        })
    }
}

/// Starts at a point of the range that differs between processes, so that tests which run side by
/// side seldom try the same number.
fn candidate(step: u16) -> u16 {
    let width = RANGE.end - RANGE.start;
    let start = process::id().wrapping_mul(37) % u32::from(width);
    let offset = (start + u32::from(step)) % u32::from(width);
    RANGE.start + u16::try_from(offset).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_is_not_given_twice() {
        let ports: Vec<_> = (0..50).map(|_| Port::reserve().unwrap()).collect();
        let mut numbers: Vec<_> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 50);
    }

    #[test]
    fn a_reserved_port_can_be_listened_on() {
        let port = Port::reserve().unwrap();
        TcpListener::bind(port.address()).unwrap();
        assert!(Port::try_reserve(port.number()).is_none());
    }
}
