//! One entry's way out: offer, attempt. What intake made of a message is offered to the next hop while its client
//! waits ([`Relay::take_on`]); what the queue holds is leased, attempted, settled.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use crate::clock::{Certainty, Clock};
use crate::event::{Event, emit};
use crate::mail::Admd;
use crate::mistake::Mistake;
use crate::queue::{Fate, Lease, Outcome, Queue, QueueId, Revoke};
use crate::smtp::client::{Body, Said};
use crate::store::Fault;
use crate::vault::{ParcelId, Vault};

mod attempt;
mod hop;
mod offer;

use attempt::{Load, attempt, deferred};
use hop::{NextHop, State};
pub use offer::Made;

crate::options! {
    /// Where mail goes next.
    pub struct Options {
        /// The next hop as `host:port`. Port 465 speaks TLS from the first octet.
        next_hop: String = String::from("127.0.0.1:25"),
        /// TLS towards it: `none`, `opportunistic` (use it if offered; where it fails, ten minutes without, unless there is a password), `required`, `verified` (required, and its certificate must hold).
        tls: Tls = Tls::Opportunistic,
        /// PEM file with roots that count beside the system's.
        roots: Option<std::path::PathBuf> = None,
        /// Identity for AUTH; absent is no AUTH.
        username: Option<String> = None,
        /// File that holds the password for AUTH, readable by the owner only.
        password_file: Option<std::path::PathBuf> = None,
        /// Connections at once.
        connections: usize = 20,
    }
}

/// What is demanded of the connection to the next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// Never: a next hop on the same machine.
    None,
    /// If offered, with any certificate.
    Opportunistic,
    /// Or not at all, with any certificate.
    Required,
    /// Or not at all, with a certificate that holds.
    Verified,
}

/// Where a relay takes mail from, and where a link is taken back whose mail failed.
pub struct Stations {
    /// Entries.
    pub queue: Arc<Queue>,
    /// Parcels.
    pub vault: Arc<Vault>,
}

/// What a relay works with.
pub struct Relay {
    queue: Arc<Queue>,
    vault: Arc<Vault>,
    hop: NextHop,
    clock: Clock,
    woken: Notify,
    /// Attempts that began while a client waited and are an entry's now.
    late: mpsc::UnboundedSender<Late>,
    taken_over: Mutex<Option<mpsc::UnboundedReceiver<Late>>>,
}

/// The rest of an attempt.
type Late = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is wrong with the options and the files that they name, without a connection.
pub fn check(options: &Options) -> Vec<Mistake> {
    hop::check(options)
}

impl Relay {
    /// Reads key files and roots once.
    pub fn new(stations: Stations, admd: &Admd, options: &Options, clock: Clock) -> Result<Self, Mistake> {
        let Stations { queue, vault } = stations;
        let hop = NextHop::new(admd.hostname.clone(), options, clock.clone())?;
        let (late, taken_over) = mpsc::unbounded_channel();
        Ok(Self { queue, vault, hop, clock, woken: Notify::new(), late, taken_over: Mutex::new(Some(taken_over)) })
    }

