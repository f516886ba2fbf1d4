//! TLS for both sides: certificates that are swapped under running listeners, and what we ask of others.
//!
//! One crypto provider (aws-lc-rs), TLS 1.2 and 1.3 only. A certificate is taken with its key or
//! not at all: while a pair is being written, and when it is wrong, the old one keeps serving.
//!
//! RFC 8446, RFC 7817 (names of mail servers), RFC 7435 (opportunistic).

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls_platform_verifier::Verifier;

use super::client_certificate::{AnyClient, Ask};
use crate::mistake::Mistake;

/// The certificates of `certs/<name>/{fullchain,privkey}.pem`, swapped under running listeners.
#[derive(Debug)]
pub struct Certificates {
    directory: PathBuf,
    serving: ArcSwap<Vec<Pair>>,
}

/// One directory's certificate and key, which belong together.
#[derive(Debug)]
struct Pair {
    name: String,
    certified: Arc<CertifiedKey>,
}

impl Certificates {
    /// Reads every pair below the directory; the first by name serves clients that name no host.
    pub fn load(directory: &Path) -> Result<Arc<Self>, Vec<Mistake>> {
        let serving = ArcSwap::from_pointee(read_all(directory)?);
        Ok(Arc::new(Self { directory: directory.to_owned(), serving }))
    }

    /// Reads again; on any mistake the old certificates stay.
    pub fn reload(&self) -> Result<(), Vec<Mistake>> {
        self.serving.store(Arc::new(read_all(&self.directory)?));
        Ok(())
    }
}

impl Certificates {
    /// The names of the pairs, and until when each certificate holds.
    pub fn ends(&self) -> Vec<(String, jiff::Timestamp)> {
        let serving = self.serving.load();
        let ends = |pair: &Pair| Some((pair.name.clone(), not_after(pair.certified.cert.first()?)?));
        serving.iter().filter_map(ends).collect()
    }
}

/// Why a certificate does not do for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// It does not name the host; this one's is shown.
    Name(String),
    /// Nobody whom this machine believes vouches for it.
    Chain(String),
}

impl Certificates {
    /// Whether what is shown to clients that ask for this host names it and is believed by the system's roots.
    pub fn judge(&self, host: &str, now: jiff::Timestamp) -> Result<(), Unfit> {
        let serving = self.serving.load();
        let named = |pair: &&Pair| pair.name.eq_ignore_ascii_case(host);
        let Some(pair) = serving.iter().find(named).or(serving.first()) else { return Err(Unfit::Name(String::from("nobody"))) };
        let misnamed = |_| Unfit::Name(pair.name.clone());
        let broken = |error: rustls::Error| Unfit::Chain(error.to_string());
        let (end, chain) = pair.certified.cert.split_first().ok_or_else(|| Unfit::Name(pair.name.clone()))?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Unfit::Name(pair.name.clone()))?;
        let parsed = rustls::server::ParsedCertificate::try_from(end).map_err(broken)?;
        rustls::client::verify_server_name(&parsed, &name).map_err(misnamed)?;
        let verifier = Verifier::new(provider()).map_err(broken)?;
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.as_second().unsigned_abs()));
        verifier.verify_server_cert(end, chain, &name, &[], now).map(drop).map_err(broken)
    }
}

/// Until when a certificate holds. RFC 5280 §4.1.2.5.
fn not_after(certificate: &CertificateDer<'_>) -> Option<jiff::Timestamp> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    jiff::Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let serving = self.serving.load();
        let wanted = hello.server_name().unwrap_or_default();
        let pair = serving.iter().find(|pair| pair.name.eq_ignore_ascii_case(wanted)).or(serving.first())?;
        Some(Arc::clone(&pair.certified))
    }
}

/// For listeners. `alpn` is empty for SMTP, `h2` and `http/1.1` for the web.
pub fn server_config(certificates: Arc<Certificates>, alpn: &[&[u8]], ask: Ask) -> Result<Arc<ServerConfig>, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS)?;
    let builder = match ask {
        Ask::No => builder.with_no_client_auth(),
        Ask::Yes => builder.with_client_cert_verifier(AnyClient::new()),
    };
    let mut config = builder.with_cert_resolver(certificates);
    // RFC 9325 §4.2: the better suite wins, wherever in its list the client puts it.
    config.ignore_client_order = true;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// For next hops whose certificate is not looked at: opportunistic TLS. RFC 7435.
pub fn client_any() -> Result<Arc<ClientConfig>, rustls::Error> {
    client(Arc::new(AnyCertificate(provider().signature_verification_algorithms)))
}

/// For next hops whose certificate must hold: the system's roots and those of the PEM file.
pub fn client_verified(roots: Option<&Path>) -> Result<Arc<ClientConfig>, Mistake> {
    client(by_roots(roots)?).map_err(|error| no_roots(roots, &error))
}

/// For next hops whose certificate is looked at and taken anyway; what is wrong with it is found in `seen`.
/// A configuration is good for one connection: one that is resumed shows no certificate.
pub fn client_observing(judge: Arc<dyn ServerCertVerifier>, seen: Seen) -> Result<Arc<ClientConfig>, rustls::Error> {
    client(Arc::new(Observing { judge, seen }))
}

/// Judges certificates by the system's roots and those of the PEM file.
pub fn by_roots(roots: Option<&Path>) -> Result<Arc<dyn ServerCertVerifier>, Mistake> {
    let extra = match roots {
        Some(file) => certificates(file)?,
        None => Vec::new(),
    };
    Ok(Arc::new(Verifier::new_with_extra_roots(extra, provider()).map_err(|error| no_roots(roots, &error))?))
}

/// What is wrong with a certificate that was taken; empty where nothing is.
pub type Seen = Arc<OnceLock<rustls::Error>>;

