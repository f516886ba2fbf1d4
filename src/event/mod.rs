//! One typed event for each fate; the log is written from here and from nowhere else, and so are its counters.
//!
//! Ids always, content never: no address, subject, file name, link or password is a field of an
//! event. What a next hop says may be one, cut and cleaned. One event names a person of the house: an
//! alarm is about somebody, and nobody can act on one that does not say about whom. What is `&'static str` is a word of ours, and
//! only such a word, or the name of a next hop in the configuration, is ever a label of a counter.

use tracing::{error, info, warn};

pub mod meter;

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A listener takes connections.
    Listening {
        /// `smtp`, `smtps`, `https`, …
        service: &'static str,
        /// Where.
        address: std::net::SocketAddr,
    },
    /// A message is ours.
    Accepted {
        /// The id of the trace field that we put on top of it.
        trace: &'a str,
        /// Its entries in the queue, separated by commas.
        entries: &'a str,
        /// Octets received.
        size: u64,
        /// Recipients in the envelope.
        recipients: usize,
        /// How many of them get a link.
        secured: usize,
    },
    /// A message was not taken.
    Refused {
        /// Enhanced status.
        status: &'a str,
        /// The reason, free of content.
        because: &'a str,
    },
    /// A sender sends far more than it should.
    Alarm {
        /// The AUTH user, or the address in From.
        sender: &'a str,
        /// Which limit, or how much more than usual.
        because: &'a str,
        /// Messages of this hour.
        messages: u64,
        /// Their recipients.
        recipients: u64,
    },
    /// A recipient's mail was taken by the next hop.
    Relayed {
        /// The entry.
        id: &'a str,
        /// The next hop.
        next_hop: &'a str,
    },
    /// A recipient's mail waits for its next attempt.
    Deferred {
        /// The entry.
        id: &'a str,
        /// The next hop.
        next_hop: &'a str,
        /// Enhanced status.
        status: &'a str,
    },
    /// Other entries have the place of one.
    Replaced {
        /// The entry.
        id: &'a str,
        /// The others, separated by commas.
        entries: &'a str,
        /// Why.
        because: &'static str,
    },
    /// A recipient's mail will never get there.
    Failed {
        /// The entry.
        id: &'a str,
        /// Enhanced status.
        status: &'a str,
    },
    /// Mail failed, and there is nobody who may be told: it is gone.
    Unreported {
        /// The entry.
        id: &'a str,
        /// How many of its recipients will not get it.
        recipients: usize,
        /// Why nobody is told.
        because: &'a str,
    },
    /// An operator made an entry wait.
    Held {
        /// The entry.
        id: &'a str,
    },
    /// An operator let a held entry go.
    Released {
        /// The entry.
        id: &'a str,
    },
    /// An operator ended an entry; each of these recipients failed.
    Bounced {
        /// The entry.
        id: &'a str,
        /// How many.
        recipients: usize,
    },
    /// A recipient got in.
    Opened {
        /// The parcel, abbreviated.
        parcel: &'a str,
        /// `addressee`, or which member of a shared mailbox, as a digest.
        reader: &'a str,
    },
    /// A download was granted.
    Downloaded {
        /// The parcel, abbreviated.
        parcel: &'a str,
        /// Item number.
        item: u32,
    },
    /// A password was mailed on request.
    PasswordMailed {
        /// The parcel, abbreviated.
        parcel: &'a str,
        /// To whom, as for [`Opened`](Self::Opened).
        reader: &'a str,
    },
    /// Something was tidied, loaded or changed by ourselves.
    Upkeep {
        /// `sweep`, `reload`, `certificate`, …
        what: &'static str,
        /// With which result.
        result: &'a str,
    },
    /// A reader of attachments ended in the middle of its work; its attachment counts as not read.
    WorkerLost {
        /// `over budget`, `damaged`.
        because: &'static str,
    },
    /// Our own trouble.
    Trouble {
        /// Where.
        place: &'static str,
        /// What.
        fault: &'a str,
    },
}

