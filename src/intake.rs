//! One message's way in: inspect, decide, plan, seal, rewrite; then the relay takes it on, with the next hop's
//! word or a commit in the queue. Nothing else in the gateway asks for a [`Receipt`] for mail from outside.
//!
//! The vault comes before the mail: after a crash in between, a parcel without its mail is swept; a
//! mail without its parcel would be a dead link. The parcel goes live in the very commit that takes
//! the mail on, or before the next hop may have it.
//!
//! Any fault on the way refuses the message (451) and leaves it with the client; no error, panic or
//! ambiguity lets a message out less protected than policy says.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::crypto::{aead::Key, derive, random};
use crate::event::meter::{Step, decided};
use crate::event::{self, Event};
use crate::extract::Extractor;
use crate::failpoint;
use crate::mail::{Admd, EnhancedStatus, Envelope, Mailbox, Message, RequireTls, decode, trace};
use crate::notice::{Head, Notices};
use crate::policy::{Decision, Facts, Go, PolicySet, Reason, Wish};
use crate::queue::QueueId;
use crate::relay::{Made, Relay};
use crate::smtp::rights::Mark;
use crate::smtp::sender::Senders;
use crate::smtp::users::Identity;
use crate::smtp::{self, ForeignFrom, Receipt, Refusal, TraceClient, Transaction};
use crate::store::{Fault, Write};
use crate::transform::{Frame, Letter, Plan, Unwritable, dkim::Signers};
use crate::vault::{Item, Role, Sealed, Vault};
use crate::words::Brand;

/// What a message meets on its way in.
pub struct Parts {
    /// What stands before policy.
    pub threshold: Threshold,
    /// How the organisation presents itself.
    pub brand: Brand,
    /// Rules and policies; swapped by a reload.
    pub policies: Arc<ArcSwap<PolicySet>>,
    /// Attachments to text.
    pub extractor: Extractor,
    /// Parcels.
    pub vault: Arc<Vault>,
    /// Who takes responsibility.
    pub relay: Arc<Relay>,
    /// How much each sender has sent lately.
    pub senders: Arc<Senders>,
    /// Our own words.
    pub notices: Arc<Notices>,
    /// DKIM keys.
    pub signers: Signers,
    /// What leaves the house about who gave us a message.
    pub trace_client: TraceClient,
    /// Where to look for free room, and how many octets of it must stay.
    pub room: (PathBuf, u64),
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
        let result = self.settle(transaction).await;
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

impl Intake {
    async fn settle(&self, transaction: Transaction) -> Result<Receipt, Refusal> {
        let verified = self.verified(&transaction.envelope).await;
        // The memory permit of the message stays with it until it is settled.
        let (transaction, made, secured) = self.make(transaction, verified).await?;
        let id = made.id.clone();
        let receipt = self.parts.relay.take_on(made).await?;
        accepted((&id, &receipt), &transaction, secured);
        Ok(receipt)
    }

    /// To whom the way is proven, where policy counts on that.
    async fn verified(&self, envelope: &Envelope) -> Vec<Mailbox> {
        if self.parts.policies.load().counts_on_tls() { self.parts.relay.verified(envelope).await } else { vec![] }
    }

    /// What becomes of a message that was let go for a way that is not proven. Who speaks was settled when it came in, and its
    /// wishes are gone; it comes from ourselves.
    pub fn decide_anew(&self, envelope: Envelope, message: bytes::Bytes) -> Result<Made, Refusal> {
        let parts = &self.parts;
        let helo = parts.threshold.admd.hostname.to_string();
        let peer = smtp::Peer { address: Ipv4Addr::LOCALHOST.into(), helo, with: "ESMTP", identity: None, marks: None };
        let message = smtp::Received { bytes: message, permit: None };
        let transaction =
            Transaction { envelope: Envelope { require_tls: RequireTls::No, ..envelope }, message, peer, at: parts.clock.now() };
        let (message, wish) = (Message::parse(transaction.message.bytes.clone()), Wish::default());
        let decisions = parts.decide(&message, &transaction, (&wish, &[]))?;
        Ok(parts.write(decisions, (&message, &wish), &transaction)?.0)
    }

    /// Inspection and sealing are work for a core, not for the threads that serve sockets.
    async fn make(&self, transaction: Transaction, verified: Vec<Mailbox>) -> Result<(Transaction, Made, usize), Refusal> {
        // The threads that may block are for relay and pages too: messages that take long must not have all of them.
        let Ok(Ok(turn)) = tokio::time::timeout(TURN_WAIT, Arc::clone(&self.turns).acquire_owned()).await else {
            return Err(Refusal::Full);
        };
        let parts = Arc::clone(&self.parts);
        let made = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let (made, secured) = parts.make(&transaction, &verified)?;
            Ok((transaction, made, secured))
        });
        made.await.unwrap_or_else(|_| Err(Refusal::Unavailable(Fault(String::from("a step of intake panicked")))))
    }
}

