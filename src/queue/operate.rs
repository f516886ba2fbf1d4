//! What an operator does with entries: hold, release, retry, bounce, drop. Each verb takes a few entries and tells
//! what became of them.
//!
//! A standing is changed while nobody settles, so record and index always tell the same. Who has an entry in
//! hand keeps it: a hold then is for what the attempt leaves.

use std::sync::{PoisonError, RwLockWriteGuard};
use std::time::Instant;

use jiff::Timestamp;

use super::entry::{Entry, Head};
use super::index::{Millis, Turn};
use super::settlement::wants;
use super::spool::{self, fault, lock};
use super::{Diagnostic, Fate, LEASE, Outcome, Queue, QueueId, Revoke, SET_ASIDE, absence, damaged, report, revoke};
use crate::clock::{Certainty, Moment};
use crate::event::{Event, emit};
use crate::mail::dsn::Action;
use crate::mail::{Domain, EnhancedStatus, Envelope, Mailbox};
use crate::store::{Fault, SealedRecords, Write};

/// Entries by whom they are from and whom they are for; without either, all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// One of its open recipients at least.
    pub to: Option<Party>,
    /// The sender.
    pub from: Option<Party>,
}

/// Somebody in an envelope, as an operator names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Party {
    /// `<>`: nobody, which is the sender of reports.
    Nobody,
    /// This mailbox.
    Mailbox(Mailbox),
    /// Everybody at this domain.
    Domain(Domain),
}

impl Party {
    /// Parses `ann@example.org`, `example.org` or `<>`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "<>" => Some(Self::Nobody),
            text if text.contains('@') => Mailbox::parse(text).ok().map(Self::Mailbox),
            text => Domain::parse(text).ok().map(Self::Domain),
        }
    }

    fn is(&self, mailbox: Option<&Mailbox>) -> bool {
        match (self, mailbox) {
            (Self::Nobody, mailbox) => mailbox.is_none(),
            (Self::Mailbox(own), mailbox) => Some(own) == mailbox,
            (Self::Domain(own), mailbox) => mailbox.is_some_and(|mailbox| mailbox.domain() == own),
        }
    }
}

impl Selection {
    fn fits(&self, envelope: &Envelope) -> bool {
        let to = |party: &Party| envelope.recipients.iter().any(|recipient| party.is(Some(&recipient.forward_path)));
        self.to.as_ref().is_none_or(to) && self.from.as_ref().is_none_or(|party| party.is(envelope.reverse_path.mailbox()))
    }
}

/// A place in the order of arrival; the entry that it is the place of may be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cursor {
    arrived: Millis,
    id: QueueId,
}

/// What became of the entries that a verb was for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tally {
    /// It was done.
    pub done: usize,
    /// An attempt has them at this moment.
    pub under_way: usize,
    /// They are not in the state that the verb is for.
    pub unfit: usize,
    /// There are none of these.
    pub gone: usize,
    /// Their records cannot be read.
    pub damaged: usize,
    /// Bounced without anybody who may be told.
    pub untold: usize,
}

impl Tally {
    /// Both together.
    pub const fn and(self, other: Self) -> Self {
        Self {
            done: self.done.saturating_add(other.done),
            under_way: self.under_way.saturating_add(other.under_way),
            unfit: self.unfit.saturating_add(other.unfit),
            gone: self.gone.saturating_add(other.gone),
            damaged: self.damaged.saturating_add(other.damaged),
            untold: self.untold.saturating_add(other.untold),
        }
    }
}

/// An operator's word to senders.
#[derive(Debug, Clone)]
pub struct Bounce {
    /// Whose mail it ends; `None` is everybody's.
    pub to: Option<Party>,
    /// Why, as it stands in the report.
    pub reason: String,
}

impl Queue {
    /// Up to `limit` entries after a place, those of them that fit, and where to go on; `None` at the end.
    pub fn select(&self, fitting: &Selection, after: Option<Cursor>, limit: usize) -> (Vec<QueueId>, Option<Cursor>) {
        let page = lock(&self.index).after(after.map(|cursor| (cursor.arrived, cursor.id)), limit);
        let next = page.last().filter(|_| page.len() >= limit).map(|&(arrived, id)| Cursor { arrived, id });
        let ids = page.into_iter().map(|(_, id)| id);
        if *fitting == Selection::default() {
            return (ids.collect(), next);
        }
        let fits = |id: &QueueId| match self.read(*id) {
            Ok(stored) => stored.is_some_and(|stored| fitting.fits(&stored.entry.envelope)),
            Err(fault) => {
                damaged(*id, &fault);
                false
            }
        };
        (ids.filter(fits).collect(), next)
    }

    /// Nobody attempts these any more, nobody hears that they are late, and their lifetime stands, until they are released.
    pub fn hold(&self, ids: &[QueueId], now: Timestamp) -> Result<Tally, Fault> {
        let own = self.terms.load().own(now.as_millisecond());
        self.restand(ids, |head| head.hold(own), Turn::Held)
    }

