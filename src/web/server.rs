//! The accept loop: how many may come, how long they may take, how it ends.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::guard::Peer;
use super::pulse::{Patience, Pulse, Rest};
use super::room::Room;
use super::socket::Socket;
use super::{App, Options, route};
use crate::event::meter::Connected;
use crate::event::{self, Event};
use crate::failpoint;
use crate::net::peers::Seat;
use crate::net::proxy_header::{self, NoHeader, Spoken};

/// What is shown now; a reload replaces it, and connections that are open go on with what they began.
pub struct Shown {
    router: ArcSwap<axum::Router>,
    options: Arc<Options>,
    room: Arc<Room>,
}

impl Shown {
    /// These pages. Limits and waits are theirs for good.
    pub fn new(app: App) -> Arc<Self> {
        let (options, room) = (Arc::clone(&app.options), Arc::clone(&app.room));
        Arc::new(Self { router: ArcSwap::from_pointee(route::router(app)), options, room })
    }

    /// These pages from now on.
    pub fn replace(&self, app: App) {
        let room = Arc::clone(&self.room);
        self.router.store(Arc::new(route::router(App { room, ..app })));
    }
}

/// Serves pages until `stop`; then no more are taken, running answers get their time, the rest is
/// cut off. Without `tls` it speaks plain HTTP: behind a proxy, or on loopback.
pub async fn serve(listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>, shown: Arc<Shown>, stop: impl Future<Output = ()>) {
    let options = Arc::clone(&shown.options);
    let (stopping, told) = watch::channel(());
    let server = Server { tls: tls.map(|config| tokio_rustls::TlsAcceptor::from(with_alpn(&config))), http: http(&options), shown, told };
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => server.take(&mut connections, stream, peer),
                Err(error) => {
                    event::emit(&Event::Trouble { place: "https accept", fault: &error.to_string() });
                    // Out of descriptors, as a rule: some have to be given back first.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    drop(stopping);
    let drain = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_secs(options.drain_seconds), drain).await.is_err() {
        event::emit(&Event::Upkeep { what: "https stop", result: "running answers were cut off" });
    }
    connections.shutdown().await;
}

struct Server {
    tls: Option<tokio_rustls::TlsAcceptor>,
    http: auto::Builder<TokioExecutor>,
    shown: Arc<Shown>,
    /// Its sender goes, and that is the signal to stop.
    told: watch::Receiver<()>,
}

impl Server {
    /// Takes a connection on, or closes it where there are too many already.
    fn take(&self, connections: &mut JoinSet<()>, mut stream: TcpStream, peer: SocketAddr) {
        failpoint::reach("web.accept");
        let options = Arc::clone(&self.shown.options);
        let Some(mut seat) = self.shown.room.visitor(peer.ip(), &options) else { return };
        let patience = Patience { idle: Duration::from_secs(options.request_seconds), stalled: Duration::from_secs(options.stall_seconds) };
        let pulse = Pulse::new();
        let router = TowerToHyperService::new(axum::Router::clone(&self.shown.router.load()));
        let (http, tls, told) = (self.http.clone(), self.tls.clone(), self.told.clone());
        connections.spawn(async move {
            let Some(peer) = client(&mut stream, (peer, &mut seat), &options).await else { return };
            let service = Labelled { router, peer, pulse: pulse.clone() };
            let talk = Talk { http, service, pulse, patience, told, _seat: seat };
            let stream = Socket::new(stream, patience.stalled);
            match tls {
                None => talk.run(stream).await,
                Some(tls) => {
                    if let Ok(Ok(stream)) = tokio::time::timeout(patience.idle, tls.accept(stream)).await {
                        talk.run(stream).await;
                    }
                }
            }
        });
    }
}

