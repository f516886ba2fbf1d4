//! The accept loop: few connections, short ones, and only for who means us.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{App, router};
use crate::event::{self, Event};

/// Answers until `stop`; what is being answered then is cut off, for nothing here changes anything.
pub async fn serve(listener: TcpListener, app: App, stop: impl Future<Output = ()>) {
    let only_here = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let names = if only_here { Names::Addresses } else { Names::Any };
    let router = router(app);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                    let talk = converse(stream, router.clone(), names);
                    connections.spawn(async move {
                        let _place = place;
                        let _ = tokio::time::timeout(CONNECTION_MAX, talk).await;
                    });
                }
                Err(error) => {
                    event::emit(&Event::Trouble { place: "admin accept", fault: &error.to_string() });
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    connections.shutdown().await;
}

/// By which names it may be asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// By addresses and `localhost`. A page of a stranger whose name was made to lead to loopback asks by that name.
    Addresses,
    /// By any: who made the listener reachable by others named it.
    Any,
}

async fn converse(stream: TcpStream, router: axum::Router, names: Names) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move {
            if names == Names::Addresses && !is_by_address(&request) {
                return Ok::<Response, Infallible>((StatusCode::MISDIRECTED_REQUEST, "ask by address\n").into_response());
            }
            router.call(request).await
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_PATIENCE).max_headers(HEADERS_MAX);
    // What a peer does wrong here is its own affair.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

fn is_by_address(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

/// A scraper, a probe, an operator or two.
const CONNECTIONS: usize = 32;
const HEADERS_MAX: usize = 64;
const HEADER_PATIENCE: Duration = Duration::from_secs(10);
/// A scraper that keeps its connection comes again.
const CONNECTION_MAX: Duration = Duration::from_secs(300);
