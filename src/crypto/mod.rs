//! Seal, wrap, derive; tokens, passwords, codes. All of it by well-kept crates; what is ours
//! is which of them, with which labels, in which order.
//!
//! XChaCha20-Poly1305 seals, HKDF-SHA256 derives, Argon2id slows human passwords, HMAC-SHA256
//! makes codes and blind indexes. Randomness comes from the system alone; if there is none the
//! process ends.

pub mod aead;
pub mod code;
pub mod derive;
pub mod link;
pub mod password;
pub mod random;
pub mod ring;
pub mod rotation;
pub mod stream;

pub use link::{LinkId, LinkSecret};
pub use ring::{Kek, KeyRing};

/// Sealed octets that do not open: wrong key, wrong place, or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;
