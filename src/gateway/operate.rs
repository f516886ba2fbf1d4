//! What an operator asks of the queue, a page of entries at a time: whoever asks for all of them asks again.

use super::Gateway;
use super::control::{Act, Answer, Each, Way, Which};
use crate::queue::{Bounce, Cursor, Lane, Party, QueueId, Selection, Tally};
use crate::smtp::client::Said;
use crate::store::Fault;

impl Gateway {
    /// Does one verb to a page of entries.
    pub(super) fn each(&self, Each { act, which, after }: Each) -> Answer {
        let selection = match which.selection() {
            Ok(selection) => selection,
            Err(because) => return Answer::Trouble { because },
        };
        let (unknown, ids, next) = self.page(&which, &selection, after);
        match self.act(act, &ids, selection) {
            Ok(done) => {
                self.base.relay.wake();
                Answer::Tally { tally: unknown.and(done), next }
            }
            Err(fault) => Answer::Trouble { because: fault.0 },
        }
    }

    fn page(&self, which: &Which, selection: &Selection, after: Option<Cursor>) -> (Tally, Vec<QueueId>, Option<Cursor>) {
        match which {
            Which::Ids { ids } => {
                let known: Vec<QueueId> = ids.iter().filter_map(|text| id(text)).collect();
                (Tally { gone: ids.len().saturating_sub(known.len()), ..Tally::default() }, known, None)
            }
            Which::Fitting { .. } => {
                let (ids, next) = self.base.queue.select(selection, after, PAGE);
                (Tally::default(), ids, next)
            }
        }
    }

    fn act(&self, act: Act, ids: &[QueueId], selection: Selection) -> Result<Tally, Fault> {
        let (queue, now) = (&self.base.queue, self.base.clock.now());
        match act {
            Act::Hold => queue.hold(ids, now),
            Act::Release => queue.release(ids, now),
            Act::Retry => {
                self.base.relay.hurry();
                Ok(queue.retry(ids, now))
            }
            Act::Bounce { reason } => self.base.relay.bounce(ids, &Bounce { to: selection.to, reason }),
        }
    }

    /// What waits for which way out.
    pub(super) fn stats(&self) -> Answer {
        let stats = self.base.queue.stats();
        let way = |(lane, hops, away): (Lane, String, Option<Said>)| {
            // By MX each domain is a lane of its own.
            let found = || stats.iter().filter(|waiting| waiting.lane.route == lane.route);
            Way {
                hops,
                waiting: found().map(|found| found.due).sum(),
                leased: found().map(|found| found.leased).sum(),
                held: found().map(|found| found.held).sum(),
                oldest: found().map(|found| found.oldest).min().map(|oldest| oldest.strftime(super::control::TIME).to_string()),
                away: away.map(|said| format!("{} {}", said.status, said.words)),
            }
        };
        Answer::Stats { ways: self.base.relay.standing().into_iter().map(way).collect() }
    }
}

impl Which {
    fn selection(&self) -> Result<Selection, String> {
        let Self::Fitting { to, from } = self else { return Ok(Selection::default()) };
        let party = |text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => Party::parse(text).map(Some).ok_or_else(|| format!("{text:?} is neither an address nor a domain")),
        };
        Ok(Selection { to: party(to)?, from: party(from)? })
    }
}

/// An id as it is printed.
pub(super) fn id(text: &str) -> Option<QueueId> {
    u64::from_str_radix(text, 16).ok().map(QueueId)
}

/// Entries in one request: they are done well before the operator's patience ends.
const PAGE: usize = 500;
