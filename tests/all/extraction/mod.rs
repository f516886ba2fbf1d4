//! Attachments of every kind through a real worker process: what is found, where, and what is said when nothing can be.

mod archives;
mod bombs;
mod documents;
pub mod make;
mod pdfs;
mod workers;

use bytes::Bytes;
use waxseal::extract::{Extracted, Extractor, Why};

/// The binary under test as worker, two at most.
pub fn extractor() -> Extractor {
    Extractor::new(env!("CARGO_BIN_EXE_waxseal").into(), 2)
}

pub fn extract(name: &str, content: Vec<u8>) -> Extracted {
    extractor().extract(name, "application/octet-stream", &Bytes::from(content))
}

/// All text, a passage a line.
pub fn text(found: &Extracted) -> String {
    found.passages.iter().map(|passage| passage.text.as_str()).collect::<Vec<_>>().join("\n")
}

pub fn whys(found: &Extracted) -> Vec<Why> {
    found.unread.iter().map(|unread| unread.why).collect()
}
