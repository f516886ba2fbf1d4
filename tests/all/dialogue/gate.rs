//! A server on a free port, with an intake that hands every message to a sink: the only way to a receipt is to be relayed.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use waxseal::clock::Clock;
use waxseal::mail::{Admd, Domain, EnhancedStatus, Envelope, Mailbox};
use waxseal::net::tls::{Certificates, server_config};
use waxseal::smtp::client::{Answer, Body, Connection, Hop, Protocol, Security};
use waxseal::smtp::rights::{Grants, Rights};
use waxseal::smtp::server::{Server, Setup, Start};
use waxseal::smtp::users::Users;
use waxseal::smtp::{Intake, Options, Peer, Receipt, Refusal, Transaction};
use waxseal::store::Fault;

/// A running server.
pub struct Gate {
    pub address: SocketAddr,
    pub taken: Arc<Mutex<Vec<Taken>>>,
    pub directory: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

/// A message that arrived.
#[derive(Debug, Clone)]
pub struct Taken {
    pub envelope: Envelope,
    pub octets: Vec<u8>,
    pub peer: Peer,
}

/// What a gate is made with, beside its options.
#[derive(Debug, Clone, Copy, Default)]
pub struct With {
    pub tls: bool,
    pub users: bool,
    pub tls_first: bool,
}

impl Gate {
    pub async fn open(options: Options, with: With) -> Self {
        Self::granting(options, &Grants::default(), with).await
    }

    /// The same with rights that hang on certificates.
    pub async fn granting(options: Options, grants: &Grants, with: With) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let rights = Rights::load(&options.relay_networks, grants).unwrap();
        let ask = rights.ask();
        let intake = Arc::new(Relaying { taken: Arc::clone(&taken), sink: sink().await });
        let setup = Setup {
            admd: admd(),
            rights: Arc::new(arc_swap::ArcSwap::from_pointee(rights)),
            options,
            clock: Clock::new(|| Timestamp::from_second(1_700_000_000).unwrap()),
            users: with.users.then(|| users(directory.path())),
            tls: with.tls.then(|| server_config(certificates(directory.path()), &[], ask).unwrap()),
            spool: directory.path().to_owned(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let start = if with.tls_first { Start::Tls } else { Start::Plain };
        let running = tokio::spawn(Server::new(intake, setup).run(listener, start, async move {
            let _ = stopped.await;
        }));
        Self { address, taken, directory, stop: Some(stop), running }
    }

    pub fn mails(&self) -> usize {
        self.taken.lock().unwrap().len()
    }

    pub fn stop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
    }

    pub async fn stopped(self) {
        self.running.await.unwrap();
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

pub fn admd() -> Admd {
    Admd {
        domains: vec![Domain::parse("example.org").unwrap()],
        hostname: Domain::parse("gate.example.org").unwrap(),
        postmaster: Mailbox::parse("postmaster@example.org").unwrap(),
    }
}

pub fn options(text: &str) -> Options {
    toml::from_str(text).unwrap()
}

pub fn certificates(directory: &Path) -> Arc<Certificates> {
    let pair = rcgen::generate_simple_self_signed(vec!["gate.example.org".to_owned()]).unwrap();
    let folder = directory.join("certs/gate.example.org");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("fullchain.pem"), pair.cert.pem()).unwrap();
    std::fs::write(folder.join("privkey.pem"), pair.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(folder.join("privkey.pem"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    Certificates::load(&directory.join("certs")).unwrap()
}

/// ann, whose password is `swordfish`; she may send as sales as well.
fn users(directory: &Path) -> Arc<Users> {
    let phc = waxseal::crypto::password::hash(&waxseal::secret::Secret::new("swordfish".to_owned()));
    let file = directory.join("users");
    std::fs::write(&file, format!("ann@example.org:{phc}:sales@example.org\n")).unwrap();
    Arc::new(Users::load(&file).unwrap())
}

struct Relaying {
    taken: Arc<Mutex<Vec<Taken>>>,
    sink: SocketAddr,
}

impl Intake for Relaying {
    async fn accept(&self, transaction: Transaction) -> Result<Receipt, Refusal> {
        let Transaction { envelope, message, peer, .. } = transaction;
        match envelope.recipients[0].forward_path.local_part() {
            "forbidden" => return Err(Refusal::Forbidden { because: "no cards by mail".into() }),
            "malformed" => {
                return Err(Refusal::Malformed { status: EnhancedStatus::new(5, 6, 0), because: "two boundaries".into() });
            }
            "unavailable" => return Err(Refusal::Unavailable(Fault("the disk is on fire".into()))),
            "full" => return Err(Refusal::Full),
            "slow" => std::future::pending().await,
            _ => {}
        }
        let hop = Hop { host: "127.0.0.1".into(), port: self.sink.port(), address: None, source: None, protocol: Protocol::Smtp };
        let hello = Domain::parse("gate.example.org").unwrap();
        let mut connection = Connection::open(&hop, &hello, &Security::None, None).await.unwrap();
        let size = message.bytes.len() as u64;
        let body = Body::Memory(vec![message.bytes.clone()]);
        let answer = connection.send(&envelope, body, size).await.unwrap().remove(0);
        self.taken.lock().unwrap().push(Taken { envelope, octets: message.bytes.to_vec(), peer });
        match answer {
            Answer::Accepted(accepted) => Ok(Receipt::Relayed(accepted)),
            Answer::Temporary(said) | Answer::Permanent(said) => Err(Refusal::Unavailable(Fault(said.words))),
        }
    }

    fn has_room(&self, size: u64) -> bool {
        size != 777
    }
}

/// A next hop that takes everything and keeps nothing.
async fn sink() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(swallow(stream));
        }
    });
    address
}

async fn swallow(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 sink\r\n").await?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let reply: &[u8] = match line.get(..4).unwrap_or_default() {
            b"EHLO" => b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 DSN\r\n",
            b"DATA" => b"354 go on\r\n",
            _ => b"250 2.0.0 ok\r\n",
        };
        stream.write_all(reply).await?;
        if line.starts_with(b"DATA") {
            while line != b".\r\n" {
                line.clear();
                if stream.read_until(b'\n', &mut line).await? == 0 {
                    return Ok(());
                }
            }
            stream.write_all(b"250 2.0.0 taken\r\n").await?;
        }
    }
}

/// One reply of the server, all its lines; none when it hung up.
pub async fn reply(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = Vec::new();
        loop {
            match stream.read_u8().await {
                Ok(b'\n') => break,
                Ok(octet) => line.push(octet),
                Err(_) => return None,
            }
        }
        let line = String::from_utf8(line).unwrap().trim_end_matches('\r').to_owned();
        let last = line.as_bytes().get(3) != Some(&b'-');
        lines.push(line);
        if last {
            return Some(lines);
        }
    }
}

/// Says a line and gives back the last line of the reply.
pub async fn ask(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), line: &str) -> String {
    say(stream, format!("{line}\r\n").as_bytes()).await.unwrap();
    last(stream).await
}

/// Sends all of it. Under TLS what is written may lie in the session until it is flushed.
pub async fn say(stream: &mut (impl AsyncWriteExt + Unpin), octets: &[u8]) -> std::io::Result<()> {
    stream.write_all(octets).await?;
    stream.flush().await
}

/// The last line of the next reply, or `closed`.
pub async fn last(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    reply(stream).await.and_then(|mut lines| lines.pop()).unwrap_or_else(|| "closed".into())
}
