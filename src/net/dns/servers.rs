//! The resolvers, each asked in turn until one has an answer.
//!
//! One that answered is asked first the next time. A server that refuses (SERVFAIL, REFUSED) has no answer; one that says
//! that there is nothing (NXDOMAIN, no data) has.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream::{Stream, once};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequest, DnsResponse};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};

use super::Options;

/// A handle on all of them.
#[derive(Clone)]
pub(super) struct Servers {
    each: Arc<[NameServerPool<TokioRuntimeProvider>]>,
    /// The one that is asked first.
    first: Arc<AtomicUsize>,
    rounds: usize,
}

impl Servers {
    /// UDP, and TCP where an answer is too long for that.
    pub fn new(addresses: &[SocketAddr], options: &Options) -> Result<Self, NetError> {
        let mut asking = ResolverOpts::default();
        asking.timeout = Duration::from_secs(options.timeout_seconds);
        // RFC 5452: letters of either case are some bits more that a forger has to guess.
        asking.case_randomization = true;
        let context = Arc::new(PoolContext::new(asking, TlsConfig::new()?));
        let each = addresses
            .iter()
            .map(|address| NameServerPool::from_config([server(*address)], context.clone(), TokioRuntimeProvider::default()));
        Ok(Self { each: each.collect(), first: Arc::default(), rounds: usize::try_from(options.attempts).unwrap_or(usize::MAX) })
    }

    /// Begins with the next one from here on.
    pub fn turn(&self) {
        self.first.fetch_add(1, Ordering::Relaxed);
    }

    async fn ask(self, request: DnsRequest) -> Result<DnsResponse, NetError> {
        let first = self.first.load(Ordering::Relaxed);
        let mut last = NetError::NoConnections;
        for turn in 0..self.each.len().saturating_mul(self.rounds) {
            let index = first.wrapping_add(turn) % self.each.len();
            let Some(server) = self.each.get(index) else { break };
            match server.send(request.clone()).first_answer().await {
                Err(error) if !matches!(error, NetError::Dns(DnsError::NoRecordsFound(_))) => last = error,
                answered => {
                    self.first.store(index, Ordering::Relaxed);
                    return answered;
                }
            }
        }
        Err(last)
    }
}

impl DnsHandle for Servers {
    type Response = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> Self::Response {
        Box::pin(once(self.clone().ask(request)))
    }
}

fn server(address: SocketAddr) -> NameServerConfig {
    let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(|protocol| {
        let mut connection = ConnectionConfig::new(protocol);
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}
