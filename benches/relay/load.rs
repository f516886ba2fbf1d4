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
    pub octets: usize,
    pub sessions: usize,
    pub messages: usize,
}

impl Load {
    /// Sends everything; the time to the 250 of each message.
    pub async fn run(&self) -> Vec<Duration> {
        let body: Arc<[u8]> = message(self.octets).into();
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

/// A message of words, with its final dot.
fn message(octets: usize) -> Vec<u8> {
    let header = "From: Ann <ann@example.org>\r\nTo: Bob <bob@example.net>\r\nSubject: trees\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\n\
                  Message-ID: <trees@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n";
    let line = "alder birch cedar damson elder fir gorse hazel iris juniper kale larch maple\r\n";
    let mut message = String::from(header);
    while message.len() < octets {
        message.push_str(line);
    }
    message.push_str(".\r\n");
    message.into_bytes()
}
