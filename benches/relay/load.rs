//! The generator: so many sessions, one message a connection, the time from the end of DATA to the 250.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What is sent.
pub struct Load {
    pub port: u16,
    pub mail: Mail,
    pub sessions: usize,
    pub messages: usize,
}

impl Load {
    /// Sends everything; the time to the 250 of each message.
    pub async fn run(&self) -> Vec<Duration> {
        let body: Arc<[u8]> = self.mail.octets().into();
        let left = Arc::new(AtomicUsize::new(self.messages));
        let mut sessions = JoinSet::new();
        for _ in 0..self.sessions {
            sessions.spawn(session(self.port, body.clone(), left.clone()));
        }
        sessions.join_all().await.into_iter().flatten().collect()
    }
}

async fn session(port: u16, body: Arc<[u8]>, left: Arc<AtomicUsize>) -> Vec<Duration> {
    let mut accepts = Vec::new();
    while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
        accepts.push(send(port, &body).await);
    }
    accepts
}

async fn send(port: u16, body: &[u8]) -> Duration {
    let socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let mut peer = BufReader::new(socket);
    expect(&mut peer, "220").await;
    for (command, code) in
        [("EHLO client.example.org", "250"), ("MAIL FROM:<ann@example.org>", "250"), ("RCPT TO:<bob@example.net>", "250"), ("DATA", "354")]
    {
        peer.get_mut().write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
        expect(&mut peer, code).await;
    }
    peer.get_mut().write_all(body).await.unwrap();
    let start = Instant::now();
    expect(&mut peer, "250").await;
    let accept = start.elapsed();
    peer.get_mut().write_all(b"QUIT\r\n").await.unwrap();
    accept
}

async fn expect(peer: &mut BufReader<TcpStream>, code: &str) {
    let mut line = String::new();
    loop {
        line.clear();
        peer.read_line(&mut line).await.unwrap();
        assert!(line.starts_with(code), "expected {code}, got {line:?}");
        if line.as_bytes().get(3) != Some(&b'-') {
            return;
        }
    }
}

/// A message, by what becomes of it.
#[derive(Clone, Copy)]
pub enum Mail {
    /// So many octets of words, which policy leaves alone.
    Plain(usize),
    /// An attachment of so many octets, which leaves as a link.
    Sealed(usize),
}

impl Mail {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain(_) => "left alone",
            Self::Sealed(_) => "sealed",
        }
    }

    pub const fn size(self) -> usize {
        match self {
            Self::Plain(size) | Self::Sealed(size) => size,
        }
    }

    /// With its final dot.
    fn octets(self) -> Vec<u8> {
        let header = |subject: &str| {
            format!(
                "From: Ann <ann@example.org>\r\nTo: Bob <bob@example.net>\r\nSubject: {subject}\r\n\
                 Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <trees@example.org>\r\nMIME-Version: 1.0\r\n"
            )
        };
        let message = match self {
            Self::Plain(size) => format!("{}Content-Type: text/plain; charset=us-ascii\r\n\r\n{}", header("trees"), words(size)),
            Self::Sealed(size) => format!(
                "{}Content-Type: multipart/mixed; boundary=cut\r\n\r\n--cut\r\nContent-Type: text/plain\r\n\r\nHere they are.\r\n\
                 --cut\r\nContent-Type: text/plain; name=trees.txt\r\nContent-Disposition: attachment; filename=trees.txt\r\n\
                 Content-Transfer-Encoding: base64\r\n\r\n{}--cut--\r\n",
                header("trees"),
                base64(&words(size))
            ),
        };
        (message + ".\r\n").into_bytes()
    }
}

fn words(octets: usize) -> String {
    let line = "alder birch cedar damson elder fir gorse hazel iris juniper kale larch maple\r\n";
    line.repeat(octets.div_ceil(line.len()))
}

fn base64(text: &str) -> String {
    text.as_bytes().chunks(57).map(|line| data_encoding::BASE64.encode(line) + "\r\n").collect()
}
