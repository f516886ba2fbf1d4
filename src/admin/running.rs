//! What is asked of the running gateway, through its control socket.

use std::io::Write;
use std::path::Path;

use super::Failed;
use crate::config::Configuration;
use crate::gateway::control::{self, Answer, Request};

/// `waxseal reload`.
pub async fn reload(configuration: &Path, out: &mut dyn Write) -> Result<(), Failed> {
    let socket = Configuration::read(configuration)?.control_socket();
    let Answer::Reloaded { applied, restart } = ask(&socket, &Request::Reload).await? else { return Err(unexpected()) };
    for option in applied {
        writeln!(out, "{option}: holds")?;
    }
    for option in restart {
        writeln!(out, "{option}: needs a restart")?;
    }
    Ok(())
}

/// Flags of `waxseal drain`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Drain {
    /// Take new mail again.
    #[arg(long)]
    pub end: bool,
}

/// `waxseal drain`: until the queue is empty. Who stops waiting stops nothing.
pub async fn drain(flags: Drain, configuration: &Path, out: &mut dyn Write) -> Result<(), Failed> {
    let socket = Configuration::read(configuration)?.control_socket();
    if flags.end {
        return ask(&socket, &Request::DrainEnd).await.map(drop);
    }
    let mut told = None;
    loop {
        let Answer::Draining { waiting, held } = ask(&socket, &Request::Drain).await? else { return Err(unexpected()) };
        if waiting == 0 {
            let rest = if held == 0 { String::new() } else { format!("; {held} held for the operator") };
            return Ok(writeln!(out, "the queue is empty{rest}")?);
        }
        if told != Some(waiting) {
            writeln!(out, "new mail is turned away; {waiting} in the queue")?;
            out.flush()?;
            told = Some(waiting);
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// What to do about the clock.
#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub enum Clock {
    /// What the gateway thinks of the machine's clock.
    Show,
    /// The machine's clock is right, whatever it showed before. Links that are over by then end now, and for good.
    Believe,
}

/// `waxseal clock`.
pub async fn clock(verb: Clock, configuration: &Path, out: &mut dyn Write) -> Result<(), Failed> {
    let socket = Configuration::read(configuration)?.control_socket();
    let request = match verb {
        Clock::Show => Request::Clock,
        Clock::Believe => Request::ClockBelieve,
    };
    match (verb, ask(&socket, &request).await?) {
        (Clock::Believe, Answer::Done) => Ok(()),
        (Clock::Show, Answer::Clock { now, certain, doubt }) => {
            writeln!(out, "clock    {now}\ncertain  {certain}")?;
            Ok(writeln!(out, "{}", doubt.as_deref().unwrap_or("the clock is believed"))?)
        }
        (Clock::Show | Clock::Believe, _) => Err(unexpected()),
    }
}

/// `waxseal route`: the hosts in the order in which they would be tried, and how TLS with each must look.
pub async fn route(domain: &str, configuration: &Path, out: &mut dyn Write) -> Result<(), Failed> {
    let socket = Configuration::read(configuration)?.control_socket();
    let Answer::Course { targets } = ask(&socket, &Request::Course { domain: domain.to_owned() }).await? else { return Err(unexpected()) };
    for target in targets {
        let proven = if target.proven { "proven to be the domain's" } else { "not proven to be the domain's" };
        writeln!(out, "{}  {proven}\n    {}\n    {}", target.host, target.addresses.join(" "), target.tls)?;
    }
    Ok(())
}

/// `waxseal tls-reports`: what would be told within the hour is told now.
pub async fn tls_reports(configuration: &Path) -> Result<(), Failed> {
    let socket = Configuration::read(configuration)?.control_socket();
    ask(&socket, &Request::TlsReports).await.map(drop)
}

/// Asks the running gateway; what it could not do is an error.
pub(super) async fn ask(socket: &Path, request: &Request) -> Result<Answer, Failed> {
    let answer = control::ask(socket, request).await.map_err(|error| {
        let help = if error.kind() == std::io::ErrorKind::PermissionDenied {
            "this is for the user that the gateway runs as: sudo -u waxseal waxseal …"
        } else {
            "the running gateway is asked, and none answers: waxseal serve"
        };
        Failed(format!("{}: {error}\n    {help}", socket.display()))
    })?;
    match answer {
        Answer::NoSuchEntry => Err(Failed(String::from("there is no such entry\n    `waxseal queue list` shows all"))),
        Answer::Trouble { because } => Err(Failed(because)),
        shown @ (Answer::Done
        | Answer::Entries { .. }
        | Answer::Stats { .. }
        | Answer::Tally { .. }
        | Answer::About { .. }
        | Answer::Course { .. }
        | Answer::Clock { .. }
        | Answer::Reloaded { .. }
        | Answer::Draining { .. }
        | Answer::BackingUp
        | Answer::BackedUp { .. }) => Ok(shown),
    }
}

/// The running gateway answered something else than was asked.
pub(super) fn unexpected() -> Failed {
    Failed(String::from("the running gateway does not understand this command\n    it runs an older version: restart it"))
}

/// How often a long work is asked after.
pub(super) const EVERY: std::time::Duration = std::time::Duration::from_secs(1);
