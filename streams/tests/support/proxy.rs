//! A proxy between clients and one broker, which reads the frames that pass, and loses or delays
//! one of them on request.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Kafka's number of the request that ends a transaction.
pub(crate) const END_TXN: i16 = 26;

/// What to do to the next request of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The broker gets it, its answer is lost, and nothing passes any more.
    LoseAnswer(i16),
    /// The broker gets it when it is released; everything else passes.
    Hold(i16),
}

#[derive(Debug, Default)]
struct State {
    upstream: String,
    fault: Option<Fault>,
    /// The fault has happened.
    struck: bool,
    /// Nothing passes.
    dark: bool,
    released: bool,
    /// A request that was held has gone to the broker.
    delivered: bool,
    streams: Vec<TcpStream>,
}

/// A proxy on a loopback port. Its threads end with their connections.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    address: String,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Proxy {
    /// Listens; nothing passes before [`Proxy::connect_to`].
    pub(crate) fn listen() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let proxy = Self {
            address: listener.local_addr()?.to_string(),
            state: Arc::default(),
        };
        let accepting = proxy.clone();
        let accept = move || {
            for client in listener.incoming().flatten() {
                // A connection that cannot be passed on is closed, as a dead broker would.
                drop(accepting.serve(client));
            }
        };
        thread::Builder::new().spawn(accept)?;
        Ok(proxy)
    }

    /// The address that clients connect to.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Names the broker behind the proxy.
    pub(crate) fn connect_to(&self, broker: String) {
        self.lock().upstream = broker;
    }

    /// Arms a fault.
    pub(crate) fn arm(&self, fault: Fault) {
        let mut state = self.lock();
        (state.fault, state.struck) = (Some(fault), false);
    }

    /// True if the armed fault has happened.
    pub(crate) fn has_struck(&self) -> bool {
        self.lock().struck
    }

    /// Lets everything pass again, on new connections.
    pub(crate) fn heal(&self) {
        let mut state = self.lock();
        state.dark = false;
        for stream in state.streams.drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
        self.state.1.notify_all();
    }

    /// Lets a request go that was held; waits until the broker has it.
    pub(crate) fn release(&self) {
        let mut state = self.lock();
        state.released = true;
        self.state.1.notify_all();
        while !state.delivered {
            state = self.wait(state);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let woken = self.state.1.wait(state);
        woken.unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, client: TcpStream) -> io::Result<()> {
        let upstream = self.lock().upstream.clone();
        let broker = TcpStream::connect(upstream)?;
        self.lock()
            .streams
            .extend([client.try_clone()?, broker.try_clone()?]);
        // Which request an answer belongs to.
        let asked: Arc<Mutex<HashMap<i32, i16>>> = Arc::default();
        let (from, to) = (client.try_clone()?, broker.try_clone()?);
        let (proxy, notes) = (self.clone(), Arc::clone(&asked));
        let requests = move || drop(proxy.pass_requests(from, &to, &notes));
        thread::Builder::new().spawn(requests)?;
        let proxy = self.clone();
        let answers = move || drop(proxy.pass_answers(broker, client, &asked));
        thread::Builder::new().spawn(answers)?;
        Ok(())
    }

    fn pass_requests(
        &self,
        mut from: TcpStream,
        mut to: &TcpStream,
        asked: &Mutex<HashMap<i32, i16>>,
    ) -> io::Result<()> {
        loop {
            let frame = read_frame(&mut from)?;
            let key = i16::from_be_bytes([frame[4], frame[5]]);
            let correlation = i32::from_be_bytes([frame[8], frame[9], frame[10], frame[11]]);
            let mut notes = asked.lock().unwrap_or_else(PoisonError::into_inner);
            notes.insert(correlation, key);
            drop(notes);
            self.await_light()?;
            let held = self.hold(key);
            to.write_all(&frame)?;
            if held {
                self.lock().delivered = true;
                self.state.1.notify_all();
            }
        }
    }

    fn pass_answers(
        &self,
        mut from: TcpStream,
        mut to: TcpStream,
        asked: &Mutex<HashMap<i32, i16>>,
    ) -> io::Result<()> {
        loop {
            let frame = read_frame(&mut from)?;
            let correlation = i32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]);
            let notes = asked.lock().unwrap_or_else(PoisonError::into_inner);
            let key = notes.get(&correlation).copied();
            drop(notes);
            self.lose(key);
            self.await_light()?;
            to.write_all(&frame)?;
        }
    }

    /// Waits while nothing passes. What waited then is lost.
    fn await_light(&self) -> io::Result<()> {
        let mut state = self.lock();
        if !state.dark {
            return Ok(());
        }
        while state.dark {
            state = self.wait(state);
        }
        Err(io::ErrorKind::ConnectionReset.into())
    }

    fn lose(&self, key: Option<i16>) {
        let mut state = self.lock();
        if !state.struck && state.fault == key.map(Fault::LoseAnswer) {
            (state.struck, state.dark) = (true, true);
        }
    }

    fn hold(&self, key: i16) -> bool {
        let mut state = self.lock();
        if state.struck || state.fault != Some(Fault::Hold(key)) {
            return false;
        }
        state.struck = true;
        while !state.released {
            state = self.wait(state);
        }
        true
    }
}

/// A frame with its length, four bytes, in front.
fn read_frame(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let mut frame = len.to_vec();
    let len = usize::try_from(i32::from_be_bytes(len)).map_err(io::Error::other)?;
    frame.resize(4 + len, 0);
    from.read_exact(&mut frame[4..])?;
    Ok(frame)
}
