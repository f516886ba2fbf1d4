//! What the message, our policy, DANE and MTA-STS say of one host, made into one demand. Nothing here asks anybody.

use std::fmt;
use std::sync::Arc;

use super::report::{Applied, Failure, Kind, Wrong};
use super::sts::{Mode, Policy, Stand, Unavailable};
use crate::net::dane;
use crate::net::dns::{Host, Proof, Trouble};
use crate::net::fetch::Unfetched;

/// How TLS with a host must look. Two demands that are equal may share a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Tls {
    /// If it is offered, with any certificate; without, if not. RFC 7435.
    Opportunistic,
    /// The same, and what is wrong with the certificate is reported. MTA-STS `testing`.
    Observed,
    /// Or not at all, with any certificate. RFC 7672 §2.2: records that are proven, and none that can be used.
    Encrypted,
    /// Or not at all, with a certificate of the host that holds.
    Verified,
    /// Or not at all, with a certificate that is as the records say.
    Dane {
        /// The usable ones.
        records: Arc<[dane::Record]>,
        /// One of them must be in the certificate, where the record is of its authority. RFC 7672 §3.2.2.
        names: Arc<[Host]>,
    },
}

/// What the message and our policy ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strictness {
    /// What the domain demands.
    Published,
    /// Only hosts that are proven (DANE, or MTA-STS `enforce`): our policy counts on it.
    Proven,
    /// REQUIRETLS: only hosts that are proven to be the domain's, each with a certificate that holds. RFC 8689 §4.2.1.
    RequireTls,
}

/// What DNS says of a host's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Dane {
    /// Nothing that is proven.
    Silent,
    /// Records, of which none can be used.
    Unusable(Vec<dane::Record>),
    /// Usable records, of this name.
    Records(Vec<dane::Record>, Host),
    /// It is not known what, and that may be somebody's doing.
    Broken(Trouble),
}

/// What is known of the domain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing<'a> {
    /// The domain, as a name that may be in certificates.
    pub domain: &'a Host,
    /// Of the list of its exchangers.
    pub exchanges: Proof,
    /// MTA-STS.
    pub stand: &'a Stand,
    /// What we want ourselves.
    pub strictness: Strictness,
}

/// The demand on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Demand {
    pub tls: Tls,
    pub proof: Proof,
    /// What the domain's report is to say of it; nothing where nobody looked at what the domain demands.
    pub applied: Option<Arc<Applied>>,
    pub flaw: Option<Failure>,
}

/// What a domain demands, and how a host is not so: it gets no mail.
pub type Refused = Box<(Applied, Failure)>;

impl fmt::Display for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opportunistic => f.write_str("TLS if it is offered"),
            Self::Observed => f.write_str("TLS if it is offered, the certificate is reported (MTA-STS testing)"),
            Self::Encrypted => f.write_str("TLS with any certificate (no TLSA record can be used)"),
            Self::Verified => f.write_str("TLS with a certificate that holds (MTA-STS)"),
            Self::Dane { records, .. } => write!(f, "TLS with a certificate by {} TLSA records (DANE)", records.len()),
        }
    }
}

