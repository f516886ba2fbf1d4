//! One row through all of its peers, several times in turns, so that what else the machine does hits
//! all of them alike; then the median of each figure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::client::Security;
use crate::ledger::{Arrives, Run, Until};
use crate::load::Load;
use crate::mail::Mails;
use crate::peers::Peer;
use crate::process::{self, Peak};
use crate::rows::{Path, Row, Tls};
use crate::sink::Sink;

/// What every measurement takes place in.
pub struct Stage<'l> {
    pub runtime: Runtime,
    pub sink: Sink,
    pub mails: Mails<'l>,
    /// How long messages are begun in one run.
    pub time: Duration,
    /// Runs of each peer in each row.
    pub rounds: usize,
    tls: Security,
}

/// One peer in one row.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Messages a second, to the last arrival; on the spooled path to the last 250.
    pub rate: f64,
    /// Milliseconds from the end of DATA to the 250, median and 99th percentile.
    pub accept: [f64; 2],
    /// Milliseconds from the end of DATA to the arrival.
    pub arrival: [f64; 2],
    /// Milliseconds of CPU a message, of all processes.
    pub cpu: f64,
    /// Megabytes, at the most.
    pub memory: f64,
}

impl<'l> Stage<'l> {
    pub fn new(runtime: Runtime, sink: Sink, mails: Mails<'l>, (time, rounds): (Duration, usize)) -> Self {
        Self { runtime, sink, mails, time, rounds, tls: Security::start_tls() }
    }

    /// The medians of each peer of a row, and the runs that are still open: those whose messages wait.
    pub fn measure(&mut self, row: Row, peers: &[&Peer]) -> (Vec<Figures>, Vec<(&'static str, Arc<Run>)>) {
        let mut figures = vec![Vec::new(); peers.len()];
        let mut open = Vec::new();
        for round in 0..self.rounds {
            for turn in 0..peers.len() {
                let which = (turn + round) % peers.len();
                let (found, run) = self.once(row, peers[which]);
                figures[which].push(found);
                match row.path {
                    Path::Fast | Path::Sealing => self.sink.ledger.close(&run, peers[which].name),
                    Path::Spooled => open.push((peers[which].name, run)),
                }
            }
        }
        (figures.iter().map(|runs| Figures::median(runs)).collect(), open)
    }

    /// Sends messages in the way of a row until there are enough.
    pub fn send(&mut self, row: Row, peer: &Peer, until: Until) -> Arc<Run> {
        let is_sealed = row.kind.is_sealed() && peer.name == "waxseal";
        let arrives = if is_sealed { Arrives::AsLink } else { Arrives::AsSent };
        let run = self.sink.ledger.open((row.kind, self.mails.of(row.kind)), arrives, until);
        let security = match row.tls {
            Tls::Off => Security::Plain,
            Tls::On => self.tls.clone(),
        };
        let load = Load { port: peer.port, sessions: row.sessions, per_connection: row.per_connection, security };
        self.block_on(load.send(&run));
        run
    }

    /// The end of something, unless somebody interrupts: then peers end too, some of which have left our process group.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(async {
            tokio::select! {
                done = work => done,
                _ = tokio::signal::ctrl_c() => panic!("interrupted"),
            }
        })
    }

    /// Waits until every message of a run is there.
    pub fn await_arrivals(&self, run: &Run, peer: &str) {
        let mut last = (run.arrivals(), Instant::now());
        while !run.is_complete() {
            // A timer belongs to the runtime that it is made in.
            self.block_on(async { tokio::time::sleep(Duration::from_millis(2)).await });
            if run.arrivals() > last.0 {
                last = (run.arrivals(), Instant::now());
            }
            assert!(last.1.elapsed() < PATIENCE, "{peer}, {}: {} of {} messages arrived", run.kind.name(), last.0, run.count());
        }
    }

    fn once(&mut self, row: Row, peer: &Peer) -> (Figures, Arc<Run>) {
        let before = peer.root().map(process::cpu);
        let peak = peer.root().map(Peak::watch);
        let run = self.send(row, peer, Until::Time(self.time));
        if row.path != Path::Spooled {
            self.await_arrivals(&run, peer.name);
        }
        // What is settled after the arrival costs too.
        std::thread::sleep(SETTLED);
        let cpu = peer.root().map(process::cpu).unwrap_or_default().saturating_sub(before.unwrap_or_default());
        let memory = peak.map_or(0, Peak::octets);
        let figures = Figures {
            rate: if row.path == Path::Spooled { run.acceptance_rate() } else { run.arrival_rate() },
            accept: run.acceptance(),
            arrival: run.arrival(),
            cpu: cpu.as_secs_f64() * 1000.0 / run.count() as f64,
            memory: memory as f64 / 1e6,
        };
        (figures, run)
    }
}

impl Figures {
    fn median(runs: &[Self]) -> Self {
        let of = |figure: &dyn Fn(&Self) -> f64| median(runs.iter().map(figure).collect());
        Self {
            rate: of(&|run| run.rate),
            accept: [of(&|run| run.accept[0]), of(&|run| run.accept[1])],
            arrival: [of(&|run| run.arrival[0]), of(&|run| run.arrival[1])],
            cpu: of(&|run| run.cpu),
            memory: runs.iter().map(|run| run.memory).fold(0.0, f64::max),
        }
    }
}

/// The middle one, or the mean of the middle two.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len() % 2 == 1 { figures[middle] } else { (figures[middle - 1] + figures[middle]) / 2.0 }
}

/// Queues write and delete after the 250 for about so long.
const SETTLED: Duration = Duration::from_millis(200);
/// A run in which nothing arrives for so long is broken.
const PATIENCE: Duration = Duration::from_secs(120);
