//! Who takes a domain's mail. RFC 5321 §5.1, RFC 7505.

use std::sync::Arc;

use hickory_resolver::proto::rr::RecordType;

use super::answer::{Datum, Found};
use super::{Host, NoAddress, Proof, Resolver, Trouble};
use crate::crypto::random;
use crate::mail::{Domain, EnhancedStatus};

/// Who takes a domain's mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchanges {
    /// In the order in which they are to be tried; never empty.
    pub hosts: Vec<Exchange>,
    /// Of the list, or that there is no need of one: the domain itself.
    pub proof: Proof,
}

/// A mail exchanger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exchange {
    /// The lowest is tried first.
    pub preference: u16,
    /// Its name.
    pub host: Host,
}

/// Why mail for a domain goes nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoExchange {
    /// The domain does not exist.
    NoDomain,
    /// It says that it takes no mail. RFC 7505.
    NullMx,
    /// It exists, and nothing that takes mail for it does.
    NoHost,
    /// Its mail is to come to us, and we were told to send it on.
    Ourselves,
    /// Not known for now.
    Unknown(Trouble),
}

impl Resolver {
    /// The exchangers of a domain, those before `ourselves` only; the domain itself where it names none.
    pub async fn exchanges(&self, domain: &Domain, ourselves: &[Host]) -> Result<Exchanges, NoExchange> {
        let host = Host::from(domain);
        let name = host.name().ok_or(NoExchange::NoDomain)?;
        let found = self.ask_surely(&name, RecordType::MX).await.map_err(NoExchange::Unknown)?;
        if !found.exists {
            return Err(NoExchange::NoDomain);
        }
        if found.records.is_empty() {
            // Whoever says that there is no list: the name of this host came with the mail, and not from DNS.
            return Ok(Exchanges { hosts: before(vec![Exchange { preference: 0, host }], ourselves)?, proof: Proof::Secure });
        }
        Ok(Exchanges { hosts: before(listed(&found)?, ourselves)?, proof: found.proof })
    }
}

/// Those that can be a host, by preference, and by chance where that is equal.
fn listed(found: &Arc<Found>) -> Result<Vec<Exchange>, NoExchange> {
    let records = found.records.iter().filter_map(|datum| match datum {
        Datum::Exchange(preference, name) => Some((*preference, name)),
        Datum::Address(_) | Datum::Text(_) | Datum::Tlsa(_) | Datum::Alias => None,
    });
    let mut hosts: Vec<(u64, Exchange)> = Vec::new();
    for (preference, name) in records.clone() {
        let chance = u64::from_be_bytes(random::array());
        // A root among others is a mistake (RFC 7505 §3), and no host.
        hosts.extend(Host::of(name).map(|host| (chance, Exchange { preference, host })));
    }
    if hosts.is_empty() {
        return Err(if records.clone().all(|(_, name)| name.is_root()) { NoExchange::NullMx } else { NoExchange::NoHost });
    }
    hosts.sort_by_key(|(chance, exchange)| (exchange.preference, *chance));
    Ok(hosts.into_iter().map(|(_, exchange)| exchange).collect())
}

/// RFC 5321 §5.1: a relay that is in the list itself sends to those before it and to nobody else, or mail goes in a circle.
fn before(hosts: Vec<Exchange>, ourselves: &[Host]) -> Result<Vec<Exchange>, NoExchange> {
    let ours = hosts.iter().find(|exchange| ourselves.contains(&exchange.host)).map(|exchange| exchange.preference);
    let hosts: Vec<Exchange> =
        hosts.into_iter().filter(|exchange| ours.is_none_or(|ours| exchange.preference < ours)).take(EXCHANGES_MAX).collect();
    if hosts.is_empty() { Err(NoExchange::Ourselves) } else { Ok(hosts) }
}

impl NoExchange {
    /// What the sender is told, if this is the end. RFC 3463, RFC 7505 §4.2, RFC 5321 §5.1.
    pub const fn status(&self) -> EnhancedStatus {
        match self {
            Self::NoDomain => EnhancedStatus::new(5, 1, 2),
            Self::NullMx => EnhancedStatus::new(5, 1, 10),
            Self::NoHost => EnhancedStatus::new(5, 4, 4),
            Self::Ourselves => EnhancedStatus::new(5, 4, 6),
            Self::Unknown(_) => EnhancedStatus::new(4, 4, 3),
        }
    }
}

impl From<NoAddress> for NoExchange {
    fn from(none: NoAddress) -> Self {
        match none {
            NoAddress::None | NoAddress::Refused => Self::NoHost,
            NoAddress::Unknown(trouble) => Self::Unknown(trouble),
        }
    }
}

impl std::fmt::Display for NoExchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoDomain => f.write_str("the domain does not exist"),
            Self::NullMx => f.write_str("the domain takes no mail"),
            Self::NoHost => f.write_str("no host that takes mail for the domain can be found"),
            Self::Ourselves => f.write_str("mail for the domain would come back to us"),
            Self::Unknown(trouble) => trouble.fmt(f),
        }
    }
}

/// Hosts of one domain that are tried.
const EXCHANGES_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::Name;

    use super::*;

    fn found(records: &[(u16, &str)]) -> Arc<Found> {
        // As it comes over the wire: any octets.
        let name = |text: &str| Name::from_labels(text.split('.').filter(|label| !label.is_empty()).map(str::as_bytes)).unwrap();
        let records = records.iter().map(|(preference, text)| Datum::Exchange(*preference, name(text))).collect();
        Arc::new(Found { records, ..Found::nothing(Name::from_ascii("example.org.").unwrap()) })
    }

    fn shown(hosts: Result<Vec<Exchange>, NoExchange>) -> String {
        hosts.map_or_else(
            |none| none.status().to_string(),
            |hosts| hosts.iter().map(|exchange| exchange.host.to_string()).collect::<Vec<_>>().join(" "),
        )
    }

    #[test]
    fn exchangers_come_by_preference_and_only_those_before_us() {
        let us = [Host::parse("gate.example.net").unwrap()];
        for (records, expect) in [
            (&[(20, "b."), (10, "a.")][..], "a b"),
            (&[(0, ".")], "5.1.10"),
            (&[(0, "."), (10, "a.")], "a"),
            (&[(10, "bad name.")], "5.4.4"),
            (&[(10, "a."), (20, "GATE.example.net."), (20, "b."), (30, "c.")], "a"),
            (&[(10, "gate.example.net."), (20, "c.")], "5.4.6"),
        ] {
            assert_eq!(shown(listed(&found(records)).and_then(|hosts| before(hosts, &us))), expect, "{records:?}");
        }
        let many: Vec<(u16, String)> = (0..50).map(|number| (number, format!("mx{number}."))).collect();
        let many: Vec<(u16, &str)> = many.iter().map(|(preference, name)| (*preference, name.as_str())).collect();
        assert_eq!(before(listed(&found(&many)).unwrap(), &us).unwrap().len(), EXCHANGES_MAX);
    }

    #[test]
    fn equals_share_the_mail_by_chance() {
        let equals = found(&[(10, "a."), (10, "b."), (20, "c.")]);
        let orders: std::collections::HashSet<String> = (0..100).map(|_| shown(listed(&equals))).collect();
        assert_eq!(orders, ["a b c", "b a c"].map(String::from).into());
    }
}
