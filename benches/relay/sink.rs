//! The next hop: takes everything as fast as it can, looks whether it is what was sent, and can be away.

use std::sync::Arc;

use bytes::{Buf, BytesMut};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::ledger::{self, Arrives, Ledger, Run};
use crate::peers::free_port;

/// A next hop on a port of its own.
pub struct Sink {
    pub port: u16,
    pub ledger: Arc<Ledger>,
    serving: Option<JoinHandle<()>>,
}

impl Sink {
    /// There from now on.
    pub async fn start() -> Self {
        let mut sink = Self { port: free_port(), ledger: Arc::default(), serving: None };
        sink.come().await;
        sink
    }

    /// Takes connections again.
    pub async fn come(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.serving = Some(tokio::spawn(serve(listener, self.ledger.clone())));
    }

    /// Drops every connection and refuses new ones.
    pub async fn go(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            let _ = serving.await;
        }
    }
}

/// Conversations end with the task that holds them.
async fn serve(listener: TcpListener, ledger: Arc<Ledger>) {
    let mut conversations = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = conversations.join_next() => {}
            taken = listener.accept() => {
                let conversation = Conversation { ledger: ledger.clone(), input: BytesMut::new(), output: Vec::new(), state: State::Commands };
                conversations.spawn(conversation.hold(taken.unwrap().0));
            }
        }
    }
}

struct Conversation {
    ledger: Arc<Ledger>,
    input: BytesMut,
    output: Vec<u8>,
    state: State,
}

enum State {
    Commands,
    Header,
    /// None is a message that nobody sent.
    Body(Option<Receipt>),
    Over,
}

impl Conversation {
    /// A peer that closes without QUIT is none of our business.
    async fn hold(mut self, mut socket: TcpStream) {
        let _ = socket.set_nodelay(true);
        self.output.extend_from_slice(b"220 sink.example.net ESMTP\r\n");
        loop {
            if socket.write_all(&self.output).await.is_err() || matches!(self.state, State::Over) {
                return;
            }
            self.output.clear();
            self.input.reserve(ROOM);
            if socket.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                return;
            }
            self.advance();
        }
    }

    /// As far as the input goes.
    fn advance(&mut self) {
        loop {
            let state = std::mem::replace(&mut self.state, State::Over);
            let (state, progress) = match state {
                State::Commands => self.command(),
                State::Header => self.header(),
                State::Body(receipt) => self.body(receipt),
                State::Over => (State::Over, Progress::Waits),
            };
            self.state = state;
            if matches!(progress, Progress::Waits) {
                return;
            }
        }
    }

    fn command(&mut self) -> (State, Progress) {
        let Some(end) = memchr::memchr(b'\n', &self.input) else { return (State::Commands, Progress::Waits) };
        let line = self.input.split_to(end + 1);
        let (reply, state): (&[u8], State) = match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_slice() {
            b"EHLO" => (b"250-sink.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 157286400\r\n", State::Commands),
            b"DATA" => (b"354 go on\r\n", State::Header),
            b"QUIT" => (b"221 2.0.0 bye\r\n", State::Over),
            _ => (b"250 2.0.0 ok\r\n", State::Commands),
        };
        self.output.extend_from_slice(reply);
        (state, Progress::Goes)
    }

    fn header(&mut self) -> (State, Progress) {
        let Some(end) = memmem::find(&self.input, b"\r\n\r\n") else { return (State::Header, Progress::Waits) };
        let header = self.input.split_to(end + 4);
        let receipt = Receipt::of(&header, &self.ledger);
        if receipt.is_none() {
            self.ledger.stray(&header);
        }
        (State::Body(receipt), Progress::Goes)
    }

    fn body(&mut self, mut receipt: Option<Receipt>) -> (State, Progress) {
        let Some(end) = memmem::find(&self.input, b"\r\n.\r\n") else {
            // What may be the beginning of the end stays.
            let sure = self.input.len().saturating_sub(4);
            receipt.iter_mut().for_each(|receipt| receipt.take(&self.input[..sure]));
            self.input.advance(sure);
            return (State::Body(receipt), Progress::Waits);
        };
        if let Some(mut receipt) = receipt {
            receipt.take(&self.input[..end + 2]);
            receipt.finish();
        }
        self.input.advance(end + 5);
        self.output.extend_from_slice(b"250 2.0.0 taken\r\n");
        (State::Commands, Progress::Goes)
    }
}

enum Progress {
    Goes,
    Waits,
}

/// What is known of a message that comes in.
struct Receipt {
    run: Arc<Run>,
    number: usize,
    digest: crc32fast::Hasher,
    length: u64,
    /// Its beginning, of letters with a link.
    beginning: Vec<u8>,
}

impl Receipt {
    fn of(header: &[u8], ledger: &Ledger) -> Option<Self> {
        let (run, number) = id(header)?;
        Some(Self { run: ledger.run(run)?, number, digest: crc32fast::Hasher::new(), length: 0, beginning: Vec::new() })
    }

    fn take(&mut self, octets: &[u8]) {
        self.length += octets.len() as u64;
        match self.run.arrives {
            Arrives::AsSent => self.digest.update(octets),
            Arrives::AsLink if self.beginning.len() < LETTER => self.beginning.extend_from_slice(octets),
            Arrives::AsLink => {}
        }
    }

    fn finish(self) {
        let is_whole = match self.run.arrives {
            Arrives::AsSent => self.digest.finalize() == self.run.mail.crc && self.length == self.run.mail.length,
            Arrives::AsLink => self.length < self.run.mail.length && memmem::find(&self.beginning, LINK).is_some(),
        };
        self.run.arrived(self.number, if is_whole { ledger::State::Whole } else { ledger::State::Changed });
    }
}

/// Run and number in the Message-ID.
fn id(header: &[u8]) -> Option<(usize, usize)> {
    let at = memmem::find(header, b"Message-ID: <")? + 13;
    let text = std::str::from_utf8(header.get(at..at + 32)?).ok()?;
    let (run, number) = text.split_once('@')?.0.split_once('.')?;
    Some((run.parse().ok()?, number.parse().ok()?))
}

/// Octets to read at once.
const ROOM: usize = 256 << 10;
/// A letter with a link has it in here.
const LETTER: usize = 32 << 10;
/// What every link begins with in this house.
const LINK: &[u8] = b"https://secure.example.org/";
