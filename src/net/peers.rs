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
    origin: Origin,
}

impl Peers {
    /// Counters with their limits.
    pub fn new(each: usize, total: usize) -> Arc<Self> {
        Arc::new(Self { each, total, open: Mutex::default() })
    }

    /// A place for one more connection.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Seat, Surplus> {
        let origin = Origin::of(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= self.total {
            return Err(Surplus::AtAll);
        }
        let from_there = open.by_origin.entry(origin).or_default();
        if *from_there >= self.each {
            return Err(Surplus::FromThere);
        }
        *from_there += 1;
        open.total += 1;
        Ok(Seat { peers: Arc::clone(self), origin })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.peers.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total = open.total.saturating_sub(1);
        if let Some(from_there) = open.by_origin.get_mut(&self.origin) {
            *from_there = from_there.saturating_sub(1);
            if *from_there == 0 {
                open.by_origin.remove(&self.origin);
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
}
