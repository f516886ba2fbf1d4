//! `waxseal queue list|stats|show|hold|release|retry|bounce|drop`: asked of the running gateway.

use std::io::Write;
use std::path::Path;

use super::Failed;
use super::running::{ask, unexpected};
use crate::config::Configuration;
use crate::gateway::control::{self, Answer, Each, Entry, Request, Way, Which};
use crate::queue::Tally;

/// What to do with the queue.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Verb {
    /// Every entry that waits, oldest first.
    List,
    /// How much waits for which next hop, and since when.
    Stats,
    /// One entry with all of its recipients.
    Show {
        /// Its id.
        id: String,
    },
    /// Let entries wait until they are released: they are neither tried nor given up nor reported late.
    Hold(Chosen),
    /// Let held entries go, at once, with as much of their lifetime left as they had.
    Release(Chosen),
    /// Try entries now; those that are held stay so.
    Retry(Chosen),
    /// End entries as failed: their senders get a report with the reason.
    Bounce {
        #[command(flatten)]
        chosen: Chosen,
        /// What the senders are told.
        #[arg(long)]
        reason: String,
    },
    /// Remove entries without any report to their senders.
    Drop {
        /// Their ids.
        #[arg(required = true)]
        id: Vec<String>,
    },
}

/// Some entries: by their ids, or all that are for or from somebody.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = true)]
pub struct Chosen {
    /// Their ids.
    #[arg(conflicts_with_all = ["all", "to", "from"])]
    id: Vec<String>,
    /// Every entry.
    #[arg(long, conflicts_with_all = ["to", "from"])]
    all: bool,
    /// Those for this address, or this domain; other recipients of theirs do not bounce with them.
    #[arg(long, value_name = "RECIPIENT")]
    to: Option<String>,
    /// Those from this address, or this domain; `<>` are reports.
    #[arg(long, value_name = "SENDER")]
    from: Option<String>,
}

/// Asks and prints.
pub async fn run(verb: &Verb, configuration: &Path, out: &mut dyn Write) -> Result<(), Failed> {
    let socket = Configuration::read(configuration)?.control_socket();
    match verb {
        Verb::List => list(&socket, out).await,
        Verb::Stats => stats(&socket, out).await,
        Verb::Show { id } => {
            let entries = entries(&socket, Request::QueueShow { id: id.clone() }).await?;
            Ok(entries.iter().try_for_each(|entry| show(entry, out))?)
        }
        Verb::Hold(chosen) => each(&socket, (control::Act::Hold, chosen), out).await,
        Verb::Release(chosen) => each(&socket, (control::Act::Release, chosen), out).await,
        Verb::Retry(chosen) => each(&socket, (control::Act::Retry, chosen), out).await,
        Verb::Bounce { chosen, reason } => {
            let reason = reason.trim().to_owned();
            if reason.is_empty() || reason.chars().count() > REASON_MAX {
                return Err(Failed(format!("the reason needs 1 to {REASON_MAX} characters: it is what the senders are told")));
            }
            each(&socket, (control::Act::Bounce { reason }, chosen), out).await
        }
        Verb::Drop { id } => {
            // One after the other; the first that is not done ends it.
            for id in id {
                ask(&socket, &Request::QueueDrop { id: id.clone() }).await?;
            }
            Ok(())
        }
    }
}

/// Page by page, then what became of all of them.
async fn each(socket: &Path, (act, chosen): (control::Act, &Chosen), out: &mut dyn Write) -> Result<(), Failed> {
    let mut total = Tally::default();
    for which in chosen.which() {
        let mut after = None;
        loop {
            let request = Request::QueueEach(Each { act: act.clone(), which: which.clone(), after });
            let Answer::Tally { tally, next } = ask(socket, &request).await? else { return Err(unexpected()) };
            total = total.and(tally);
            if next.is_none() {
                break;
            }
            after = next;
        }
    }
    told(&act, total).iter().try_for_each(|line| writeln!(out, "{line}"))?;
    match (total.gone, total.damaged) {
        (0, 0) => Ok(()),
        (0, damaged) => Err(Failed(format!("{damaged} damaged: the log says why\n    `waxseal queue drop` removes them"))),
        // Of those that were chosen by a page, some may have left meanwhile.
        (_, _) if chosen.id.is_empty() => Ok(()),
        (gone, _) => Err(Failed(format!("{gone} not in the queue\n    `waxseal queue list` shows all"))),
    }
}

