//! One small text file from a web server: the certificate must hold, the answer must be 200, and nothing is followed.
//!
//! Where the server is comes from our own resolver, so that addresses that nobody outside can have are passed over
//! here too. RFC 9110, RFC 8461 §3.3.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderMap};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::dns::{Host, NoAddress, Resolver};

/// A client for such files.
pub struct Fetcher {
    resolver: Arc<Resolver>,
    tls: Arc<ClientConfig>,
    port: u16,
}

/// Why there is no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfetched {
    /// The server is nowhere.
    NoServer(NoAddress),
    /// It cannot be reached, or does not answer in time.
    Silence,
    /// Its certificate does not hold, or it speaks no TLS that we speak.
    Certificate(String),
    /// It answered something else than 200; a redirection is not followed.
    Status(u16),
    /// It is no plain text.
    MediaType,
    /// It is longer than such files are.
    TooLong,
    /// It broke off, or spoke no HTTP.
    Broken(String),
}

impl Fetcher {
    /// `tls` judges the servers' certificates; `port` is where they are.
    pub const fn new(resolver: Arc<Resolver>, tls: Arc<ClientConfig>, port: u16) -> Self {
        Self { resolver, tls, port }
    }

    /// The text at `https://host/path`.
    pub async fn text(&self, host: &Host, path: &'static str) -> Result<Vec<u8>, Unfetched> {
        timeout(FETCH_MAX, self.fetch(host, path)).await.unwrap_or(Err(Unfetched::Silence))
    }

    async fn fetch(&self, host: &Host, path: &'static str) -> Result<Vec<u8>, Unfetched> {
        let addresses = self.resolver.addresses(host).await.map_err(Unfetched::NoServer)?;
        let stream = self.connect(&addresses.list).await?;
        let name = ServerName::try_from(host.as_str().to_owned()).map_err(|error| Unfetched::Certificate(error.to_string()))?;
        let shaken = TlsConnector::from(self.tls.clone()).connect(name, stream).await;
        let stream = shaken.map_err(|error| Unfetched::Certificate(error.to_string()))?;
        let (mut sender, connection) =
            http1::Builder::new().max_buf_size(HEADER_MAX).handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let request = self.request(host, path)?;
        // The connection ends when its only sender does.
        let exchange = async move { read(sender.send_request(request).await.map_err(broken)?).await };
        tokio::join!(exchange, connection).0
    }

    async fn connect(&self, addresses: &[IpAddr]) -> Result<TcpStream, Unfetched> {
        for address in addresses.iter().take(ADDRESSES_MAX) {
            if let Ok(Ok(stream)) = timeout(CONNECT_MAX, TcpStream::connect(SocketAddr::new(*address, self.port))).await {
                return Ok(stream);
            }
        }
        Err(Unfetched::Silence)
    }

    fn request(&self, host: &Host, path: &'static str) -> Result<Request<Empty<Bytes>>, Unfetched> {
        let authority = if self.port == PORT { host.to_string() } else { format!("{host}:{}", self.port) };
        let request = Request::get(path).header(HOST, authority).header(ACCEPT, "text/plain").body(Empty::new());
        request.map_err(|error| Unfetched::Broken(error.to_string()))
    }
}

async fn read(response: Response<Incoming>) -> Result<Vec<u8>, Unfetched> {
    if response.status() != StatusCode::OK {
        return Err(Unfetched::Status(response.status().as_u16()));
    }
    if !is_plain_text(response.headers()) {
        return Err(Unfetched::MediaType);
    }
    match Limited::new(response.into_body(), TEXT_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => Err(Unfetched::TooLong),
        Err(error) => Err(Unfetched::Broken(error.to_string())),
    }
}

/// Parameters, as of the character set, do not matter.
fn is_plain_text(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/plain")
}

fn broken(error: hyper::Error) -> Unfetched {
    Unfetched::Broken(error.to_string())
}

impl std::fmt::Display for Unfetched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoServer(NoAddress::Unknown(trouble)) => write!(f, "the web server's address is not known: {trouble}"),
            Self::NoServer(NoAddress::None | NoAddress::Refused) => f.write_str("there is no such web server"),
            Self::Silence => f.write_str("the web server does not answer in time"),
            Self::Certificate(error) => write!(f, "no TLS with the web server: {error}"),
            Self::Status(code) => write!(f, "the web server answered {code}"),
            Self::MediaType => f.write_str("the web server sent no plain text"),
            Self::TooLong => f.write_str("the web server sent more than 64 KiB"),
            Self::Broken(error) => write!(f, "the web server broke off: {error}"),
        }
    }
}

/// RFC 8461 §3.3 suggests a minute.
const FETCH_MAX: Duration = Duration::from_secs(60);
/// Time for the next address too.
const CONNECT_MAX: Duration = Duration::from_secs(15);
/// Addresses that are tried.
const ADDRESSES_MAX: usize = 4;
/// RFC 8461 §3.2 suggests it: a policy has some hundred octets.
const TEXT_MAX: usize = 64 * 1_024;
/// Octets of the header.
const HEADER_MAX: usize = 16 * 1_024;
/// Of the web; any other is said to the server.
const PORT: u16 = 443;
