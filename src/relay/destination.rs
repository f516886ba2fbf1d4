//! Where one lane's mail goes: a next hop, or several that share the load and stand in for each other, or the mail
//! servers of a domain; with the limits that queue and offers have in common.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::attempt::Missed;
use super::exchangers::{Candidate, Exchangers};
use super::hop::{self, Demand, NextHop, Pooled, State, Way};
use super::options::{Options, Share};
use crate::mail::{EnhancedStatus, Envelope, Recipient, RequireTls};
use crate::mistake::Mistake;
use crate::net::tls::Seen;
use crate::smtp::client::{Hop, Said};

/// One lane's way out.
pub(super) struct Destination {
    /// Its hops, for the log.
    pub name: String,
    /// Connections at once.
    pub connections: usize,
    hops: Hops,
    seats: Arc<Semaphore>,
    pace: Option<Pace>,
    running: AtomicUsize,
    /// How often the order of the hops was asked for.
    turn: AtomicU64,
}

/// Who takes the mail.
enum Hops {
    /// Those that are configured.
    Named {
        hops: Vec<Weighted>,
        /// The same for messages that require TLS, with connections of their own.
        verified: Vec<Weighted>,
    },
    /// Those that DNS names for a domain.
    Mx(Arc<Exchangers>),
}

/// A hop and its share of the load.
type Weighted = (u32, Arc<NextHop>);

/// A connection's worth of room, until it is dropped.
pub(super) struct Seat {
    _permit: OwnedSemaphorePermit,
}

impl Destination {
    /// Reads roots.
    pub fn named(way: &Way, options: &Options) -> Result<Self, Mistake> {
        let shares: Vec<Share> =
            options.next_hop.0.iter().map(|text| Share::parse(text).ok_or_else(|| hop::malformed(text))).collect::<Result<_, _>>()?;
        let hops = |demand: &Demand| -> Vec<Weighted> {
            let hop = |Share { host, port, protocol, .. }: &Share| Hop {
                host: host.clone(),
                port: *port,
                address: None,
                source: way.source,
                protocol: *protocol,
            };
            shares.iter().map(|share| (share.weight, Arc::new(NextHop::new(hop(share), demand.clone(), way.clone())))).collect()
        };
        let hops = Hops::Named {
            hops: hops(&Demand::of(options)?),
            // Where no certificate can be checked, nothing that requires TLS goes anywhere.
            verified: Demand::verified(options).map(|demand| hops(&demand)).unwrap_or_default(),
        };
        Ok(Self::over(hops, options))
    }

    /// A domain's mail servers.
    pub fn by_mx(exchangers: &Arc<Exchangers>, options: &Options) -> Self {
        Self::over(Hops::Mx(Arc::clone(exchangers)), options)
    }

    fn over(hops: Hops, options: &Options) -> Self {
        let connections = options.connections.max(1);
        Self {
            name: options.next_hop.0.join(", "),
            connections,
            hops,
            seats: Arc::new(Semaphore::new(connections)),
            pace: (options.per_minute > 0).then(|| Pace::new(options.per_minute)),
            running: AtomicUsize::new(0),
            turn: AtomicU64::new(0),
        }
    }

    /// Whether any of its hops can be reached, as far as we know; if not, when the first one is asked again. Which they
    /// are by MX is known with each message only.
    pub fn state(&self) -> State {
        let Hops::Named { hops, .. } = &self.hops else { return State::Up };
        let states = hops.iter().map(|(_, hop)| hop.state());
        states.min_by_key(|state| if let State::Down { until, .. } = state { Some(*until) } else { None }).unwrap_or(State::Up)
    }

    /// The hops in the order in which they are tried with this message; never none.
    pub async fn candidates(&self, envelope: &Envelope) -> Result<Vec<Candidate>, Missed> {
        let order = match (&self.hops, envelope.require_tls) {
            (Hops::Mx(exchangers), _) => return exchangers.candidates(envelope).await,
            (Hops::Named { hops, .. }, RequireTls::No) => self.order(hops),
            (Hops::Named { verified, .. }, RequireTls::Yes | RequireTls::ByPolicy) => self.order_of_all(verified),
        };
        let nowhere = || Missed::for_now(NO_ROOTS, "the next hop's certificate cannot be checked: there are no roots", &self.name);
        if order.is_empty() { Err(nowhere()) } else { Ok(order.into_iter().map(Candidate::from).collect()) }
    }

