//! `waxseal backup` asks the running gateway for a copy of its store; `waxseal restore` makes a store of one.

use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::Failed;
use super::running::{EVERY, ask, unexpected};
use crate::config::Configuration;
use crate::gateway::backup::Part;
use crate::gateway::backup::restore::{self, OldSlots, Order, Waiting};
use crate::gateway::control::{Answer, Request};

/// Flags of `waxseal backup`.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Where it is written: empty, or not there yet. The gateway writes it, so its user must be allowed to.
    pub directory: PathBuf,
    /// Only the slots and the list of what is blocked: small, to be made often, and to be deleted after a day.
    #[arg(long)]
    pub slots: bool,
}

/// Asks, and waits for the end. Who stops waiting stops nothing.
pub async fn run(arguments: &Arguments, configuration: &Path, out: &mut dyn Write) -> Result<(), Failed> {
    let socket = Configuration::read(configuration)?.control_socket();
    let directory = std::path::absolute(&arguments.directory)?;
    let part = if arguments.slots { Part::Slots } else { Part::Whole };
    ask(&socket, &Request::Backup { directory, part }).await?;
    loop {
        let state = ask(&socket, &Request::BackupState).await?;
        if let Answer::BackedUp { told } = state {
            return Ok(writeln!(out, "{told}")?);
        }
        if state != Answer::BackingUp {
            return Err(unexpected());
        }
        tokio::time::sleep(EVERY / 4).await;
    }
}

/// Flags of `waxseal restore`.
#[derive(Debug, Clone, clap::Args)]
pub struct Restore {
    /// A whole backup.
    pub directory: PathBuf,
    /// The newest copy of the slots, made by `waxseal backup --slots`. Absent is the one in the backup.
    #[arg(long)]
    pub slots: Option<PathBuf>,
    /// Restore even with slots that are older than a day, or than the records: what was shredded since may open again.
    #[arg(long)]
    pub old_slots: bool,
    /// Send the mail that waited when the backup was made; absent, it is held. What was relayed since arrives twice.
    #[arg(long)]
    pub send_queue: bool,
}

/// Restores, and says what came of it.
pub fn restore(arguments: &Restore, configuration: &Path, now: Timestamp, out: &mut dyn Write) -> Result<(), Failed> {
    let configuration = Configuration::read(configuration)?;
    let order = Order {
        backup: arguments.directory.clone(),
        slots: arguments.slots.clone(),
        old_slots: if arguments.old_slots { OldSlots::Accepted } else { OldSlots::Refused },
        queue: if arguments.send_queue { Waiting::Sent } else { Waiting::Held },
    };
    let restored = restore::restore(&order, &configuration, now)?;
    let caught_up = restored.caught_up;
    writeln!(out, "everything that was acknowledged before {:.0} is here", restored.mark)?;
    writeln!(
        out,
        "slots of {:.0}: {} blocked again, {} ended, {} ways taken back",
        restored.slots, caught_up.blocked, caught_up.ended, caught_up.revoked
    )?;
    if restored.held > 0 {
        writeln!(out, "{} in the queue, held: they may have been relayed since", restored.held)?;
        writeln!(out, "    waxseal queue list, then waxseal queue retry ID… or waxseal queue drop ID…")?;
    }
    Ok(())
}
