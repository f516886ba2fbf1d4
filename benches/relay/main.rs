//! What a relay costs, beside its peers and in the same run: messages a second, latencies, CPU, memory;
//! then what the gateway takes to start, to wait, to change its policies; last, one line for each goal.
//!
//! ```text
//! make bench              a quarter of an hour
//! make bench QUICK=1      four minutes
//! make bench FULL=1       some hours: a million parcels
//! cargo bench --bench relay -- [--quick | --full] [--program another/waxseal]
//! ```
//! The gateway looks for 10,000 words and 100 patterns and asks 50 policies; its peers look at nothing. All
//! of them, generator and next hop run on 127.0.0.1 and share the machine: ratios count. `accept` is from
//! the end of DATA to the 250, `arrive` from there to the next hop; messages a second count from the first
//! connection to the last arrival. Every message is looked at on arrival: one that is lost, changed, cut or
//! doubled ends the run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice, clippy::print_stdout)]

mod client;
mod goals;
mod inside;
mod language;
mod large;
mod ledger;
mod load;
mod mail;
#[allow(dead_code)]
#[path = "../../tests/all/extraction/make.rs"]
mod make;
mod measure;
mod night;
mod peers;
mod process;
mod rows;
mod rules;
mod sink;
mod standing;
mod table;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use language::Language;
use ledger::Until;
use mail::{Kind, Mails};
use measure::Stage;
use peers::postfix::Role;
use peers::waxseal::Gateway;
use peers::{Peer, Site, haraka, nginx, postfix};
use rows::{Extent, FILE, HUGE, MIDDLE, Row, SMALL, of_the_day};
use sink::Sink;
use table::Table;

// What is measured through the library has the gateway's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let arguments = Arguments::read();
    raise_descriptors();
    // Not in /tmp, which may be memory: what is kept must be written.
    let folder = tempfile::Builder::new().prefix("waxseal-bench").tempdir_in("/var/tmp").unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let language = Language::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let sink = runtime.block_on(Sink::start());
    let gateway = Gateway::set_up(&arguments.program, (folder.path(), sink.port), &language);
    let site = Site { folder: folder.path().to_owned(), sink: sink.port, certificate: gateway.certificate() };
    let mut stage = Stage::new(runtime, sink, Mails::new(&language), arguments.extent.pace());
    let mut table = Table::default();
    judge(&mut stage, &gateway, folder.path());
    standing::memory(&stage, &gateway, &mut table);
    let mut peers = vec![
        Peer::direct(site.sink),
        nginx::start(&site),
        postfix::start(&site, Role::Proxy),
        postfix::start(&site, Role::Relay),
        postfix::start(&site, Role::Expressions),
        haraka::start(&site),
        gateway.start(),
    ];
    warm_up(&mut stage, &peers);
    for row in of_the_day(arguments.extent) {
        let names = row.peers();
        let taking_part: Vec<&Peer> = names.iter().filter_map(|name| peers.iter().find(|peer| peer.name == *name)).collect();
        let (figures, _) = stage.measure(row, &taking_part);
        table.put(row, &names, &figures);
    }
    standing::reload(&mut stage, &gateway, &mut table);
    night::pass(&mut stage, (&gateway, &mut peers), arguments.extent, &mut table);
    inside::measure(&gateway, (&language, &mut stage.mails), &mut table);
    if arguments.large == Large::Wanted {
        let waxseal = peers.iter_mut().find(|peer| peer.name == "waxseal").unwrap();
        large::measure(&mut stage, (&gateway, waxseal), &mut table);
    }
    goals::print(&table);
}

/// The set-up decides as the rows suppose, or they measure something else.
fn judge(stage: &mut Stage<'_>, gateway: &Gateway, folder: &Path) {
    let file = folder.join("message.eml");
    for (kind, verdict) in [(SMALL, "pass"), (MIDDLE, "pass"), (HUGE, "pass"), (Kind::Html(100 << 10), "pass"), (FILE, "secure-files")] {
        std::fs::write(&file, stage.mails.of(kind).octets("0.0")).unwrap();
        let told = gateway.ask(&["explain", file.to_str().unwrap(), "--from", "ann@example.org", "--to", "bob@example.net"]);
        assert!(told.contains(&format!("bob@example.net: {verdict}")), "{kind:?} should come out as {verdict}:\n{told}");
    }
}

/// Processes that are started at need are there before anything counts.
fn warm_up(stage: &mut Stage<'_>, peers: &[Peer]) {
    for peer in peers {
        let run = stage.send(Row::fast(SMALL, 100), peer, Until::Count(400));
        stage.await_arrivals(&run, peer.name);
        stage.sink.ledger.close(&run, peer.name);
    }
}

/// Every connection takes one here and one or two in a peer, which inherits what it may have.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    assert!(limit.maximum.is_none_or(|most| most >= DESCRIPTORS), "{DESCRIPTORS} open files are needed\n    ulimit -Hn {DESCRIPTORS}");
}

struct Arguments {
    program: PathBuf,
    extent: Extent,
    large: Large,
}

#[derive(PartialEq, Eq)]
enum Large {
    Wanted,
    LeftOut,
}

impl Arguments {
    /// `cargo bench` adds `--bench`, which says nothing here.
    fn read() -> Self {
        let words: Vec<String> = std::env::args().collect();
        let given = |name: &str| words.iter().position(|word| word == name);
        let program = given("--program").and_then(|at| words.get(at + 1)).map_or(env!("CARGO_BIN_EXE_waxseal"), String::as_str);
        Self {
            program: program.into(),
            extent: if given("--quick").is_some() { Extent::Quick } else { Extent::Usual },
            large: if given("--full").is_some() { Large::Wanted } else { Large::LeftOut },
        }
    }
}

impl Extent {
    /// How long messages are begun in a run, and how many runs there are.
    const fn pace(self) -> (Duration, usize) {
        match self {
            Self::Quick => (Duration::from_millis(500), 3),
            Self::Usual => (Duration::from_millis(600), 3),
        }
    }
}

const DESCRIPTORS: u64 = 20_000;