    /// Makes held entries due at once, with as much of their lifetime left as they had.
    pub fn release(&self, ids: &[QueueId], now: Timestamp) -> Result<Tally, Fault> {
        let millis = now.as_millisecond();
        self.restand(ids, |head| head.release(millis, &self.terms.load()), Turn::Due(millis))
    }

    /// Makes waiting entries due at once; those that are held stay so.
    pub fn retry(&self, ids: &[QueueId], now: Timestamp) -> Tally {
        let mut index = lock(&self.index);
        let mut tally = Tally::default();
        for &id in ids {
            match index.get(id).map(|place| place.turn) {
                Some(Turn::Due(_)) => {
                    index.turn(id, Turn::Due(now.as_millisecond()));
                    tally.done += 1;
                }
                Some(Turn::Leased(_)) => tally.under_way += 1,
                Some(Turn::Held) => tally.unfit += 1,
                None => tally.gone += 1,
            }
        }
        tally
    }

    /// Ends entries as failed: each sender gets a report with the operator's reason in the commit that ends it. One that
    /// an attempt has is left alone, or it might arrive and bounce. The links that died with it are given as by
    /// [`settle`](Self::settle).
    pub fn bounce(&self, ids: &[QueueId], bounce: &Bounce, now: Timestamp) -> Result<(Tally, Vec<Revoke>), Fault> {
        let (mut tally, mut died) = (Tally::default(), vec![]);
        let until = Turn::Leased(Instant::now() + LEASE);
        for &id in ids {
            let taken = lock(&self.index).turn(id, until);
            match taken {
                None => tally.gone += 1,
                Some(Turn::Leased(_)) => tally.under_way += 1,
                Some(Turn::Due(_) | Turn::Held) => died.extend(self.bounce_one(id, bounce, (now, &mut tally))?),
            }
        }
        Ok((tally, died))
    }

    /// One that is in our hands.
    fn bounce_one(&self, id: QueueId, bounce: &Bounce, (now, tally): (Timestamp, &mut Tally)) -> Result<Vec<Revoke>, Fault> {
        let entry = match self.read(id) {
            Ok(Some(stored)) => stored.entry,
            Ok(None) => {
                tally.gone += 1;
                lock(&self.index).remove(id);
                return Ok(vec![]);
            }
            Err(fault) => {
                damaged(id, &fault);
                tally.damaged += 1;
                lock(&self.index).postpone(id, now.as_millisecond().saturating_add(SET_ASIDE));
                return Ok(vec![]);
            }
        };
        let meant: Vec<_> = entry.envelope.recipients.iter().filter(|to| bounce.is_for(&to.forward_path)).collect();
        if meant.is_empty() {
            tally.unfit += 1;
            self.give_back(id);
            return Ok(vec![]);
        }
        let why = Diagnostic { status: BY_OPERATOR, text: bounce.reason.clone(), remote: None };
        let failed = |recipient: &Mailbox| Outcome { recipient: recipient.clone(), fate: Fate::Failed(why.clone()) };
        let outcomes: Vec<Outcome> = meant.iter().map(|to| failed(&to.forward_path)).collect();
        let is_told = meant.iter().any(|to| wants(to, Action::Failed)) && report::addressee(&entry.envelope, &self.admd).is_ok();
        // Nothing is over for those who are not meant.
        let moment = Moment { now, certainty: Certainty::InDoubt };
        let died = self.try_settle(id, &outcomes, moment).inspect_err(|_| self.give_back(id))?;
        emit(&Event::Bounced { id: &id.to_string(), recipients: outcomes.len() });
        tally.done += 1;
        tally.untold += usize::from(!is_told);
        Ok(died)
    }

    /// Its turn is what its record says now: somebody may have held or released it while it was in our hands.
    fn give_back(&self, id: QueueId) {
        let _settling = self.settling.read().unwrap_or_else(PoisonError::into_inner);
        match self.read(id) {
            Ok(Some(stored)) => lock(&self.index).put(id, self.place(&stored.entry)),
            Ok(None) => drop(lock(&self.index).remove(id)),
            // Its lease runs out.
            Err(fault) => damaged(id, &fault),
        }
    }

    /// Removes an entry without any report: the links that die with it, as [`settle`](Self::settle) gives them, or
    /// none where there is no such entry. One that is damaged can be removed too; its slot and its link stay as they are.
    pub fn drop_entry(&self, id: QueueId) -> Result<Option<Vec<Revoke>>, Fault> {
        let _alone = self.alone();
        if lock(&self.index).get(id).is_none() {
            return Ok(None);
        }
        let entry = self.read(id).map(|stored| stored.map(|stored| stored.entry)).unwrap_or_else(|fault| {
            damaged(id, &fault);
            None
        });
        let mut writes = vec![Write::Delete(Entry::key(id))];
        let mut died = vec![];
        if let Some(entry) = &entry {
            writes.extend(self.spool.bury(id, &entry.spooled)?);
            died = revoke::of((id, entry), entry.envelope.recipients.iter().map(|recipient| &recipient.forward_path));
            for revoke in &died {
                writes.push(revoke::note(&self.records, revoke)?);
            }
        }
        self.records.commit(vec![], writes).map_err(fault)?;
        lock(&self.index).remove(id);
        entry.into_iter().for_each(|entry| self.spool.buried(id, entry.spooled));
        Ok(Some(died))
    }

