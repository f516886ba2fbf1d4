//! `waxseal init`: a working set-up in one directory, by flags or by answers.
//!
//! Nothing that exists is overwritten: a directory that holds a configuration is refused, and a key
//! is never made over one that may have sealed something.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, IsTerminal, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Failed;
use super::keys::{LOST, SHEET, sheet};
use crate::config::Configuration;
use crate::crypto::{Kek, KeyRing};
use crate::mail::Domain;
use crate::mistake::Mistake;
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
    /// Where mail goes next, as host:port; or mx.
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
    /// Where metrics and the operator's overview are served, as address:port.
    #[arg(long)]
    pub admin: Option<String>,
    /// Networks that may relay; may be given several times.
    #[arg(long)]
    pub relay_network: Vec<String>,
    /// Where waiting mail and parcels are kept; absent is `data` in the directory.
    #[arg(long)]
    pub store: Option<PathBuf>,
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
    admin: Option<String>,
    relay_networks: Vec<String>,
    store: Option<PathBuf>,
}

/// Writes the set-up and says what to do with it.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failed> {
    let directory = arguments.directory.as_path();
    let file = directory.join(CONFIGURATION);
    if file.exists() {
        return Err(Failed(format!("{}: there is a configuration already; nothing was changed", file.display())));
    }
    let answers = Answers::gather(arguments, out)?;
    let text = answers.configuration();
    // What `check` would refuse is not written.
    Configuration::parse(&file, &text).map_err(|mistakes| unwritten(&mistakes))?;
    for folder in FOLDERS {
        let folder = directory.join(folder);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|error| Failed(format!("{}: {error}", folder.display())))?;
    }
    keys(directory, answers.domains.first())?;
    certificate(directory, &answers.hostname)?;
    supplied(directory)?;
    let mut records = Vec::new();
    for domain in &answers.domains {
        records.extend(dkim::generate(&directory.join("keys/dkim"), domain, SELECTOR)?);
    }
    // The configuration comes last: a directory without it is no set-up, and says so.
    put(&file, &text, 0o600)?;
    summary(directory, &records, out)
}

/// The mistakes of a configuration that is not there: without places, which nobody could look at.
fn unwritten(mistakes: &[Mistake]) -> Failed {
    let told = mistakes.iter().map(|mistake| match &mistake.help {
        Some(help) => format!("{}\n    {help}", mistake.what),
        None => mistake.what.clone(),
    });
    Failed(told.chain([String::from("nothing was written")]).collect::<Vec<_>>().join("\n"))
}

impl Answers {
    fn gather(arguments: &Arguments, out: &mut dyn Write) -> Result<Self, Failed> {
        let mut asked = Questions { out, may_ask: !arguments.yes && io::stdin().is_terminal() };
        let named = (!arguments.domain.is_empty()).then(|| arguments.domain.join(" "));
        let domains = asked.answer(named.as_ref(), ("Mail domains of the organisation, separated by spaces", ""), domains)?;
        let first = domains.first().map(ToString::to_string).unwrap_or_default();
        let at_first = |host: &str| format!("{host}.{first}");
        Ok(Self {
            name: asked.answer(arguments.name.as_ref(), ("Name of the organisation", &first), anything)?,
            hostname: asked.answer(arguments.hostname.as_ref(), ("Host name of this gateway", &at_first("mail")), domain)?,
            next_hop: asked.answer(
                arguments.next_hop.as_ref(),
                ("Where mail goes next (host:port, or mx for each domain's own mail servers)", "127.0.0.1:10025"),
                hop,
            )?,
            smtp: asked.answer(arguments.smtp.as_ref(), ("Where mail comes in (address:port)", "127.0.0.1:10024"), socket)?,
            web: asked.answer(arguments.web.as_ref(), ("Where the pages are served (address:port)", "[::]:443"), socket)?,
            base_url: asked.answer(
                arguments.base_url.as_ref(),
                ("What links begin with", &format!("https://{}", at_first("secure"))),
                anything,
            )?,
            relay_networks: match arguments.relay_network.as_slice() {
                [] => vec![String::from("127.0.0.0/8"), String::from("::1/128")],
                named => named.to_vec(),
            },
            store: arguments.store.clone(),
            admin: arguments.admin.as_deref().map(socket).transpose()?,
            domains,
        })
    }

