//! The fast path: a message is offered to the next hop while its client waits, with no disk at all.
//!
//! Until the dot nothing is handed over, so whatever goes wrong or takes too long before it only means
//! that the message goes into the queue. With the dot the next hop may have it: from there on
//! only its word or our commit lets anybody say 250. A parcel goes live before the dot, for who gets the
//! link may open it at once; if the mail is refused, its way is taken back.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::attempt::{Heard, Load, Missed, Poised, Until, outcomes, poise};
use super::destination::{Destination, Seat};
use super::hop::State;
use super::{Late, Relay, off_thread};
use crate::event::{Event, emit};
use crate::failpoint;
use crate::mail::{Notify, Recipient};
use crate::queue::{Carries, NewEntry, Reports};
use crate::smtp::client::{Accepted, Answer, Body, Said};
use crate::smtp::{Receipt, Refusal};
use crate::store::Write;
use crate::vault::ParcelId;

/// What intake made of one message.
pub struct Made {
    /// What leaves.
    pub entries: Vec<NewEntry>,
    /// Makes the parcels behind its links live.
    pub go_live: Vec<Write>,
    /// Its id in the trace field and in the log.
    pub id: String,
}

impl Relay {
    /// Settles a message: the next hop's word where it takes it at once, our queue's in all other cases.
    pub async fn take_on(self: &Arc<Self>, made: Made) -> Result<Receipt, Refusal> {
        failpoint::reach("relay.take_on");
        let until = Instant::now() + POISED_WITHIN;
        let entries = made.entries.into_iter().flat_map(|entry| self.routes.split(entry)).collect();
        let made = Made { entries, ..made };
        match self.room_for(&made.entries, until).await {
            Some(room) => self.offer(made, room, until).await,
            None => self.commit(made.entries, made.go_live).await,
        }
    }

    /// A connection's worth of room, for what goes one way in one piece; none after the stop.
    async fn room_for(&self, entries: &[NewEntry], until: Instant) -> Option<Room> {
        let [only] = entries else { return None };
        let late = self.late.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let destination =
            self.exits.destination(self.routes.lane(&only.envelope)).filter(|destination| destination.state() == State::Up)?;
        let seat = destination.seat(until).await?;
        Some(Room { destination, seat, late })
    }

    async fn offer(self: &Arc<Self>, made: Made, room: Room, until: Instant) -> Result<Receipt, Refusal> {
        let Made { mut entries, go_live, id } = made;
        let Some(entry) = entries.pop().map(NewEntry::fitted) else { return self.commit(entries, go_live).await };
        let load = Load { envelope: &entry.envelope, size: entry.size(), body: &|| Body::Memory(entry.body.clone()) };
        let (poised, live) = tokio::join!(timeout_at(until, poise(&room.destination, &load)), self.go_live(go_live));
        // The transaction is dropped without its dot.
        live?;
        match poised {
            Ok(Ok(poised)) => self.finish(Offered { entry, id, room }, poised).await,
            Ok(Err(Missed { said, until: Until::Ever, .. })) => self.refuse(&entry, said).await,
            Ok(Err(Missed { until: Until::Later | Until::DecidedAnew, .. })) | Err(_) => self.commit(vec![entry], vec![]).await,
        }
    }

    /// The dot. Who answers it too late for the client settles an entry of the queue instead.
    async fn finish(self: &Arc<Self>, offered: Offered, poised: Poised) -> Result<Receipt, Refusal> {
        failpoint::reach("offer.dot");
        let mut finishing = Box::pin(poised.finish());
        if let Ok(heard) = timeout(ANSWERED_WITHIN, &mut finishing).await {
            return self.heard(offered, heard).await;
        }
        let (queue, now) = (self.queue.clone(), self.clock.now());
        let entry = offered.entry.clone();
        let (committed, lease) = off_thread(move || queue.commit_leased(entry, now)).await?;
        let (relay, Offered { entry, room: Room { seat, late, .. }, .. }) = (Arc::clone(self), offered);
        let rest = async move {
            let heard = AssertUnwindSafe(finishing).catch_unwind().await.unwrap_or_else(|_| Err(Missed::broken_off()));
            relay.settle(lease, outcomes(&entry.envelope, heard)).await;
            // Its room at the next hop is taken until that has answered.
            drop(seat);
        };
        // Without anybody to carry it on, its lease runs out and it is due again.
        let _ = late.send(Box::pin(rest));
        Ok(Receipt::Queued(committed))
    }

