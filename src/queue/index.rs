//! Which entries there are and when each one's turn is: in memory, rebuilt from the records at open.
//!
//! Some 200 octets an entry; bodies and addresses never. Times are milliseconds since 1970, but for the ends of leases:
//! they are kept by the time that passes, for an attempt does not end because somebody sets the clock.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::time::Instant;

use super::{Lane, QueueId};

/// Milliseconds since 1970.
pub(super) type Millis = i64;

/// Every entry in order of its turn, lane by lane.
#[derive(Debug, Default)]
pub(super) struct Index {
    places: HashMap<QueueId, Place>,
    arrivals: BTreeSet<(Millis, QueueId)>,
    due: BTreeMap<Lane, BTreeSet<(Millis, QueueId)>>,
    /// Each lane by its first turn.
    firsts: BTreeSet<(Millis, Lane)>,
    /// The same entries by their deadlines: while a next hop is away nobody looks through all that wait for it.
    deadlines: BTreeMap<Lane, BTreeSet<(Millis, QueueId)>>,
    leased: BTreeSet<(Instant, QueueId)>,
    held: usize,
}

/// What the index knows of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// What it waits for.
    pub lane: Lane,
    /// When it was taken on.
    pub arrived: Millis,
    /// When its sender must hear something, whatever the next hop does: late, or given up.
    pub deadline: Millis,
    /// Whose turn it is.
    pub turn: Turn,
}

/// What an attempt asks for.
pub(super) struct Taking {
    /// Of this lane,
    pub lane: Lane,
    /// leased until then,
    pub until: Instant,
    /// at most so many.
    pub limit: usize,
}

/// What waits on one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub lane: Lane,
    /// Entries that wait for their turn.
    pub due: usize,
    /// Entries in the hands of attempts.
    pub leased: usize,
    /// Entries that wait for the operator.
    pub held: usize,
    /// When the oldest of them was taken on.
    pub oldest: jiff::Timestamp,
}

