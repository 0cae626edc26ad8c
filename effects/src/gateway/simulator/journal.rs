//! The ledger's file: JSON lines, each durable before anybody is told, written in groups.
//!
//! One thread owns the file. It writes all lines that wait, syncs once, and tells how far it has
//! come; so many calls share one sync. A last line that a crash has cut off is removed when the file
//! is opened; a damaged line before others is an error. After a write that failed nothing is written
//! any more.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::book::Entry;

/// How many lines may wait to be written.
const QUEUE: usize = 10_000;

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// Something has happened.
    Entry(Entry),
    /// The webhook about the entry of this number has arrived.
    Delivered(u64),
}

/// How far the file has come: the number of its last entry, or why it takes no more.
type Durable = Result<u64, String>;

/// The file, open for more.
#[derive(Debug)]
pub(super) struct Journal {
    lines: Option<SyncSender<Line>>,
    durable: watch::Receiver<Durable>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Opens or makes the file, and reads what it has.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when it is damaged before its end;
    /// [`io::ErrorKind::WouldBlock`] when another process has it open.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<Line>)> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)?;
        file.try_lock()?;
        let (lines, len) = read(&mut file)?;
        file.set_len(len)?;
        file.sync_all()?;
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            // The file's name is durable as well.
            File::open(folder)?.sync_all()?;
        }
        let entries = lines
            .iter()
            .filter(|line| matches!(line, Line::Entry(_)))
            .count();
        let (tell, durable) = watch::channel(Ok(entries as u64));
        let (sender, receiver) = sync_channel(QUEUE);
        let writer = Builder::new()
            .name("gateway-ledger".to_owned())
            .spawn(move || write_all(&mut file, &receiver, &tell))?;
        let (lines_to, writer) = (Some(sender), Mutex::new(Some(writer)));
        Ok((
            Self {
                lines: lines_to,
                durable,
                writer,
            },
            lines,
        ))
    }

    /// Queues a line. It is durable once [`Journal::durable`] says so.
    ///
    /// # Errors
    /// When the file takes no more, or too many lines wait.
    pub(super) fn append(&self, line: Line) -> Result<(), String> {
        if let Err(error) = &*self.durable.borrow() {
            return Err(error.clone());
        }
        let Some(lines) = &self.lines else {
            return Err("the ledger is closed".to_owned());
        };
        lines.try_send(line).map_err(|error| match error {
            TrySendError::Full(_) => "the ledger is busy".to_owned(),
            TrySendError::Disconnected(_) => "the ledger is closed".to_owned(),
        })
    }

    /// Waits until entry number `n` is durable.
    ///
    /// # Errors
    /// When it will never be.
    pub(super) async fn durable(&self, n: u64) -> Result<(), String> {
        let mut durable = self.durable.clone();
        let is_over = |to: &Durable| to.as_ref().ok().is_none_or(|to| *to >= n);
        match durable.wait_for(is_over).await {
            Ok(to) => to.as_ref().map(|_| ()).map_err(Clone::clone),
            Err(_) => Err("the ledger is closed".to_owned()),
        }
    }
}

impl Drop for Journal {
    /// Waits for the lines that are queued.
    fn drop(&mut self) {
        drop(self.lines.take());
        if let Some(writer) = self.writer.lock().take() {
            writer.join().ok();
        }
    }
}

fn write_all(file: &mut File, lines: &Receiver<Line>, tell: &watch::Sender<Durable>) {
    let mut bytes = Vec::new();
    while let Ok(first) = lines.recv() {
        bytes.clear();
        let mut last = None;
        for line in std::iter::once(first).chain(std::iter::from_fn(|| lines.try_recv().ok())) {
            if let Line::Entry(entry) = &line {
                last = Some(entry.n);
            }
            // Records of text and numbers always have a form in JSON, and memory does not fail.
            serde_json::to_writer(&mut bytes, &line).ok();
            bytes.push(b'\n');
        }
        if let Err(error) = file.write_all(&bytes).and_then(|()| file.sync_data()) {
            tracing::error!(%error, "the gateway's ledger takes no more");
            let why = format!("the ledger takes no more: {error}");
            return drop(tell.send_replace(Err(why)));
        }
        if let Some(last) = last {
            drop(tell.send_replace(Ok(last)));
        }
    }
}

/// The lines of the file, and the length that they take.
fn read(file: &mut File) -> io::Result<(Vec<Line>, u64)> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    let (mut lines, mut len) = (Vec::new(), 0);
    for text in bytes.split_inclusive(|byte| *byte == b'\n') {
        match serde_json::from_slice(text) {
            Ok(line) if text.ends_with(b"\n") => lines.push(line),
            _ => {
                check_torn(&bytes[len + text.len()..], lines.len() + 1)?;
                break;
            }
        }
        len += text.len();
    }
    check_numbers(&lines)?;
    Ok((lines, len as u64))
}

/// What follows a broken line: if there is a whole line in it, no crash has broken the one before.
fn check_torn(rest: &[u8], line: usize) -> io::Result<()> {
    let mut rest = rest.split_inclusive(|byte| *byte == b'\n');
    if rest.any(|text| serde_json::from_slice::<Line>(text).is_ok()) {
        return Err(damaged(&format!(
            "line {line} is damaged, and lines follow it"
        )));
    }
    Ok(())
}

fn check_numbers(lines: &[Line]) -> io::Result<()> {
    let numbers = lines.iter().filter_map(|line| match line {
        Line::Entry(entry) => Some(entry.n),
        Line::Delivered(_) => None,
    });
    match numbers.zip(1..).find(|(n, expected)| n != expected) {
        None => Ok(()),
        Some((n, expected)) => Err(damaged(&format!(
            "entry {n} stands where {expected} should"
        ))),
    }
}

fn damaged(what: &str) -> io::Error {
    let text = format!("the gateway's ledger is damaged: {what}; restore it from a backup");
    io::Error::new(io::ErrorKind::InvalidData, text)
}
