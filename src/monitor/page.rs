//! The overview: what went in and out, what waits, how the machine is; plots as inline pictures, no script.

use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, context};

use super::State;
use super::history::Series;
use crate::event::meter::{self, Totals};
use crate::mistake::Mistake;
use crate::smtp::server::Doors;

/// The page's template.
pub struct Overview(Environment<'static>);

/// How one number of the totals is read.
type Read = fn(&Totals) -> u64;

impl Overview {
    /// Parses the template.
    pub fn new() -> Result<Self, Mistake> {
        let mut templates = Environment::new();
        templates.set_auto_escape_callback(|_| AutoEscape::Html);
        templates.add_template(NAME, include_str!("../../templates/operator/overview.html")).map_err(|error| {
            let mistake = Mistake::whole(std::path::Path::new(NAME), error.to_string());
            Mistake { line: error.line(), ..mistake }
        })?;
        Ok(Self(templates))
    }

    /// The page as HTML.
    pub fn render(&self, host: &str, (state, unready): (&State, &[String]), series: &Series) -> Result<String, minijinja::Error> {
        let queue = &state.queue;
        let decisions = meter::decisions();
        let most = decisions.iter().map(|(_, count)| *count).max().unwrap_or_default().max(1);
        self.0.get_template(NAME)?.render(context! {
            host,
            unready => unready.to_vec(),
            draining => state.doors == Doors::Closed,
            flows => flows(series),
            decisions => decisions.iter().map(|(word, count)| context! { word => *word, count => *count, share => count * 100 / most }).collect::<Vec<Value>>(),
            due => queue.due,
            later => queue.later,
            leased => queue.leased,
            held => queue.held,
            oldest => age(queue.oldest.as_secs()),
            waiting => plot(&series.waiting),
            records => size(state.records),
            parcels => context! { files => state.parcels.files, size => size(state.parcels.octets) },
            spool => context! { files => state.spool.files, size => size(state.spool.octets) },
            free => size(state.free),
            memory => size(state.memory),
            certificates => state.certificates.iter().map(|(name, days)| context! { name => name.as_str(), days => *days }).collect::<Vec<Value>>(),
            clock => state.clock_ahead.is_none(),
        })
    }
}

/// One row for each way that mail and links go.
fn flows(series: &Series) -> Vec<Value> {
    let totals = meter::totals();
    let hour = series.minutes.iter().rev().take(HOUR);
    let row = |(name, read): &(&str, Read)| {
        let minutes: Vec<u64> = series.minutes.iter().map(read).collect();
        context! { name => *name, hour => hour.clone().map(read).sum::<u64>(), total => read(&totals), plot => plot(&minutes) }
    };
    FLOWS.iter().map(row).collect()
}

/// A line over all minutes, as high as the most of them.
fn plot(values: &[u64]) -> Value {
    let most = values.iter().copied().max().unwrap_or_default();
    let first = WIDTH.saturating_sub(values.len());
    let point = |(minute, value): (usize, &u64)| {
        let height = if most == 0 { 0.0 } else { *value as f64 / most as f64 * HEIGHT };
        format!("{},{:.1}", first + minute, HEIGHT + 1.0 - height)
    };
    let points: Vec<String> = values.iter().enumerate().map(point).collect();
    context! { points => points.join(" "), most }
}

/// `3 d 4 h`, `12 min`: the two largest units.
fn age(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// `3.4 GB`, by thousands.
fn size(octets: u64) -> String {
    let mut value = octets as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    if unit == "B" { format!("{octets} B") } else { format!("{value:.1} {unit}") }
}

const NAME: &str = "overview.html";
const FLOWS: [(&str, Read); 9] = [
    ("Messages taken", |totals| totals.accepted),
    ("Refused", |totals| totals.refused),
    ("Relayed", |totals| totals.relayed),
    ("Put off", |totals| totals.deferred),
    ("Failed", |totals| totals.failed),
    ("Links sent", |totals| totals.linked),
    ("Links opened", |totals| totals.opened),
    ("Files taken", |totals| totals.downloaded),
    ("Troubles", |totals| totals.troubles),
];
/// Minutes.
const HOUR: usize = 60;
/// A unit a minute.
const WIDTH: usize = 181;
const HEIGHT: f64 = 26.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_short() {
        let sizes: Vec<String> = [0, 999, 1_000, 23_400_000, 5_000_000_000_000_000].into_iter().map(size).collect();
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "23.4 MB", "5000.0 TB"]);
        let ages: Vec<String> = [0, 59, 60, 3_660, 90_000].into_iter().map(age).collect();
        assert_eq!(ages, ["0 s", "59 s", "1 min", "1 h 1 min", "1 d 1 h"]);
    }

    #[test]
    fn a_page_without_history_is_a_page() {
        let html = Overview::new().unwrap().render("<mail>.example", (&State::default(), &[]), &Series::default()).unwrap();
        assert!(html.contains("&lt;mail&gt;.example") && html.contains("Messages taken") && !html.contains("<script"), "{html}");
    }
}
