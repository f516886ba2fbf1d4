//! Where mail goes next, as it is configured.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::smtp::client::Protocol;

crate::options! {
    /// Where mail goes next.
    pub struct Options {
        /// The next hop as `host:port`, or a list of hops that share the load and stand in for each other: `"host:port*3"` gets three times as much, `"host:port*0"` only what no other can take. `"lmtp://host:port"` speaks LMTP. Port 465 speaks TLS from the first octet. `"mx"` asks DNS for the mail servers of each recipient's domain.
        next_hop: NextHops = NextHops::default(),
        /// TLS towards it: `none`, `opportunistic` (use it if offered; where it fails, ten minutes without, unless there is a password), `required`, `verified` (required, and its certificate must hold). By `mx` the least that is demanded beside what the domain publishes by DANE or MTA-STS, which is always kept; `verified` then takes only mail servers that one of these proves.
        tls: Tls = Tls::Opportunistic,
        /// PEM file with roots that count beside the system's.
        roots: Option<PathBuf> = None,
        /// Identity for AUTH; absent is no AUTH.
        username: Option<String> = None,
        /// File that holds the password for AUTH, readable by the owner only.
        password_file: Option<PathBuf> = None,
        /// Connections at once; by `mx` to each domain.
        connections: usize = 20,
        /// Messages a minute, by `mx` to each domain; 0 is no limit.
        per_minute: u32 = 0,
        /// The address of ours that connections come from; absent is the system's choice.
        source: Option<IpAddr> = None,
    }
}

crate::options! {
    /// A way of its own for some mail. The first route that fits a recipient counts; what fits none goes the way of `[relay]`.
    pub struct RouteOptions {
        /// Recipients that it is for: `internal`, `external`, domains, `*.example.com` for all below one. Empty is all.
        recipients: Vec<String> = vec![],
        /// Sender domains that it is for, in the same words. Empty is all.
        senders: Vec<String> = vec![],
        /// As in `[relay]`.
        next_hop: NextHops = NextHops::default(),
        /// As in `[relay]`.
        tls: Tls = Tls::Opportunistic,
        /// As in `[relay]`.
        roots: Option<PathBuf> = None,
        /// As in `[relay]`.
        username: Option<String> = None,
        /// As in `[relay]`.
        password_file: Option<PathBuf> = None,
        /// As in `[relay]`; each route has connections of its own.
        connections: usize = 20,
        /// As in `[relay]`.
        per_minute: u32 = 0,
        /// As in `[relay]`.
        source: Option<IpAddr> = None,
    }
}

impl RouteOptions {
    /// What is said of the way alone.
    pub fn way(&self) -> Options {
        let Self { next_hop, tls, roots, username, password_file, connections, per_minute, source, .. } = self.clone();
        Options { next_hop, tls, roots, username, password_file, connections, per_minute, source }
    }
}

/// What is demanded of the connection to the next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// Never: a next hop on the same machine.
    None,
    /// If offered, with any certificate.
    Opportunistic,
    /// Or not at all, with any certificate.
    Required,
    /// Or not at all, with a certificate that holds.
    Verified,
}

/// Hops as they are written: one, or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextHops(pub Vec<String>);

impl Default for NextHops {
    fn default() -> Self {
        Self::from("127.0.0.1:25")
    }
}

impl NextHops {
    /// What of it is no hop, as it was written; an empty list is none either.
    pub fn malformed(&self) -> Option<String> {
        if self.is_mx() {
            return None;
        }
        if self.0.is_empty() {
            return Some(String::from("[]"));
        }
        self.0.iter().find(|hop| Share::parse(hop).is_none()).map(|hop| format!("\"{hop}\""))
    }

    /// Whether each domain's own mail servers are the next hops.
    pub fn is_mx(&self) -> bool {
        matches!(self.0.as_slice(), [only] if only == MX)
    }
}

impl From<&str> for NextHops {
    fn from(hop: &str) -> Self {
        Self(vec![hop.to_owned()])
    }
}

/// One hop of several, by its address and its share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Host, or address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Its share of the load; 0 is none while another can be reached.
    pub weight: u32,
}

impl Share {
    /// Parses `host:port` or `host:port*weight`, with `lmtp://` before it or not.
    pub fn parse(text: &str) -> Option<Self> {
        let (hop, weight) = match text.split_once('*') {
            Some((hop, weight)) => (hop, weight.parse().ok()?),
            None => (text, 1),
        };
        let (protocol, hop) = match hop.strip_prefix("lmtp://") {
            Some(hop) => (Protocol::Lmtp, hop),
            None => (Protocol::Smtp, hop),
        };
        let (host, port) = hop.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port > 0)?;
        // RFC 2033 §5: LMTP must not be spoken on the port of SMTP.
        let is_right = !host.is_empty() && (protocol == Protocol::Smtp || port != 25);
        is_right.then(|| Self { host: host.to_owned(), port, protocol, weight })
    }
}

impl Serialize for NextHops {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [only] => serializer.serialize_str(only),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for NextHops {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrSeveral;
        impl<'de> Visitor<'de> for OneOrSeveral {
            type Value = NextHops;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"host:port\", a list of such, or \"mx\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<NextHops, E> {
                Ok(NextHops::from(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<NextHops, A::Error> {
                let mut hops = Vec::new();
                while let Some(hop) = sequence.next_element()? {
                    hops.push(hop);
                }
                Ok(NextHops(hops))
            }
        }
        deserializer.deserialize_any(OneOrSeveral)
    }
}

/// The word for mail servers that DNS names.
const MX: &str = "mx";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_is_a_host_a_port_and_perhaps_a_share() {
        for (text, expect) in [
            ("127.0.0.1:25", Some(("127.0.0.1", 25, 1))),
            ("smtp.example.org:465*3", Some(("smtp.example.org", 465, 3))),
            ("[2001:db8::1]:587*0", Some(("2001:db8::1", 587, 0))),
            ("lmtp://[::1]:24*2", Some(("::1", 24, 2))),
            ("lmtp://127.0.0.1:25", None),
            ("smtp.example.org", None),
            ("mx", None),
            (":25", None),
            ("smtp.example.org:0", None),
            ("smtp.example.org:70000", None),
            ("smtp.example.org:25*", None),
            ("smtp.example.org:25*-1", None),
        ] {
            let share = Share::parse(text);
            assert_eq!(share.as_ref().map(|share| (share.host.as_str(), share.port, share.weight)), expect, "{text}");
            let is_lmtp = share.is_some_and(|share| share.protocol == Protocol::Lmtp);
            assert_eq!(is_lmtp, expect.is_some() && text.starts_with("lmtp://"), "{text}");
        }
    }

    #[test]
    fn one_hop_or_several_are_read_and_written_alike() {
        for text in ["next_hop = \"mx\"\n", "next_hop = \"a:25\"\n", "next_hop = [\"a:25\", \"b:25*0\"]\n"] {
            let options: Options = toml::from_str(text).unwrap();
            assert_eq!(format!("next_hop = {}\n", crate::option::as_toml(&options.next_hop)), text);
        }
        assert!(toml::from_str::<Options>("next_hop = 25").unwrap_err().message().contains("expected \"host:port\""));
    }
}
