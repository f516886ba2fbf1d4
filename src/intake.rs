//! One message's way in: inspect, decide, plan, seal, rewrite, commit. Nothing else in the gateway
//! makes a [`Receipt`] for mail from outside, and nothing here makes one before the mail is safe.
//!
//! The vault comes before the queue: after a crash in between, a parcel without its mail is swept; a
//! mail without its parcel would be a dead link. The parcel goes live in the very commit that takes
//! the mail on.
//!
//! Any fault on the way refuses the message (451) and leaves it with the client; no error, panic or
//! ambiguity lets a message out less protected than policy says.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::crypto::{aead::Key, derive, random};
use crate::event::{self, Event};
use crate::extract::Extractor;
use crate::mail::{Admd, EnhancedStatus, Mailbox, Message, decode, trace};
use crate::notice::{About, Notices};
use crate::policy::{Decision, Facts, Go, PolicySet, Reason, Shown, Verdict, Wish};
use crate::queue::{Queue, QueueId};
use crate::smtp::{self, ForeignFrom, Receipt, Refusal, Transaction};
use crate::store::{Fault, Write};
use crate::transform::{Frame, Letter, Plan, Unwritable, dkim::Signers};
use crate::vault::{Item, Kind, Link, NewParcel, ParcelId, Role, Sealed, Vault};
use crate::words::Brand;

/// What a message meets on its way in.
pub struct Parts {
    /// Whose mail.
    pub admd: Admd,
    /// How the organisation presents itself.
    pub brand: Brand,
    /// Rules and policies; swapped by a reload.
    pub policies: Arc<ArcSwap<PolicySet>>,
    /// Attachments to text.
    pub extractor: Extractor,
    /// Parcels.
    pub vault: Arc<Vault>,
    /// Responsibility.
    pub queue: Arc<Queue>,
    /// Our own words.
    pub notices: Arc<Notices>,
    /// DKIM keys.
    pub signers: Arc<Signers>,
    /// What is done with mail whose author is not of the house.
    pub foreign_from: ForeignFrom,
    /// Proves that a trace field is ours.
    pub loop_key: Key,
    /// Where to look for free room, and how many octets of it must stay.
    pub room: (PathBuf, u64),
    /// Tells the relay that mail is due.
    pub wake: Arc<dyn Fn() + Send + Sync>,
    /// The time.
    pub clock: Clock,
}

/// The way in.
#[derive(Clone)]
pub struct Intake {
    parts: Arc<Parts>,
    turns: Arc<Semaphore>,
}

impl Intake {
    /// Over its parts.
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts), turns: Arc::new(Semaphore::new(TURNS)) }
    }
}

impl smtp::Intake for Intake {
    async fn accept(&self, transaction: Transaction) -> Result<Receipt, Refusal> {
        // The threads that may block are for relay and pages too: messages that take long must not have all of them.
        let Ok(Ok(turn)) = tokio::time::timeout(TURN_WAIT, Arc::clone(&self.turns).acquire_owned()).await else {
            report(&Refusal::Full);
            return Err(Refusal::Full);
        };
        let parts = Arc::clone(&self.parts);
        // Inspection and sealing are work for a core, not for the threads that serve sockets.
        let settled = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            parts.accept(&transaction)
        })
        .await;
        let result = settled.unwrap_or_else(|_| Err(Refusal::Unavailable(Fault(String::from("a step of intake panicked")))));
        if let Err(refusal) = &result {
            report(refusal);
        }
        result
    }

    fn has_room(&self, size: u64) -> bool {
        let (path, reserve) = &self.parts.room;
        // What cannot be asked is no reason to refuse: the write itself will tell.
        let is_enough = |room: &rustix::fs::StatVfs| room.f_bavail.saturating_mul(room.f_frsize) >= size.saturating_add(*reserve);
        rustix::fs::statvfs(path).as_ref().map_or(true, is_enough)
    }
}

impl Parts {
    fn accept(&self, transaction: &Transaction) -> Result<Receipt, Refusal> {
        let envelope = &transaction.envelope;
        let message = Message::parse(transaction.message.bytes.clone());
        self.refuse_loops(&message)?;
        let author = author(&message, transaction, (&self.admd, self.foreign_from))?;
        let (decisions, wish) = self.decide(author, &message, transaction)?;
        let plan = Plan::new(decisions);
        let (letters, go_live) = self.seal(&plan, &message, transaction)?;
        let secured = letters.iter().map(Vec::len).sum();
        let trace = self.trace();
        let entries = plan.rewrite(envelope, &message, letters, &self.frame(&trace, transaction, &wish))?;
        let committed = self.queue.commit(entries, go_live, self.clock.now())?;
        (self.wake)();
        accepted((&trace, committed.ids()), transaction, secured);
        Ok(Receipt::Queued(committed))
    }