    /// Those that are away come last: what the others cannot keep is no end while one of these might.
    fn order_of_all(&self, hops: &[Weighted]) -> Vec<Arc<NextHop>> {
        let mut order = self.order(hops);
        let away = hops.iter().filter(|(_, hop)| matches!(hop.state(), State::Down { .. })).map(|(_, hop)| hop);
        for hop in away {
            if !order.iter().any(|known| Arc::ptr_eq(known, hop)) {
                order.push(Arc::clone(hop));
            }
        }
        order
    }

    /// Those that are there by their shares, then those that only stand in; if none is there, the one that is asked again
    /// first.
    fn order(&self, hops: &[Weighted]) -> Vec<Arc<NextHop>> {
        let mut rest: Vec<&Weighted> = hops.iter().filter(|(_, hop)| hop.state() == State::Up).collect();
        let mut order = Vec::with_capacity(rest.len());
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        while !rest.is_empty() {
            let (_, hop) = rest.remove(drawn(&rest, turn));
            order.push(Arc::clone(hop));
        }
        if order.is_empty() {
            let until = |hop: &NextHop| if let State::Down { until, .. } = hop.state() { Some(until) } else { None };
            order.extend(hops.iter().min_by_key(|(_, hop)| until(hop)).map(|(_, hop)| Arc::clone(hop)));
        }
        order
    }

    /// Whether what goes to these recipients, of one domain where that makes a difference, goes a proven way; where nobody
    /// answers in good time, it does not.
    pub async fn is_proven(&self, recipients: &[Recipient]) -> bool {
        let asked = async {
            match (&self.hops, recipients.first()) {
                (Hops::Mx(exchangers), Some(recipient)) => exchangers.is_proven(recipient.forward_path.domain()).await,
                (Hops::Named { verified, .. }, Some(_)) => {
                    for hop in self.order(verified) {
                        if hop.keeps_tls().await {
                            return true;
                        }
                    }
                    false
                }
                (_, None) => false,
            }
        };
        timeout(PROVEN_WITHIN, asked).await.unwrap_or(false)
    }

    /// Connects to each of its hops and goes without mail; by MX there are none before there is mail.
    pub async fn probe(&self) -> Vec<(String, Option<Said>)> {
        let mut probed = Vec::new();
        let Hops::Named { hops, .. } = &self.hops else { return probed };
        for (_, hop) in hops {
            let why = match timeout(PROBED_WITHIN, hop.connect(&Seen::default())).await {
                Ok(Ok(pooled)) => {
                    pooled.connection.quit().await;
                    None
                }
                Ok(Err(trouble)) => Some(trouble.said),
                Err(_) => Some(Said { code: None, status: NO_ANSWER, words: String::from("no answer") }),
            };
            probed.push((hop.name.clone(), why));
        }
        probed
    }

    /// Room for one message, by then at the latest.
    pub async fn seat(&self, by: Instant) -> Option<Seat> {
        if let Some(pace) = &self.pace {
            sleep_until(pace.turn(by)?).await;
        }
        let permit = timeout_at(by, Arc::clone(&self.seats).acquire_owned()).await.ok()?.ok()?;
        Some(Seat { _permit: permit })
    }

    /// How many more entries of the queue may be attempted. Some always stand in line, so that mail which
    /// is offered at every moment does not keep the queue out.
    pub fn room(&self) -> usize {
        let running = self.running();
        let free = self.seats.available_permits().min(self.connections.saturating_sub(running));
        let room = free.max((self.connections / IN_LINE).max(1).saturating_sub(running));
        let room = self.pace.as_ref().map_or(room, |pace| room.min(pace.turns_soon()));
        if let Hops::Mx(exchangers) = &self.hops { room.min(exchangers.running().room(running)) } else { room }
    }

    /// How long its pace leaves no room.
    pub fn paced(&self) -> Duration {
        self.pace.as_ref().map_or(Duration::ZERO, Pace::wait)
    }

    /// Whether its limits hold nothing back that came before.
    pub fn is_rested(&self) -> bool {
        self.pace.as_ref().is_none_or(Pace::is_rested)
    }

