//! Mail servers of other domains: SMTP with STARTTLS and the certificate of whatever name they are asked for.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::world::{Shown, acceptor};

/// Offers STARTTLS, and REQUIRETLS under it.
pub const WHOLE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
/// Offers STARTTLS only.
pub const FORGETFUL: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Offers no STARTTLS, as behind somebody who takes it away.
pub const STRIPPED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// Offers STARTTLS and hangs up in the handshake.
pub const CUT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);
/// Offers STARTTLS and speaks TLS 1.0, no newer one.
pub const OLD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 6);
/// Nobody listens there.
pub const ABSENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);

/// A message as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The name that TLS was asked for; none in the clear.
    pub name: Option<String>,
    /// The MAIL line.
    pub mail: String,
    /// The RCPT lines.
    pub rcpts: Vec<String>,
    /// Without the dot.
    pub text: String,
}

#[derive(Clone, Default)]
pub struct Receivers {
    taken: Arc<Mutex<Vec<Taken>>>,
    /// Conversations that were greeted a second time, under TLS, by the name that was asked for.
    handshakes: Arc<Mutex<Vec<String>>>,
    /// Lines that came in the clear.
    clear: Arc<Mutex<Vec<String>>>,
}

impl Receivers {
    /// All of them on one port.
    pub async fn start(shown: &Arc<Shown>) -> (Self, u16) {
        let receivers = Self::default();
        let first = TcpListener::bind((WHOLE, 0)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        let mut listeners = vec![first];
        for address in [FORGETFUL, STRIPPED, CUT, OLD] {
            listeners.push(TcpListener::bind((address, port)).await.unwrap());
        }
        for listener in listeners {
            let (receivers, acceptor) = (receivers.clone(), acceptor(shown));
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (receivers, acceptor) = (receivers.clone(), acceptor.clone());
                    tokio::spawn(async move { receivers.converse(stream, acceptor).await });
                }
            });
        }
        (receivers, port)
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }

    /// Everything that was said in the clear.
    pub fn clear(&self) -> Vec<String> {
        self.clear.lock().unwrap().clone()
    }

    /// How many connections were secured under this name.
    pub fn handshakes(&self, name: &str) -> usize {
        self.handshakes.lock().unwrap().iter().filter(|asked| *asked == name).count()
    }

    async fn converse(&self, stream: TcpStream, acceptor: tokio_rustls::TlsAcceptor) -> std::io::Result<()> {
        let SocketAddr::V4(at) = stream.local_addr()? else { return Ok(()) };
        let (at, mut stream) = (*at.ip(), BufReader::new(stream));
        stream.write_all(b"220 mx ESMTP\r\n").await?;
        if !self.talk(&mut stream, at, None).await? || at == CUT {
            return Ok(());
        }
        if at == OLD {
            return self.speak_tls_1_0(stream).await;
        }
        let stream = acceptor.accept(stream.into_inner()).await?;
        let name = stream.get_ref().1.server_name().unwrap_or_default().to_owned();
        self.handshakes.lock().unwrap().push(name.clone());
        self.talk(&mut BufReader::new(stream), at, Some(name)).await.map(drop)
    }

    /// As a server from before 2008, which knows no newer version and none of the extensions that ask for one; and what follows.
    async fn speak_tls_1_0(&self, mut stream: BufReader<TcpStream>) -> std::io::Result<()> {
        // RFC 2246 §6.2.1: handshake, TLS 1.0, 42 octets. §7.4.1.3: a hello of 38, TLS 1.0, no session, RSA with AES-128-CBC.
        let hello = [&[22, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1][..], &[7; 32], &[0, 0, 0x2f, 0]].concat();
        stream.fill_buf().await?;
        stream.write_all(&hello).await?;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await?;
        self.clear.lock().unwrap().push(String::from_utf8_lossy(&rest).into_owned());
        Ok(())
    }

    /// Until STARTTLS, which is told, or the end.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufReader<S>,
        at: Ipv4Addr,
        name: Option<String>,
    ) -> std::io::Result<bool> {
        let offer = match (IpAddr::from(at), &name) {
            (_, Some(_)) if at == WHOLE => "250-mx\r\n250-PIPELINING\r\n250 REQUIRETLS\r\n",
            (_, None) if at != STRIPPED => "250-mx\r\n250 STARTTLS\r\n",
            _ => "250 mx\r\n",
        };
        let (mut mail, mut rcpts) = (String::new(), Vec::new());
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(false);
            }
            let line = line.trim_end().to_owned();
            if name.is_none() {
                self.clear.lock().unwrap().push(line.clone());
            }
            let reply = match line.split(' ').next().unwrap_or_default() {
                "EHLO" => offer,
                "STARTTLS" => {
                    stream.write_all(b"220 go\r\n").await?;
                    return Ok(true);
                }
                "MAIL" => {
                    (mail, rcpts) = (line, Vec::new());
                    "250 ok\r\n"
                }
                "RCPT" => {
                    rcpts.push(line);
                    "250 ok\r\n"
                }
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await?;
                    stream.flush().await?;
                    let text = message(stream).await?;
                    if name.is_none() {
                        self.clear.lock().unwrap().push(text.clone());
                    }
                    let taken = Taken { name: name.clone(), mail: mail.clone(), rcpts: rcpts.clone(), text };
                    self.taken.lock().unwrap().push(taken);
                    "250 taken\r\n"
                }
                "QUIT" => return Ok(false),
                _ => "250 ok\r\n",
            };
            stream.write_all(reply.as_bytes()).await?;
            stream.flush().await?;
        }
    }
}

async fn message<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        let begin = text.len();
        if stream.read_line(&mut text).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if &text[begin..] == ".\r\n" {
            text.truncate(begin);
            return Ok(text);
        }
    }
}