    /// Another standing for these, on stable storage before anybody acts by it.
    fn restand(&self, ids: &[QueueId], change: impl Fn(&mut Head) -> bool, turn: Turn) -> Result<Tally, Fault> {
        let _alone = self.alone();
        let (mut tally, mut writes, mut changed) = (Tally::default(), vec![], vec![]);
        for &id in ids {
            let mut entry = match self.read(id) {
                Ok(Some(stored)) => stored.entry,
                Ok(None) => {
                    tally.gone += 1;
                    continue;
                }
                Err(fault) => {
                    damaged(id, &fault);
                    tally.damaged += 1;
                    continue;
                }
            };
            if change(&mut entry.head) {
                writes.push(self.records.put(Entry::key(id), &entry.write()?));
                changed.push(id);
            } else {
                tally.unfit += 1;
            }
        }
        self.records.commit(vec![], writes).map_err(fault)?;
        for id in changed {
            let before = lock(&self.index).turn(id, turn);
            tally.done += 1;
            tally.under_way += usize::from(matches!(before, Some(Turn::Leased(_))));
            let id = id.to_string();
            emit(&if turn == Turn::Held { Event::Held { id: &id } } else { Event::Released { id: &id } });
        }
        Ok(tally)
    }

    /// Takes deadlines from the records again. One that cannot be read keeps what it has.
    pub(super) fn refresh(&self, page: &[(Millis, QueueId)]) {
        let _alone = self.alone();
        for &(_, id) in page {
            let Ok(Some(stored)) = self.read(id) else { continue };
            let deadline = self.place(&stored.entry).deadline;
            lock(&self.index).set_deadline(id, deadline);
        }
    }

    /// While nobody settles.
    fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.settling.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bounce {
    fn is_for(&self, recipient: &Mailbox) -> bool {
        self.to.as_ref().is_none_or(|party| party.is(Some(recipient)))
    }
}

/// Makes every entry wait for the operator: after a restore nobody knows which of them
/// were relayed since. To be called before the queue is opened. Tells how many there are; one that is damaged
/// is left to be set aside.
pub fn hold_all(records: &SealedRecords) -> Result<usize, Fault> {
    let own = absence::standstill(records)?;
    let mut held = 0;
    let mut from = Vec::new();
    loop {
        let keys = records.keys(super::entry::PREFIX, &from, spool::PAGE)?;
        let mut writes = Vec::new();
        for key in &keys {
            let read = records.get(key).and_then(|record| {
                let record = record.ok_or_else(|| Fault("gone".into()))?;
                Entry::parse(&record.value).map_err(|damaged| Fault(damaged.0.into()))
            });
            match (read, Entry::id(key)) {
                (Ok(mut entry), Some(_)) => {
                    let since = own.unwrap_or(entry.head.arrived);
                    entry.head.hold(since);
                    writes.push(records.put(key.clone(), &entry.write()?));
                }
                (Err(fault), Some(id)) => damaged(id, &fault),
                (_, None) => {}
            }
        }
        held += writes.len();
        records.commit(vec![], writes).map_err(fault)?;
        match keys.last() {
            Some(last) if keys.len() >= spool::PAGE => from = [last.as_slice(), &[0]].concat(),
            _ => return Ok(held),
        }
    }
}

/// RFC 3463 §3.8: delivery not authorized, message refused.
const BY_OPERATOR: EnhancedStatus = EnhancedStatus::new(5, 7, 1);

#[cfg(test)]
mod tests {
    use super::super::entry::tests::{entry, mailbox};
    use super::*;
    use crate::mail::{Recipient, ReversePath};

    #[test]
    fn a_selection_is_by_sender_and_by_any_recipient() {
        let mut envelope = entry(vec![Recipient::new(mailbox("b@example.net")), Recipient::new(mailbox("c@example.com"))]).envelope;
        let party = |text: &str| (!text.is_empty()).then(|| Party::parse(text).unwrap());
        for (from, to, expect) in [
            ("", "", true),
            ("ann@example.org", "", true),
            ("EXAMPLE.org", "example.com", true),
            ("", "b@example.net", true),
            ("", "b@example.com", false),
            ("example.com", "", false),
            ("<>", "", false),
            ("ann@example.org", "elsewhere.example", false),
        ] {
            assert_eq!(Selection { from: party(from), to: party(to) }.fits(&envelope), expect, "{from} {to}");
        }
        envelope.reverse_path = ReversePath::Null;
        assert!(Selection { from: party("<>"), to: None }.fits(&envelope));
        assert_eq!(Party::parse("@example.org"), None);
        assert_eq!(Party::parse("not a domain"), None);
    }
}