impl Parts {
    /// What leaves, and how many of its recipients get a link.
    fn make(&self, transaction: &Transaction, verified: &[Mailbox]) -> Result<(Made, usize), Refusal> {
        failpoint::reach("intake.inspect");
        let envelope = &transaction.envelope;
        let message = Message::parse(transaction.message.bytes.clone());
        if let Some(marks) = &transaction.peer.marks {
            self.threshold.prove(&message, marks)?;
        }
        let (decisions, wish) = match self.threshold.admit(&message, envelope, transaction.peer.identity.as_ref())? {
            Admitted::Ours(wish) => {
                self.senders.count(&sender(&message, transaction), envelope.recipients.len(), transaction.at)?;
                (self.decide(&message, transaction, (&wish, verified))?, wish)
            }
            // Wishes count only from inside, and what is not ours is not ours to rewrite.
            Admitted::Foreign => (envelope.recipients.iter().cloned().map(Decision::untouched).collect(), Wish::default()),
        };
        self.write(decisions, (&message, &wish), transaction)
    }

    fn write(
        &self,
        decisions: Vec<Decision>,
        (message, wish): (&Message, &Wish),
        transaction: &Transaction,
    ) -> Result<(Made, usize), Refusal> {
        let plan = Plan::new(decisions);
        let (letters, go_live) = self.seal(&plan, message, transaction)?;
        failpoint::reach("intake.sealed");
        let secured = letters.iter().map(Vec::len).sum();
        let id = self.trace();
        let entries = Step::Rewrite.time(|| plan.rewrite(&transaction.envelope, message, letters, &self.frame(&id, transaction, wish)))?;
        Ok((Made { entries, go_live, id }, secured))
    }

    fn decide(
        &self,
        message: &Message,
        transaction: &Transaction,
        (wish, verified): (&Wish, &[Mailbox]),
    ) -> Result<Vec<Decision>, Refusal> {
        let (admd, envelope, now) = (&self.threshold.admd, &transaction.envelope, self.clock.certain());
        let policies = self.policies.load();
        let inspection = Step::Inspect.time(|| policies.inspect(message, &self.extractor));
        let facts = Facts { admd, envelope, message, inspection: &inspection, wish, verified, now };
        let decisions = Step::Decide.time(|| policies.decide(&facts));
        decisions.iter().for_each(|decision| decided(decision.verdict.protection.word()));
        rejected(&decisions).map_or(Ok(decisions), Err)
    }

    /// Seals what the plan protects: the letters of each parcel, and the writes that make them live.
    fn seal(&self, plan: &Plan, message: &Message, transaction: &Transaction) -> Result<(Vec<Vec<Letter>>, Vec<Write>), Refusal> {
        // What ends one day counts from the time that will end it.
        let now = self.clock.certain();
        let mut letters = Vec::new();
        let mut go_live = Vec::new();
        for (parcel, verdict) in plan.protected(message, &transaction.envelope, now) {
            let head = Head::of(&parcel, verdict);
            let sealed = Step::Seal.time(|| self.vault.seal(parcel, now))?;
            letters.push(self.letters(&head, &sealed));
            go_live.extend(sealed.go_live);
        }
        Ok((letters, go_live))
    }

    fn letters(&self, head: &Head, sealed: &Sealed) -> Vec<Letter> {
        let files = sealed.items.iter().filter(|item| matches!(item.role, Role::File | Role::Raw));
        let files: Vec<(&str, u64)> = files.map(|Item { name, length, .. }| (name.as_str(), *length)).collect();
        let letter = |link| {
            let rendered = self.notices.letter(head, &files, link);
            Letter { parcel: sealed.parcel, link: link.clone(), text: rendered.text, html: rendered.html, subject: rendered.subject }
        };
        sealed.links.iter().map(letter).collect()
    }

    /// The id of our trace field: what the log and the mail have in common, and the loop proof.
    fn trace(&self) -> String {
        let id = QueueId(u64::from_be_bytes(random::array())).to_string();
        format!("{id}.{}", self.threshold.proof(&id))
    }

