//! How much each sender sends: a limit by the hour, and an alarm when it is reached or when a sender sends
//! ten times as much as it is used to.
//!
//! A stolen password, a malware on a desk, a script in a circle: all of them send as somebody who
//! exists, with every right to. What gives them away is how much it is. What is usual is learnt in memory and starts
//! again with the process; in a sender's first day nothing is unusual yet.
//!
//! The alarm is one event for each sender and hour, and the only one that names somebody: an
//! operator who is told that a sender floods has to know which.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::{Options, Refusal};
use crate::event::{Event, emit};

/// All senders of late.
#[derive(Debug)]
pub struct Senders {
    messages: u64,
    recipients: u64,
    known: Mutex<HashMap<String, Record>>,
}

/// One sender.
#[derive(Debug)]
struct Record {
    /// When it was first seen.
    since: Timestamp,
    /// When the hour that is counted began: with its first message.
    hour: Timestamp,
    messages: u64,
    recipients: u64,
    alarm: Alarm,
    /// Recipients by day, in a ring.
    days: [u64; DAYS],
    /// The day that was counted last, since the epoch.
    day: i64,
}

/// Whether the operator was told in this hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alarm {
    Quiet,
    Raised,
}

impl Senders {
    /// With the limits of the options.
    pub fn new(options: &Options) -> Self {
        Self { messages: options.sender_messages, recipients: options.sender_recipients, known: Mutex::default() }
    }

    /// Counts one message of this sender to so many recipients, or refuses it for now. A refused one is not counted:
    /// its next try is the same message.
    pub fn count(&self, sender: &str, recipients: usize, now: Timestamp) -> Result<(), Refusal> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= SENDERS_MAX && !known.contains_key(sender) {
            forget_one(&mut known);
        }
        let record = known.entry(sender.to_owned()).or_insert_with(|| Record::new(now));
        record.advance(now);
        let recipients = recipients as u64;
        if let Some(because) = self.excess(record.messages + 1, record.recipients + recipients) {
            record.raise(sender, &because);
            return Err(Refusal::TooMuch { because: format!("this sender has sent {because}, which is the limit, try again later") });
        }
        record.add(recipients);
        if record.is_unusual(now) {
            record.raise(sender, "ten times as much as usual");
        }
        Ok(())
    }

    /// Which limit so much would exceed.
    fn excess(&self, messages: u64, recipients: u64) -> Option<String> {
        match (self.messages, self.recipients) {
            (limit, _) if limit > 0 && messages > limit => Some(format!("{limit} messages within an hour")),
            (_, limit) if limit > 0 && recipients > limit => Some(format!("to {limit} recipients within an hour")),
            _ => None,
        }
    }
}

impl Record {
    fn new(now: Timestamp) -> Self {
        Self { since: now, hour: now, messages: 0, recipients: 0, alarm: Alarm::Quiet, days: [0; DAYS], day: day(now) }
    }

    /// Begins a new hour and new days where they have come.
    fn advance(&mut self, now: Timestamp) {
        let passed = now.duration_since(self.hour);
        // A clock that was set back begins anew as well: nobody shall wait for it to come back.
        if passed >= HOUR || passed.is_negative() {
            (self.hour, self.messages, self.recipients, self.alarm) = (now, 0, 0, Alarm::Quiet);
        }
        let today = day(now);
        for begun in (self.day + 1..=today).rev().take(DAYS) {
            *self.of_day(begun) = 0;
        }
        self.day = today;
    }

    fn add(&mut self, recipients: u64) {
        self.messages += 1;
        self.recipients += recipients;
        *self.of_day(self.day) += recipients;
    }

    /// Against the mean of the last seven days without this hour. Mail of a dozen people is nobody's flood, however
    /// little was usual.
    fn is_unusual(&self, now: Timestamp) -> bool {
        let hours = now.duration_since(self.since).as_hours();
        let before = self.days.iter().sum::<u64>().saturating_sub(self.recipients);
        // Six whole days, and what there is of this one.
        let covered = HOURS_A_DAY * (DAYS as i64 - 1) + now.as_second().rem_euclid(86_400) / 3_600;
        let observed = hours.min(covered).unsigned_abs();
        hours >= HOURS_A_DAY && self.recipients > FLOOD_MIN && self.recipients * observed > before * TIMES_THE_USUAL
    }

    /// Tells the operator, once in an hour.
    fn raise(&mut self, sender: &str, because: &str) {
        if self.alarm == Alarm::Quiet {
            self.alarm = Alarm::Raised;
            emit(&Event::Alarm { sender, because, messages: self.messages, recipients: self.recipients });
        }
    }

