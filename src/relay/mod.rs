//! One entry's way out: offer, route, attempt. What intake made of a message is offered to the next hop while its client
//! waits ([`Relay::take_on`]); what the queue holds is leased, attempted, settled.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::clock::{Certainty, Clock};
use crate::event::{Event, emit};
use crate::failpoint;
use crate::mail::{Admd, Envelope, Recipient};
use crate::mistake::Mistake;
use crate::queue::{Bounce, Fate, Lane, Lease, Outcome, Queue, QueueId, Revoke, Tally};
use crate::smtp::client::{Body, Said};
use crate::store::Fault;
use crate::transport::Transport;
use crate::vault::{ParcelId, Vault};

mod anew;
mod attempt;
mod destination;
mod exchangers;
mod exits;
mod hop;
mod offer;
mod options;
mod ourselves;
mod route;
mod settling;

pub use anew::Anew;
use attempt::{Load, Missed, attempt, outcomes, unreached};
use destination::{Counted, Destination};
use exits::{Exits, all_ways};
use hop::State;
pub use offer::Made;
pub use options::{NextHops, Options, RouteOptions, Tls};
pub use route::Routes;
use settling::Unwritten;

/// All ways out: that of `[relay]`, and the routes that come before it.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Ways {
    /// `[relay]`.
    #[serde(flatten)]
    pub rest: Options,
    /// `[[relay.routes]]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteOptions>,
}

/// Where a relay takes mail from, and where a link is taken back whose mail failed.
pub struct Stations {
    /// Entries.
    pub queue: Arc<Queue>,
    /// Parcels.
    pub vault: Arc<Vault>,
    /// Whose mail goes which way.
    pub routes: Routes,
    /// Finds other domains' mail servers.
    pub transport: Arc<Transport>,
}

/// What a relay works with.
pub struct Relay {
    queue: Arc<Queue>,
    vault: Arc<Vault>,
    routes: Routes,
    exits: Exits,
    clock: Clock,
    woken: Notify,
    unwritten: Unwritten,
    /// Who decides on mail whose way is not what policy counted on.
    anew: OnceLock<Weak<dyn Anew>>,
    one_by_one: tokio::sync::Mutex<()>,
    /// Takes attempts that began while a client waited and are an entry's now; none after the stop.
    late: Mutex<Option<mpsc::UnboundedSender<Late>>>,
    taken_over: Mutex<Option<mpsc::UnboundedReceiver<Late>>>,
}

/// The rest of an attempt.
type Late = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is wrong with the ways and the files that they name, without a connection.
pub fn check(ways: &Ways) -> Vec<Mistake> {
    all_ways(ways).flat_map(|way| hop::check(&way)).collect()
}

/// Connects to every next hop as an attempt would, and goes without mail: each with what kept it from that. By MX there are
/// none before there is mail.
pub async fn probe(ways: &Ways, admd: &Admd, clock: Clock) -> Result<Vec<(String, Option<Said>)>, Mistake> {
    let mut probed = Vec::new();
    for way in all_ways(ways).filter(|way| !way.next_hop.is_mx()) {
        probed.extend(Destination::named(&hop::Way::new(&admd.hostname, &way, &clock)?, &way)?.probe().await);
    }
    Ok(probed)
}

impl Relay {
    /// Reads key files and roots once. The queue's lanes are those of the routes.
    pub fn new(stations: Stations, admd: &Admd, ways: &Ways, clock: Clock) -> Result<Self, Mistake> {
        let Stations { queue, vault, routes, transport } = stations;
        let exits = Exits::new(ways, &transport, (&admd.hostname, &clock))?;
        let (late, taken_over) = mpsc::unbounded_channel();
        let (late, taken_over) = (Mutex::new(Some(late)), Mutex::new(Some(taken_over)));
        let (woken, unwritten, anew, one_by_one) = (Notify::new(), Unwritten::default(), OnceLock::new(), tokio::sync::Mutex::default());
        Ok(Self { queue, vault, routes, exits, clock, woken, unwritten, anew, one_by_one, late, taken_over })
    }

    /// Has all next hops asked again that were away, and what is due attempted.
    pub fn hurry(&self) {
        self.exits.hurry();
        self.wake();
    }

    /// Every next hop that is configured, as the log names it.
    pub fn hops(&self) -> Vec<String> {
        self.exits.named().flat_map(|(_, destination)| destination.hops()).collect()
    }

    /// Each way out by its lane: its hops, and why none of them can be reached, if that is so.
    pub fn standing(&self) -> Vec<(Lane, String, Option<Said>)> {
        let standing = |(lane, destination): (Lane, Arc<Destination>)| {
            let away = if let State::Down { said, .. } = destination.state() { Some(said) } else { None };
            (lane, destination.name.clone(), away)
        };
        let ourselves = (Lane::OURSELVES, String::from("this gateway"), None);
        self.exits.standing().map(standing).chain([ourselves]).collect()
    }

