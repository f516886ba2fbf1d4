//! Counters of every event and the times of what takes time, for Prometheus and for the overview.
//!
//! A label is a word of ours, the class and subject of a status, or the name of a next hop that the
//! configuration names: so their number has a bound whatever peers do, and no address, token or content
//! can be one. There is one set for the process, because events come from everywhere.

use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::Instant;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::Event;

/// What takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// From the final dot of a message to the 250.
    Accept,
    /// Reading every part of a message, within that.
    Inspect,
    /// Asking the policies, within that.
    Decide,
    /// Sealing what they protect, within that.
    Seal,
    /// Writing the mails that leave, within that.
    Rewrite,
    /// Until they are on stable storage, within that.
    Commit,
    /// One attempt at the next hop.
    Attempt,
}

/// A step that has begun; its time counts when this is dropped.
#[derive(Debug)]
pub struct Timer {
    step: Step,
    began: Instant,
}

impl Step {
    /// From now on.
    pub fn begin(self) -> Timer {
        Timer { step: self, began: Instant::now() }
    }

    /// The time that this takes.
    pub fn time<T>(self, work: impl FnOnce() -> T) -> T {
        let _timer = self.begin();
        work()
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Inspect => "inspect",
            Self::Decide => "decide",
            Self::Seal => "seal",
            Self::Rewrite => "rewrite",
            Self::Commit => "commit",
            Self::Attempt => "attempt",
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        METERS.steps.get_or_create(&OfStep { step: self.step.word() }).observe(self.began.elapsed().as_secs_f64());
    }
}

/// A connection that is counted while this lives.
#[derive(Debug)]
pub struct Connected(Gauge);

