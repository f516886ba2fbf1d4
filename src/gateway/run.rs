//! From ready to drained: every listener and runner, each with an owner that waits for its end.

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::watch::{EVERY, Watched};
use super::{Failed, Gateway, control};
use crate::event::{self, Event};
use crate::failpoint;
use crate::monitor;
use crate::net::client_certificate::Ask;
use crate::net::descriptors::{self, Shares};
use crate::net::listen::{self, Inherited};
use crate::net::tls;
use crate::smtp::server::{Server, Setup, Start};
use crate::store::Fault;
use crate::web;

/// Comes once, to everybody at the same time.
#[derive(Clone)]
struct Stop(watch::Receiver<()>);

impl Stop {
    async fn come(mut self) {
        // Nothing is ever sent: the sender goes, and that is the signal.
        let _ = self.0.changed().await;
    }
}

/// Sockets that are open and not yet served.
struct Sockets {
    mail: Vec<(TcpListener, Start)>,
    web: Vec<TcpListener>,
    admin: Vec<TcpListener>,
    control: tokio::net::UnixListener,
}

/// A gateway whose ports are open: who connects now waits for an answer.
pub struct Ready {
    gateway: Gateway,
    sockets: Sockets,
}

impl Ready {
    /// Serves until `stop`, then drains: no new connection, open sessions and attempts get their time. Where a part that is
    /// not somebody's session breaks off, it ends at once, for whoever watches it to start it again: what was acknowledged is
    /// on the disk, and half a gateway would take mail that it does not send.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<(), Failed> {
        let Self { gateway, sockets } = self;
        let gateway = Arc::new(gateway);
        let (told, stopped) = watch::channel(());
        let stopped = Stop(stopped);
        let mut tasks = JoinSet::new();
        gateway.serve_mail(sockets.mail, &stopped, &mut tasks)?;
        gateway.serve_pages(sockets.web, &stopped, &mut tasks)?;
        gateway.serve_operator(sockets.admin, &stopped, &mut tasks)?;
        gateway.keep_up(sockets.control, &stopped, &mut tasks)?;
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        tokio::select! {
            () = stop => {}
            () = broken(&mut tasks) => return Err(Failed(String::from("a part of the gateway broke off; it runs whole or not at all"))),
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        drop(told);
        let drained = tokio::time::timeout(DRAIN, async { while tasks.join_next().await.is_some() {} }).await;
        let result = if drained.is_ok() { "drained" } else { "cut at the end of the drain time" };
        event::emit(&Event::Upkeep { what: "stop", result });
        Ok(())
    }
}

impl Gateway {
    /// Opens every port before anything is served: a gateway runs whole or not at all. Shares of the
    /// descriptors are taken from what the system allows, not from what a shell gave us.
    pub fn bind(self) -> Result<Ready, Failed> {
        descriptors::raise();
        report(Shares::now());
        let sockets = self.sockets()?;
        Ok(Ready { gateway: self, sockets })
    }

    fn sockets(&self) -> Result<Sockets, Failed> {
        let mut inherited = Inherited::from_environment();
        let configuration = self.configuration.load();
        let smtp = &configuration.smtp;
        let places =
            [("smtp", &smtp.listen, Start::Plain), ("submission", &smtp.submission, Start::Plain), ("smtps", &smtp.listen_tls, Start::Tls)];
        let mut mail = Vec::new();
        for (name, addresses, start) in places {
            mail.extend(take(&mut inherited, name, addresses)?.into_iter().map(|listener| (listener, start)));
        }
        let web = take(&mut inherited, "https", &[configuration.web.listen])?;
        let admin = take(&mut inherited, "admin", &configuration.admin.listen)?;
        if let Some(name) = inherited.left().first() {
            let what = format!("a socket named \"{name}\" was handed over, and nothing here answers on it");
            return Err(Failed(format!("{what}\n    names for FileDescriptorName=: smtp, submission, smtps, https, admin")));
        }
        let path = configuration.control_socket();
        let control = control::listen(&path).map_err(|error| Failed(format!("{}: {error}", path.display())))?;
        Ok(Sockets { mail, web, admin, control })
    }

    fn serve_mail(&self, listeners: Vec<(TcpListener, Start)>, stop: &Stop, tasks: &mut JoinSet<()>) -> Result<(), Failed> {
        let configuration = self.configuration.load();
        let setup = Setup {
            admd: configuration.admd.clone(),
            options: configuration.smtp.clone(),
            rights: self.rights.clone(),
            clock: self.base.clock.clone(),
            users: self.users.clone(),
            tls: Some(tls::server_config(self.certificates.clone(), &[], self.rights.load().ask())?),
            spool: configuration.path(&configuration.store.directory),
        };
        let server = Server::new(self.desk.clone(), setup);
        self.condition.serves(server.clone());
        for (listener, start) in listeners {
            tasks.spawn(server.clone().run(listener, start, stop.clone().come()));
        }
        Ok(())
    }

    fn serve_pages(&self, listeners: Vec<TcpListener>, stop: &Stop, tasks: &mut JoinSet<()>) -> Result<(), Failed> {
        // Without https in front of the links there is nothing to present a certificate for.
        let configuration = self.configuration.load();
        let tls = match configuration.brand.base_url.starts_with("https://") && configuration.web.tls == web::Tls::Here {
            true => Some(tls::server_config(self.certificates.clone(), &[b"h2", b"http/1.1"], Ask::No)?),
            false => None,
        };
        for listener in listeners {
            let service = if tls.is_some() { "https" } else { "http" };
            event::emit(&Event::Listening { service, address: listener.local_addr()? });
            tasks.spawn(web::serve(listener, tls.clone(), self.shown.clone(), stop.clone().come()));
        }
        Ok(())
    }

