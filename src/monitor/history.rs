//! The last three hours, a sample a minute: in memory alone, and gone with the process.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Waiting;
use crate::event::meter::{self, Totals};

/// Samples, oldest first.
#[derive(Default)]
pub struct History(Mutex<VecDeque<Sample>>);

#[derive(Clone, Copy)]
struct Sample {
    totals: Totals,
    waiting: usize,
}

/// What happened in each minute, oldest first.
#[derive(Debug, Default)]
pub struct Series {
    /// Events of each minute.
    pub minutes: Vec<Totals>,
    /// Entries that waited at the end of it.
    pub waiting: Vec<u64>,
}

impl History {
    /// One more sample; the oldest goes.
    pub fn remember(&self, queue: &Waiting) {
        let waiting = queue.due + queue.later + queue.leased + queue.held;
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() > MINUTES {
            samples.pop_front();
        }
        samples.push_back(Sample { totals: meter::totals(), waiting });
    }

    /// Minute by minute, up to this moment.
    pub fn series(&self) -> Series {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = meter::totals();
        let ends = samples.iter().skip(1).map(|sample| sample.totals).chain([now]);
        Series {
            minutes: samples.iter().zip(ends).map(|(begin, end)| between(begin.totals, end)).collect(),
            waiting: samples.iter().map(|sample| sample.waiting as u64).collect(),
        }
    }
}

fn between(begin: Totals, end: Totals) -> Totals {
    Totals {
        accepted: end.accepted.saturating_sub(begin.accepted),
        refused: end.refused.saturating_sub(begin.refused),
        relayed: end.relayed.saturating_sub(begin.relayed),
        deferred: end.deferred.saturating_sub(begin.deferred),
        failed: end.failed.saturating_sub(begin.failed),
        linked: end.linked.saturating_sub(begin.linked),
        opened: end.opened.saturating_sub(begin.opened),
        downloaded: end.downloaded.saturating_sub(begin.downloaded),
        troubles: end.troubles.saturating_sub(begin.troubles),
    }
}

/// A sample's time.
pub const EVERY: Duration = Duration::from_secs(60);
/// Three hours.
const MINUTES: usize = 180;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_hours_are_kept_and_no_more() {
        let history = History::default();
        for waiting in 0..500 {
            history.remember(&Waiting { due: waiting, ..Waiting::default() });
        }
        let series = history.series();
        assert_eq!((series.minutes.len(), series.waiting.len()), (MINUTES + 1, MINUTES + 1));
        assert_eq!(series.waiting.last(), Some(&499));
    }
}
