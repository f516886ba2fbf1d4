//! From what was found to what is done, for each recipient.
//!
//! Two levels: the *floor* that nobody goes below and the *default* that holds when the sender says
//! nothing. In each the strictest of all policies wins, field by field. The wish strengthens
//! always, and weakens down to the floor.

use std::time::Duration;

use crate::mail::{Mailbox, Recipient, RequireTls};

use super::condition::Truth;
use super::matching::{Match, Mode, spell};
use super::options::{Mixed, Options};
use super::{
    AMBIGUOUS, Decision, END_TO_END, Factor, Facts, Finding, Form, Go, Place, Protection, Reason, Shown, UNINSPECTABLE, Verdict, Wish,
    automatic,
};

/// What one level asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Demand {
    protection: Protection,
    factor: Option<Factor>,
    expires: Option<Duration>,
    /// `None` is unlimited.
    downloads: Option<u32>,
    subject: Shown,
    file_names: Shown,
    header: Shown,
}

/// What policies say about one recipient, before the sender's wish.
#[derive(Debug, Clone)]
struct Weighed {
    floor: Demand,
    default: Demand,
    go: Go,
    because: Vec<Reason>,
}

/// One decision for each recipient, in the order of the envelope.
pub fn decide(policies: &[&Match], options: &Options, facts: &Facts<'_>) -> Vec<Decision> {
    let wherever = decide_for_all(policies, options, &Facts { verified: &[], ..*facts });
    // When policy decides anew the tags are gone, so what the sender wants protected must not hang on the way.
    if facts.verified.is_empty() || facts.wish.asks_for_more() {
        return wherever;
    }
    let mut decisions = decide_for_all(policies, options, facts);
    for (decision, _) in decisions.iter_mut().zip(wherever).filter(|(decision, other)| decision.verdict != other.verdict) {
        decision.verdict.tls = RequireTls::ByPolicy;
    }
    decisions
}

fn decide_for_all(policies: &[&Match], options: &Options, facts: &Facts<'_>) -> Vec<Decision> {
    let recipients = &facts.envelope.recipients;
    let mut weighed: Vec<Weighed> = recipients.iter().map(|recipient| weigh(policies, facts, recipient)).collect();
    if options.mixed == Mixed::Strictest {
        let outside = |recipient: &Recipient| !facts.admd.is_inside(&recipient.forward_path);
        let strictest = weighed.iter().zip(recipients).filter(|(_, to)| outside(to)).map(|(one, _)| one.clone()).reduce(Weighed::stricter);
        for (one, _) in weighed.iter_mut().zip(recipients).filter(|(_, to)| outside(to)) {
            strictest.iter().for_each(|strictest| one.clone_from(strictest));
        }
    }
    recipients.iter().zip(weighed).map(|(recipient, weighed)| finish(recipient, weighed, options, facts)).collect()
}

/// The policies that match a recipient.
pub fn matching<'m>(policies: &[&'m Match], facts: &Facts<'_>, recipient: &Mailbox) -> Vec<&'m Match> {
    let (report, spared) = (automatic::is_report(facts), automatic::is_spared(facts));
    let applies = |policy: &&Match| {
        // Mail that stays in the house is left alone unless a policy says whom in it it means.
        let meant = !facts.admd.is_inside(recipient) || policy.when.names(recipient, facts);
        // Nobody sees a link in an answer that no person sent; what is mandatory or found stays so.
        let waived = policy.when.found.is_none() && (report || (policy.mode == Mode::Automatic && policy.asks.go != Some(Go::Reject)));
        meant && !(spared && waived) && policy.when.holds(facts, recipient) != Truth::No
    };
    let lifted = |policy: &&Match| policy.unless.iter().any(|exception| exception.holds(facts, recipient).lifts(exception, facts));
    policies.iter().copied().filter(applies).filter(|policy| !lifted(policy)).collect()
}

fn weigh(policies: &[&Match], facts: &Facts<'_>, recipient: &Recipient) -> Weighed {
    let matched = matching(policies, facts, &recipient.forward_path);
    let mut weighed = Weighed { floor: Demand::NOTHING, default: Demand::NOTHING, go: Go::Now, because: Vec::new() };
    for policy in &matched {
        let findings = causes(policy, facts);
        let (demand, raised) = demand_of(policy, &findings);
        match policy.mode {
            Mode::Mandatory => weighed.floor = weighed.floor.stricter(demand),
            Mode::Automatic => weighed.default = weighed.default.stricter(demand),
        }
        weighed.go = weighed.go.max(policy.asks.go.unwrap_or(Go::Now));
        let text = policy.reason();
        weighed.because.push(Reason::Policy { name: policy.name.clone(), text, findings });
        weighed.because.extend(raised.into_iter().map(Reason::RaisedFor));
    }
    if !facts.admd.is_inside(&recipient.forward_path) {
        weighed.supply(&matched, facts);
    }
    weighed
}

