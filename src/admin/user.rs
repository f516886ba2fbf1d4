//! `waxseal user add`: a line of the users file, the password read without being shown or logged.

use std::fs::OpenOptions;
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::{Failed, owner};
use crate::config::Configuration;
use crate::crypto::password;
use crate::mail::Mailbox;
use crate::secret::Secret;
use crate::smtp::users::SendAs;

/// What to do with the users file.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Verb {
    /// Add somebody; the password is asked for, or the first line of standard input.
    Add {
        /// The name for AUTH.
        name: String,
        /// An address that this user may send as, or `@domain` for all of a domain; may be given several times. Absent is the name itself.
        #[arg(long)]
        address: Vec<String>,
    },
}

/// Adds the line.
pub fn run(verb: &Verb, configuration: &Path, out: &mut dyn Write) -> Result<(), Failed> {
    let Verb::Add { name, address } = verb;
    let configuration = Configuration::read(configuration)?;
    let Some(file) = &configuration.smtp.users_file else {
        return Err(Failed(String::from("no users file is named: users_file = \"users\" in [smtp] of the configuration")));
    };
    let path = configuration.path(file);
    if name.is_empty() || name.contains([':', '\n', '#']) || name.chars().any(char::is_whitespace) {
        return Err(Failed(format!("\"{name}\": a name has no colon, no # and no white space")));
    }
    if address.is_empty() && Mailbox::parse(name).is_err() {
        return Err(Failed(format!("\"{name}\" is not an address and has none that it may send as\n    --address says which")));
    }
    for text in address {
        SendAs::parse(text).map_err(|bad| Failed(format!("\"{text}\": {bad}")))?;
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    if known.lines().any(|line| line.split(':').next() == Some(name)) {
        return Err(Failed(format!("{}: {name} is there already; remove the line to set a new password", path.display())));
    }
    let hash = password::hash(&typed()?);
    let mut users = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| Failed(format!("{}: {error}", path.display())))?;
    writeln!(users, "{name}:{hash}:{}", address.join(","))?;
    users.sync_all()?;
    owner::like_its_folder(&path)?;
    writeln!(out, "{}: {name} may send", path.display())?;
    Ok(())
}

fn typed() -> Result<Secret<String>, Failed> {
    let stdin = io::stdin();
    let line = if stdin.is_terminal() { unseen(&stdin)? } else { line(&stdin)? };
    let password = Secret::new(line.expose().trim_end_matches(['\r', '\n']).to_owned());
    if password.expose().chars().count() < LEAST {
        return Err(Failed(format!("a password needs {LEAST} characters or more; it is the first line of standard input")));
    }
    Ok(password)
}

fn line(stdin: &io::Stdin) -> Result<Secret<String>, Failed> {
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    Ok(Secret::new(line))
}

/// A line of a terminal that does not show what is typed.
fn unseen(stdin: &io::Stdin) -> Result<Secret<String>, Failed> {
    let trouble = |error: rustix::io::Errno| Failed(format!("the terminal: {error}"));
    let usual = tcgetattr(stdin).map_err(trouble)?;
    let mut silent = usual.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    write!(io::stderr(), "Password: ")?;
    tcsetattr(stdin, OptionalActions::Flush, &silent).map_err(trouble)?;
    let typed = line(stdin);
    tcsetattr(stdin, OptionalActions::Flush, &usual).map_err(trouble)?;
    writeln!(io::stderr())?;
    typed
}

/// NIST SP 800-63B §5.1.1.2 asks for eight; a password that a program keeps may be longer.
const LEAST: usize = 12;
