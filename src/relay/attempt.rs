//! One attempt: a message, whoever holds it, to its destination. What comes back is an outcome for each
//! recipient, always.
//!
//! It has two halves, as the transaction has: [`poise`] does everything but the dot, and nothing is handed
//! over if it fails or is dropped; [`Poised::finish`] says the dot. It does not know the queue's entries, so a
//! message that is not committed anywhere can be attempted too.
//! A loss after the dot is *deferred*: the message may then arrive twice, but it is never lost
//! (RFC 1047).

use std::sync::Arc;

use crate::event::meter::Step;
use crate::mail::{EnhancedStatus, Envelope, RequireTls};
use crate::queue::{Diagnostic, Fate, Outcome, Reports};
use crate::smtp::client::{Answer, Body, Pending, Protocol, REQUIRETLS_UNKEPT, Said, Stage, Trouble};
use crate::transport::report::Wrong;

use super::destination::Destination;
use super::exchangers::Candidate;
use super::hop::{NextHop, Pooled};

/// What is to be handed over.
pub(super) struct Load<'a> {
    /// Sender and recipients.
    pub envelope: &'a Envelope,
    /// Octets of the body.
    pub size: u64,
    /// Gives the body from its beginning, each time it is asked.
    pub body: &'a (dyn Fn() -> Body + Send + Sync),
}

/// A message that a next hop has all but the dot of.
pub(super) struct Poised {
    hop: Arc<NextHop>,
    pooled: Pooled,
    pending: Pending,
}

/// What a next hop said to each recipient, in their order.
pub(super) struct Heard {
    pub answers: Vec<Answer>,
    pub reports: Reports,
    /// Who said it.
    pub hop: String,
}

/// Why nothing came of it, and where.
pub(super) struct Missed {
    pub said: Said,
    pub hop: String,
    pub until: Until,
}

/// How long what was missed will be so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// It may be mended.
    Later,
    /// As long as the message is what it is.
    Ever,
    /// As long as policy counts on the way.
    DecidedAnew,
}

impl Missed {
    /// In our own words.
    pub fn for_now(status: EnhancedStatus, words: &str, hop: &str) -> Self {
        Self { said: Said { code: None, status, words: words.to_owned() }, hop: hop.to_owned(), until: Until::Later }
    }

    /// By a panic of ours; how far it came is not known.
    pub fn broken_off() -> Self {
        Self::for_now(OUR_TROUBLE, "the attempt broke off", "")
    }

    fn at(hop: &NextHop, trouble: Trouble, envelope: &Envelope) -> Self {
        let (hop, until) = (hop.name.clone(), lasting(&trouble, envelope));
        match until {
            Until::Later | Until::DecidedAnew => Self { said: trouble.said, hop, until },
            Until::Ever => Self { said: Said { status: REQUIRETLS_UNKEPT, ..trouble.said }, hop, until },
        }
    }
}

/// RFC 8689 §4.2.1: a host that cannot keep what the message requires will not learn it while the message waits. What
/// may be an accident on the way is tried again.
fn lasting(trouble: &Trouble, envelope: &Envelope) -> Until {
    use Wrong::{CertificateExpired, CertificateHostMismatch, CertificateNotTrusted, StarttlsNotSupported};
    let of_hosts = [StarttlsNotSupported, CertificateHostMismatch, CertificateExpired, CertificateNotTrusted];
    let is_of_host = trouble.said.status == REQUIRETLS_UNKEPT || trouble.wrong.is_some_and(|wrong| of_hosts.contains(&wrong));
    match envelope.require_tls {
        RequireTls::ByPolicy if trouble.stage == Stage::Tls => Until::DecidedAnew,
        RequireTls::Yes if is_of_host => Until::Ever,
        RequireTls::ByPolicy if is_of_host => Until::DecidedAnew,
        RequireTls::No | RequireTls::Yes | RequireTls::ByPolicy => Until::Later,
    }
}

/// Hands the message over, or says for each recipient why not; and who said so.
pub(super) async fn attempt(destination: &Destination, load: &Load<'_>) -> (String, Vec<Outcome>) {
    let _timer = Step::Attempt.begin();
    let heard = match tokio::time::timeout(POISED_WITHIN, poise(destination, load)).await {
        // From the dot on the client's own patience ends it, which throws nothing away that was said.
        Ok(Ok(poised)) => poised.finish().await,
        Ok(Err(missed)) => Err(missed),
        Err(_) => Err(Missed::for_now(TOO_SLOW, "the attempt took too long", &destination.name)),
    };
    let (Ok(Heard { hop, .. }) | Err(Missed { hop, .. })) = &heard;
    (hop.clone(), outcomes(load.envelope, heard))
}

/// Everything up to the dot, at the first hop that goes along.
pub(super) async fn poise(destination: &Destination, load: &Load<'_>) -> Result<Poised, Missed> {
    let mut missed: Option<Missed> = None;
    for candidate in destination.candidates(load.envelope).await? {
        match poise_at(&candidate, load).await {
            Ok((pooled, pending)) => return Ok(Poised { hop: candidate.hop, pooled, pending }),
            // Nothing was handed over, so another one may have it.
            Err(trouble) => {
                let last = Missed::at(&candidate.hop, trouble, load.envelope);
                // One that may be mended keeps the message waiting, whatever the others are.
                missed = missed.filter(|first| first.until == Until::Later && last.until != Until::Later).or(Some(last));
            }
        }
    }
    Err(missed.unwrap_or_else(|| Missed::for_now(TOO_SLOW, "there is no next hop", &destination.name)))
}

