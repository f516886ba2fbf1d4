//! The public pages: request → route → act → page. Thin: what an act means is the channel's to say.
//!
//! Nothing is done by GET or HEAD. No link is built from what a request claims (Host, X-Forwarded-*):
//! every form and redirect is relative, every absolute address comes from the configuration. The log
//! gets no target, for a target can be a secret.
//!
//! HTTP: RFC 9110, 9112, 9113. Cookies: RFC 6265. Ranges: RFC 9110 §14.

mod act;
mod asset;
mod form;
mod guard;
mod page;
mod pulse;
mod range;
mod room;
mod route;
mod server;
mod socket;
mod stream;
mod view;

use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use crate::channel::{Channel, Refused};
use crate::failpoint;
use crate::mistake::Mistake;
use crate::net::descriptors::Shares;
use crate::store::Fault;

pub use page::Pages;
pub use route::{ROUTES, router};
pub use server::{Shown, serve};

crate::options! {
    /// The listener of the pages.
    pub struct Options {
        /// Where the pages are served.
        listen: SocketAddr = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 443)),
        /// What links begin with, as in `https://secure.example.org`.
        base_url: String = String::new(),
        /// What links began with before, as in `["https://old.example.org"]`: hosts that are still yours and lead here. Links below them go on to `base_url`, forms from them count as ours.
        old_hosts: Vec<String> = Vec::new(),
        /// Who speaks TLS with browsers: `here` with the certificates of `[store]`, or a `proxy` in front of us.
        tls: Tls = Tls::Here,
        /// Connections at the same time.
        connections: usize = 2000,
        /// Connections at the same time from one IPv4 address or one IPv6 /64.
        connections_per_client: usize = 64,
        /// Seconds for the header of a request, and for its form.
        request_seconds: u64 = 15,
        /// Seconds in which a client must take something of what is sent to it.
        stall_seconds: u64 = 60,
        /// Seconds that running downloads get when the gateway stops. At most 20.
        drain_seconds: u64 = 20,
        /// Networks of reverse proxies in front of us: their X-Forwarded-For says who the client is.
        proxies: Vec<ipnet::IpNet> = Vec::new(),
        /// Networks of TCP proxies in front of us: their connections begin with a PROXY header, version 1 or 2, that says who the client is.
        proxy_networks: Vec<ipnet::IpNet> = Vec::new(),
    }
}

impl Options {
    /// Whether connections from there begin with a PROXY header.
    fn speaks_proxy(&self, peer: std::net::IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.proxy_networks.iter().any(|network| network.contains(&peer))
    }
}

/// Who speaks TLS with browsers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// We do.
    Here,
    /// A reverse proxy in front of us.
    Proxy,
}

/// What every request needs.
#[derive(Clone)]
pub struct App {
    channel: Arc<Channel>,
    pages: Arc<Pages>,
    options: Arc<Options>,
    site: Arc<guard::Site>,
    room: Arc<room::Room>,
}

impl App {
    /// Pages over a channel; templates and assets from `overrides` where it has them
    /// (`page/<name>.html`, `assets/style.css`, `assets/mark.svg`).
    pub fn new(channel: Arc<Channel>, options: Options, overrides: Option<&Path>) -> Result<Self, Mistake> {
        let pages = Pages::new(channel.brand(), overrides)?;
        let site = guard::Site::new(&channel.brand().base_url, &options.old_hosts);
        let room = room::Room::new(&options, Shares::now());
        Ok(Self { channel, pages: Arc::new(pages), options: Arc::new(options), site: Arc::new(site), room: Arc::new(room) })
    }

    /// Calls the channel off the I/O threads, when there is a turn.
    async fn call<T: Send + 'static>(&self, act: impl FnOnce(&Arc<Channel>) -> Result<T, Refused> + Send + 'static) -> Result<T, Refused> {
        let Some(turn) = self.room.turn().await else {
            return Err(Refused::Fault(Fault("more is asked of the pages than they can do".into())));
        };
        let channel = Arc::clone(&self.channel);
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            failpoint::reach("web.act");
            act(&channel)
        });
        let done = done.await;
        done.unwrap_or_else(|error| Err(Refused::Fault(Fault(error.to_string()))))
    }
}