impl Standing<'_> {
    /// The demand on one of its hosts.
    pub fn demand(&self, host: &Host, dane: Dane) -> Result<Demand, Refused> {
        let demand = self.published(host, dane)?;
        match (&demand.tls, self.strictness) {
            // RFC 8689 §4.2.1: who the host is must be proven by DNSSEC or by MTA-STS; its certificate may then hold by any root.
            (Tls::Opportunistic | Tls::Encrypted | Tls::Observed, Strictness::RequireTls) => {
                let proof = if demand.tls == Tls::Observed { Proof::Secure } else { self.exchanges };
                Ok(Demand { tls: Tls::Verified, proof, ..demand })
            }
            _ => Ok(demand),
        }
    }

    /// What the domain demands. DANE comes first: who can forge a policy's web server cannot forge DNSSEC. RFC 8461 §2.
    fn published(&self, host: &Host, dane: Dane) -> Result<Demand, Refused> {
        match (dane, self.exchanges, self.stand) {
            (Dane::Records(records, base), Proof::Secure, _) => Ok(self.by_records(host, records, base)),
            // RFC 7672 §2.1.1: who can keep an answer from us must not be able to weaken what it says.
            (Dane::Broken(trouble), Proof::Secure, _) => {
                let failure = Failure::new(Wrong::DnssecInvalid, Some(host), &format!("TLSA: {trouble}"));
                Err(Box::new((Applied { kind: Kind::Tlsa, ..Applied::default() }, failure)))
            }
            (_, _, Stand::Policy(policy)) if policy.mode == Mode::Enforce => by_policy(policy, host),
            // Where the list of hosts is not proven, a record still tells one host from another, but not whose it is.
            (Dane::Records(records, base), Proof::Insecure, _) => Ok(self.by_records(host, records, base)),
            (Dane::Unusable(records), Proof::Secure, _) => {
                let flaw = Failure::new(Wrong::TlsaInvalid, Some(host), "no TLSA record that is of use between mail servers");
                Ok(Demand { tls: Tls::Encrypted, flaw: Some(flaw), ..Demand::under(tlsa(&records, host)) })
            }
            (Dane::Silent | Dane::Unusable(_) | Dane::Broken(_), _, Stand::Policy(policy)) => by_policy(policy, host),
            (Dane::Silent | Dane::Unusable(_) | Dane::Broken(_), _, Stand::Unavailable(why)) => Ok(without_policy(why)),
            (Dane::Silent | Dane::Unusable(_) | Dane::Broken(_), _, Stand::NoPolicy) => Ok(Demand::under(Applied::default())),
        }
    }

    fn by_records(&self, host: &Host, records: Vec<dane::Record>, base: Host) -> Demand {
        let under = Demand::under(tlsa(&records, host));
        // The domain's own name is one only where it is proven that the host is the domain's.
        let domain = (self.exchanges == Proof::Secure).then(|| self.domain.clone());
        let names = [base, host.clone()].into_iter().chain(domain).collect();
        Demand { tls: Tls::Dane { records: records.into(), names }, proof: self.exchanges, ..under }
    }
}

impl Demand {
    /// Nothing is demanded under it yet.
    fn under(applied: Applied) -> Self {
        Self { tls: Tls::Opportunistic, proof: Proof::Insecure, applied: Some(Arc::new(applied)), flaw: None }
    }
}

fn by_policy(policy: &Policy, host: &Host) -> Result<Demand, Refused> {
    let lines = policy.to_string().lines().map(String::from).collect();
    let applied = Applied { kind: Kind::Sts, lines, hosts: policy.patterns().collect() };
    let flaw = || Failure::new(Wrong::ValidationFailure, Some(host), "the policy does not name this host");
    match (policy.mode, policy.allows(host)) {
        (Mode::Enforce, true) => Ok(Demand { tls: Tls::Verified, proof: Proof::Secure, ..Demand::under(applied) }),
        (Mode::Enforce, false) => Err(Box::new((applied, flaw()))),
        (Mode::Testing, true) => Ok(Demand { tls: Tls::Observed, ..Demand::under(applied) }),
        (Mode::Testing, false) => Ok(Demand { flaw: Some(flaw()), ..Demand::under(applied) }),
        (Mode::None, _) => Ok(Demand::under(Applied::default())),
    }
}

/// The domain says that it has a policy, and nobody can read it.
fn without_policy(why: &Unavailable) -> Demand {
    let wrong = match why {
        Unavailable::Fetch(Unfetched::Certificate(_)) => Wrong::StsWebpkiInvalid,
        Unavailable::Fetch(_) => Wrong::StsPolicyFetchError,
        Unavailable::Bad(_) => Wrong::StsPolicyInvalid,
    };
    let flaw = Failure::new(wrong, None, &why.to_string());
    Demand { flaw: Some(flaw), ..Demand::under(Applied { kind: Kind::Sts, ..Applied::default() }) }
}

