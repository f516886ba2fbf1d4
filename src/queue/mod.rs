//! Responsibility: what was acknowledged is here until it is settled.
//!
//! Bodies first (up to 64 KiB inside the record, larger as one blob), then one commit of the
//! entries: that commit is the moment of responsibility. A lease gives an entry to one attempt; an
//! attempt settles each recipient: done, later, or failed (a DSN in the same commit). Everything
//! that waits is sealed under SPOOL and a slot that is overwritten when the entry is settled.

use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use jiff::Timestamp;

use crate::clock::{Certainty, Moment};
use crate::failpoint;
use crate::mail::{Admd, EnhancedStatus, Envelope, Mailbox};
use crate::store::{Blobs, Conflict, Fault, SealedRecords, SlotNo, Slots, Write};
use crate::words::Language;

mod absence;
mod entry;
mod index;
mod operate;
mod report;
mod revoke;
mod settlement;
mod spool;
mod work;

use absence::Start;
use entry::{Entry, Terms};
pub use index::{Census, Waiting};
use index::{Index, Millis, Place, Taking};
pub use operate::{Bounce, Cursor, Party, Selection, Tally, hold_all};
pub use revoke::Revoke;
pub use settlement::ATTEMPTS_MIN;
use spool::{Spool, Spooled, lock, trouble, unbroken};
use work::Prepared;

/// Ours: 64 random bits, printed as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct QueueId(pub u64);

impl std::fmt::Display for QueueId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Entries that wait for the same destination: one that is away keeps only its own lane waiting. Whoever opens the
/// queue says which entry is on which lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane {
    /// The way that they go.
    pub route: u32,
    /// Tells apart what goes one way to several places; 0 where there is one place only.
    pub place: u64,
}

impl Lane {
    /// What is addressed to the gateway itself.
    pub const OURSELVES: Self = Self { route: u32::MAX, place: 0 };

    /// All that goes a way to one place.
    pub const fn of(route: u32) -> Self {
        Self { route, place: 0 }
    }
}

/// Tells the lane of an envelope.
pub type Lanes = Arc<dyn Fn(&Envelope) -> Lane + Send + Sync>;

/// A message to be taken on, with the recipients that get these octets.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// Sender and the recipients of this entry.
    pub envelope: Envelope,
    /// The octets in order; slices of what came in and what was written anew.
    pub body: Vec<Bytes>,
    /// What the octets carry beside themselves.
    pub carries: Carries,
}

impl NewEntry {
    /// Octets in all.
    pub fn size(&self) -> u64 {
        self.body.iter().map(|piece| piece.len() as u64).sum()
    }

    /// With nothing in its envelope that the message does not need.
    pub fn fitted(self) -> Self {
        Self { envelope: self.envelope.fitted(&self.body), ..self }
    }
}

/// Whether a message opens something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Carries {
    /// Only itself.
    Nothing,
    /// The link of one recipient into this parcel: a final failure takes the way back ([`Revoke`]).
    Link([u8; 16]),
}

/// Proof that entries are on stable storage. Only [`Queue::commit`] makes one.
#[derive(Debug)]
pub struct Committed {
    ids: Vec<QueueId>,
}

impl Committed {
    /// The entries, in the order given.
    pub fn ids(&self) -> &[QueueId] {
        &self.ids
    }
}

crate::options! {
    /// How long and how often mail is tried again.
    pub struct Options {
        /// Minutes from one attempt to the next; the last one repeats. There must be time for five attempts.
        retry_minutes: Vec<u32> = vec![1, 5, 15, 30, 60, 120, 240],
        /// Hours after which mail that cannot be relayed goes back to its sender. Only those count in which the gateway ran and the mail was not held.
        lifetime_hours: u32 = 120,
        /// Hours after which the sender hears that mail is late; 0 is never.
        delay_notice_hours: u32 = 4,
    }
}

impl Options {
    /// How many attempts, up to [`ATTEMPTS_MIN`], there is time for in a lifetime.
    pub fn attempts(&self) -> u32 {
        let schedule = self.retry_minutes.iter().chain(self.retry_minutes.iter().last().into_iter().cycle());
        let mut left = u64::from(self.lifetime_hours).saturating_mul(60);
        let fit = |minutes: &&u32| left.checked_sub(u64::from(**minutes)).map(|rest| left = rest).is_some();
        let again = schedule.take(ATTEMPTS_MIN as usize).take_while(fit).count();
        u32::try_from(again).unwrap_or(u32::MAX).saturating_add(1).min(ATTEMPTS_MIN)
    }
}

