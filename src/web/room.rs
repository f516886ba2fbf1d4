//! How much goes on at the same time, by whichever listener it came: connections, acts, downloads.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Options;
use crate::net::descriptors::Shares;
use crate::net::peers::{Peers, Seat};

/// The room that all visitors share.
pub struct Room {
    visitors: Arc<Peers>,
    downloads: Arc<Peers>,
    acts: Arc<Semaphore>,
}

impl Room {
    /// By the options, and never more than the descriptors are enough for.
    pub fn new(options: &Options, shares: Shares) -> Self {
        let acts = ACTS_MAX.min(shares.readings / 4).max(1);
        let downloads = DOWNLOADS_MAX.min(shares.readings.saturating_sub(acts)).max(1);
        Self {
            visitors: Peers::new(options.connections_per_client, options.connections.min(shares.visitors)),
            downloads: Peers::new(DOWNLOADS_OF_ONE, downloads),
            acts: Arc::new(Semaphore::new(acts)),
        }
    }

    /// A place for one more connection. A proxy of ours speaks for many clients.
    pub fn visitor(&self, peer: IpAddr, options: &Options) -> Option<Seat> {
        let peer = peer.to_canonical();
        let is_proxy = options.proxies.iter().any(|network| network.contains(&peer));
        if is_proxy { self.visitors.admit_proxy().ok() } else { self.visitors.admit(peer).ok() }
    }

    /// A place for one more running download of a client.
    pub fn download(&self, client: IpAddr) -> Option<Seat> {
        self.downloads.admit(client).ok()
    }

    /// A turn for one act, in the order in which they are asked for.
    pub async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        timeout(TURN_WAIT, Arc::clone(&self.acts).acquire_owned()).await.ok()?.ok()
    }
}

/// Each takes a thread that may block, which intake and relay need too, and may have a file open.
const ACTS_MAX: usize = 64;
/// With a thousand of them, what is read ahead is 300 MiB.
const DOWNLOADS_MAX: usize = 1000;
/// A browser runs a handful.
const DOWNLOADS_OF_ONE: usize = 32;
/// After so long nobody waits any more.
const TURN_WAIT: Duration = Duration::from_secs(20);