    fn configuration(&self) -> String {
        let domains: Vec<String> = self.domains.iter().map(ToString::to_string).collect();
        let admin = self.admin.as_ref().map(|address| format!("\n[admin]\nlisten = [{}]\n", quoted(address))).unwrap_or_default();
        let store = self.store.as_ref().map_or_else(|| String::from("data"), |path| path.display().to_string());
        format!(
            "# Waxseal. `waxseal config describe` prints every option with its meaning and default.\n\n\
             [house]\nname = {}\ndomains = {}\nhostname = {}\nsupport = {}\n\n\
             [smtp]\n# STARTTLS for servers; STARTTLS for people, usually 587; TLS from the first octet, usually 465.\n\
             listen = [{}]\nsubmission = []\nlisten_tls = []\nrelay_networks = {}\n\n\
             [relay]\nnext_hop = {}\n\n\
             [web]\nlisten = {}\nbase_url = {}\n\n\
             [store]\ndirectory = {}\n{admin}",
            quoted(&self.name),
            list(&domains),
            quoted(self.hostname.as_str()),
            quoted(&format!("postmaster@{}", domains.first().cloned().unwrap_or_default())),
            quoted(&self.smtp),
            list(&self.relay_networks),
            quoted(&self.next_hop),
            quoted(&self.web),
            quoted(&self.base_url),
            quoted(&store),
        )
    }
}

/// Asks on the terminal, or takes flags and defaults alone.
struct Questions<'a> {
    out: &'a mut dyn Write,
    may_ask: bool,
}

impl Questions<'_> {
    /// A flag, an answer or a default; who answers wrongly on a terminal is asked again.
    fn answer<T>(
        &mut self,
        given: Option<&String>,
        (question, default): (&str, &str),
        parse: fn(&str) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        match given {
            Some(given) => return parse(given),
            None if !self.may_ask => return parse(default),
            None => {}
        }
        loop {
            write!(self.out, "{question}{}: ", if default.is_empty() { String::new() } else { format!(" [{default}]") })?;
            self.out.flush()?;
            let mut line = String::new();
            if io::stdin().lock().read_line(&mut line)? == 0 {
                return Err(Failed(String::from("the answers ended before the questions; nothing was written")));
            }
            match parse(if line.trim().is_empty() { default } else { line.trim() }) {
                Ok(answer) => return Ok(answer),
                Err(wrong) => writeln!(self.out, "  {wrong}")?,
            }
        }
    }
}

fn anything(text: &str) -> Result<String, Failed> {
    Ok(text.to_owned())
}

fn domain(text: &str) -> Result<Domain, Failed> {
    Domain::parse(text).map_err(|bad| Failed(format!("\"{text}\": {bad}")))
}

fn domains(text: &str) -> Result<Vec<Domain>, Failed> {
    let domains = text.split_whitespace().map(domain).collect::<Result<Vec<_>, _>>()?;
    if domains.is_empty() {
        return Err(Failed(String::from("no domain is named: --domain example.org says what is internal")));
    }
    Ok(domains)
}

fn socket(text: &str) -> Result<String, Failed> {
    match text.parse::<SocketAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err(Failed(format!("\"{text}\" is not address:port, as in 127.0.0.1:25 or [::]:25"))),
    }
}

fn hop(text: &str) -> Result<String, Failed> {
    match text.rsplit_once(':') {
        _ if text == "mx" => Ok(text.to_owned()),
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => Ok(text.to_owned()),
        _ => Err(Failed(format!("\"{text}\" is not host:port, as in smarthost.example.org:587, nor mx"))),
    }
}

/// Key-encryption key and ring, and the sheet that brings the key back.
fn keys(directory: &Path, first: Option<&Domain>) -> Result<(), Failed> {
    let kek = Kek::create(&directory.join("keys/kek"))?;
    KeyRing::generate().write(&directory.join("keys/ring"), &kek)?;
    put(&directory.join(SHEET), &sheet(&kek, first), 0o400)
}

/// A certificate of our own, so that TLS works from the first minute; to be replaced by a real one.
fn certificate(directory: &Path, hostname: &Domain) -> Result<(), Failed> {
    let wrong = |error: rcgen::Error| Failed(error.to_string());
    let mut asked = rcgen::CertificateParams::new(vec![hostname.to_string()]).map_err(wrong)?;
    asked.distinguished_name = rcgen::DistinguishedName::new();
    asked.distinguished_name.push(rcgen::DnType::CommonName, hostname.as_str());
    let key = rcgen::KeyPair::generate().map_err(wrong)?;
    let made = asked.self_signed(&key).map_err(wrong)?;
    let folder = directory.join("certs").join(hostname.as_str());
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    put(&folder.join("fullchain.pem"), &made.pem(), 0o644)?;
    put(&folder.join("privkey.pem"), &key.serialize_pem(), 0o600)
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

fn summary(directory: &Path, records: &[(String, String)], out: &mut dyn Write) -> Result<(), Failed> {
    let at = directory.display();
    writeln!(out, "The set-up is in {at}.\n")?;
    writeln!(out, "1. Print {at}/{SHEET}, lock the paper away, then delete the file.")?;
    writeln!(out, "   {LOST}\n   `waxseal recover` brings the key back; the slots come from a backup of their own.\n")?;
    writeln!(out, "2. Publish these DNS records, so that the signatures of mail which the gateway changed can be verified:\n")?;
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
/// Readable by nobody else, all of them.
const FOLDERS: [&str; 7] = ["", "keys", "keys/dkim", "certs", "rules", "policies", "policies/tests"];
/// The first DKIM selector.
const SELECTOR: &str = "waxseal";
