//! A small Internet of its own on loopback: signed zones below a root of our own (`named`), and a resolver that checks
//! them (`unbound`).

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use waxseal::net::dns::{Dnssec, Options};

use crate::ports::free_port;

/// What stands in the zones; each line a record, names below the zone.
#[derive(Clone, Default)]
pub struct Content {
    /// `signed.example`
    pub signed: String,
    /// `plain.example`, of which the parent proves that it is not signed.
    pub plain: String,
    /// `spoiled.example`: signed, and 127.0.0.66 is 127.0.0.67 since.
    pub spoiled: String,
}

/// The running servers; they end with it.
pub struct Zones {
    /// Has the zones; checks nothing.
    pub authority: SocketAddr,
    /// Asks the authority and checks its signatures.
    pub resolver: SocketAddr,
    /// The key of the root.
    pub anchor: PathBuf,
    processes: Vec<Child>,
    _directory: tempfile::TempDir,
}

impl Zones {
    pub fn serve(content: &Content) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        let sign = |name: &str, records: &str, from: &[&str]| sign(&path, name, records, from);
        sign("signed.example", &content.signed, &[]);
        sign("spoiled.example", &content.spoiled, &[]);
        sign("example", "ns.example. A 127.0.0.1\nplain NS ns\nsigned NS ns\nspoiled NS ns\n", &["signed.example", "spoiled.example"]);
        sign(".", "ns.example. A 127.0.0.1\nexample. NS ns.example.\n", &["example"]);
        fs::write(path.join("plain.example.signed"), zone(&content.plain)).unwrap();
        let spoiled = fs::read_to_string(path.join("spoiled.example.signed")).unwrap();
        fs::write(path.join("spoiled.example.signed"), spoiled.replace("127.0.0.66", "127.0.0.67")).unwrap();
        let anchor = path.join("anchor.key");
        fs::write(&anchor, key_of_the_root(&path)).unwrap();
        let (authority, resolver) = (free_address(), free_address());
        fs::write(path.join("named.conf"), named(&path, authority)).unwrap();
        fs::write(path.join("unbound.conf"), unbound(&path, authority, resolver)).unwrap();
        let start = |program: &str, arguments: &[&str]| {
            let log = fs::File::create(path.join(program)).unwrap();
            let mut command = Command::new(program);
            command.args(arguments).current_dir(&path).stdout(log.try_clone().unwrap()).stderr(log);
            command.spawn().unwrap_or_else(|error| panic!("{program}: {error}; tests/install.sh test installs it"))
        };
        let processes = vec![start("named", &["-g", "-n", "1", "-c", "named.conf"]), start("unbound", &["-d", "-c", "unbound.conf"])];
        let zones = Self { authority, resolver, anchor, processes, _directory: directory };
        [authority, resolver].into_iter().for_each(|server| wait_for(server, &path));
        zones
    }
}

impl Zones {
    /// The resolver's word is believed.
    pub fn by_word(&self) -> Options {
        Options { servers: vec![self.resolver], refuse: vec![], ..Options::default() }
    }

    /// Nobody's word: what the authority says is checked.
    pub fn by_own_check(&self) -> Options {
        Options {
            servers: vec![self.authority],
            dnssec: Dnssec::Own,
            trust_anchor: Some(self.anchor.clone()),
            refuse: vec![],
            ..Options::default()
        }
    }
}

impl Drop for Zones {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn zone(records: &str) -> String {
    format!("$TTL 60\n@ SOA ns.example. host.example. 1 3600 600 86400 60\n@ NS ns.example.\n{records}")
}

/// Writes `NAME.signed`, with the digests of its children's keys.
fn sign(directory: &Path, name: &str, records: &str, children: &[&str]) {
    let file = if name == "." { "root" } else { name };
    let digests = children.iter().map(|child| fs::read_to_string(directory.join(format!("dsset-{child}."))).unwrap());
    fs::write(directory.join(file), zone(records) + &digests.collect::<String>()).unwrap();
    for flags in [&["-f", "KSK"][..], &[]] {
        run(directory, "dnssec-keygen", &[&["-q", "-a", "ECDSAP256SHA256"], flags, &[name]].concat());
    }
    // As the large zones of the Internet: names as digests, and those of unsigned children left out (RFC 5155 §6).
    let denial: &[&str] = match name {
        "example" => &["-3", "-", "-H", "0", "-A"],
        "spoiled.example" => &["-3", "-", "-H", "0"],
        _ => &[],
    };
    run(directory, "dnssec-signzone", &[&["-q", "-S", "-o", name], denial, &[file]].concat());
}

fn run(directory: &Path, program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).current_dir(directory).stdin(Stdio::null()).output();
    let done = done.unwrap_or_else(|error| panic!("{program}: {error}; tests/install.sh test installs it"));
    assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
}

fn key_of_the_root(directory: &Path) -> String {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let keys = files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("K.+") && path.extension().unwrap() == "key");
    let texts = keys.map(|path| fs::read_to_string(path).unwrap());
    texts.flat_map(|text| text.lines().filter(|line| line.contains(" 257 ")).map(|line| format!("{line}\n")).collect::<Vec<_>>()).collect()
}

fn named(directory: &Path, authority: SocketAddr) -> String {
    let zones = [
        (".", "root"),
        ("example", "example"),
        ("signed.example", "signed.example"),
        ("spoiled.example", "spoiled.example"),
        ("plain.example", "plain.example"),
    ];
    let zones = zones.map(|(name, file)| format!("zone \"{name}\" {{ type primary; file \"{file}.signed\"; }};\n")).concat();
    format!(
        "options {{ directory \"{}\"; listen-on port {} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; dnssec-validation no;
            minimal-responses yes; notify no; pid-file none; session-keyfile none; }};\ncontrols {{}};\n{zones}",
        directory.display(),
        authority.port()
    )
}

fn unbound(directory: &Path, authority: SocketAddr, resolver: SocketAddr) -> String {
    let stub = |name: &str| format!("stub-zone:\n  name: \"{name}\"\n  stub-addr: 127.0.0.1@{}\n", authority.port());
    let stubs = [".", "example.", "signed.example.", "spoiled.example.", "plain.example."].map(stub).concat();
    format!(
        "server:\n  directory: \"{}\"\n  chroot: \"\"\n  username: \"\"\n  pidfile: \"\"\n  use-syslog: no\n  interface: 127.0.0.1\n  port: {}\n  do-ip6: no
  do-not-query-localhost: no\n  qname-minimisation: no\n  module-config: \"validator iterator\"\n  trust-anchor-file: \"anchor.key\"\n  root-hints: \"\"
remote-control:\n  control-enable: no\n{stubs}",
        directory.display(),
        resolver.port()
    )
}

/// Free for UDP and TCP.
fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

fn wait_for(server: SocketAddr, directory: &Path) {
    let end = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(server).is_err() {
        let logs = || ["named", "unbound"].map(|log| fs::read_to_string(directory.join(log)).unwrap_or_default()).concat();
        assert!(Instant::now() < end, "{server} does not answer: {}", logs());
        std::thread::sleep(Duration::from_millis(20));
    }
}
