//! `waxseal queue list|stats|show|retry|drop`: asked of the running gateway.

use std::io::Write;
use std::path::Path;

use super::Failed;
use super::running::{ask, unexpected};
use crate::config::Configuration;
use crate::gateway::control::{Answer, Entry, Request, Way};

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
    /// Try entries now; one that is held goes as well.
    Retry {
        /// Their ids.
        #[arg(required = true)]
        id: Vec<String>,
    },
    /// Remove entries without any report to their senders.
    Drop {
        /// Their ids.
        #[arg(required = true)]
        id: Vec<String>,
    },
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
        Verb::Retry { id } => each(&socket, id, |id| Request::QueueRetry { id }).await,
        Verb::Drop { id } => each(&socket, id, |id| Request::QueueDrop { id }).await,
    }
}

/// One after the other; the first that is not done ends it.
async fn each(socket: &Path, ids: &[String], request: fn(String) -> Request) -> Result<(), Failed> {
    for id in ids {
        ask(socket, &request(id.clone())).await?;
    }
    Ok(())
}

async fn list(socket: &Path, out: &mut dyn Write) -> Result<(), Failed> {
    let mut after = None;
    let mut total = 0;
    loop {
        let request = Request::QueueList { after: after.take(), limit: PAGE };
        let entries = entries(socket, request).await?;
        for entry in &entries {
            let last = entry.last.as_deref().unwrap_or("not tried yet");
            writeln!(out, "{}  {:>9}  {}  <{}> → {}  {last}", entry.id, entry.size, entry.arrived, entry.from, entry.to.join(", "))?;
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
    writeln!(out, "{:>8}  {:>8}  {:<20}  next hop", "waiting", "sending", "oldest")?;
    for Way { hops, waiting, leased, oldest, away } in &ways {
        let away = away.as_ref().map_or_else(String::new, |why| format!("  away: {why}"));
        writeln!(out, "{waiting:>8}  {leased:>8}  {:<20}  {hops}{away}", oldest.as_deref().unwrap_or("–"))?;
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
