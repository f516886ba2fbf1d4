//! One attempt: a message, whoever holds it, to the next hop. What comes back is an outcome for each
//! recipient, always.
//!
//! It does not know the queue's entries, so a message that is not committed anywhere can be attempted too.
//! A loss after the dot is *deferred*: the message may then arrive twice, but it is never lost
//! (RFC 1047).

use crate::event::meter::Step;
use crate::mail::{EnhancedStatus, Envelope};
use crate::queue::{Diagnostic, Fate, Outcome, Reports};
use crate::smtp::client::{Answer, Body, Said, Stage, Trouble};

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

/// Hands the message over, or says for each recipient why not.
pub(super) async fn attempt(hop: &NextHop, load: &Load<'_>) -> Vec<Outcome> {
    let _timer = Step::Attempt.begin();
    let handed_over = tokio::time::timeout(ATTEMPT_MAX, hand_over(hop, load));
    match handed_over.await {
        Ok(Ok(outcomes)) => outcomes,
        Ok(Err(Trouble { said, .. })) => deferred(load.envelope, &said, &hop.name),
        Err(_) => deferred(load.envelope, &Said { code: None, status: TOO_SLOW, words: "the attempt took too long".into() }, &hop.name),
    }
}

/// Everybody is late for the same reason.
pub(super) fn deferred(envelope: &Envelope, said: &Said, hop: &str) -> Vec<Outcome> {
    let why = Diagnostic { status: for_now(said.status), ..diagnostic(said.clone(), hop) };
    let late =
        |recipient: &crate::mail::Recipient| Outcome { recipient: recipient.forward_path.clone(), fate: Fate::Deferred(why.clone()) };
    envelope.recipients.iter().map(late).collect()
}

async fn hand_over(hop: &NextHop, load: &Load<'_>) -> Result<Vec<Outcome>, Trouble> {
    if let Some(pooled) = hop.pooled() {
        match over(hop, pooled, load).await {
            // The next hop may have closed it meanwhile. Nothing was handed over, so once more is safe.
            Err(Trouble { stage: Stage::BeforeDot, .. }) => {}
            settled => return settled,
        }
    }
    let fresh = hop.connect().await?;
    over(hop, fresh, load).await
}

async fn over(hop: &NextHop, mut pooled: Pooled, load: &Load<'_>) -> Result<Vec<Outcome>, Trouble> {
    let answers = pooled.connection.send(load.envelope, (load.body)(), load.size).await?;
    let reports = if pooled.connection.carries_dsn() { Reports::Onward } else { Reports::None };
    hop.keep(pooled);
    let recipients = load.envelope.recipients.iter().map(|recipient| recipient.forward_path.clone());
    Ok(recipients.zip(answers).map(|(recipient, answer)| Outcome { recipient, fate: fate(answer, reports, &hop.name) }).collect())
}

fn fate(answer: Answer, reports: Reports, hop: &str) -> Fate {
    match answer {
        Answer::Accepted(_) => Fate::Relayed { reports },
        Answer::Temporary(said) => Fate::Deferred(diagnostic(said, hop)),
        Answer::Permanent(said) => Fate::Failed(diagnostic(said, hop)),
    }
}

fn diagnostic(said: Said, hop: &str) -> Diagnostic {
    Diagnostic { status: said.status, text: said.words, remote: said.code.map(|_| host(hop)) }
}

/// `host:port` without the port; RFC 3464 §2.3.5 wants a name.
fn host(hop: &str) -> String {
    hop.rsplit_once(':').map_or(hop, |(host, _)| host).to_owned()
}

/// A refusal of the connection is about us or the next hop, never about the message, so it is not final.
fn for_now(status: EnhancedStatus) -> EnhancedStatus {
    EnhancedStatus { class: 4, ..status }
}

/// Less than a lease, so that no two attempts hold one entry.
const ATTEMPT_MAX: std::time::Duration = std::time::Duration::from_secs(50 * 60);
/// RFC 3463 §3.5: bad connection.
const TOO_SLOW: EnhancedStatus = EnhancedStatus::new(4, 4, 2);
