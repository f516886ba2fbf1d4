//! Whether an SPF record lets an address send. RFC 7208, as far as an operator needs it.
//!
//! What depends on a message (macros, `exists`, `ptr`) is not evaluated: then the answer is that it cannot
//! be told from here.

use std::net::IpAddr;

use ipnet::IpNet;

use super::dns::{Dns, Unanswered};

/// What a record says of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allows {
    /// It may send.
    Yes,
    /// It may not: by `-all`, `~all`, or by not being named.
    No(String),
    /// There is no record.
    NoRecord,
    /// Nobody can tell, and why.
    Unknown(String),
}

/// Looks a domain's record up and evaluates it for an address.
pub async fn allows(dns: &Dns, domain: &str, address: IpAddr) -> Allows {
    let mut walk = Walk { dns, address, left: LOOKUPS_MAX };
    Box::pin(walk.domain(domain)).await
}

struct Walk<'a> {
    dns: &'a Dns,
    address: IpAddr,
    left: usize,
}

/// Whether a mechanism is about the address.
enum Match {
    Yes,
    No,
    Unknown(String),
}

impl Walk<'_> {
    async fn domain(&mut self, domain: &str) -> Allows {
        let texts = match self.dns.texts(domain).await {
            Ok(texts) => texts,
            Err(Unanswered::None) => return Allows::NoRecord,
            Err(Unanswered::Trouble(why)) => return Allows::Unknown(format!("TXT of {domain}: {why}")),
        };
        let mut records = texts.iter().filter(|text| **text == VERSION || text.starts_with("v=spf1 "));
        match (records.next(), records.next()) {
            (None, _) => Allows::NoRecord,
            // RFC 7208 §4.5.
            (Some(_), Some(_)) => Allows::No(format!("{domain} has two SPF records, which is an error")),
            (Some(record), None) => self.record(domain, record).await,
        }
    }

    async fn record(&mut self, domain: &str, record: &str) -> Allows {
        let mut redirect = None;
        for term in record.split_whitespace().skip(1) {
            if let Some(target) = term.strip_prefix("redirect=") {
                redirect = Some(target.to_owned());
                continue;
            }
            if term.split([':', '/']).next().is_some_and(|name| name.contains('=')) {
                continue;
            }
            let (passes, mechanism) = match term.strip_prefix(['+', '-', '~', '?']) {
                Some(mechanism) => (term.starts_with('+'), mechanism),
                None => (true, term),
            };
            match self.matches(domain, mechanism).await {
                Match::Yes if passes => return Allows::Yes,
                Match::Yes => return Allows::No(format!("{domain} says {term}")),
                Match::No => {}
                Match::Unknown(why) => return Allows::Unknown(why),
            }
        }
        match redirect {
            Some(target) if self.spend() => Box::pin(self.domain(&target)).await,
            Some(_) => too_many(),
            None => Allows::No(format!("the record of {domain} does not name it")),
        }
    }

    async fn matches(&mut self, domain: &str, mechanism: &str) -> Match {
        let (name, rest) = mechanism.split_at(mechanism.find([':', '/']).unwrap_or(mechanism.len()));
        let (target, length) = match rest.strip_prefix(':') {
            // Lengths belong to `a` and `mx`; of a network they are part of it.
            Some(target) if name != "ip4" && name != "ip6" => {
                target.split_once('/').map_or((target, ""), |(target, length)| (target, length))
            }
            Some(target) => (target, ""),
            None => (domain, rest.strip_prefix('/').unwrap_or_default()),
        };
        if target.contains('%') {
            return Match::Unknown(format!("{mechanism} depends on the message"));
        }
        match name {
            "all" => Match::Yes,
            "ip4" | "ip6" => self.is_in(target),
            "a" => self.is_at(target, length).await,
            "mx" => self.is_exchanger(target, length).await,
            "include" => self.is_included(target).await,
            _ => Match::Unknown(format!("{mechanism} cannot be evaluated from here")),
        }
    }

    fn is_in(&self, network: &str) -> Match {
        let network = network.parse::<IpNet>().ok().or_else(|| network.parse::<IpAddr>().ok().map(IpNet::from));
        match network {
            Some(network) if network.contains(&self.address) => Match::Yes,
            Some(_) => Match::No,
            None => Match::Unknown(String::from("a network in the record is not well-formed")),
        }
    }

    async fn is_at(&mut self, name: &str, length: &str) -> Match {
        if !self.spend() {
            return Match::Unknown(TOO_MANY.to_owned());
        }
        match self.dns.addresses(name).await {
            Ok(addresses) if addresses.iter().any(|address| self.covers(*address, length)) => Match::Yes,
            Ok(_) => Match::No,
            Err(Unanswered::None) => Match::No,
            Err(Unanswered::Trouble(why)) => Match::Unknown(format!("{name}: {why}")),
        }
    }

    async fn is_exchanger(&mut self, name: &str, length: &str) -> Match {
        if !self.spend() {
            return Match::Unknown(TOO_MANY.to_owned());
        }
        let exchangers = match self.dns.exchangers(name).await {
            Ok(exchangers) => exchangers,
            Err(Unanswered::None) => return Match::No,
            Err(Unanswered::Trouble(why)) => return Match::Unknown(format!("MX of {name}: {why}")),
        };
        for exchanger in exchangers.iter().take(LOOKUPS_MAX) {
            let addresses = self.dns.addresses(exchanger).await.unwrap_or_default();
            if addresses.iter().any(|address| self.covers(*address, length)) {
                return Match::Yes;
            }
        }
        Match::No
    }

    async fn is_included(&mut self, target: &str) -> Match {
        if !self.spend() {
            return Match::Unknown(TOO_MANY.to_owned());
        }
        match Box::pin(self.domain(target)).await {
            Allows::Yes => Match::Yes,
            Allows::No(_) => Match::No,
            Allows::NoRecord => Match::Unknown(format!("{target} is included and has no record")),
            Allows::Unknown(why) => Match::Unknown(why),
        }
    }

    /// `length` is `24` or `24//64`. RFC 7208 §5.6.
    fn covers(&self, address: IpAddr, length: &str) -> bool {
        let (four, six) = length.split_once("//").unwrap_or((length, ""));
        let length = if address.is_ipv4() { four.parse().unwrap_or(32) } else { six.trim_start_matches('/').parse().unwrap_or(128) };
        IpNet::new(address, length).is_ok_and(|network| network.contains(&self.address))
    }

    /// RFC 7208 §4.6.4.
    fn spend(&mut self) -> bool {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

fn too_many() -> Allows {
    Allows::Unknown(TOO_MANY.to_owned())
}

const VERSION: &str = "v=spf1";
const LOOKUPS_MAX: usize = 10;
const TOO_MANY: &str = "the record needs more than ten look-ups, which receivers take for an error";
