//! The private keys: read from PEM, made, and their public halves as DNS records. RFC 6376 §3.6, RFC 8463.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use data_encoding::BASE64;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::mail::Domain;
use crate::mistake::Mistake;

/// A private key that signs header hashes.
pub(super) enum SigningKey {
    /// RFC 6376 §3.3.2.
    Rsa(RsaKeyPair),
    /// RFC 8463.
    Ed25519(Ed25519KeyPair),
}

/// The two algorithms, as the file names have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rsa,
    Ed25519,
}

impl SigningKey {
    /// Reads a PEM file that nobody else on the machine can read.
    pub(super) fn read(path: &Path, algorithm: Algorithm) -> Result<Self, Mistake> {
        let fault = |fault: std::io::Error| Mistake::whole(path, fault.to_string());
        let mode = std::fs::metadata(path).map_err(fault)?.mode() & 0o777;
        if mode & 0o007 != 0 {
            return Err(
                Mistake::whole(path, format!("open to everyone (mode {mode:04o})")).help("chmod 640 and chgrp to the group of the service")
            );
        }
        let pem = Zeroizing::new(std::fs::read(path).map_err(fault)?);
        let der = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|_| Mistake::whole(path, "no private key in it").help("a PEM file that begins with -----BEGIN PRIVATE KEY-----"))?;
        match algorithm {
            Algorithm::Rsa => Self::rsa(&der, path),
            Algorithm::Ed25519 => Self::ed25519(&der, path),
        }
    }

    fn rsa(der: &PrivateKeyDer<'_>, path: &Path) -> Result<Self, Mistake> {
        let read = if let PrivateKeyDer::Pkcs1(der) = der {
            RsaKeyPair::from_der(der.secret_pkcs1_der())
        } else {
            RsaKeyPair::from_pkcs8(der.secret_der())
        };
        let key = read.map_err(|_| Mistake::whole(path, "not an RSA private key").help("name Ed25519 keys <selector>.ed25519.pem"))?;
        let bits = key.public_modulus_len() * 8;
        if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
            return Err(Mistake::whole(path, format!("an RSA key of {bits} bits; 2048 to 4096 are right for DKIM"))
                .help("waxseal init makes one of 2048"));
        }
        Ok(Self::Rsa(key))
    }

    fn ed25519(der: &PrivateKeyDer<'_>, path: &Path) -> Result<Self, Mistake> {
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_der())
            .map(Self::Ed25519)
            .map_err(|_| Mistake::whole(path, "not an Ed25519 private key").help("name RSA keys <selector>.rsa.pem"))
    }

    /// What stands in `a=`.
    pub(super) const fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa-sha256",
            Self::Ed25519(_) => "ed25519-sha256",
        }
    }

    /// The text of its record in DNS; none only if the library gives up.
    pub(super) fn record(&self) -> Option<String> {
        match self {
            Self::Rsa(key) => Some(text("rsa", key.public_key().as_der().ok()?.as_ref())),
            Self::Ed25519(key) => Some(text("ed25519", key.public_key().as_ref())),
        }
    }

    /// The signature over canonical header octets; none only if the library gives up.
    pub(super) fn sign(&self, canonical: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), canonical, &mut signature).ok()?;
                Some(signature)
            }
            // RFC 8463 §3: PureEdDSA over the SHA-256 hash, not over the octets.
            Self::Ed25519(key) => Some(key.sign(&Sha256::digest(canonical)).as_ref().to_vec()),
        }
    }
}

/// Makes both keys; the Ed25519 one has its own selector, because one name in DNS holds one key
/// (RFC 6376 §3.6.2.2).
pub(super) fn generate(dir: &Path, domain: &Domain, selector: &str) -> std::io::Result<Vec<(String, String)>> {
    if !is_selector(selector) {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "a selector is made of letters, digits, hyphens and dots"));
    }
    let folder = dir.join(domain.as_str());
    std::fs::create_dir_all(&folder)?;
    let unwilling = |_| std::io::Error::other("the cryptographic library made no key");
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).map_err(unwilling)?;
    let rsa_public = rsa.public_key().as_der().map_err(unwilling)?;
    let ed25519 = Ed25519KeyPair::generate().map_err(unwilling)?;
    let ed25519_selector = format!("{selector}-ed25519");
    write(
        &folder.join(format!("{selector}.rsa.pem")),
        AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&rsa).map_err(unwilling)?.as_ref(),
    )?;
    write(
        &folder.join(format!("{ed25519_selector}.ed25519.pem")),
        AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&ed25519).map_err(unwilling)?.as_ref(),
    )?;
    Ok(vec![
        (record_name(selector, domain), record("rsa", rsa_public.as_ref())),
        (record_name(&ed25519_selector, domain), record("ed25519", ed25519.public_key().as_ref())),
    ])
}

/// Letters, digits and inner hyphens between dots, as DNS labels are. RFC 6376 §3.1.
pub(super) fn is_selector(text: &str) -> bool {
    text.len() <= SELECTOR_MAX
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= LABEL_MAX
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
        })
}

pub(super) fn record_name(selector: &str, domain: &Domain) -> String {
    format!("{selector}._domainkey.{domain}")
}

fn text(kind: &str, public: &[u8]) -> String {
    format!("v=DKIM1; k={kind}; p={}", BASE64.encode(public))
}

/// The record as a zone file wants it: quoted strings of at most 255 octets. RFC 1035 §3.3.14.
fn record(kind: &str, public: &[u8]) -> String {
    let text = text(kind, public);
    let strings: Vec<String> = text.as_bytes().chunks(STRING_MAX).map(|piece| format!("\"{}\"", String::from_utf8_lossy(piece))).collect();
    strings.join(" ")
}

/// A key is never written over another one.
fn write(path: &Path, der: &[u8]) -> std::io::Result<()> {
    let encoded = Zeroizing::new(BASE64.encode(der));
    let mut pem = Zeroizing::new(Vec::with_capacity(encoded.len() * 2));
    pem.extend_from_slice(b"-----BEGIN PRIVATE KEY-----\n");
    for line in encoded.as_bytes().chunks(PEM_LINE) {
        pem.extend_from_slice(line);
        pem.push(b'\n');
    }
    pem.extend_from_slice(b"-----END PRIVATE KEY-----\n");
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&pem)?;
    file.sync_all()
}

/// RFC 8301 §3.2: signers use at least 2048 bits.
const RSA_BITS_MIN: usize = 2048;
/// RFC 8301 §3.2: verifiers need not go beyond.
const RSA_BITS_MAX: usize = 4096;
/// RFC 1035 §2.3.4.
const LABEL_MAX: usize = 63;
/// Leaves room in a name of 255 for `._domainkey.` and a domain.
const SELECTOR_MAX: usize = 100;
/// RFC 1035 §3.3: a character-string.
const STRING_MAX: usize = 255;
/// RFC 7468 §2.
const PEM_LINE: usize = 64;
