//! SMTP: sessions without sockets, and the drivers that give them some. RFC 5321.
//!
//! `command` and `reply` are the lines, `session` the state machine, `rights` and `sender` who may send and
//! how much, `framing` the end of DATA and dot-stuffing in both directions, `server` and `client` the
//! drivers. What becomes of a message is
//! not decided here: the server hands a [`Transaction`] to an [`Intake`] and says 250 only with its
//! [`Receipt`].

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use crate::mail::{EnhancedStatus, Envelope};
use crate::queue;

mod announcement;
pub mod client;
pub mod command;
pub mod dialogue;
pub mod framing;
mod opening;
pub mod options;
mod receive;
pub mod reception;
pub mod reply;
pub mod rights;
pub mod sasl;
pub mod sender;
pub mod server;
pub mod session;
pub mod users;
mod wire;
pub mod xclient;

pub use options::{ForeignFrom, Options, TraceClient};
pub use receive::judge_header;
pub use session::judge_sender;

/// One MAIL … DATA, complete. RFC 5321 §3.3.
#[derive(Debug)]
pub struct Transaction {
    /// Sender and recipients.
    pub envelope: Envelope,
    /// The octets between 354 and the final dot, dots unstuffed, CRLF line ends only; under its memory permit.
    pub message: Received,
    /// Who gave it to us.
    pub peer: Peer,
    /// When its DATA ended.
    pub at: Timestamp,
}

/// A message in memory, with the permit that bounds how much of that there is. The permit goes when the message goes.
#[derive(Debug)]
pub struct Received {
    /// The octets.
    pub bytes: Bytes,
    /// Held as long as they are.
    pub permit: Option<tokio::sync::OwnedSemaphorePermit>,
}

/// Facts of the session that a message came in by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// EHLO argument, cleaned.
    pub helo: String,
    /// `ESMTP`, `ESMTPS`, `ESMTPSA`, … RFC 3848, RFC 6531 §4.3.
    pub with: &'static str,
    /// Who AUTH proved it to be, and what he may send as.
    pub identity: Option<users::Identity>,
    /// Where it speaks for many: the fields of which one has to prove that the message is of the house.
    pub marks: Option<Arc<[rights::Mark]>>,
}

/// Proof that somebody holds the message: our queue, on stable storage, or the next hop.
#[derive(Debug)]
pub enum Receipt {
    /// Committed in our queue.
    Queued(queue::Committed),
    /// The next hop said 250.
    Relayed(client::Accepted),
}

/// Why a message is not taken, sorted by what the client should do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Policy forbids this message; sending it again changes nothing.
    Forbidden {
        /// In plain words, ASCII.
        because: String,
    },
    /// The message cannot be understood well enough, or not be relayed by the rules of mail.
    Malformed {
        /// `5.6.0`, `5.4.6`, …
        status: EnhancedStatus,
        /// In plain words, ASCII.
        because: String,
    },
    /// The sender has sent so much lately that more of it waits.
    TooMuch {
        /// In plain words, ASCII.
        because: String,
    },
    /// Our own trouble: the same message may pass later.
    Unavailable(crate::store::Fault),
    /// The next hop said 5yz to all of it, while the client waited. Its words are passed on.
    ByNextHop(client::Said),
    /// No room now: 452.
    Full,
}

/// Takes messages on; `intake` implements it.
pub trait Intake: Send + Sync + 'static {
    /// Settles a transaction: a receipt, or the reason why not.
    fn accept(&self, transaction: Transaction) -> impl Future<Output = Result<Receipt, Refusal>> + Send;

    /// Whether there is room for a message of this size now; asked at MAIL.
    fn has_room(&self, size: u64) -> bool;
}
