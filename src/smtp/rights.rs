//! Who may relay without AUTH: by network, by certificate, or as a tenant of a shared cloud.
//!
//! The address range of a shared cloud is the range of everybody who rents there; relaying whatever
//! came from it has let strangers send millions of mails in the name of others (EchoSpoofing). So an
//! address of a cloud gives nothing by itself, whatever the relay networks say: the cloud's certificate
//! has to prove that the cloud speaks, and a field that only the cloud writes, for whom.
//!
//! What is read here is settled once for a session. Whether a message carries the field is known
//! at its end only: see [`Mark::is_on`].

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;
use rustls_pki_types::{ServerName, UnixTime};

use crate::mail::Message;
use crate::mistake::Mistake;
use crate::net::client_certificate::{Ask, Fingerprint, Issuers, Shown};

/// What a client may do before it has said a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing, unless AUTH succeeds.
    Stranger,
    /// Relay.
    Trusted,
    /// Relay what carries one of these marks, in the name of the house alone.
    Tenant(Arc<[Mark]>),
}

/// The rights that the options give, with the authorities read.
#[derive(Debug)]
pub struct Rights {
    networks: Vec<IpNet>,
    certificates: Vec<(Vec<IpNet>, Proof)>,
    clouds: Vec<(Vec<IpNet>, Proof, Arc<[Mark]>)>,
}

/// What a client has to show.
#[derive(Debug)]
enum Proof {
    Certificate(Fingerprint),
    Name(Issuers, ServerName<'static>),
}

impl Rights {
    /// Reads the authorities that the grants name; all mistakes at once.
    pub fn load(networks: &[IpNet], grants: &Grants) -> Result<Self, Vec<Mistake>> {
        let (mut certificates, mut clouds, mut mistakes) = (Vec::new(), Vec::new(), Vec::new());
        for entry in &grants.certificates {
            match entry.sha256.map_or_else(|| Proof::named(&entry.name, entry.ca.as_deref()), |sha256| Ok(Proof::Certificate(sha256))) {
                Ok(proof) => certificates.push((entry.networks.clone(), proof)),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        for cloud in &grants.clouds {
            match Proof::named(&cloud.name, cloud.ca.as_deref()) {
                Ok(proof) => clouds.push((cloud.networks.clone(), proof, cloud.fields.clone().into())),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if mistakes.is_empty() { Ok(Self { networks: networks.to_vec(), certificates, clouds }) } else { Err(mistakes) }
    }

    /// Whether clients are asked for a certificate.
    pub fn ask(&self) -> Ask {
        if self.certificates.is_empty() && self.clouds.is_empty() { Ask::No } else { Ask::Yes }
    }

    /// What an address alone gives.
    pub fn of_address(&self, address: IpAddr) -> Standing {
        self.standing(address, |_| false)
    }

    /// What an address gives with what the client showed in the handshake.
    pub fn of_certificate(&self, address: IpAddr, shown: Shown<'_>, now: Timestamp) -> Standing {
        let since_epoch = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default());
        self.standing(address, |proof| proof.is_given(shown, UnixTime::since_unix_epoch(since_epoch)))
    }

    fn standing(&self, address: IpAddr, is_given: impl Fn(&Proof) -> bool) -> Standing {
        let mut tenancies = self.clouds.iter().filter(|(networks, ..)| contain(networks, address)).peekable();
        if tenancies.peek().is_some() {
            let proved = tenancies.find(|(_, proof, _)| is_given(proof));
            return proved.map_or(Standing::Stranger, |(_, _, marks)| Standing::Tenant(Arc::clone(marks)));
        }
        let is_here = |networks: &[IpNet]| networks.is_empty() || contain(networks, address);
        let certified = || self.certificates.iter().any(|(networks, proof)| is_here(networks) && is_given(proof));
        if contain(&self.networks, address) || certified() { Standing::Trusted } else { Standing::Stranger }
    }
}

impl Proof {
    fn named(name: &str, ca: Option<&Path>) -> Result<Self, Mistake> {
        let issuers = Issuers::load(ca)?;
        let known = ServerName::try_from(name.to_owned());
        known.map(|known| Self::Name(issuers, known)).map_err(|error| Mistake::whole(Path::new(name), error.to_string()))
    }

    fn is_given(&self, shown: Shown<'_>, now: UnixTime) -> bool {
        match self {
            Self::Certificate(fingerprint) => fingerprint.is_of(shown),
            Self::Name(issuers, name) => issuers.vouch_for(shown, name, now),
        }
    }
}

/// The rights that hang on a certificate, as the configuration writes them.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Grants {
    /// `[[smtp.certificates]]`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateOptions>,
    /// `[[smtp.clouds]]`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clouds: Vec<CloudOptions>,
}

impl Grants {
    /// The files of all authorities.
    pub fn authorities(&self) -> impl Iterator<Item = &PathBuf> {
        self.certificates.iter().filter_map(|entry| entry.ca.as_ref()).chain(self.clouds.iter().filter_map(|cloud| cloud.ca.as_ref()))
    }

    /// The same, to say where they are.
    pub fn authorities_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let certificates = self.certificates.iter_mut().filter_map(|entry| entry.ca.as_mut());
        certificates.chain(self.clouds.iter_mut().filter_map(|cloud| cloud.ca.as_mut()))
    }
}

crate::options! {
    /// Clients that may send without AUTH when they show a certificate.
    pub struct CertificateOptions {
        /// SHA-256 fingerprint of the one certificate that it is, as `openssl x509 -fingerprint -sha256` prints it; absent is any of the name.
        sha256: Option<Fingerprint> = None,
        /// The DNS name in it.
        name: String = String::new(),
        /// PEM file of those who may have issued it; absent is the system's.
        ca: Option<PathBuf> = None,
        /// Networks that it counts from; empty is anywhere.
        networks: Vec<IpNet> = vec![],
    }
}

crate::options! {
    /// Shared clouds that mail of the house comes from.
    pub struct CloudOptions {
        /// Its networks.
        networks: Vec<IpNet> = vec![],
        /// The DNS name in its certificate.
        name: String = String::new(),
        /// PEM file of those who may have issued it; absent is the system's.
        ca: Option<PathBuf> = None,
        /// The fields of which it writes one into your mail and into nobody else's, as in `X-OriginatorOrg: example.org`.
        fields: Vec<Mark> = vec![],
    }
}

/// A header field, name and value, by which a cloud says whose mail it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mark {
    name: String,
    value: String,
}

impl Mark {
    /// Whether a message carries it: this field once, with this value. A second one is a tenant's who wrote ours beside
    /// what the cloud wrote of him; and where the header is a riddle, a second one could be in it.
    pub fn is_on(&self, message: &Message) -> bool {
        if message.ambiguities().iter().any(|doubt| doubt.part == message.root().id) {
            return false;
        }
        let mut fields = message.header().all(&self.name);
        let only = fields.next().filter(|_| fields.next().is_none());
        only.is_some_and(|field| field.text().eq_ignore_ascii_case(&self.value))
    }
}

impl TryFrom<String> for Mark {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const EXPECTED: &str = "expected a header field with its value, as in \"X-OriginatorOrg: example.org\"";
        let (name, value) = text.split_once(':').ok_or(EXPECTED)?;
        let value = value.trim();
        // RFC 5322 §3.6.8.
        let is_name = !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_graphic());
        let is_value = !value.is_empty() && value.bytes().all(|octet| (b' '..=b'~').contains(&octet));
        if is_name && is_value { Ok(Self { name: name.to_owned(), value: value.to_owned() }) } else { Err(EXPECTED) }
    }
}

