//! Links that died with their mail: noted in the commit that settles the entry, until they are taken back.
//!
//! A stop between that commit and the vault's changes nothing: the note is found again at the next start.

use super::spool::{PAGE, fault, trouble};
use super::{Carries, Entry, Queue, QueueId};
use crate::crypto::random;
use crate::mail::Mailbox;
use crate::store::{Fault, SealedRecords, Write};

/// A link whose mail failed for good or was dropped: nobody has it, so nobody shall be able to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoke {
    /// The parcel.
    pub parcel: [u8; 16],
    /// Whose link.
    pub recipient: Mailbox,
    /// The key of its note.
    note: Vec<u8>,
}

impl Queue {
    /// What is still to be taken back; looked up at the start and every hour or so.
    pub fn owed(&self) -> Result<Vec<Revoke>, Fault> {
        let mut owed = Vec::new();
        for key in self.records.keys(NOTE, &[], PAGE)? {
            match read(&self.records, key) {
                Ok(revoke) => owed.extend(revoke),
                Err(fault) => trouble(&fault),
            }
        }
        Ok(owed)
    }

    /// It was taken back.
    pub fn revoked(&self, revoke: &Revoke) -> Result<(), Fault> {
        self.records.commit(vec![], vec![Write::Delete(revoke.note.clone())]).map_err(fault)
    }
}

/// What is taken back when these recipients do not get an entry.
pub(super) fn of<'a>(entry: (QueueId, &Entry), recipients: impl Iterator<Item = &'a Mailbox>) -> Vec<Revoke> {
    let (id, Entry { carries: Carries::Link(parcel), .. }) = entry else { return vec![] };
    let revoke = |recipient: &Mailbox| Revoke {
        parcel: *parcel,
        recipient: recipient.clone(),
        note: [NOTE, &id.0.to_be_bytes(), &random::array::<8>()].concat(),
    };
    recipients.map(revoke).collect()
}

/// The write that notes it.
pub(super) fn note(records: &SealedRecords, revoke: &Revoke) -> Result<Write, Fault> {
    let value = postcard::to_allocvec(&(revoke.parcel, revoke.recipient.to_string())).map_err(|error| Fault(error.to_string()))?;
    Ok(records.put(revoke.note.clone(), &value))
}

fn read(records: &SealedRecords, note: Vec<u8>) -> Result<Option<Revoke>, Fault> {
    let Some(record) = records.get(&note)? else { return Ok(None) };
    let unreadable = || Fault("a note of a link that is to be taken back is not readable".into());
    let (parcel, recipient): ([u8; 16], String) = postcard::from_bytes(&record.value).map_err(|_| unreadable())?;
    Ok(Some(Revoke { parcel, recipient: Mailbox::parse(&recipient).map_err(|_| unreadable())?, note }))
}

/// Links to be taken back.
const NOTE: &[u8] = b"q/r/";
