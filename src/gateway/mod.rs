//! Builds everything once, starts listeners and runners, drains on stop; the only reader of the clock.
//!
//! Start: keys, stores, queue, policies, then the listeners; a gateway that cannot keep its promises
//! opens no port. Stop: listeners first, sessions and attempts get their time, the stores last.

use std::sync::{Arc, Mutex, Weak};

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

use crate::channel::Channel;
use crate::clock::{Clock, Reading};
use crate::config::Configuration;
use crate::crypto::KeyRing;
use crate::crypto::ring::Found;
use crate::event::meter;
use crate::intake;
use crate::mistake::Mistake;
use crate::net::dns::Resolver;
use crate::net::tls::Certificates;
use crate::notice::Notices;
use crate::policy::PolicySet;
use crate::queue::{self, Queue};
use crate::relay::{self, Relay, Routes, Stations};
use crate::smtp::client::Said;
use crate::smtp::rights::{Grants, Rights};
use crate::smtp::sender::Senders;
use crate::smtp::users::Users;
use crate::transform::dkim::Signers;
use crate::transport::{self, Transport};
use crate::vault::Vault;
use crate::web;

pub mod backup;
mod build;
pub mod control;
mod failed;
mod operate;
mod reload;
mod run;
mod state;
mod stores;
mod time;
mod travel;
mod watch;

use build::{Base, Built, Desk};
pub use failed::Failed;
pub use reload::Reloaded;
pub use run::Ready;
use state::Condition;
pub use stores::ring;

/// A gateway that is ready to open its ports.
pub struct Gateway {
    configuration: ArcSwap<Configuration>,
    base: Base,
    desk: Arc<Desk>,
    channel: ArcSwap<Channel>,
    shown: Arc<web::Shown>,
    certificates: Arc<Certificates>,
    users: Option<Arc<Users>>,
    rights: Arc<ArcSwap<Rights>>,
    condition: Condition,
    renewing: Mutex<()>,
}

/// A clock that reads the machine's time.
#[allow(clippy::disallowed_methods)]
pub fn clock() -> Clock {
    Clock::reading(|| {
        let since_boot = clock_gettime(ClockId::Boottime);
        let nanoseconds = i32::try_from(since_boot.tv_nsec).unwrap_or_default();
        Reading { wall: Timestamp::now(), uptime: SignedDuration::new(since_boot.tv_sec, nanoseconds) }
    })
}

/// Reads everything that a configuration names, and changes nothing: all mistakes, or what is worth a remark.
pub fn check(configuration: &Configuration) -> Result<Vec<String>, Failed> {
    let mut mistakes = Vec::new();
    mistakes.extend(policies(configuration).err().unwrap_or_default());
    mistakes.extend(Certificates::load(&configuration.path(&configuration.store.certs)).err().unwrap_or_default());
    let signers = Signers::load(&configuration.path(&configuration.store.dkim));
    mistakes.extend(users(configuration).err().unwrap_or_default());
    mistakes.extend(rights(configuration).err().unwrap_or_default());
    mistakes.extend(relay::check(&build::ways(configuration)));
    mistakes.extend(Resolver::new(&build::dns(configuration)).err());
    mistakes.extend(transport::check(&build::transport(configuration)));
    let overrides = build::templates(configuration);
    mistakes.extend(Notices::new(configuration.brand.clone(), configuration.admd.clone(), overrides.as_deref()).err());
    mistakes.extend(web::Pages::new(&configuration.brand, overrides.as_deref()).err());
    match (signers, stores::ring(configuration)) {
        (Ok(signers), Ok((_, found))) if mistakes.is_empty() => {
            let unfinished = (found == Found::Beside).then(|| String::from(stores::UNFINISHED));
            Ok(unsigned(configuration, &signers).into_iter().chain(unfinished).chain(exposed(configuration)).collect())
        }
        (signers, ring) => {
            mistakes.extend(signers.err().unwrap_or_default());
            let ring = ring.err().map(|Failed(why)| why);
            Err(Failed(mistakes.iter().map(ToString::to_string).chain(ring).collect::<Vec<_>>().join("\n")))
        }
    }
}

/// Connects to every next hop as the relay would, and goes without mail: each with what kept it from that.
pub async fn probe_next_hops(configuration: &Configuration) -> Result<Vec<(String, Option<Said>)>, Failed> {
    Ok(relay::probe(&build::ways(configuration), &configuration.admd, clock()).await?)
}

/// The domains of the house whose changed mail leaves without a signature.
fn unsigned(configuration: &Configuration, signers: &Signers) -> Vec<String> {
    let keys = configuration.path(&configuration.store.dkim);
    let domains = configuration.admd.domains.iter().filter(|domain| !signers.can_sign(domain));
    domains.map(|domain| format!("{}: no key for {domain}: what the gateway changes of its mail leaves unsigned", keys.display())).collect()
}

