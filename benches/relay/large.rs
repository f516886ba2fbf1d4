//! What takes an hour: fifty messages of 100 MB at once, and a million parcels.

use std::time::Instant;

use crate::ledger::Until;
use crate::mail::Kind;
use crate::measure::{Stage, median};
use crate::peers::Peer;
use crate::peers::waxseal::Gateway;
use crate::process::Peak;
use crate::rows::Row;
use crate::table::Table;

/// Both.
pub fn measure(stage: &mut Stage<'_>, (gateway, peer): (&Gateway, &mut Peer), table: &mut Table) {
    println!("\nLarge");
    peer.process = None;
    peer.process = Some(gateway.start_timed().0);
    let row = Row::fast(Kind::Text(99 << 20), 50);
    let peak = peer.root().map(Peak::watch);
    let run = stage.send(row, peer, Until::Count(50));
    stage.await_arrivals(&run, peer.name);
    stage.sink.ledger.close(&run, peer.name);
    table.note("memory-50-times-100MB", peak.map_or(0, Peak::octets) as f64 / 1e6, "MB at most with 50 messages of 99 MB at once");
    growth(stage, (gateway, peer), table);
}

/// Sealing of small files, the first thousands beside the last.
fn growth(stage: &mut Stage<'_>, (gateway, peer): (&Gateway, &mut Peer), table: &mut Table) {
    let row = Row { per_connection: 50, ..Row::sealing(Kind::File(1 << 10), 100) };
    let batches = (0..PARCELS / BATCH).map(|_| {
        let begun = Instant::now();
        let run = stage.send(row, peer, Until::Count(BATCH));
        stage.await_arrivals(&run, peer.name);
        stage.sink.ledger.close(&run, peer.name);
        begun.elapsed().as_secs_f64()
    });
    let times: Vec<f64> = batches.collect();
    let edge = |times: &[f64]| median(times.to_vec());
    let (first, last) = (edge(&times[..5]), edge(&times[times.len() - 5..]));
    table.note("growth-sealing-1000000-parcels", last / first, "times as long to seal with 1,000,000 parcels in the store as with few");
    let starts = (0..3).map(|_| {
        peer.process = None;
        let (process, time) = gateway.start_timed();
        peer.process = Some(process);
        time.as_secs_f64() * 1000.0
    });
    table.note("start-1000000-parcels-ms", median(starts.collect()), "ms to the first 220 with 1,000,000 parcels");
}

const PARCELS: usize = 1_000_000;
const BATCH: usize = 5_000;