/// The findings that a policy asked for and got.
fn causes(policy: &Match, facts: &Facts<'_>) -> Vec<Finding> {
    let asked = policy.when.found.iter().flat_map(|found| &found.rules);
    let met = asked.filter(|(rule, bound)| bound.holds(facts.inspection.count(rule) as u64));
    met.flat_map(|(rule, _)| facts.inspection.findings.iter().filter(move |finding| finding.rule == *rule)).cloned().collect()
}

/// What a policy asks for, raised so that it covers the place of each finding that caused it, and
/// the findings that raised it.
fn demand_of(policy: &Match, findings: &[Finding]) -> (Demand, Vec<Finding>) {
    let asks = policy.asks;
    let mut demand =
        Demand { protection: asks.protection.unwrap_or(Protection::Pass), factor: asks.factor, expires: asks.expires, ..Demand::NOTHING };
    // Nought says unlimited, which is the least strict and so says nothing.
    demand.downloads = asks.downloads.filter(|downloads| *downloads > 0);
    let mut raised: Vec<Finding> = Vec::new();
    let protects = asks.protection.is_some_and(|then| then > Protection::Pass);
    for finding in findings.iter().filter(|_| protects) {
        let before = demand;
        match &finding.place {
            Place::Subject => demand.subject = Shown::Replaced,
            Place::FileName(_) => demand.file_names = Shown::Replaced,
            Place::Header => (demand.protection, demand.header) = (Protection::SecureMessage, Shown::Replaced),
            Place::Body(_) | Place::Message => demand.protection = Protection::SecureMessage,
            Place::Attachment(..) => {}
        }
        if demand != before {
            raised.push(finding.clone());
        }
    }
    // A policy that says secure and no factor means one: silence must not undo what another says.
    demand.factor = demand.factor.or_else(|| asks.protection.map(|_| natural(demand.protection)));
    (demand, raised)
}

impl Weighed {
    /// What holds for the built-in findings unless a policy that matched says otherwise.
    fn supply(&mut self, matched: &[&Match], facts: &Facts<'_>) {
        for rule in [AMBIGUOUS, UNINSPECTABLE] {
            let names = |policy: &&Match| policy.when.found.as_ref().is_some_and(|found| found.names(rule));
            let said = matched
                .iter()
                .filter(|policy| names(policy))
                .any(|policy| policy.asks.protection.is_some() || policy.asks.go == Some(Go::Reject));
            let findings = found(facts, rule);
            if facts.inspection.count(rule) > 0 && !said {
                let secured = Demand { protection: Protection::SecureMessage, factor: Some(Factor::Password), ..Demand::NOTHING };
                self.floor = self.floor.stricter(secured);
                self.because.push(Reason::Policy { name: format!("{rule} (supplied)"), text: None, findings });
            }
        }
        if facts.inspection.count(END_TO_END) > 0 {
            let findings = found(facts, END_TO_END);
            self.because.push(Reason::Policy { name: format!("{END_TO_END} (supplied)"), text: None, findings });
        }
    }

    fn stricter(mut self, other: Self) -> Self {
        self.floor = self.floor.stricter(other.floor);
        self.default = self.default.stricter(other.default);
        self.go = self.go.max(other.go);
        for reason in other.because {
            if !self.because.contains(&reason) {
                self.because.push(reason);
            }
        }
        self
    }
}

fn found(facts: &Facts<'_>, rule: &str) -> Vec<Finding> {
    facts.inspection.findings.iter().filter(|finding| finding.rule == rule).cloned().collect()
}

impl Demand {
    const NOTHING: Self = Self {
        protection: Protection::Pass,
        factor: None,
        expires: None,
        downloads: None,
        subject: Shown::Kept,
        file_names: Shown::Kept,
        header: Shown::Kept,
    };

    fn stricter(self, other: Self) -> Self {
        let replaced = |a: Shown, b: Shown| if a == Shown::Replaced || b == Shown::Replaced { Shown::Replaced } else { Shown::Kept };
        Self {
            protection: self.protection.max(other.protection),
            factor: self.factor.max(other.factor),
            expires: least(self.expires, other.expires),
            downloads: least(self.downloads, other.downloads),
            subject: replaced(self.subject, other.subject),
            file_names: replaced(self.file_names, other.file_names),
            header: replaced(self.header, other.header),
        }
    }
}

/// The smaller of what is said.
fn least<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (said, None) | (None, said) => said,
    }
}

/// What a protection means when nobody names a factor.
const fn natural(protection: Protection) -> Factor {
    match protection {
        Protection::Pass | Protection::PublicFiles => Factor::None,
        Protection::SecureFiles | Protection::SecureMessage => Factor::Password,
    }
}

