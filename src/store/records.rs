//! Ordered keys, optimistic checks, one atomic commit that is on stable storage when it returns.

use super::Fault;

/// A condition on one key that must hold when the commit is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// The key is absent.
    Absent(Vec<u8>),
    /// The key is there with this version.
    Version(Vec<u8>, u64),
}

/// A change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets the value; its version becomes one more than it was (1 at first).
    Put(Vec<u8>, Vec<u8>),
    /// Removes the key if it is there.
    Delete(Vec<u8>),
}

/// A record as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
    /// How often it was written.
    pub version: u64,
}

/// Why a commit did not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// A check did not hold; nothing was written. Read again and decide again.
    Check,
    /// The store has trouble; whether it was written is unknown until it is read back.
    Fault(Fault),
}

impl From<Fault> for Conflict {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A record engine.
pub trait Records: Send + Sync {
    /// One record.
    fn get(&self, key: &[u8]) -> Result<Option<Record>, Fault>;

    /// Up to `limit` records whose key starts with `prefix` and is at or after `from` (a whole key), in key order.
    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Record>, Fault>;

    /// Applies all writes if all checks hold, durably, or nothing.
    fn commit(&self, checks: Vec<Check>, writes: Vec<Write>) -> Result<(), Conflict>;

    /// As [`commit`](Self::commit), for what nobody waits for: it may take some milliseconds longer, to
    /// share an fsync with what somebody does wait for.
    fn commit_unhurried(&self, checks: Vec<Check>, writes: Vec<Write>) -> Result<(), Conflict> {
        self.commit(checks, writes)
    }

    /// All records as they are at this moment; what is written later is not in it.
    fn snapshot(&self) -> Result<Snapshot, Fault> {
        Err(Fault("this record store has its own backup".to_owned()))
    }
}

/// Records of one moment: to be written into a new file whenever there is time, while the store goes on.
pub type Snapshot = Box<dyn FnOnce(&std::path::Path) -> Result<(), Fault> + Send>;
