//! DKIM: what we changed is signed anew, rsa-sha256 and ed25519-sha256, relaxed/relaxed, oversigned,
//! never `l=`. Own-domain signatures that our change broke are removed; others are left.
//!
//! Every field in [`OVERSIGNED`] is named once more than it occurs, so a second From, Subject or
//! Content-Type that somebody adds on the way breaks the signature. The body is hashed piece by
//! piece. `now` is an argument, so the same message and moment give the same RSA signature.
//!
//! RFC 6376, RFC 8301, RFC 8463.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use data_encoding::BASE64;
use jiff::Timestamp;

use crate::mail::{Domain, HeaderField};
use crate::mistake::Mistake;

mod canonical;
mod keys;

use keys::{Algorithm, SigningKey};

/// The signing keys by domain.
#[derive(Default)]
pub struct Signers {
    domains: BTreeMap<Domain, Vec<Signer>>,
}

/// One key and the name under which its public half is published.
struct Signer {
    selector: String,
    key: SigningKey,
}

impl Signers {
    /// Reads `<dir>/<domain>/<selector>.{rsa,ed25519}.pem`. No folder, no keys: then nothing is signed.
    ///
    /// The file name up to `.rsa.pem` or `.ed25519.pem` is the selector exactly as DNS has it.
    /// All mistakes at once.
    pub fn load(dir: &Path) -> Result<Self, Vec<Mistake>> {
        let (mut domains, mut mistakes) = (BTreeMap::new(), Vec::new());
        if !dir.exists() {
            return Ok(Self { domains });
        }
        for folder in entries(dir).map_err(|mistake| vec![mistake])?.into_iter().filter(|path| path.is_dir()) {
            let Some(domain) = folder.file_name().and_then(|name| name.to_str()).and_then(|name| Domain::parse(name).ok()) else {
                mistakes.push(Mistake::whole(&folder, "not a domain name").help("keys stand in <domain>/<selector>.rsa.pem"));
                continue;
            };
            let signers = load_domain(&folder, &mut mistakes);
            if !signers.is_empty() {
                domains.insert(domain, signers);
            }
        }
        if mistakes.is_empty() { Ok(Self { domains }) } else { Err(mistakes) }
    }

    /// Whether mail from this domain can be signed.
    pub fn can_sign(&self, domain: &Domain) -> bool {
        self.domains.contains_key(domain)
    }

    /// Name and text of the TXT record of each key.
    pub fn records(&self) -> Vec<(String, String)> {
        let record = |domain: &Domain, signer: &Signer| Some((keys::record_name(&signer.selector, domain), signer.key.record()?));
        self.domains.iter().flat_map(|(domain, signers)| signers.iter().filter_map(move |signer| record(domain, signer))).collect()
    }

    /// DKIM-Signature fields to put on top; none for a domain without keys.
    pub fn sign(&self, domain: &Domain, message: &[Bytes], now: Timestamp) -> Vec<HeaderField> {
        let Some(signers) = self.domains.get(domain) else { return Vec::new() };
        let (header, body) = canonical::split(message);
        let subject = Subject {
            domain,
            fields: fields(&header),
            body_hash: BASE64.encode(&canonical::body_hash(body.into_iter())),
            now: now.as_second(),
        };
        signers.iter().filter_map(|signer| subject.signed_by(signer)).collect()
    }
}

/// Makes keys for a domain (RSA 2048 and Ed25519) and returns the DNS records to publish, name and
/// value; the value as the quoted strings of a zone file. Existing keys are never overwritten.
pub fn generate(dir: &Path, domain: &Domain, selector: &str) -> std::io::Result<Vec<(String, String)>> {
    keys::generate(dir, domain, selector)
}

/// The domain that a signature speaks for and the fields that it covers. RFC 6376 §3.5.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claims {
    /// `d=`.
    pub domain: Option<Domain>,
    /// `h=`, in lower case.
    pub covered: Vec<String>,
    /// `z=`: whether header fields are copied into it.
    pub copies: Copies,
}

/// Whether a signature carries copies of header fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copies {
    /// It has a `z=`.
    Some,
    /// It has none.
    None,
}

/// What a DKIM-Signature field claims.
pub(super) fn claims(field: &HeaderField) -> Claims {
    let text = field.text();
    let tags: Vec<(&str, String)> = text
        .split(';')
        .filter_map(|tag| tag.split_once('='))
        .map(|(name, value)| (name.trim(), value.split_whitespace().collect()))
        .collect();
    let tag = |wanted: &str| tags.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
    Claims {
        domain: tag("d").and_then(|domain| Domain::parse(domain).ok()),
        covered: tag("h").unwrap_or_default().split(':').map(str::to_ascii_lowercase).collect(),
        copies: if tag("z").is_some() { Copies::Some } else { Copies::None },
    }
}

/// What is signed, the same for each key.
struct Subject<'a> {
    domain: &'a Domain,
    fields: Vec<&'a [u8]>,
    body_hash: String,
    now: i64,
}