/// Where the queue keeps what it holds, and how it tells its lanes.
pub struct Stores {
    /// Entries and small bodies.
    pub records: SealedRecords,
    /// Large bodies.
    pub blobs: Arc<dyn Blobs>,
    /// One slot an entry.
    pub slots: Arc<dyn Slots>,
    /// Which way an entry goes.
    pub lanes: Lanes,
}

/// The queue.
pub struct Queue {
    records: SealedRecords,
    spool: Arc<Spool>,
    index: Mutex<Index>,
    admd: Admd,
    terms: ArcSwap<Terms>,
    /// A start by a clock that is not believed yet.
    start: Mutex<Option<Start>>,
    lanes: Lanes,
    /// Of reports whose addressee's mail program tells none.
    language: Mutex<Language>,
    /// Held for reading by who settles, for writing by who changes a standing: the index follows the records in their order.
    settling: RwLock<()>,
}

/// One entry in the hands of one attempt, until it is settled or the lease runs out, by the time that passes.
#[derive(Debug)]
pub struct Lease {
    /// The entry.
    pub id: QueueId,
    /// Sender and the recipients that are still open.
    pub envelope: Envelope,
    /// Octets in all.
    pub size: u64,
    /// How many attempts there were before.
    pub attempts: u32,
    spooled: Spooled,
}

/// A lease that could not be ended, with what would have ended it: it goes on, so that the same can be said again.
#[derive(Debug)]
pub struct Unsettled {
    /// What the attempt has.
    pub lease: Lease,
    /// What came of it.
    pub outcomes: Vec<Outcome>,
    /// Why that is not written.
    pub trouble: Trouble,
}

/// What is in trouble when an entry cannot be settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// This entry: its record cannot be read. The others may be well.
    Entry(Fault),
    /// The store: it takes nothing, whatever the entry.
    Store(Fault),
}

/// What became of one recipient in an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whose.
    pub recipient: Mailbox,
    /// What.
    pub fate: Fate,
}

/// The fates of RFC 3464 §2.3.3 that an attempt can bring about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The next hop took it.
    Relayed {
        /// Whether the next hop promised DSNs itself (RFC 3461 §5.2.2).
        reports: Reports,
    },
    /// Not now.
    Deferred(Diagnostic),
    /// Not now, and it was not attempted: its way is away, as others found.
    Unreached(Diagnostic),
    /// Not now: the way is not proven, and policy counted on that.
    Unproven(Diagnostic),
    /// Other entries hold what it is to get.
    Replaced,
    /// Never.
    Failed(Diagnostic),
}

/// Whether the next hop offered the DSN extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reports {
    /// It takes our DSN parameters on.
    Onward,
    /// It knows none: a wished success report is ours to write.
    None,
    /// It knows none, and is where the mail ends (LMTP): that report is ours, and says so.
    Final,
}

/// What the other side said, or what kept us from reaching it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Enhanced status, as given or as derived from the reply code.
    pub status: EnhancedStatus,
    /// The words, cut to 500 clean characters.
    pub text: String,
    /// Who said it; `None` when we could not reach anybody.
    pub remote: Option<String>,
}

/// An entry as the operator sees it.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Which.
    pub id: QueueId,
    /// Sender and open recipients.
    pub envelope: Envelope,
    /// Octets.
    pub size: u64,
    /// When it was taken on.
    pub arrived: Timestamp,
    /// What it waits for.
    pub waits: Waits,
    /// Attempts so far.
    pub attempts: u32,
    /// What the last attempt heard.
    pub last: Option<Diagnostic>,
}

/// What an entry waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// Its next attempt, at this time.
    Until(Timestamp),
    /// The end of the attempt that has it.
    UnderWay,
    /// The operator.
    Held,
}

impl Unsettled {
    /// Whether no other entry could be settled either.
    pub const fn is_of_store(&self) -> bool {
        matches!(self.trouble, Trouble::Store(_))
    }
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        let (Trouble::Entry(fault) | Trouble::Store(fault)) = trouble;
        fault
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Store(fault)
    }
}