/// Listeners of the operator that others can reach.
fn exposed(configuration: &Configuration) -> Vec<String> {
    let addresses = configuration.admin.listen.iter().filter(|address| !address.ip().is_loopback());
    addresses
        .map(|address| format!("[admin] listen: {address} is no loopback address: whoever reaches it sees how much mail there is"))
        .collect()
}

impl Gateway {
    /// Opens keys and stores, reads policies, builds every part.
    pub fn open(configuration: Configuration, clock: Clock) -> Result<Self, Failed> {
        let stores = stores::Opened::open(&configuration)?;
        let certificates = Certificates::load(&configuration.path(&configuration.store.certs))?;
        let users = users(&configuration)?;
        let rights = Arc::new(ArcSwap::from_pointee(rights(&configuration)?));
        let base = base(&configuration, stores, clock)?;
        let Built { intake, channel, app } = Built::over(&base, &configuration, None)?;
        meter::name_hops(base.relay.hops());
        let desk = Arc::new(Desk::new(intake));
        let anew: Weak<Desk> = Arc::downgrade(&desk);
        base.relay.refer_to(anew);
        Ok(Self {
            configuration: ArcSwap::from_pointee(configuration),
            base,
            desk,
            channel: ArcSwap::new(channel),
            shown: web::Shown::new(app),
            certificates,
            users,
            rights,
            condition: Condition::default(),
            renewing: Mutex::default(),
        })
    }
}

/// Vault, queue and relay over the stores.
fn base(configuration: &Configuration, stores: stores::Opened, clock: Clock) -> Result<Base, Failed> {
    let admd = configuration.admd.clone();
    let vault = Arc::new(Vault::new(stores.records.clone(), stores.parcels, stores.parcel_slots.clone()));
    vault.latest()?.into_iter().for_each(|latest| clock.resume(latest));
    let ways = build::ways(configuration);
    let routes = Routes::new(&admd, &ways).map_err(|words| Failed(format!("routes: {}", words.join(", "))))?;
    let tell = routes.clone();
    let spool = queue::Stores {
        records: stores.records.clone(),
        blobs: stores.spool,
        slots: stores.spool_slots.clone(),
        lanes: Arc::new(move |envelope| tell.lane(envelope)),
    };
    let queue = Arc::new(Queue::open(spool, admd.clone(), configuration.queue.clone(), clock.moment())?);
    stores::reconcile(&stores.spool_slots, queue.slots_in_use());
    if stores.parcel_slots.places() <= RECONCILED {
        stores::reconcile(&stores.parcel_slots, vault.slots_in_use());
    }
    let (parcel_slots, spool_slots) = (stores.parcel_slots, stores.spool_slots);
    let senders = Arc::new(Senders::new(&configuration.smtp));
    let parts = transport::Parts {
        resolver: Arc::new(Resolver::new(&build::dns(configuration))?),
        records: stores.records.clone(),
        ourselves: vec![admd.hostname.clone()],
        https: transport::HTTPS,
    };
    let transport = Arc::new(Transport::new(parts, &build::transport(configuration))?);
    let stations = Stations { queue: queue.clone(), vault: vault.clone(), routes, transport: transport.clone() };
    let relay = Arc::new(Relay::new(stations, &admd, &ways, clock.clone())?);
    Ok(Base { records: stores.records, parcel_slots, spool_slots, queue, vault, relay, senders, transport, clock })
}

/// Rules and policies of a configuration, compiled and tested.
pub fn policies(configuration: &Configuration) -> Result<PolicySet, Vec<Mistake>> {
    let store = &configuration.store;
    PolicySet::load_with(
        &configuration.path(&store.rules),
        &configuration.path(&store.policies),
        &configuration.admd,
        &configuration.policy,
    )
    .map(|policies| policies.speaking(configuration.house.language))
}

/// What stands before policy, by a configuration and its keys.
pub fn threshold(configuration: &Configuration, ring: &KeyRing) -> intake::Threshold {
    let (admd, foreign_from) = (configuration.admd.clone(), configuration.smtp.foreign_from);
    intake::Threshold { admd, foreign_from, loop_key: ring.root("loop") }
}

/// Who may send after AUTH, where anybody may.
pub fn users(configuration: &Configuration) -> Result<Option<Arc<Users>>, Vec<Mistake>> {
    let file = configuration.smtp.users_file.as_ref().map(|file| configuration.path(file));
    file.map(|file| Users::load(&file).map(Arc::new)).transpose()
}

/// Who may relay without AUTH, with the authorities read from where the configuration is.
fn rights(configuration: &Configuration) -> Result<Rights, Vec<Mistake>> {
    let mut grants: Grants = configuration.grants.clone();
    grants.authorities_mut().for_each(|file| *file = configuration.path(file));
    Rights::load(&configuration.smtp.relay_networks, &grants)
}

/// A vault of so many slots is read through at the start to find those that nobody holds; in a larger
/// one the 8 KiB that a crash costs are not worth the time.
const RECONCILED: u32 = 32_768;
