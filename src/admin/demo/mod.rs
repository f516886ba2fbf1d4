//! `waxseal demo`: the whole product on a laptop with nothing else.
//!
//! A gateway in a directory of its own, a next hop that shows what every mailbox received, three
//! mails through real SMTP, and then all of it stays up to be played with. Everything listens on
//! loopback.

use std::io::Write;
use std::path::PathBuf;

use tokio::net::TcpListener;

use super::{Failed, init};
use crate::clock::Clock;
use crate::config::Configuration;
use crate::gateway::Gateway;
use crate::mail::{BodyType, Domain, Envelope, Mailbox, Recipient, RequireTls, ReversePath, Utf8};
use crate::smtp::client::{Body, Connection, Hop, Protocol, Security};

mod overview;
mod samples;
mod sink;

/// Flags of the command.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Where the demo keeps its state; absent is a temporary directory that goes with it.
    #[arg(long)]
    pub directory: Option<PathBuf>,
    /// Port of the gateway's SMTP; 0 takes a free one.
    #[arg(long, default_value_t = 2525)]
    pub smtp_port: u16,
    /// Port of the pages that links open; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    pub web_port: u16,
    /// Port of the operator's overview; 0 takes a free one.
    #[arg(long, default_value_t = 9925)]
    pub admin_port: u16,
    /// Port of the overview of all mailboxes; 0 takes a free one.
    #[arg(long, default_value_t = 8025)]
    pub overview_port: u16,
}

/// Shows the product until it is interrupted.
pub async fn run(arguments: &Arguments, clock: Clock, out: &mut dyn Write) -> Result<(), Failed> {
    let place = Place::new(arguments.directory.clone())?;
    let mailboxes = sink::Mailboxes::default();
    let hop = TcpListener::bind(("127.0.0.1", 0)).await?;
    let overview = listen(arguments.overview_port).await?;
    let (smtp_port, web_port) = (free(arguments.smtp_port).await?, free(arguments.web_port).await?);
    let admin_port = free(arguments.admin_port).await?;
    let configuration = set_up(&place, hop.local_addr()?.port(), [smtp_port, web_port, admin_port])?;
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(sink::run(hop, mailboxes.clone()));
    let overview_address = overview.local_addr()?;
    let pages = overview::router(mailboxes.clone());
    tasks.spawn(async move {
        let _ = axum::serve(overview, pages).await;
    });
    let gateway = Gateway::open(configuration, clock.clone())?.bind()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(gateway.run(async move {
        let _ = stopped.await;
    }));
    writeln!(out, "Waxseal demo. Three mails go through the gateway on 127.0.0.1:{smtp_port}.\n")?;
    send(smtp_port, &clock, out).await?;
    links(&mailboxes, out).await?;
    writeln!(out, "\nAll mailboxes:  http://{overview_address}/\nThe operator:   http://127.0.0.1:{admin_port}/")?;
    writeln!(
        out,
        "Send your own:  swaks --server 127.0.0.1:{smtp_port} --from emma@clinic.example --to you@mail.example --attach @README.md"
    )?;
    writeln!(out, "\nCtrl-C ends the demo.")?;
    out.flush()?;
    let _ = tokio::signal::ctrl_c().await;
    let _ = stop.send(());
    running.await.map_err(|error| Failed(error.to_string()))?
}

/// The demo's directory; a temporary one is removed at the end.
struct Place {
    path: PathBuf,
    temporary: bool,
}

impl Place {
    fn new(given: Option<PathBuf>) -> Result<Self, Failed> {
        let temporary = given.is_none();
        let path = given.unwrap_or_else(|| std::env::temp_dir().join(format!("waxseal-demo-{}", std::process::id())));
        if path.join("waxseal.toml").exists() {
            return Err(Failed(format!("{}: holds a set-up already; the demo wants a directory of its own", path.display())));
        }
        Ok(Self { path, temporary })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

fn set_up(place: &Place, hop: u16, [smtp, web, admin]: [u16; 3]) -> Result<Configuration, Failed> {
    let arguments = init::Arguments {
        directory: place.path.clone(),
        domain: vec![String::from("clinic.example")],
        name: Some(String::from("Example Clinic")),
        hostname: Some(String::from("gateway.clinic.example")),
        next_hop: Some(format!("127.0.0.1:{hop}")),
        smtp: Some(format!("127.0.0.1:{smtp}")),
        web: Some(format!("127.0.0.1:{web}")),
        base_url: Some(format!("http://127.0.0.1:{web}")),
        admin: Some(format!("127.0.0.1:{admin}")),
        relay_network: Vec::new(),
        store: None,
        yes: true,
    };
    init::run(&arguments, &mut std::io::sink())?;
    Ok(Configuration::read(&place.path.join("waxseal.toml"))?)
}

async fn send(port: u16, clock: &Clock, out: &mut dyn Write) -> Result<(), Failed> {
    let hop = Hop { host: String::from("127.0.0.1"), port, address: None, source: None, protocol: Protocol::Smtp };
    let hello = Domain::parse("laptop.clinic.example").map_err(|bad| Failed(bad.to_string()))?;
    let mut connection = Connection::open(&hop, &hello, &Security::None, None).await.map_err(|trouble| Failed(trouble.said.words))?;
    for (number, sample) in samples::samples(clock.now()).into_iter().enumerate() {
        let envelope = envelope(sample.from, sample.to)?;
        let size = u64::try_from(sample.octets.len()).unwrap_or_default();
        connection.send(&envelope, Body::Memory(vec![sample.octets.into()]), size).await.map_err(|trouble| Failed(trouble.said.words))?;
        writeln!(out, "  {}. {} → {}: {}", number + 1, sample.from, sample.to.join(", "), sample.shows)?;
    }
    Ok(())
}

fn envelope(from: &str, to: &[&str]) -> Result<Envelope, Failed> {
    let parse = |text: &str| Mailbox::parse(text).map_err(|bad| Failed(bad.to_string()));
    let recipients = to.iter().map(|text| parse(text).map(Recipient::new)).collect::<Result<_, _>>()?;
    Ok(Envelope {
        reverse_path: ReversePath::Mailbox(parse(from)?),
        recipients,
        ret: None,
        envelope_id: None,
        body: BodyType::EightBitMime,
        utf8: Utf8::No,
        require_tls: RequireTls::No,
    })
}

/// Waits until the three mails arrived, then prints the links that came out.
async fn links(mailboxes: &sink::Mailboxes, out: &mut dyn Write) -> Result<(), Failed> {
    for _ in 0..PATIENCE {
        if mailboxes.all().len() >= EXPECTED {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    writeln!(out, "\nWhat came out:\n")?;
    for message in mailboxes.all() {
        let view = overview::View::of(&message);
        match view.link {
            Some(link) => writeln!(out, "  {}: a link, {link}", message.to.join(", "))?,
            None => writeln!(out, "  {}: the original, {} octets", message.to.join(", "), message.octets.len())?,
        }
    }
    Ok(())
}

async fn listen(port: u16) -> Result<TcpListener, Failed> {
    let address = ("127.0.0.1", port);
    TcpListener::bind(address)
        .await
        .map_err(|error| Failed(format!("127.0.0.1:{port}: {error}; another port can be named, see `waxseal demo --help`")))
}

/// The port itself, or a free one where none is named; in use is said before anything starts.
async fn free(port: u16) -> Result<u16, Failed> {
    Ok(listen(port).await?.local_addr()?.port())
}

/// One mail stays inside, one goes out as a link, one does both.
const EXPECTED: usize = 4;
/// Tenths of a second.
const PATIENCE: usize = 100;
