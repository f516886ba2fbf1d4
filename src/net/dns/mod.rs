//! DNS as a relay needs it: where a domain takes its mail, where those hosts are, what they say of their certificates.
//!
//! Every answer carries whether DNSSEC proves it, and every failure whether it is for now or for good:
//! a name server that is silent, broken or lying makes mail late, never lost. Nothing here
//! connects to what it finds.
//!
//! The AD bit is believed of resolvers on loopback only, because anybody on the way could set it (RFC 6840 §5.7).
//! RFC 5321 §5.1 (mail exchangers), RFC 7505 (null MX), RFC 4033 §5 (secure, insecure, bogus), RFC 7672 §2.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::net::dnssec::DnssecDnsHandle;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::dnssec::{Proof as Judgement, TrustAnchors};
use hickory_resolver::proto::op::{DnsRequest, DnsRequestOptions, Message, MessageType, OpCode, Query};
use hickory_resolver::proto::rr::{Name, RecordType};
use ipnet::IpNet;

use crate::mistake::Mistake;
use crate::net::dane;

mod answer;
mod cache;
mod exchange;
mod host;
mod options;
mod servers;
mod wildcard;

use answer::{Datum, Found, Step};
use cache::Cache;
pub use exchange::{Exchange, Exchanges, NoExchange};
pub use host::Host;
pub use options::{Dnssec, Families, Options};
use servers::Servers;

/// Asks the resolvers, and remembers what they said for as long as they allow.
pub struct Resolver {
    handle: Handle,
    servers: Servers,
    trust: Trust,
    families: Families,
    refused: Vec<IpNet>,
    patience: Duration,
    cache: Cache,
}

/// Whether an answer is what the owner of the zone published. RFC 4033 §5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// Nobody signed it, or nobody whom we believe has checked.
    Insecure,
    /// Signed, in a chain from the root.
    Secure,
}

/// An answer with its proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// What was said.
    pub value: T,
    /// Whether that holds.
    pub proof: Proof,
}

/// Where a host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// In the order in which they are to be tried; never empty.
    pub list: Vec<IpAddr>,
    /// The name that has them, at the end of all aliases.
    pub canonical: Host,
    /// Of the addresses and every alias on the way.
    pub proof: Proof,
}

/// Why a host has no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAddress {
    /// It does not exist, or exists without one.
    None,
    /// Only such as no mail server of others can have (`dns.refuse`).
    Refused,
    /// Not known for now.
    Unknown(Trouble),
}

/// Why there is no answer. It may come later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// No server answered in time.
    Silence,
    /// Every server answered that it has no answer: its response code.
    Refusal(String),
    /// DNSSEC shows that the answer is not what the zone's owner published.
    Bogus,
    /// Aliases that lead nowhere, or in a circle.
    Endless,
    /// The answer is longer, or stranger, than a mail system can use.
    Nonsense,
}

/// Whose word counts as a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Nobody,
    /// The AD bit of the resolvers.
    Resolvers,
    /// Signatures that we check.
    Signatures,
}

enum Handle {
    Plain(Servers),
    Validating(Box<DnssecDnsHandle<Servers>>),
}

impl Resolver {
    /// Reads `/etc/resolv.conf` where no servers are named, and the trust anchor where one is. Asks nobody yet.
    pub fn new(options: &Options) -> Result<Self, Mistake> {
        let addresses = options.addresses();
        let servers =
            Servers::new(&addresses, options).map_err(|error| Mistake::whole(Path::new("waxseal.toml"), format!("dns: {error}")))?;
        let trust = match options.dnssec {
            Dnssec::Resolver if addresses.iter().all(|server| server.ip().is_loopback()) => Trust::Resolvers,
            Dnssec::Resolver | Dnssec::Off => Trust::Nobody,
            Dnssec::Own => Trust::Signatures,
        };
        let handle = match trust {
            Trust::Signatures => Handle::Validating(Box::new(validating(&servers, options.anchors()?))),
            Trust::Nobody | Trust::Resolvers => Handle::Plain(servers.clone()),
        };
        Ok(Self {
            handle,
            servers,
            trust,
            families: options.families,
            refused: options.refuse.clone(),
            patience: options.patience(),
            cache: Cache::default(),
        })
    }