/// On a connection that is there, or a new one.
async fn poise_at(candidate: &Candidate, load: &Load<'_>) -> Result<(Pooled, Pending), Trouble> {
    if let Some(pooled) = candidate.hop.pooled() {
        match begin(pooled, (candidate, load)).await {
            // The next hop may have closed it meanwhile. Nothing was handed over, so once more is safe.
            Err(Trouble { stage: Stage::BeforeDot, .. }) => {}
            poised => return poised,
        }
    }
    if let Some(said) = candidate.resting() {
        return Err(Trouble { stage: Stage::Connect, said, wrong: None });
    }
    begin(candidate.connect().await?, (candidate, load)).await
}

async fn begin(mut pooled: Pooled, (candidate, load): (&Candidate, &Load<'_>)) -> Result<(Pooled, Pending), Trouble> {
    let pending = pooled.connection.begin(&candidate.asked(load.envelope), (load.body)(), load.size).await?;
    Ok((pooled, pending))
}

impl Poised {
    /// The dot, and what was said to it.
    pub async fn finish(self) -> Result<Heard, Missed> {
        let Self { hop, mut pooled, pending } = self;
        let finished = pooled.connection.finish(pending).await;
        let answers = finished.map_err(|Trouble { said, .. }| Missed { said, hop: hop.name.clone(), until: Until::Later })?;
        let reports = match (pooled.connection.carries_dsn(), pooled.connection.protocol()) {
            (true, _) => Reports::Onward,
            (false, Protocol::Smtp) => Reports::None,
            (false, Protocol::Lmtp) => Reports::Final,
        };
        hop.keep(pooled);
        Ok(Heard { answers, reports, hop: hop.name.clone() })
    }
}

/// What became of each recipient.
pub(super) fn outcomes(envelope: &Envelope, heard: Result<Heard, Missed>) -> Vec<Outcome> {
    match heard {
        Ok(Heard { answers, reports, hop }) => {
            let recipients = envelope.recipients.iter().map(|recipient| recipient.forward_path.clone());
            recipients.zip(answers).map(|(recipient, answer)| Outcome { recipient, fate: fate(answer, reports, &hop) }).collect()
        }
        Err(Missed { said, hop, until: Until::Later }) => deferred(envelope, &said, &hop),
        Err(Missed { said, hop, until: Until::DecidedAnew }) => alike(envelope, &Fate::Unproven(passing(&said, &hop))),
        Err(Missed { said, hop, until: Until::Ever }) => alike(envelope, &Fate::Failed(diagnostic(said, &hop))),
    }
}

/// Everybody is late for the same reason.
fn deferred(envelope: &Envelope, said: &Said, hop: &str) -> Vec<Outcome> {
    alike(envelope, &Fate::Deferred(passing(said, hop)))
}

/// Nobody was attempted: the way is away.
pub(super) fn unreached(envelope: &Envelope, said: &Said, hop: &str) -> Vec<Outcome> {
    alike(envelope, &Fate::Unreached(passing(said, hop)))
}

fn alike(envelope: &Envelope, fate: &Fate) -> Vec<Outcome> {
    let outcome = |recipient: &crate::mail::Recipient| Outcome { recipient: recipient.forward_path.clone(), fate: fate.clone() };
    envelope.recipients.iter().map(outcome).collect()
}

fn passing(said: &Said, hop: &str) -> Diagnostic {
    Diagnostic { status: for_now(said.status), ..diagnostic(said.clone(), hop) }
}

fn fate(answer: Answer, reports: Reports, hop: &str) -> Fate {
    match answer {
        Answer::Accepted(_) => Fate::Relayed { reports },
        Answer::Temporary(said) => Fate::Deferred(diagnostic(said, hop)),
        Answer::Permanent(said) => Fate::Failed(diagnostic(said, hop)),
    }
}

fn diagnostic(said: Said, hop: &str) -> Diagnostic {
    // RFC 3464 §2.3.6: what an SMTP server said begins with its code.
    let text = said.code.map_or_else(|| said.words.clone(), |code| format!("{code} {}", said.words));
    Diagnostic { status: said.status, text, remote: said.code.map(|_| host(hop)) }
}

/// `host:port` without the port; RFC 3464 §2.3.5 wants a name.
fn host(hop: &str) -> String {
    hop.rsplit_once(':').map_or(hop, |(host, _)| host).to_owned()
}

/// A refusal of the connection is about us or the next hop, never about the message, so it is not final.
fn for_now(status: EnhancedStatus) -> EnhancedStatus {
    EnhancedStatus { class: 4, ..status }
}

/// From its turn to the last octet of its body.
const POISED_WITHIN: std::time::Duration = std::time::Duration::from_secs(50 * 60);
/// RFC 3463 §3.4: other or undefined mail system status.
const OUR_TROUBLE: EnhancedStatus = EnhancedStatus::new(4, 3, 0);
/// RFC 3463 §3.5: bad connection.
const TOO_SLOW: EnhancedStatus = EnhancedStatus::new(4, 4, 2);