    fn frame<'a>(&'a self, id: &'a str, transaction: &'a Transaction, wish: &'a Wish) -> Frame<'a> {
        let recipient = match transaction.envelope.recipients.as_slice() {
            [only] => Some(&only.forward_path),
            _ => None,
        };
        let peer = &transaction.peer;
        let client = match self.trace_client {
            TraceClient::Full => Some(trace::Client { helo: &peer.helo, address: peer.address }),
            TraceClient::None => None,
        };
        let received = trace::Received { client, with: peer.with, id, recipient };
        Frame {
            admd: &self.threshold.admd,
            received: trace::received(&received, &self.threshold.admd, transaction.at),
            signers: &self.signers,
            wish,
            seed: random::array(),
            now: transaction.at,
        }
    }
}

/// What stands before policy: no mail that goes round in circles, nobody under a name that is not his, no wish that
/// nobody understands. `explain` asks here too, so that it says what the gateway does.
pub struct Threshold {
    /// Whose mail.
    pub admd: Admd,
    /// What is done with mail whose author is not of the house.
    pub foreign_from: ForeignFrom,
    /// Proves that a trace field is ours.
    pub loop_key: Key,
}

/// A message that may go on.
#[derive(Debug)]
pub enum Admitted {
    /// Of the house: policy decides, with its sender's wish.
    Ours(Wish),
    /// Not of the house: relayed as it is, never rewritten, never signed.
    Foreign,
}

impl Threshold {
    /// Lets a message in, or says why not; `identity` is who AUTH proved.
    pub fn admit(&self, message: &Message, envelope: &Envelope, identity: Option<&Identity>) -> Result<Admitted, Refusal> {
        self.refuse_loops(message)?;
        if author(message, (envelope, identity), (&self.admd, self.foreign_from))? == Author::Foreign {
            return Ok(Admitted::Foreign);
        }
        let wish = Wish::of(message, envelope, &self.admd);
        match wish.malformed {
            Some(advice) => Err(Refusal::Forbidden { because: advice }),
            None => Ok(Admitted::Ours(wish)),
        }
    }

    /// What comes from a shared cloud proves whose it is, and speaks in the name of the house alone. Its reverse-path was looked at
    /// when it came; the null one is that of reports and absence notes, which have an author as well.
    fn prove(&self, message: &Message, marks: &[Mark]) -> Result<(), Refusal> {
        if !marks.iter().any(|mark| mark.is_on(message)) {
            return Err(malformed(FORBIDDEN, "the message does not prove whose it is among those who send from this cloud"));
        }
        let from = Named::by(message, "From");
        if from.is_one() && from.mailboxes.iter().all(|mailbox| self.admd.is_internal(mailbox)) {
            return Ok(());
        }
        Err(malformed(FORBIDDEN, "the From address is not of a domain that this gateway serves"))
    }

    /// Mail that came through here before is in a loop: our id and proof stand in its trace.
    fn refuse_loops(&self, message: &Message) -> Result<(), Refusal> {
        let ours = trace::ids(message.header()).iter().any(|id| id.split_once('.').is_some_and(|(id, proof)| self.proof(id) == proof));
        if ours {
            return Err(malformed(EnhancedStatus::new(5, 4, 6), "routing loop: this message was here before"));
        }
        Ok(())
    }

    /// What only we can put behind an id: 60 bits, enough against chance and against forgers.
    fn proof(&self, id: &str) -> String {
        let mac = derive::mac(&self.loop_key, "loop", &[id.as_bytes()]);
        data_encoding::BASE32_NOPAD.encode(&mac).to_lowercase().chars().take(12).collect()
    }
}

