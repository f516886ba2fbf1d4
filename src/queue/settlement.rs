//! What an attempt means for an entry: who is done, who waits until when, who hears about it.
//!
//! A pure function of the entry, the outcomes and the time. RFC 5321 §4.5.4.1 (retries), RFC 3461 §5.2
//! (when a report is due).

use super::entry::{Entry, Told};
use super::index::Millis;
use super::{Diagnostic, Fate, Options, Outcome, Reports};
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
pub(super) fn settle(entry: Entry, outcomes: &[Outcome], options: &Options, moment: Moment) -> Settlement {
    let now = moment.now.as_millisecond();
    let mut ledger = match moment.certainty {
        Certainty::Certain => Ledger { over: now >= entry.head.expires(options), late: is_late(&entry, options, now), ..Ledger::default() },
        Certainty::InDoubt => Ledger::default(),
    };
    for recipient in &entry.envelope.recipients {
        let outcome = outcomes.iter().find(|outcome| outcome.recipient == recipient.forward_path);
        ledger.enter(recipient, outcome.map(|outcome| &outcome.fate));
    }
    let Ledger { open, relayed, failed, delayed, lost, last, late, .. } = ledger;
    let reports = [failed, delayed, relayed].into_iter().filter(|fates| !fates.is_empty()).collect();
    let remains = (!open.is_empty()).then(|| {
        let mut entry = entry;
        entry.envelope.recipients = open;
        entry.last = last.or(entry.last);
        entry.head.next = next_attempt(&entry, options, moment);
        entry.attempts = entry.attempts.saturating_add(1);
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
    failed: Vec<dsn::Fate>,
    delayed: Vec<dsn::Fate>,
    lost: Vec<(Mailbox, EnhancedStatus)>,
    last: Option<Diagnostic>,
}

impl Ledger {
    fn enter(&mut self, recipient: &Recipient, fate: Option<&Fate>) {
        match fate {
            Some(Fate::Relayed { reports: Reports::Onward }) => {}
            Some(Fate::Relayed { reports: Reports::None }) => self.relay(recipient),
            Some(Fate::Failed(why)) => self.fail(recipient, why.status, Some(why)),
            // RFC 3463 §3.5: X.4.7 is "delivery time expired".
            Some(Fate::Deferred(why)) if self.over => self.fail(recipient, EXPIRED, Some(why)),
            None if self.over => self.fail(recipient, EXPIRED, None),
            Some(Fate::Deferred(why)) => self.defer(recipient, Some(why)),
            None => self.defer(recipient, None),
        }
    }

    fn relay(&mut self, recipient: &Recipient) {
        if wants(recipient, Action::Relayed) {
            self.relayed.push(line(recipient, Action::Relayed, RELAYED, None));
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

fn is_late(entry: &Entry, options: &Options, now: Millis) -> bool {
    entry.head.late_from(options).is_some_and(|late| now >= late)
}

/// Whether the sender asked to hear this of the recipient. RFC 3461 §4.1.
fn wants(recipient: &Recipient, action: Action) -> bool {
    match (recipient.notify, action) {
        // §5.2.2 (c), §5.2.7: without NOTIFY failures are reported, delays may be, success is not.
        (None, Action::Failed | Action::Delayed) => true,
        (None, Action::Relayed) | (Some(Notify::Never), _) => false,
        (Some(Notify::On { failure, .. }), Action::Failed) => failure,
        (Some(Notify::On { delay, .. }), Action::Delayed) => delay,
        (Some(Notify::On { success, .. }), Action::Relayed) => success,
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

/// By the schedule, but never past the end of the lifetime: the sender hears of it on time.
fn next_attempt(entry: &Entry, options: &Options, moment: Moment) -> Millis {
    let now = moment.now.as_millisecond();
    let step = usize::try_from(entry.attempts).unwrap_or(usize::MAX);
    let minutes = options.retry_minutes.get(step).or(options.retry_minutes.last()).copied().unwrap_or(RETRY_MINUTES);
    let wait = Millis::from(minutes.max(1)).saturating_mul(60_000);
    let next = now.saturating_add(wait);
    match moment.certainty {
        Certainty::Certain => next.min(entry.head.expires(options)),
        Certainty::InDoubt => next,
    }
}

/// RFC 3463 §3.5.
const EXPIRED: EnhancedStatus = EnhancedStatus::new(5, 4, 7);
/// Other or undefined network status, for now.
const LATE: EnhancedStatus = EnhancedStatus::new(4, 4, 0);
/// Success without further words.
const RELAYED: EnhancedStatus = EnhancedStatus::new(2, 0, 0);
/// When the schedule has no step at all.
const RETRY_MINUTES: u32 = 60;

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::entry::tests::{entry, mailbox};
    use super::*;

    /// At a time that is believed.
    fn settle(entry: Entry, outcomes: &[Outcome], options: &Options, now: Millis) -> Settlement {
        super::settle(entry, outcomes, options, Timestamp::from_millisecond(now).unwrap().into())
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
            let remains = settle(entry, &[], &options, HOUR).remains.unwrap();
            assert_eq!((remains.head.next, remains.attempts), (HOUR + minutes * MINUTE, attempts + 1));
        }
    }

    #[test]
    fn the_last_attempt_is_at_the_end_of_the_lifetime_and_not_after_it() {
        let options = Options { retry_minutes: vec![240], lifetime_hours: 5, delay_notice_hours: 0 };
        let first = settle(entry(vec![to("b@example.net", None)]), &[], &options, 2 * HOUR).remains.unwrap();
        assert_eq!(first.head.next, 5 * HOUR);
        let last = settle(first, &[outcome("b@example.net", Fate::Deferred(why(4)))], &options, 5 * HOUR);
        assert!(last.remains.is_none());
        assert_eq!(last.failed, [(mailbox("b@example.net"), EXPIRED)]);
        assert_eq!((last.reports[0][0].action, last.reports[0][0].diagnostic.as_deref()), (Action::Failed, Some("full")));
    }

    #[test]
    fn while_the_clock_is_in_doubt_nothing_is_over_and_the_schedule_goes_on() {
        let options = Options { retry_minutes: vec![5], lifetime_hours: 5, delay_notice_hours: 1 };
        let now = Timestamp::from_millisecond(700 * HOUR).unwrap();
        let late = [outcome("b@example.net", Fate::Deferred(why(4)))];
        for (certainty, open) in [(Certainty::InDoubt, true), (Certainty::Certain, false)] {
            let settled = super::settle(entry(vec![to("b@example.net", None)]), &late, &options, Moment { now, certainty });
            assert_eq!((settled.remains.is_some(), settled.reports.is_empty()), (open, open), "{certainty:?}");
            if let Some(remains) = settled.remains {
                assert_eq!(remains.head.next, 700 * HOUR + 5 * MINUTE);
            }
        }
        let failed = [outcome("b@example.net", Fate::Failed(why(5)))];
        let moment = Moment { now, certainty: Certainty::InDoubt };
        assert_eq!(super::settle(entry(vec![to("b@example.net", None)]), &failed, &options, moment).failed.len(), 1);
    }

    #[test]
    fn who_is_told_what_follows_notify() {
        let fates = [
            Fate::Relayed { reports: Reports::None },
            Fate::Relayed { reports: Reports::Onward },
            Fate::Deferred(why(4)),
            Fate::Failed(why(5)),
        ];
        let relayed = Some(Action::Relayed);
        let (delayed, failed) = (Some(Action::Delayed), Some(Action::Failed));
        for (notify, expect) in [
            (None, [None, None, delayed, failed]),
            (Some(Notify::Never), [None, None, None, None]),
            (on([true, false, false]), [relayed, None, None, None]),
            (on([false, true, false]), [None, None, None, failed]),
            (on([false, false, true]), [None, None, delayed, None]),
            (on([true, true, true]), [relayed, None, delayed, failed]),
            (on([false, false, false]), [None, None, None, None]),
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
