//! The goals that concern mail, memory, start and growth, each with what was measured.

use crate::rows::{EXPRESSIONS, FILE, MIDDLE, Row, SMALL};
use crate::table::Table;

/// One line for each: its name, what was measured, its limit, and whether it is kept.
pub fn print(table: &Table) {
    let of = |row: Row, peer: &str| table.of(row, peer);
    let rate = |row: Row, peer: &str| Some(of(row, "waxseal")?.rate / of(row, peer)?.rate);
    let small = Row::fast(SMALL, 10);
    println!();
    for (name, measured, limit) in [
        ("fast-4KB-beside-proxy", rate(small, "proxy"), Limit::AtLeast(2.0)),
        ("fast-4KB-beside-nginx", rate(small, "nginx"), Limit::AtLeast(0.6)),
        ("fast-4KB-cpu-ms", of(small, "waxseal").map(|found| found.cpu), Limit::AtMost(0.2)),
        ("fast-100KB-beside-proxy", rate(EXPRESSIONS, "proxy"), Limit::AtLeast(1.5)),
        ("fast-100KB-beside-100-expressions", rate(EXPRESSIONS, "postfix-100"), Limit::AtLeast(15.0)),
        ("fast-100KB-cpu-ms", of(EXPRESSIONS, "waxseal").map(|found| found.cpu), Limit::AtMost(0.5)),
        ("spooled-4KB-beside-postfix", rate(Row::spooled(SMALL, 10), "postfix"), Limit::AtLeast(4.0)),
        ("spooled-100KB-beside-postfix", rate(Row::spooled(MIDDLE, 10), "postfix"), Limit::AtLeast(4.0)),
        ("sealed-100KB-beside-postfix", rate(Row::sealing(FILE, 10), "postfix"), Limit::AtLeast(1.0)),
        ("accept-4KB-p50-ms", of(small, "waxseal").map(|found| found.accept[0]), Limit::AtMost(3.0)),
        ("accept-4KB-p99-ms", of(small, "waxseal").map(|found| found.accept[1]), Limit::AtMost(15.0)),
    ] {
        line(name, measured, limit);
    }
    for (name, limit) in SINGLES {
        line(name, table.single(name), limit);
    }
}

/// Where a goal begins or ends.
#[derive(Clone, Copy)]
enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

fn line(name: &str, measured: Option<f64>, limit: Limit) {
    let (sign, number) = match limit {
        Limit::AtLeast(number) => (">=", number),
        Limit::AtMost(number) => ("<=", number),
    };
    let Some(measured) = measured else {
        println!("goal {name} - {sign}{number} unmeasured");
        return;
    };
    let kept = match limit {
        Limit::AtLeast(least) => measured >= least,
        Limit::AtMost(most) => measured <= most,
    };
    println!("goal {name} {measured:.2} {sign}{number} {}", if kept { "ok" } else { "short" });
}

/// Figures that stand for themselves.
const SINGLES: [(&str, Limit); 15] = [
    ("inspection-MB-per-s", Limit::AtLeast(400.0)),
    ("inspection-1000-patterns-beside-100", Limit::AtMost(1.3)),
    ("docx-1MB-ms", Limit::AtMost(60.0)),
    ("xlsx-1MB-ms", Limit::AtMost(60.0)),
    ("pdf-1MB-ms", Limit::AtMost(60.0)),
    ("sealing-GB-per-s", Limit::AtLeast(0.6)),
    ("opening-GB-per-s", Limit::AtLeast(1.0)),
    ("memory-at-rest-MB", Limit::AtMost(40.0)),
    ("memory-idle-connection-KiB", Limit::AtMost(20.0)),
    ("memory-50-times-100MB", Limit::AtMost(512.0)),
    ("start-50000-queued-ms", Limit::AtMost(300.0)),
    ("start-1000000-parcels-ms", Limit::AtMost(300.0)),
    ("growth-sealing-1000000-parcels", Limit::AtMost(1.5)),
    ("reload-10000-words-ms", Limit::AtMost(200.0)),
    ("reload-slowest-reply-ms", Limit::AtMost(200.0)),
];
