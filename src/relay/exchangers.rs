//! The mail servers of other domains, as next hops: whom a message may go to, and the connections to them, which domains
//! that share a mail server share.
//!
//! A hop is one address of one host under one demand on its TLS, so that no message goes over a connection that was made
//! under a weaker one, or for another name. RFC 5321 §5.1, RFC 7505; RFC 7672, RFC 8461 and RFC 8689 by way of
//! [`transport`](crate::transport).

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::attempt::{Missed, Until};
use super::hop::{Demand, NextHop, Pooled, State, Way};
use super::options::Tls;
use crate::clock::Clock;
use crate::mail::{Domain, EnhancedStatus, Envelope, RequireTls};
use crate::net::dns::Host;
use crate::net::tls::Seen;
use crate::smtp::client::{Hop, Protocol, Said, Trouble};
use crate::transport::report::Wrong;
use crate::transport::{self, NoCourse, Session, Strictness, Target, Transport, Wanted};

/// All mail servers that a way has met.
pub(super) struct Exchangers {
    transport: Arc<Transport>,
    way: Way,
    least: Tls,
    hops: Mutex<HashMap<Key, Arc<NextHop>>>,
    running: Arc<Running>,
}

/// Attempts of the queue's entries, for all domains on all ways by MX.
#[derive(Debug, Default)]
pub(super) struct Running(AtomicUsize);

/// What makes one connection as good as another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    host: Host,
    address: IpAddr,
    tls: transport::Tls,
}

/// A hop that one message may go to.
pub(super) struct Candidate {
    pub hop: Arc<NextHop>,
    /// Whose report a new connection is for.
    told: Option<Told>,
}

struct Told {
    transport: Arc<Transport>,
    domain: Domain,
    target: Target,
    address: IpAddr,
    clock: Clock,
}

impl Exchangers {
    /// Knows nobody yet.
    pub fn new(transport: Arc<Transport>, (way, least): (Way, Tls), running: Arc<Running>) -> Self {
        Self { transport, way, least, hops: Mutex::default(), running }
    }

    /// The hosts of the recipients' domain that may have this message, in order; never none.
    pub async fn candidates(&self, envelope: &Envelope) -> Result<Vec<Candidate>, Missed> {
        let nobody = || Missed::for_now(NOBODY, "the message is for nobody", "");
        let domain = envelope.recipients.first().ok_or_else(nobody)?.forward_path.domain();
        let wanted = Wanted { domain, strictness: self.strictness(envelope) };
        // By a clock that was set ahead a policy would be over before its time.
        let now = self.way.clock.certain();
        let course = self.transport.course(&wanted, now).await.map_err(|none| {
            self.transport.count_refusal(domain, &none, now);
            missed(&none, domain, envelope.require_tls)
        })?;
        let places = course.targets.into_iter().flat_map(|target| target.addresses.clone().into_iter().map(move |at| (target.clone(), at)));
        let (mut order, resting): (Vec<Candidate>, Vec<Candidate>) =
            places.map(|place| self.candidate(domain, place)).partition(|candidate| candidate.resting().is_none());
        order.truncate(TRIED_MAX);
        // It is not asked; but while it may come back, nothing that the others say is the end.
        order.extend(resting.into_iter().next());
        Ok(order)
    }

    /// Whether mail to the domain goes to hosts that it proves to be its own (DANE, or MTA-STS that is enforced).
    pub async fn is_proven(&self, domain: &Domain) -> bool {
        let wanted = Wanted { domain, strictness: Strictness::Proven };
        self.transport.course(&wanted, self.way.clock.certain()).await.is_ok()
    }

    fn strictness(&self, envelope: &Envelope) -> Strictness {
        match (envelope.require_tls, self.least) {
            (RequireTls::Yes, _) => Strictness::RequireTls,
            (RequireTls::ByPolicy, _) | (RequireTls::No, Tls::Verified) => Strictness::Proven,
            (RequireTls::No, Tls::None | Tls::Opportunistic | Tls::Required) => Strictness::Published,
        }
    }

    fn candidate(&self, domain: &Domain, (target, address): (Target, IpAddr)) -> Candidate {
        let key = Key { host: target.host.clone(), address, tls: target.tls.clone() };
        let hop = || {
            let (host, port) = (key.host.to_string(), self.transport.port());
            let hop = Hop { host, port, address: Some(address), source: self.way.source, protocol: Protocol::Smtp };
            let demand = Demand::Published { tls: key.tls.clone(), by: self.transport.clone(), least: self.least };
            Arc::new(NextHop::new(hop, demand, self.way.clone()))
        };
        let hop = self.hops().entry(key.clone()).or_insert_with(hop).clone();
        let told = Told { transport: self.transport.clone(), domain: domain.clone(), target, address, clock: self.way.clock.clone() };
        Candidate { hop, told: Some(told) }
    }

    /// What all domains have in common.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// Forgets that hosts were away: an operator asks for them now.
    pub fn hurry(&self) {
        self.hops().values().for_each(|hop| hop.hurry());
    }

    /// Gives up connections that nobody used for a while, and forgets hosts of which nothing is to be remembered.
    pub fn take_idle(&self) -> Vec<Pooled> {
        let mut hops = self.hops();
        let idle = hops.values().flat_map(|hop| hop.take_idle()).collect();
        hops.retain(|_, hop| Arc::strong_count(hop) > 1 || !hop.is_forgettable());
        idle
    }

    /// Gives up all.
    pub fn take_all(&self) -> Vec<Pooled> {
        self.hops().values().flat_map(|hop| hop.take_all()).collect()
    }

