//! The way to another domain's mail servers: which hosts, where they are, and how TLS with each must look.
//!
//! Three say something about that, in this order: the message (REQUIRETLS) and our own policy;
//! DANE, where DNSSEC proves it; MTA-STS. They are joined here, before anything is connected, into a [`Course`]:
//! what it does not list is not connected to, and what it demands of a connection is demanded to the end.
//!
//! RFC 7672 (DANE for SMTP), RFC 8461 (MTA-STS), RFC 8689 (REQUIRETLS), RFC 8460 (reports).

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::join_all;
use jiff::Timestamp;
use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;

use crate::event::{Event, emit};
use crate::mail::{Domain, EnhancedStatus};
use crate::mistake::Mistake;
use crate::net::dns::{Addresses, Exchange, Host, NoExchange, Proof, Resolver};
use crate::net::fetch::Fetcher;
use crate::net::{dane, tls};
use crate::store::{Fault, SealedRecords};

mod demand;
mod options;
pub mod report;
pub mod sts;

use demand::{Dane, Demand, Standing};
pub use demand::{Refused, Strictness, Tls};
pub use options::{Options, Switch};
use report::{Applied, Failure, Outcome, Tally, Wrong};
use sts::{Policies, Stand};

/// What finds the way.
pub struct Transport {
    resolver: Arc<Resolver>,
    policies: Option<Policies>,
    tally: Option<Tally>,
    ourselves: Vec<Host>,
    port: u16,
    /// Judges certificates by roots; or why there are none.
    judge: Result<Arc<dyn ServerCertVerifier>, rustls::Error>,
    /// Takes any certificate.
    any: Arc<ClientConfig>,
    /// Takes those that hold by roots.
    verified: Result<Arc<ClientConfig>, rustls::Error>,
}

/// What it is built of.
pub struct Parts {
    /// DNS.
    pub resolver: Arc<Resolver>,
    /// Where policies and counts are kept.
    pub records: SealedRecords,
    /// Our own names as mail exchangers.
    pub ourselves: Vec<Domain>,
    /// Where policies' web servers are; [`HTTPS`] everywhere in the world.
    pub https: u16,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The recipients' domain.
    pub domain: &'a Domain,
    /// What the message and our policy ask for.
    pub strictness: Strictness,
}

/// The way to a domain's mail servers.
#[derive(Debug, Clone)]
pub struct Course {
    /// Hosts in the order in which they are to be tried; never empty.
    pub targets: Vec<Target>,
}

/// One host on the way.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name, for SNI and for the certificate.
    pub host: Host,
    /// Where it is, in the order in which it is to be tried; never empty.
    pub addresses: Vec<IpAddr>,
    /// How TLS with it must look.
    pub tls: Tls,
    /// Whether it is proven that this host takes the domain's mail, and that its certificate is its own.
    pub proof: Proof,
    /// What the domain demanded, for its report, if it gets one.
    applied: Option<Arc<Applied>>,
    /// What is wrong although mail goes there: a policy that is only tested, or cannot be had.
    flaw: Option<Failure>,
}

/// What came of TLS with a target.
#[derive(Debug, Clone)]
pub struct Session<'a> {
    /// The recipients' domain.
    pub domain: &'a Domain,
    /// With whom.
    pub target: &'a Target,
    /// Where.
    pub address: IpAddr,
    /// What was wrong, and in our words why; nothing where TLS was as demanded.
    pub wrong: Option<(Wrong, String)>,
}

/// Why there is no way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoCourse {
    /// There is no host.
    Exchange(NoExchange),
    /// No host is as the domain itself demands; that may be mended.
    Untrusted(Refused),
    /// Our policy counts on a proof, and the domain has none: the message must go another way.
    Unproven,
    /// The same, and it is the message that wants it (REQUIRETLS).
    RequireTls,
    /// Our own trouble.
    Store(Fault),
}

/// A host that gets no mail.
enum Missed {
    /// It is nowhere.
    Nowhere(NoExchange),
    /// It is not as its domain demands.
    Refused(Refused),
}

/// What is wrong with the roots, if some are named.
pub fn check(options: &Options) -> Option<Mistake> {
    let roots = options.roots.as_deref()?;
    tls::by_roots(Some(roots)).err()
}

