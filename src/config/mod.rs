//! Text → the `Options` that each module declares; every mistake with file, line and help.
//!
//! `waxseal.toml` has one table for each module; each key is read by itself, so all mistakes of a
//! file are told at once. Paths are relative to the directory of the file.

use std::path::{Path, PathBuf};

use crate::mail::{Admd, Domain, Mailbox};
use crate::mistake::Mistake;
use crate::net::dns;
use crate::option::Described;
use crate::smtp::rights::{CertificateOptions, CloudOptions, Grants};
use crate::words::{Brand, Language};
use crate::{channel, monitor, policy, queue, relay, smtp, transport, web};

mod check;
mod describe;
mod file;
mod renew;

pub use describe::describe;
use file::File;
pub use renew::Renewed;

crate::options! {
    /// The organisation served.
    pub struct House {
        /// Its name, as mails and pages show it.
        name: String = String::from("Our organisation"),
        /// Its mail domains: what is internal. Subdomains count only when they are listed.
        domains: Vec<String> = Vec::new(),
        /// The gateway's own host name in banners, trace fields and message ids.
        hostname: String = String::new(),
        /// Who our own notices come from, and who reads what is addressed to `postmaster` or `abuse` at the hostname; absent is `postmaster` at the first domain.
        postmaster: Option<String> = None,
        /// The organisation's language: `en` or `sv`.
        language: Language = Language::English,
        /// Its time zone, by the names of the IANA database.
        time_zone: String = String::from("UTC"),
        /// Who to ask, one line shown on every page and in every notice.
        support: String = String::new(),
        /// Accent colour of pages and mails, `#rrggbb`; darkened or lightened where its contrast is too low.
        accent: String = String::from("#8a1c2b"),
        /// Directory with templates that replace ours.
        templates: Option<PathBuf> = None,
    }
}

crate::options! {
    /// Where state, keys, rules and policies are kept.
    pub struct Store {
        /// Records, blobs, slots and the control socket. Only the service may read it.
        directory: PathBuf = PathBuf::from("data"),
        /// The key-encryption key: a file of mode 0400, or a systemd credential by its path.
        kek: PathBuf = PathBuf::from("keys/kek"),
        /// The sealed key ring.
        ring: PathBuf = PathBuf::from("keys/ring"),
        /// DKIM keys, `<domain>/<selector>.rsa.pem` and `.ed25519.pem`.
        dkim: PathBuf = PathBuf::from("keys/dkim"),
        /// Certificates, `<name>/fullchain.pem` and `privkey.pem`; read again when they change.
        certs: PathBuf = PathBuf::from("certs"),
        /// What can be recognised: one file for each rule.
        rules: PathBuf = PathBuf::from("rules"),
        /// Who gets what; their tests in `tests` beside them.
        policies: PathBuf = PathBuf::from("policies"),
        /// Bytes that stay free: below this, mail is answered 452 until there is room.
        reserve: u64 = 64 * 1024 * 1024,
    }
}

crate::options! {
    /// The log: one line for each fate, with its ids.
    pub struct Log {
        /// `text` or `json` on standard error, or `journald`: straight to the journal, each id a field of its own.
        format: LogFormat = LogFormat::Text,
        /// `error`, `warn`, `info`, `debug`.
        level: String = String::from("info"),
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
    /// For systemd's journal.
    Journald,
}

/// Everything that one file says, checked.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The file.
    pub file: PathBuf,
    /// Its directory: every relative path starts here.
    pub directory: PathBuf,
    /// `[house]`
    pub house: House,
    /// `[store]`
    pub store: Store,
    /// `[smtp]`
    pub smtp: smtp::Options,
    /// `[[smtp.certificates]]` and `[[smtp.clouds]]`
    pub grants: Grants,
    /// `[policy]`
    pub policy: policy::Options,
    /// `[queue]`
    pub queue: queue::Options,
    /// `[relay]` and its routes.
    pub relay: relay::Ways,
    /// `[transport]`
    pub transport: transport::Options,
    /// `[dns]`
    pub dns: dns::Options,
    /// `[web]`
    pub web: web::Options,
    /// `[channel]`
    pub channel: channel::Options,
    /// `[admin]`
    pub admin: monitor::Options,
    /// `[log]`
    pub log: Log,
    /// What `[house]` means to mail.
    pub admd: Admd,
    /// What `[house]` means to people.
    pub brand: Brand,
}

