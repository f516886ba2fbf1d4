//! The one way from here into DNS.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};

use super::super::Failed;

/// A resolver.
pub struct Dns(TokioResolver);

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// There is no such name, or no such record at it.
    None,
    /// Nobody knows: no server answered, or none could.
    Trouble(String),
}

impl Dns {
    /// The servers of the machine, or this one.
    pub fn new(server: Option<SocketAddr>) -> Result<Self, Failed> {
        let unusable = |error: &dyn std::fmt::Display| Failed(format!("DNS cannot be asked: {error}"));
        let mut builder = match server {
            None => TokioResolver::builder_tokio().map_err(|error| unusable(&error))?,
            Some(server) => {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
                let server = NameServerConfig::new(server.ip(), true, connections.to_vec());
                let configuration = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
                TokioResolver::builder_with_config(configuration, TokioRuntimeProvider::default())
            }
        };
        // Others do not read this machine's hosts file.
        builder.options_mut().use_hosts_file = ResolveHosts::Never;
        Ok(Self(builder.build().map_err(|error| unusable(&error))?))
    }

    /// IPv4 and IPv6 addresses of a name.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Unanswered> {
        let (four, six) = tokio::join!(self.ask(name, RecordType::A), self.ask(name, RecordType::AAAA));
        let mut addresses = Vec::new();
        for answer in [&four, &six] {
            let four =
                answer.iter().flatten().filter_map(|data| if let RData::A(found) = data { Some(IpAddr::from(found.0)) } else { None });
            addresses.extend(four);
            let six =
                answer.iter().flatten().filter_map(|data| if let RData::AAAA(found) = data { Some(IpAddr::from(found.0)) } else { None });
            addresses.extend(six);
        }
        match (addresses.is_empty(), four, six) {
            (false, ..) => Ok(addresses),
            (true, Err(trouble @ Unanswered::Trouble(_)), _) | (true, _, Err(trouble @ Unanswered::Trouble(_))) => Err(trouble),
            _ => Err(Unanswered::None),
        }
    }

    /// Names of an address.
    pub async fn names(&self, address: IpAddr) -> Result<Vec<String>, Unanswered> {
        let name = reversed(address);
        let answers = self.ask(&name, RecordType::PTR).await?;
        Ok(answers.iter().filter_map(|data| if let RData::PTR(name) = data { Some(plain(&name.0.to_string())) } else { None }).collect())
    }

    /// TXT records, the strings of each put together.
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, Unanswered> {
        let answers = self.ask(name, RecordType::TXT).await?;
        let text = |data: &RData| {
            let RData::TXT(text) = data else { return None };
            Some(text.txt_data.iter().map(|piece| String::from_utf8_lossy(piece)).collect())
        };
        Ok(answers.iter().filter_map(text).collect())
    }

    /// Mail exchangers, the most wanted first.
    pub async fn exchangers(&self, name: &str) -> Result<Vec<String>, Unanswered> {
        let answers = self.ask(name, RecordType::MX).await?;
        let mut found: Vec<(u16, String)> = answers
            .iter()
            .filter_map(|data| if let RData::MX(mx) = data { Some((mx.preference, plain(&mx.exchange.to_string()))) } else { None })
            .collect();
        found.sort();
        Ok(found.into_iter().map(|(_, name)| name).collect())
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, Unanswered> {
        // With a dot at the end no search list is tried.
        let name = format!("{}.", plain(name));
        match self.0.lookup(name, kind).await {
            Ok(lookup) => Ok(lookup.answers().iter().map(|record| record.data.clone()).collect()),
            Err(error) if error.is_no_records_found() => Err(Unanswered::None),
            Err(error) => Err(Unanswered::Trouble(error.to_string())),
        }
    }
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// The name of an address in the reverse tree. RFC 1035 §3.5, RFC 3596 §2.5.
fn reversed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let digits: Vec<String> = address.octets().iter().rev().map(|octet| format!("{:x}.{:x}", octet & 15, octet >> 4)).collect();
            format!("{}.ip6.arpa", digits.join("."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_names_in_the_reverse_tree() {
        assert_eq!(reversed("192.0.2.7".parse().unwrap()), "7.2.0.192.in-addr.arpa");
        let six = reversed("2001:db8::567:89ab".parse().unwrap());
        assert_eq!(six, "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
    }
}