    /// Wakes the runner: something new is due.
    pub fn wake(&self) {
        self.woken.notify_one();
    }

    /// Ends entries as failed, with an operator's reason; links in them open nothing any more.
    pub fn bounce(&self, ids: &[QueueId], bounce: &Bounce) -> Result<Tally, Fault> {
        let (tally, died) = self.queue.bounce(ids, bounce, self.clock.now())?;
        take_back(&self.queue, &self.vault, died)?;
        Ok(tally)
    }

    /// Removes an entry without any report; a link in it opens nothing any more. `false` when there is no such entry.
    pub fn drop_entry(&self, id: QueueId) -> Result<bool, Fault> {
        let Some(died) = self.queue.drop_entry(id)? else { return Ok(false) };
        take_back(&self.queue, &self.vault, died)?;
        Ok(true)
    }

    /// Leases what is due and attempts it until `stop`; then lets running attempts settle (at most 25 s).
    pub async fn run(self: Arc<Self>, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop);
        let mut upkeep = JoinSet::new();
        upkeep.spawn(self.clone().keep_tidy());
        let mut attempts = JoinSet::new();
        let mut late = self.taken_over.lock().unwrap_or_else(PoisonError::into_inner).take();
        loop {
            self.start(&mut attempts).await;
            let pause = tokio::time::sleep(self.pause());
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(ended) = attempts.join_next() => report_panic(&ended),
                // Without it nothing is tidied any more, so the relay ends with it.
                Some(Err(ended)) = upkeep.join_next() => std::panic::resume_unwind(ended.into_panic()),
                Some(rest) = next(&mut late) => drop(attempts.spawn(rest)),
                () = self.woken.notified() => {}
                () = pause => {}
            }
        }
        upkeep.shutdown().await;
        self.drain(attempts, late).await;
    }

    /// Starts an attempt for each entry that is due, as far as its destination has room; none while what others heard
    /// cannot be written.
    async fn start(self: &Arc<Self>, attempts: &mut JoinSet<()>) {
        failpoint::reach("relay.start");
        if self.unwritten.again().is_some_and(|again| again <= Instant::now()) {
            self.settle_kept().await;
        }
        if self.unwritten.is_stuck() {
            return;
        }
        if self.queue.next_due(Lane::OURSELVES).is_some_and(|due| due <= self.clock.now()) {
            for lease in self.lease(Which::Due, (Lane::OURSELVES, OWN_AT_ONCE)).await {
                attempts.spawn(self.clone().carry(lease, None));
            }
        }
        for (lane, destination) in self.lanes().0 {
            let room = match destination.state() {
                State::Up => destination.room(),
                State::Down { until, .. } if destination.running() == 0 && until <= self.clock.now() => PROBES,
                // While nothing is over, nobody has to hear of it.
                State::Down { .. } if self.clock.doubt().is_some() => continue,
                State::Down { said, .. } => {
                    let overdue = self.lease(Which::Overdue, (lane, OVERDUE_BATCH)).await;
                    if !overdue.is_empty() {
                        attempts.spawn(self.clone().give_up_on(overdue, (said, destination.name.clone())));
                    }
                    continue;
                }
            };
            for lease in self.lease(Which::Due, (lane, room)).await {
                attempts.spawn(self.clone().carry(lease, Some(destination.count())));
            }
        }
    }

    /// Every destination for which something may be due; and when the next one will have something.
    fn lanes(&self) -> (Vec<(Lane, Arc<Destination>)>, Option<Timestamp>) {
        let (due, next) = self.queue.lanes_due(self.clock.now(), |lane| self.exits.has_room(lane), LANES_MAX);
        let due = due.into_iter().filter_map(|lane| Some((lane, self.exits.destination(lane)?)));
        // Those with one place are always looked at: an attempt that ends is how it is known that one of them is back.
        (self.exits.named().chain(due.filter(|(lane, _)| !self.exits.is_named(*lane))).collect(), next)
    }

    /// One entry's way: attempt, settle, take back what died. An attempt that panics is one that failed: its entry does not
    /// wait for the end of the lease.
    async fn carry(self: Arc<Self>, lease: Lease, counted: Option<Counted>) {
        let attempted = AssertUnwindSafe(self.attempt_all(&lease, counted)).catch_unwind().await;
        let met = attempted.unwrap_or_else(|_| outcomes(&lease.envelope, Err(Missed::broken_off())));
        self.settle(lease, met).await;
    }

    /// Routes may have changed since it was taken on, so it may have several ways. It goes them all at once, for its lease is
    /// as long as one of them may take.
    async fn attempt_all(&self, lease: &Lease, counted: Option<Counted>) -> Vec<Outcome> {
        failpoint::reach("relay.attempt");
        let mut groups = self.routes.groups(&lease.envelope);
        let own = groups.extract_if(.., |(lane, _)| *lane == Lane::OURSELVES).flat_map(|(_, recipients)| recipients).collect();
        // Another part of them each time: those that are slow do not keep the others from their turn.
        let turn = usize::try_from(lease.attempts).unwrap_or(usize::MAX).saturating_mul(WAYS_MAX);
        let first = turn.checked_rem(groups.len()).unwrap_or_default();
        groups.rotate_left(first);
        let counted_each = |(lane, recipients)| Some((self.exits.destination(lane)?.count(), recipients));
        let ways: Vec<(Counted, Vec<Recipient>)> = groups.into_iter().take(WAYS_MAX).filter_map(counted_each).collect();
        drop(counted);
        let met = join_all(ways.into_iter().map(|way| self.go(lease, way))).await;
        let met = met.into_iter().flatten().chain(self.received(lease, own).await).collect();
        self.decided_anew(lease, met).await
    }

    /// One way of an entry: what became of those who go it, or nothing when they had no turn.
    async fn go(&self, lease: &Lease, (counted, recipients): (Counted, Vec<Recipient>)) -> Vec<Outcome> {
        let destination = counted.destination();
        let Some(_seat) = destination.seat(Instant::now() + TURN_MAX).await else { return vec![] };
        let envelope = Envelope { recipients, ..lease.envelope.clone() };
        let load = Load { envelope: &envelope, size: lease.size, body: &|| Body::Stream(self.queue.body(lease)) };
        let (hop, met) = attempt(destination, &load).await;
        log(lease.id, &hop, &met);
        met
    }

    /// The next hop is away; these senders must hear something by now, so they are settled unattempted.
    async fn give_up_on(self: Arc<Self>, overdue: Vec<Lease>, (said, destination): (Said, String)) {
        for lease in overdue {
            let outcomes = unreached(&lease.envelope, &said, &destination);
            log(lease.id, &destination, &outcomes);
            self.settle(lease, outcomes).await;
        }
    }

    async fn lease(&self, which: Which, (lane, limit): (Lane, usize)) -> Vec<Lease> {
        if limit == 0 {
            return vec![];
        }
        let (queue, now) = (self.queue.clone(), self.clock.now());
        let leased = off_thread(move || match which {
            Which::Due => queue.lease(lane, now, limit),
            Which::Overdue => queue.lease_overdue(lane, now, limit),
        });
        leased.await.unwrap_or_else(|fault| {
            trouble(&fault);
            vec![]
        })
    }

    /// How long there is nothing to do, as far as is known now.
    fn pause(&self) -> Duration {
        let again = self.unwritten.again().map(|again| again.saturating_duration_since(Instant::now()).max(PAUSE_MIN));
        let due = if self.unwritten.is_stuck() { PAUSE_MAX } else { self.until_due() };
        again.unwrap_or(PAUSE_MAX).min(due)
    }

    /// How long nothing will be due.
    fn until_due(&self) -> Duration {
        let (lanes, later) = self.lanes();
        let next = lanes.into_iter().filter_map(|(lane, destination)| {
            let due = self.queue.next_due(lane)?;
            match destination.state() {
                // The end of one of them comes first.
                State::Up if destination.room() == 0 => None,
                State::Down { .. } if destination.running() > 0 => None,
                State::Up => Some(due),
                State::Down { until, .. } => Some(due.max(until)),
            }
        });
        let pause = |next: Timestamp| Duration::try_from(next.duration_since(self.clock.now())).unwrap_or_default();
        let due = next.chain(later).chain(self.queue.next_due(Lane::OURSELVES));
        let pauses = due.min().map(pause).into_iter().chain(self.exits.next_turn());
        pauses.min().unwrap_or(PAUSE_MAX).clamp(PAUSE_MIN, PAUSE_MAX)
    }

    /// Overwrites slots of settled entries, closes idle connections, removes octets without an entry,
    /// takes back links that a stop or a fault left open.
    async fn keep_tidy(self: Arc<Self>) {
        let mut seconds: u64 = 0;
        loop {
            failpoint::reach("relay.tidy");
            if seconds.is_multiple_of(SWEEP_EVERY) {
                let (queue, vault, moment) = (self.queue.clone(), self.vault.clone(), self.clock.moment());
                let swept = off_thread(move || {
                    take_back(&queue, &vault, queue.owed()?)?;
                    match moment.certainty {
                        Certainty::Certain => queue.sweep(moment.now),
                        // By a clock that is wrong a fresh blob may look old.
                        Certainty::InDoubt => Ok(0),
                    }
                });
                swept.await.map_or_else(|fault| trouble(&fault), |_| ());
            }
            self.tidy().await;
            self.exits.close_idle().await;
            if seconds.is_multiple_of(MARK_EVERY) {
                self.queue.bring_forward(self.clock.now());
                self.mark().await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            seconds = seconds.wrapping_add(1);
        }
    }

    /// Notes that the gateway runs, as far as it knows when.
    async fn mark(&self) {
        let (queue, moment) = (self.queue.clone(), self.clock.moment());
        if moment.certainty == Certainty::Certain {
            off_thread(move || queue.mark(moment.now)).await.unwrap_or_else(|fault| trouble(&fault));
        }
    }

    async fn tidy(&self) {
        let queue = self.queue.clone();
        let tidied = off_thread(move || {
            while queue.tidy()? > 0 {}
            Ok(())
        });
        tidied.await.unwrap_or_else(|fault| trouble(&fault));
    }

    /// Running attempts may settle, and those that clients still wait for; what does not in time is dropped, and due again
    /// at the next start.
    async fn drain(&self, mut attempts: JoinSet<()>, mut late: Option<mpsc::UnboundedReceiver<Late>>) {
        let ends = Instant::now() + DRAIN_MAX;
        // Nothing is offered from here on; when the last offer has its word, nothing more becomes late.
        drop(self.late.lock().unwrap_or_else(PoisonError::into_inner).take());
        let ended = async {
            loop {
                tokio::select! {
                    Some(ended) = attempts.join_next() => report_panic(&ended),
                    Some(rest) = next(&mut late) => drop(attempts.spawn(rest)),
                    else => break,
                }
            }
        };
        if tokio::time::timeout_at(ends, ended).await.is_err() {
            attempts.shutdown().await;
        }
        self.settle_finally(ends).await;
        self.exits.close_all().await;
        self.tidy().await;
        self.mark().await;
    }
}