/// Counts the event and writes it to the log: one line.
pub fn emit(event: &Event<'_>) {
    meter::count(event);
    match event {
        Event::Listening { service, address } => info!(event = "listening", service, %address),
        Event::Accepted { trace, entries, size, recipients, secured } => {
            info!(event = "accepted", trace, entries, size, recipients, secured);
        }
        Event::Refused { status, because } => info!(event = "refused", status, because),
        Event::Alarm { sender, because, messages, recipients } => warn!(event = "alarm", sender, because, messages, recipients),
        Event::Relayed { id, next_hop } => info!(event = "relayed", id, next_hop),
        Event::Deferred { id, next_hop, status } => info!(event = "deferred", id, next_hop, status),
        Event::Replaced { id, entries, because } => info!(event = "replaced", id, entries, because),
        Event::Failed { id, status } => warn!(event = "failed", id, status),
        Event::Unreported { id, recipients, because } => error!(event = "unreported", id, recipients, because),
        Event::Held { id } => info!(event = "held", id),
        Event::Released { id } => info!(event = "released", id),
        Event::Bounced { id, recipients } => warn!(event = "bounced", id, recipients),
        Event::Opened { parcel, reader } => info!(event = "opened", parcel, reader),
        Event::Downloaded { parcel, item } => info!(event = "downloaded", parcel, item),
        Event::PasswordMailed { parcel, reader } => info!(event = "password mailed", parcel, reader),
        Event::Upkeep { what, result } => info!(event = "upkeep", what, result),
        Event::WorkerLost { because } => warn!(event = "worker lost", because),
        Event::Trouble { place, fault } => error!(event = "trouble", place, fault),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// One of each; a new variant does not compile until it is here.
    fn samples() -> Vec<(Event<'static>, &'static str, &'static [&'static str])> {
        let all = vec![
            Event::Listening { service: "smtp", address: "127.0.0.1:25".parse().unwrap() },
            Event::Accepted { trace: "t1", entries: "e1,e2", size: 10, recipients: 2, secured: 1 },
            Event::Refused { status: "5.7.1", because: "policy" },
            Event::Alarm { sender: "ann", because: "limit", messages: 3, recipients: 40 },
            Event::Relayed { id: "q1", next_hop: "hop:25" },
            Event::Deferred { id: "q2", next_hop: "hop:25", status: "4.4.1" },
            Event::Replaced { id: "q8", entries: "e3,e4", because: "own" },
            Event::Failed { id: "q3", status: "5.1.1" },
            Event::Unreported { id: "q4", recipients: 3, because: "not ours" },
            Event::Held { id: "q5" },
            Event::Released { id: "q6" },
            Event::Bounced { id: "q7", recipients: 4 },
            Event::Opened { parcel: "p1", reader: "addressee" },
            Event::Downloaded { parcel: "p2", item: 7 },
            Event::PasswordMailed { parcel: "p3", reader: "r1" },
            Event::Upkeep { what: "sweep", result: "two" },
            Event::WorkerLost { because: "damaged" },
            Event::Trouble { place: "queue", fault: "full" },
        ];
        let told = |event: &Event<'_>| -> (&'static str, &'static [&'static str]) {
            match event {
                Event::Listening { .. } => ("listening", &["smtp", "127.0.0.1:25"]),
                Event::Accepted { .. } => ("accepted", &["t1", "e1,e2", "10", "2", "1"]),
                Event::Refused { .. } => ("refused", &["5.7.1", "policy"]),
                Event::Alarm { .. } => ("alarm", &["ann", "limit", "3", "40"]),
                Event::Relayed { .. } => ("relayed", &["q1", "hop:25"]),
                Event::Deferred { .. } => ("deferred", &["q2", "hop:25", "4.4.1"]),
                Event::Replaced { .. } => ("replaced", &["q8", "e3,e4", "own"]),
                Event::Failed { .. } => ("failed", &["q3", "5.1.1"]),
                Event::Unreported { .. } => ("unreported", &["q4", "3", "not ours"]),
                Event::Held { .. } => ("held", &["q5"]),
                Event::Released { .. } => ("released", &["q6"]),
                Event::Bounced { .. } => ("bounced", &["q7", "4"]),
                Event::Opened { .. } => ("opened", &["p1", "addressee"]),
                Event::Downloaded { .. } => ("downloaded", &["p2", "7"]),
                Event::PasswordMailed { .. } => ("password mailed", &["p3", "r1"]),
                Event::Upkeep { .. } => ("upkeep", &["sweep", "two"]),
                Event::WorkerLost { .. } => ("worker lost", &["damaged"]),
                Event::Trouble { .. } => ("trouble", &["queue", "full"]),
            }
        };
        all.into_iter()
            .map(|event| {
                let (name, fields) = told(&event);
                (event, name, fields)
            })
            .collect()
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_event_is_one_line_with_its_ids_and_one_count() {
        for (event, name, fields) in samples() {
            let lines = Lines::default();
            let writer = lines.clone();
            let log = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone()).finish();
            let before = meter::of(name);
            tracing::subscriber::with_default(log, || emit(&event));
            let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
            assert_eq!(text.lines().count(), 1, "{event:?}: {text}");
            let line: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(line["event"], name);
            let values: Vec<String> =
                line.as_object().unwrap().values().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
            for field in fields {
                assert!(values.iter().any(|value| value == field), "{event:?} without {field}: {text}");
            }
            // Other tests emit events at the same time.
            assert!(meter::of(name) > before, "{event:?} is not counted");
        }
    }
}
