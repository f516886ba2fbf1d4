//! What an operator can set about DNS.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hickory_resolver::proto::dnssec::TrustAnchors;
use hickory_resolver::system_conf::read_system_conf;
use ipnet::IpNet;

use crate::mistake::Mistake;

crate::options! {
    /// Names to addresses.
    pub struct Options {
        /// Resolvers, as `address:port`, the first one first; empty is those of `/etc/resolv.conf`.
        servers: Vec<SocketAddr> = Vec::new(),
        /// Seconds that one resolver gets for one question.
        timeout_seconds: u64 = 5,
        /// How often all of them are asked before an answer is given up for now.
        attempts: u64 = 2,
        /// Whose proof counts: `resolver` (that of the resolvers, if all of them are on loopback), `own` (signatures are checked here), `off`. Without proof there is no DANE.
        dnssec: Dnssec = Dnssec::Resolver,
        /// File with the root's DNSKEY records for `own`; absent is the root of the Internet.
        trust_anchor: Option<PathBuf> = None,
        /// Which addresses of a host are tried: `ipv6-first`, `ipv4-first` (the families in turn), `ipv6`, `ipv4`.
        families: Families = Families::Ipv6First,
        /// Networks that no mail server of others is in: addresses in them are passed over, so that nobody's MX record points at this machine.
        refuse: Vec<IpNet> = refused(),
    }
}

/// Whose proof counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dnssec {
    /// The AD bit, of resolvers on loopback.
    Resolver,
    /// Ours.
    Own,
    /// Nobody's.
    Off,
}

/// Which addresses are tried, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Families {
    /// In turn, an IPv6 one first.
    Ipv6First,
    /// In turn, an IPv4 one first.
    Ipv4First,
    /// No other.
    Ipv6,
    /// No other.
    Ipv4,
}

impl Options {
    /// The resolvers.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        if !self.servers.is_empty() {
            return self.servers.clone();
        }
        let system =
            read_system_conf().map(|(config, _)| config.name_servers().iter().map(|server| SocketAddr::new(server.ip, PORT)).collect());
        // As the C library does where the file is missing.
        system.unwrap_or_else(|_| vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT)])
    }

    /// Whom `own` believes.
    pub(super) fn anchors(&self) -> Result<TrustAnchors, Mistake> {
        let Some(file) = &self.trust_anchor else { return Ok(TrustAnchors::default()) };
        let anchors = TrustAnchors::from_file(file).map_err(|error| wrong(file, &error.to_string()))?;
        if anchors.is_empty() { Err(wrong(file, "holds no key of the root")) } else { Ok(anchors) }
    }

    /// How long one name may take, with all aliases, signatures and silent servers.
    pub(super) fn patience(&self) -> Duration {
        let rounds = self.attempts.saturating_add(1);
        Duration::from_secs(self.timeout_seconds.saturating_mul(rounds).clamp(1, PATIENCE_MAX))
    }
}

impl Families {
    pub(super) const fn six(self) -> bool {
        !matches!(self, Self::Ipv4)
    }

    pub(super) const fn four(self) -> bool {
        !matches!(self, Self::Ipv6)
    }

    /// The families in turn, so that where one of them leads nowhere the second try is of the other.
    pub(super) fn order(self, six: Vec<IpAddr>, four: Vec<IpAddr>) -> Vec<IpAddr> {
        let (first, second) = if self == Self::Ipv4First { (four, six) } else { (six, four) };
        let both = first.len().min(second.len());
        let (mut first, mut second) = (first.into_iter(), second.into_iter());
        let mut list: Vec<IpAddr> = first.by_ref().take(both).zip(second.by_ref()).flat_map(|(one, other)| [one, other]).collect();
        list.extend(first.chain(second));
        list
    }
}

fn wrong(file: &Path, what: &str) -> Mistake {
    Mistake::whole(file, format!("trust anchor: {what}")).help("a line for each key, as in \". IN DNSKEY 257 3 13 mdsswUyr3DPW…\"")
}

/// This machine, its neighbours on the link (which hold the secrets of machines in a cloud), nobody, everybody.
fn refused() -> Vec<IpNet> {
    REFUSED.iter().filter_map(|network| network.parse().ok()).collect()
}

const REFUSED: [&str; 8] = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/128", "::1/128", "fe80::/10", "ff00::/8"];
/// Of resolvers.
const PORT: u16 = 53;
/// Seconds; an attempt has no more time than that for a name.
const PATIENCE_MAX: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_take_turns() {
        let six: Vec<IpAddr> = ["2001:db8::1", "2001:db8::2", "2001:db8::3"].iter().map(|text| text.parse().unwrap()).collect();
        let four: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap()];
        let shown = |list: Vec<IpAddr>| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        for (families, expect) in [
            (Families::Ipv6First, "2001:db8::1 192.0.2.1 2001:db8::2 2001:db8::3"),
            (Families::Ipv4First, "192.0.2.1 2001:db8::1 2001:db8::2 2001:db8::3"),
        ] {
            assert_eq!(shown(families.order(six.clone(), four.clone())), expect);
        }
        assert_eq!(shown(Families::Ipv6First.order(vec![], four)), "192.0.2.1");
    }

    #[test]
    fn every_refused_network_is_one() {
        assert_eq!(Options::default().refuse.len(), REFUSED.len());
    }
}