impl Queue {
    /// Over its stores. What was leased when the process ended is due again.
    pub fn open(stores: Stores, admd: Admd, options: Options, moment: impl Into<Moment>) -> Result<Self, Fault> {
        let Moment { now, certainty } = moment.into();
        let Stores { records, blobs, slots, lanes } = stores;
        let spool = Arc::new(Spool::open(records.clone(), blobs, slots)?);
        let start = Start::read(&records)?;
        let terms = ArcSwap::from_pointee(Terms { options, absent: start.absent(now.as_millisecond()) });
        let start = Mutex::new((certainty == Certainty::InDoubt).then_some(start));
        let language = Mutex::new(Language::English);
        let queue = Self { records, spool, index: Mutex::default(), admd, terms, start, lanes, language, settling: RwLock::default() };
        let index = queue.read_index(now)?;
        *lock(&queue.index) = index;
        Ok(queue)
    }

    /// The language of the house: of reports to those whose mail tells no other.
    pub fn speak(&self, language: Language) {
        *lock(&self.language) = language;
    }

    /// Notes that the gateway runs; called every minute or so, while the clock is believed.
    pub fn mark(&self, now: Timestamp) -> Result<(), Fault> {
        let now = now.as_millisecond();
        if let Some(start) = lock(&self.start).take() {
            self.reckon(start.absent(now))?;
        }
        absence::mark(&self.records, self.terms.load().absent, now)
    }

    /// Puts an absence right that was taken from a wrong clock, and with it when everybody's lifetime is over.
    fn reckon(&self, absent: Millis) -> Result<(), Fault> {
        let terms = self.terms.load_full();
        if terms.absent.abs_diff(absent) <= absence::TOLERANCE.unsigned_abs() {
            return Ok(());
        }
        self.terms.store(Arc::new(Terms { absent, ..Terms::clone(&terms) }));
        let mut from = None;
        loop {
            let page = lock(&self.index).after(from, spool::PAGE);
            self.refresh(&page);
            match page.last() {
                Some(last) if page.len() >= spool::PAGE => from = Some(*last),
                _ => return Ok(()),
            }
        }
    }

    /// Takes entries on, with further writes of the same moment (a parcel going live). When this
    /// returns, they are ours to lose.
    pub fn commit(&self, entries: Vec<NewEntry>, also: Vec<Write>, now: Timestamp) -> Result<Committed, Fault> {
        // Bodies before entries: after a crash in between, octets without an entry are swept; an
        // entry without its octets is lost mail.
        let batch = self.prepare(entries, now)?;
        self.take_on(batch, also)
    }

    /// As [`commit`](Self::commit), for an entry that is in the hands of an attempt already: nobody else gets it
    /// before that has settled it or its lease has run out.
    pub fn commit_leased(&self, entry: NewEntry, now: Timestamp) -> Result<(Committed, Lease), Fault> {
        let (envelope, size) = (entry.envelope.clone(), entry.size());
        let prepared = self.prepare(vec![entry], now)?.pop().ok_or_else(|| Fault("an entry was prepared to nothing".into()))?;
        let (prepared, lease) = prepared.leased(envelope, size);
        Ok((self.take_on(vec![prepared], vec![])?, lease))
    }

    fn take_on(&self, mut batch: Vec<Prepared>, also: Vec<Write>) -> Result<Committed, Fault> {
        let written = self.write(vec![], &mut batch, also);
        failpoint::reach("queue.committed");
        match written {
            Ok(()) => Ok(Committed { ids: self.admit(batch) }),
            Err(Conflict::Check) => {
                self.discard(batch);
                Err(Fault("an id is taken by chance".into()))
            }
            // It may have been written or not. At the next start it is there whole, or it is swept.
            Err(Conflict::Fault(fault)) => Err(fault),
        }
    }

    /// Up to `limit` entries of a lane whose time has come, oldest first, each leased from this moment on.
    pub fn lease(&self, lane: Lane, now: Timestamp, limit: usize) -> Result<Vec<Lease>, Fault> {
        let now = now.as_millisecond();
        let ids = self.index_at(now).lease(now, &Taking { lane, until: Instant::now() + LEASE, limit });
        Ok(ids.into_iter().filter_map(|id| self.hand_out(id, now)).collect())
    }

    /// As [`lease`](Self::lease), but only entries whose sender must hear something by now (a notice
    /// of delay, the end of the lifetime): while the next hop is away they are settled unattempted.
    pub fn lease_overdue(&self, lane: Lane, now: Timestamp, limit: usize) -> Result<Vec<Lease>, Fault> {
        let now = now.as_millisecond();
        let ids = self.index_at(now).lease_overdue(now, &Taking { lane, until: Instant::now() + LEASE, limit });
        Ok(ids.into_iter().filter_map(|id| self.hand_out(id, now)).collect())
    }

