//! From a next hop's word to the queue's record of it.
//!
//! What was heard is kept until it is written: to forget that a next hop has a message would be to send it again. While
//! the store takes nothing, nothing is leased either, for each attempt more would end here too; so what is kept is never
//! more than the attempts that ran when the trouble began. An entry whose own record cannot be read keeps nobody else
//! waiting.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Relay, off_thread, take_back, trouble};
use crate::queue::{Lease, Outcome, Trouble, Unsettled};
use crate::store::Fault;

impl Relay {
    /// Ends a lease by what was heard, and takes back the links that died with it. What cannot be written is kept.
    pub(super) async fn settle(&self, lease: Lease, outcomes: Vec<Outcome>) {
        if let Err(unsettled) = self.write(lease, outcomes).await {
            self.unwritten.keep(unsettled);
            // Who sleeps may have other plans than to try it again.
            self.wake();
        }
    }

    /// Writes what was kept, as far as the store takes it.
    pub(super) async fn settle_kept(&self) {
        let mut kept = self.unwritten.take().into_iter();
        for Unsettled { lease, outcomes, .. } in kept.by_ref() {
            if let Err(unsettled) = self.write(lease, outcomes).await {
                let is_in_vain = unsettled.is_of_store();
                self.unwritten.keep(unsettled);
                if is_in_vain {
                    break;
                }
            }
        }
        self.unwritten.put_back(kept);
    }

    /// The last rounds before the end, at most until then.
    pub(super) async fn settle_finally(&self, by: Instant) {
        self.settle_kept().await;
        while !self.unwritten.is_empty() && Instant::now() < by {
            sleep(Duration::from_secs(1)).await;
            self.settle_kept().await;
        }
        for Unsettled { lease, .. } in self.unwritten.take() {
            trouble(&Fault(format!("what became of entry {} could not be written: who has the message may get it again", lease.id)));
        }
    }

    async fn write(&self, lease: Lease, outcomes: Vec<Outcome>) -> Result<(), Unsettled> {
        let (queue, vault, moment) = (self.queue.clone(), self.vault.clone(), self.clock.moment());
        let written = off_thread(move || {
            // The queue first: a link that is taken back while its mail may still go out would be a dead one.
            let settled = queue.settle(lease, outcomes, moment);
            Ok(settled.map(|died| take_back(&queue, &vault, died).unwrap_or_else(|fault| trouble(&fault))))
        });
        match written.await {
            Ok(settled) => settled.map_err(|unsettled| *unsettled),
            // It ended by a panic, and its lease ends by itself.
            Err(fault) => {
                trouble(&fault);
                Ok(())
            }
        }
    }
}

/// What was heard and is not written, in the order in which it was heard.
#[derive(Default)]
pub(super) struct Unwritten(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    unsettled: Vec<Unsettled>,
    /// How often it was tried again in vain.
    rounds: usize,
    /// When it is tried again.
    again: Option<Instant>,
}

impl Unwritten {
    /// Whether the store takes nothing, as far as we know.
    pub fn is_stuck(&self) -> bool {
        self.kept().unsettled.iter().any(Unsettled::is_of_store)
    }

    /// When what is kept is to be tried again; none where nothing is.
    pub fn again(&self) -> Option<Instant> {
        self.kept().again
    }

    /// Whether all that was heard is written.
    pub fn is_empty(&self) -> bool {
        self.kept().unsettled.is_empty()
    }

    fn keep(&self, unsettled: Unsettled) {
        let Unsettled { lease, trouble: Trouble::Entry(fault) | Trouble::Store(fault), .. } = &unsettled;
        trouble(&Fault(format!("what came of entry {} is kept and not written yet: {fault}", lease.id)));
        let mut kept = self.kept();
        kept.unsettled.push(unsettled);
        kept.plan();
    }

    fn take(&self) -> Vec<Unsettled> {
        let mut kept = self.kept();
        kept.again = None;
        kept.rounds = kept.rounds.saturating_add(1);
        std::mem::take(&mut kept.unsettled)
    }

    /// What a round left untouched.
    fn put_back(&self, rest: impl Iterator<Item = Unsettled>) {
        let mut kept = self.kept();
        kept.unsettled.extend(rest);
        if kept.unsettled.is_empty() {
            *kept = Kept::default();
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn plan(&mut self) {
        let pause = AGAIN.get(self.rounds).copied().unwrap_or(AGAIN_MAX);
        self.again.get_or_insert_with(|| Instant::now() + pause);
    }
}

/// From one round to the next: a disk that was full may have room in a moment.
const AGAIN: [Duration; 4] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(10)];
/// And then.
const AGAIN_MAX: Duration = Duration::from_secs(30);
