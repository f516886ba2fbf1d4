//! Mail to the gateway itself: an entry like any other, committed before anybody acts on it, whose way leads back in.
//!
//! Somebody reads what is addressed to `postmaster` (RFC 5321 §4.5.1) and `abuse` (RFC 2142 §4) at the gateway's name: the
//! postmaster of the house. Nobody else has a mailbox here, and who writes to one hears so.

use std::io::Read;

use bytes::Bytes;

use super::{Relay, off_thread, trouble};
use crate::event::{Event, emit};
use crate::mail::{EnhancedStatus, Envelope, Recipient};
use crate::queue::{Carries, Diagnostic, Fate, Lease, NewEntry, Outcome, QueueId};
use crate::store::Fault;

impl Relay {
    /// What becomes of those recipients of an entry that are ourselves.
    pub(super) async fn received(&self, lease: &Lease, recipients: Vec<Recipient>) -> Vec<Outcome> {
        let (known, unknown): (Vec<_>, Vec<_>) = recipients.into_iter().partition(|to| self.routes.reader(&to.forward_path).is_some());
        let nobody = Diagnostic { status: NO_MAILBOX, text: String::from("the gateway has no such mailbox"), remote: None };
        let alike = |recipients: Vec<Recipient>, fate: Fate| {
            recipients.into_iter().map(move |to| Outcome { recipient: to.forward_path, fate: fate.clone() })
        };
        let outcomes = alike(unknown, Fate::Failed(nobody));
        let Some((first, reader)) = known.first().and_then(|to| Some((to, self.routes.reader(&to.forward_path)?))) else {
            return outcomes.collect();
        };
        let reader = Recipient { forward_path: reader.clone(), ..first.clone() };
        match self.pass_on(lease, reader).await {
            Ok(()) => outcomes.chain(alike(known, Fate::Replaced)).collect(),
            Err(fault) => {
                trouble(&fault);
                let why = Diagnostic { status: TROUBLE, text: String::from("trouble of our own"), remote: None };
                outcomes.chain(alike(known, Fate::Deferred(why))).collect()
            }
        }
    }

    /// The same octets for whoever reads them. One message at a time: it is held in memory as a whole.
    async fn pass_on(&self, lease: &Lease, reader: Recipient) -> Result<(), Fault> {
        let _turn = self.one_by_one.lock().await;
        let envelope = Envelope { recipients: vec![reader], ..lease.envelope.clone() };
        let (queue, mut body, now) = (self.queue.clone(), self.queue.body(lease), self.clock.now());
        let committed = off_thread(move || {
            let mut message = Vec::new();
            body.read_to_end(&mut message).map_err(|error| Fault(error.to_string()))?;
            queue.commit(vec![NewEntry { envelope, body: vec![Bytes::from(message)], carries: Carries::Nothing }], vec![], now)
        });
        let ids: Vec<String> = committed.await?.ids().iter().map(QueueId::to_string).collect();
        emit(&Event::Replaced { id: &lease.id.to_string(), entries: &ids.join(","), because: "addressed to the gateway" });
        self.wake();
        Ok(())
    }
}

/// RFC 3463 §3.2: bad destination mailbox address.
const NO_MAILBOX: EnhancedStatus = EnhancedStatus::new(5, 1, 1);
/// Other or undefined mail system status, for now.
const TROUBLE: EnhancedStatus = EnhancedStatus::new(4, 3, 0);