/// The next attempt that became an entry's; never, where somebody else takes them.
async fn next(late: &mut Option<mpsc::UnboundedReceiver<Late>>) -> Option<Late> {
    late.as_mut()?.recv().await
}

/// Which entries are wanted.
#[derive(Clone, Copy)]
enum Which {
    Due,
    Overdue,
}

/// The stores block, so they are asked off the I/O threads.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|ended| Err(Fault(ended.to_string())))
}

/// Links that died with their mail; one that cannot be taken back now is owed.
fn take_back(queue: &Queue, vault: &Vault, died: Vec<Revoke>) -> Result<(), Fault> {
    died.iter().try_for_each(|revoke| {
        vault.revoke(ParcelId(revoke.parcel), &revoke.recipient)?;
        queue.revoked(revoke)
    })
}

fn log(id: QueueId, next_hop: &str, outcomes: &[Outcome]) {
    let id = id.to_string();
    for outcome in outcomes {
        match &outcome.fate {
            Fate::Relayed { .. } => emit(&Event::Relayed { id: &id, next_hop }),
            Fate::Deferred(why) | Fate::Unreached(why) | Fate::Unproven(why) => {
                emit(&Event::Deferred { id: &id, next_hop, status: &why.status.to_string() })
            }
            // The queue says this, for it knows the other way to fail too.
            Fate::Failed(_) | Fate::Replaced => {}
        }
    }
}

fn report_panic(ended: &Result<(), tokio::task::JoinError>) {
    if let Err(ended) = ended {
        trouble(&Fault(ended.to_string()));
    }
}

fn trouble(fault: &Fault) {
    emit(&Event::Trouble { place: "relay", fault: &fault.0 });
}

/// Mail to ourselves that is looked at together.
const OWN_AT_ONCE: usize = 10;
/// Lanes looked at in one go.
const LANES_MAX: usize = 256;
/// A next hop that was away is asked by so many attempts whether it is back.
const PROBES: usize = 1;
/// How long an attempt waits for a connection; its lease outlives both.
const TURN_MAX: Duration = Duration::from_secs(5 * 60);
/// Ways that one entry goes at once.
const WAYS_MAX: usize = 50;
/// Entries settled unattempted in one go.
const OVERDUE_BATCH: usize = 64;
/// Against a busy loop when the store has trouble.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The machine's clock may have been set: it is looked at this often at least.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// What a stop waits for.
const DRAIN_MAX: Duration = Duration::from_secs(25);
/// Seconds between two marks that the gateway runs.
const MARK_EVERY: u64 = 60;
/// Seconds between two sweeps.
const SWEEP_EVERY: u64 = 3600;
