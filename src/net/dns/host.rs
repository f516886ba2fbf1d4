//! The name of a host as DNS gives it.

use std::fmt;
use std::net::IpAddr;

use hickory_resolver::proto::rr::Name;

use crate::mail::Domain;

/// Lower case, without the last dot: letters, digits, hyphens, dots, and the underscore that some use against the rules.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(String);

impl Host {
    /// Parses a name as it stands in a policy or an option.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| !label.is_empty() && label.len() <= LABEL_MAX && label.bytes().all(is_host_octet);
        (text.len() <= NAME_MAX && text.split('.').all(is_label)).then_some(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a service at this host, as `_25._tcp` is one.
    pub fn service(&self, labels: &str) -> Option<Self> {
        Self::parse(&format!("{labels}.{}", self.0))
    }

    pub(super) fn of(name: &Name) -> Option<Self> {
        Self::parse(&name.to_ascii())
    }

    /// With the root, so that no search list is ever put behind it.
    pub(super) fn name(&self) -> Option<Name> {
        Name::from_ascii(format!("{}.", self.0)).ok()
    }
}

impl From<&Domain> for Host {
    fn from(domain: &Domain) -> Self {
        Self(domain.as_str().to_owned())
    }
}

/// A host that is known by its address alone.
impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        Self(address.to_string())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const fn is_host_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_')
}

/// RFC 1035 §2.3.4.
const LABEL_MAX: usize = 63;
/// RFC 1035 §2.3.4, as text without the last dot.
const NAME_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_and_nothing_else() {
        for (text, expect) in [
            ("MX.Example.Org.", Some("mx.example.org")),
            ("mail_1.example.org", Some("mail_1.example.org")),
            ("", None),
            (".", None),
            ("mx..example.org", None),
            ("mx.example.org/x", None),
            ("mx example.org", None),
            ("mx\\046.example.org", None),
            ("[192.0.2.1]", None),
            (&"a".repeat(64), None),
        ] {
            assert_eq!(Host::parse(text).as_ref().map(Host::as_str), expect, "{text}");
        }
        let service = Host::parse("mx.example.org").and_then(|host| host.service("_25._tcp"));
        assert_eq!(service.unwrap().to_string(), "_25._tcp.mx.example.org");
    }
}
