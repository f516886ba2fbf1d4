//! What a parcel is made of.

use jiff::Timestamp;

use crate::mail::Mailbox;

/// 128 random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct ParcelId(pub [u8; 16]);

/// Counted from 0 within a parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct RecipientId(pub u32);

/// Counted from 0 within a parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct ItemId(pub u32);

/// What the link stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    /// Files that anybody with the link may take.
    PublicFiles,
    /// Files behind a factor.
    SecureFiles,
    /// The whole message with its files.
    SecureMessage,
}

/// What must be proved beside holding the link. The order is strictness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Factor {
    /// Nothing.
    None,
    /// A password, mailed on request.
    Password,
}

/// How it may be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The least factor; bound into the wraps.
    pub factor: Factor,
    /// When it ends.
    pub expires: Timestamp,
    /// Downloads of each file by each recipient; `None` is unlimited.
    pub downloads: Option<u32>,
}

/// What an item is for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Role {
    /// The message as plain text.
    Text,
    /// The message as HTML, not yet sanitised.
    Html,
    /// A picture that the HTML refers to by this Content-ID.
    Inline {
        /// Without angle brackets.
        content_id: String,
    },
    /// A file to download.
    File,
    /// The whole message, byte for byte (`message.eml`).
    Raw,
}

/// An item as the manifest has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its number.
    pub id: ItemId,
    /// What it is for.
    pub role: Role,
    /// File name.
    pub name: String,
    /// Declared type.
    pub media_type: String,
    /// Octets.
    pub length: u64,
    /// SHA-256 of the plaintext.
    pub sha256: [u8; 32],
    /// Downloads that this recipient has left; `None` is unlimited.
    pub left: Option<u32>,
}

/// Words of a message that stand outside of its body, and where they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Words {
    /// They stand in the mail that carries the link, and so among the metadata.
    Shown(String),
    /// Policy keeps them out of that mail: sealed with the content, they open with the link alone.
    Hidden(String),
}

impl Words {
    /// The words, where anybody may see them.
    pub fn shown(&self) -> Option<&str> {
        match self {
            Self::Shown(words) => Some(words),
            Self::Hidden(_) => None,
        }
    }

    /// The words, where only the recipient may see them.
    pub fn hidden(&self) -> Option<&str> {
        match self {
            Self::Hidden(words) => Some(words),
            Self::Shown(_) => None,
        }
    }
}

/// What is kept as metadata of a parcel, seen by one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// What the link stands for.
    pub kind: Kind,
    /// The author.
    pub sender: Mailbox,
    /// The author's display name, unless it is hidden.
    pub sender_name: Option<String>,
    /// The message's Message-ID.
    pub message_id: String,
    /// Subject; empty where it is hidden.
    pub subject: String,
    /// Date of the message.
    pub date: Option<Timestamp>,
    /// To and Cc.
    pub visible: Vec<Mailbox>,
    /// When it was sealed.
    pub sealed: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// Its state.
    pub state: State,
}

/// Whether a parcel opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum State {
    /// Sealed; its mail is not committed yet.
    Pending,
    /// Opens.
    Live,
    /// Blocked by the sender; shredded a day later.
    Blocked,
}