impl Chosen {
    /// As many requests as the ids need.
    fn which(&self) -> Vec<Which> {
        match self.id.as_slice() {
            [] => vec![Which::Fitting { to: self.to.clone(), from: self.from.clone() }],
            ids => ids.chunks(IDS).map(|ids| Which::Ids { ids: ids.to_vec() }).collect(),
        }
    }
}

/// What a verb came to, in lines.
fn told(act: &control::Act, Tally { done, under_way, unfit, untold, .. }: Tally) -> Vec<String> {
    let (word, busy, other) = match act {
        control::Act::Hold => ("held", "of them under way: held if the attempt does not settle them", "were held already"),
        control::Act::Release => ("released", "of them under way", "were not held"),
        control::Act::Retry => ("due now", "under way already", "held: `waxseal queue release` lets them go"),
        control::Act::Bounce { .. } => {
            ("bounced", "under way, and left alone: hold them first, then bounce what is left", "have other recipients only")
        }
    };
    let lines = [(under_way, busy), (unfit, other), (untold, "of them without a report: the sender is not of the house, or wants none")];
    let more = lines.into_iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}"));
    std::iter::once(format!("{done} {word}")).chain(more).collect()
}

async fn list(socket: &Path, out: &mut dyn Write) -> Result<(), Failed> {
    let mut after = None;
    let mut total = 0;
    loop {
        let request = Request::QueueList { after: after.take(), limit: PAGE };
        let entries = entries(socket, request).await?;
        for entry in &entries {
            let Entry { id, from, size, arrived, next, .. } = entry;
            let last = entry.last.as_deref().unwrap_or("not tried yet");
            writeln!(out, "{id}  {size:>9}  {arrived}  next {next:<20}  <{from}> → {}  {last}", entry.to.join(", "))?;
        }
        total += entries.len();
        match entries.last() {
            Some(entry) if entries.len() == PAGE => after = Some(entry.id.clone()),
            _ => break,
        }
    }
    writeln!(out, "{total} in the queue")?;
    Ok(())
}

async fn stats(socket: &Path, out: &mut dyn Write) -> Result<(), Failed> {
    let Answer::Stats { ways } = ask(socket, &Request::QueueStats).await? else { return Err(unexpected()) };
    writeln!(out, "{:>8}  {:>8}  {:>8}  {:<20}  next hop", "waiting", "sending", "held", "oldest")?;
    for Way { hops, waiting, leased, held, oldest, away } in &ways {
        let away = away.as_ref().map_or_else(String::new, |why| format!("  away: {why}"));
        writeln!(out, "{waiting:>8}  {leased:>8}  {held:>8}  {:<20}  {hops}{away}", oldest.as_deref().unwrap_or("–"))?;
    }
    Ok(())
}

async fn entries(socket: &Path, request: Request) -> Result<Vec<Entry>, Failed> {
    if let Answer::Entries { entries } = ask(socket, &request).await? { Ok(entries) } else { Err(unexpected()) }
}

fn show(entry: &Entry, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "id        {}\nfrom      <{}>", entry.id, entry.from)?;
    for to in &entry.to {
        writeln!(out, "to        <{to}>")?;
    }
    writeln!(out, "size      {} octets\narrived   {}\nnext      {}", entry.size, entry.arrived, entry.next)?;
    writeln!(out, "attempts  {}\nlast      {}", entry.attempts, entry.last.as_deref().unwrap_or("–"))
}

/// Entries asked for at once.
const PAGE: usize = 500;
/// Ids that fit into one request.
const IDS: usize = 100;
/// Characters of a report's diagnostic.
const REASON_MAX: usize = 500;
