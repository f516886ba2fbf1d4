//! A next hop that is away and comes back: how fast mail is accepted meanwhile, how long a gateway with
//! fifty thousand waiting messages takes to start, and that all of them arrive.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ledger::{Run, Until};
use crate::mail::Kind;
use crate::measure::{Stage, median};
use crate::peers::Peer;
use crate::peers::waxseal::Gateway;
use crate::process;
use crate::rows::Extent;
use crate::rows::{Row, of_the_night};
use crate::table::Table;

/// From dusk to the last arrival.
pub fn pass(stage: &mut Stage<'_>, (gateway, peers): (&Gateway, &mut [Peer]), extent: Extent, table: &mut Table) {
    stage.runtime.block_on(stage.sink.go());
    let mut waiting: Vec<(&'static str, Arc<Run>)> = Vec::new();
    for row in of_the_night(extent) {
        let names = row.peers();
        let taking_part: Vec<&Peer> = names.iter().filter_map(|name| peers.iter().find(|peer| peer.name == *name)).collect();
        let (figures, open) = stage.measure(row, &taking_part);
        table.put(row, &names, &figures);
        waiting.extend(open);
    }
    let waxseal = peers.iter_mut().find(|peer| peer.name == "waxseal").unwrap();
    println!("\nStart with {QUEUED} messages in the queue");
    let queued: usize = waiting.iter().filter(|(name, _)| *name == "waxseal").map(|(_, run)| run.count()).sum();
    let more = Row { sessions: 100, per_connection: 50, ..Row::spooled(Kind::Text(1 << 10), 100) };
    waiting.push(("waxseal", stage.send(more, waxseal, Until::Count(QUEUED.saturating_sub(queued).max(1)))));
    start(gateway, waxseal, table);
    stage.runtime.block_on(stage.sink.come());
    drain(stage, peers, &waiting);
}

fn start(gateway: &Gateway, peer: &mut Peer, table: &mut Table) {
    let times = (0..STARTS).map(|_| {
        // The old process ends before the new one opens its stores.
        peer.process = None;
        let (process, time) = gateway.start_timed();
        peer.process = Some(process);
        time.as_secs_f64() * 1000.0
    });
    table.note("start-50000-queued-ms", median(times.collect()), "ms to the first 220, full rule set");
    std::thread::sleep(Duration::from_secs(1));
    let memory = peer.root().map_or(0, process::memory) as f64 / 1e6;
    table.note("memory-50000-queued-MB", memory, "MB a second later");
}

/// Everybody's mail goes at once, one peer after the other.
fn drain(stage: &Stage<'_>, peers: &[Peer], waiting: &[(&'static str, Arc<Run>)]) {
    println!("\nThe next hop is back");
    for peer in peers {
        let runs: Vec<&Run> = waiting.iter().filter(|(name, _)| *name == peer.name).map(|(_, run)| run.as_ref()).collect();
        let (Some(hurry), false) = (&peer.hurry, runs.is_empty()) else { continue };
        let begun = Instant::now();
        hurry();
        let count: usize = runs.iter().map(|run| run.count()).sum();
        for run in runs {
            stage.await_arrivals(run, peer.name);
            stage.sink.ledger.close(run, peer.name);
        }
        let took = begun.elapsed().as_secs_f64();
        println!("  {:<12}{count:>9} messages arrived once each and whole in {took:.1} s, {:.0} msg/s", peer.name, count as f64 / took);
    }
}

/// What the goal of a start speaks of.
const QUEUED: usize = 50_000;
const STARTS: usize = 3;
