//! Mail that policy let go as it is because its way was proven, where the way turns out not to be: policy decides once more,
//! and what it makes of the message takes the message's place in the queue.
//!
//! The new entries are committed before the old one is settled, so a crash in between has the message decided twice and
//! never lost.

use std::io::Read;
use std::sync::Weak;

use bytes::Bytes;

use super::{Made, Relay, off_thread, trouble};
use crate::event::{Event, emit};
use crate::mail::{EnhancedStatus, Envelope, Mailbox, Recipient};
use crate::queue::{Diagnostic, Fate, Lease, Outcome, QueueId};
use crate::smtp::Refusal;
use crate::store::Fault;

/// Who decides what becomes of a message.
pub trait Anew: Send + Sync {
    /// What leaves instead, no way being proven. It blocks.
    ///
    /// # Errors
    /// A refusal: what policy forbids is the end, everything else may pass.
    fn decide_anew(&self, envelope: Envelope, message: Bytes) -> Result<Made, Refusal>;
}

impl Relay {
    /// Who decides anew. Without anybody such mail waits for its way to be proven.
    pub fn refer_to(&self, anew: Weak<dyn Anew>) {
        let _ = self.anew.set(anew);
    }

    /// Recipients to whom mail goes a proven way at this moment, as far as it is known in good time.
    pub async fn verified(&self, envelope: &Envelope) -> Vec<Mailbox> {
        let ways = self.routes.groups(envelope).into_iter().map(async |(lane, recipients)| {
            let is_proven = match self.exits.destination(lane) {
                Some(destination) => destination.is_proven(&recipients).await,
                None => false,
            };
            recipients.into_iter().map(|recipient| recipient.forward_path).filter(move |_| is_proven)
        });
        futures_util::future::join_all(ways).await.into_iter().flatten().collect()
    }

    /// The outcomes, those of a way that is not proven being what policy makes of that.
    pub(super) async fn decided_anew(&self, lease: &Lease, mut outcomes: Vec<Outcome>) -> Vec<Outcome> {
        let unproven = |recipient: &Recipient| {
            outcomes.iter().any(|outcome| outcome.recipient == recipient.forward_path && matches!(outcome.fate, Fate::Unproven(_)))
        };
        let recipients: Vec<Recipient> = lease.envelope.recipients.iter().filter(|recipient| unproven(recipient)).cloned().collect();
        if recipients.is_empty() {
            return outcomes;
        }
        let fate = match self.replace(lease, Envelope { recipients, ..lease.envelope.clone() }).await {
            Ok(()) => Fate::Replaced,
            Err(Refusal::Forbidden { because }) => failed(FORBIDDEN, because),
            Err(Refusal::Malformed { status, because }) => failed(status, because),
            // They wait, and are decided on with their next attempt.
            Err(Refusal::Unavailable(fault)) => {
                trouble(&fault);
                return outcomes;
            }
            Err(Refusal::TooMuch { .. } | Refusal::ByNextHop(_) | Refusal::Full) => return outcomes,
        };
        outcomes.iter_mut().filter(|outcome| matches!(outcome.fate, Fate::Unproven(_))).for_each(|outcome| outcome.fate = fate.clone());
        outcomes
    }

    /// One message at a time: it is held in memory as a whole.
    async fn replace(&self, lease: &Lease, envelope: Envelope) -> Result<(), Refusal> {
        let nobody = || Refusal::Unavailable(Fault(String::from("there is nobody to decide anew")));
        let anew = self.anew.get().and_then(Weak::upgrade).ok_or_else(nobody)?;
        let _turn = self.one_by_one.lock().await;
        let (mut body, size) = (self.queue.body(lease), usize::try_from(lease.size).unwrap_or_default());
        let (queue, now) = (self.queue.clone(), self.clock.now());
        let decided = off_thread(move || {
            let mut message = Vec::with_capacity(size);
            body.read_to_end(&mut message).map_err(|error| Fault(error.to_string()))?;
            Ok(anew.decide_anew(envelope, Bytes::from(message)).map(|Made { entries, go_live, .. }| queue.commit(entries, go_live, now)))
        });
        let committed = decided.await??;
        let ids: Vec<String> = committed?.ids().iter().map(QueueId::to_string).collect();
        emit(&Event::Replaced { id: &lease.id.to_string(), entries: &ids.join(","), because: "the way is not proven" });
        self.wake();
        Ok(())
    }
}

fn failed(status: EnhancedStatus, text: String) -> Fate {
    Fate::Failed(Diagnostic { status, text, remote: None })
}

/// RFC 3463 §3.8: delivery not authorised.
const FORBIDDEN: EnhancedStatus = EnhancedStatus::new(5, 7, 1);