impl Transport {
    /// Reads the roots. Where there are none no certificate holds: that is told in the log, and mail that needs none goes its way.
    pub fn new(parts: Parts, options: &Options) -> Result<Self, rustls::Error> {
        let Parts { resolver, records, ourselves, https } = parts;
        let judge = tls::by_roots(options.roots.as_deref()).map_err(|mistake| rustls::Error::General(mistake.to_string()));
        if let Err(error) = &judge {
            emit(&Event::Trouble { place: "transport", fault: &error.to_string() });
        }
        let verified = judge.clone().and_then(tls::client);
        let policies = (options.mta_sts == Switch::On).then(|| {
            let fetcher = verified.as_ref().ok().map(|client| Fetcher::new(resolver.clone(), client.clone(), https));
            Policies::new(resolver.clone(), fetcher, records.clone())
        });
        let tally = (options.tls_reports == Switch::On).then(|| Tally::new(records));
        let ourselves = ourselves.iter().map(Host::from).collect();
        Ok(Self { resolver, policies, tally, ourselves, port: options.port, judge, any: tls::client_any()?, verified })
    }

    /// The way to a domain. `now` is a time that nobody can turn ahead: policies end by it.
    pub async fn course(&self, wanted: &Wanted<'_>, now: Timestamp) -> Result<Course, NoCourse> {
        if let Some(address) = literal(wanted.domain) {
            let found = self.resolver.permits(address).then(|| Target::at(address)).ok_or(Missed::Nowhere(NoExchange::NoHost));
            return chosen(vec![found], wanted.strictness);
        }
        let exchanges = self.resolver.exchanges(wanted.domain, &self.ourselves).await.map_err(NoCourse::Exchange)?;
        let stand = match &self.policies {
            Some(policies) => policies.of(wanted.domain, now).await.map_err(NoCourse::Store)?,
            None => Stand::NoPolicy,
        };
        let domain = Host::from(wanted.domain);
        let standing = Standing { domain: &domain, exchanges: exchanges.proof, stand: &stand, strictness: wanted.strictness };
        let looked = join_all(exchanges.hosts.iter().map(|exchange| self.look(exchange, &standing))).await;
        chosen(looked, wanted.strictness)
    }

    /// The configuration of a connection to a target. `seen` gets what is wrong with a certificate that is taken all the same.
    pub fn client(&self, demand: &Tls, seen: &tls::Seen) -> Result<Arc<ClientConfig>, rustls::Error> {
        match demand {
            Tls::Opportunistic | Tls::Encrypted => Ok(self.any.clone()),
            Tls::Observed => match &self.judge {
                Ok(judge) => tls::client_observing(judge.clone(), seen.clone()),
                Err(_) => Ok(self.any.clone()),
            },
            Tls::Verified => self.verified.clone(),
            Tls::Dane { records, names } => dane::client(records, names),
        }
    }

    /// Counts what came of a session, for the domain's report.
    pub fn count_session(&self, session: &Session<'_>, now: Timestamp) {
        let Session { domain, target, address, wrong } = session;
        let Some(applied) = &target.applied else { return };
        let failure = match (wrong, &target.flaw) {
            (Some((wrong, reason)), _) => Some(Failure::new(*wrong, Some(&target.host), reason)),
            (None, flaw) => flaw.clone(),
        };
        let failed = |failure| Outcome::Failure(Failure { address: Some(*address), ..failure });
        self.count((domain, applied), failure.map_or(Outcome::Success, failed), now);
    }

    /// Counts that mail went nowhere, where that is because no host is as the domain demands: no session tells of it.
    pub fn count_refusal(&self, domain: &Domain, none: &NoCourse, now: Timestamp) {
        if let NoCourse::Untrusted(refused) = none {
            self.count((domain, &refused.0), Outcome::Failure(refused.1.clone()), now);
        }
    }

    /// Counts for reports; none where domains are not told.
    pub const fn tally(&self) -> Option<&Tally> {
        self.tally.as_ref()
    }

    /// Where mail servers listen.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// DNS.
    pub const fn resolver(&self) -> &Arc<Resolver> {
        &self.resolver
    }

    /// Puts counts with the records. Blocks.
    pub fn flush(&self) -> Result<(), Fault> {
        self.tally.as_ref().map_or(Ok(()), Tally::flush)
    }

    /// The same, and removes policies that are over. Blocks.
    pub fn tidy(&self, now: Timestamp) -> Result<(), Fault> {
        self.flush()?;
        self.policies.as_ref().map_or(Ok(0), |policies| policies.sweep(now))?;
        Ok(())
    }

    /// One host: where it is, and what is demanded of it.
    async fn look(&self, exchange: &Exchange, standing: &Standing<'_>) -> Result<Target, Missed> {
        let host = exchange.host.clone();
        let addresses = self.resolver.addresses(&host).await.map_err(|none| Missed::Nowhere(none.into()))?;
        let dane = self.dane(&host, &addresses).await;
        let Demand { tls, proof, applied, flaw } = standing.demand(&host, dane).map_err(Missed::Refused)?;
        Ok(Target { host, addresses: addresses.list, tls, proof, applied, flaw })
    }