impl Subject<'_> {
    /// The finished field. It is written here and not by `mail::compose`, because its folding is
    /// part of what is signed; nothing in it comes from the message.
    fn signed_by(&self, signer: &Signer) -> Option<HeaderField> {
        let names: Vec<&str> = OVERSIGNED.iter().flat_map(|name| std::iter::repeat_n(*name, self.count(name) + 1)).collect();
        let mut text = format!(
            "{NAME}: v=1; a={}; c=relaxed/relaxed;\r\n\td={}; s={};\r\n\tt={}; x={};\r\n\th={};\r\n\tbh={};\r\n\tb=",
            signer.key.algorithm(),
            self.domain,
            signer.selector,
            self.now,
            self.now + LIFETIME_SECONDS,
            folded_names(&names),
            self.body_hash,
        );
        let signature = signer.key.sign(&self.canonical_header(&names, &text))?;
        for (position, line) in BASE64.encode(&signature).as_bytes().chunks(SIGNATURE_LINE).enumerate() {
            if position > 0 {
                text.push_str("\r\n\t ");
            }
            text.push_str(&String::from_utf8_lossy(line));
        }
        text.push_str("\r\n");
        Some(HeaderField::new(Bytes::from(text), NAME.len()))
    }

    fn count(&self, name: &str) -> usize {
        self.fields.iter().filter(|raw| is_named(raw, name)).count()
    }

    /// RFC 6376 §3.7 and §5.4.2: the named fields from the bottom up, a name without a field giving
    /// nothing, then the signature field itself with an empty `b=` and no CRLF.
    fn canonical_header(&self, names: &[&str], signature_field: &str) -> Vec<u8> {
        let mut out = Vec::new();
        for (position, name) in names.iter().enumerate() {
            let taken = names.iter().take(position).filter(|earlier| *earlier == name).count();
            if let Some(raw) = self.fields.iter().rev().filter(|raw| is_named(raw, name)).nth(taken) {
                out.extend(canonical::field(raw));
            }
        }
        let own = canonical::field(signature_field.as_bytes());
        out.extend_from_slice(own.strip_suffix(b"\r\n").unwrap_or(&own));
        out
    }
}

fn is_named(raw: &[u8], name: &str) -> bool {
    raw.split(|&octet| octet == b':').next().is_some_and(|written| written.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
}

/// The fields of a header, each with its folding.
fn fields(header: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut end = 0;
    for line in header.split_inclusive(|&octet| octet == b'\n') {
        if end > start && !line.starts_with(b" ") && !line.starts_with(b"\t") {
            found.extend(header.get(start..end));
            start = end;
        }
        end += line.len();
    }
    found.extend(header.get(start..end).filter(|field| !field.is_empty()));
    found
}

/// `From:From:To:…` on lines of bearable length; RFC 6376 §3.5 allows folding at the colons.
fn folded_names(names: &[&str]) -> String {
    let mut out = String::new();
    let mut line = 0;
    for (position, name) in names.iter().enumerate() {
        if position > 0 {
            out.push(':');
            line += 1;
        }
        if line + name.len() > NAMES_LINE {
            out.push_str("\r\n\t ");
            line = 0;
        }
        out.push_str(name);
        line += name.len();
    }
    out
}

fn load_domain(folder: &Path, mistakes: &mut Vec<Mistake>) -> Vec<Signer> {
    let mut signers: Vec<Signer> = Vec::new();
    let files = entries(folder).unwrap_or_else(|mistake| {
        mistakes.push(mistake);
        Vec::new()
    });
    for path in files {
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| name.ends_with(".pem")) else { continue };
        match load_key(&path, name, &signers) {
            Ok(signer) => signers.push(signer),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    signers
}

fn load_key(path: &Path, name: &str, known: &[Signer]) -> Result<Signer, Mistake> {
    let (selector, algorithm) = if let Some(selector) = name.strip_suffix(".rsa.pem") {
        (selector, Algorithm::Rsa)
    } else if let Some(selector) = name.strip_suffix(".ed25519.pem") {
        (selector, Algorithm::Ed25519)
    } else {
        return Err(
            Mistake::whole(path, "the name does not say what kind of key it is").help("<selector>.rsa.pem or <selector>.ed25519.pem")
        );
    };
    if !keys::is_selector(selector) {
        return Err(Mistake::whole(path, format!("{selector:?} is not a selector")).help("letters, digits, hyphens and dots"));
    }
    if known.iter().any(|signer| signer.selector == selector) {
        return Err(Mistake::whole(path, format!("selector {selector:?} has two keys"))
            .help("one name in DNS holds one key; give each its own selector"));
    }
    Ok(Signer { selector: selector.to_owned(), key: SigningKey::read(path, algorithm)? })
}

fn entries(dir: &Path) -> Result<Vec<std::path::PathBuf>, Mistake> {
    let fault = |fault: std::io::Error| Mistake::whole(dir, fault.to_string());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(fault)? {
        paths.push(entry.map_err(fault)?.path());
    }
    paths.sort();
    Ok(paths)
}

const NAME: &str = "DKIM-Signature";

/// A field here cannot be added, changed or taken away on the way without breaking the signature.
const OVERSIGNED: [&str; 10] =
    ["From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"];

/// A week: longer than any queue keeps mail, shorter than replaying it is worth.
const LIFETIME_SECONDS: i64 = 7 * 24 * 3600;
/// Keeps lines of the field under 78.
const SIGNATURE_LINE: usize = 72;
/// The same for the list of names.
const NAMES_LINE: usize = 68;

#[cfg(test)]
mod tests;
