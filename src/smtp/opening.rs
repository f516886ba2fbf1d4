//! The first half of a client's conversation: from no connection to one that may send.
//!
//! Each step consumes what it must not leave behind: the plain wire goes into the handshake only
//! with nothing in its buffer, so a reply that somebody put behind the 220 is never read as the
//! peer's (RFC 3207 §4.2, the response injections of 2021).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::client::{Credentials, Hop, Protocol, Security, Stage, Trouble};
use super::dialogue::{Capabilities, Dialogue, Heard, Socket};
use crate::mail::Domain;
use crate::transport::report::Wrong;

/// A connection that is not ready for mail.
pub(super) struct Opening {
    dialogue: Dialogue,
    offered: Capabilities,
    protocol: Protocol,
}

/// TCP, TLS where it comes first, and the banner.
pub(super) async fn connect(hop: &Hop, security: &Security) -> Result<Opening, Trouble> {
    let connecting = timeout(CONNECT, reach(hop)).await;
    let stream = connecting
        .map_err(|_| Trouble::new(Stage::Connect, "no connection in time"))?
        .map_err(|error| Trouble::io(Stage::Connect, &error))?;
    // One write per batch of commands: waiting for more would only delay it.
    let _ = stream.set_nodelay(true);
    let socket = match (hop.is_implicit_tls(), security.config()) {
        (true, Some(config)) => shake_hands(hop, config, stream).await?,
        (true, None) => return Err(Trouble::new(Stage::Tls, "port 465 speaks TLS, which is switched off for this next hop")),
        (false, _) => Socket::Plain(stream),
    };
    let mut dialogue = Dialogue::new(socket);
    let banner = dialogue.hear(GREETING).await.map_err(|error| Trouble::io(Stage::Greeting, &error))?;
    expect(Stage::Greeting, &banner)?;
    Ok(Opening { dialogue, offered: Capabilities::default(), protocol: hop.protocol })
}

/// TCP to the first of its addresses that answers, from the address of ours that is asked for.
async fn reach(hop: &Hop) -> std::io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = match hop.address {
        Some(address) => vec![SocketAddr::new(address, hop.port)],
        None => lookup_host((hop.host.as_str(), hop.port)).await?.collect(),
    };
    let mut missed = std::io::Error::other("the next hop has no address of the source's family");
    for address in addresses.into_iter().filter(|address| hop.source.is_none_or(|source| source.is_ipv4() == address.is_ipv4())) {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(source) = hop.source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => missed = error,
        }
    }
    Err(missed)
}

impl Opening {
    /// EHLO, or HELO where that is unknown (RFC 5321 §3.2); LHLO alone for LMTP (RFC 2033 §4.1).
    pub(super) async fn greet(&mut self, hello: &Domain) -> Result<(), Trouble> {
        let verb = if self.protocol == Protocol::Lmtp { "LHLO" } else { "EHLO" };
        let reply = self.ask(&format!("{verb} {hello}"), Stage::Greeting).await?;
        if reply.is_positive() {
            self.offered = reply.capabilities();
            return Ok(());
        }
        if reply.is_temporary() || self.protocol == Protocol::Lmtp {
            return expect(Stage::Greeting, &reply);
        }
        self.offered = Capabilities::default();
        let reply = self.ask(&format!("HELO {hello}"), Stage::Greeting).await?;
        expect(Stage::Greeting, &reply)
    }

    /// STARTTLS as far as it is asked for.
    pub(super) async fn secure(mut self, hop: &Hop, hello: &Domain, security: &Security) -> Result<Self, Trouble> {
        let Some(config) = security.config() else { return Ok(self) };
        if matches!(self.dialogue.wire.stream(), Socket::Tls(_)) {
            return Ok(self);
        }
        if !self.offered.starttls {
            return self.without_tls(security, ("the next hop does not offer STARTTLS", Wrong::StarttlsNotSupported));
        }
        let reply = self.ask("STARTTLS", Stage::Tls).await?;
        if reply.code != 220 {
            let wrong = if reply.is_temporary() { Wrong::ValidationFailure } else { Wrong::StarttlsNotSupported };
            return self.without_tls(security, ("the next hop refused STARTTLS", wrong));
        }
        let stream = match self.dialogue.wire.into_bare() {
            Ok(Socket::Plain(stream)) => stream,
            Ok(Socket::Tls(_)) | Err(_) => return Err(Trouble::new(Stage::Tls, "there was input between STARTTLS and the handshake")),
        };
        let socket = shake_hands(hop, config, stream).await?;
        // RFC 3207 §4.2: what was offered in the clear is forgotten.
        let mut secured = Self { dialogue: Dialogue::new(socket), offered: Capabilities::default(), protocol: hop.protocol };
        secured.greet(hello).await.map_err(not_secured)?;
        Ok(secured)
    }

