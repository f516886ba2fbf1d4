//! Certificates checked by what DNS says of them (TLSA records), instead of by a root that everybody believes.
//!
//! For SMTP only two usages count: a record of the certificate itself (DANE-EE), which then needs neither a name nor a date,
//! and one of the authority that issued it (DANE-TA), with which the names are checked as ever. Whether a record is
//! proven is asked before: nothing unproven gets here.
//!
//! RFC 6698 (TLSA), RFC 7671 (how it is used), RFC 7672 (for SMTP).

use std::fmt;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use sha2::{Digest, Sha256, Sha512};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::dns::Host;
use super::tls;

/// What DNS says of a certificate. RFC 6698 §2.1.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    usage: u8,
    selector: u8,
    matching: u8,
    data: Vec<u8>,
}

impl Record {
    /// As it came: usage, selector, matching type; any numbers.
    pub const fn new([usage, selector, matching]: [u8; 3], data: Vec<u8>) -> Self {
        Self { usage, selector, matching, data }
    }

    /// Octets of its data.
    pub const fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there is no data in it.
    pub const fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// RFC 7672 §3.1.3: what an authority of the web has to say is of no use between mail servers.
    fn is_usable(&self) -> bool {
        let has_length = match self.matching {
            FULL => !self.data.is_empty(),
            SHA_256 => self.data.len() == 32,
            SHA_512 => self.data.len() == 64,
            _ => false,
        };
        matches!(self.usage, DANE_TA | DANE_EE) && matches!(self.selector, CERTIFICATE | PUBLIC_KEY) && has_length
    }

    fn matches(&self, certificate: &CertificateDer<'_>) -> bool {
        let selected = match self.selector {
            CERTIFICATE => Some(certificate.to_vec()),
            _ => EndEntityCert::try_from(certificate).ok().map(|parsed| parsed.subject_public_key_info().to_vec()),
        };
        selected.is_some_and(|selected| match self.matching {
            FULL => selected == self.data,
            SHA_256 => Sha256::digest(&selected).as_slice() == self.data,
            _ => Sha512::digest(&selected).as_slice() == self.data,
        })
    }
}

/// As in a zone file; reports show it so. RFC 8460 §4.4.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.usage, self.selector, self.matching, HEXLOWER.encode(&self.data))
    }
}

/// The records by which a certificate can be checked. Of the digests of one thing only the strongest counts
/// (RFC 7671 §9), so that a weak one cannot let in what the strong one keeps out.
pub fn usable(mut records: Vec<Record>) -> Vec<Record> {
    records.retain(Record::is_usable);
    let strong: Vec<(u8, u8)> =
        records.iter().filter(|record| record.matching == SHA_512).map(|record| (record.usage, record.selector)).collect();
    records.retain(|record| record.matching != SHA_256 || !strong.contains(&(record.usage, record.selector)));
    records
}

/// For a next hop whose certificate must be as the records say. `names`: one of them must be its name where an authority is recorded.
pub fn client(records: &[Record], names: &[Host]) -> Result<Arc<ClientConfig>, rustls::Error> {
    tls::client(judge(records, names))
}

/// Judges certificates by records, which are [`usable`].
pub fn judge(records: &[Record], names: &[Host]) -> Arc<dyn ServerCertVerifier> {
    let names = names.iter().filter_map(|name| ServerName::try_from(name.as_str().to_owned()).ok()).collect();
    Arc::new(Judge { records: records.to_vec(), names, algorithms: tls::provider().signature_verification_algorithms })
}