    /// The addresses of a host.
    pub async fn addresses(&self, host: &Host) -> Result<Addresses, NoAddress> {
        let name = host.name().ok_or(NoAddress::None)?;
        let (six, four) = tokio::join!(
            self.family(&name, self.families.six().then_some(RecordType::AAAA)),
            self.family(&name, self.families.four().then_some(RecordType::A))
        );
        let (six, four) = match (six, four) {
            // One family is enough to connect to.
            (Err(trouble), Err(_)) => return Err(NoAddress::Unknown(trouble)),
            (Err(trouble), Ok(other)) | (Ok(other), Err(trouble)) if other.records.is_empty() => {
                return Err(NoAddress::Unknown(trouble));
            }
            (six, four) => (six.ok(), four.ok()),
        };
        let found: Vec<&Arc<Found>> = [&six, &four].into_iter().flatten().filter(|found| !found.records.is_empty()).collect();
        let proof = found.iter().map(|found| found.proof).min().ok_or(NoAddress::None)?;
        let canonical = found.first().and_then(|found| Host::of(&found.name)).ok_or(NoAddress::None)?;
        let list = |found: Option<Arc<Found>>| self.usable(found.as_deref());
        let list = self.families.order(list(six), list(four));
        if list.is_empty() { Err(NoAddress::Refused) } else { Ok(Addresses { list, canonical, proof }) }
    }

    /// Whether a mail server of others can have the address.
    pub fn permits(&self, address: IpAddr) -> bool {
        !self.refused.iter().any(|network| network.contains(&address.to_canonical()))
    }

    /// What a host says of its certificate at a port; none where it says nothing. RFC 6698 §3.
    pub async fn tlsa(&self, port: u16, host: &Host) -> Result<Answer<Vec<dane::Record>>, Trouble> {
        let name = host.service(&format!("_{port}._tcp")).ok_or(Trouble::Nonsense)?;
        self.read(&name, RecordType::TLSA, |datum| match datum {
            Datum::Tlsa(record) => Some(record.clone()),
            Datum::Exchange(..) | Datum::Address(_) | Datum::Text(_) | Datum::Alias => None,
        })
        .await
    }

    /// The text records of a name, the strings of each put together. RFC 7208 §3.3 says why.
    pub async fn texts(&self, host: &Host) -> Result<Answer<Vec<String>>, Trouble> {
        self.read(host, RecordType::TXT, |datum| match datum {
            Datum::Text(text) => Some(text.clone()),
            Datum::Exchange(..) | Datum::Address(_) | Datum::Tlsa(_) | Datum::Alias => None,
        })
        .await
    }

    /// Whether the name is an alias, and that is proven. RFC 7672 §2.1.3.
    pub async fn is_proven_alias(&self, host: &Host) -> Result<bool, Trouble> {
        let aliases = self.read(host, RecordType::CNAME, |datum| (*datum == Datum::Alias).then_some(())).await?;
        Ok(!aliases.value.is_empty() && aliases.proof == Proof::Secure)
    }

    async fn read<T>(&self, host: &Host, kind: RecordType, datum: impl Fn(&Datum) -> Option<T>) -> Result<Answer<Vec<T>>, Trouble> {
        let found = self.ask(&host.name().ok_or(Trouble::Nonsense)?, kind).await?;
        Ok(Answer { value: found.records.iter().filter_map(datum).collect(), proof: found.proof })
    }

    /// Records of one family; none of a family that nobody wants.
    async fn family(&self, name: &Name, wanted: Option<RecordType>) -> Result<Arc<Found>, Trouble> {
        match wanted {
            Some(kind) => self.ask_surely(name, kind).await,
            None => Ok(Arc::new(Found::nothing(name.clone()))),
        }
    }

    fn usable(&self, found: Option<&Found>) -> Vec<IpAddr> {
        let addresses = found.map(|found| found.records.as_slice()).unwrap_or_default().iter().filter_map(|datum| match datum {
            Datum::Address(address) => Some(*address),
            Datum::Exchange(..) | Datum::Text(_) | Datum::Tlsa(_) | Datum::Alias => None,
        });
        addresses.filter(|address| self.permits(*address)).take(ADDRESSES_MAX).collect()
    }

