//! `waxseal doctor`: what is wrong around the gateway, and how to mend it. It asks and looks; it changes nothing
//! and sends no mail.
//!
//! A line for each thing: `ok`, `warn` (works, but should not stay so, or cannot be told from here), `wrong`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::Failed;
use crate::config::Configuration;
use crate::gateway;
use crate::gateway::control::{self, Answer, Request};

mod certificate;
mod dns;
mod names;
mod place;
mod reach;
mod spf;

/// Flags of the command.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// One line of JSON for each finding.
    #[arg(long)]
    pub json: bool,
    /// Ask this DNS server, as address:port; absent are those of the machine.
    #[arg(long)]
    pub resolver: Option<SocketAddr>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but should not stay so; or it cannot be told from here.
    Warn,
    /// Mail or links fail by it.
    Wrong,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// How it is.
    pub verdict: Verdict,
    /// `dns`, `disk`, …
    pub about: &'static str,
    /// What was seen.
    pub what: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Finding {
    fn ok(about: &'static str, what: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, about, what: what.into(), mend: None }
    }

    fn warn(about: &'static str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, about, what: what.into(), mend: Some(mend.into()) }
    }

    fn wrong(about: &'static str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { verdict: Verdict::Wrong, about, what: what.into(), mend: Some(mend.into()) }
    }
}

/// Looks at everything and prints it as it comes; an error when something is wrong.
pub async fn run(arguments: &Arguments, path: &Path, now: Timestamp, out: &mut dyn Write) -> Result<(), Failed> {
    let configuration = Configuration::read(path)?;
    let mut page = Page { out, json: arguments.json, counts: [0; 3] };
    page.print(files(&configuration))?;
    page.print(place::look(&configuration))?;
    let running = running(&configuration).await;
    let is_running = running.iter().all(|finding| finding.verdict != Verdict::Wrong);
    page.print(running)?;
    page.print(certificate::look(&configuration, now))?;
    let dns = dns::Dns::new(arguments.resolver)?;
    page.print(names::look(&configuration, &dns).await)?;
    if is_running {
        page.print(reach::listeners(&configuration).await)?;
    }
    page.print(reach::next_hop(&configuration).await)?;
    page.print(reach::outside(&configuration, &dns).await)?;
    page.end()
}

/// Prints findings and counts them.
struct Page<'a> {
    out: &'a mut dyn Write,
    json: bool,
    counts: [usize; 3],
}

impl Page<'_> {
    fn print(&mut self, findings: Vec<Finding>) -> Result<(), Failed> {
        for finding in findings {
            let place = finding.verdict as usize;
            self.counts.iter_mut().skip(place).take(1).for_each(|count| *count += 1);
            if self.json {
                let line = serde_json::to_string(&finding).map_err(|error| Failed(error.to_string()))?;
                writeln!(self.out, "{line}")?;
                continue;
            }
            let word = ["ok", "warn", "wrong"].get(place).copied().unwrap_or_default();
            writeln!(self.out, "{word:<5}  {:<11}  {}", finding.about, finding.what.replace('\n', "\n                    "))?;
            for line in finding.mend.iter().flat_map(|mend| mend.lines()) {
                writeln!(self.out, "                      → {line}")?;
            }
        }
        Ok(self.out.flush()?)
    }

    fn end(self) -> Result<(), Failed> {
        match self.counts {
            [_, _, 0] => Ok(()),
            [_, _, 1] => Err(Failed(String::from("1 thing is wrong"))),
            [_, _, wrong] => Err(Failed(format!("{wrong} things are wrong"))),
        }
    }
}

/// What `check` says.
fn files(configuration: &Configuration) -> Vec<Finding> {
    let shown = configuration.file.display();
    match gateway::check(configuration) {
        Ok(remarks) if remarks.is_empty() => vec![Finding::ok("files", format!("{shown} and all that it names"))],
        Ok(remarks) => remarks.into_iter().map(|remark| Finding::warn("files", remark, "waxseal check says the same")).collect(),
        Err(Failed(mistakes)) => vec![Finding::wrong("files", mistakes, "waxseal check reads them again")],
    }
}

/// The gateway itself, if it runs, and what it thinks of the clock.
async fn running(configuration: &Configuration) -> Vec<Finding> {
    let socket = configuration.control_socket();
    let ask = async |request| tokio::time::timeout(PATIENCE, control::ask(&socket, &request)).await;
    let ours = env!("CARGO_PKG_VERSION");
    let about = match ask(Request::About).await {
        Ok(Ok(Answer::About { release })) if release == ours => Finding::ok("gateway", format!("runs, release {release}")),
        Ok(Ok(Answer::About { release })) => {
            Finding::warn("gateway", format!("runs release {release}, this is {ours}"), "restart it: systemctl restart waxseal")
        }
        Ok(Ok(_)) => Finding::warn("gateway", "runs another release than this one", "restart it: systemctl restart waxseal"),
        Ok(Err(error)) => {
            return vec![Finding::wrong(
                "gateway",
                format!("does not answer at {}: {error}", socket.display()),
                "waxseal serve; or run doctor as the user that it runs as",
            )];
        }
        Err(_) => {
            return vec![Finding::wrong(
                "gateway",
                format!("takes no request at {}", socket.display()),
                "its log says what it is busy with",
            )];
        }
    };
    let clock = match ask(Request::Clock).await {
        Ok(Ok(Answer::Clock { doubt: Some(doubt), .. })) => {
            Finding::wrong("clock", doubt, "set the clock right; if it is: waxseal clock believe")
        }
        Ok(Ok(Answer::Clock { doubt: None, .. })) => place::clock(),
        Ok(_) | Err(_) => Finding::warn("clock", "the gateway does not say what it thinks of it", "waxseal clock show"),
    };
    vec![about, clock]
}

/// Longer than a healthy answer takes.
const PATIENCE: Duration = Duration::from_secs(10);