    async fn heard(self: &Arc<Self>, offered: Offered, heard: Result<Heard, Missed>) -> Result<Receipt, Refusal> {
        failpoint::reach("offer.heard");
        match word(&offered.entry, heard) {
            Word::Taken(accepted, hop) => {
                emit(&Event::Relayed { id: &offered.id, next_hop: &hop });
                Ok(Receipt::Relayed(accepted))
            }
            Word::Never(said) => self.refuse(&offered.entry, said).await,
            Word::Divided(heard) => self.settle_as_heard(offered.entry, heard).await,
        }
    }

    /// Not the same for everybody, or not settled: an entry of the queue tells them apart, now or later.
    async fn settle_as_heard(&self, entry: NewEntry, heard: Result<Heard, Missed>) -> Result<Receipt, Refusal> {
        let (queue, now) = (self.queue.clone(), self.clock.now());
        let outcomes = outcomes(&entry.envelope, heard);
        let (committed, lease) = off_thread(move || queue.commit_leased(entry, now)).await?;
        self.settle(lease, outcomes).await;
        self.wake();
        Ok(Receipt::Queued(committed))
    }

    async fn commit(&self, entries: Vec<NewEntry>, go_live: Vec<Write>) -> Result<Receipt, Refusal> {
        let (queue, now) = (self.queue.clone(), self.clock.now());
        let committed = off_thread(move || queue.commit(entries, go_live, now)).await?;
        failpoint::reach("relay.committed");
        self.wake();
        Ok(Receipt::Queued(committed))
    }

    async fn go_live(&self, writes: Vec<Write>) -> Result<(), Refusal> {
        if writes.is_empty() {
            return Ok(());
        }
        let vault = self.vault.clone();
        Ok(off_thread(move || vault.go_live(writes)).await?)
    }

    /// Nobody ever gets it, and its client hears that now.
    async fn refuse(&self, entry: &NewEntry, said: Said) -> Result<Receipt, Refusal> {
        self.revoke(entry).await?;
        Err(Refusal::ByNextHop(said))
    }

    /// Nobody has the link, so nobody shall be able to use it.
    async fn revoke(&self, entry: &NewEntry) -> Result<(), Refusal> {
        let Carries::Link(parcel) = entry.carries else { return Ok(()) };
        let (vault, recipients) = (self.vault.clone(), entry.envelope.recipients.clone());
        let revoke = move || recipients.iter().try_for_each(|recipient| vault.revoke(ParcelId(parcel), &recipient.forward_path));
        Ok(off_thread(revoke).await?)
    }
}

/// Where there is room, the room, and who goes on with what takes too long; while one of them is there, a stop waits.
struct Room {
    destination: Arc<Destination>,
    seat: Seat,
    late: mpsc::UnboundedSender<Late>,
}

/// A message under way, and its room at the next hop.
struct Offered {
    entry: NewEntry,
    id: String,
    room: Room,
}

/// The next hop's word on an offer.
enum Word {
    /// All of it is its; by its name.
    Taken(Accepted, String),
    /// Nobody ever gets it.
    Never(Said),
    /// Everything else.
    Divided(Result<Heard, Missed>),
}

fn word(entry: &NewEntry, heard: Result<Heard, Missed>) -> Word {
    let Ok(mut heard) = heard else { return Word::Divided(heard) };
    let is_owed = heard.reports != Reports::Onward && entry.envelope.recipients.iter().any(wants_success);
    let all = |is: fn(&Answer) -> bool| heard.answers.iter().all(is);
    let is_alike =
        (!is_owed && all(|answer| matches!(answer, Answer::Accepted(_)))) || all(|answer| matches!(answer, Answer::Permanent(_)));
    match if is_alike { heard.answers.pop() } else { None } {
        Some(Answer::Accepted(accepted)) => Word::Taken(accepted, heard.hop),
        Some(Answer::Permanent(said)) => Word::Never(said),
        Some(Answer::Temporary(_)) | None => Word::Divided(Ok(heard)),
    }
}

/// RFC 3461 §5.2.2: where the next hop makes no reports, this one is ours.
fn wants_success(recipient: &Recipient) -> bool {
    matches!(recipient.notify, Some(Notify::On { success: true, .. }))
}

/// From a message in our hands to the last octet of its body at the next hop: the client waits.
const POISED_WITHIN: Duration = Duration::from_secs(3);
/// For the word after the dot: RFC 5321 §4.5.3.2.6 has clients wait for minutes, people do not.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
