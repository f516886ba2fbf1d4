//! The next hop: takes everything as fast as it can and counts it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub struct Sink {
    pub port: u16,
    arrived: Arc<AtomicUsize>,
}

impl Sink {
    /// On a free port; it ends with the process.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let arrived = Arc::new(AtomicUsize::new(0));
        let counter = arrived.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // A peer that closes without QUIT is none of our business.
                tokio::spawn(converse(socket, counter.clone()));
            }
        });
        Self { port, arrived }
    }

    /// Messages so far.
    pub fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }
}

async fn converse(mut socket: TcpStream, arrived: Arc<AtomicUsize>) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    socket.write_all(b"220 sink.example.net ESMTP\r\n").await?;
    let mut input = Vec::with_capacity(256 * 1024);
    let mut in_data = false;
    loop {
        let mut replies = Vec::new();
        loop {
            if in_data {
                let Some(end) = final_dot(&input) else {
                    // Only what may be the beginning of the end is kept.
                    let tail = input.len().saturating_sub(4);
                    input.drain(..tail);
                    break;
                };
                input.drain(..end);
                in_data = false;
                arrived.fetch_add(1, Ordering::SeqCst);
                replies.extend_from_slice(b"250 2.0.0 taken\r\n");
            }
            let Some(end) = input.iter().position(|&octet| octet == b'\n') else { break };
            let command: Vec<u8> = input.drain(..=end).collect();
            let verb = command.get(..4).unwrap_or_default().to_ascii_uppercase();
            match verb.as_slice() {
                b"EHLO" => replies.extend_from_slice(b"250-sink.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 104857600\r\n"),
                b"DATA" => {
                    replies.extend_from_slice(b"354 go on\r\n");
                    in_data = true;
                }
                b"QUIT" => return socket.write_all(b"221 2.0.0 bye\r\n").await,
                _ => replies.extend_from_slice(b"250 2.0.0 ok\r\n"),
            }
        }
        socket.write_all(&replies).await?;
        if socket.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}

/// Where the message ends. Every message here has a line before its dot.
fn final_dot(input: &[u8]) -> Option<usize> {
    memchr::memmem::find(input, b"\r\n.\r\n").map(|at| at + 5)
}
