//! What a relay costs: messages a second, time to the 250, CPU a message, beside the generator talking
//! to the sink directly and beside Postfix, in the same run.
//!
//! ```text
//! cargo bench --bench relay -- [--program target/release/waxseal] [--messages 2000]
//! ```
//! One message a connection, one recipient, plain SMTP on loopback. `accept` is from the end of DATA to
//! the 250; messages a second count from the first connection to the last arrival at the sink.
//! Generator and sink share the machine with what they measure: ratios count.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice, clippy::print_stdout)]

mod load;
mod peers;
mod sink;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use load::{Load, Mail};
use peers::Peer;
use sink::Sink;

fn main() {
    let arguments = Arguments::read();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let sink = runtime.block_on(Sink::start());
    let mut peers = vec![Peer::direct(sink.port)];
    peers.extend(Peer::waxseal(&arguments.program, sink.port));
    peers.extend(Peer::postfix(sink.port));
    println!(
        "{:<10} {:<10} {:>7} {:>8} {:>9} {:>9} {:>9} {:>9}",
        "peer", "mail", "octets", "sessions", "msg/s", "p50 ms", "p99 ms", "CPU ms"
    );
    for (mail, share) in MAILS {
        for sessions in SESSIONS {
            for peer in &peers {
                let messages = (arguments.messages / share / if sessions == 1 { 4 } else { 1 }).max(sessions);
                let row = runtime.block_on(measure(peer, &sink, &Load { port: peer.port, mail, sessions, messages }));
                println!(
                    "{:<10} {:<10} {:>7} {sessions:>8} {:>9.0} {:>9.2} {:>9.2} {:>9.3}",
                    peer.name,
                    mail.name(),
                    mail.size(),
                    row.per_second,
                    row.p50,
                    row.p99,
                    row.cpu
                );
            }
        }
    }
}

struct Row {
    per_second: f64,
    p50: f64,
    p99: f64,
    cpu: f64,
}

async fn measure(peer: &Peer, sink: &Sink, load: &Load) -> Row {
    let before = (sink.arrived(), peer.cpu());
    let start = Instant::now();
    let mut accepts = load.run().await;
    let expected = before.0 + load.messages;
    while sink.arrived() < expected {
        assert!(start.elapsed() < PATIENCE, "{}: {} of {} messages arrived", peer.name, sink.arrived() - before.0, load.messages);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let elapsed = start.elapsed();
    // What is settled after the arrival costs too.
    tokio::time::sleep(Duration::from_millis(300)).await;
    accepts.sort();
    let at = |part: usize| accepts[(accepts.len() * part / 100).min(accepts.len() - 1)].as_secs_f64() * 1000.0;
    let count = load.messages as f64;
    Row { per_second: count / elapsed.as_secs_f64(), p50: at(50), p99: at(99), cpu: (peer.cpu() - before.1).as_secs_f64() * 1000.0 / count }
}

struct Arguments {
    program: PathBuf,
    messages: usize,
}

impl Arguments {
    /// `cargo bench` adds `--bench`, which says nothing here.
    fn read() -> Self {
        let words: Vec<String> = std::env::args().collect();
        let value = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1)).cloned();
        Self {
            program: value("--program").unwrap_or_else(|| "target/release/waxseal".into()).into(),
            messages: value("--messages").map_or(2000, |count| count.parse().expect("--messages takes a number")),
        }
    }
}

/// What is sent, and how many times fewer of it than of the smallest. To the peers, what is sealed is one
/// more message.
const MAILS: [(Mail, usize); 4] =
    [(Mail::Plain(4 << 10), 1), (Mail::Plain(100 << 10), 4), (Mail::Plain(1 << 20), 20), (Mail::Sealed(100 << 10), 8)];
/// At the same time.
const SESSIONS: [usize; 3] = [1, 10, 100];
/// A run that takes longer is broken.
const PATIENCE: Duration = Duration::from_secs(300);
