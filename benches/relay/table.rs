//! What was measured, printed as it comes and kept for the goals.

use crate::measure::Figures;
use crate::rows::{Path, Row};

/// Rows with the figures of each peer, and single figures by their name.
#[derive(Default)]
pub struct Table {
    rows: Vec<(Row, &'static str, Figures)>,
    singles: Vec<(&'static str, f64)>,
}

impl Table {
    /// Keeps and prints one row.
    pub fn put(&mut self, row: Row, peers: &[&'static str], figures: &[Figures]) {
        let reference = peers.iter().position(|peer| *peer == row.reference()).map_or(f64::NAN, |at| figures[at].rate);
        println!("\n{}", row.name());
        println!(
            "  {:<12}{:>9}{:>10}{:>9}{:>9}{:>9}{:>9}{:>10}{:>8}",
            "peer",
            "msg/s",
            format!("×{}", row.reference()),
            "accept",
            "p99 ms",
            "arrive",
            "p99 ms",
            "CPU ms",
            "MB"
        );
        for (peer, found) in peers.iter().zip(figures) {
            let Figures { rate, accept, arrival, cpu, memory } = found;
            let arrival = if row.path == Path::Spooled {
                [String::from("–"), String::from("–")]
            } else {
                arrival.map(|time| format!("{time:.2}"))
            };
            println!(
                "  {peer:<12}{rate:>9.0}{:>10.2}{:>9.2}{:>9.2}{:>9}{:>9}{cpu:>10.3}{memory:>8.0}",
                rate / reference,
                accept[0],
                accept[1],
                arrival[0],
                arrival[1]
            );
            self.rows.push((row, peer, *found));
        }
    }

    /// Keeps and prints a single figure.
    pub fn note(&mut self, name: &'static str, figure: f64, meaning: &str) {
        println!("  {figure:>9.2}  {meaning}");
        self.singles.push((name, figure));
    }

    pub fn of(&self, row: Row, peer: &str) -> Option<Figures> {
        self.rows.iter().find(|(other, name, _)| *other == row && *name == peer).map(|(_, _, figures)| *figures)
    }

    pub fn single(&self, name: &str) -> Option<f64> {
        self.singles.iter().find(|(other, _)| *other == name).map(|(_, figure)| *figure)
    }
}
