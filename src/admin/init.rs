//! `waxseal init`: a working set-up in one directory, by flags or by answers.
//!
//! Nothing that exists is overwritten: a directory that holds a configuration is refused, and a key
//! is never made over one that may have sealed something.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Failed;
use crate::crypto::{Kek, KeyRing};
use crate::mail::Domain;
use crate::policy;
use crate::transform::dkim;

/// Flags of the command; what is absent is asked for, or takes its default.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Where everything is written.
    #[arg(long, default_value = "waxseal")]
    pub directory: PathBuf,
    /// A mail domain of the organisation; may be given several times.
    #[arg(long)]
    pub domain: Vec<String>,
    /// The organisation's name.
    #[arg(long)]
    pub name: Option<String>,
    /// The gateway's own host name.
    #[arg(long)]
    pub hostname: Option<String>,
    /// Where mail goes next, as host:port.
    #[arg(long)]
    pub next_hop: Option<String>,
    /// Where mail comes in, as address:port.
    #[arg(long)]
    pub smtp: Option<String>,
    /// Where the pages are served, as address:port.
    #[arg(long)]
    pub web: Option<String>,
    /// What links begin with, as https://secure.example.org.
    #[arg(long)]
    pub base_url: Option<String>,
    /// Networks that may relay; may be given several times.
    #[arg(long)]
    pub relay_network: Vec<String>,
    /// Ask nothing.
    #[arg(long)]
    pub yes: bool,
}

/// Answers, complete.
struct Answers {
    domains: Vec<Domain>,
    name: String,
    hostname: Domain,
    next_hop: String,
    smtp: String,
    web: String,
    base_url: String,
    relay_networks: Vec<String>,
}

/// Writes the set-up and says what to do with it.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failed> {
    let directory = arguments.directory.as_path();
    if directory.join(CONFIGURATION).exists() {
        return Err(Failed(format!("{}: there is a configuration already; nothing was changed", directory.join(CONFIGURATION).display())));
    }
    let answers = Answers::gather(arguments, out)?;
    for folder in ["", "data", "keys", "keys/dkim", "certs", "rules", "policies", "policies/tests"] {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory.join(folder))?;
    }
    let sheet = keys(directory)?;
    certificate(directory, &answers.hostname)?;
    supplied(directory)?;
    let mut records = Vec::new();
    for domain in &answers.domains {
        records.extend(dkim::generate(&directory.join("keys/dkim"), domain, SELECTOR)?);
    }
    // The configuration comes last: with it the set-up is complete, without it `init` can be run again.
    put(&directory.join(CONFIGURATION), &answers.configuration(), 0o600)?;
    summary(directory, &sheet, &records, out)
}

impl Answers {
    fn gather(arguments: &Arguments, out: &mut dyn Write) -> Result<Self, Failed> {
        let mut asked = Questions { out, may_ask: !arguments.yes && io::stdin().is_terminal() };
        let domains = if arguments.domain.is_empty() {
            asked.answer(None, "Mail domains of the organisation, separated by spaces", "")?.split_whitespace().map(String::from).collect()
        } else {
            arguments.domain.clone()
        };
        if domains.is_empty() {
            return Err(Failed(String::from("no domain is named: --domain example.org says what is internal")));
        }
        let domains = domains.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
        let first = domains.first().map(ToString::to_string).unwrap_or_default();
        let hostname = asked.answer(arguments.hostname.as_ref(), "Host name of this gateway", &format!("mail.{first}"))?;
        Ok(Self {
            name: asked.answer(arguments.name.as_ref(), "Name of the organisation", &first)?,
            hostname: parse(&hostname)?,
            next_hop: asked.answer(arguments.next_hop.as_ref(), "Where mail goes next (host:port)", "127.0.0.1:10025")?,
            smtp: asked.answer(arguments.smtp.as_ref(), "Where mail comes in (address:port)", "127.0.0.1:10024")?,
            web: asked.answer(arguments.web.as_ref(), "Where the pages are served (address:port)", "0.0.0.0:443")?,
            base_url: asked.answer(arguments.base_url.as_ref(), "What links begin with", &format!("https://secure.{first}"))?,
            relay_networks: match arguments.relay_network.as_slice() {
                [] => vec![String::from("127.0.0.0/8"), String::from("::1/128")],
                named => named.to_vec(),
            },
            domains,
        })
    }