    /// Attempts of the queue's entries.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    /// Counts an attempt as long as the guard lives.
    pub fn count(self: &Arc<Self>) -> Counted {
        self.running.fetch_add(1, Ordering::AcqRel);
        if let Hops::Mx(exchangers) = &self.hops {
            exchangers.running().begin();
        }
        Counted(Arc::clone(self))
    }

    /// Its own hops, as the log names them.
    pub fn hops(&self) -> Vec<String> {
        let Hops::Named { hops, .. } = &self.hops else { return vec![] };
        hops.iter().map(|(_, hop)| hop.name.clone()).collect()
    }

    /// Forgets that its hops were away: an operator asks for them now.
    pub fn hurry(&self) {
        self.own().for_each(|hop| hop.hurry());
    }

    /// Gives up connections that nobody used for a while.
    pub fn take_idle(&self) -> Vec<Pooled> {
        self.own().flat_map(|hop| hop.take_idle()).collect()
    }

    /// Gives up all.
    pub fn take_all(&self) -> Vec<Pooled> {
        self.own().flat_map(|hop| hop.take_all()).collect()
    }

    /// Its own hops. Those of a domain are shared with other domains.
    fn own(&self) -> impl Iterator<Item = &Arc<NextHop>> {
        let (hops, verified) = match &self.hops {
            Hops::Named { hops, verified } => (hops.as_slice(), verified.as_slice()),
            Hops::Mx(_) => (&[][..], &[][..]),
        };
        hops.iter().chain(verified).map(|(_, hop)| hop)
    }
}

/// The one whose turn it is by their shares; those without a share only when no other is left.
fn drawn(hops: &[&Weighted], turn: u64) -> usize {
    let all = hops.iter().map(|(weight, _)| u64::from(*weight)).sum::<u64>().max(1);
    let mut left = turn % all;
    let is_drawn = |(weight, _): &&Weighted| match left.checked_sub(u64::from(*weight)) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    };
    hops.iter().position(is_drawn).unwrap_or_default()
}

/// One attempt of a destination.
pub(super) struct Counted(Arc<Destination>);

impl Counted {
    /// Where it goes.
    pub fn destination(&self) -> &Destination {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
        if let Hops::Mx(exchangers) = &self.0.hops {
            exchangers.running().end();
        }
    }
}

/// So many messages a minute, evenly, with a few at once after a pause.
struct Pace {
    interval: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    fn new(per_minute: u32) -> Self {
        Self { interval: Duration::from_secs(60) / per_minute, next: Mutex::new(Instant::now()) }
    }

    /// Whether as many may go at once as ever.
    fn is_rested(&self) -> bool {
        let next = *self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.elapsed() >= self.interval * AT_ONCE
    }

    /// How many messages may go so soon that it is worth to stand in line.
    fn turns_soon(&self) -> usize {
        let next = *self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ahead) = (Instant::now() + SOON).checked_duration_since(next) else { return 0 };
        let turns = ahead.as_nanos() / self.interval.as_nanos().max(1);
        usize::try_from(turns).unwrap_or(usize::MAX).saturating_add(1)
    }

    /// How long there is none.
    fn wait(&self) -> Duration {
        let next = *self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.saturating_duration_since(Instant::now() + SOON)
    }

    /// When the next message may go; none, and no turn taken, when that is after `by`.
    fn turn(&self, by: Instant) -> Option<Instant> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = Instant::now().checked_sub(self.interval * AT_ONCE).unwrap_or_else(Instant::now);
        let turn = (*next).max(earliest);
        if turn > by {
            return None;
        }
        *next = turn + self.interval;
        Some(turn)
    }
}

/// One of so many connections has somebody of the queue in line for it.
const IN_LINE: usize = 4;
/// Entries of the queue stand in line for a turn that comes so soon: longer than offers wait for one, so these do not take
/// all of them.
const SOON: Duration = Duration::from_secs(10);
/// Messages that may go together after a pause.
const AT_ONCE: u32 = 5;
/// A client waits for what follows from the answer.
const PROVEN_WITHIN: Duration = Duration::from_secs(5);
/// An operator who asks waits for the answer.
const PROBED_WITHIN: Duration = Duration::from_secs(15);
/// RFC 3463 §3.8: cryptographic failure.
const NO_ROOTS: EnhancedStatus = EnhancedStatus::new(4, 7, 5);
/// RFC 3463 §3.5: no answer from host.
const NO_ANSWER: EnhancedStatus = EnhancedStatus::new(4, 4, 1);