/// Who the client is. A TCP proxy of ours says so before anything else, and a connection of which it does not is closed.
async fn client(stream: &mut TcpStream, (peer, seat): (SocketAddr, &mut Seat), options: &Options) -> Option<SocketAddr> {
    if !options.speaks_proxy(peer.ip()) {
        return Some(peer);
    }
    match proxy_header::read(stream).await {
        Ok(Spoken::Own) => Some(peer),
        Ok(Spoken::For(client)) => seat.assign(client.ip()).is_ok().then_some(client),
        Err(NoHeader::Gone) => None,
        Err(missing @ (NoHeader::Late | NoHeader::Malformed)) => {
            event::emit(&Event::Trouble { place: "https", fault: missing.words() });
            None
        }
    }
}

/// One connection's conversation.
struct Talk {
    http: auto::Builder<TokioExecutor>,
    service: Labelled,
    pulse: Pulse,
    patience: Patience,
    told: watch::Receiver<()>,
    _seat: Seat,
}

impl Talk {
    /// Until the peer has had enough, or asks for nothing any more, or does not take what it asked for. Who is idle, or there when
    /// we stop, gets the answers that are under way.
    async fn run<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(mut self, stream: S) {
        let _connected = Connected::new("https");
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), self.service));
        let mut longest = pin!(tokio::time::sleep(CONNECTION_MAX));
        let mut parting = false;
        loop {
            let rest = tokio::select! {
                // What a peer does wrong here is its own affair; what we do wrong was logged where it happened.
                _ = connection.as_mut() => return,
                () = &mut longest => return,
                _ = self.told.changed(), if !parting => Rest::Idle,
                rest = self.pulse.rests(self.patience) => rest,
            };
            if parting || rest == Rest::Stalled {
                return;
            }
            parting = true;
            connection.as_mut().graceful_shutdown();
            self.pulse.beat();
        }
    }
}

/// Tells every request who the peer is, and whose pulse its answer keeps up.
#[derive(Clone)]
struct Labelled {
    router: TowerToHyperService<axum::Router>,
    peer: SocketAddr,
    pulse: Pulse,
}

impl Service<Request<Incoming>> for Labelled {
    type Response = axum::response::Response;
    type Error = std::convert::Infallible;
    type Future = <TowerToHyperService<axum::Router> as Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(Peer(self.peer));
        request.extensions_mut().insert(self.pulse.clone());
        self.router.call(request)
    }
}

/// The TLS settings of the gateway, offering HTTP/2 first.
fn with_alpn(config: &rustls::ServerConfig) -> Arc<rustls::ServerConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// What a client may make us hold, and how often it may make us work for nothing. Nothing is left to a default
/// that another release may change.
fn http(options: &Options) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(options.request_seconds))
        .half_close(false)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_OCTETS_MAX);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_MAX)
        .max_frame_size(FRAME_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .max_send_buf_size(SEND_BUFFER)
        .adaptive_window(false)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .keep_alive_interval(Duration::from_secs(options.request_seconds))
        .keep_alive_timeout(Duration::from_secs(options.stall_seconds));
    http
}

/// The largest parcel over the slowest line that anybody waits for.
const CONNECTION_MAX: Duration = Duration::from_secs(6 * 3600);
/// Browsers send about twenty.
const HEADERS_MAX: usize = 64;
const HEADER_OCTETS_MAX: usize = 32 << 10;
/// Also what bounds a flood of CONTINUATION frames (CVE-2024-27316).
const HEADER_LIST_MAX: u32 = 16 << 10;
/// RFC 9113 §4.2: the least that there can be.
const FRAME_MAX: u32 = 16 << 10;
/// A page has two assets and a frame.
const STREAMS_MAX: u32 = 16;
/// More resets than this are an attack (CVE-2023-44487), and end the connection.
const RESETS_MAX: usize = 20;
/// For each stream of a client whose windows are wide and whose socket takes nothing.
const SEND_BUFFER: usize = 64 << 10;
/// We take forms, not uploads.
const WINDOW: u32 = 64 << 10;