    /// The octets of a leased entry, opened; in pieces so that a large one is not held at once.
    /// They are opened when the first is read, so this costs nothing and may be called anywhere; reading
    /// blocks, and octets that do not open are an error there.
    pub fn body(&self, lease: &Lease) -> Box<dyn std::io::Read + Send> {
        Box::new(spool::Lazy::new(self.spool.clone(), lease.id, (lease.spooled.clone(), lease.size)))
    }

    /// Ends a lease: recipients that are done leave, those that are late get their next time, those
    /// that failed or whose time is over cause a DSN, all in one commit. Tells which links died with it;
    /// each is owed until [`revoked`](Self::revoked) hears that it was taken back. While the clock is in doubt no
    /// time is over.
    ///
    /// What cannot be written comes back whole, and the lease goes on: whoever forgot now that a next hop has the message
    /// would send it again.
    pub fn settle(&self, lease: Lease, outcomes: Vec<Outcome>, moment: impl Into<Moment>) -> Result<Vec<Revoke>, Box<Unsettled>> {
        let moment = moment.into();
        let settled = unbroken(|| Ok(self.try_settle(lease.id, &outcomes, moment)));
        settled.unwrap_or_else(|fault| Err(Trouble::Entry(fault))).map_err(|trouble| {
            lock(&self.index).renew(lease.id, Instant::now() + LEASE);
            Box::new(Unsettled { lease, outcomes, trouble })
        })
    }

    /// Brings forward what waits longer than any step of the schedule from here: a clock that was set back makes it so.
    pub fn bring_forward(&self, now: Timestamp) -> usize {
        let longest = self.terms.load().options.retry_minutes.iter().max().copied().unwrap_or_default();
        let longest = Millis::from(longest).saturating_mul(60_000).max(SET_ASIDE);
        lock(&self.index).bring_forward(now.as_millisecond().saturating_add(longest))
    }

    /// When the next entry of a lane is due.
    pub fn next_due(&self, lane: Lane) -> Option<Timestamp> {
        lock(&self.index).next(lane).map(timestamp)
    }

    /// The open lanes on which something is due, longest waiting first, at most `limit`; and when the next one has something.
    pub fn lanes_due(&self, now: Timestamp, is_open: impl Fn(Lane) -> bool, limit: usize) -> (Vec<Lane>, Option<Timestamp>) {
        let now = now.as_millisecond();
        let (lanes, next) = self.index_at(now).lanes_due(now, is_open, limit);
        (lanes, next.map(timestamp))
    }

    /// What waits on each lane that has anything.
    pub fn stats(&self) -> Vec<Waiting> {
        lock(&self.index).stats()
    }

    /// How many entries there are.
    pub fn waiting(&self) -> usize {
        lock(&self.index).len()
    }

    /// How many there are by whose turn it is.
    pub fn census(&self, now: Timestamp) -> Census {
        lock(&self.index).census(now.as_millisecond())
    }

    /// Entries in order of arrival, after `from`. One whose record is damaged is left out; the log
    /// names it.
    pub fn list(&self, from: Option<QueueId>, limit: usize) -> Result<Vec<Listed>, Fault> {
        let index = lock(&self.index);
        let from = from.map(|id| (index.get(id).map_or(Millis::MIN, |place| place.arrived), id));
        let ids = index.after(from, limit);
        drop(index);
        let mut listed = Vec::with_capacity(ids.len());
        for (_, id) in ids {
            match self.show(id) {
                Ok(entry) => listed.extend(entry),
                Err(fault) => damaged(id, &fault),
            }
        }
        Ok(listed)
    }

    /// One entry.
    pub fn show(&self, id: QueueId) -> Result<Option<Listed>, Fault> {
        let turn = lock(&self.index).get(id).map(|place| place.turn);
        let Some(work::Stored { entry, .. }) = self.read(id)? else { return Ok(None) };
        let waits = match turn {
            Some(index::Turn::Due(at)) => Waits::Until(timestamp(at)),
            Some(index::Turn::Leased(_)) => Waits::UnderWay,
            Some(index::Turn::Held) => Waits::Held,
            None => return Ok(None),
        };
        Ok(Some(Listed {
            id,
            envelope: entry.envelope,
            size: entry.size,
            arrived: timestamp(entry.head.arrived),
            waits,
            attempts: entry.attempts,
            last: entry.last,
        }))
    }

