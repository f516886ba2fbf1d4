//! What an attempt means for an entry: who is done, who waits until when, who hears about it.
//!
//! A pure function of the entry, the outcomes and the time. RFC 5321 §4.5.4.1 (retries), RFC 3461 §5.2
//! (when a report is due).

use super::entry::{Entry, Terms, Told};
use super::index::Millis;
use super::{Diagnostic, Fate, Outcome, Reports};
use crate::clock::{Certainty, Moment};
use crate::mail::dsn::{self, Action};
use crate::mail::{EnhancedStatus, Mailbox, Notify, Recipient};

/// What becomes of an entry.
#[derive(Debug, Default)]
pub(super) struct Settlement {
    /// The entry with the recipients that are still open; none when everybody is settled.
    pub remains: Option<Entry>,
    /// Reports to the sender, each about recipients of one fate.
    pub reports: Vec<Vec<dsn::Fate>>,
    /// Recipients that will never get the message, with the status that says why.
    pub failed: Vec<(Mailbox, EnhancedStatus)>,
}

/// Settles `entry` after an attempt that ended at `moment` with `outcomes`. A recipient without an outcome
/// is late. While the clock is in doubt, it is neither too late nor late enough to be told.
///
/// An entry is given up when its lifetime is over and it has had its attempts. Nobody's attempt is used up by
/// finding its way away before that; afterwards such a turn counts, or a way that never comes back would keep
/// its mail for ever.
pub(super) fn settle(entry: Entry, outcomes: &[Outcome], terms: &Terms, moment: Moment) -> Settlement {
    let now = moment.now.as_millisecond();
    let is_certain = moment.certainty == Certainty::Certain;
    let is_spent = is_certain && now >= entry.head.expires(terms);
    let was_attempted = outcomes.iter().any(|outcome| matches!(outcome.fate, Fate::Deferred(_) | Fate::Unproven(_)));
    let attempts = if was_attempted || is_spent { entry.attempts.saturating_add(1) } else { entry.attempts };
    let late = is_certain && entry.head.late_from(terms).is_some_and(|late| now >= late);
    let mut ledger = Ledger { over: is_spent && attempts >= ATTEMPTS_MIN, late, ..Ledger::default() };
    for recipient in &entry.envelope.recipients {
        let outcome = outcomes.iter().find(|outcome| outcome.recipient == recipient.forward_path);
        ledger.enter(recipient, outcome.map(|outcome| &outcome.fate));
    }
    let Ledger { open, relayed, delivered, failed, delayed, lost, last, .. } = ledger;
    let reports = [failed, delayed, relayed, delivered].into_iter().filter(|fates| !fates.is_empty()).collect();
    let remains = (!open.is_empty()).then(|| {
        let mut entry = entry;
        entry.envelope.recipients = open;
        entry.last = last.or(entry.last);
        // Who was not attempted keeps its place in the schedule and comes again soon.
        let step = if attempts > entry.attempts { entry.attempts } else { 0 };
        entry.head.next = next_attempt(&entry, step, (terms, moment));
        entry.attempts = attempts;
        if late {
            entry.head.told = Told::Late;
        }
        entry
    });
    Settlement { remains, reports, failed: lost }
}

/// The recipients of one entry, sorted by fate.
#[derive(Default)]
struct Ledger {
    over: bool,
    late: bool,
    open: Vec<Recipient>,
    relayed: Vec<dsn::Fate>,
    delivered: Vec<dsn::Fate>,
    failed: Vec<dsn::Fate>,
    delayed: Vec<dsn::Fate>,
    lost: Vec<(Mailbox, EnhancedStatus)>,
    last: Option<Diagnostic>,
}

impl Ledger {
    fn enter(&mut self, recipient: &Recipient, fate: Option<&Fate>) {
        match fate {
            Some(Fate::Relayed { reports: Reports::Onward } | Fate::Replaced) => {}
            Some(Fate::Relayed { reports: Reports::None }) => tell(&mut self.relayed, recipient, Action::Relayed),
            Some(Fate::Relayed { reports: Reports::Final }) => tell(&mut self.delivered, recipient, Action::Delivered),
            Some(Fate::Failed(why)) => self.fail(recipient, why.status, Some(why)),
            // RFC 3463 §3.5: X.4.7 is "delivery time expired".
            Some(Fate::Deferred(why) | Fate::Unreached(why) | Fate::Unproven(why)) if self.over => self.fail(recipient, EXPIRED, Some(why)),
            None if self.over => self.fail(recipient, EXPIRED, None),
            Some(Fate::Deferred(why) | Fate::Unreached(why) | Fate::Unproven(why)) => self.defer(recipient, Some(why)),
            None => self.defer(recipient, None),
        }
    }