    /// As [`ask`](Self::ask); that a name does not exist is said by two servers, or twice by the only one.
    async fn ask_surely(&self, name: &Name, kind: RecordType) -> Result<Arc<Found>, Trouble> {
        let found = self.ask(name, kind).await?;
        if found.exists || found.is_sure {
            return Ok(found);
        }
        self.servers.turn();
        let second = self.resolve(name, kind).await.map(|found| Arc::new(Found { is_sure: true, ..found }));
        self.cache.keep(name, kind, second.clone());
        second
    }

    /// What is known, or what the servers say.
    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Arc<Found>, Trouble> {
        if let Some(known) = self.cache.known(name, kind) {
            return known;
        }
        let found = self.resolve(name, kind).await.map(Arc::new);
        self.cache.keep(name, kind, found.clone());
        found
    }

    async fn resolve(&self, name: &Name, kind: RecordType) -> Result<Found, Trouble> {
        tokio::time::timeout(self.patience, self.follow(name, kind)).await.unwrap_or(Err(Trouble::Silence))
    }

    /// Asks for the name, and for the names that it is an alias of.
    async fn follow(&self, name: &Name, kind: RecordType) -> Result<Found, Trouble> {
        let mut found = Found::nothing(name.clone());
        for _ in 0..ALIASES_MAX {
            let message = match self.exchange(Query::query(found.name.clone(), kind)).await {
                Err(Trouble::Bogus) => self.alias(&found.name).await?,
                answered => answered?,
            };
            found = match found.take(&message, kind, self.proof(&message)?)? {
                Step::Done(found) => return Ok(found),
                Step::Onward(found) => found,
            };
        }
        Err(Trouble::Endless)
    }

    /// That the name is an alias, and only that. Where an alias leads to nothing, one message holds the proofs of two names, and the
    /// validator asks for those of the first alone: step by step each name has its own. What is no alias stays bogus.
    async fn alias(&self, name: &Name) -> Result<Message, Trouble> {
        let message = self.exchange(Query::query(name.clone(), RecordType::CNAME)).await?;
        let is_alias = message.answers.iter().any(|record| record.record_type() == RecordType::CNAME && record.name == *name);
        if is_alias { Ok(message) } else { Err(Trouble::Bogus) }
    }

    /// One question, one message; a negative one too.
    async fn exchange(&self, query: Query) -> Result<Message, Trouble> {
        let name = query.name().clone();
        let mut options = DnsRequestOptions::default();
        options.edns_set_dnssec_ok = self.trust != Trust::Nobody;
        let mut request = DnsRequest::from_query(query, options);
        // RFC 6840 §5.7: who sets it wants to know.
        request.metadata.authentic_data = self.trust != Trust::Nobody;
        let answered = match &self.handle {
            Handle::Plain(servers) => servers.send(request).first_answer().await,
            Handle::Validating(handle) => handle.send(request).first_answer().await,
        };
        match answered {
            Ok(response) => self.of_its_zone(response.into_message(), &name),
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
                let mut message = Message::new(0, MessageType::Response, OpCode::Query);
                message.metadata.response_code = none.response_code;
                message.add_authorities(none.authorities.iter().flat_map(|records| records.iter().cloned()));
                self.of_its_zone(message, &name)
            }
            Err(NetError::Dns(DnsError::Nsec { response, proof: Judgement::Insecure, .. })) => {
                self.of_its_zone(response.into_message(), &name)
            }
            Err(NetError::Dns(DnsError::Nsec { response, query, .. })) if wildcard::is_proven(&response, query.name()) => {
                Ok(response.into_message())
            }
            Err(error) => Err(trouble(&error)),
        }
    }

    /// The validator looks only at whether the zone that speaks is signed, and anybody may speak for one that is not: TLSA
    /// records would be denied by a stranger. RFC 7672 §2.1.
    fn of_its_zone(&self, message: Message, name: &Name) -> Result<Message, Trouble> {
        if self.trust != Trust::Signatures || is_of_its_zone(&message, name) { Ok(message) } else { Err(Trouble::Bogus) }
    }

    /// What proves the records of the answer.
    fn proof(&self, message: &Message) -> Result<Proof, Trouble> {
        let secure = match self.trust {
            Trust::Nobody => false,
            Trust::Resolvers => message.metadata.authentic_data,
            Trust::Signatures => {
                let records = || message.answers.iter().filter(|record| record.record_type() != RecordType::RRSIG);
                if records().any(|record| matches!(record.proof, Judgement::Bogus | Judgement::Indeterminate)) {
                    return Err(Trouble::Bogus);
                }
                records().count() > 0 && records().all(|record| record.proof == Judgement::Secure)
            }
        };
        Ok(if secure { Proof::Secure } else { Proof::Insecure })
    }
}

