//! A next hop that records every octet on the wire and answers as it is told: any reply at any
//! stage, silence, a reset. It is no SMTP server: it believes everything and checks nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Where a conversation is when an answer is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    Greeting,
    Ehlo,
    StartTls,
    /// The whole line, or an answer to a challenge.
    Auth(String),
    /// The whole line.
    Mail(String),
    /// The whole line.
    Rcpt(String),
    Data,
    /// The octets up to the final dot, as they were on the wire.
    Dot(Vec<u8>),
    Rset,
    Quit,
    Other(String),
}

/// What to do then.
#[derive(Debug, Clone)]
pub enum Act {
    /// Reply, CRLF is added; several lines are separated by `\n`.
    Say(String),
    /// Reply and close.
    SayAndClose(String),
    /// Close without a word.
    Reset,
    /// Say nothing, keep the connection open.
    Hang,
}

pub fn say(reply: &str) -> Act {
    Act::Say(reply.into())
}

/// A message that was answered with 250.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The MAIL line.
    pub mail: String,
    /// The RCPT lines that were answered with 250.
    pub rcpts: Vec<String>,
    /// As it was on the wire, without the final dot line.
    pub octets: Vec<u8>,
}

/// A running sink; it ends with the process.
pub struct RawSink {
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    taken: Vec<Taken>,
    wire: Vec<Vec<u8>>,
    stages: Vec<Stage>,
}

type Script = dyn Fn(&Stage) -> Act + Send + Sync;

impl RawSink {
    /// Answers every stage as `script` says; [`obliging`] is the script that takes everything.
    pub fn start(script: impl Fn(&Stage) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::on(listener, script)
    }

    /// The same on a given port: a next hop that comes back.
    pub fn on(listener: TcpListener, script: impl Fn(&Stage) -> Act + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let script: Arc<Script> = Arc::new(script);
        let for_thread = seen.clone();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (seen, script) = (for_thread.clone(), script.clone());
                thread::spawn(move || Conversation::new(socket, seen, script).run());
            }
        });
        Self { address, seen }
    }

    /// The messages that were answered with 250.
    pub fn taken(&self) -> Vec<Taken> {
        self.seen.lock().unwrap().taken.clone()
    }

    /// Every stage of every conversation, in order.
    pub fn stages(&self) -> Vec<Stage> {
        self.seen.lock().unwrap().stages.clone()
    }

    /// What came in on each connection.
    pub fn wire(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap().wire.clone()
    }

    /// Waits until so many messages were taken; panics after ten seconds.
    pub fn wait_for(&self, count: usize) -> Vec<Taken> {
        wait_until(|| self.taken().len() >= count);
        self.taken()
    }
}

/// Waits for something to come true; panics after ten seconds.
pub fn wait_until(holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "waited in vain");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Takes everything.
pub fn obliging(stage: &Stage) -> Act {
    match stage {
        Stage::Greeting => say("220 sink.example.net ESMTP"),
        Stage::Ehlo => {
            say("250-sink.example.net\n250-PIPELINING\n250-SIZE 104857600\n250-8BITMIME\n250-SMTPUTF8\n250-DSN\n250 ENHANCEDSTATUSCODES")
        }
        Stage::Data => say("354 go on"),
        Stage::Auth(_) => say("235 2.7.0 welcome"),
        Stage::Dot(_) => say("250 2.0.0 taken"),
        Stage::Quit => Act::SayAndClose("221 2.0.0 bye".into()),
        Stage::StartTls => say("454 4.7.0 not here"),
        Stage::Mail(_) | Stage::Rcpt(_) | Stage::Rset | Stage::Other(_) => say("250 2.1.0 ok"),
    }
}

struct Conversation {
    reader: BufReader<TcpStream>,
    socket: TcpStream,
    seen: Arc<Mutex<Seen>>,
    script: Arc<Script>,
    number: usize,
    mail: String,
    rcpts: Vec<String>,
    in_auth: bool,
}

impl Conversation {
    fn new(socket: TcpStream, seen: Arc<Mutex<Seen>>, script: Arc<Script>) -> Self {
        socket.set_nodelay(true).unwrap();
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.wire.push(vec![]);
            seen.wire.len() - 1
        };
        let reader = BufReader::new(socket.try_clone().unwrap());
        Self { reader, socket, seen, script, number, mail: String::new(), rcpts: vec![], in_auth: false }
    }

    fn run(mut self) {
        if self.act(Stage::Greeting).is_none() {
            return;
        }
        while let Some(line) = self.line() {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let stage = self.stage(text);
            let Some(code) = self.act(stage.clone()) else { return };
            self.in_auth = code.starts_with("334");
            let done = match stage {
                Stage::Mail(line) if code.starts_with('2') => {
                    self.mail = line;
                    self.rcpts.clear();
                    true
                }
                Stage::Rcpt(line) if code.starts_with('2') => {
                    self.rcpts.push(line);
                    true
                }
                Stage::Data if code.starts_with('3') => self.data(),
                _ => true,
            };
            if !done {
                return;
            }
        }
    }

    fn stage(&self, line: String) -> Stage {
        if self.in_auth {
            return Stage::Auth(line);
        }
        match line.split(' ').next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" | "LHLO" => Stage::Ehlo,
            "STARTTLS" => Stage::StartTls,
            "AUTH" => Stage::Auth(line),
            "MAIL" => Stage::Mail(line),
            "RCPT" => Stage::Rcpt(line),
            "DATA" => Stage::Data,
            "RSET" => Stage::Rset,
            "QUIT" => Stage::Quit,
            _ => Stage::Other(line),
        }
    }

    /// `false` when the conversation is over.
    fn data(&mut self) -> bool {
        let mut octets = Vec::new();
        loop {
            let Some(line) = self.line() else { return false };
            if line == b".\r\n" {
                break;
            }
            octets.extend_from_slice(&line);
        }
        let taken = Taken { mail: self.mail.clone(), rcpts: std::mem::take(&mut self.rcpts), octets: octets.clone() };
        // What is answered with 250 is recorded before the answer, as a next hop would store it.
        let act = (self.script)(&Stage::Dot(octets.clone()));
        // Without a recipient there is nothing to take (RFC 2920 §3.1: a pipelining client then sends only the dot).
        let takes = !taken.rcpts.is_empty() && matches!(&act, Act::Say(reply) | Act::SayAndClose(reply) if reply.starts_with('2'));
        let mut seen = self.seen.lock().unwrap();
        seen.stages.push(Stage::Dot(octets));
        if takes {
            seen.taken.push(taken);
        }
        drop(seen);
        self.perform(act).is_some()
    }

    fn act(&mut self, stage: Stage) -> Option<String> {
        let act = (self.script)(&stage);
        self.seen.lock().unwrap().stages.push(stage);
        self.perform(act)
    }

    fn perform(&mut self, act: Act) -> Option<String> {
        match act {
            Act::Say(reply) => {
                self.socket.write_all(format!("{}\r\n", reply.replace('\n', "\r\n")).as_bytes()).ok()?;
                Some(reply)
            }
            Act::SayAndClose(reply) => {
                let _ = self.socket.write_all(format!("{reply}\r\n").as_bytes());
                None
            }
            Act::Reset => None,
            Act::Hang => {
                let _ = self.socket.read(&mut [0; 1]);
                thread::sleep(Duration::from_secs(600));
                None
            }
        }
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        let count = self.reader.read_until(b'\n', &mut line).ok()?;
        self.seen.lock().unwrap().wire[self.number].extend_from_slice(&line);
        (count > 0).then_some(line)
    }
}
