//! Mail servers and policies' web servers, each with the certificate that a case wants, on loopback.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PublicKeyData, date_time_ymd};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use waxseal::mail::Domain;
use waxseal::net::tls;
use waxseal::transport::report::Wrong;
use waxseal::transport::{Course, Session, Target, Transport};

/// An authority that the tests' roots name, or another one.
pub struct Authority {
    pub certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy)]
pub enum Made {
    Well,
    Expired,
    /// For this name instead of its own.
    For(&'static str),
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    pub fn issue(&self, name: &str, made: Made) -> Issued {
        let key = KeyPair::generate().unwrap();
        let name = if let Made::For(other) = made { other } else { name };
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if matches!(made, Made::Expired) {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 2, 1));
        }
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let signing = tls::provider().key_provider.load_private_key(private).unwrap();
        let certified = Arc::new(CertifiedKey::new(vec![certificate, self.certificate.clone()], signing));
        Issued { certified, public_key: key.subject_public_key_info() }
    }

    /// A PEM file with it.
    pub fn file(&self, directory: &std::path::Path) -> PathBuf {
        let file = directory.join("roots.pem");
        let body = data_encoding::BASE64.encode(&self.certificate);
        std::fs::write(&file, format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")).unwrap();
        file
    }

    /// `2 0 1`: this authority.
    pub fn record(&self) -> String {
        format!("2 0 1 {}", data_encoding::HEXLOWER.encode(&Sha256::digest(&self.certificate)))
    }
}

/// A certificate with its key.
pub struct Issued {
    certified: Arc<CertifiedKey>,
    public_key: Vec<u8>,
}

impl Issued {
    /// `3 1 1`: this key.
    pub fn record(&self) -> String {
        format!("3 1 1 {}", data_encoding::HEXLOWER.encode(&Sha256::digest(&self.public_key)))
    }
}

/// Certificates by name, more of them at any time.
#[derive(Default, Debug)]
pub struct Shown(Mutex<HashMap<String, Arc<CertifiedKey>>>);

impl Shown {
    pub fn put(&self, name: &str, issued: &Issued) {
        self.0.lock().unwrap().insert(name.to_owned(), issued.certified.clone());
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.lock().unwrap().get(hello.server_name()?).cloned()
    }
}

pub fn acceptor(shown: &Arc<Shown>) -> TlsAcceptor {
    let builder = rustls::ServerConfig::builder_with_provider(tls::provider()).with_safe_default_protocol_versions().unwrap();
    TlsAcceptor::from(Arc::new(builder.with_no_client_auth().with_cert_resolver(shown.clone())))
}

/// Mail servers: TLS from the first octet, then a word.
pub async fn mail_servers(shown: &Arc<Shown>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = acceptor(shown);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                stream.write_all(b"taken").await?;
                stream.shutdown().await
            });
        }
    });
    address
}

/// What a policy's web server answers, whole, by the name that it is asked for.
pub type Answers = Arc<Mutex<HashMap<String, String>>>;

/// 200 with a text.
pub fn ok(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}

pub fn policy(mode: &str, mx: &str) -> String {
    ok(&format!("version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: 604800\r\n"))
}

/// Web servers; a name without an answer is hung up on.
pub async fn web_servers(shown: &Arc<Shown>, answers: &Answers) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (acceptor, answers) = (acceptor(shown), answers.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, answers) = (acceptor.clone(), answers.clone());
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut request = vec![0; 4_096];
                let length = stream.read(&mut request).await?;
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                assert!(request.starts_with("GET /.well-known/mta-sts.txt HTTP/1.1\r\n"), "{request}");
                let host = request.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("host: ").map(str::to_owned)).unwrap();
                let name = host.split(':').next().unwrap();
                let answer = answers.lock().unwrap().get(name).cloned().unwrap_or_default();
                stream.write_all(answer.as_bytes()).await?;
                stream.shutdown().await
            });
        }
    });
    address
}

/// Goes the way as a relay does: the first host whose TLS is as demanded takes the mail. Which, and whether the connection was
/// under TLS at all.
pub async fn deliver(transport: &Transport, (domain, course): (&Domain, &Course), port: u16, now: jiff::Timestamp) -> Option<String> {
    for target in &course.targets {
        for address in &target.addresses {
            let seen = tls::Seen::default();
            let shaken = connect(transport, target, SocketAddr::new(*address, port), &seen).await;
            let wrong = match &shaken {
                Ok(()) => seen.get().map(|error| (Wrong::of(error), error.to_string())),
                Err(error) => {
                    let cause = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
                    Some((cause.map_or(Wrong::ValidationFailure, Wrong::of), error.to_string()))
                }
            };
            transport.count_session(&Session { domain, target, address: *address, wrong }, now);
            if shaken.is_ok() {
                return Some(target.host.to_string());
            }
        }
    }
    None
}

async fn connect(transport: &Transport, target: &Target, address: SocketAddr, seen: &tls::Seen) -> std::io::Result<()> {
    let client = transport.client(&target.tls, seen).map_err(std::io::Error::other)?;
    let name = ServerName::try_from(target.host.to_string()).unwrap();
    let stream = TcpStream::connect(address).await?;
    let mut stream = TlsConnector::from(client).connect(name, stream).await?;
    let mut word = String::new();
    stream.read_to_string(&mut word).await?;
    assert_eq!(word, "taken");
    Ok(())
}