    /// What DNS says of the host's certificate: at the end of its aliases first, then at its own name. RFC 7672 §2.1.3, §2.2.2.
    async fn dane(&self, host: &Host, addresses: &Addresses) -> Dane {
        let is_alias = addresses.canonical != *host;
        let own = match (addresses.proof, is_alias) {
            (Proof::Secure, _) => Ok(true),
            // The alias may be proven, although where it leads is not.
            (Proof::Insecure, true) => self.resolver.is_proven_alias(host).await,
            (Proof::Insecure, false) => Ok(false),
        };
        let canonical = (is_alias && addresses.proof == Proof::Secure).then_some(&addresses.canonical);
        let bases = match own {
            Ok(true) => canonical.into_iter().chain([host]),
            Ok(false) => return Dane::Silent,
            Err(trouble) => return Dane::Broken(trouble),
        };
        for base in bases {
            match self.resolver.tlsa(self.port, base).await {
                Err(trouble) => return Dane::Broken(trouble),
                Ok(answer) if answer.value.is_empty() || answer.proof == Proof::Insecure => {}
                Ok(answer) => {
                    let usable = dane::usable(answer.value.clone());
                    return if usable.is_empty() { Dane::Unusable(answer.value) } else { Dane::Records(usable, base.clone()) };
                }
            }
        }
        Dane::Silent
    }

    fn count(&self, under: (&Domain, &Applied), outcome: Outcome, now: Timestamp) {
        if let Some(tally) = &self.tally {
            tally.count(under, outcome, now);
        }
    }
}

impl Target {
    /// Nothing is known of a host that has no name.
    fn at(address: IpAddr) -> Self {
        Self { host: address.into(), addresses: vec![address], tls: Tls::Opportunistic, proof: Proof::Insecure, applied: None, flaw: None }
    }
}

/// An address in the place of a domain, as in `ann@[192.0.2.1]`. RFC 5321 §4.1.3.
fn literal(domain: &Domain) -> Option<IpAddr> {
    let address = domain.as_str().strip_prefix('[')?.strip_suffix(']')?;
    address.strip_prefix("IPv6:").unwrap_or(address).parse().ok()
}

/// The hosts that remain, or the reason that weighs most: what may pass comes before what is for good.
fn chosen(looked: Vec<Result<Target, Missed>>, strictness: Strictness) -> Result<Course, NoCourse> {
    let needs_proof = matches!(strictness, Strictness::Proven | Strictness::RequireTls);
    let (mut targets, mut unproven, mut unknown, mut untrusted) = (vec![], None, None, None);
    for looked in looked {
        match looked {
            Ok(target) if needs_proof && target.proof == Proof::Insecure => unproven = Some(target.host),
            Ok(target) => targets.push(target),
            Err(Missed::Refused(refused)) => untrusted = Some(refused),
            Err(Missed::Nowhere(NoExchange::Unknown(trouble))) => unknown = Some(trouble),
            Err(Missed::Nowhere(_)) => {}
        }
    }
    if !targets.is_empty() {
        return Ok(Course { targets });
    }
    Err(match (unknown, untrusted, unproven, strictness) {
        (Some(trouble), ..) => NoCourse::Exchange(NoExchange::Unknown(trouble)),
        (None, Some(refused), ..) => NoCourse::Untrusted(refused),
        (None, None, Some(_), Strictness::RequireTls) => NoCourse::RequireTls,
        (None, None, Some(_), _) => NoCourse::Unproven,
        (None, None, None, _) => NoCourse::Exchange(NoExchange::NoHost),
    })
}

impl NoCourse {
    /// What the sender is told, if this is the end. RFC 3463, RFC 8689 §7.
    pub const fn status(&self) -> EnhancedStatus {
        match self {
            Self::Exchange(none) => none.status(),
            Self::Untrusted(_) => EnhancedStatus::new(4, 7, 5),
            Self::Unproven => EnhancedStatus::new(5, 7, 10),
            Self::RequireTls => EnhancedStatus::new(5, 7, 30),
            Self::Store(_) => EnhancedStatus::new(4, 3, 0),
        }
    }
}

impl std::fmt::Display for NoCourse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exchange(none) => none.fmt(f),
            Self::Untrusted(refused) => {
                let Failure { host, reason, .. } = &refused.1;
                write!(f, "no mail server is as its domain demands: {}: {reason}", host.as_deref().unwrap_or_default())
            }
            Self::Unproven => f.write_str("no mail server of the domain is proven, and policy counts on it"),
            Self::RequireTls => f.write_str("no mail server of the domain is proven, and the message requires it (REQUIRETLS)"),
            Self::Store(_) => f.write_str("trouble of our own"),
        }
    }
}

/// Of the web; RFC 8461 §3.3 allows no other.
pub const HTTPS: u16 = 443;
