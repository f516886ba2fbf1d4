//! `waxseal queue list|show|retry|drop` and `waxseal reload`: asked of the running gateway.

use std::io::Write;
use std::path::Path;

use super::Failed;
use crate::config::Configuration;
use crate::gateway::control::{self, Answer, Entry, Request};

/// What to do with the queue.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Verb {
    /// Every entry that waits, oldest first.
    List,
    /// One entry with all of its recipients.
    Show {
        /// Its id.
        id: String,
    },
    /// Try an entry now.
    Retry {
        /// Its id.
        id: String,
    },
    /// Remove an entry without any report to its sender.
    Drop {
        /// Its id.
        id: String,
    },
}

/// Asks and prints.
pub async fn run(verb: &Verb, configuration: &Path, out: &mut dyn Write) -> Result<(), Failed> {
    let socket = Configuration::read(configuration)?.control_socket();
    match verb {
        Verb::List => list(&socket, out).await,
        Verb::Show { id } => match ask(&socket, &Request::QueueShow { id: id.clone() }).await? {
            Answer::Entries { entries } => entries.iter().try_for_each(|entry| show(entry, out)).map_err(Failed::from),
            other @ (Answer::Done | Answer::NoSuchEntry | Answer::Trouble { .. }) => settled(other),
        },
        Verb::Retry { id } => settled(ask(&socket, &Request::QueueRetry { id: id.clone() }).await?),
        Verb::Drop { id } => settled(ask(&socket, &Request::QueueDrop { id: id.clone() }).await?),
    }
}

/// `waxseal reload`.
pub async fn reload(configuration: &Path) -> Result<(), Failed> {
    let socket = Configuration::read(configuration)?.control_socket();
    settled(ask(&socket, &Request::Reload).await?)
}

async fn list(socket: &Path, out: &mut dyn Write) -> Result<(), Failed> {
    let mut after = None;
    let mut total = 0;
    loop {
        let request = Request::QueueList { after: after.take(), limit: PAGE };
        let entries = match ask(socket, &request).await? {
            Answer::Entries { entries } => entries,
            other @ (Answer::Done | Answer::NoSuchEntry | Answer::Trouble { .. }) => return settled(other),
        };
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

fn show(entry: &Entry, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "id        {}\nfrom      <{}>", entry.id, entry.from)?;
    for to in &entry.to {
        writeln!(out, "to        <{to}>")?;
    }
    writeln!(out, "size      {} octets\narrived   {}\nnext      {}", entry.size, entry.arrived, entry.next)?;
    writeln!(out, "attempts  {}\nlast      {}", entry.attempts, entry.last.as_deref().unwrap_or("–"))
}

async fn ask(socket: &Path, request: &Request) -> Result<Answer, Failed> {
    control::ask(socket, request).await.map_err(|error| {
        let help = if error.kind() == std::io::ErrorKind::PermissionDenied {
            "the queue is for the user that the gateway runs as: sudo -u waxseal waxseal …"
        } else {
            "the running gateway is asked, and none answers: waxseal serve"
        };
        Failed(format!("{}: {error}\n    {help}", socket.display()))
    })
}

fn settled(answer: Answer) -> Result<(), Failed> {
    match answer {
        Answer::Done | Answer::Entries { .. } => Ok(()),
        Answer::NoSuchEntry => Err(Failed(String::from("there is no such entry\n    `waxseal queue list` shows all"))),
        Answer::Trouble { because } => Err(Failed(because)),
    }
}

/// Entries asked for at once.
const PAGE: usize = 500;
