//! How many connections each peer has, and all together.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

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
    /// None: it counts to the total alone.
    origin: Option<Origin>,
}

impl Peers {
    /// Counters with their limits.
    pub fn new(each: usize, total: usize) -> Arc<Self> {
        Arc::new(Self { each, total, open: Mutex::default() })
    }

    /// A place for one more connection.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Seat, Surplus> {
        self.seat(Some(Origin::of(address)))
    }

    /// The same for somebody who speaks for many: only the total counts.
    pub fn admit_proxy(self: &Arc<Self>) -> Result<Seat, Surplus> {
        self.seat(None)
    }

    fn seat(self: &Arc<Self>, origin: Option<Origin>) -> Result<Seat, Surplus> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= self.total {
            return Err(Surplus::AtAll);
        }
        if let Some(origin) = origin {
            let from_there = open.by_origin.entry(origin).or_default();
            if *from_there >= self.each {
                return Err(Surplus::FromThere);
            }
            *from_there += 1;
        }
        open.total += 1;
        Ok(Seat { peers: Arc::clone(self), origin })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.peers.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total = open.total.saturating_sub(1);
        let Some(origin) = self.origin else { return };
        if let Some(from_there) = open.by_origin.get_mut(&origin) {
            *from_there = from_there.saturating_sub(1);
            if *from_there == 0 {
                open.by_origin.remove(&origin);
            }
        }
    }
}

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
}