    /// Every slot that an entry names, for [`FileSlots::retain`](crate::store::slots::FileSlots::retain)
    /// at the start, before anything is taken on. With an entry that cannot be read it is a fault:
    /// nobody knows which slot that one needs.
    pub fn slots_in_use(&self) -> Result<Vec<SlotNo>, Fault> {
        let mut slots = Vec::new();
        let mut from = Vec::new();
        loop {
            let page = self.records.scan(entry::PREFIX, &from, spool::PAGE)?;
            for record in &page {
                slots.push(Entry::parse(&record.value).map_err(|damaged| Fault(damaged.0.into()))?.spooled.slot());
            }
            match page.last() {
                Some(last) if page.len() >= spool::PAGE => from = [last.key.as_slice(), &[0]].concat(),
                _ => return Ok(slots),
            }
        }
    }

    /// Overwrites the slots of settled entries, in one batch; tells how many there were. Called
    /// every second or so, off the way of the mail.
    pub fn tidy(&self) -> Result<usize, Fault> {
        self.spool.tidy()
    }

    /// Lets slots and octets of settled entries be while this is held, so that a copy of all of it can be made.
    pub fn quiet(&self) -> impl Drop + '_ {
        self.spool.quiet()
    }

    /// Removes octets that never got an entry; called at the start and every hour or so.
    pub fn sweep(&self, now: Timestamp) -> Result<usize, Fault> {
        self.spool.sweep(timestamp(now.as_millisecond().saturating_sub(ORPHAN_AGE)))
    }

    /// Every entry's place. One whose record is damaged gets a place an hour from now: it is neither
    /// forgotten nor in the way.
    fn read_index(&self, now: Timestamp) -> Result<Index, Fault> {
        let mut index = Index::default();
        let mut from = Vec::new();
        loop {
            let page: Page = match self.records.scan(entry::PREFIX, &from, spool::PAGE) {
                Ok(page) => page.into_iter().map(|record| (record.key, Ok(record.value))).collect(),
                Err(_) => one_by_one(&self.records, &from)?,
            };
            for (key, value) in &page {
                let Some(id) = Entry::id(key) else { continue };
                let entry =
                    value.as_ref().map_err(Fault::clone).and_then(|value| Entry::parse(value).map_err(|damaged| Fault(damaged.0.into())));
                index.put(id, entry.map_or_else(|fault| aside(id, &fault, now), |entry| self.place(&entry)));
            }
            match page.last() {
                Some((last, _)) if page.len() >= spool::PAGE => from = [last.as_slice(), &[0]].concat(),
                _ => return Ok(index),
            }
        }
    }

    /// The index, with no lease in it that has run out.
    fn index_at(&self, now: Millis) -> MutexGuard<'_, Index> {
        let mut index = lock(&self.index);
        index.expire_leases(Instant::now(), now);
        index
    }

    /// Where an entry waits.
    fn place(&self, entry: &Entry) -> Place {
        entry.head.place((self.lanes)(&entry.envelope), &self.terms.load())
    }
}

/// Keys with their values, or why those do not open.
type Page = Vec<(Vec<u8>, Result<Vec<u8>, Fault>)>;

/// A page of records in which at least one does not open.
fn one_by_one(records: &SealedRecords, from: &[u8]) -> Result<Page, Fault> {
    let keys = records.keys(entry::PREFIX, from, spool::PAGE)?;
    let open = |key: Vec<u8>| {
        let value = records.get(&key).and_then(|record| record.ok_or_else(|| Fault("gone".into()))).map(|record| record.value);
        (key, value)
    };
    Ok(keys.into_iter().map(open).collect())
}

fn aside(id: QueueId, fault: &Fault, now: Timestamp) -> Place {
    damaged(id, fault);
    let arrived = now.as_millisecond();
    Place { lane: Lane::default(), arrived, deadline: Millis::MAX, turn: index::Turn::Due(arrived.saturating_add(SET_ASIDE)) }
}

fn damaged(id: QueueId, fault: &Fault) {
    trouble(&Fault(format!("entry {id} is set aside: {fault}")));
}

fn timestamp(millis: Millis) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}

/// Longer than an attempt may take with its turn, its message and all answers to it, so that no two attempts hold one entry.
const LEASE: Duration = Duration::from_secs(2 * 3_600);
/// A record that cannot be used is left where it is for an hour; the others go on.
const SET_ASIDE: Millis = 3_600_000;
/// Octets without an entry may be just about to get one; after this time they will not.
const ORPHAN_AGE: Millis = 3_600_000;
