//! A gateway in a temporary directory, with a raw sink behind it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use waxseal::admin::init;
use waxseal::clock::{Clock, Reading};
use waxseal::config::Configuration;
use waxseal::gateway::Gateway;

use crate::crash::raw_sink::{RawSink, Taken, obliging};
use crate::ports::free_port;

/// Everything that one scenario plays with.
pub struct House {
    pub directory: TempDir,
    pub sink: RawSink,
    pub smtp: u16,
    pub web: u16,
    pub admin: u16,
    hands: Arc<AtomicI64>,
    jumps: Arc<AtomicI64>,
    running: Option<Running>,
}

struct Running {
    runtime: tokio::runtime::Runtime,
    task: tokio::task::JoinHandle<()>,
    stop: tokio::sync::oneshot::Sender<()>,
}

impl House {
    /// Set up and running, in front of a next hop that takes everything.
    pub fn open() -> Self {
        Self::before(RawSink::start(obliging))
    }

    /// The same in front of this next hop.
    pub fn before(sink: RawSink) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (smtp, web, admin) = (free_port(), free_port(), free_port());
        let arguments = init::Arguments {
            directory: directory.path().join("set-up"),
            domain: vec![String::from("example.org")],
            name: Some(String::from("Example Organisation")),
            hostname: Some(String::from("gateway.example.org")),
            next_hop: Some(sink.address.to_string()),
            smtp: Some(format!("127.0.0.1:{smtp}")),
            web: Some(format!("127.0.0.1:{web}")),
            base_url: Some(format!("http://127.0.0.1:{web}")),
            admin: Some(format!("127.0.0.1:{admin}")),
            relay_network: Vec::new(),
            store: None,
            yes: true,
        };
        init::run(&arguments, &mut std::io::sink()).unwrap();
        let mut house = Self { directory, sink, smtp, web, admin, hands: Arc::default(), jumps: Arc::default(), running: None };
        house.start();
        house
    }

    pub fn path(&self, inside: &str) -> PathBuf {
        self.directory.path().join("set-up").join(inside)
    }

    /// Opens the stores and the ports.
    pub fn start(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let configuration = Configuration::read(&self.path("waxseal.toml")).unwrap();
        let (hands, jumps) = (self.hands.clone(), self.jumps.clone());
        #[allow(clippy::disallowed_methods)]
        let clock = Clock::reading(move || {
            let passed = Timestamp::now() + SignedDuration::from_secs(hands.load(Ordering::Relaxed));
            let wall = passed + SignedDuration::from_secs(jumps.load(Ordering::Relaxed));
            Reading { wall, uptime: passed.duration_since(Timestamp::UNIX_EPOCH) }
        });
        let _inside = runtime.enter();
        let ready = Gateway::open(configuration, clock).unwrap().bind().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let task = runtime.spawn(async move {
            ready
                .run(async move {
                    let _ = stopped.await;
                })
                .await
                .unwrap();
        });
        drop(_inside);
        for port in [self.smtp, self.web] {
            crate::crash::raw_sink::wait_until(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
        }
        self.running = Some(Running { runtime, task, stop });
    }

    /// Drains and closes everything.
    pub fn stop(&mut self) {
        if let Some(Running { runtime, task, stop }) = self.running.take() {
            let _ = stop.send(());
            runtime.block_on(task).unwrap();
        }
    }

    /// Sets the machine's clock wrong, or right again: no time passes.
    pub fn jump_clock(&self, hours: i64) {
        self.jumps.fetch_add(hours * 3600, Ordering::Relaxed);
    }

    /// Lets time pass.
    pub fn turn_clock(&self, hours: i64) {
        self.hands.fetch_add(hours * 3600, Ordering::Relaxed);
    }

    /// One transaction; the reply to its last step.
    pub fn send(&self, from: &str, to: &[&str], message: &str) -> String {
        self.send_octets(from, to, message.replace('\n', "\r\n").as_bytes())
    }

    /// The same with octets as they are.
    pub fn send_octets(&self, from: &str, to: &[&str], message: &[u8]) -> String {
        self.transact(&format!("MAIL FROM:<{from}>"), to, message)
    }

    /// The same with the whole MAIL line.
    pub fn transact(&self, mail: &str, to: &[&str], message: &[u8]) -> String {
        let mut client = Client::connect(self.smtp);
        client.ask("EHLO client.example.org");
        let said = client.ask(mail);
        if !said.starts_with("250") {
            return said;
        }
        for recipient in to {
            let said = client.ask(&format!("RCPT TO:<{recipient}>"));
            if !said.starts_with("250") {
                return said;
            }
        }
        assert!(client.ask("DATA").starts_with("354"));
        let mut octets = Vec::new();
        for line in message.split_inclusive(|&octet| octet == b'\n') {
            if line.starts_with(b".") {
                octets.push(b'.');
            }
            octets.extend_from_slice(line);
        }
        // RFC 5321 §4.1.1.4: the dot stands on a line of its own, so the message ends with a line end.
        if !octets.is_empty() && !octets.ends_with(b"\r\n") {
            octets.extend_from_slice(b"\r\n");
        }
        octets.extend_from_slice(b".\r\n");
        client.stream.get_mut().write_all(&octets).unwrap();
        client.reply()
    }

    /// Waits for so many messages at the next hop; those for one recipient, by its address.
    pub fn arrived(&self, count: usize) -> Vec<Taken> {
        self.sink.wait_for(count)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(Running { runtime, .. }) = self.running.take() {
            runtime.shutdown_background();
        }
    }
}

struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        // A gateway that says nothing fails the test instead of stopping all of them.
        stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        let mut client = Self { stream: BufReader::new(stream) };
        assert!(client.reply().starts_with("220"));
        client
    }

    fn ask(&mut self, line: &str) -> String {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.reply()
    }

    fn reply(&mut self) -> String {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            let last = line.as_bytes().get(3) != Some(&b'-');
            text.push_str(&line);
            if last {
                return text;
            }
        }
    }
}

/// The message that arrived for this address.
pub fn for_recipient<'a>(taken: &'a [Taken], address: &str) -> &'a Taken {
    let found = taken.iter().find(|taken| taken.rcpts.iter().any(|line| line.contains(address)));
    found.unwrap_or_else(|| panic!("nothing arrived for {address}"))
}

/// The link in a message.
pub fn link(taken: &Taken) -> Option<String> {
    let text = String::from_utf8_lossy(&taken.octets).replace("=\r\n", "");
    let (_, after) = text.split_once("/m/")?;
    let secret: String = after.chars().take_while(char::is_ascii_alphanumeric).collect();
    (secret.len() == 32).then_some(secret)
}

/// The octets below the gateway's own Received field.
pub fn below_received(octets: &[u8]) -> &[u8] {
    assert!(octets.starts_with(b"Received:"), "no trace field");
    let mut at = 0;
    loop {
        at += octets[at..].iter().position(|&octet| octet == b'\n').unwrap() + 1;
        if !matches!(octets[at], b' ' | b'\t') {
            return &octets[at..];
        }
    }
}

pub fn contains(octets: &[u8], what: &str) -> bool {
    octets.windows(what.len()).any(|window| window.eq_ignore_ascii_case(what.as_bytes()))
}