    fn hops(&self) -> MutexGuard<'_, HashMap<Key, Arc<NextHop>>> {
        self.hops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// How many more entries may be attempted for a domain that has so many attempts. Domains that are slow leave room for
    /// the others: none takes more than a part of what the others left, and the last places are for those that have nothing
    /// under way.
    pub fn room(&self, of_domain: usize) -> usize {
        let free = RUNNING_MAX.saturating_sub(self.0.load(Ordering::Acquire));
        let share = (free.saturating_sub(RESERVE) / SHARE).saturating_sub(of_domain);
        share.max(usize::from(of_domain == 0 && free > 0))
    }

    /// An attempt begins.
    pub fn begin(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    /// An attempt is over.
    pub fn end(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Candidate {
    /// The envelope as it is told what is asked of it. One that stands between us and the recipient's host promises the rest of a
    /// proven way (REQUIRETLS); a host that is proven itself need not.
    pub fn asked<'e>(&self, envelope: &'e Envelope) -> Cow<'e, Envelope> {
        match (envelope.require_tls, &self.told) {
            (RequireTls::ByPolicy, None) => Cow::Owned(Envelope { require_tls: RequireTls::Yes, ..envelope.clone() }),
            (RequireTls::No | RequireTls::Yes | RequireTls::ByPolicy, _) => Cow::Borrowed(envelope),
        }
    }

    /// Why it is left alone, if it was away a moment ago. Hosts that are configured are always asked: others stand in for them
    /// where they can.
    pub fn resting(&self) -> Option<Said> {
        match (&self.told, self.hop.state()) {
            (Some(_), State::Down { said, .. }) if self.hop.is_resting() => Some(said),
            (Some(_) | None, State::Up | State::Down { .. }) => None,
        }
    }

    /// A new connection. What came of its TLS is counted for the domain.
    pub async fn connect(&self) -> Result<Pooled, Trouble> {
        let seen = Seen::default();
        let connected = self.hop.connect(&seen).await;
        if let (Some(told), Some(wrong)) = (&self.told, wrong(&self.hop, &connected, &seen)) {
            let Told { transport, domain, target, address, clock } = told;
            transport.count_session(&Session { domain, target, address: *address, wrong: wrong.err() }, clock.certain());
        }
        connected
    }
}

impl From<Arc<NextHop>> for Candidate {
    fn from(hop: Arc<NextHop>) -> Self {
        Self { hop, told: None }
    }
}

/// What was wrong with the TLS of a session; none where there was no session to speak of.
fn wrong(hop: &NextHop, connected: &Result<Pooled, Trouble>, seen: &Seen) -> Option<Result<(), (Wrong, String)>> {
    match connected {
        Ok(pooled) if pooled.connection.is_secure() => Some(seen.get().map_or(Ok(()), |error| Err((Wrong::of(error), error.to_string())))),
        // Its failure was counted when TLS was tried.
        Ok(_) if hop.is_in_the_clear() => None,
        Ok(_) => Some(Err((Wrong::StarttlsNotSupported, String::from("the host does not offer STARTTLS")))),
        Err(trouble) => trouble.wrong.map(|wrong| Err((wrong, trouble.said.words.clone()))),
    }
}

/// What the domain says of itself is final; what may be somebody's doing, or what we want of it, is waited for.
fn missed(none: &NoCourse, domain: &Domain, require_tls: RequireTls) -> Missed {
    let until = match none {
        NoCourse::Unproven | NoCourse::Untrusted(_) if require_tls == RequireTls::ByPolicy => Until::DecidedAnew,
        NoCourse::Exchange(_) | NoCourse::RequireTls if none.status().class == 5 => Until::Ever,
        NoCourse::Exchange(_) | NoCourse::RequireTls | NoCourse::Untrusted(_) | NoCourse::Unproven | NoCourse::Store(_) => Until::Later,
    };
    Missed { said: Said { code: None, status: none.status(), words: none.to_string() }, hop: domain.to_string(), until }
}

/// Attempts at once, of all domains together: each may hold a connection, a file of the spool and its buffers.
pub(super) const RUNNING_MAX: usize = 200;
/// Of those, for domains that have none.
const RESERVE: usize = 50;
/// A domain takes one of so many parts of what is left.
const SHARE: usize = 4;
/// Hosts that one attempt asks. RFC 5321 §5.1 wants two at least.
const TRIED_MAX: usize = 10;
/// RFC 3463 §3.5: unable to route.
const NOBODY: EnhancedStatus = EnhancedStatus::new(4, 4, 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_domains_leave_room_for_others() {
        let running = Running::default();
        let mut slow = [0; 30];
        // Each takes all that it gets, again and again, and gives nothing back.
        for _ in 0..100 {
            for domain in &mut slow {
                for _ in 0..running.room(*domain) {
                    running.begin();
                    *domain += 1;
                }
            }
        }
        assert!(slow.iter().all(|attempts| *attempts > 0) && slow.iter().sum::<usize>() > 100, "they are not kept out: {slow:?}");
        for another in 0..30 {
            assert!(running.room(0) > 0, "the {another}th more waits for them: {slow:?}");
            running.begin();
        }
        for _ in 0..RUNNING_MAX {
            running.begin();
        }
        assert_eq!(running.room(0), 0);
        for _ in 0..RUNNING_MAX {
            running.end();
        }
        assert_eq!(running.room(1), 0, "the last places are for those that have nothing under way");
        assert_eq!(running.room(0), 1);
    }
}