    fn serve_operator(self: &Arc<Self>, listeners: Vec<TcpListener>, stop: &Stop, tasks: &mut JoinSet<()>) -> Result<(), Failed> {
        let app = monitor::App::new(self.clone(), self.configuration.load().admd.hostname.as_str())?;
        if !listeners.is_empty() {
            tasks.spawn(until(stop.clone(), app.clone().remember()));
            tasks.spawn(until(stop.clone(), self.clone().measure()));
        }
        for listener in listeners {
            event::emit(&Event::Listening { service: "admin", address: listener.local_addr()? });
            tasks.spawn(monitor::serve(listener, app.clone(), stop.clone().come()));
        }
        Ok(())
    }

    /// Everything that runs without being asked by a stranger.
    fn keep_up(self: &Arc<Self>, control: tokio::net::UnixListener, stop: &Stop, tasks: &mut JoinSet<()>) -> Result<(), Failed> {
        let (relay, running, stopping) = (self.base.relay.clone(), self.condition.relays(), stop.clone().come());
        tasks.spawn(async move {
            let _running = running;
            relay.run(stopping).await;
        });
        let gateway = self.clone();
        tasks.spawn(until(stop.clone(), async move { control::serve(control, gateway).await }));
        tasks.spawn(until(stop.clone(), self.clone().reload_on_change(signal(SignalKind::hangup())?)));
        tasks.spawn(until(stop.clone(), self.clone().sweep()));
        tasks.spawn(until(stop.clone(), self.clone().watch_clock()));
        tasks.spawn(self.clone().keep_counts(stop.clone().come()));
        tasks.spawn(until(stop.clone(), self.clone().watch_drain()));
        tasks.spawn(until(stop.clone(), watchdog()));
        Ok(())
    }

    async fn reload_on_change(self: Arc<Self>, mut hangup: tokio::signal::unix::Signal) {
        let mut watched = Watched::new(self.watched());
        loop {
            let changed = tokio::select! {
                _ = hangup.recv() => true,
                () = tokio::time::sleep(EVERY) => watched.has_changed(),
            };
            if changed {
                let gateway = self.clone();
                let _ = tokio::task::spawn_blocking(move || gateway.reload()).await;
                // The configuration may name other places now; a change in between is seen as one.
                watched.follow(self.watched());
            }
        }
    }

    async fn sweep(self: Arc<Self>) {
        loop {
            failpoint::reach("gateway.sweep");
            tokio::time::sleep(SWEEP_EVERY).await;
            let gateway = self.clone();
            let swept = tokio::task::spawn_blocking(move || gateway.sweep_once()).await;
            if let Ok(Err(fault)) = swept {
                event::emit(&Event::Trouble { place: "sweep", fault: &fault.0 });
            }
        }
    }

    fn sweep_once(&self) -> Result<(), Fault> {
        if self.base.clock.doubt().is_some() {
            return Ok(());
        }
        let _sweeping = self.condition.sweeping.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let swept = self.base.vault.sweep(self.base.clock.certain())?;
        self.channel.load().sweep()?;
        self.base.queue.tidy()?;
        if swept.expired + swept.orphaned + swept.blobs > 0 {
            let result = format!("{} expired, {} orphaned, {} blobs", swept.expired, swept.orphaned, swept.blobs);
            event::emit(&Event::Upkeep { what: "sweep", result: &result });
        }
        Ok(())
    }
}

/// Comes when one of them panicked.
async fn broken(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if ended.is_err() {
            return;
        }
    }
    std::future::pending().await
}

async fn until(stop: Stop, work: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.come() => {}
        () = work => {}
    }
}

/// Tells systemd that the runtime still turns, at half of the time that it waits.
async fn watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    loop {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        tokio::time::sleep(limit / 2).await;
    }
}

/// Few descriptors are few connections: said once, before anybody wonders.
fn report(shares: Shares) {
    let Shares { limit, sessions, visitors, .. } = shares;
    let result = format!("{limit}: at most {sessions} SMTP sessions and {visitors} connections of browsers");
    event::emit(&Event::Upkeep { what: "descriptors", result: &result });
}

/// The sockets that systemd opened under this name, or those of the configuration.
fn take(inherited: &mut Inherited, name: &str, addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Failed> {
    let opened = inherited.take(name)?;
    if !opened.is_empty() {
        return Ok(opened);
    }
    addresses.iter().map(|address| open(name, *address)).collect()
}

fn open(name: &str, address: SocketAddr) -> Result<TcpListener, Failed> {
    listen::bind(address).map_err(|error| {
        let help = HELP.iter().find(|(kind, _)| *kind == error.kind()).map_or("", |(_, help)| help);
        Failed(format!("{name} on {address}: {error}{help}"))
    })
}

/// What to do about an address that cannot be bound.
const HELP: [(ErrorKind, &str); 3] = [
    (ErrorKind::AddrInUse, "\n    another program listens there: `ss -ltnp` names it"),
    (ErrorKind::PermissionDenied, "\n    ports below 1024 are opened by systemd (systemd/) or need CAP_NET_BIND_SERVICE"),
    (ErrorKind::AddrNotAvailable, "\n    this machine has no such address"),
];
/// How long open sessions and attempts get after a stop; a little more than they take for themselves,
/// and less than the 30 s after which an operator loses patience.
const DRAIN: Duration = Duration::from_secs(28);
/// How often what is over is looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
