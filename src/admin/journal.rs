//! Log lines straight to systemd's journal: each field of an event as a field of the entry, and the same as
//! a line for people, because an entry without MESSAGE is an empty line to `journalctl`.
//!
//! The native protocol of systemd-journald: one datagram an entry, `KEY\n`, the length as 64 bits little-endian,
//! the value, `\n`.

use std::fmt;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The way into the journal.
pub struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// At the socket of the journal; an error where none listens.
    pub fn open(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // A journal that is full must not hold the mail up for ever.
        socket.set_write_timeout(Some(PATIENCE))?;
        // An empty datagram is let go by journald.
        socket.send_to(&[], path)?;
        Ok(Self { socket, path: path.to_owned() })
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut entry = Entry::default();
        event.record(&mut entry);
        // By path each time: a journal that was restarted has another socket there.
        let _ = self.socket.send_to(&entry.datagram(*event.metadata().level()), &self.path);
    }
}

#[derive(Default)]
struct Entry {
    name: String,
    line: String,
    fields: Vec<u8>,
}

impl Entry {
    fn take(&mut self, field: &Field, value: &str) {
        let value = value.get(..VALUE_MAX).unwrap_or(value);
        if field.name() == "event" {
            value.clone_into(&mut self.name);
        } else {
            self.line.push_str(&format!(" {}={value}", field.name()));
        }
        put(&mut self.fields, &format!("WAXSEAL_{}", field.name().to_ascii_uppercase()), value);
    }

    fn datagram(mut self, level: Level) -> Vec<u8> {
        put(&mut self.fields, "PRIORITY", priority(level));
        put(&mut self.fields, "SYSLOG_IDENTIFIER", "waxseal");
        put(&mut self.fields, "MESSAGE", &format!("{}{}", self.name, self.line));
        self.fields
    }
}

impl Visit for Entry {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value);
    }
}

fn put(out: &mut Vec<u8>, key: &str, value: &str) {
    out.extend_from_slice(key.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

/// syslog(3).
const fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

/// Where journald listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";
/// An entry must fit into one datagram.
const VALUE_MAX: usize = 48 * 1024;
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::event::{self, Event};

    #[test]
    fn an_event_is_one_entry_with_a_line_and_its_fields() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        let log = tracing_subscriber::registry().with(Journal::open(&path).unwrap());
        let mut datagram = vec![0; 65536];
        assert_eq!(journald.recv(&mut datagram).unwrap(), 0);
        tracing::subscriber::with_default(log, || {
            event::emit(&Event::Accepted { trace: "t1", entries: "e1", size: 7, recipients: 2, secured: 1 });
            event::emit(&Event::Trouble { place: "reload", fault: "two\nlines" });
        });
        let length = journald.recv(&mut datagram).unwrap();
        let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
        assert!(text.contains("WAXSEAL_TRACE\n\u{2}\0\0\0\0\0\0\0t1\n") && text.contains("PRIORITY\n\u{1}\0\0\0\0\0\0\x006\n"), "{text:?}");
        assert!(text.contains("accepted trace=t1 entries=e1 size=7 recipients=2 secured=1\n"), "{text:?}");
        let length = journald.recv(&mut datagram).unwrap();
        let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
        assert!(text.contains("WAXSEAL_FAULT\n\u{9}\0\0\0\0\0\0\0two\nlines\n"), "{text:?}");
        assert!(Journal::open(&place.path().join("none")).is_err());
    }
}
