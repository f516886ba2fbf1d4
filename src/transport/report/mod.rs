//! TLS reporting: what came of TLS with a domain's hosts, told to that domain once a day. RFC 8460.
//!
//! Sessions are counted in memory and put with the records every minute; a crash costs a minute of counts,
//! never mail. [`Report`] is one domain's day, [`letter`] the mail that carries it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rustls::CertificateError;
use serde::{Deserialize, Serialize};

use crate::net::dns::Host;

pub mod letter;
mod tally;
mod text;

pub use tally::{Day, Tally};
pub use text::Reporter;

/// What a domain demanded, as its reports name it. RFC 8460 §4.4.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Applied {
    /// By which means.
    pub kind: Kind,
    /// The lines of its policy, or its TLSA records.
    pub lines: Vec<String>,
    /// The hosts that it names.
    pub hosts: Vec<String>,
}

/// By which means a domain demands something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// DANE.
    Tlsa,
    /// MTA-STS.
    Sts,
    /// By none.
    #[default]
    NoPolicyFound,
}

/// What was wrong. RFC 8460 §4.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wrong {
    /// The host does not offer TLS.
    StarttlsNotSupported,
    /// The certificate is of another host.
    CertificateHostMismatch,
    /// Its time is over, or has not come.
    CertificateExpired,
    /// Nobody whom we believe issued it.
    CertificateNotTrusted,
    /// Something else.
    ValidationFailure,
    /// No TLSA record can be used.
    TlsaInvalid,
    /// DNSSEC shows that an answer is forged or damaged.
    DnssecInvalid,
    /// The policy cannot be fetched.
    StsPolicyFetchError,
    /// What was fetched is no policy.
    StsPolicyInvalid,
    /// The policy's web server has no certificate that holds.
    StsWebpkiInvalid,
}

/// A failure, with where it came to pass. RFC 8460 §4.4 `failure-details`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Failure {
    /// What was wrong.
    pub wrong: Wrong,
    /// The host, as its domain names it.
    pub host: Option<String>,
    /// Where it is.
    pub address: Option<IpAddr>,
    /// In our words, for its operator.
    pub reason: String,
}

/// What came of the sessions under one policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    successes: u64,
    failures: u64,
    details: BTreeMap<Failure, u64>,
}

/// One domain's day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The domain that demanded it.
    pub domain: String,
    /// When.
    pub day: Day,
    /// By what it demanded.
    pub policies: Vec<(Applied, Sums)>,
}

/// What came of one session, or of what had to be known before one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// TLS, as the domain demands it.
    Success,
    /// Not so.
    Failure(Failure),
}

impl Failure {
    /// Words of others may be in the reason: it is cut, and nothing but printable text.
    pub fn new(wrong: Wrong, host: Option<&Host>, reason: &str) -> Self {
        let reason = reason.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).take(REASON_MAX).collect();
        Self { wrong, host: host.map(ToString::to_string), address: None, reason }
    }
}

impl Sums {
    fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Success => self.successes = self.successes.saturating_add(1),
            Outcome::Failure(failure) => {
                self.failures = self.failures.saturating_add(1);
                self.detail(failure, 1);
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.successes = self.successes.saturating_add(other.successes);
        self.failures = self.failures.saturating_add(other.failures);
        other.details.into_iter().for_each(|(failure, count)| self.detail(failure, count));
    }

    /// A domain with many hosts that fail in many ways has its sum; the details end somewhere.
    fn detail(&mut self, failure: Failure, count: u64) {
        if self.details.len() < DETAILS_MAX || self.details.contains_key(&failure) {
            let sum = self.details.entry(failure).or_default();
            *sum = sum.saturating_add(count);
        }
    }
}

impl Wrong {
    /// What a handshake that ended so is called.
    pub fn of(error: &rustls::Error) -> Self {
        if let rustls::Error::InvalidCertificate(error) = error { Self::of_certificate(error) } else { Self::ValidationFailure }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "RFC 8460 §4.3.1 has a name for all others")]
    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::CertificateHostMismatch,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::CertificateExpired,
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::CertificateNotTrusted,
            // DANE: the certificate is none of those that the records name.
            CertificateError::ApplicationVerificationFailure => Self::CertificateNotTrusted,
            _ => Self::ValidationFailure,
        }
    }
}

/// Characters of a reason.
const REASON_MAX: usize = 200;
/// Kinds of failures of one policy and day.
const DETAILS_MAX: usize = 200;