    fn fail(&mut self, recipient: &Recipient, status: EnhancedStatus, why: Option<&Diagnostic>) {
        self.lost.push((recipient.forward_path.clone(), status));
        if wants(recipient, Action::Failed) {
            self.failed.push(line(recipient, Action::Failed, status, why));
        }
    }

    fn defer(&mut self, recipient: &Recipient, why: Option<&Diagnostic>) {
        if self.late && wants(recipient, Action::Delayed) {
            self.delayed.push(line(recipient, Action::Delayed, why.map_or(LATE, |why| why.status), why));
        }
        self.last = why.cloned().or_else(|| self.last.take());
        self.open.push(recipient.clone());
    }
}

/// Success, where the sender asked to hear of it.
fn tell(fates: &mut Vec<dsn::Fate>, recipient: &Recipient, action: Action) {
    if wants(recipient, action) {
        fates.push(line(recipient, action, SUCCESS, None));
    }
}

/// Whether the sender asked to hear this of the recipient. RFC 3461 §4.1.
pub(super) fn wants(recipient: &Recipient, action: Action) -> bool {
    match (recipient.notify, action) {
        // §5.2.2 (c), §5.2.7: without NOTIFY failures are reported, delays may be, success is not.
        (None, Action::Failed | Action::Delayed) => true,
        (None, Action::Relayed | Action::Delivered) | (Some(Notify::Never), _) => false,
        (Some(Notify::On { failure, .. }), Action::Failed) => failure,
        (Some(Notify::On { delay, .. }), Action::Delayed) => delay,
        (Some(Notify::On { success, .. }), Action::Relayed | Action::Delivered) => success,
    }
}

fn line(recipient: &Recipient, action: Action, status: EnhancedStatus, why: Option<&Diagnostic>) -> dsn::Fate {
    dsn::Fate {
        recipient: recipient.clone(),
        action,
        status,
        diagnostic: why.map(|why| why.text.clone()),
        remote: why.and_then(|why| why.remote.clone()),
    }
}

/// By this step of the schedule, but not past the end of the lifetime: the sender hears of it on time.
fn next_attempt(entry: &Entry, step: u32, (terms, moment): (&Terms, Moment)) -> Millis {
    let now = moment.now.as_millisecond();
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    let schedule = &terms.options.retry_minutes;
    let minutes = schedule.get(step).or(schedule.last()).copied().unwrap_or(RETRY_MINUTES);
    let next = now.saturating_add(Millis::from(minutes.max(1)).saturating_mul(60_000));
    let expires = entry.head.expires(terms);
    match moment.certainty {
        Certainty::Certain if now < expires => next.min(expires),
        Certainty::Certain | Certainty::InDoubt => next,
    }
}

