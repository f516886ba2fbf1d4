//! How the gateway is at this moment, for the operator's listener; and the drain before it is taken away.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;

use super::backup::Job;
use super::build::Desk;
use super::{Gateway, stores};
use crate::event::{self, Event};
use crate::monitor::{Heap, State, Subject, Waiting};
use crate::smtp::server::{Doors, Server};
use crate::store::blobs;

/// What is known of the running parts.
#[derive(Default)]
pub(super) struct Condition {
    /// The server of all SMTP listeners; the way to its doors.
    server: OnceLock<Arc<Server<Desk>>>,
    relay_runs: Arc<AtomicBool>,
    heaps: Mutex<Heaps>,
    /// The last backup.
    pub job: Mutex<Job>,
    /// Nothing is swept while somebody holds this.
    pub sweeping: Mutex<()>,
}

/// Sizes as they were last looked at.
#[derive(Clone, Copy, Default)]
struct Heaps {
    parcels: Heap,
    spool: Heap,
}

/// Says that the relay runs, for as long as it is there.
pub(super) struct Running(Arc<AtomicBool>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Condition {
    /// The server is up.
    pub fn serves(&self, server: Arc<Server<Desk>>) {
        // There is one, set once.
        let _ = self.server.set(server);
    }

    /// The relay runs until this is dropped.
    pub fn relays(&self) -> Running {
        self.relay_runs.store(true, Ordering::Relaxed);
        Running(self.relay_runs.clone())
    }

    fn doors(&self) -> Doors {
        self.server.get().map_or(Doors::Open, |server| server.doors())
    }
}

impl Subject for Gateway {
    fn state(&self) -> State {
        let configuration = self.configuration.load();
        let directory = configuration.path(&configuration.store.directory);
        let heaps = *self.condition.heaps.lock().unwrap_or_else(PoisonError::into_inner);
        State {
            queue: self.waiting(),
            memory: memory().unwrap_or_default(),
            certificates: self.certificate_days(),
            records: fs::metadata(directory.join(stores::RECORDS)).map_or(0, |facts| facts.len()),
            parcels: heaps.parcels,
            spool: heaps.spool,
            free: free(&directory).unwrap_or_default(),
            clock_ahead: self.base.clock.doubt().map(|doubt| doubt.ahead.as_secs_f64()),
            doors: self.condition.doors(),
        }
    }

    fn unready(&self) -> Vec<String> {
        let configuration = self.configuration.load();
        let mut reasons = Vec::new();
        if self.condition.doors() == Doors::Closed {
            reasons.push(String::from("draining"));
        }
        if !self.channel.load().is_well() {
            reasons.push(String::from("the store does not answer"));
        }
        if !self.condition.relay_runs.load(Ordering::Relaxed) {
            reasons.push(String::from("the queue does not run"));
        }
        if free(&configuration.path(&configuration.store.directory)).is_some_and(|free| free < configuration.store.reserve) {
            reasons.push(String::from("less is free than [store] reserve keeps"));
        }
        reasons
    }
}

impl Gateway {
    /// Opens or closes the doors to new mail.
    pub(super) fn set_doors(&self, doors: Doors) {
        let Some(server) = self.condition.server.get() else { return };
        if server.doors() == doors {
            return;
        }
        server.set_doors(doors);
        let result = match doors {
            Doors::Closed => "new mail is turned away, the queue empties",
            Doors::Open => "over, new mail is taken",
        };
        event::emit(&Event::Upkeep { what: "drain", result });
    }

    /// Entries by whose turn it is.
    pub(super) fn waiting(&self) -> Waiting {
        let now = self.base.clock.now();
        let census = self.base.queue.census(now);
        let since = |millis: Option<i64>| {
            let passed = millis.map_or(0, |millis| now.as_millisecond().saturating_sub(millis));
            Duration::from_millis(u64::try_from(passed).unwrap_or_default())
        };
        Waiting {
            due: census.due,
            later: census.later,
            leased: census.leased,
            held: census.held,
            oldest: since(census.oldest),
            overdue: since(census.overdue),
        }
    }

    fn certificate_days(&self) -> Vec<(String, i64)> {
        let now = self.base.clock.now();
        self.certificates.ends().into_iter().map(|(name, end)| (name, days(end.duration_since(now)))).collect()
    }

    /// Looks at the sizes of what lies in files, now and every ten minutes; never ends.
    pub(super) async fn measure(self: Arc<Self>) {
        loop {
            let gateway = self.clone();
            // What cannot be measured keeps its last size.
            let _ = tokio::task::spawn_blocking(move || gateway.measure_once()).await;
            tokio::time::sleep(MEASURE_EVERY).await;
        }
    }

    fn measure_once(&self) {
        let configuration = self.configuration.load();
        let directory = configuration.path(&configuration.store.directory);
        let look = |name: &str| blobs::measure(&directory.join(name)).ok().map(|(files, octets)| Heap { files, octets });
        let (parcels, spool) = (look(stores::PARCELS), look(stores::SPOOL));
        let mut heaps = self.condition.heaps.lock().unwrap_or_else(PoisonError::into_inner);
        *heaps = Heaps { parcels: parcels.unwrap_or(heaps.parcels), spool: spool.unwrap_or(heaps.spool) };
    }

    /// Tells the log when a drained queue is empty; never ends.
    pub(super) async fn watch_drain(self: Arc<Self>) {
        let mut told = Doors::Open;
        loop {
            let waiting = self.waiting();
            let empty = waiting.due + waiting.later + waiting.leased == 0;
            match self.condition.doors() {
                Doors::Closed if empty && told == Doors::Open => {
                    event::emit(&Event::Upkeep { what: "drain", result: "the queue is empty" });
                    told = Doors::Closed;
                }
                Doors::Open => told = Doors::Open,
                Doors::Closed => {}
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Whole days; what is over by an hour is over by one.
fn days(left: SignedDuration) -> i64 {
    left.as_secs().div_euclid(24 * 60 * 60)
}

/// Octets that may still be written there.
pub(super) fn free(directory: &Path) -> Option<u64> {
    rustix::fs::statvfs(directory).ok().map(|room| room.f_bavail.saturating_mul(room.f_frsize))
}

/// Resident octets of this process: `VmRSS` of proc(5), in KiB.
fn memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib.saturating_mul(1024))
}

/// It looks at every file.
const MEASURE_EVERY: Duration = Duration::from_secs(600);