/// Whether an answer is about the name: that there is nothing is for its own zone to say (RFC 2308 §2). Where no zone says
/// anything, the validator has looked itself whether the name's zone is signed.
fn is_of_its_zone(message: &Message, name: &Name) -> bool {
    let is_answered = message.answers.iter().any(|record| record.name == *name);
    is_answered || message.authorities.is_empty() || message.authorities.iter().any(|record| record.name.zone_of(name))
}

fn validating(servers: &Servers, anchors: TrustAnchors) -> DnssecDnsHandle<Servers> {
    DnssecDnsHandle::with_trust_anchor(servers.clone(), Arc::new(anchors))
        .nsec3_iteration_limits(Some(NSEC3_SOFT), Some(NSEC3_HARD))
        .validation_cache_size(VALIDATIONS_MAX)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "every other way to fail is one")]
fn trouble(error: &NetError) -> Trouble {
    match error {
        NetError::Timeout | NetError::NoConnections | NetError::Io(_) | NetError::Busy => Trouble::Silence,
        NetError::Dns(DnsError::ResponseCode(code)) => Trouble::Refusal(code.to_string()),
        NetError::Dns(DnsError::DnssecBogus | DnsError::Nsec { .. }) => Trouble::Bogus,
        _ => Trouble::Nonsense,
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silence => f.write_str("no name server answered in time"),
            Self::Refusal(code) => write!(f, "the name servers have no answer ({code})"),
            Self::Bogus => f.write_str("DNSSEC shows that the answer is forged or damaged"),
            Self::Endless => f.write_str("the name is an alias without an end"),
            Self::Nonsense => f.write_str("the name servers' answer is not understood"),
        }
    }
}

/// Aliases on the way to a record.
const ALIASES_MAX: usize = 8;
/// Addresses of one host and family; more are of no use to one message.
const ADDRESSES_MAX: usize = 16;
/// Chains of signatures that are remembered.
const VALIDATIONS_MAX: usize = 4_096;
/// RFC 9276 §3.2: more iterations than this prove nothing, because they cost too much.
const NSEC3_SOFT: u16 = 50;
/// And more than this are an attack.
const NSEC3_HARD: u16 = 150;

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::rdata::{A, SOA};
    use hickory_resolver::proto::rr::{RData, Record};

    use super::*;

    #[test]
    fn nobody_says_for_another_zone_that_there_is_nothing() {
        let name = |text: &str| Name::from_ascii(text).unwrap();
        let asked = name("_25._tcp.mx.signed.example.");
        let soa = |zone: &str| Record::from_rdata(name(zone), 60, RData::SOA(SOA::new(name(zone), name(zone), 1, 1, 1, 1, 1)));
        let address = |owner: &str| Record::from_rdata(name(owner), 60, RData::A(A::new(192, 0, 2, 1)));
        for (answer, authority, expect) in [
            (None, Some("signed.example."), true),
            (None, Some("."), true),
            (None, Some("unsigned.example."), false),
            (Some("host.unsigned.example."), Some("unsigned.example."), false),
            (None, Some("other.mx.signed.example."), false),
            (None, None, true),
            (Some("_25._tcp.mx.signed.example."), None, true),
        ] {
            let mut message = Message::new(0, MessageType::Response, OpCode::Query);
            message.add_answers(answer.map(address));
            message.add_authorities(authority.map(soa));
            assert_eq!(is_of_its_zone(&message, &asked), expect, "{answer:?} {authority:?}");
        }
    }
}
