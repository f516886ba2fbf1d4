//! What the operator's machines and eyes ask: metrics, health, one page. It reads, and changes nothing.
//!
//! A listener of its own, on loopback unless somebody says otherwise: nothing of it is reachable from the
//! public pages. No address, subject, file name or link is in any answer, only how many and how long.

mod gauge;
mod history;
mod page;
mod server;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::failpoint;
use crate::mistake::Mistake;
use crate::smtp::server::Doors;
use history::History;
use page::Overview;
pub use server::serve;

crate::options! {
    /// The operator's own listener: `/metrics`, `/health/live`, `/health/ready`, and an overview at `/`.
    pub struct Options {
        /// Where it listens; `[]` is nowhere. Whoever reaches it sees how much mail there is, never whose: keep it on loopback.
        listen: Vec<SocketAddr> = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 9925))],
    }
}

/// Who is asked.
pub trait Subject: Send + Sync {
    /// How it is at this moment; may wait for a disk.
    fn state(&self) -> State;

    /// Why it cannot take mail at this moment; nothing is good. May wait for a disk.
    fn unready(&self) -> Vec<String>;
}

/// How the gateway is.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Entries by whose turn it is.
    pub queue: Waiting,
    /// Resident octets.
    pub memory: u64,
    /// Names of certificates, and the days that they hold; negative is over.
    pub certificates: Vec<(String, i64)>,
    /// Octets of the records.
    pub records: u64,
    /// Sealed content in files.
    pub parcels: Heap,
    /// Waiting mail in files.
    pub spool: Heap,
    /// Octets that may still be written.
    pub free: u64,
    /// Seconds that the machine's clock is ahead of certain time while it is not believed.
    pub clock_ahead: Option<f64>,
    /// Whether new mail is turned away.
    pub doors: Doors,
}

/// Entries of the queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Their time has come.
    pub due: usize,
    /// They wait for their next attempt.
    pub later: usize,
    /// An attempt has them.
    pub leased: usize,
    /// They wait for the operator.
    pub held: usize,
    /// How long the oldest has been here.
    pub oldest: Duration,
    /// How long the first of those whose time has come has waited since.
    pub overdue: Duration,
}

/// Files of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heap {
    /// How many.
    pub files: u64,
    /// How large, all together.
    pub octets: u64,
}

/// What every request needs.
#[derive(Clone)]
pub struct App {
    subject: Arc<dyn Subject>,
    history: Arc<History>,
    overview: Arc<Overview>,
    host: Arc<str>,
}

impl App {
    /// About this gateway, called by its host name.
    pub fn new(subject: Arc<dyn Subject>, host: &str) -> Result<Self, Mistake> {
        Ok(Self { subject, history: Arc::default(), overview: Arc::new(Overview::new()?), host: host.into() })
    }

    /// Remembers once a minute what went in and out; never ends.
    pub async fn remember(self) {
        loop {
            let state = self.ask(|subject| subject.state()).await.unwrap_or_default();
            self.history.remember(&state.queue);
            tokio::time::sleep(history::EVERY).await;
        }
    }

    /// Asks off the I/O threads, and not for ever.
    async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&dyn Subject) -> T + Send + 'static) -> Option<T> {
        let subject = Arc::clone(&self.subject);
        let asked = tokio::task::spawn_blocking(move || {
            failpoint::reach("monitor.ask");
            question(&*subject)
        });
        tokio::time::timeout(PATIENCE, asked).await.ok()?.ok()
    }

    async fn unready(&self) -> Vec<String> {
        self.ask(|subject| subject.unready()).await.unwrap_or_else(|| vec![String::from("the store does not answer")])
    }
}

/// All that is served here.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/", get(overview))
        .route("/metrics", get(metrics))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/style.css", get(style))
        .layer(axum::middleware::map_response(dress))
        .with_state(app)
}

async fn overview(extract::State(app): extract::State<App>) -> Response {
    let unready = app.unready().await;
    let Some(state) = app.ask(|subject| subject.state()).await else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    match app.overview.render(&app.host, (&state, &unready), &app.history.series()) {
        Ok(html) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn metrics(extract::State(app): extract::State<App>) -> Response {
    failpoint::reach("monitor.metrics");
    let Some(state) = app.ask(|subject| subject.state()).await else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    match gauge::exposition(&state) {
        Ok(text) => ([(header::CONTENT_TYPE, EXPOSITION)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// An answer is the proof.
async fn live() -> &'static str {
    "live\n"
}

async fn ready(extract::State(app): extract::State<App>) -> Response {
    match app.unready().await.as_slice() {
        [] => "ready\n".into_response(),
        reasons => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", reasons.join("\n"))).into_response(),
    }
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("../../assets/operator.css")).into_response()
}

async fn dress(mut answer: Response) -> Response {
    for (name, value) in HEADERS {
        answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}

const HEADERS: [(&str, &str); 5] = [
    ("cache-control", "no-store"),
    ("content-security-policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
];
/// What `prometheus_client` writes.
const EXPOSITION: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// A store that does not answer in this time is not ready.
const PATIENCE: Duration = Duration::from_secs(5);