    /// Mail that came through here before is in a loop: our id and proof stand in its trace.
    fn refuse_loops(&self, message: &Message) -> Result<(), Refusal> {
        let ours = trace::ids(message.header()).iter().any(|id| id.split_once('.').is_some_and(|(id, proof)| self.proof(id) == proof));
        if ours {
            return Err(malformed(EnhancedStatus::new(5, 4, 6), "routing loop: this message was here before"));
        }
        Ok(())
    }

    fn decide(&self, author: Author, message: &Message, transaction: &Transaction) -> Result<(Vec<Decision>, Wish), Refusal> {
        let (envelope, now) = (&transaction.envelope, self.clock.certain());
        if author == Author::Foreign {
            // Wishes count only from inside, and what is not ours is not ours to rewrite.
            return Ok((envelope.recipients.iter().cloned().map(Decision::untouched).collect(), Wish::default()));
        }
        let wish = Wish::of(message, envelope, &self.admd);
        if let Some(advice) = &wish.malformed {
            return Err(Refusal::Forbidden { because: advice.clone() });
        }
        let policies = self.policies.load();
        let inspection = policies.inspect(message, &self.extractor);
        let decisions = policies.decide(&Facts { admd: &self.admd, envelope, message, inspection: &inspection, wish: &wish, now });
        match decisions.iter().find(|decision| decision.verdict.go == Go::Reject) {
            Some(rejected) => Err(Refusal::Forbidden { because: reason(rejected) }),
            None => Ok((decisions, wish)),
        }
    }

    /// Seals what the plan protects: the letters of each parcel, and the writes that make them live.
    fn seal(&self, plan: &Plan, message: &Message, transaction: &Transaction) -> Result<(Vec<Vec<Letter>>, Vec<Write>), Refusal> {
        // What ends one day counts from the time that will end it.
        let now = self.clock.certain();
        let mut letters = Vec::new();
        let mut go_live = Vec::new();
        for (parcel, verdict) in plan.protected(message, &transaction.envelope, now) {
            let head = Head::of(&parcel, verdict);
            let sealed = self.vault.seal(parcel, now)?;
            letters.push(self.letters(&head, &sealed));
            go_live.extend(sealed.go_live);
        }
        Ok((letters, go_live))
    }

    fn letters(&self, head: &Head, sealed: &Sealed) -> Vec<Letter> {
        let files: Vec<&Item> = sealed.items.iter().filter(|item| matches!(item.role, Role::File | Role::Raw)).collect();
        sealed.links.iter().map(|link| self.letter(head, (sealed.parcel, &files), link)).collect()
    }

    fn letter(&self, head: &Head, (parcel, files): (ParcelId, &[&Item]), link: &Link) -> Letter {
        let about = About {
            kind: head.kind,
            link,
            sender: &head.sender,
            subject: head.subject.as_deref(),
            files: files.iter().map(|file| (head.file_names.then_some(file.name.as_str()), file.length)).collect(),
        };
        let rendered = match head.kind {
            Kind::PublicFiles | Kind::SecureFiles => self.notices.link_block(&about),
            Kind::SecureMessage => self.notices.secure_message(&about),
        };
        Letter { parcel, link: link.clone(), text: rendered.text, html: rendered.html, subject: rendered.subject }
    }

    /// The id of our trace field: what the log and the mail have in common, and the loop proof.
    fn trace(&self) -> String {
        let id = QueueId(u64::from_be_bytes(random::array())).to_string();
        format!("{id}.{}", self.proof(&id))
    }

    fn frame<'a>(&'a self, id: &'a str, transaction: &'a Transaction, wish: &'a Wish) -> Frame<'a> {
        let recipient = match transaction.envelope.recipients.as_slice() {
            [only] => Some(&only.forward_path),
            _ => None,
        };
        let peer = &transaction.peer;
        let received = trace::Received { helo: &peer.helo, peer: peer.address, with: peer.with, id, recipient };
        Frame {
            admd: &self.admd,
            received: trace::received(&received, &self.admd, transaction.at),
            signers: &self.signers,
            wish,
            seed: random::array(),
            now: transaction.at,
        }
    }

    /// What only we can put behind an id: 60 bits, enough against chance and against forgers.
    fn proof(&self, id: &str) -> String {
        let mac = derive::mac(&self.loop_key, "loop", &[id.as_bytes()]);
        data_encoding::BASE32_NOPAD.encode(&mac).to_lowercase().chars().take(12).collect()
    }
}

