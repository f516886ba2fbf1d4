//! The accept loop: how many may come, how long they may take, how it ends.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};

use super::guard::Peer;
use super::{App, Options, route};
use crate::channel::Client;
use crate::event::meter::Connected;
use crate::event::{self, Event};

/// What is shown now; a reload replaces it, and connections that are open go on with what they began.
pub struct Shown {
    router: ArcSwap<axum::Router>,
    options: Arc<Options>,
}

impl Shown {
    /// These pages. Limits and waits are theirs for good.
    pub fn new(app: App) -> Arc<Self> {
        let options = Arc::clone(&app.options);
        Arc::new(Self { router: ArcSwap::from_pointee(route::router(app)), options })
    }

    /// These pages from now on.
    pub fn replace(&self, app: App) {
        self.router.store(Arc::new(route::router(app)));
    }
}

/// Serves pages until `stop`; then no more are taken, running answers get their time, the rest is
/// cut off. Without `tls` it speaks plain HTTP: behind a proxy, or on loopback.
pub async fn serve(listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>, shown: Arc<Shown>, stop: impl Future<Output = ()>) {
    let options = Arc::clone(&shown.options);
    let server = Server {
        tls: tls.map(|config| tokio_rustls::TlsAcceptor::from(with_alpn(&config))),
        http: http(&options),
        shown,
        places: Arc::new(Semaphore::new(options.connections)),
        clients: Arc::default(),
        graceful: GracefulShutdown::new(),
        options: Arc::clone(&options),
    };
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
    let drained = tokio::time::timeout(Duration::from_secs(options.drain_seconds), server.graceful.shutdown()).await;
    if drained.is_err() {
        event::emit(&Event::Upkeep { what: "https stop", result: "running answers were cut off" });
    }
    connections.shutdown().await;
}

struct Server {
    tls: Option<tokio_rustls::TlsAcceptor>,
    http: auto::Builder<TokioExecutor>,
    shown: Arc<Shown>,
    places: Arc<Semaphore>,
    clients: Arc<Clients>,
    graceful: GracefulShutdown,
    options: Arc<Options>,
}

impl Server {
    /// Takes a connection on, or closes it where there are too many already.
    fn take(&self, connections: &mut JoinSet<()>, stream: TcpStream, peer: SocketAddr) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        let Some(seat) = self.clients.seat(Client::from(peer.ip()), self.seats(peer)) else { return };
        let stream = Patient::new(stream, Duration::from_secs(self.options.stall_seconds));
        let handshake = Duration::from_secs(self.options.request_seconds);
        let talk = Talk {
            http: self.http.clone(),
            service: Labelled { router: TowerToHyperService::new(axum::Router::clone(&self.shown.router.load())), peer },
            watcher: self.graceful.watcher(),
            _held: (place, seat),
        };
        match self.tls.clone() {
            None => connections.spawn(talk.run(stream)),
            Some(tls) => connections.spawn(async move {
                if let Ok(Ok(stream)) = tokio::time::timeout(handshake, tls.accept(stream)).await {
                    talk.run(stream).await;
                }
            }),
        };
    }

    /// A proxy of ours speaks for many clients.
    fn seats(&self, peer: SocketAddr) -> usize {
        let is_proxy = self.options.proxies.iter().any(|network| network.contains(&peer.ip().to_canonical()));
        if is_proxy { self.options.connections } else { self.options.connections_per_client }
    }
}

/// One connection's conversation.
struct Talk {
    http: auto::Builder<TokioExecutor>,
    service: Labelled,
    watcher: Watcher,
    _held: (OwnedSemaphorePermit, Seat),
}

impl Talk {
    async fn run<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S) {
        let _connected = Connected::new("https");
        let connection = self.http.serve_connection(TokioIo::new(stream), self.service).into_owned();
        // What a peer does wrong here is its own affair; what we do wrong was logged where it happened.
        let _ = tokio::time::timeout(CONNECTION_MAX, self.watcher.watch(connection)).await;
    }
}

/// Tells every request who the peer is.
#[derive(Clone)]
struct Labelled {
    router: TowerToHyperService<axum::Router>,
    peer: SocketAddr,
}

impl Service<Request<Incoming>> for Labelled {
    type Response = axum::response::Response;
    type Error = std::convert::Infallible;
    type Future = <TowerToHyperService<axum::Router> as Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(Peer(self.peer));
        self.router.call(request)
    }
}

/// How many connections each client has.
#[derive(Default)]
struct Clients(Mutex<HashMap<Client, usize>>);

/// One of a client's connections, given back when it ends.
struct Seat {
    clients: Arc<Clients>,
    client: Client,
}

impl Clients {
    fn seat(self: &Arc<Self>, client: Client, most: usize) -> Option<Seat> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(client.clone()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Seat { clients: Arc::clone(self), client })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

/// A stream whose peer must take something of what is sent within a time, or it ends.
struct Patient {
    stream: TcpStream,
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    const fn new(stream: TcpStream, patience: Duration) -> Self {
        Self { stream, patience, stalled: None }
    }

    /// Lets a write that waits run out of time.
    fn watch<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let until = Instant::now() + self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, octets);
        self.watch(cx, polled)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.watch(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, polled)
    }
}

/// The TLS settings of the gateway, offering HTTP/2 first.
fn with_alpn(config: &rustls::ServerConfig) -> Arc<rustls::ServerConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// What a client may make us hold.
fn http(options: &Options) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(options.request_seconds))
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_OCTETS_MAX);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .max_send_buf_size(SEND_BUFFER)
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
const HEADER_LIST_MAX: u32 = 16 << 10;
/// A page has two assets and a frame.
const STREAMS_MAX: u32 = 32;
/// More resets than this are an attack (CVE-2023-44487), and end the connection.
const RESETS_MAX: usize = 20;
const SEND_BUFFER: usize = 256 << 10;
/// We take forms, not uploads.
const WINDOW: u32 = 64 << 10;
