//! The vocabulary of Internet mail: paths, envelopes, messages.
//!
//! Nothing here waits, reads a clock or opens a file, so every other module may build on it.
//! What a value means is settled when it is made: a [`Mailbox`] that exists is well-formed.
//!
//! RFC 5321 (envelope), RFC 5322 (message), RFC 2045 (body parts).

pub mod admd;
pub mod compose;
pub mod decode;
pub mod dsn;
pub mod envelope;
pub mod formal;
pub mod header;
pub mod mailbox;
pub mod message;
pub mod nature;
pub mod scan;
pub mod sealed;
pub mod status;
pub mod trace;
pub mod xtext;

pub use admd::Admd;
pub use envelope::{BodyType, Envelope, EnvelopeId, Notify, OriginalRecipient, Recipient, RequireTls, Return, ReversePath, Utf8};
pub use header::{Header, HeaderField};
pub use mailbox::{BadMailbox, Domain, Mailbox};
pub use message::{Disposition, MediaType, Message, Part, PartId, TransferEncoding};
pub use scan::Ambiguity;
pub use status::EnhancedStatus;
