//! Which entries there are and when each one's turn is: in memory, rebuilt from the records at open.
//!
//! About 110 octets an entry; bodies and addresses never. Times are milliseconds since 1970.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use super::QueueId;

/// Milliseconds since 1970.
pub(super) type Millis = i64;

/// Every entry in order of its turn.
#[derive(Debug, Default)]
pub(super) struct Index {
    places: HashMap<QueueId, Place>,
    arrivals: BTreeSet<(Millis, QueueId)>,
    due: BTreeSet<(Millis, QueueId)>,
    leased: BTreeSet<(Millis, QueueId)>,
}

/// What the index knows of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// When it was taken on.
    pub arrived: Millis,
    /// When its sender must hear something, whatever the next hop does: late, or given up.
    pub deadline: Millis,
    /// Whose turn it is.
    pub turn: Turn,
}

/// Whether an entry waits or is in somebody's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Waits until then.
    Due(Millis),
    /// Belongs to an attempt until then.
    Leased(Millis),
}

/// Entries by whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// Their time has come.
    pub due: usize,
    /// They wait for their next attempt.
    pub later: usize,
    /// An attempt has them.
    pub leased: usize,
    /// They wait for the operator.
    pub held: usize,
    /// When the oldest arrived, in milliseconds since 1970.
    pub oldest: Option<Millis>,
    /// Since when the first whose time has come waits, in milliseconds since 1970.
    pub overdue: Option<Millis>,
}

impl Index {
    /// Puts an entry in, or in its new place.
    pub fn put(&mut self, id: QueueId, place: Place) {
        self.remove(id);
        match place.turn {
            Turn::Due(at) => self.due.insert((at, id)),
            Turn::Leased(until) => self.leased.insert((until, id)),
        };
        self.arrivals.insert((place.arrived, id));
        self.places.insert(id, place);
    }

    /// Takes an entry out.
    pub fn remove(&mut self, id: QueueId) -> Option<Place> {
        let place = self.places.remove(&id)?;
        self.arrivals.remove(&(place.arrived, id));
        match place.turn {
            Turn::Due(at) => self.due.remove(&(at, id)),
            Turn::Leased(until) => self.leased.remove(&(until, id)),
        };
        Some(place)
    }

    /// Up to `limit` entries whose time has come, longest waiting first; they are leased until `until`.
    pub fn lease(&mut self, now: Millis, until: Millis, limit: usize) -> Vec<QueueId> {
        self.expire_leases(now);
        let ids: Vec<QueueId> = self.due.range(..=(now, LAST)).take(limit).map(|(_, id)| *id).collect();
        self.hand_out(&ids, until);
        ids
    }

    /// As [`lease`](Self::lease), but only those whose deadline has come too.
    pub fn lease_overdue(&mut self, now: Millis, until: Millis, limit: usize) -> Vec<QueueId> {
        self.expire_leases(now);
        let is_overdue = |id: &QueueId| self.places.get(id).is_some_and(|place| place.deadline <= now);
        let ids: Vec<QueueId> = self.due.range(..=(now, LAST)).map(|(_, id)| *id).filter(is_overdue).take(limit).collect();
        self.hand_out(&ids, until);
        ids
    }

    /// Gives an entry its next time, leased or not; `false` when there is none.
    pub fn postpone(&mut self, id: QueueId, at: Millis) -> bool {
        let place = self.remove(id);
        place.map(|place| self.put(id, Place { turn: Turn::Due(at), ..place })).is_some()
    }

    /// Makes a waiting entry due; one in somebody's hands stays there. `false` when there is none.
    pub fn hurry(&mut self, id: QueueId, now: Millis) -> bool {
        match self.places.get(&id).map(|place| place.turn) {
            Some(Turn::Due(_)) => self.postpone(id, now),
            Some(Turn::Leased(_)) => true,
            None => false,
        }
    }

    /// When the next turn is; a lease that runs out is one.
    pub fn next(&self) -> Option<Millis> {
        let first = |set: &BTreeSet<(Millis, QueueId)>| set.first().map(|(at, _)| *at);
        first(&self.due).into_iter().chain(first(&self.leased)).min()
    }

    /// One entry's place.
    pub fn get(&self, id: QueueId) -> Option<Place> {
        self.places.get(&id).copied()
    }

    /// Up to `limit` entries in order of arrival, after `from`.
    pub fn after(&self, from: Option<QueueId>, limit: usize) -> Vec<QueueId> {
        let start = from.map(|id| (self.places.get(&id).map_or(Millis::MIN, |place| place.arrived), id));
        let after = start.map_or(Bound::Unbounded, Bound::Excluded);
        self.arrivals.range((after, Bound::Unbounded)).take(limit).map(|(_, id)| *id).collect()
    }

