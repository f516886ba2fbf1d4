//! Certificates of clients: asked for where a right depends on one, and judged after the handshake.
//!
//! The handshake takes whatever a client shows, as long as the client has the key to it: mail servers
//! show expired, self-signed and private certificates in good faith and would go away from a refusal.
//! What a certificate is worth is settled by [`Issuers`] and [`Fingerprint`], and to most it is nothing.
//!
//! RFC 5280, RFC 9525 (names). Revocation is not looked up: a certificate that was lost is taken out
//! of the configuration.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use data_encoding::HEXUPPER_PERMISSIVE;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use rustls_platform_verifier::Verifier;
use sha2::{Digest, Sha256};

use super::tls::{certificates, provider};
use crate::mistake::Mistake;

/// Whether a listener asks clients for their certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// No right depends on one.
    No,
    /// Some do; a client without any is as welcome as before.
    Yes,
}

/// What a client showed in the handshake, its own certificate first; empty when it showed none.
pub type Shown<'a> = &'a [CertificateDer<'a>];

/// Whose word is taken for the name of a client.
#[derive(Debug)]
pub enum Issuers {
    /// The certification authorities that the system trusts.
    System(Verifier),
    /// Those of a PEM file, and no others.
    Listed {
        /// Their certificates.
        roots: Arc<RootCertStore>,
        /// What they issued for clients.
        clients: Arc<dyn ClientCertVerifier>,
    },
}

impl Issuers {
    /// Those of a PEM file; without one, those of the system.
    pub fn load(file: Option<&Path>) -> Result<Self, Mistake> {
        let Some(file) = file else {
            let system = Verifier::new(provider());
            return system.map(Self::System).map_err(|error| Mistake::whole(Path::new("system roots"), error.to_string()));
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(|error| Mistake::whole(file, format!("certificate: {error}")))?;
        }
        let roots = Arc::new(roots);
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider()).build();
        let clients = clients.map_err(|error| Mistake::whole(file, format!("certificate: {error}")))?;
        Ok(Self::Listed { roots, clients })
    }

    /// Whether one of them vouches now for a client of this name. A certificate for servers is as good: mail servers
    /// have but one, and public issuers no longer make any for clients.
    pub fn vouch_for(&self, shown: Shown<'_>, name: &ServerName<'_>, now: UnixTime) -> bool {
        let Some((own, others)) = shown.split_first() else { return false };
        let Ok(parsed) = ParsedCertificate::try_from(own) else { return false };
        let issued = match self {
            Self::System(verifier) => verifier.verify_server_cert(own, others, name, &[], now).is_ok(),
            Self::Listed { roots, clients } => {
                let algorithms = provider().signature_verification_algorithms.all;
                clients.verify_client_cert(own, others, now).is_ok()
                    || verify_server_cert_signed_by_trust_anchor(&parsed, roots, others, now, algorithms).is_ok()
            }
        };
        issued && verify_server_name(&parsed, name).is_ok()
    }
}

/// SHA-256 of one certificate, as `openssl x509 -fingerprint -sha256` prints it, with or without colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Whether the client showed this very certificate; who issued it, and until when, does not matter.
    pub fn is_of(&self, shown: Shown<'_>) -> bool {
        shown.first().is_some_and(|own| Sha256::digest(own).as_slice() == self.0)
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits: String = text.chars().filter(|c| *c != ':').collect();
        let octets = HEXUPPER_PERMISSIVE.decode(digits.as_bytes()).ok().and_then(|octets| octets.try_into().ok());
        octets.map(Self).ok_or("expected the 64 hexadecimal digits that `openssl x509 -fingerprint -sha256` prints")
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.0.iter().map(|octet| format!("{octet:02X}")).collect();
        f.write_str(&pairs.join(":"))
    }
}

/// Asks for a certificate, needs none, and takes any whose key the client has.
#[derive(Debug)]
pub(super) struct AnyClient(WebPkiSupportedAlgorithms);

impl AnyClient {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(provider().signature_verification_algorithms))
    }
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: a client that sees no name it knows shows what it has.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};

    use super::*;

    fn authority() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn issued(by: &CertifiedIssuer<'_, KeyPair>, name: &str, usage: &[ExtendedKeyUsagePurpose]) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = usage.to_vec();
        params.signed_by(&KeyPair::generate().unwrap(), by).unwrap().der().clone()
    }

    fn vouches(issuers: &Issuers, shown: Shown<'_>, name: &str) -> bool {
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_790_000_000));
        issuers.vouch_for(shown, &ServerName::try_from(name.to_owned()).unwrap(), now)
    }

    #[test]
    fn an_issuer_vouches_for_the_names_that_it_certified() {
        use ExtendedKeyUsagePurpose::{ClientAuth, CodeSigning, ServerAuth};
        let (ours, strange) = (authority(), authority());
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        std::fs::write(&file, ours.pem()).unwrap();
        let issuers = Issuers::load(Some(&file)).unwrap();
        let system = Issuers::load(None).unwrap();
        for (certificate, name, expect) in [
            (issued(&ours, "mail.cloud.example", &[ClientAuth]), "mail.cloud.example", true),
            (issued(&ours, "mail.cloud.example", &[ServerAuth]), "mail.cloud.example", true),
            (issued(&ours, "mail.cloud.example", &[]), "mail.cloud.example", true),
            (issued(&ours, "*.cloud.example", &[ClientAuth]), "mail.cloud.example", true),
            (issued(&ours, "mail.cloud.example", &[CodeSigning]), "mail.cloud.example", false),
            (issued(&ours, "mail.cloud.example", &[ClientAuth]), "cloud.example", false),
            (issued(&ours, "mail.cloud.example.evil.example", &[ClientAuth]), "mail.cloud.example", false),
            (issued(&strange, "mail.cloud.example", &[ClientAuth]), "mail.cloud.example", false),
        ] {
            let shown = [certificate];
            assert_eq!(vouches(&issuers, &shown, name), expect, "{name} {expect}");
            assert!(!vouches(&system, &shown, name));
        }
        assert!(!vouches(&issuers, &[], "mail.cloud.example"));
        assert!(!vouches(&issuers, &[CertificateDer::from(b"nonsense".to_vec())], "mail.cloud.example"));
        let late = UnixTime::since_unix_epoch(std::time::Duration::from_secs(80_000_000_000));
        let shown = [issued(&ours, "mail.cloud.example", &[ClientAuth])];
        assert!(!issuers.vouch_for(&shown, &ServerName::try_from("mail.cloud.example").unwrap(), late));
    }

    #[test]
    fn a_fingerprint_is_read_as_openssl_prints_it_and_fits_one_certificate() {
        let shown = [issued(&authority(), "a.example", &[]), issued(&authority(), "b.example", &[])];
        let printed = Fingerprint(Sha256::digest(&shown[0]).into()).to_string();
        for text in [printed.clone(), printed.to_lowercase(), printed.replace(':', "")] {
            assert!(Fingerprint::try_from(text).unwrap().is_of(&shown));
        }
        assert!(!Fingerprint::try_from(printed.clone()).unwrap().is_of(&shown[1..]));
        assert!(!Fingerprint::try_from(printed.clone()).unwrap().is_of(&[]));
        for text in ["", "AB:CD", printed.trim_start_matches(|c| c != ':').trim_start_matches(':'), "sha256 Fingerprint=AB"] {
            assert!(Fingerprint::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