    fn configuration(&self) -> String {
        let domains: Vec<String> = self.domains.iter().map(ToString::to_string).collect();
        format!(
            "# Waxseal. `waxseal config describe` prints every option with its meaning and default.\n\n\
             [house]\nname = {}\ndomains = {}\nhostname = {}\nsupport = {}\n\n\
             [smtp]\n# STARTTLS for servers, STARTTLS for people (587), TLS from the first octet (465).\n\
             listen = [{}]\nsubmission = []\nlisten_tls = []\nrelay_networks = {}\n\n\
             [relay]\nnext_hop = {}\n\n\
             [web]\nlisten = {}\nbase_url = {}\n",
            quoted(&self.name),
            list(&domains),
            quoted(self.hostname.as_str()),
            quoted(&format!("postmaster@{}", domains.first().cloned().unwrap_or_default())),
            quoted(&self.smtp),
            list(&self.relay_networks),
            quoted(&self.next_hop),
            quoted(&self.web),
            quoted(&self.base_url),
        )
    }
}

/// Asks on the terminal, or takes flags and defaults alone.
struct Questions<'a> {
    out: &'a mut dyn Write,
    may_ask: bool,
}

impl Questions<'_> {
    fn answer(&mut self, given: Option<&String>, question: &str, default: &str) -> Result<String, Failed> {
        if let Some(given) = given {
            return Ok(given.clone());
        }
        if !self.may_ask {
            return Ok(default.to_owned());
        }
        write!(self.out, "{question} [{default}]: ")?;
        self.out.flush()?;
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        Ok(if line.trim().is_empty() { default.to_owned() } else { line.trim().to_owned() })
    }
}

fn parse(text: &str) -> Result<Domain, Failed> {
    Domain::parse(text).map_err(|bad| Failed(format!("\"{text}\": {bad}")))
}

/// Key-encryption key and ring; gives the recovery sheet.
fn keys(directory: &Path) -> Result<String, Failed> {
    let kek = Kek::create(&directory.join("keys/kek"))?;
    KeyRing::generate().write(&directory.join("keys/ring"), &kek)?;
    put(&directory.join(SHEET), &kek.sheet(), 0o400)?;
    Ok(SHEET.to_owned())
}

/// A certificate of our own, so that TLS works from the first minute; to be replaced by a real one.
fn certificate(directory: &Path, hostname: &Domain) -> Result<(), Failed> {
    let made = rcgen::generate_simple_self_signed(vec![hostname.to_string()]).map_err(|error| Failed(error.to_string()))?;
    let folder = directory.join("certs").join(hostname.as_str());
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    put(&folder.join("fullchain.pem"), &made.cert.pem(), 0o644)?;
    put(&folder.join("privkey.pem"), &made.signing_key.serialize_pem(), 0o600)
}

/// The rules and policies that come with the gateway, as files to be changed at will.
fn supplied(directory: &Path) -> Result<(), Failed> {
    for (name, text) in policy::supplied() {
        put(&directory.join(name), text, 0o640)?;
    }
    Ok(())
}

/// A new file with its mode from the first moment on.
fn put(path: &Path, text: &str, mode: u32) -> Result<(), Failed> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(|error| Failed(format!("{}: {error}", path.display())))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(())
}

fn summary(directory: &Path, sheet: &str, records: &[(String, String)], out: &mut dyn Write) -> Result<(), Failed> {
    let at = directory.display();
    writeln!(out, "The set-up is in {at}.\n")?;
    writeln!(out, "1. Print {at}/{sheet}, lock the paper away, then delete the file.")?;
    writeln!(out, "   Without that key everything that was sealed is lost, for good and for everybody.\n")?;
    writeln!(out, "2. Publish these DNS records, so that mail which the gateway changed is signed:\n")?;
    for (name, value) in records {
        writeln!(out, "   {name}. IN TXT {value}\n")?;
    }
    writeln!(out, "3. Replace the self-signed certificate in {at}/certs by a real one; it is noticed without a restart.\n")?;
    writeln!(out, "4. waxseal check --config {at}/{CONFIGURATION}\n   waxseal serve --config {at}/{CONFIGURATION}")?;
    Ok(())
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn list(texts: &[String]) -> String {
    toml::Value::from(texts.to_vec()).to_string()
}

/// The file that makes a directory a set-up.
const CONFIGURATION: &str = "waxseal.toml";
/// To be printed and deleted.
const SHEET: &str = "recovery-sheet.txt";
/// The first DKIM selector.
const SELECTOR: &str = "waxseal";