    fn of_day(&mut self, day: i64) -> &mut u64 {
        let [first, rest @ ..] = &mut self.days;
        let index = usize::try_from(day.rem_euclid(DAYS as i64)).unwrap_or_default();
        index.checked_sub(1).and_then(|index| rest.get_mut(index)).unwrap_or(first)
    }
}

/// Makes room: whoever has sent nothing for the longest time is new again when he comes back.
fn forget_one(known: &mut HashMap<String, Record>) {
    let quietest = known.iter().min_by_key(|(_, record)| record.hour).map(|(sender, _)| sender.clone());
    if let Some(sender) = quietest {
        known.remove(&sender);
    }
}

fn day(now: Timestamp) -> i64 {
    now.as_second().div_euclid(86_400)
}

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const HOURS_A_DAY: i64 = 24;
/// What is usual is the mean of a week, so that a weekend is no quiet to compare with.
const DAYS: usize = 7;
const TIMES_THE_USUAL: u64 = 10;
/// Recipients in an hour.
const FLOOD_MIN: u64 = 100;
/// About 200 octets each.
const SENDERS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn senders(messages: u64, recipients: u64) -> Senders {
        Senders::new(&Options { sender_messages: messages, sender_recipients: recipients, ..Options::default() })
    }

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + minutes * 60).unwrap()
    }

    fn alarmed(senders: &Senders, sender: &str) -> bool {
        senders.known.lock().unwrap()[sender].alarm == Alarm::Raised
    }

    #[test]
    fn above_the_limit_a_sender_waits_for_the_next_hour_and_others_do_not() {
        let senders = senders(3, 0);
        for minute in 0..3 {
            assert_eq!(senders.count("ann@example.org", 1, at(minute)), Ok(()));
        }
        let because = String::from("this sender has sent 3 messages within an hour, which is the limit, try again later");
        assert_eq!(senders.count("ann@example.org", 1, at(3)), Err(Refusal::TooMuch { because }));
        assert!(alarmed(&senders, "ann@example.org"));
        assert_eq!(senders.count("bob@example.org", 1, at(3)), Ok(()));
        assert!(senders.count("ann@example.org", 1, at(59)).is_err());
        assert_eq!(senders.count("ann@example.org", 1, at(60)), Ok(()));
        assert!(!alarmed(&senders, "ann@example.org"));
        // A clock that was set back by a month.
        assert_eq!(senders.count("ann@example.org", 1, at(-43_200)), Ok(()));
    }

    #[test]
    fn recipients_have_a_limit_of_their_own_and_zero_is_none() {
        let few = senders(0, 1_000);
        assert_eq!(few.count("ann@example.org", 600, at(0)), Ok(()));
        assert!(few.count("ann@example.org", 600, at(1)).is_err());
        assert_eq!(few.count("ann@example.org", 400, at(2)), Ok(()));
        let all = senders(0, 0);
        assert!((0..20_000).all(|_| all.count("ann@example.org", 1_000, at(0)).is_ok()));
    }

    #[test]
    fn ten_times_the_usual_raises_an_alarm_and_less_does_not() {
        let senders = senders(0, 0);
        // Twenty an hour, for eight days of 24 hours.
        for hour in 0..8 * 24 {
            senders.count("erp@example.org", 20, at(hour * 60)).unwrap();
        }
        assert!(!alarmed(&senders, "erp@example.org"));
        let next = 8 * 24 * 60;
        senders.count("erp@example.org", 195, at(next)).unwrap();
        assert!(!alarmed(&senders, "erp@example.org"));
        senders.count("erp@example.org", 30, at(next + 1)).unwrap();
        assert!(alarmed(&senders, "erp@example.org"));
        // A week of silence forgets what was usual; a first day knows nothing of it.
        senders.count("new@example.org", 5_000, at(next)).unwrap();
        assert!(!alarmed(&senders, "new@example.org"));
        senders.count("new@example.org", 99, at(next + 60 * 24 * 20)).unwrap();
        assert!(!alarmed(&senders, "new@example.org"));
        senders.count("new@example.org", 2, at(next + 60 * 24 * 20 + 1)).unwrap();
        assert!(alarmed(&senders, "new@example.org"));
    }

    #[test]
    fn senders_without_number_take_no_memory_without_number() {
        let senders = senders(1, 0);
        for number in 0..SENDERS_MAX as i64 + 100 {
            senders.count(&format!("{number}@example.org"), 1, at(number)).unwrap();
        }
        let known = senders.known.lock().unwrap();
        assert_eq!(known.len(), SENDERS_MAX);
        assert!(!known.contains_key("99@example.org") && known.contains_key("100@example.org"));
    }
}