impl From<Mark> for String {
    fn from(mark: Mark) -> Self {
        format!("{}: {}", mark.name, mark.value)
    }
}

/// Whether one of the networks holds the address.
pub fn contain(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_a_shared_cloud_gives_nothing_whatever_else_is_said_of_it() {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpNet>>();
        let certificate = CertificateOptions { sha256: Fingerprint::try_from("AB".repeat(32)).ok(), ..CertificateOptions::default() };
        let cloud = CloudOptions {
            networks: networks(&["192.0.2.128/25"]),
            name: String::from("mail.cloud.example"),
            fields: vec![mark("X-Org: example.org")],
            ca: None,
        };
        let grants = Grants { certificates: vec![certificate], clouds: vec![cloud] };
        let given = Rights::load(&networks(&["192.0.2.0/24", "198.51.100.0/24"]), &grants).unwrap();
        assert_eq!(given.ask(), Ask::Yes);
        assert_eq!(Rights::load(&[], &Grants::default()).unwrap().ask(), Ask::No);
        for (address, by_address, by_any_proof) in [
            ("192.0.2.1", Standing::Trusted, Standing::Trusted),
            ("198.51.100.7", Standing::Trusted, Standing::Trusted),
            ("203.0.113.9", Standing::Stranger, Standing::Trusted),
            ("192.0.2.200", Standing::Stranger, Standing::Tenant(vec![mark("X-Org: example.org")].into())),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(given.of_address(address), by_address, "{address}");
            assert_eq!(given.standing(address, |_| true), by_any_proof, "{address}");
            // A pinned certificate is no proof of a cloud.
            let pinned = |proof: &Proof| matches!(proof, Proof::Certificate(_));
            assert_eq!(given.standing(address, pinned) == Standing::Stranger, address.to_string() == "192.0.2.200", "{address}");
        }
    }

    fn mark(text: &str) -> Mark {
        Mark::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_mark_counts_once_and_whole() {
        let mark = mark("X-OriginatorOrg: example.org");
        for (header, expect) in [
            ("X-OriginatorOrg: example.org\r\n", true),
            ("From: a@b\r\nx-originatororg:\r\n Example.ORG\r\n", true),
            ("X-OriginatorOrg: example.org.evil.example\r\n", false),
            ("X-OriginatorOrg: evil.example\r\n", false),
            ("X-OriginatorOrg: example.org\r\nX-OriginatorOrg: evil.example\r\n", false),
            ("X-OriginatorOrg: evil.example\r\nX-OriginatorOrg: example.org\r\n", false),
            ("X-OriginatorOrg: example.org\r\nX-OriginatorOrg: example.org\r\n", false),
            ("X-OriginatorOrg : example.org\r\n", false),
            ("X-OriginatorOrg: example.org\r\nX-OriginatorOrg : evil.example\r\n", false),
            (&format!("X-OriginatorOrg: example.org\r\n{}X-OriginatorOrg: evil.example\r\n", "A: b\r\n".repeat(1_000)), false),
            ("X-OriginatorOrg: example.org, evil.example\r\n", false),
            ("Subject: X-OriginatorOrg: example.org\r\n", false),
            ("", false),
            ("\r\nX-OriginatorOrg: example.org\r\n", false),
        ] {
            let message = Message::parse(bytes::Bytes::from(format!("{header}\r\nX-OriginatorOrg: example.org\r\n")));
            assert_eq!(mark.is_on(&message), expect, "{header:?}");
        }
        for text in ["X-OriginatorOrg", ": example.org", "X-Originator Org: x", "X-OriginatorOrg:", "X-Org: a\r\nb", "X-Örg: a"] {
            assert!(Mark::try_from(text.to_owned()).is_err(), "{text:?}");
        }
    }
}