fn tlsa(records: &[dane::Record], host: &Host) -> Applied {
    Applied { kind: Kind::Tlsa, lines: records.iter().map(ToString::to_string).collect(), hosts: vec![host.to_string()] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Stand {
        Stand::Policy(Arc::new(Policy::parse(format!("version: STSv1\nmax_age: 1\nmx: mx.example.org\n{text}\n").as_bytes()).unwrap()))
    }

    fn shown(result: Result<Demand, Refused>) -> String {
        match result {
            Err(refused) => format!("refused {:?} {:?}", refused.0.kind, refused.1.wrong),
            Ok(demand) => {
                let tls = match demand.tls {
                    Tls::Dane { names, .. } => format!("dane {}", names.len()),
                    plain @ (Tls::Opportunistic | Tls::Observed | Tls::Encrypted | Tls::Verified) => format!("{plain:?}").to_lowercase(),
                };
                let proof = if demand.proof == Proof::Secure { "proven" } else { "not proven" };
                let flaw = demand.flaw.map(|flaw| format!(" {:?}", flaw.wrong)).unwrap_or_default();
                let kind = demand.applied.map_or(String::from("unseen"), |applied| format!("{:?}", applied.kind));
                format!("{tls}, {proof}, {kind}{flaw}")
            }
        }
    }

    #[test]
    fn dane_comes_before_mta_sts_and_the_message_before_both() {
        use Proof::{Insecure, Secure};
        use Strictness::{Published, RequireTls};
        let record = || vec![dane::Record::new([3, 1, 1], vec![0; 32])];
        let base = || Host::parse("mx.example.org").unwrap();
        let records = || Dane::Records(record(), base());
        let unusable = || Dane::Unusable(vec![dane::Record::new([0, 0, 1], vec![0; 32])]);
        let broken = || Dane::Broken(Trouble::Bogus);
        let (enforce, testing, none) = (policy("mode: enforce"), policy("mode: testing"), Stand::NoPolicy);
        let other = Stand::Policy(Arc::new(Policy::parse(b"version: STSv1\nmode: enforce\nmx: *.example.net\nmax_age: 1\n").unwrap()));
        let unavailable = Stand::Unavailable(Unavailable::Fetch(Unfetched::Status(302)));
        for (dane, exchanges, stand, strictness, expect) in [
            (records(), Secure, &none, Published, "dane 3, proven, Tlsa"),
            (records(), Secure, &enforce, Published, "dane 3, proven, Tlsa"),
            (records(), Secure, &other, Published, "dane 3, proven, Tlsa"),
            (records(), Secure, &testing, Published, "dane 3, proven, Tlsa"),
            (records(), Insecure, &none, Published, "dane 2, not proven, Tlsa"),
            (records(), Insecure, &enforce, Published, "verified, proven, Sts"),
            (records(), Insecure, &other, Published, "refused Sts ValidationFailure"),
            (unusable(), Secure, &none, Published, "encrypted, not proven, Tlsa TlsaInvalid"),
            (unusable(), Secure, &enforce, Published, "verified, proven, Sts"),
            (unusable(), Insecure, &none, Published, "opportunistic, not proven, NoPolicyFound"),
            (broken(), Secure, &none, Published, "refused Tlsa DnssecInvalid"),
            (broken(), Secure, &enforce, Published, "refused Tlsa DnssecInvalid"),
            (broken(), Insecure, &none, Published, "opportunistic, not proven, NoPolicyFound"),
            (broken(), Insecure, &enforce, Published, "verified, proven, Sts"),
            (Dane::Silent, Secure, &none, Published, "opportunistic, not proven, NoPolicyFound"),
            (Dane::Silent, Insecure, &enforce, Published, "verified, proven, Sts"),
            (Dane::Silent, Insecure, &other, Published, "refused Sts ValidationFailure"),
            (Dane::Silent, Insecure, &testing, Published, "observed, not proven, Sts"),
            (Dane::Silent, Insecure, &unavailable, Published, "opportunistic, not proven, Sts StsPolicyFetchError"),
            (unusable(), Secure, &testing, Published, "encrypted, not proven, Tlsa TlsaInvalid"),
            (records(), Insecure, &testing, Published, "dane 2, not proven, Tlsa"),
            (records(), Secure, &none, RequireTls, "dane 3, proven, Tlsa"),
            (unusable(), Secure, &none, RequireTls, "verified, proven, Tlsa TlsaInvalid"),
            (Dane::Silent, Secure, &none, RequireTls, "verified, proven, NoPolicyFound"),
            (Dane::Silent, Insecure, &none, RequireTls, "verified, not proven, NoPolicyFound"),
            (Dane::Silent, Insecure, &testing, RequireTls, "verified, proven, Sts"),
            (records(), Insecure, &none, RequireTls, "dane 2, not proven, Tlsa"),
        ] {
            let standing = Standing { domain: &Host::parse("example.org").unwrap(), exchanges, stand, strictness };
            let case = format!("{dane:?} {exchanges:?} {stand:?} {strictness:?}");
            assert_eq!(shown(standing.demand(&base(), dane)), expect, "{case}");
        }
    }

    #[test]
    fn a_host_that_a_tested_policy_does_not_name_gets_its_mail_and_a_report() {
        let stand = policy("mode: testing");
        let standing = Standing {
            domain: &Host::parse("example.org").unwrap(),
            exchanges: Proof::Insecure,
            stand: &stand,
            strictness: Strictness::Published,
        };
        let stranger = Host::parse("mx.example.net").unwrap();
        assert_eq!(shown(standing.demand(&stranger, Dane::Silent)), "opportunistic, not proven, Sts ValidationFailure");
    }
}