/// Whose words a message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Author {
    /// Of the house: policy decides.
    Ours,
    /// Not of the house: relayed as it is, never rewritten, never signed.
    Foreign,
}

/// Who speaks: exactly one author, of the house, and nobody else than AUTH has proved. Foreign authors
/// may pass untouched where that is allowed; but a From field is easily written, so mail that comes out
/// of the house in any other respect is the house's whatever stands there: a reverse-path of ours, none
/// at all, an author of ours beside others.
fn author(message: &Message, transaction: &Transaction, (admd, foreign_from): (&Admd, ForeignFrom)) -> Result<Author, Refusal> {
    let from = Named::by(message, "From");
    let of_the_house = |mailbox: &Mailbox| admd.is_internal(mailbox);
    if let Some(identity) = &transaction.peer.identity {
        let sender = Named::by(message, "Sender");
        let own = from.mailboxes.iter().chain(&sender.mailboxes).all(|mailbox| identity.may_send_as(mailbox));
        return match from.is_one() && own && sender.malformed == 0 {
            true => Ok(Author::Ours),
            false => Err(malformed(FORBIDDEN, "From and Sender must be addresses of the authenticated user")),
        };
    }
    if from.is_one() && from.mailboxes.iter().all(of_the_house) {
        return Ok(Author::Ours);
    }
    let house = transaction.envelope.reverse_path.mailbox().is_none_or(of_the_house) || from.mailboxes.iter().any(of_the_house);
    match foreign_from {
        ForeignFrom::Pass if house => Ok(Author::Ours),
        ForeignFrom::Pass => Ok(Author::Foreign),
        ForeignFrom::Reject if from.is_one() => Err(malformed(FORBIDDEN, "the From address is not of a domain that this gateway serves")),
        ForeignFrom::Reject => Err(malformed(EnhancedStatus::new(5, 6, 0), "the message needs exactly one From field with one address")),
    }
}

/// Who is named in the address fields of one name.
struct Named {
    fields: usize,
    mailboxes: Vec<Mailbox>,
    malformed: usize,
}

impl Named {
    fn by(message: &Message, field: &str) -> Self {
        let mut named = Self { fields: 0, mailboxes: Vec::new(), malformed: 0 };
        for field in message.header().all(field) {
            let found = decode::addresses(&field.value());
            named.fields += 1;
            named.malformed += found.malformed;
            named.mailboxes.extend(found.mailboxes.into_iter().map(|(_, mailbox)| mailbox));
        }
        named
    }

    /// One field with one address, which every reader reads alike.
    const fn is_one(&self) -> bool {
        self.fields == 1 && self.mailboxes.len() == 1 && self.malformed == 0
    }
}

/// What a letter says of its parcel, taken before the parcel is sealed.
struct Head {
    kind: Kind,
    sender: String,
    subject: Option<String>,
    file_names: bool,
}

impl Head {
    fn of(parcel: &NewParcel<'_>, verdict: &Verdict) -> Self {
        Self {
            kind: parcel.kind,
            sender: parcel.sender_name.clone().unwrap_or_else(|| parcel.sender.to_string()),
            subject: (verdict.subject == Shown::Kept).then(|| parcel.subject.clone()),
            file_names: verdict.file_names == Shown::Kept,
        }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Unavailable(fault)
    }
}

impl From<Unwritable> for Refusal {
    fn from(unwritable: Unwritable) -> Self {
        malformed(EnhancedStatus::new(5, 6, 0), &unwritable.0)
    }
}

fn malformed(status: EnhancedStatus, because: &str) -> Refusal {
    Refusal::Malformed { status, because: because.to_owned() }
}

/// The first policy's own words, or its name.
fn reason(decision: &Decision) -> String {
    decision
        .because
        .iter()
        .find_map(|reason| match reason {
            Reason::Policy { name, text, .. } => Some(text.clone().unwrap_or_else(|| format!("policy: {name}"))),
            Reason::RaisedFor(_) | Reason::Wished(_) | Reason::NotGranted(_) => None,
        })
        .unwrap_or_else(|| String::from("policy forbids this message"))
}

fn accepted((trace, entries): (&str, &[QueueId]), transaction: &Transaction, secured: usize) {
    let entries = entries.iter().map(QueueId::to_string).collect::<Vec<_>>().join(",");
    let size = u64::try_from(transaction.message.bytes.len()).unwrap_or(u64::MAX);
    event::emit(&Event::Accepted { trace, entries: &entries, size, recipients: transaction.envelope.recipients.len(), secured });
}

