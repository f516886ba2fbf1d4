//! Where the time comes from: an argument, never a call.
//!
//! Decisions take `now`; the drivers that run for long hold a [`Clock`]. Only the gateway
//! makes one that reads the machine's time, so a test can move the hands itself.
//!
//! There are two times. [`now`](Clock::now) is what the machine's clock shows: for trace fields and for
//! when to try again. [`certain`](Clock::certain) is what ends things: links and visits. It follows the machine's
//! clock as long as that agrees with the time that has passed since (uptime, suspended or not). When the
//! clock jumps, certain time goes on by uptime alone and the clock is in [`doubt`](Clock::doubt): nothing is
//! shredded or given up until the clock has been believable for ten minutes, has come back, or the operator
//! says that it is right. Certain time never runs back: where it is ahead, it runs at half speed until
//! it is caught up with.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// The gateway's clock.
#[derive(Clone)]
pub struct Clock {
    read: Arc<dyn Fn() -> Reading + Send + Sync>,
    reckoning: Arc<Mutex<Option<Reckoning>>>,
}

/// What the machine shows at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Its clock, which people and servers set.
    pub wall: Timestamp,
    /// The time since some moment before the start, which nobody sets; it goes on while the machine sleeps.
    pub uptime: SignedDuration,
}

/// A clock that cannot be believed at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// How far the machine's clock is ahead of certain time; negative is behind.
    pub ahead: SignedDuration,
    /// How long it has to go on evenly before it is believed.
    pub remains: SignedDuration,
}

/// A moment at which something may come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// What the machine shows.
    pub now: Timestamp,
    /// Whether that is believed. If not, nothing is over.
    pub certainty: Certainty,
}

/// Whether the machine's clock is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// It is.
    Certain,
    /// It is not, for now.
    InDoubt,
}

impl From<Timestamp> for Moment {
    fn from(now: Timestamp) -> Self {
        Self { now, certainty: Certainty::Certain }
    }
}

impl Clock {
    /// A clock whose hands are moved as if the time passed.
    pub fn new(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self::reading(move || {
            let wall = read();
            Reading { wall, uptime: wall.duration_since(Timestamp::UNIX_EPOCH) }
        })
    }

    /// A clock beside which somebody counts the time that passes.
    pub fn reading(read: impl Fn() -> Reading + Send + Sync + 'static) -> Self {
        Self { read: Arc::new(read), reckoning: Arc::default() }
    }

    /// The time that the machine shows.
    pub fn now(&self) -> Timestamp {
        (self.read)().wall
    }

    /// The time that ends things.
    pub fn certain(&self) -> Timestamp {
        self.reckon(|reckoning, _| reckoning.certain)
    }

    /// Whether the machine's clock is believed, and if not, why.
    pub fn doubt(&self) -> Option<Doubt> {
        self.reckon(|reckoning, reading| reckoning.doubt(reading))
    }

    /// The time that the machine shows, with what is thought of it.
    pub fn moment(&self) -> Moment {
        self.reckon(|reckoning, reading| Moment {
            now: reading.wall,
            certainty: if reckoning.uneven.is_none() { Certainty::Certain } else { Certainty::InDoubt },
        })
    }

    /// Goes on from the latest time that an earlier run was certain of.
    pub fn resume(&self, latest: Timestamp) {
        *self.lock() = Some(Reckoning::from(latest, (self.read)()));
    }

    /// Believes the machine's clock from here on, whatever it showed before. The one way back.
    pub fn accept(&self) {
        let reading = (self.read)();
        *self.lock() = Some(Reckoning::from(reading.wall, reading));
    }