    /// How many there are by whose turn it is, and since when the first of them.
    pub fn census(&self, now: Millis) -> Census {
        let due = self.due.range(..=(now, LAST)).count();
        let held = self.due.range((HELD, QueueId(0))..).count();
        Census {
            due,
            later: self.due.len() - due - held,
            leased: self.leased.len(),
            held,
            oldest: self.arrivals.first().map(|(arrived, _)| *arrived),
            overdue: self.due.first().map(|(at, _)| *at).filter(|at| *at <= now),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    fn hand_out(&mut self, ids: &[QueueId], until: Millis) {
        for &id in ids {
            if let Some(place) = self.remove(id) {
                self.put(id, Place { turn: Turn::Leased(until), ..place });
            }
        }
    }

    fn expire_leases(&mut self, now: Millis) {
        while let Some(&(until, id)) = self.leased.first().filter(|(until, _)| *until <= now) {
            self.postpone(id, until);
        }
    }
}

/// The turn of an entry that waits for the operator: the end of the year 9999.
pub(super) const HELD: Millis = 253_402_207_200_000;
/// After every id at the same time.
const LAST: QueueId = QueueId(u64::MAX);

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(arrived: Millis, due: Millis) -> Place {
        Place { arrived, deadline: arrived + 1000, turn: Turn::Due(due) }
    }

    fn index(entries: &[(u64, Millis, Millis)]) -> Index {
        let mut index = Index::default();
        for &(id, arrived, due) in entries {
            index.put(QueueId(id), waiting(arrived, due));
        }
        index
    }

    fn numbers(ids: &[QueueId]) -> Vec<u64> {
        ids.iter().map(|id| id.0).collect()
    }

    #[test]
    fn the_longest_waiting_goes_first_and_the_future_stays() {
        let mut index = index(&[(1, 0, 30), (2, 0, 10), (3, 0, 20), (4, 0, 99)]);
        assert_eq!(numbers(&index.lease(50, 500, 2)), [2, 3]);
        assert_eq!(numbers(&index.lease(50, 500, 2)), [1]);
        assert_eq!(numbers(&index.lease(50, 500, 2)), [] as [u64; 0]);
        assert_eq!(index.next(), Some(99));
    }

    #[test]
    fn a_lease_that_runs_out_is_due_again_before_younger_ones() {
        let mut index = index(&[(1, 0, 10), (2, 0, 600)]);
        assert_eq!(numbers(&index.lease(10, 500, 9)), [1]);
        assert_eq!(numbers(&index.lease(499, 900, 9)), [] as [u64; 0]);
        assert_eq!(numbers(&index.lease(700, 900, 9)), [1, 2]);
    }

    #[test]
    fn only_what_is_overdue_is_taken_when_only_that_is_asked_for() {
        let mut index = index(&[(1, 0, 10), (2, 900, 10)]);
        assert_eq!(numbers(&index.lease_overdue(1000, 5000, 9)), [1]);
        assert_eq!(numbers(&index.lease_overdue(1900, 5000, 9)), [2]);
    }

    #[test]
    fn the_list_goes_by_arrival_and_goes_on_where_it_stopped() {
        let index = index(&[(7, 1, 5), (3, 2, 4), (9, 3, 3), (1, 4, 2)]);
        assert_eq!(numbers(&index.after(None, 3)), [7, 3, 9]);
        assert_eq!(numbers(&index.after(Some(QueueId(9)), 3)), [1]);
        assert_eq!(numbers(&index.after(Some(QueueId(1)), 3)), [] as [u64; 0]);
    }

    #[test]
    fn a_census_tells_whose_turn_it_is() {
        let mut index = index(&[(1, 5, 30), (2, 3, 10), (3, 4, 20), (4, 9, 99), (5, 7, HELD)]);
        index.lease(10, 500, 1);
        assert_eq!(index.census(30), Census { due: 2, later: 1, leased: 1, held: 1, oldest: Some(3), overdue: Some(20) });
        index.remove(QueueId(2));
        assert_eq!(index.census(10), Census { due: 0, later: 3, leased: 0, held: 1, oldest: Some(4), overdue: None });
    }

    #[test]
    fn hurrying_does_not_take_an_entry_out_of_an_attempts_hands() {
        let mut index = index(&[(1, 0, 10), (2, 0, 900)]);
        index.lease(10, 500, 1);
        assert!(index.hurry(QueueId(1), 20) && index.hurry(QueueId(2), 20) && !index.hurry(QueueId(3), 20));
        assert_eq!(numbers(&index.lease(20, 500, 9)), [2]);
    }
}