/// What is said where policy rejects one recipient's mail: all of it is refused, for the reply to the dot is everybody's.
pub fn rejected(decisions: &[Decision]) -> Option<Refusal> {
    let rejected = decisions.iter().find(|decision| decision.verdict.go == Go::Reject)?;
    Some(Refusal::Forbidden { because: reason(rejected) })
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
fn author(
    message: &Message,
    (envelope, identity): (&Envelope, Option<&Identity>),
    (admd, foreign_from): (&Admd, ForeignFrom),
) -> Result<Author, Refusal> {
    let from = Named::by(message, "From");
    let of_the_house = |mailbox: &Mailbox| admd.is_internal(mailbox);
    if let Some(identity) = identity {
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
    let house = envelope.reverse_path.mailbox().is_none_or(of_the_house) || from.mailboxes.iter().any(of_the_house);
    match foreign_from {
        ForeignFrom::Pass if house => Ok(Author::Ours),
        ForeignFrom::Pass => Ok(Author::Foreign),
        ForeignFrom::Reject if from.is_one() => Err(malformed(FORBIDDEN, "the From address is not of a domain that this gateway serves")),
        ForeignFrom::Reject => Err(malformed(EnhancedStatus::new(5, 6, 0), "the message needs exactly one From field with one address")),
    }
}

/// By which name the mail of one sender is counted: who AUTH proved, or else who is named as the author.
fn sender(message: &Message, transaction: &Transaction) -> String {
    if let Some(identity) = &transaction.peer.identity {
        return identity.authcid.clone();
    }
    let from = Named::by(message, "From");
    let named = from.mailboxes.first().or(transaction.envelope.reverse_path.mailbox());
    named.map_or_else(|| String::from("<>"), |mailbox| mailbox.to_string().to_lowercase())
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

fn accepted((trace, receipt): (&str, &Receipt), transaction: &Transaction, secured: usize) {
    let entries = match receipt {
        Receipt::Queued(committed) => committed.ids().iter().map(QueueId::to_string).collect::<Vec<_>>().join(","),
        Receipt::Relayed(_) => String::new(),
    };
    let size = u64::try_from(transaction.message.bytes.len()).unwrap_or(u64::MAX);
    event::emit(&Event::Accepted { trace, entries: &entries, size, recipients: transaction.envelope.recipients.len(), secured });
}

fn report(refusal: &Refusal) {
    match refusal {
        // The reason of a policy may quote its author's words, so the log gets the class alone.
        Refusal::Forbidden { .. } => event::emit(&Event::Refused { status: "5.7.1", because: "policy" }),
        Refusal::Malformed { status, because } => event::emit(&Event::Refused { status: &status.to_string(), because }),
        Refusal::TooMuch { .. } => event::emit(&Event::Refused { status: "4.7.1", because: "the sender's limit of an hour" }),
        Refusal::Unavailable(fault) => event::emit(&Event::Trouble { place: "intake", fault: &fault.0 }),
        Refusal::ByNextHop(said) => event::emit(&Event::Refused { status: &said.status.to_string(), because: &said.words }),
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
    use crate::mail::{BodyType, Domain, Recipient, RequireTls, ReversePath, Utf8};
    use crate::secret::Secret;
    use crate::smtp::users::SendAs;

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).unwrap()
    }

    fn admd() -> Admd {
        let domains = vec![Domain::parse("example.org").unwrap()];
        Admd { domains, hostname: Domain::parse("gate.example.org").unwrap(), postmaster: mailbox("postmaster@example.org") }
    }

    fn message(header: &str) -> Message {
        Message::parse(bytes::Bytes::from(format!("{}\r\n\r\ntext\r\n", header.replace('\n', "\r\n"))))
    }

    /// What becomes of a message with this reverse-path and header; `user` is who AUTH proved.
    fn speaks(foreign_from: ForeignFrom, (reverse_path, user): (&str, Option<&str>), header: &str) -> Option<Author> {
        let (admd, message) = (admd(), message(header));
        let envelope = Envelope {
            reverse_path: Mailbox::parse(reverse_path).map_or(ReversePath::Null, ReversePath::Mailbox),
            recipients: vec![Recipient::new(mailbox("bob@example.net"))],
            ret: None,
            envelope_id: None,
            body: BodyType::SevenBit,
            utf8: Utf8::No,
            require_tls: RequireTls::No,
        };
        let own = |text: &str| SendAs::parse(text).unwrap();
        let identity = user.map(|user| Identity::new(user.to_owned(), vec![own(user), own("sales@example.org")]));
        author(&message, (&envelope, identity.as_ref()), (&admd, foreign_from)).ok()
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

    #[test]
    fn a_cloud_speaks_for_the_house_alone_and_only_with_its_mark() {
        let marks = [Mark::try_from(String::from("X-OriginatorOrg: example.org")).unwrap()];
        for (header, expect) in [
            ("X-OriginatorOrg: example.org\nFrom: ann@example.org", true),
            ("From: ann@example.org\nX-OriginatorOrg: example.org", true),
            ("From: ann@example.org", false),
            ("X-OriginatorOrg: evil.example\nFrom: ann@example.org", false),
            ("X-OriginatorOrg: evil.example\nX-OriginatorOrg: example.org\nFrom: ann@example.org", false),
            ("X-OriginatorOrg: example.org\nFrom: eve@elsewhere.example", false),
            ("X-OriginatorOrg: example.org\nFrom: ann@example.org, eve@elsewhere.example", false),
            ("X-OriginatorOrg: example.org\nFrom: ann@example.org\nFrom: ann@example.org", false),
            ("X-OriginatorOrg: example.org", false),
        ] {
            for foreign_from in [ForeignFrom::Reject, ForeignFrom::Pass] {
                let threshold = Threshold { admd: admd(), foreign_from, loop_key: Secret::new([0; 32]) };
                assert_eq!(threshold.prove(&message(header), &marks).is_ok(), expect, "{foreign_from:?} {header}");
            }
        }
    }
}
