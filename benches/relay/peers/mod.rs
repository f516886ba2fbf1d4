//! What is measured: each started on a free port of 127.0.0.1 in a folder of its own, ended when dropped.

pub mod haraka;
pub mod nginx;
pub mod postfix;
pub mod waxseal;

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use crate::process::Process;

/// One of them.
pub struct Peer {
    pub name: &'static str,
    pub port: u16,
    /// None where the generator talks to the sink itself.
    pub process: Option<Process>,
    /// How mail that waits is made to go now.
    pub hurry: Option<Box<dyn Fn()>>,
}

/// What all of them share.
pub struct Site {
    /// Where each has a folder.
    pub folder: PathBuf,
    /// The port of the next hop.
    pub sink: u16,
    /// The certificate that all of them show, and its key.
    pub certificate: (PathBuf, PathBuf),
}

impl Peer {
    /// The generator and the sink alone: what the two of them can do.
    pub fn direct(sink: u16) -> Self {
        Self { name: "direct", port: sink, process: None, hurry: None }
    }

    /// The process at the root of all of this peer.
    pub fn root(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }
}

impl Site {
    /// A folder for a peer, which its daemons may enter after they gave up root.
    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.join(name);
        std::fs::create_dir(&folder).unwrap();
        folder
    }
}

/// Below the ports that the system gives to outgoing connections, so that one that is closed for a while stays free.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(FIRST_PORT);
    loop {
        let port = NEXT.fetch_add(1, Ordering::SeqCst);
        assert!(port < FIRST_PORT + 1000, "there is no free port from {FIRST_PORT} on");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Until somebody greets.
fn wait_for(port: u16, log: &Path) {
    let start = Instant::now();
    while greeting(port).is_none_or(|code| &code != b"220") {
        if start.elapsed() > START_MAX {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            panic!("nobody greets on port {port}; the log says:\n{log}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn greeting(port: u16) -> Option<[u8; 3]> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(START_MAX)).ok()?;
    let mut code = [0; 3];
    stream.read_exact(&mut code).ok()?;
    Some(code)
}

/// A peer that is not there is no measurement.
fn required(path: &str, peer: &str) {
    assert!(
        Path::new(path).exists(),
        "{peer} is not installed: there is no {path}\n    tests/install.sh bench installs all peers on Debian"
    );
}

const FIRST_PORT: u16 = 21_000;
const START_MAX: Duration = Duration::from_secs(60);
