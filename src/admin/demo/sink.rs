//! The demo's next hop: a mailbox server that takes everything and shows it.
//!
//! It listens on loopback, speaks the SMTP that a relay needs and no more, and keeps the newest
//! messages in memory. It is no mail server and is never started outside of the demo.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// One message as it arrived.
#[derive(Debug, Clone)]
pub struct Captured {
    /// Counted from 1.
    pub number: usize,
    /// RCPT TO, without angle brackets.
    pub to: Vec<String>,
    /// The octets between 354 and the final dot, dots unstuffed.
    pub octets: Bytes,
}

/// What all mailboxes together received.
#[derive(Debug, Clone, Default)]
pub struct Mailboxes(Arc<Mutex<Shelf>>);

#[derive(Debug, Default)]
struct Shelf {
    count: usize,
    messages: VecDeque<Captured>,
}

impl Mailboxes {
    /// The messages that are kept, oldest first.
    pub fn all(&self) -> Vec<Captured> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).messages.iter().cloned().collect()
    }

    /// One message by its number.
    pub fn get(&self, number: usize) -> Option<Captured> {
        self.all().into_iter().find(|message| message.number == number)
    }

    fn keep(&self, to: Vec<String>, octets: Bytes) {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.count += 1;
        let number = shelf.count;
        shelf.messages.push_back(Captured { number, to, octets });
        if shelf.messages.len() > KEPT {
            shelf.messages.pop_front();
        }
    }
}

/// Takes mail until the demo ends.
pub async fn run(listener: TcpListener, mailboxes: Mailboxes) {
    let mut conversations = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        conversations.spawn(converse(stream, mailboxes.clone()));
        while conversations.try_join_next().is_some() {}
    }
}

async fn converse(stream: TcpStream, mailboxes: Mailboxes) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    write.write_all(b"220 mailboxes.example ESMTP\r\n").await?;
    let mut to = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if read.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let reply: &[u8] = match text.get(..4).map(str::to_ascii_uppercase).as_deref() {
            Some("EHLO") => {
                b"250-mailboxes.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES\r\n"
            }
            Some("MAIL") => {
                to = Vec::new();
                b"250 2.1.0 ok\r\n"
            }
            Some("RCPT") => {
                to.push(path(&text));
                b"250 2.1.5 ok\r\n"
            }
            Some("DATA") => {
                write.write_all(b"354 go on\r\n").await?;
                let octets = data(&mut read).await?;
                mailboxes.keep(std::mem::take(&mut to), octets);
                b"250 2.0.0 kept\r\n"
            }
            Some("QUIT") => {
                return write.write_all(b"221 2.0.0 bye\r\n").await;
            }
            Some(_) | None => b"250 2.0.0 ok\r\n",
        };
        write.write_all(reply).await?;
    }
}

/// Lines up to the final dot. RFC 5321 §4.5.2.
async fn data(read: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<Bytes> {
    let mut octets = Vec::new();
    loop {
        let mut line = Vec::new();
        if read.read_until(b'\n', &mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(octets.into());
        }
        octets.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}

fn path(line: &str) -> String {
    line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(path, _)| path.to_owned()).unwrap_or_default()
}

/// Older messages make room.
const KEPT: usize = 200;
