//! The state of this moment as gauges, below the counters of all time.

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

use super::{Heap, State};
use crate::event::meter;
use crate::smtp::server::Doors;

/// Everything that Prometheus gets.
pub fn exposition(state: &State) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    meter::write(&mut out)?;
    text::encode_registry(&mut out, &gauges(state))?;
    text::encode_eof(&mut out)?;
    Ok(out)
}

fn gauges(state: &State) -> Registry {
    let mut registry = Registry::with_prefix("waxseal");
    let queue = &state.queue;
    let states = [("due", queue.due), ("later", queue.later), ("leased", queue.leased), ("held", queue.held)];
    let entries = states.map(|(turn, count)| (Of { what: turn.to_owned() }, count as f64));
    several(&mut registry, ("queue_entries", "Entries of the queue by whose turn it is"), entries);
    one(&mut registry, ("queue_oldest_seconds", "Age of the oldest entry"), queue.oldest.as_secs_f64());
    one(&mut registry, ("queue_overdue_seconds", "Since when the first entry whose time has come waits"), queue.overdue.as_secs_f64());
    one(&mut registry, ("memory_bytes", "Resident memory"), state.memory as f64);
    one(&mut registry, ("records_bytes", "Size of the record store"), state.records as f64);
    one(&mut registry, ("free_bytes", "What may still be written"), state.free as f64);
    let heaps: [(&str, Heap); 2] = [("parcels", state.parcels), ("spool", state.spool)];
    let of = |count: fn(&Heap) -> u64| heaps.map(move |(what, heap)| (Of { what: what.to_owned() }, count(&heap) as f64));
    several(&mut registry, ("blob_bytes", "Size of sealed content in files"), of(|heap| heap.octets));
    several(&mut registry, ("blobs", "Files of sealed content"), of(|heap| heap.files));
    let days = state.certificates.iter().map(|(name, days)| (Of { what: name.clone() }, *days as f64));
    several(&mut registry, ("certificate_days", "Days that a certificate still holds"), days);
    one(&mut registry, ("clock_doubted", "1 while the machine's clock is not believed"), f64::from(u8::from(state.clock_ahead.is_some())));
    one(&mut registry, ("clock_ahead_seconds", "How far it is ahead of certain time then"), state.clock_ahead.unwrap_or_default());
    one(&mut registry, ("draining", "1 while new mail is turned away"), f64::from(u8::from(state.doors == Doors::Closed)));
    registry
}

fn one(registry: &mut Registry, (name, help): (&str, &str), value: f64) {
    let gauge: Gauge<f64, AtomicU64> = Gauge::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

fn several(registry: &mut Registry, (name, help): (&str, &str), values: impl IntoIterator<Item = (Of, f64)>) {
    let family = Family::<Of, Gauge<f64, AtomicU64>>::default();
    for (labels, value) in values {
        family.get_or_create(&labels).set(value);
    }
    registry.register(name, help, family);
}

/// Words of ours, or the directory names of certificates.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    what: String,
}
