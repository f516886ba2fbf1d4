//! How many connections each peer has, and all together.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts connections by where they come from.
#[derive(Debug)]
pub struct Peers {
    each: usize,
    total: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    by_origin: HashMap<Origin, usize>,
    total: usize,
}

/// Who counts as one: an IPv4 address, or an IPv6 /64, because a /64 is what one household has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin(IpAddr);

impl Origin {
    /// The origin of an address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.into()),
            IpAddr::V6(address) => Self(std::net::Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into()),
        }
    }
}

/// Why one more connection is too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surplus {
    /// From there.
    FromThere,
    /// At all.
    AtAll,
}

/// The place of one connection; given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    peers: Arc<Peers>,
    /// Whose connection it is; a proxy's is nobody's until the proxy has said for whom it is.
    origin: Option<Origin>,
}

impl Peers {
    /// Counters with their limits.
    pub fn new(each: usize, total: usize) -> Arc<Self> {
        Arc::new(Self { each, total, open: Mutex::default() })
    }

    /// A place for one more connection of this address.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Seat, Surplus> {
        let mut seat = self.admit_proxy()?;
        seat.assign(address)?;
        Ok(seat)
    }

    /// A place for a connection of somebody who speaks for others: it counts in all, and for no address yet.
    pub fn admit_proxy(self: &Arc<Self>) -> Result<Seat, Surplus> {
        let mut open = self.lock();
        if open.total >= self.total {
            return Err(Surplus::AtAll);
        }
        open.total += 1;
        Ok(Seat { peers: Arc::clone(self), origin: None })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// From now on the connection is this client's, and nobody else's.
    pub fn assign(&mut self, address: IpAddr) -> Result<(), Surplus> {
        let origin = Origin::of(address);
        let mut open = self.peers.lock();
        if let Some(before) = self.origin.take() {
            open.leave(before);
        }
        let from_there = open.by_origin.entry(origin).or_default();
        if *from_there >= self.peers.each {
            return Err(Surplus::FromThere);
        }
        *from_there += 1;
        self.origin = Some(origin);
        Ok(())
    }
}

impl Open {
    fn leave(&mut self, origin: Origin) {
        if let Some(from_there) = self.by_origin.get_mut(&origin) {
            *from_there = from_there.saturating_sub(1);
            if *from_there == 0 {
                self.by_origin.remove(&origin);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.peers.lock();
        open.total = open.total.saturating_sub(1);
        if let Some(origin) = self.origin {
            open.leave(origin);
        }
    }
}

/// Where somebody is whose proxy does not know: in no network, so with no rights.
pub const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_by_origin_and_in_all_and_given_back() {
        let peers = Peers::new(2, 3);
        let one = peers.admit("2001:db8::1".parse().unwrap()).unwrap();
        let _two = peers.admit("2001:db8::2".parse().unwrap()).unwrap();
        assert_eq!(peers.admit("2001:db8::3".parse().unwrap()).unwrap_err(), Surplus::FromThere);
        let _three = peers.admit("192.0.2.1".parse().unwrap()).unwrap();
        assert_eq!(peers.admit("192.0.2.2".parse().unwrap()).unwrap_err(), Surplus::AtAll);
        drop(one);
        assert!(peers.admit("::ffff:192.0.2.1".parse().unwrap()).is_ok());
        assert_eq!(peers.open.lock().unwrap().by_origin.len(), 2);
    }

    #[test]
    fn who_speaks_for_many_counts_to_the_total_alone() {
        let peers = Peers::new(1, 3);
        let proxy = [peers.admit_proxy().unwrap(), peers.admit_proxy().unwrap()];
        let _one = peers.admit("192.0.2.1".parse().unwrap()).unwrap();
        assert_eq!(peers.admit_proxy().unwrap_err(), Surplus::AtAll);
        drop(proxy);
        assert!(peers.admit_proxy().is_ok());
    }

    #[test]
    fn a_place_of_a_proxy_goes_from_client_to_client() {
        let peers = Peers::new(1, 2);
        let (one, two): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let mut seat = peers.admit_proxy().unwrap();
        let other = peers.admit(one).unwrap();
        assert_eq!(peers.admit_proxy().unwrap_err(), Surplus::AtAll);
        assert_eq!(seat.assign(one), Err(Surplus::FromThere));
        drop(other);
        assert_eq!((seat.assign(one), seat.assign(two)), (Ok(()), Ok(())));
        assert_eq!(peers.open.lock().unwrap().by_origin.len(), 1);
        drop(seat);
        let open = peers.open.lock().unwrap();
        assert_eq!((open.total, open.by_origin.len()), (0, 0));
    }
}