/// Whom an entry waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Waits until then.
    Due(Millis),
    /// Belongs to an attempt until then.
    Leased(Instant),
    /// Waits for the operator.
    Held,
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
            Turn::Due(at) => {
                self.line_up(place.lane, |due| due.insert((at, id)));
                self.deadlines.entry(place.lane).or_default().insert((place.deadline, id));
            }
            Turn::Leased(until) => drop(self.leased.insert((until, id))),
            Turn::Held => self.held = self.held.saturating_add(1),
        }
        self.arrivals.insert((place.arrived, id));
        self.places.insert(id, place);
    }

    /// Takes an entry out.
    pub fn remove(&mut self, id: QueueId) -> Option<Place> {
        let place = self.places.remove(&id)?;
        self.arrivals.remove(&(place.arrived, id));
        match place.turn {
            Turn::Due(at) => {
                self.line_up(place.lane, |due| due.remove(&(at, id)));
                if let Entry::Occupied(mut deadlines) = self.deadlines.entry(place.lane) {
                    deadlines.get_mut().remove(&(place.deadline, id));
                    if deadlines.get().is_empty() {
                        deadlines.remove();
                    }
                }
            }
            Turn::Leased(until) => drop(self.leased.remove(&(until, id))),
            Turn::Held => self.held = self.held.saturating_sub(1),
        }
        Some(place)
    }

    /// Entries whose time has come, longest waiting first.
    pub fn lease(&mut self, now: Millis, taking: &Taking) -> Vec<QueueId> {
        let ids: Vec<QueueId> = self.come(taking.lane, now).take(taking.limit).collect();
        self.hand_out(&ids, taking.until);
        ids
    }

    /// As [`lease`](Self::lease), but only those whose deadline has come too.
    pub fn lease_overdue(&mut self, now: Millis, taking: &Taking) -> Vec<QueueId> {
        let has_come =
            |(_, id): &&(Millis, QueueId)| self.places.get(id).is_some_and(|place| matches!(place.turn, Turn::Due(at) if at <= now));
        let overdue = self.deadlines.get(&taking.lane).into_iter().flat_map(|deadlines| deadlines.range(..=(now, LAST)));
        let ids: Vec<QueueId> = overdue.filter(has_come).map(|(_, id)| *id).take(taking.limit).collect();
        self.hand_out(&ids, taking.until);
        ids
    }

    /// Those of a lane whose time has come.
    fn come(&self, lane: Lane, now: Millis) -> impl Iterator<Item = QueueId> {
        self.due.get(&lane).into_iter().flat_map(move |due| due.range(..=(now, LAST))).map(|(_, id)| *id)
    }

    /// Gives an entry its next time, leased or not; `false` when there is none.
    pub fn postpone(&mut self, id: QueueId, at: Millis) -> bool {
        let place = self.remove(id);
        place.map(|place| self.put(id, Place { turn: Turn::Due(at), ..place })).is_some()
    }

    /// Brings turns forward that are later than that; tells how many there were.
    pub fn bring_forward(&mut self, latest: Millis) -> usize {
        let later = |due: &BTreeSet<(Millis, QueueId)>| {
            let ids: Vec<QueueId> = due.range((Bound::Excluded((latest, LAST)), Bound::Unbounded)).map(|(_, id)| *id).collect();
            ids
        };
        let ids: Vec<QueueId> = self.due.values().flat_map(later).collect();
        ids.iter().filter(|id| self.postpone(**id, latest)).count()
    }

    /// Gives an entry that no attempt has this turn; one in somebody's hands stays there. Tells what its turn was.
    pub fn turn(&mut self, id: QueueId, turn: Turn) -> Option<Turn> {
        let place = self.get(id)?;
        match place.turn {
            Turn::Due(_) | Turn::Held => self.put(id, Place { turn, ..place }),
            Turn::Leased(_) => {}
        }
        Some(place.turn)
    }

    /// Lanes that are open and whose first turn has come, longest waiting first, and the first turn of those whose has not.
    pub fn lanes_due(&self, now: Millis, is_open: impl Fn(Lane) -> bool, limit: usize) -> (Vec<Lane>, Option<Millis>) {
        let end = Lane { route: u32::MAX, place: u64::MAX };
        let lanes = self.firsts.range(..=(now, end)).map(|(_, lane)| *lane).filter(|lane| is_open(*lane)).take(limit).collect();
        (lanes, self.firsts.range((Bound::Excluded((now, end)), Bound::Unbounded)).next().map(|(at, _)| *at))
    }

    /// When the next turn of a lane is.
    pub fn next(&self, lane: Lane) -> Option<Millis> {
        self.due.get(&lane).and_then(BTreeSet::first).map(|(at, _)| *at)
    }

    /// What waits, lane by lane. It looks at every entry, so it is for people.
    pub fn stats(&self) -> Vec<Waiting> {
        let mut lanes: BTreeMap<Lane, ([usize; 3], Millis)> = BTreeMap::new();
        for place in self.places.values() {
            let ([due, leased, held], oldest) = lanes.entry(place.lane).or_insert(([0; 3], Millis::MAX));
            match place.turn {
                Turn::Due(_) => *due += 1,
                Turn::Leased(_) => *leased += 1,
                Turn::Held => *held += 1,
            }
            *oldest = place.arrived.min(*oldest);
        }
        let waiting = |(lane, ([due, leased, held], oldest)): (Lane, ([usize; 3], Millis))| Waiting {
            lane,
            due,
            leased,
            held,
            oldest: super::timestamp(oldest),
        };
        lanes.into_iter().map(waiting).collect()
    }

    /// One entry's place.
    pub fn get(&self, id: QueueId) -> Option<Place> {
        self.places.get(&id).copied()
    }

    /// Up to `limit` entries in order of arrival, after that place in it.
    pub fn after(&self, place: Option<(Millis, QueueId)>, limit: usize) -> Vec<(Millis, QueueId)> {
        let after = place.map_or(Bound::Unbounded, Bound::Excluded);
        self.arrivals.range((after, Bound::Unbounded)).take(limit).copied().collect()
    }

    /// How many there are by whose turn it is, and since when the first of them.
    pub fn census(&self, now: Millis) -> Census {
        let due: usize = self.due.values().map(|due| due.range(..=(now, LAST)).count()).sum();
        let first = self.due.values().filter_map(|due| due.first()).map(|(at, _)| *at).min();
        Census {
            due,
            later: self.due.values().map(BTreeSet::len).sum::<usize>() - due,
            leased: self.leased.len(),
            held: self.held,
            oldest: self.arrivals.first().map(|(arrived, _)| *arrived),
            overdue: first.filter(|at| *at <= now),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Changes a lane's line. A lane with nothing in it is forgotten: there may be one for every domain of the world.
    fn line_up(&mut self, lane: Lane, change: impl FnOnce(&mut BTreeSet<(Millis, QueueId)>) -> bool) {
        let due = self.due.entry(lane).or_default();
        let before = due.first().map(|(at, _)| *at);
        change(due);
        let after = due.first().map(|(at, _)| *at);
        if due.is_empty() {
            self.due.remove(&lane);
        }
        if before != after {
            before.map(|at| self.firsts.remove(&(at, lane)));
            after.map(|at| self.firsts.insert((at, lane)));
        }
    }

    /// Another moment by which its sender must hear something.
    pub fn set_deadline(&mut self, id: QueueId, deadline: Millis) {
        if let Some(place) = self.get(id) {
            self.put(id, Place { deadline, ..place });
        }
    }

    /// An attempt has this entry for longer: what came of it is known and not written yet.
    pub fn renew(&mut self, id: QueueId, until: Instant) {
        if let Some(place) = self.get(id) {
            self.put(id, Place { turn: Turn::Leased(until), ..place });
        }
    }

    /// Whose lease has run out at this moment of the time that passes is due now.
    pub fn expire_leases(&mut self, at: Instant, now: Millis) {
        while let Some(&(_, id)) = self.leased.first().filter(|(until, _)| *until <= at) {
            self.postpone(id, now);
        }
    }

    fn hand_out(&mut self, ids: &[QueueId], until: Instant) {
        for &id in ids {
            if let Some(place) = self.remove(id) {
                self.put(id, Place { turn: Turn::Leased(until), ..place });
            }
        }
    }
}

/// After every id at the same time.
const LAST: QueueId = QueueId(u64::MAX);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn waiting(arrived: Millis, due: Millis) -> Place {
        Place { lane: Lane::of(1), arrived, deadline: arrived + 1000, turn: Turn::Due(due) }
    }

    fn taking(limit: usize) -> Taking {
        Taking { lane: Lane::of(1), until: Instant::now(), limit }
    }

    fn index(entries: &[(u64, Millis, Millis)]) -> Index {
        let mut index = Index::default();
        for &(id, arrived, due) in entries {
            index.put(QueueId(id), waiting(arrived, due));
        }
        index
    }

    fn arrivals(found: &[(Millis, QueueId)]) -> Vec<u64> {
        found.iter().map(|(_, id)| id.0).collect()
    }

    fn numbers(ids: &[QueueId]) -> Vec<u64> {
        ids.iter().map(|id| id.0).collect()
    }

    #[test]
    fn the_longest_waiting_goes_first_and_the_future_stays() {
        let mut index = index(&[(1, 0, 30), (2, 0, 10), (3, 0, 20), (4, 0, 99)]);
        assert_eq!(numbers(&index.lease(50, &taking(2))), [2, 3]);
        assert_eq!(numbers(&index.lease(50, &taking(2))), [1]);
        assert_eq!(numbers(&index.lease(50, &taking(2))), [] as [u64; 0]);
        assert_eq!(index.next(Lane::of(1)), Some(99));
    }

    #[test]
    fn a_lease_runs_out_by_the_time_that_passes_whatever_the_clock_shows() {
        let mut index = index(&[(1, 0, 10), (2, 0, 600)]);
        let begun = Instant::now();
        let until = begun + Duration::from_secs(500);
        assert_eq!(numbers(&index.lease(10, &Taking { until, ..taking(9) })), [1]);
        index.expire_leases(begun + Duration::from_secs(499), 1_000_000_000);
        assert_eq!(numbers(&index.lease(20, &taking(9))), [] as [u64; 0]);
        index.expire_leases(until, 700);
        assert_eq!(numbers(&index.lease(700, &taking(9))), [2, 1]);
    }

    #[test]
    fn a_lease_that_is_renewed_goes_on() {
        let mut index = index(&[(1, 0, 10)]);
        let until = Instant::now() + Duration::from_secs(500);
        index.lease(10, &Taking { until, ..taking(9) });
        index.renew(QueueId(1), until + Duration::from_secs(500));
        index.expire_leases(until, 700);
        assert_eq!(numbers(&index.lease(700, &taking(9))), [] as [u64; 0]);
        index.renew(QueueId(2), until);
        assert_eq!(index.len(), 1, "one that is gone does not come back");
    }

    #[test]
    fn lanes_do_not_wait_for_each_other_and_are_counted_apart() {
        let mut index = index(&[(1, 5, 10), (2, 6, 20)]);
        index.put(QueueId(3), Place { lane: Lane::of(2), ..waiting(7, 15) });
        assert_eq!(numbers(&index.lease(50, &Taking { lane: Lane::of(2), ..taking(9) })), [3]);
        assert_eq!(numbers(&index.lease(50, &Taking { lane: Lane::of(3), ..taking(9) })), [] as [u64; 0]);
        assert_eq!((index.next(Lane::of(1)), index.next(Lane::of(2)), index.next(Lane::of(3))), (Some(10), None, None));
        let told: Vec<_> = index.stats().iter().map(|waiting| (waiting.lane, waiting.due, waiting.leased)).collect();
        assert_eq!(told, [(Lane::of(1), 2, 0), (Lane::of(2), 0, 1)]);
        assert_eq!(numbers(&index.lease(50, &taking(9))), [1, 2]);
    }

    #[test]
    fn lanes_come_by_their_first_turn_and_an_empty_one_is_forgotten() {
        let lane = |place| Lane { route: 1, place };
        let mut index = Index::default();
        for (id, place, due) in [(1, 7, 30), (2, 8, 10), (3, 7, 20), (4, 9, 99)] {
            index.put(QueueId(id), Place { lane: lane(place), ..waiting(0, due) });
        }
        let all = |_| true;
        assert_eq!(index.lanes_due(50, all, 9), (vec![lane(8), lane(7)], Some(99)));
        assert_eq!(index.lanes_due(50, all, 1).0, [lane(8)]);
        assert_eq!(index.lanes_due(50, |open| open != lane(8), 1).0, [lane(7)], "one without room takes nobody's place");
        index.remove(QueueId(3));
        assert_eq!(index.lanes_due(25, all, 9), (vec![lane(8)], Some(30)));
        for id in [1, 2, 4] {
            index.remove(QueueId(id));
        }
        assert_eq!((index.lanes_due(99, all, 9), index.due.len()), ((vec![], None), 0));
    }

    #[test]
    fn what_is_due_too_late_is_brought_forward_and_the_rest_stays() {
        let mut index = index(&[(1, 0, 10), (2, 0, 501), (3, 0, 9_000), (4, 0, 9_000)]);
        index.turn(QueueId(4), Turn::Held);
        assert_eq!((index.bring_forward(500), index.bring_forward(500)), (2, 0));
        assert_eq!(numbers(&index.lease(499, &taking(9))), [1]);
        assert_eq!(numbers(&index.lease(500, &taking(9))), [2, 3]);
    }

    #[test]
    fn only_what_is_overdue_is_taken_when_only_that_is_asked_for() {
        let mut index = index(&[(1, 0, 10), (2, 900, 10)]);
        assert_eq!(numbers(&index.lease_overdue(1000, &taking(9))), [1]);
        assert_eq!(numbers(&index.lease_overdue(1900, &taking(9))), [2]);
    }

    #[test]
    fn the_list_goes_by_arrival_and_goes_on_where_it_stopped() {
        let mut index = index(&[(7, 1, 5), (3, 2, 4), (9, 3, 3), (1, 4, 2)]);
        assert_eq!(arrivals(&index.after(None, 3)), [7, 3, 9]);
        assert_eq!(arrivals(&index.after(Some((3, QueueId(9))), 3)), [1]);
        assert_eq!(arrivals(&index.after(Some((4, QueueId(1))), 3)), [] as [u64; 0]);
        index.remove(QueueId(9));
        assert_eq!(arrivals(&index.after(Some((3, QueueId(9))), 3)), [1], "where it stopped may be gone");
    }

    #[test]
    fn a_census_tells_whose_turn_it_is() {
        let mut index = index(&[(1, 5, 30), (2, 3, 10), (3, 4, 20), (4, 9, 99), (5, 7, 8)]);
        assert_eq!(index.turn(QueueId(5), Turn::Held), Some(Turn::Due(8)));
        index.lease(10, &taking(1));
        assert_eq!(index.census(30), Census { due: 2, later: 1, leased: 1, held: 1, oldest: Some(3), overdue: Some(20) });
        index.remove(QueueId(2));
        assert_eq!(index.census(10), Census { due: 0, later: 3, leased: 0, held: 1, oldest: Some(4), overdue: None });
    }

    #[test]
    fn what_is_held_is_nobodys_turn_and_what_an_attempt_has_stays_there() {
        let mut index = index(&[(1, 0, 10), (2, 0, 10), (3, 0, 900)]);
        assert_eq!(numbers(&index.lease(10, &taking(1))), [1]);
        assert!(matches!(index.turn(QueueId(1), Turn::Held), Some(Turn::Leased(_))));
        assert_eq!(index.turn(QueueId(2), Turn::Held), Some(Turn::Due(10)));
        assert_eq!(index.turn(QueueId(3), Turn::Due(20)), Some(Turn::Due(900)));
        assert_eq!(index.turn(QueueId(4), Turn::Held), None);
        assert_eq!(numbers(&index.lease(400, &taking(9))), [3]);
        index.expire_leases(Instant::now(), 500);
        assert_eq!(numbers(&index.lease_overdue(9999, &taking(9))), [1, 3], "a lease that ran out");
        assert_eq!(index.turn(QueueId(2), Turn::Due(30)), Some(Turn::Held));
        assert_eq!(numbers(&index.lease(30, &taking(9))), [2]);
        assert_eq!((index.census(30).held, index.len()), (0, 3));
    }
}