#[derive(Debug)]
struct Judge {
    records: Vec<Record>,
    names: Vec<ServerName<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Judge {
    fn of_usage(&self, usage: u8) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| record.usage == usage)
    }

    /// RFC 7672 §3.1.2: the chain must end at an authority of a record, and the names must hold.
    fn issued_by_record(&self, end_entity: &CertificateDer<'_>, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), rustls::Error> {
        // An authority that is in the record as a whole need not be sent.
        let recorded: Vec<CertificateDer<'_>> = self
            .of_usage(DANE_TA)
            .filter(|record| (record.selector, record.matching) == (CERTIFICATE, FULL))
            .map(|record| CertificateDer::from(record.data.as_slice()))
            .collect();
        let sent = chain.iter().filter(|certificate| self.of_usage(DANE_TA).any(|record| record.matches(certificate)));
        let anchors: Vec<TrustAnchor<'_>> =
            sent.chain(&recorded).filter_map(|authority| anchor_from_trusted_cert(authority).ok()).collect();
        if anchors.is_empty() {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        let parsed = EndEntityCert::try_from(end_entity).map_err(refused)?;
        let usage = KeyUsage::server_auth();
        parsed.verify_for_usage(self.algorithms.all, &anchors, chain, now, usage, None, None).map_err(refused)?;
        if self.names.iter().any(|name| parsed.verify_is_valid_for_subject_name(name).is_ok()) {
            return Ok(());
        }
        Err(CertificateError::NotValidForName.into())
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // RFC 7672 §3.1.1: names and dates of the certificate are not looked at.
        if !self.of_usage(DANE_EE).any(|record| record.matches(end_entity)) {
            self.issued_by_record(end_entity, intermediates, now)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "every other way to fail is one")]
fn refused(error: webpki::Error) -> rustls::Error {
    let error = match error {
        webpki::Error::CertExpired { .. } => CertificateError::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        webpki::Error::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    error.into()
}

/// RFC 7218 §2.1.
const DANE_TA: u8 = 2;
const DANE_EE: u8 = 3;
/// RFC 7218 §2.2.
const CERTIFICATE: u8 = 0;
const PUBLIC_KEY: u8 = 1;
/// RFC 7218 §2.3.
const FULL: u8 = 0;
const SHA_256: u8 = 1;
const SHA_512: u8 = 2;

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PublicKeyData, date_time_ymd};

    use super::*;

    /// An authority, what it issued for `mx.example.org`, and the same past its time.
    struct Made {
        authority: CertificateDer<'static>,
        authority_key: Vec<u8>,
        good: CertificateDer<'static>,
        good_key: Vec<u8>,
        expired: CertificateDer<'static>,
    }

    fn made() -> Made {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap();
        let authority_key = key.subject_public_key_info();
        let issuer = Issuer::new(params, key);
        let mut params = CertificateParams::new(vec!["mx.example.org".to_owned()]).unwrap();
        let leaf_key = KeyPair::generate().unwrap();
        let good = params.signed_by(&leaf_key, &issuer).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 2, 1));
        let expired = params.signed_by(&leaf_key, &issuer).unwrap();
        Made {
            authority: authority.der().clone(),
            authority_key,
            good: good.der().clone(),
            good_key: leaf_key.subject_public_key_info(),
            expired: expired.der().clone(),
        }
    }

    fn digest(kind: [u8; 3], of: &[u8]) -> Record {
        Record::new(
            kind,
            match kind[2] {
                SHA_256 => Sha256::digest(of).to_vec(),
                SHA_512 => Sha512::digest(of).to_vec(),
                _ => of.to_vec(),
            },
        )
    }

    fn judged(
        records: Vec<Record>,
        name: &str,
        end_entity: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
    ) -> Result<(), rustls::Error> {
        let judge = judge(&usable(records), &[Host::parse(name).unwrap()]);
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_760_000_000));
        let sni = ServerName::try_from("mx.example.org").unwrap();
        judge.verify_server_cert(end_entity, chain, &sni, &[], now).map(|_| ())
    }

    #[test]
    fn a_record_of_the_certificate_needs_neither_name_nor_date() {
        let made = made();
        for kind in [[3, 0, 0], [3, 0, 1], [3, 0, 2], [3, 1, 0], [3, 1, 1], [3, 1, 2]] {
            let selected = if kind[1] == CERTIFICATE { made.expired.to_vec() } else { made.good_key.clone() };
            assert_eq!(judged(vec![digest(kind, &selected)], "other.example", &made.expired, &[]), Ok(()), "{kind:?}");
            let wrong = digest(kind, &made.authority_key);
            assert!(judged(vec![wrong], "mx.example.org", &made.good, std::slice::from_ref(&made.authority)).is_err(), "{kind:?}");
        }
    }

    #[test]
    fn a_record_of_the_authority_needs_name_and_date_and_the_authority() {
        let made = made();
        let chain = [made.authority.clone()];
        for kind in [[2, 0, 0], [2, 0, 1], [2, 0, 2], [2, 1, 0], [2, 1, 1], [2, 1, 2]] {
            let selected = if kind[1] == CERTIFICATE { made.authority.to_vec() } else { made.authority_key.clone() };
            let record = || vec![digest(kind, &selected)];
            assert_eq!(judged(record(), "mx.example.org", &made.good, &chain), Ok(()), "{kind:?}");
            assert_eq!(judged(record(), "other.example", &made.good, &chain), Err(CertificateError::NotValidForName.into()), "{kind:?}");
            assert_eq!(judged(record(), "mx.example.org", &made.expired, &chain), Err(CertificateError::Expired.into()), "{kind:?}");
            // Sent or not, an authority that is in the record as a whole is known.
            let is_known = kind == [2, 0, 0];
            assert_eq!(judged(record(), "mx.example.org", &made.good, &[]).is_ok(), is_known, "{kind:?}");
        }
        let foreign = self::made();
        let record = vec![digest([2, 0, 1], &foreign.authority)];
        let error = judged(record, "mx.example.org", &made.good, &[foreign.authority]);
        assert_eq!(error, Err(CertificateError::BadSignature.into()), "of the same name, by another key");
    }

    #[test]
    fn only_what_counts_between_mail_servers_is_usable() {
        let of = |kind| digest(kind, b"certificate");
        for (records, expect) in [
            (vec![of([0, 0, 1]), of([1, 1, 1])], 0),
            (vec![of([3, 2, 1]), of([3, 1, 3]), of([4, 1, 1]), of([255, 255, 255])], 0),
            (vec![Record::new([3, 1, 1], vec![0; 31]), Record::new([3, 1, 2], vec![0; 32]), Record::new([3, 1, 0], vec![])], 0),
            (vec![of([3, 1, 1]), of([0, 0, 1])], 1),
            // Of one thing the strongest digest; of another thing its own.
            (vec![of([3, 1, 1]), of([3, 1, 2]), of([3, 1, 0])], 2),
            (vec![of([3, 1, 1]), of([2, 1, 2]), of([3, 0, 2])], 3),
        ] {
            assert_eq!(usable(records.clone()).len(), expect, "{records:?}");
        }
    }

    #[test]
    fn a_record_is_shown_as_in_a_zone_file() {
        assert_eq!(Record::new([3, 1, 1], vec![0xab, 0x01]).to_string(), "3 1 1 ab01");
    }

    #[test]
    fn a_certificate_that_is_none_is_refused() {
        let made = made();
        let record = vec![digest([3, 1, 1], &made.good_key), digest([2, 1, 1], &made.authority_key)];
        assert!(judged(record, "mx.example.org", &CertificateDer::from(vec![0x30, 0x03, 0x02, 0x01, 0x01]), &[]).is_err());
    }
}