    fn reckon<T>(&self, look: impl FnOnce(&Reckoning, Reading) -> T) -> T {
        let mut reckoning = self.lock();
        // Inside the lock: two readers must not hand over their readings in the wrong order.
        let reading = (self.read)();
        let reckoning = reckoning.get_or_insert_with(|| Reckoning::from(reading.wall, reading));
        reckoning.go_on(reading);
        look(reckoning, reading)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Reckoning>> {
        self.reckoning.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Certain time, and what it was last reckoned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reckoning {
    certain: Timestamp,
    seen: Reading,
    /// Since when (uptime) the clock has gone on evenly without being believed.
    uneven: Option<SignedDuration>,
}

impl Reckoning {
    fn from(certain: Timestamp, seen: Reading) -> Self {
        let uneven = (!agree(seen.wall, certain)).then_some(seen.uptime);
        let certain = if uneven.is_none() { certain.max(seen.wall) } else { certain };
        Self { certain, seen, uneven }
    }

    fn go_on(&mut self, reading: Reading) {
        let passed = (reading.uptime - self.seen.uptime).max(SignedDuration::ZERO);
        let by_uptime = later(self.certain, passed);
        let is_even = agree(reading.wall, later(self.seen.wall, passed));
        self.seen = reading;
        self.uneven = match self.uneven {
            // It is back, or it is small enough to be somebody's correction.
            _ if agree(reading.wall, by_uptime) => None,
            None if is_even => None,
            Some(since) if is_even && reading.uptime - since >= BELIEVED_AFTER => None,
            Some(since) if is_even => Some(since),
            None | Some(_) => Some(reading.uptime),
        };
        self.certain = match self.uneven {
            Some(_) => by_uptime,
            None if reading.wall >= by_uptime => reading.wall,
            None => later(self.certain, passed / 2).max(reading.wall),
        };
    }

    fn doubt(&self, reading: Reading) -> Option<Doubt> {
        let since = self.uneven?;
        let remains = (BELIEVED_AFTER - (reading.uptime - since)).max(SignedDuration::ZERO);
        Some(Doubt { ahead: reading.wall.duration_since(self.certain), remains })
    }
}

fn agree(one: Timestamp, other: Timestamp) -> bool {
    one.duration_since(other).abs() <= JUMP
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_add(by).unwrap_or(time)
}

/// Corrections by a time server are smaller.
const JUMP: SignedDuration = SignedDuration::from_mins(5);
/// Long enough for a time server, or an operator, to put a wrong clock right.
const BELIEVED_AFTER: SignedDuration = SignedDuration::from_mins(10);

#[cfg(test)]
mod tests {
    use super::*;

    /// Minutes of uptime, minutes that the clock shows, minutes of certain time, whether there is doubt.
    type Row = (i64, i64, i64, bool);

    fn walk(rows: &[Row]) {
        let reading = |uptime, wall| Reading { wall: minute(wall), uptime: SignedDuration::from_mins(uptime) };
        let mut reckoning = Reckoning::from(minute(rows[0].1), reading(rows[0].0, rows[0].1));
        for &(uptime, wall, certain, in_doubt) in rows {
            reckoning.go_on(reading(uptime, wall));
            let doubt = reckoning.doubt(reading(uptime, wall));
            assert_eq!((reckoning.certain, doubt.is_some()), (minute(certain), in_doubt), "at {uptime}: {reckoning:?}");
        }
    }

    fn minute(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).unwrap()
    }

    #[test]
    fn certain_time_is_the_clocks_as_long_as_the_clock_is_even() {
        walk(&[(0, 1000, 1000, false), (7, 1007, 1007, false), (500, 1503, 1503, false), (501, 1509, 1509, false)]);
    }

    #[test]
    fn a_jump_is_believed_after_ten_even_minutes() {
        walk(&[(0, 1000, 1000, false), (1, 9000, 1001, true), (5, 9004, 1005, true), (10, 9009, 1010, true), (11, 9010, 9010, false)]);
    }

    #[test]
    fn a_clock_that_jumps_again_begins_anew() {
        walk(&[(0, 1000, 1000, false), (1, 9000, 1001, true), (9, 9508, 1009, true), (12, 9511, 1012, true), (19, 9518, 9518, false)]);
    }

    #[test]
    fn a_clock_that_comes_back_is_believed_at_once() {
        walk(&[(0, 1000, 1000, false), (1, 9000, 1001, true), (4, 1004, 1004, false), (30, 1030, 1030, false)]);
    }

    #[test]
    fn certain_time_never_runs_back_and_is_caught_up_with() {
        walk(&[(0, 1000, 1000, false), (2, 900, 1002, true), (12, 910, 1007, false), (32, 930, 1017, false), (232, 1130, 1130, false)]);
        walk(&[(0, 1000, 1000, false), (2, 998, 1001, false), (4, 1000, 1002, false), (20, 1016, 1016, false)]);
    }

    #[test]
    fn after_a_pause_the_clock_has_to_prove_itself_and_a_short_one_is_nothing() {
        let reading = |wall| Reading { wall: minute(wall), uptime: SignedDuration::from_mins(3) };
        assert_eq!(Reckoning::from(minute(1000), reading(1004)).certain, minute(1004));
        let after = Reckoning::from(minute(1000), reading(5000));
        assert_eq!((after.certain, after.doubt(reading(5000)).is_some()), (minute(1000), true));
        assert_eq!(Reckoning::from(minute(1000), reading(900)).certain, minute(1000));
    }

    #[test]
    fn an_operator_may_believe_it_at_once() {
        use std::sync::atomic::{AtomicI64, Ordering};
        let wall = Arc::new(AtomicI64::new(1000));
        let shown = wall.clone();
        let clock = Clock::reading(move || Reading { wall: minute(shown.load(Ordering::Relaxed)), uptime: SignedDuration::ZERO });
        assert_eq!((clock.certain(), clock.doubt()), (minute(1000), None));
        wall.store(9000, Ordering::Relaxed);
        let ahead = SignedDuration::from_mins(8000);
        assert_eq!((clock.certain(), clock.doubt()), (minute(1000), Some(Doubt { ahead, remains: BELIEVED_AFTER })));
        clock.accept();
        assert_eq!((clock.certain(), clock.doubt()), (minute(9000), None));
        wall.store(500, Ordering::Relaxed);
        clock.accept();
        assert_eq!((clock.certain(), clock.doubt()), (minute(500), None));
    }
}
