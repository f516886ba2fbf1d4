//! All ways out by their lanes: those that lead to one place, and those on which each domain is a place of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::destination::Destination;
use super::exchangers::{Exchangers, Running};
use super::hop::{Way, quit};
use super::{Options, RouteOptions, Ways};
use crate::clock::Clock;
use crate::mail::Domain;
use crate::mistake::Mistake;
use crate::queue::Lane;
use crate::transport::Transport;

/// Every way out, by the number of its route.
pub(super) struct Exits(Vec<Exit>);

enum Exit {
    One(Arc<Destination>),
    EachDomain(Domains),
}

/// Domains to which mail goes or went a moment ago.
struct Domains {
    options: Options,
    exchangers: Arc<Exchangers>,
    places: Mutex<HashMap<u64, Arc<Destination>>>,
}

/// The way of what fits no route, then those of the routes.
pub(super) fn all_ways(ways: &Ways) -> impl Iterator<Item = Options> {
    std::iter::once(ways.rest.clone()).chain(ways.routes.iter().map(RouteOptions::way))
}

impl Exits {
    /// Reads key files and roots once.
    pub fn new(ways: &Ways, transport: &Arc<Transport>, (hello, clock): (&Domain, &Clock)) -> Result<Self, Mistake> {
        let running = Arc::new(Running::default());
        let exit = |options: Options| {
            let way = Way::new(hello, &options, clock)?;
            if !options.next_hop.is_mx() {
                return Ok(Exit::One(Arc::new(Destination::named(&way, &options)?)));
            }
            let exchangers = Arc::new(Exchangers::new(transport.clone(), (way, options.tls), running.clone()));
            Ok(Exit::EachDomain(Domains { options, exchangers, places: Mutex::default() }))
        };
        Ok(Self(all_ways(ways).map(exit).collect::<Result<_, _>>()?))
    }

    /// Where a lane leads; none where there is no such route any more.
    pub fn destination(&self, lane: Lane) -> Option<Arc<Destination>> {
        Some(match self.0.get(usize::try_from(lane.route).ok()?)? {
            Exit::One(destination) => destination.clone(),
            Exit::EachDomain(domains) => domains.place(lane.place),
        })
    }

    /// Whether another entry of this lane may be attempted, as far as its place is known.
    pub fn has_room(&self, lane: Lane) -> bool {
        match usize::try_from(lane.route).ok().and_then(|route| self.0.get(route)) {
            Some(Exit::One(destination)) => destination.room() > 0,
            Some(Exit::EachDomain(domains)) => domains.has_room(lane.place),
            None => false,
        }
    }

    /// How long it takes until a place has room by its pace that has none now; none where there is no such place.
    pub fn next_turn(&self) -> Option<Duration> {
        let paced = |exit: &Exit| match exit {
            Exit::One(destination) => Some(destination.paced()),
            Exit::EachDomain(domains) => domains.places().values().map(|place| place.paced()).filter(|wait| !wait.is_zero()).min(),
        };
        self.0.iter().filter_map(paced).filter(|wait| !wait.is_zero()).min()
    }

    /// Ways that lead to one place.
    pub fn named(&self) -> impl Iterator<Item = (Lane, Arc<Destination>)> {
        (0..).map(Lane::of).zip(&self.0).filter_map(|(lane, exit)| match exit {
            Exit::One(destination) => Some((lane, destination.clone())),
            Exit::EachDomain(_) => None,
        })
    }

    /// Whether a lane is a way that leads to one place. On the others, what has no domain that could be read waits at place 0.
    pub fn is_named(&self, lane: Lane) -> bool {
        matches!(usize::try_from(lane.route).ok().and_then(|route| self.0.get(route)), Some(Exit::One(_)))
    }

    /// Every way, once.
    pub fn standing(&self) -> impl Iterator<Item = (Lane, Arc<Destination>)> {
        (0..).map(Lane::of).zip(&self.0).map(|(lane, exit)| match exit {
            Exit::One(destination) => (lane, destination.clone()),
            Exit::EachDomain(domains) => (lane, Arc::new(domains.made())),
        })
    }

    /// Forgets who was away: an operator asks for them now.
    pub fn hurry(&self) {
        for exit in &self.0 {
            match exit {
                Exit::One(destination) => destination.hurry(),
                Exit::EachDomain(domains) => domains.exchangers.hurry(),
            }
        }
    }

    /// Says goodbye on connections that nobody used for a while, and forgets domains that nothing goes to.
    pub async fn close_idle(&self) {
        let idle = |exit: &Exit| match exit {
            Exit::One(destination) => destination.take_idle(),
            Exit::EachDomain(domains) => {
                domains.places().retain(|_, place| Arc::strong_count(place) > 1 || !place.is_rested());
                domains.exchangers.take_idle()
            }
        };
        quit(self.0.iter().flat_map(idle).collect()).await;
    }

    /// Says goodbye on all.
    pub async fn close_all(&self) {
        let all = |exit: &Exit| match exit {
            Exit::One(destination) => destination.take_all(),
            Exit::EachDomain(domains) => domains.exchangers.take_all(),
        };
        quit(self.0.iter().flat_map(all).collect()).await;
    }
}

impl Domains {
    fn has_room(&self, place: u64) -> bool {
        let known = self.places().get(&place).cloned();
        known.map_or_else(|| self.exchangers.running().room(0), |place| place.room()) > 0
    }

    fn place(&self, place: u64) -> Arc<Destination> {
        self.places().entry(place).or_insert_with(|| Arc::new(self.made())).clone()
    }

    fn made(&self) -> Destination {
        Destination::by_mx(&self.exchangers, &self.options)
    }

    fn places(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Destination>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