impl Configuration {
    /// Reads and checks a file: all mistakes, or a configuration without any.
    pub fn read(path: &Path) -> Result<Self, Vec<Mistake>> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let help = if error.kind() == std::io::ErrorKind::NotFound {
                "`waxseal init` writes a configuration; --config names one that is elsewhere"
            } else {
                "the user that runs this command must be able to read it"
            };
            vec![Mistake::whole(path, format!("the configuration cannot be read: {error}")).help(help)]
        })?;
        Self::parse(path, &text)
    }

    /// The same for text that was read before.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Vec<Mistake>> {
        let mut file = File::parse(path, text)?;
        let house: House = file.fill("house", &House::describe());
        let store: Store = file.fill("store", &Store::describe());
        let certificates = file.fill_each(("smtp", "certificates"), &CertificateOptions::describe());
        let clouds = file.fill_each(("smtp", "clouds"), &CloudOptions::describe());
        let grants = Grants { certificates, clouds };
        let smtp: smtp::Options = file.fill("smtp", &smtp::Options::describe());
        let policy: policy::Options = file.fill("policy", &policy::Options::describe());
        let queue: queue::Options = file.fill("queue", &queue::Options::describe());
        let routes = file.fill_each(("relay", "routes"), &relay::RouteOptions::describe());
        let relay = relay::Ways { rest: file.fill("relay", &relay::Options::describe()), routes };
        let transport: transport::Options = file.fill("transport", &transport::Options::describe());
        let dns: dns::Options = file.fill("dns", &dns::Options::describe());
        let web: web::Options = file.fill("web", &web::Options::describe());
        let channel: channel::Options = file.fill("channel", &channel::Options::describe());
        let admin: monitor::Options = file.fill("admin", &monitor::Options::describe());
        let log: Log = file.fill("log", &Log::describe());
        file.unknown_tables(&TABLES);
        let admd = check::admd(&house, &mut file);
        let brand = check::brand(&house, &web, &mut file);
        check::rights((&smtp.relay_networks, &grants), &mut file);
        check::old_hosts(&web, &mut file);
        check::relay((&relay, admd.as_ref()), &mut file);
        check::limits((&smtp, &web), ((&relay.rest, &transport), &queue), &mut file);
        check::channel(&channel, &mut file);
        check::dns(&dns, &mut file);
        check::log(&log, &mut file);
        check::listeners((&smtp, &web, &admin), &mut file);
        let (place, directory) = (path.to_owned(), path.parent().map(Path::to_owned).unwrap_or_default());
        match (file.finish(), admd, brand) {
            (Ok(()), Some(admd), Some(brand)) => Ok(Self {
                file: place,
                directory,
                house,
                store,
                smtp,
                grants,
                policy,
                queue,
                relay,
                transport,
                dns,
                web,
                channel,
                admin,
                log,
                admd,
                brand,
            }),
            (finished, ..) => Err(finished.err().unwrap_or_default()),
        }
    }

    /// A path of the file, from where the file is.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.directory.join(path)
    }

    /// The socket of the operator's verbs.
    pub fn control_socket(&self) -> PathBuf {
        self.path(&self.store.directory).join("control.sock")
    }
}

/// The tables of the file, in the order of the reference.
const TABLES: [&str; 12] = ["house", "smtp", "relay", "transport", "dns", "web", "channel", "policy", "queue", "store", "admin", "log"];