/// The sender's wish on top, the organisation's limits around.
fn finish(recipient: &Recipient, weighed: Weighed, options: &Options, facts: &Facts<'_>) -> Decision {
    let Weighed { floor, default, go, mut because } = weighed;
    let default = floor.stricter(default);
    let counts = facts.envelope.reverse_path.mailbox().is_some_and(|sender| facts.admd.is_internal(sender));
    let silent = Wish::default();
    let wish = if counts { facts.wish } else { &silent };
    let wished = wished_protection(wish, &default);
    let chosen = match wished {
        Some(wished) if wished < floor.protection => {
            because.push(Reason::NotGranted(format!("{}: policy asks for {}", tags(wish), floor.protection.word())));
            floor
        }
        Some(wished) if wished < default.protection => {
            Demand { protection: wished, factor: floor.factor.or(Some(natural(wished))), ..floor }
        }
        Some(wished) => Demand { protection: wished, factor: default.factor.max(Some(natural(wished))), ..default },
        None => default,
    };
    if wish.protection.is_some() && wished.is_some_and(|wished| wished >= floor.protection) || wished.is_some() && wish.protection.is_none()
    {
        because.push(Reason::Wished(tags(wish)));
    }
    let factor = chosen.factor.unwrap_or(natural(chosen.protection)).max(wish.factor.unwrap_or(Factor::None));
    let expires = lifetime(wish, (&floor, &default), options, (facts, &mut because));
    let downloads = downloads(wish, (&floor, &default), &mut because);
    let verdict = Verdict {
        protection: if factor > Factor::None { no_longer_public(chosen.protection) } else { chosen.protection },
        factor,
        expires,
        downloads,
        go,
        subject: chosen.subject,
        file_names: chosen.file_names,
        header: chosen.header,
        form: if facts.inspection.count(AMBIGUOUS) > 0 && chosen.protection == Protection::SecureMessage { Form::Raw } else { Form::Parts },
        tls: RequireTls::No,
    };
    Decision { recipient: recipient.clone(), verdict: settled(verdict, options), because }
}

/// The protection that the wish amounts to. Who asks for a password or a limit asks for a link.
fn wished_protection(wish: &Wish, default: &Demand) -> Option<Protection> {
    let limits = wish.factor.is_some() || wish.expires.is_some() || wish.until.is_some() || wish.downloads.is_some();
    wish.protection.or((limits && default.protection == Protection::Pass).then_some(Protection::SecureMessage))
}

/// Files that ask for a factor are not public.
const fn no_longer_public(protection: Protection) -> Protection {
    match protection {
        Protection::PublicFiles => Protection::SecureFiles,
        Protection::Pass | Protection::SecureFiles | Protection::SecureMessage => protection,
    }
}

/// Mail that passes is alike whatever was said about links, so that recipients share a variant.
fn settled(verdict: Verdict, options: &Options) -> Verdict {
    match verdict.protection {
        Protection::Pass => Verdict { factor: Factor::None, expires: options.default_lifetime(), downloads: None, ..verdict },
        Protection::PublicFiles | Protection::SecureFiles | Protection::SecureMessage => verdict,
    }
}

fn lifetime(
    wish: &Wish,
    (floor, default): (&Demand, &Demand),
    options: &Options,
    (facts, because): (&Facts<'_>, &mut Vec<Reason>),
) -> Duration {
    let limit = floor.expires.unwrap_or(options.longest()).min(options.longest());
    let base = default.expires.unwrap_or(options.default_lifetime()).min(limit);
    match wish.lifetime(facts.now) {
        Some(wished) if wished.is_zero() => {
            because.push(Reason::NotGranted(format!("{}: that day is over; the link lives for {}", tags(wish), spell(base))));
            base
        }
        Some(wished) if wished > limit => {
            because.push(Reason::NotGranted(format!("{}: links live for {} at most", tags(wish), spell(limit))));
            limit
        }
        Some(wished) => wished,
        None => base,
    }
}

fn downloads(wish: &Wish, (floor, default): (&Demand, &Demand), because: &mut Vec<Reason>) -> Option<u32> {
    let wished = wish.downloads.map(|wished| (wished > 0).then_some(wished));
    match (wished, floor.downloads) {
        (None, _) => default.downloads,
        (Some(wished), None) => wished,
        (Some(Some(wished)), Some(limit)) if wished <= limit => Some(wished),
        (Some(_), Some(limit)) => {
            because.push(Reason::NotGranted(format!("{}: {limit} downloads at most", tags(wish))));
            Some(limit)
        }
    }
}

fn tags(wish: &Wish) -> String {
    wish.spelled().join(" ")
}

impl Match {
    /// Its reason in the preferred language, else in English, else in any.
    pub fn reason(&self) -> Option<String> {
        let by = |tag: &str| self.reasons.iter().find(|(language, _)| language == tag);
        by("").or_else(|| by("en")).or_else(|| self.reasons.first()).map(|(_, text)| text.clone())
    }

    /// From now on its reason is the one in this language, where it has one.
    pub fn prefer(&mut self, language: &str) {
        if let Some(place) = self.reasons.iter().position(|(tag, _)| tag == language) {
            let (_, text) = self.reasons.swap_remove(place);
            self.reasons = vec![(String::new(), text)];
        }
    }
}