/// RFC 3463 §3.5.
const EXPIRED: EnhancedStatus = EnhancedStatus::new(5, 4, 7);
/// Other or undefined network status, for now.
const LATE: EnhancedStatus = EnhancedStatus::new(4, 4, 0);
/// Success without further words.
const SUCCESS: EnhancedStatus = EnhancedStatus::new(2, 0, 0);
/// What every entry gets before it is given up, however short its lifetime and however long the gateway was away.
pub const ATTEMPTS_MIN: u32 = 5;
/// When the schedule has no step at all.
const RETRY_MINUTES: u32 = 60;

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::Options;
    use super::super::entry::tests::{entry, mailbox, terms};
    use super::super::index::Turn;
    use super::*;

    /// At a time that is believed.
    fn settle(entry: Entry, outcomes: &[Outcome], options: &Options, now: Millis) -> Settlement {
        super::settle(entry, outcomes, &terms(options.clone()), Timestamp::from_millisecond(now).unwrap().into())
    }

    const HOUR: Millis = 3_600_000;
    const MINUTE: Millis = 60_000;

    fn to(address: &str, notify: Option<Notify>) -> Recipient {
        Recipient { notify, ..Recipient::new(mailbox(address)) }
    }

    fn why(class: u8) -> Diagnostic {
        Diagnostic { status: EnhancedStatus::new(class, 2, 2), text: "full".into(), remote: None }
    }

    fn outcome(address: &str, fate: Fate) -> Outcome {
        Outcome { recipient: mailbox(address), fate }
    }

    const fn on([success, failure, delay]: [bool; 3]) -> Option<Notify> {
        Some(Notify::On { success, failure, delay })
    }

    #[test]
    fn attempts_follow_the_schedule_and_its_last_step_repeats() {
        let options = Options { retry_minutes: vec![1, 5, 15], ..Options::default() };
        for (attempts, minutes) in [(0, 1), (1, 5), (2, 15), (3, 15), (900, 15)] {
            let entry = Entry { attempts, ..entry(vec![to("b@example.net", None)]) };
            let late = [outcome("b@example.net", Fate::Deferred(why(4)))];
            let remains = settle(entry, &late, &options, HOUR).remains.unwrap();
            assert_eq!((remains.head.next, remains.attempts), (HOUR + minutes * MINUTE, attempts + 1));
        }
    }

    #[test]
    fn the_last_attempt_is_at_the_end_of_the_lifetime_and_not_after_it() {
        let options = Options { retry_minutes: vec![240], lifetime_hours: 5, delay_notice_hours: 0 };
        let late = [outcome("b@example.net", Fate::Deferred(why(4)))];
        let entry = Entry { attempts: 3, ..entry(vec![to("b@example.net", None)]) };
        let first = settle(entry, &late, &options, 2 * HOUR).remains.unwrap();
        assert_eq!((first.head.next, first.attempts), (5 * HOUR, 4));
        let last = settle(first, &late, &options, 5 * HOUR);
        assert!(last.remains.is_none());
        assert_eq!(last.failed, [(mailbox("b@example.net"), EXPIRED)]);
        assert_eq!((last.reports[0][0].action, last.reports[0][0].diagnostic.as_deref()), (Action::Failed, Some("full")));
    }

    #[test]
    fn nothing_is_given_up_before_it_had_its_attempts() {
        let options = Options { retry_minutes: vec![1, 5, 15], lifetime_hours: 5, delay_notice_hours: 0 };
        let fate = |fate: Fate| [outcome("b@example.net", fate)];
        for outcomes in [fate(Fate::Deferred(why(4))), fate(Fate::Unreached(why(4)))] {
            let mut entry = Entry { attempts: 0, ..entry(vec![to("b@example.net", None)]) };
            let mut now = 200 * HOUR;
            for minutes in [1, 5, 15, 15] {
                entry = settle(entry, &outcomes, &options, now).remains.unwrap();
                assert_eq!(entry.head.next, now + minutes * MINUTE);
                now = entry.head.next;
            }
            assert_eq!(settle(entry, &outcomes, &options, now).failed.len(), 1, "the fifth was the last");
        }
    }

    #[test]
    fn a_way_that_is_away_uses_up_nobodys_attempts() {
        let options = Options { retry_minutes: vec![1, 60, 240], ..Options::default() };
        let away = [outcome("b@example.net", Fate::Unreached(why(4)))];
        for outcomes in [&away[..], &[]] {
            let entry = Entry { attempts: 2, ..entry(vec![to("b@example.net", None)]) };
            let settled = settle(entry, outcomes, &options, 4 * HOUR);
            assert_eq!(settled.reports.len(), 1, "its sender hears that it is late");
            let remains = settled.remains.unwrap();
            assert_eq!((remains.attempts, remains.head.next), (2, 4 * HOUR + MINUTE));
        }
    }

    #[test]
    fn what_is_held_meanwhile_is_neither_given_up_nor_late() {
        let mut entry = Entry { attempts: 9, ..entry(vec![to("b@example.net", None)]) };
        entry.head.hold(HOUR);
        let settled = settle(entry, &[outcome("b@example.net", Fate::Deferred(why(4)))], &Options::default(), 900 * HOUR);
        assert!(settled.reports.is_empty() && settled.failed.is_empty());
        assert_eq!(settled.remains.unwrap().head.place(Default::default(), &terms(Options::default())).turn, Turn::Held);
    }

    #[test]
    fn while_the_clock_is_in_doubt_nothing_is_over_and_the_schedule_goes_on() {
        let options = Options { retry_minutes: vec![5], lifetime_hours: 5, delay_notice_hours: 1 };
        let now = Timestamp::from_millisecond(700 * HOUR).unwrap();
        let late = [outcome("b@example.net", Fate::Deferred(why(4)))];
        for (certainty, open) in [(Certainty::InDoubt, true), (Certainty::Certain, false)] {
            let old = Entry { attempts: 5, ..entry(vec![to("b@example.net", None)]) };
            let settled = super::settle(old, &late, &terms(options.clone()), Moment { now, certainty });
            assert_eq!((settled.remains.is_some(), settled.reports.is_empty()), (open, open), "{certainty:?}");
            if let Some(remains) = settled.remains {
                assert_eq!(remains.head.next, 700 * HOUR + 5 * MINUTE);
            }
        }
        let failed = [outcome("b@example.net", Fate::Failed(why(5)))];
        let moment = Moment { now, certainty: Certainty::InDoubt };
        assert_eq!(super::settle(entry(vec![to("b@example.net", None)]), &failed, &terms(options), moment).failed.len(), 1);
    }

    #[test]
    fn who_is_told_what_follows_notify() {
        let fates = [
            Fate::Relayed { reports: Reports::None },
            Fate::Relayed { reports: Reports::Final },
            Fate::Relayed { reports: Reports::Onward },
            Fate::Deferred(why(4)),
            Fate::Failed(why(5)),
        ];
        let (relayed, delivered) = (Some(Action::Relayed), Some(Action::Delivered));
        let (delayed, failed) = (Some(Action::Delayed), Some(Action::Failed));
        for (notify, expect) in [
            (None, [None, None, None, delayed, failed]),
            (Some(Notify::Never), [None, None, None, None, None]),
            (on([true, false, false]), [relayed, delivered, None, None, None]),
            (on([false, true, false]), [None, None, None, None, failed]),
            (on([false, false, true]), [None, None, None, delayed, None]),
            (on([true, true, true]), [relayed, delivered, None, delayed, failed]),
            (on([false, false, false]), [None, None, None, None, None]),
        ] {
            for (fate, expect) in fates.iter().zip(expect) {
                let settled = settle(
                    entry(vec![to("b@example.net", notify)]),
                    &[outcome("b@example.net", fate.clone())],
                    &Options::default(),
                    5 * HOUR,
                );
                let told: Vec<Action> = settled.reports.iter().flatten().map(|line| line.action).collect();
                assert_eq!(told, expect.into_iter().collect::<Vec<_>>(), "{notify:?} {fate:?}");
            }
        }
    }

    #[test]
    fn a_delay_is_told_once_and_not_before_its_hour() {
        let options = Options::default();
        let late = [outcome("b@example.net", Fate::Deferred(why(4)))];
        let first = settle(entry(vec![to("b@example.net", None)]), &late, &options, 4 * HOUR - 1);
        assert!(first.reports.is_empty());
        let second = settle(first.remains.unwrap(), &late, &options, 4 * HOUR);
        assert_eq!(second.reports.len(), 1);
        let third = settle(second.remains.unwrap(), &late, &options, 9 * HOUR);
        assert!(third.reports.is_empty());
        let never = settle(third.remains.unwrap(), &late, &Options { delay_notice_hours: 0, ..options }, 10 * HOUR);
        assert!(never.reports.is_empty());
    }

    #[test]
    fn each_recipient_of_one_envelope_has_a_fate_of_its_own() {
        let entry = entry(["a", "b", "c", "d"].iter().map(|name| to(&format!("{name}@example.net"), None)).collect());
        let outcomes = [
            outcome("a@example.net", Fate::Relayed { reports: Reports::Onward }),
            outcome("b@example.net", Fate::Deferred(why(4))),
            outcome("c@example.net", Fate::Failed(why(5))),
        ];
        let settled = settle(entry, &outcomes, &Options::default(), MINUTE);
        let open: Vec<String> = settled.remains.unwrap().envelope.recipients.iter().map(|open| open.forward_path.to_string()).collect();
        assert_eq!(open, ["b@example.net", "d@example.net"]);
        assert_eq!(settled.failed, [(mailbox("c@example.net"), EnhancedStatus::new(5, 2, 2))]);
        assert_eq!(settled.reports.len(), 1);
    }
}