impl Connected {
    /// One more of this service: `smtp`, `https`, `relay`.
    pub fn new(service: &'static str) -> Self {
        let gauge = METERS.connections.get_or_create_owned(&OfService { service });
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What went in and out since the start, for the overview.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages taken.
    pub accepted: u64,
    /// Messages and sessions refused.
    pub refused: u64,
    /// Recipients whose mail the next hop took.
    pub relayed: u64,
    /// Attempts that were put off.
    pub deferred: u64,
    /// Recipients whose mail never gets there.
    pub failed: u64,
    /// Recipients who got a link.
    pub linked: u64,
    /// Links that were opened.
    pub opened: u64,
    /// Files that were taken.
    pub downloaded: u64,
    /// Our own troubles.
    pub troubles: u64,
}

/// Reads them.
pub fn totals() -> Totals {
    Totals {
        accepted: of("accepted"),
        refused: of("refused"),
        relayed: of("relayed"),
        deferred: of("deferred"),
        failed: of("failed"),
        linked: METERS.recipients.get_or_create(&Leaves { leaves: LINK }).get(),
        opened: of("opened"),
        downloaded: of("downloaded"),
        troubles: of("trouble"),
    }
}

/// How often an event of this name happened.
pub fn of(event: &'static str) -> u64 {
    METERS.events.get_or_create(&OfEvent { event }).get()
}

/// Decisions since the start, by protection, in the order of their words.
pub fn decisions() -> Vec<(&'static str, u64)> {
    PROTECTIONS.iter().map(|protection| (*protection, METERS.decisions.get_or_create(&Protected { protection }).get())).collect()
}

/// What policy decided for one recipient, in the words of the policies.
pub fn decided(protection: &'static str) {
    METERS.decisions.get_or_create(&Protected { protection }).inc();
}

/// The next hops of the configuration: these are told apart in the counters, all others are one.
pub fn name_hops(names: impl IntoIterator<Item = String>) {
    let names = names.into_iter().take(HOPS_MAX).map(Arc::new).collect();
    *HOPS.write().unwrap_or_else(PoisonError::into_inner) = names;
}

/// Everything that is counted here, in the exposition format of Prometheus, without its last line.
pub fn write(out: &mut String) -> std::fmt::Result {
    text::encode_registry(out, &METERS.registry)
}

pub(super) fn count(event: &Event<'_>) {
    let meters = &*METERS;
    meters.events.get_or_create(&OfEvent { event: name(event) }).inc();
    match event {
        Event::Accepted { size, recipients, secured, .. } => {
            meters.octets.inc_by(*size);
            let (recipients, secured) = (*recipients as u64, *secured as u64);
            meters.recipients.get_or_create(&Leaves { leaves: MAIL }).inc_by(recipients.saturating_sub(secured));
            meters.recipients.get_or_create(&Leaves { leaves: LINK }).inc_by(secured);
        }
        Event::Refused { status, .. } => one(&meters.refused, OfStatus { status: kind(status) }),
        Event::Relayed { next_hop, .. } => one(&meters.relayed, ToHop { next_hop: hop(next_hop) }),
        Event::Deferred { next_hop, status, .. } => one(&meters.deferred, AtHop { next_hop: hop(next_hop), status: kind(status) }),
        Event::Failed { status, .. } => one(&meters.failed, OfStatus { status: kind(status) }),
        Event::Upkeep { what, .. } => one(&meters.upkeep, What { what }),
        Event::WorkerLost { because } => one(&meters.workers, Because { because }),
        Event::Trouble { place, .. } => one(&meters.troubles, Place { place }),
        Event::Listening { .. }
        | Event::Alarm { .. }
        | Event::Replaced { .. }
        | Event::Unreported { .. }
        | Event::Held { .. }
        | Event::Released { .. }
        | Event::Bounced { .. }
        | Event::Opened { .. }
        | Event::Downloaded { .. }
        | Event::PasswordMailed { .. } => {}
    }
}

fn one<S: Clone + std::hash::Hash + Eq>(counters: &Family<S, Counter>, labels: S) {
    counters.get_or_create(&labels).inc();
}

/// As the log calls it.
const fn name(event: &Event<'_>) -> &'static str {
    match event {
        Event::Listening { .. } => "listening",
        Event::Accepted { .. } => "accepted",
        Event::Refused { .. } => "refused",
        Event::Alarm { .. } => "alarm",
        Event::Relayed { .. } => "relayed",
        Event::Deferred { .. } => "deferred",
        Event::Replaced { .. } => "replaced",
        Event::Failed { .. } => "failed",
        Event::Unreported { .. } => "unreported",
        Event::Held { .. } => "held",
        Event::Released { .. } => "released",
        Event::Bounced { .. } => "bounced",
        Event::Opened { .. } => "opened",
        Event::Downloaded { .. } => "downloaded",
        Event::PasswordMailed { .. } => "password mailed",
        Event::Upkeep { .. } => "upkeep",
        Event::WorkerLost { .. } => "worker lost",
        Event::Trouble { .. } => "trouble",
    }
}

/// Class and subject of an enhanced status. The detail is anybody's number, so it is left out.
/// RFC 3463 §2 knows the classes 2, 4, 5 and the subjects 0 to 7.
fn kind(status: &str) -> &'static str {
    let mut parts = status.split('.');
    let number = |part: Option<&str>| part.and_then(|part| part.parse::<usize>().ok());
    let class = match number(parts.next()) {
        Some(4) => &TEMPORARY,
        Some(5) => &PERMANENT,
        _ => return OTHER,
    };
    number(parts.next()).and_then(|subject| class.get(subject)).copied().unwrap_or(OTHER)
}

fn hop(name: &str) -> Arc<String> {
    let hops = HOPS.read().unwrap_or_else(PoisonError::into_inner);
    hops.iter().find(|hop| hop.as_str() == name).cloned().unwrap_or_else(|| Arc::new(OTHER.to_owned()))
}

struct Meters {
    registry: Registry,
    events: Family<OfEvent, Counter>,
    octets: Counter,
    recipients: Family<Leaves, Counter>,
    decisions: Family<Protected, Counter>,
    refused: Family<OfStatus, Counter>,
    relayed: Family<ToHop, Counter>,
    deferred: Family<AtHop, Counter>,
    failed: Family<OfStatus, Counter>,
    upkeep: Family<What, Counter>,
    workers: Family<Because, Counter>,
    troubles: Family<Place, Counter>,
    connections: Family<OfService, Gauge>,
    steps: Family<OfStep, Histogram>,
}

impl Meters {
    fn new() -> Self {
        let steps = Family::<OfStep, Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
        let mut meters = Self {
            registry: Registry::with_prefix("waxseal"),
            events: Family::default(),
            octets: Counter::default(),
            recipients: Family::default(),
            decisions: Family::default(),
            refused: Family::default(),
            relayed: Family::default(),
            deferred: Family::default(),
            failed: Family::default(),
            upkeep: Family::default(),
            workers: Family::default(),
            troubles: Family::default(),
            connections: Family::default(),
            steps,
        };
        meters.register();
        meters
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("events", "Events by their name in the log", self.events.clone());
        registry.register_with_unit("received", "Octets of messages taken", Unit::Bytes, self.octets.clone());
        registry.register("recipients", "Recipients of messages taken, by what they get", self.recipients.clone());
        registry.register("decisions", "Decisions of policy, one a recipient", self.decisions.clone());
        registry.register("refused", "Messages and sessions refused", self.refused.clone());
        registry.register("relayed", "Recipients whose mail the next hop took", self.relayed.clone());
        registry.register("deferred", "Attempts put off, one a recipient", self.deferred.clone());
        registry.register("failed", "Recipients whose mail never gets there", self.failed.clone());
        registry.register("upkeep", "What the gateway did for itself", self.upkeep.clone());
        registry.register("workers_lost", "Readers of attachments that ended in the middle of their work", self.workers.clone());
        registry.register("troubles", "Our own troubles", self.troubles.clone());
        registry.register("connections", "Open connections", self.connections.clone());
        registry.register_with_unit("step", "What takes time", Unit::Seconds, self.steps.clone());
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfEvent {
    event: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Leaves {
    leaves: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Protected {
    protection: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStatus {
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ToHop {
    next_hop: Arc<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AtHop {
    next_hop: Arc<String>,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct What {
    what: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Because {
    because: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Place {
    place: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfService {
    service: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStep {
    step: &'static str,
}

static METERS: LazyLock<Meters> = LazyLock::new(Meters::new);
static HOPS: RwLock<Vec<Arc<String>>> = RwLock::new(Vec::new());
/// More next hops than this are one in the counters.
const HOPS_MAX: usize = 64;
const MAIL: &str = "mail";
const LINK: &str = "link";
const OTHER: &str = "other";
const PROTECTIONS: [&str; 4] = ["pass", "public-files", "secure-files", "secure-message"];
const TEMPORARY: [&str; 8] = ["4.0", "4.1", "4.2", "4.3", "4.4", "4.5", "4.6", "4.7"];
const PERMANENT: [&str; 8] = ["5.0", "5.1", "5.2", "5.3", "5.4", "5.5", "5.6", "5.7"];
/// Seconds: a step of inspection takes parts of a millisecond, an attempt at a slow next hop minutes.
const BUCKETS: [f64; 15] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_a_stranger_is_one_of_seventeen_labels() {
        for (status, expect) in [
            ("5.7.1", "5.7"),
            ("4.4.2", "4.4"),
            ("5.999.999", "other"),
            ("4.8.0", "other"),
            ("9.1.1", "other"),
            ("", "other"),
            ("5", "other"),
        ] {
            assert_eq!(kind(status), expect, "{status}");
        }
    }

    #[test]
    fn only_hops_of_the_configuration_are_named() {
        name_hops(vec![String::from("smarthost.example.org:587")]);
        count(&Event::Relayed { id: "1", next_hop: "smarthost.example.org:587" });
        count(&Event::Relayed { id: "2", next_hop: "mx.stranger.example:25" });
        let mut text = String::new();
        write(&mut text).unwrap();
        assert!(text.contains("waxseal_relayed_total{next_hop=\"smarthost.example.org:587\"} "), "{text}");
        assert!(text.contains("waxseal_relayed_total{next_hop=\"other\"} ") && !text.contains("stranger"), "{text}");
    }
}
