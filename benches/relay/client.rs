//! One SMTP connection as another mail server opens it. RFC 5321; RFC 2920; RFC 3207.

use std::sync::Arc;
use std::time::Instant;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Whether a connection is encrypted.
#[derive(Clone)]
pub enum Security {
    Plain,
    /// With a full handshake each time.
    StartTls(Arc<ClientConfig>),
}

/// A connection that was greeted.
pub struct Client {
    stream: BufReader<Box<dyn Duplex>>,
}

/// What a conversation is held over.
trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

impl Security {
    /// STARTTLS without resumption and without a look at the certificate, which is self-signed.
    pub fn start_tls() -> Self {
        let mut config = waxseal::net::tls::client_any().unwrap().as_ref().clone();
        config.resumption = rustls::client::Resumption::disabled();
        Self::StartTls(Arc::new(config))
    }
}

impl Client {
    /// Connects, greets, and encrypts where that is wanted.
    pub async fn open(port: u16, security: &Security) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let mut client = Self { stream: BufReader::new(Box::new(socket)) };
        client.expect("220").await;
        client.hello().await;
        let Security::StartTls(config) = security else { return client };
        client.say(b"STARTTLS\r\n").await;
        client.expect("220").await;
        let name = ServerName::try_from("mail.example.org").unwrap();
        let encrypted = TlsConnector::from(config.clone()).connect(name, client.stream.into_inner()).await.unwrap();
        let mut client = Self { stream: BufReader::new(Box::new(encrypted)) };
        client.hello().await;
        client
    }

    /// Sends one message; the moments of the end of DATA and of the 250.
    pub async fn send(&mut self, header: &str, body: &[u8]) -> (Instant, Instant) {
        self.envelope().await;
        self.data(header, body).await
    }

    /// MAIL and RCPT, both accepted.
    pub async fn envelope(&mut self) {
        for command in ["MAIL FROM:<ann@example.org>\r\n", "RCPT TO:<bob@example.net>\r\n"] {
            self.say(command.as_bytes()).await;
            self.expect("250").await;
        }
    }

    /// DATA and everything after it.
    pub async fn data(&mut self, header: &str, body: &[u8]) -> (Instant, Instant) {
        self.say(b"DATA\r\n").await;
        self.expect("354").await;
        if body.len() <= ONE_WRITE {
            self.say(&[header.as_bytes(), body].concat()).await;
        } else {
            self.stream.write_all(header.as_bytes()).await.unwrap();
            self.say(body).await;
        }
        let dot = Instant::now();
        self.expect("250").await;
        (dot, Instant::now())
    }

    /// Nothing, and its reply.
    pub async fn noop(&mut self) {
        self.say(b"NOOP\r\n").await;
        self.expect("250").await;
    }

    /// Goes without waiting for the goodbye.
    pub async fn quit(mut self) {
        self.say(b"QUIT\r\n").await;
    }

    async fn hello(&mut self) {
        self.say(b"EHLO client.example.org\r\n").await;
        self.expect("250").await;
    }

    async fn say(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn expect(&mut self, code: &str) {
        let mut line = String::new();
        loop {
            line.clear();
            self.stream.read_line(&mut line).await.unwrap();
            assert!(line.starts_with(code), "expected {code}, got {line:?}");
            if line.as_bytes().get(3) != Some(&b'-') {
                return;
            }
        }
    }
}

/// A message up to this size leaves in one write.
const ONE_WRITE: usize = 128 << 10;
