//! One typed event for each fate; the log is written from here and from nowhere else.
//!
//! Ids always, content never: no address, subject, file name, link or password is a field of an
//! event. What a next hop says may be one, cut and cleaned.

use tracing::{error, info, warn};

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A listener takes connections.
    Listening {
        /// `smtp`, `smtps`, `https`, …
        service: &'a str,
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
    /// A recipient got in.
    Opened {
        /// The parcel, abbreviated.
        parcel: &'a str,
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
    },
    /// Something was tidied, loaded or changed by ourselves.
    Upkeep {
        /// `sweep`, `reload`, `certificate`, …
        what: &'a str,
        /// With which result.
        result: &'a str,
    },
    /// Our own trouble.
    Trouble {
        /// Where.
        place: &'a str,
        /// What.
        fault: &'a str,
    },
}

/// Writes the event to the log.
pub fn emit(event: &Event<'_>) {
    match event {
        Event::Listening { service, address } => info!(event = "listening", service, %address),
        Event::Accepted { trace, entries, size, recipients, secured } => {
            info!(event = "accepted", trace, entries, size, recipients, secured);
        }
        Event::Refused { status, because } => info!(event = "refused", status, because),
        Event::Relayed { id, next_hop } => info!(event = "relayed", id, next_hop),
        Event::Deferred { id, next_hop, status } => info!(event = "deferred", id, next_hop, status),
        Event::Failed { id, status } => warn!(event = "failed", id, status),
        Event::Unreported { id, recipients, because } => error!(event = "unreported", id, recipients, because),
        Event::Opened { parcel } => info!(event = "opened", parcel),
        Event::Downloaded { parcel, item } => info!(event = "downloaded", parcel, item),
        Event::PasswordMailed { parcel } => info!(event = "password mailed", parcel),
        Event::Upkeep { what, result } => info!(event = "upkeep", what, result),
        Event::Trouble { place, fault } => error!(event = "trouble", place, fault),
    }
}