    /// AUTH, if there is somebody to be.
    pub(super) async fn authenticate(mut self, credentials: Option<&Credentials>) -> Result<(Dialogue, Capabilities), Trouble> {
        let Some(Credentials { username, password }) = credentials else { return Ok((self.dialogue, self.offered)) };
        if !matches!(self.dialogue.wire.stream(), Socket::Tls(_)) {
            return Err(Trouble::new(Stage::Auth, "passwords are not sent in the clear, and there is no TLS"));
        }
        let base64 = |text: &str| Zeroizing::new(BASE64.encode(text.as_bytes()));
        let reply = if self.offered.auth_plain {
            let response = base64(&Zeroizing::new(format!("\0{username}\0{}", password.expose())));
            self.ask(&Zeroizing::new(format!("AUTH PLAIN {}", *response)), Stage::Auth).await?
        } else if self.offered.auth_login {
            expect_code(Stage::Auth, &self.ask("AUTH LOGIN", Stage::Auth).await?, 334)?;
            expect_code(Stage::Auth, &self.ask(&base64(username), Stage::Auth).await?, 334)?;
            self.ask(&base64(password.expose()), Stage::Auth).await?
        } else {
            return Err(Trouble::new(Stage::Auth, "the next hop offers neither AUTH PLAIN nor LOGIN"));
        };
        expect_code(Stage::Auth, &reply, 235)?;
        Ok((self.dialogue, self.offered))
    }

    fn without_tls(self, security: &Security, (words, wrong): (&str, Wrong)) -> Result<Self, Trouble> {
        match security {
            Security::None | Security::Opportunistic(_) => Ok(self),
            Security::Required(_) | Security::Verified(_) => Err(Trouble { wrong: Some(wrong), ..Trouble::new(Stage::Tls, words) }),
        }
    }

    async fn ask(&mut self, command: &str, stage: Stage) -> Result<Heard, Trouble> {
        let reply = self.dialogue.ask(command, COMMAND).await.map_err(|error| Trouble::io(stage, &error))?;
        if reply.code == 421 { Err(Trouble::heard(stage, &reply)) } else { Ok(reply) }
    }
}

impl Security {
    const fn config(&self) -> Option<&Arc<ClientConfig>> {
        match self {
            Self::None => None,
            Self::Opportunistic(config) | Self::Required(config) | Self::Verified(config) => Some(config),
        }
    }
}

/// TLS 1.3 tells a client with its first read that the handshake was not to the server's liking. RFC 8446 §4.4.
fn not_secured(trouble: Trouble) -> Trouble {
    match trouble.said.code {
        None => Trouble::new(Stage::Tls, &trouble.said.words),
        Some(_) => trouble,
    }
}

async fn shake_hands(hop: &Hop, config: &Arc<ClientConfig>, stream: TcpStream) -> Result<Socket, Trouble> {
    let name = ServerName::try_from(hop.host.clone())
        .map_err(|_| Trouble::new(Stage::Tls, "the next hop's name cannot stand in a certificate"))?;
    let shaking = timeout(CONNECT, TlsConnector::from(Arc::clone(config)).connect(name, stream)).await;
    let stream = shaking.map_err(|_| Trouble::new(Stage::Tls, "no handshake in time"))?.map_err(|error| {
        let cause = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        Trouble { wrong: Some(cause.map_or(Wrong::ValidationFailure, Wrong::of)), ..Trouble::io(Stage::Tls, &error) }
    })?;
    Ok(Socket::Tls(Box::new(stream)))
}

fn expect(stage: Stage, reply: &Heard) -> Result<(), Trouble> {
    if reply.is_positive() { Ok(()) } else { Err(Trouble::heard(stage, reply)) }
}

fn expect_code(stage: Stage, reply: &Heard, code: u16) -> Result<(), Trouble> {
    if reply.code == code { Ok(()) } else { Err(Trouble::heard(stage, reply)) }
}

/// RFC 5321 names no time for this; systems give up after one to two minutes.
const CONNECT: Duration = Duration::from_secs(60);
/// RFC 5321 §4.5.3.2.1.
const GREETING: Duration = Duration::from_secs(5 * 60);
/// RFC 5321 §4.5.3.2.
const COMMAND: Duration = Duration::from_secs(5 * 60);
