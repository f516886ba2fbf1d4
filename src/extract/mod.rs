//! Any attachment to text and structure, the dangerous formats in a worker process.
//!
//! Plain text, CSV and HTML without other files in them are read here; docx, xlsx, pptx, pdf, zip and nested mail go to
//! `waxseal extract-worker`: a child with resource limits, no keys and no network, that gets one
//! attachment on standard input and answers with bounded frames on standard output.

use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;

mod archive;
mod budget;
pub mod data;
mod frame;
pub mod hidden;
pub mod html;
mod kind;
mod letter;
mod office;
mod pdf;
mod plain;
mod pool;
mod said;
mod sheet;
mod walk;
mod worker;
mod xml;

/// Text with the place it was found in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// From the attachment inwards: `list.xlsx`, `Sheet1!A1:F20`. Empty for the attachment itself.
    pub place: Vec<String>,
    /// The text.
    pub text: String,
}

/// What came out of one attachment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extracted {
    /// All text, in reading order.
    pub passages: Vec<Passage>,
    /// Names of files inside (archives, embedded objects).
    pub names: Vec<Vec<String>>,
    /// True types met, `kind/subtype`, outermost first.
    pub types: Vec<String>,
    /// What could not be looked into; empty means: everything was.
    pub unread: Vec<Unread>,
}

/// Something that carries no text, or could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// As in [`Passage::place`].
    pub place: Vec<String>,
    /// Why.
    pub why: Why,
}

/// Why there is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// Understood, carries no text: a picture, sound, a scan.
    Opaque,
    /// Behind a password.
    Encrypted,
    /// Not what it says it is.
    Damaged,
    /// A format that we do not read.
    Unknown,
    /// Too deep, too many, too large, too long.
    OverBudget,
}

/// The pool of workers.
pub struct Extractor {
    pool: pool::Pool,
}

impl Extractor {
    /// A pool that starts `program extract-worker` as it needs them, at most `workers` at once.
    pub fn new(program: std::path::PathBuf, workers: usize) -> Self {
        Self { pool: pool::Pool::new(program, workers) }
    }

    /// Text of one attachment. Blocks; never fails: what goes wrong is an [`Unread`].
    pub fn extract(&self, name: &str, media_type: &str, content: &Bytes) -> Extracted {
        self.timed(name, media_type, content).0
    }

    /// The same, with the time that a worker took for it; waiting for one is not its fault.
    fn timed(&self, name: &str, media_type: &str, content: &Bytes) -> (Extracted, Duration) {
        let short = |text: &str| text.chars().take(NAME_MAX).collect::<String>();
        let job = frame::Job { number: 0, name: short(name), declared: short(media_type).to_ascii_lowercase(), content: content.clone() };
        match worker::read_plain(&job) {
            Some(found) => (found, Duration::ZERO),
            None => self.pool.run(job),
        }
    }

    /// One message's files: together they get no more time than [`SITTING_MAX`], however many they are.
    pub const fn sitting(&self) -> Sitting<'_> {
        Sitting { extractor: self, spent: Cell::new(Duration::ZERO) }
    }

    /// Worker processes alive now.
    pub fn workers(&self) -> usize {
        self.pool.running()
    }
}

/// The files of one message, one after the other.
pub struct Sitting<'e> {
    extractor: &'e Extractor,
    spent: Cell<Duration>,
}

impl Sitting<'_> {
    /// As [`Extractor::extract`], as long as there is time left for this message.
    pub fn extract(&self, name: &str, media_type: &str, content: &Bytes) -> Extracted {
        if self.spent.get() >= SITTING_MAX {
            return pool::lost(Why::OverBudget);
        }
        let (found, took) = self.extractor.timed(name, media_type, content);
        self.spent.set(self.spent.get().saturating_add(took));
        found
    }
}

/// The worker's main: limits first, then jobs from standard input until it ends.
pub fn worker() -> std::process::ExitCode {
    worker::run()
}

/// A name is a hint for the kind of text; nobody needs more of it.
const NAME_MAX: usize = 1024;
/// What all files of one message may take of a worker: twice its processor time, for a machine with other work.
const SITTING_MAX: Duration = Duration::from_secs(40);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_whose_time_is_spent_is_not_read_and_never_clean() {
        let extractor = Extractor::new("/nonexistent".into(), 1);
        let sitting = Sitting { extractor: &extractor, spent: Cell::new(SITTING_MAX) };
        let unread = sitting.extract("a.txt", "text/plain", &Bytes::from("text")).unread;
        assert_eq!(unread, [Unread { place: Vec::new(), why: Why::OverBudget }]);
        assert!(extractor.sitting().extract("a.txt", "text/plain", &Bytes::from("text")).unread.is_empty());
    }
}