fn report(refusal: &Refusal) {
    match refusal {
        // The reason of a policy may quote its author's words, so the log gets the class alone.
        Refusal::Forbidden { .. } => event::emit(&Event::Refused { status: "5.7.1", because: "policy" }),
        Refusal::Malformed { status, because } => event::emit(&Event::Refused { status: &status.to_string(), because }),
        Refusal::Unavailable(fault) => event::emit(&Event::Trouble { place: "intake", fault: &fault.0 }),
        Refusal::Full => event::emit(&Event::Refused { status: "4.3.1", because: "no room" }),
    }
}

/// RFC 3463 §3.8: delivery not authorised.
const FORBIDDEN: EnhancedStatus = EnhancedStatus::new(5, 7, 1);
/// Messages that are looked into at once: a quarter of the threads that may block.
const TURNS: usize = 128;
/// Shorter than clients wait for the reply to the dot.
const TURN_WAIT: Duration = Duration::from_secs(240);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{BodyType, Domain, Envelope, Recipient, ReversePath, Utf8};
    use crate::smtp::users::Identity;

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).unwrap()
    }

    /// What becomes of a message with this reverse-path and header; `user` is who AUTH proved.
    fn speaks(foreign_from: ForeignFrom, (reverse_path, user): (&str, Option<&str>), header: &str) -> Option<Author> {
        let domains = vec![Domain::parse("example.org").unwrap()];
        let admd = Admd { domains, hostname: Domain::parse("gate.example.org").unwrap(), postmaster: mailbox("postmaster@example.org") };
        let octets = bytes::Bytes::from(format!("{}\r\n\r\ntext\r\n", header.replace('\n', "\r\n")));
        let message = Message::parse(octets.clone());
        let envelope = Envelope {
            reverse_path: Mailbox::parse(reverse_path).map_or(ReversePath::Null, ReversePath::Mailbox),
            recipients: vec![Recipient::new(mailbox("bob@example.net"))],
            ret: None,
            envelope_id: None,
            body: BodyType::SevenBit,
            utf8: Utf8::No,
        };
        let identity = user.map(|user| Identity::new(user.to_owned(), vec![mailbox(user), mailbox("sales@example.org")]));
        let peer = smtp::Peer { address: std::net::Ipv4Addr::LOCALHOST.into(), helo: "client".into(), with: "ESMTP", identity };
        let message_in = smtp::Received { bytes: octets, permit: None };
        let transaction = Transaction { envelope, message: message_in, peer, at: jiff::Timestamp::UNIX_EPOCH };
        author(&message, &transaction, (&admd, foreign_from)).ok()
    }

    #[test]
    fn a_user_writes_in_the_own_name_whatever_passes_otherwise() {
        let ann = ("ann@example.org", Some("ann@example.org"));
        for (header, expect) in [
            ("From: Ann <ann@example.org>", Some(Author::Ours)),
            ("From: ANN@example.org\nSender: sales@example.org", Some(Author::Ours)),
            ("From: sales@example.org", Some(Author::Ours)),
            ("From: ceo@example.org", None),
            ("From: ann@example.org\nSender: ceo@example.org", None),
            ("From: ann@example.org\nFrom: ann@example.org", None),
            ("From: eve@elsewhere.example", None),
            ("X: none", None),
        ] {
            for foreign_from in [ForeignFrom::Reject, ForeignFrom::Pass] {
                assert_eq!(speaks(foreign_from, ann, header), expect, "{foreign_from:?} {header}");
                assert_eq!(speaks(foreign_from, ("", ann.1), header), expect, "null reverse-path, {foreign_from:?} {header}");
            }
        }
    }

    #[test]
    fn what_passes_as_foreign_has_nothing_of_the_house() {
        for (reverse_path, header, expect) in [
            ("eve@elsewhere.example", "From: eve@elsewhere.example", Author::Foreign),
            ("eve@elsewhere.example", "X: none", Author::Foreign),
            ("", "From: mailer-daemon@elsewhere.example", Author::Ours),
            ("srs0=x=eve@example.org", "From: eve@elsewhere.example", Author::Ours),
            ("ann@example.org", "From: ann@example.org", Author::Ours),
            ("eve@elsewhere.example", "From: ann@example.org", Author::Ours),
            ("ann@example.org", "X: none", Author::Ours),
            ("eve@elsewhere.example", "From: ann@example.org, eve@elsewhere.example", Author::Ours),
            ("eve@elsewhere.example", "From: eve@elsewhere.example\nFrom: ann@example.org", Author::Ours),
        ] {
            assert_eq!(speaks(ForeignFrom::Pass, (reverse_path, None), header), Some(expect), "{reverse_path} {header}");
        }
    }
}