    /// Wakes the runner: something new is due.
    pub fn wake(&self) {
        self.woken.notify_one();
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
            let pause = tokio::time::sleep(self.pause(attempts.len()));
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(ended) = attempts.join_next() => report_panic(&ended),
                Some(rest) = next(&mut late) => drop(attempts.spawn(rest)),
                () = self.woken.notified() => {}
                () = pause => {}
            }
        }
        upkeep.shutdown().await;
        self.drain(attempts).await;
    }

    /// Starts an attempt for each entry that is due, as far as the next hop has room.
    async fn start(self: &Arc<Self>, attempts: &mut JoinSet<()>) {
        let room = match self.hop.state() {
            State::Up => self.room(attempts.len()),
            State::Down { until, .. } if attempts.is_empty() && until <= self.clock.now() => PROBES,
            // While nothing is over, nobody has to hear of it.
            State::Down { .. } if self.clock.doubt().is_some() => return,
            State::Down { said, .. } => {
                let overdue = self.lease(Which::Overdue, OVERDUE_BATCH).await;
                if !overdue.is_empty() {
                    attempts.spawn(self.clone().give_up_on(overdue, said));
                }
                return;
            }
        };
        for lease in self.lease(Which::Due, room).await {
            attempts.spawn(self.clone().carry(lease));
        }
    }

    /// How many more may be attempted while so many are. Some always stand in line, so that mail which is
    /// offered at every moment does not keep the queue out.
    fn room(&self, running: usize) -> usize {
        let free = self.hop.seats.available_permits().min(self.hop.connections.saturating_sub(running));
        free.max((self.hop.connections / IN_LINE).max(1).saturating_sub(running))
    }

    /// One entry's way: attempt, settle, take back what died.
    async fn carry(self: Arc<Self>, lease: Lease) {
        let Ok(_seat) = Arc::clone(&self.hop.seats).acquire_owned().await else { return };
        let load = Load { envelope: &lease.envelope, size: lease.size, body: &|| Body::Stream(self.queue.body(&lease)) };
        let outcomes = attempt(&self.hop, &load).await;
        self.settle(lease, outcomes).await;
    }

    async fn settle(&self, lease: Lease, outcomes: Vec<Outcome>) {
        let (queue, vault, moment) = (self.queue.clone(), self.vault.clone(), self.clock.moment());
        log(lease.id, &self.hop.name, &outcomes);
        let settled = off_thread(move || {
            // The queue first: a link that is taken back while its mail may still go out would be a dead one.
            let died = queue.settle(lease, outcomes, moment)?;
            take_back(&queue, &vault, died)
        });
        settled.await.unwrap_or_else(|fault| trouble(&fault));
    }

    /// The next hop is away; these senders must hear something by now, so they are settled unattempted.
    async fn give_up_on(self: Arc<Self>, overdue: Vec<Lease>, said: Said) {
        for lease in overdue {
            let outcomes = deferred(&lease.envelope, &said, &self.hop.name);
            self.settle(lease, outcomes).await;
        }
    }

    async fn lease(&self, which: Which, limit: usize) -> Vec<Lease> {
        if limit == 0 {
            return vec![];
        }
        let (queue, now) = (self.queue.clone(), self.clock.now());
        let leased = off_thread(move || match which {
            Which::Due => queue.lease(now, limit),
            Which::Overdue => queue.lease_overdue(now, limit),
        });
        leased.await.unwrap_or_else(|fault| {
            trouble(&fault);
            vec![]
        })
    }

    /// How long nothing will be due, as far as is known now.
    fn pause(&self, running: usize) -> Duration {
        let due = self.queue.next_due().ok().flatten();
        let next = match self.hop.state() {
            // The end of one of them comes first.
            State::Up if running >= self.hop.connections => None,
            State::Down { .. } if running > 0 => None,
            State::Up => due,
            State::Down { until, .. } => due.map(|due| due.max(until)),
        };
        let pause = next.and_then(|next| Duration::try_from(next.duration_since(self.clock.now())).ok());
        match next {
            Some(_) => pause.unwrap_or_default().clamp(PAUSE_MIN, PAUSE_MAX),
            None => PAUSE_MAX,
        }
    }

    /// Overwrites slots of settled entries, closes idle connections, removes octets without an entry,
    /// takes back links that a stop or a fault left open.
    async fn keep_tidy(self: Arc<Self>) {
        let mut seconds: u64 = 0;
        loop {
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
            self.hop.close_idle().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            seconds = seconds.wrapping_add(1);
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

    /// Running attempts may settle; what does not in time is dropped, and due again at the next start.
    async fn drain(&self, mut attempts: JoinSet<()>) {
        let settled = async { while attempts.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_MAX, settled).await.is_err() {
            attempts.shutdown().await;
        }
        self.hop.close_all().await;
        self.tidy().await;
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
            Fate::Deferred(why) => emit(&Event::Deferred { id: &id, next_hop, status: &why.status.to_string() }),
            // The queue says this, for it knows the other way to fail too.
            Fate::Failed(_) => {}
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

/// A next hop that was away is asked by so many attempts whether it is back.
const PROBES: usize = 1;
/// One of so many connections has somebody of the queue in line for it.
const IN_LINE: usize = 4;
/// Entries settled unattempted in one go.
const OVERDUE_BATCH: usize = 64;
/// Against a busy loop when the store has trouble.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The machine's clock may have been set: it is looked at this often at least.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// What a stop waits for.
const DRAIN_MAX: Duration = Duration::from_secs(25);
/// Seconds between two sweeps.
const SWEEP_EVERY: u64 = 3600;
