//! `waxseal serve`: the gateway until it is told to stop.

use std::panic::PanicHookInfo;
use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::Failed;
use super::journal::{self, Journal};
use crate::clock::Clock;
use crate::config::{Configuration, Log, LogFormat};
use crate::event::{self, Event};
use crate::gateway::Gateway;

/// Flags of the command.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Run as root; meant for containers, where root is nobody outside.
    #[arg(long)]
    pub allow_root: bool,
}

/// Runs until SIGTERM or SIGINT, then drains.
pub async fn run(arguments: &Arguments, path: &Path, clock: Clock) -> Result<(), Failed> {
    if rustix::process::getuid().is_root() && !arguments.allow_root {
        return Err(Failed(String::from("running as root is refused; start it as a user of its own, or say --allow-root in a container")));
    }
    // Keys are in this memory: no core of it is written, and nobody but root attaches to it.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).map_err(std::io::Error::from)?;
    let configuration = Configuration::read(path)?;
    start_log(&configuration.log)?;
    std::panic::set_hook(Box::new(tell));
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let gateway = Gateway::open(configuration, clock)?;
    gateway
        .bind()?
        .run(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await
}

/// A panic by its place alone: its words may quote what somebody wrote.
fn tell(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    event::emit(&Event::Trouble { place: "panic", fault: &place });
}

/// Log lines in the form that was asked for, and where. A line that cannot be written is left out: its disk may be full, and
/// the library would say so on the same standard error, with a panic where that fails too.
pub fn start_log(options: &Log) -> Result<(), Failed> {
    let filter = tracing_subscriber::EnvFilter::new(format!("waxseal={}", options.level));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).log_internal_errors(false);
    match options.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Journald => {
            let journal = Journal::open(Path::new(journal::SOCKET)).map_err(|error| {
                Failed(format!(
                    "[log] format = \"journald\": {}: {error}\n    where no journal runs, text or json go to standard error",
                    journal::SOCKET
                ))
            })?;
            let filter = tracing_subscriber::EnvFilter::new(format!("waxseal={}", options.level));
            tracing_subscriber::registry().with(filter).with(journal).init();
        }
    }
    Ok(())
}