/// As a client, with a judge of certificates.
pub fn client(judge: Arc<dyn ServerCertVerifier>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS)?;
    Ok(Arc::new(builder.dangerous().with_custom_certificate_verifier(judge).with_no_client_auth()))
}

fn no_roots(roots: Option<&Path>, error: &rustls::Error) -> Mistake {
    Mistake::whole(roots.unwrap_or(Path::new("system roots")), format!("roots: {error}"))
}

/// The one crypto provider.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Takes any certificate, but not a handshake that does not hold: without that, TLS would not even stop a listener.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
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

/// Has the certificate judged, keeps the judgement and takes the certificate.
#[derive(Debug)]
struct Observing {
    judge: Arc<dyn ServerCertVerifier>,
    seen: Seen,
}

impl ServerCertVerifier for Observing {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Err(error) = self.judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            let _ = self.seen.set(error);
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

fn read_all(directory: &Path) -> Result<Vec<Pair>, Vec<Mistake>> {
    let names = names(directory).map_err(|error| vec![Mistake::whole(directory, format!("certificates: {error}"))])?;
    let (mut pairs, mut mistakes) = (Vec::new(), Vec::new());
    for name in names {
        match read_pair(&directory.join(&name)) {
            Ok(certified) => pairs.push(Pair { name, certified: Arc::new(certified) }),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    if pairs.is_empty() && mistakes.is_empty() {
        mistakes.push(Mistake::whole(directory, "no certificate in here").help("expected <name>/fullchain.pem and <name>/privkey.pem"));
    }
    if mistakes.is_empty() { Ok(pairs) } else { Err(mistakes) }
}

fn names(directory: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.path().is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn read_pair(directory: &Path) -> Result<CertifiedKey, Mistake> {
    let (chain_file, key_file) = (directory.join("fullchain.pem"), directory.join("privkey.pem"));
    let chain = certificates(&chain_file)?;
    check_mode(&key_file)?;
    let key = PrivateKeyDer::from_pem_file(&key_file).map_err(|error| Mistake::whole(&key_file, format!("private key: {error}")))?;
    let signing =
        provider().key_provider.load_private_key(key).map_err(|error| Mistake::whole(&key_file, format!("private key: {error}")))?;
    let certified = CertifiedKey::new(chain, signing);
    certified.keys_match().map_err(|_| {
        Mistake::whole(&key_file, "the private key does not belong to fullchain.pem")
            .help("put both files of one issue of the certificate here")
    })?;
    Ok(certified)
}

/// All certificates of a PEM file; there is one at least.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Mistake> {
    let broken = |error: rustls_pki_types::pem::Error| Mistake::whole(file, format!("certificate: {error}"));
    let chain: Vec<_> = CertificateDer::pem_file_iter(file).map_err(broken)?.collect::<Result<_, _>>().map_err(broken)?;
    if chain.is_empty() { Err(Mistake::whole(file, "no certificate in here")) } else { Ok(chain) }
}

/// A key that everybody can read is everybody's.
fn check_mode(file: &Path) -> Result<(), Mistake> {
    let metadata = std::fs::metadata(file).map_err(|error| Mistake::whole(file, format!("private key: {error}")))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o007 == 0 {
        return Ok(());
    }
    Err(Mistake::whole(file, format!("readable by everyone (mode {mode:04o})")).help("chmod 640 and chgrp to the group of the service"))
}

/// No older ones; RFC 8996.
const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, name: &str, mode: u32) {
        let pair = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let folder = directory.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("fullchain.pem"), pair.cert.pem()).unwrap();
        std::fs::write(folder.join("privkey.pem"), pair.signing_key.serialize_pem()).unwrap();
        std::fs::set_permissions(folder.join("privkey.pem"), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn mistakes<T>(result: Result<T, Vec<Mistake>>) -> Vec<String> {
        result
            .err()
            .unwrap_or_default()
            .iter()
            .map(|mistake| format!("{}: {}", mistake.file.file_name().unwrap().display(), mistake.what))
            .collect()
    }

    #[test]
    fn a_key_that_everybody_can_read_is_refused_with_advice() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "mail.example.org", 0o644);
        let mistakes = Certificates::load(directory.path()).unwrap_err();
        let file = directory.path().join("mail.example.org/privkey.pem");
        assert_eq!(
            mistakes[0].to_string(),
            format!("{}: readable by everyone (mode 0644)\n    chmod 640 and chgrp to the group of the service", file.display())
        );
    }

    #[test]
    fn a_half_written_or_mixed_pair_keeps_the_old_one_serving() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "mail.example.org", 0o600);
        let certificates = Certificates::load(directory.path()).unwrap();
        let old = Arc::clone(&certificates.serving.load()[0].certified);
        let chain = directory.path().join("mail.example.org/fullchain.pem");
        let whole = std::fs::read_to_string(&chain).unwrap();

        std::fs::write(&chain, &whole.as_bytes()[..whole.len() / 2]).unwrap();
        assert_eq!(mistakes(certificates.reload()).len(), 1);
        let other = rcgen::generate_simple_self_signed(vec!["mail.example.org".to_owned()]).unwrap();
        std::fs::write(&chain, other.cert.pem()).unwrap();
        assert_eq!(mistakes(certificates.reload()), ["privkey.pem: the private key does not belong to fullchain.pem"]);
        assert!(Arc::ptr_eq(&old, &certificates.serving.load()[0].certified));

        write(directory.path(), "mail.example.org", 0o600);
        certificates.reload().unwrap();
        assert!(!Arc::ptr_eq(&old, &certificates.serving.load()[0].certified));
    }

    #[test]
    fn an_empty_directory_says_what_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(mistakes(Certificates::load(directory.path())).len(), 1);
    }
}
