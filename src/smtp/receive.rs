//! The end of MAIL, RCPT, DATA: a message off the wire, and what is said to its final dot.
//!
//! A message that is refused for its size, its lines or our lack of room is read to its end, so
//! that the connection stays good. One whose end cannot be trusted (a stray CR, LF or NUL)
//! is not: whatever follows might be a second message that nobody sent.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::framing::{Bare, DataReader, LINE_MAX, Progress};
use super::reception::{Draft, NoRoom};
use super::reply::{self, Fixed, Reply, fixed};
use super::server::{Hangup, Server, Stay, Stream};
use super::wire::Wire;
use super::{Intake, Peer, Received, Transaction};
use crate::event::meter::Step;
use crate::event::{Event, emit};
use crate::failpoint;
use crate::mail::Envelope;

/// What came between 354 and the final dot.
pub(super) enum Outcome {
    /// A message.
    Complete(Received),
    /// Something else, read to its end.
    Refused(Reply),
}

/// Reads one message. Its time grows with its octets: 1 KiB/s on the whole is enough, less is not.
pub(super) async fn message<S: Stream, I: Intake>(server: &Server<I>, wire: &mut Wire<S>, stay: &Stay) -> Result<Outcome, Hangup> {
    let options = &server.house.options;
    timeout_at(stay.ends, wire.flush()).await.map_err(|_| Hangup::Gone)??;
    let began = Instant::now();
    let mut reading = Reading { reader: DataReader::default(), draft: server.reception.begin(), refused: None, octets: 0 };
    loop {
        if reading.take(wire, options.message_size).await? == Progress::Ended {
            return reading.conclude().await;
        }
        let earned = Duration::from_secs(options.slow_after + reading.octets / KIB);
        let deadline = (began + earned).min(stay.ends);
        timeout_at(deadline, wire.fill(DATA_BUFFER)).await.map_err(|_| Hangup::Saying(fixed::TOO_SLOW.into()))??;
    }
}

/// Hands a complete message on. The 250 needs a receipt: nothing else can say it.
pub(super) async fn settle<I: Intake>(server: &Server<I>, envelope: Envelope, message: Received, peer: Peer) -> Reply {
    let _timer = Step::Accept.begin();
    failpoint::reach("smtp.message");
    if let Err(reply) = judge_header(&message.bytes) {
        return refuse(reply);
    }
    let at = server.clock.now();
    // On the heap: an idle session must not have room for everything that may become of a message.
    let accepted = Box::pin(server.intake.accept(Transaction { envelope, message, peer, at })).await;
    failpoint::reach("smtp.reply");
    match accepted {
        Ok(receipt) => reply::accepted(&receipt),
        Err(refusal) => Reply::from(&refusal),
    }
}

/// Whether this message's header is short enough to be read, and its path too.
pub fn judge_header(message: &[u8]) -> Result<(), Fixed> {
    match header(message) {
        header if header.len() > HEADER_MAX => Err(fixed::HEADER_TOO_LONG),
        header if hops(header) > HOPS_MAX => Err(fixed::TOO_MANY_HOPS),
        _ => Ok(()),
    }
}

/// A message on its way in.
struct Reading {
    reader: DataReader,
    draft: Draft,
    /// It will not be taken; its octets are let go.
    refused: Option<Fixed>,
    /// All that came, kept or not.
    octets: u64,
}

impl Reading {
    /// Takes what the wire holds.
    async fn take<S: Stream>(&mut self, wire: &mut Wire<S>, size_max: u64) -> Result<Progress, Hangup> {
        let (draft, refused) = (&mut self.draft, &self.refused);
        let mut octets = 0;
        let progress = self.reader.read(&mut wire.input, |run| {
            octets += run.len() as u64;
            if refused.is_none() {
                draft.keep(run);
            }
        });
        self.octets += octets;
        let progress = progress.map_err(|Bare| Hangup::Saying(fixed::BARE_NEWLINE.into()))?;
        self.judge(size_max).await?;
        Ok(progress)
    }

    /// Whether it can still be taken.
    async fn judge(&mut self, size_max: u64) -> Result<(), Hangup> {
        if self.octets > size_max.saturating_mul(2) {
            return Err(Hangup::Saying(fixed::TOO_BIG.into()));
        }
        if self.refused.is_some() {
            return Ok(());
        }
        if self.octets > size_max {
            self.give_up(fixed::TOO_BIG);
        } else if self.reader.longest_line() > LINE_MAX {
            self.give_up(fixed::TEXT_LINE_TOO_LONG);
        } else if let Err(no_room) = self.draft.settle().await {
            self.give_up(no_room.into());
        }
        Ok(())
    }

    fn give_up(&mut self, reply: Fixed) {
        self.refused = Some(reply);
        self.draft = self.draft.emptied();
    }

    async fn conclude(self) -> Result<Outcome, Hangup> {
        if let Some(reply) = self.refused {
            return Ok(Outcome::Refused(refuse(reply)));
        }
        match self.draft.finish().await {
            Ok(message) => Ok(Outcome::Complete(message)),
            Err(no_room) => Ok(Outcome::Refused(refuse(no_room.into()))),
        }
    }
}

impl From<NoRoom> for Fixed {
    fn from(no_room: NoRoom) -> Self {
        match no_room {
            NoRoom::Disk(error) => {
                emit(&Event::Trouble { place: "incoming message", fault: &error.to_string() });
                fixed::NO_ROOM
            }
            NoRoom::Memory => fixed::BUSY,
        }
    }
}

fn refuse(reply: Fixed) -> Reply {
    let reply = Reply::from(reply);
    if let Some(status) = reply.status() {
        emit(&Event::Refused { status: &status.to_string(), because: reply.words() });
    }
    reply
}

/// Everything before the first empty line.
fn header(message: &[u8]) -> &[u8] {
    let end = if message.starts_with(b"\r\n") { Some(0) } else { memchr::memmem::find(message, b"\r\n\r\n").map(|at| at + 2) };
    message.get(..end.unwrap_or(message.len())).unwrap_or_default()
}

/// How many Received fields the header has. RFC 5321 §6.3.
fn hops(header: &[u8]) -> usize {
    let is_trace = |line: &&[u8]| line.get(..RECEIVED.len()).is_some_and(|name| name.eq_ignore_ascii_case(RECEIVED));
    header.split_inclusive(|&octet| octet == b'\n').filter(is_trace).count()
}

const RECEIVED: &[u8] = b"Received:";
/// A path with more hops than this goes round in circles.
const HOPS_MAX: usize = 30;
/// Four times what counts as ambiguous; what reads a header need not be ready for a hundred MiB of it.
const HEADER_MAX: usize = 1_024 * 1_024;
const KIB: u64 = 1_024;
/// While a message comes in.
const DATA_BUFFER: usize = 64 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_the_received_fields_of_the_header() {
        for (message, expect) in [
            ("Received: a\r\nRECEIVED:b\r\n\tReceived: folded\r\nReceived-SPF: c\r\n\r\nReceived: body\r\n", 2),
            ("\r\nReceived: body\r\n", 0),
            ("", 0),
        ] {
            assert_eq!(hops(header(message.as_bytes())), expect, "{message:?}");
        }
    }
}
