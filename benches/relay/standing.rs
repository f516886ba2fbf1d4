//! What the gateway costs when nothing happens, and what a change of its policies costs when something does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use waxseal::config::Configuration;
use waxseal::gateway::control::{self, Answer, Request};

use crate::client::{Client, Security};
use crate::ledger::{Arrives, Until};
use crate::measure::{Stage, median};
use crate::peers::waxseal::Gateway;
use crate::process;
use crate::rows::SMALL;
use crate::table::Table;

/// A fresh process with all rules, then with five thousand connections.
pub fn memory(stage: &Stage<'_>, gateway: &Gateway, table: &mut Table) {
    println!("\nAt rest, with 10,000 words, 100 patterns, 50 policies beside the supplied ones");
    let (process, start) = gateway.start_timed();
    table.note("start-empty-ms", milliseconds(start), "ms to the first 220, empty store");
    std::thread::sleep(QUIET);
    let at_rest = process::memory(process.id());
    table.note("memory-at-rest-MB", at_rest as f64 / 1e6, "MB");
    let clients = stage.block_on(async {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(Client::open(gateway.port, &Security::Plain).await);
        }
        clients
    });
    std::thread::sleep(QUIET);
    let grown = process::memory(process.id()).saturating_sub(at_rest);
    table.note("memory-idle-connection-KiB", grown as f64 / 1024.0 / CONNECTIONS as f64, "KiB for each of 5,000 connections after EHLO");
    drop(clients);
}

/// Reloads while one session is in the middle of a message and another one asks all the time.
pub fn reload(stage: &mut Stage<'_>, gateway: &Gateway, table: &mut Table) {
    println!("\nReload of 10,000 words, 100 patterns, 50 policies with sessions open");
    let mail = stage.mails.of(SMALL);
    let run = stage.sink.ledger.open((SMALL, mail), Arrives::AsSent, Until::Count(1));
    let number = run.draw(0).unwrap();
    let header = run.mail.header(&format!("{}.{number}", run.id));
    let (times, slowest) = stage.block_on(async {
        let mut in_transaction = Client::open(gateway.port, &Security::Plain).await;
        in_transaction.envelope().await;
        let over = Arc::new(AtomicBool::new(false));
        let asking = tokio::spawn(ask_until(gateway.port, over.clone()));
        let mut times = Vec::new();
        for _ in 0..RELOADS {
            times.push(milliseconds(reload_once(gateway).await));
        }
        over.store(true, Ordering::SeqCst);
        run.accepted(number, in_transaction.data(&header, &run.mail.body).await);
        (times, asking.await.unwrap())
    });
    stage.await_arrivals(&run, "waxseal");
    stage.sink.ledger.close(&run, "waxseal");
    table.note("reload-10000-words-ms", median(times), "ms");
    table.note("reload-slowest-reply-ms", milliseconds(slowest), "ms was the slowest reply of another session meanwhile");
}

async fn reload_once(gateway: &Gateway) -> Duration {
    let socket = Configuration::read(&gateway.configuration()).unwrap().control_socket();
    let begun = Instant::now();
    let answer = control::ask(&socket, &Request::Reload).await.unwrap();
    assert!(matches!(answer, Answer::Reloaded { .. }), "the reload went wrong: {answer:?}");
    begun.elapsed()
}

/// The slowest reply to NOOP, asked every two milliseconds, by sessions that do not go on with it until they are a nuisance.
async fn ask_until(port: u16, over: Arc<AtomicBool>) -> Duration {
    let mut slowest = Duration::ZERO;
    while !over.load(Ordering::SeqCst) {
        let mut client = Client::open(port, &Security::Plain).await;
        for _ in 0..NOOPS {
            let asked = Instant::now();
            client.noop().await;
            slowest = slowest.max(asked.elapsed());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        client.quit().await;
    }
    slowest
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Until allocators have given back what they do not need.
const QUIET: Duration = Duration::from_secs(3);
const CONNECTIONS: usize = 5_000;
const RELOADS: usize = 7;
const NOOPS: usize = 20;
