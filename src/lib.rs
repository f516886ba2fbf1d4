//! Waxseal, a mail-security gateway: what policy protects leaves as a link into an encrypted store.
//!
//! # Life of a message
//!
//! Each station once, each value by move:
//!
//! ```text
//! net::listen → smtp::server ⇄ smtp::session     octets            → Transaction { Envelope, message }
//! intake.accept(transaction)
//!     policy::inspect    (&Message)                                → Inspection     findings with their places
//!     policy::decide     (&Facts)                                  → Vec<Decision>  one per recipient, with its reasons
//!     transform::Plan    (Vec<Decision>)                           → Plan           recipients treated alike share a Variant
//!     vault::seal        plan.protected(&message)                  → Vec<Link>      parcel durable, still pending
//!     transform::rewrite (plan, &Envelope, &Message, letters)      → Vec<NewEntry>
//! relay.take_on          entries + "the parcels are live"          → Receipt
//!     relay::offer       one entry, while the client waits         → Accepted       the next hop said 250
//!     queue::commit      in all other cases                        → Committed      on stable storage
//! smtp::reply            &Receipt                                  → 250            the only way to say it
//!     ───────────── from here the message is ours to lose ─────────────
//! queue.lease → relay::attempt → queue.settle  (done · later · failed: a DSN in the same commit)
//! ```
//!
//! And of a link:
//!
//! ```text
//! web      request → page + link
//! channel  (link, session, act) → vault::admit → Grant | Denied
//! vault    open(Grant) → stream of plaintext
//! web      → response
//! ```
//!
//! # Layers
//!
//! A module uses only those of lower layers; neighbours do not know each other. `tests/layers.rs`
//! holds this table and fails on an upward or sideways use.
//!
//! | layer | modules |
//! |---|---|
//! | 12 | [`admin`] the operator's commands |
//! | 11 | [`gateway`] builds everything once, starts and drains; the only reader of the clock |
//! | 10 | [`config`] text → the options that each module declares |
//! | 9 | [`web`] request → route → channel → page · [`monitor`] what the operator's machines ask |
//! | 8 | [`channel`] what people do with a link |
//! | 7 | [`intake`] one message's way in |
//! | 6 | [`relay`] one entry's way out |
//! | 5 | [`smtp`] sessions and drivers · [`transform`] plan and rewrite · [`notice`] the mails that we write ourselves |
//! | 4 | [`policy`] rules and policies · [`vault`] parcels · [`queue`] responsibility · [`transport`] the way to a domain's mail servers |
//! | 3 | [`store`] records, blobs, slots · [`net`] listeners, TLS and DNS · [`extract`] attachments to text |
//! | 2 | [`crypto`] · [`event`] · [`words`] |
//! | 1 | [`mail`] the vocabulary · [`secret`] · [`clock`] · [`mistake`] · [`option`] · [`stretch`] · [`failpoint`] |
//!
//! # What must hold
//!
//! * 250 after DATA is said only when every recipient is settled or committed in our queue. A crash may duplicate, never lose.
//! * No error, panic, overrun or ambiguity lets a message out less protected than policy says.
//! * Untouched mail is byte-identical below the one Received field that we add.
#![forbid(unsafe_code)]

pub mod admin;
pub mod channel;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod event;
pub mod extract;
pub mod failpoint;
pub mod gateway;
pub mod intake;
pub mod mail;
pub mod mistake;
pub mod monitor;
pub mod net;
pub mod notice;
pub mod option;
pub mod policy;
pub mod queue;
pub mod relay;
pub mod secret;
pub mod smtp;
pub mod store;
pub mod stretch;
pub mod transform;
pub mod transport;
pub mod vault;
pub mod web;
pub mod words;
