//! Builds everything once, starts listeners and runners, drains on stop; the only reader of the clock.
//!
//! Start: keys, stores, queue, policies, then the listeners; a gateway that cannot keep its promises
//! opens no port. Stop: listeners first, sessions and attempts get their time, the stores last.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

use crate::channel::{self, Channel};
use crate::clock::{Clock, Reading};
use crate::config::Configuration;
use crate::event::{self, Event};
use crate::extract::Extractor;
use crate::intake::{self, Intake};
use crate::mistake::Mistake;
use crate::net::dns::{self, Resolver};
use crate::net::tls::Certificates;
use crate::notice::Notices;
use crate::policy::PolicySet;
use crate::queue::{self, Queue};
use crate::relay::{self, Relay, Stations};
use crate::smtp::users::Users;
use crate::store::SealedRecords;
use crate::transform::dkim::Signers;
use crate::transport::{self, Transport};
use crate::vault::Vault;
use crate::web;

pub mod control;
mod failed;
mod run;
mod stores;
mod time;
mod travel;
mod watch;

pub use failed::Failed;
pub use run::Ready;

/// A gateway that is ready to open its ports.
pub struct Gateway {
    configuration: Configuration,
    clock: Clock,
    queue: Arc<Queue>,
    vault: Arc<Vault>,
    relay: Arc<Relay>,
    transport: Arc<Transport>,
    signers: Arc<Signers>,
    channel: Arc<Channel>,
    policies: Arc<ArcSwap<PolicySet>>,
    certificates: Arc<Certificates>,
    users: Option<Arc<Users>>,
    intake: Intake,
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
    mistakes.extend(relay::check(&relay_options(configuration)));
    mistakes.extend(Resolver::new(&dns_options(configuration)).err());
    mistakes.extend(transport::check(&transport_options(configuration)));
    let overrides = templates(configuration);
    mistakes.extend(Notices::new(configuration.brand.clone(), configuration.admd.clone(), overrides.as_deref()).err());
    mistakes.extend(web::Pages::new(&configuration.brand, overrides.as_deref()).err());
    let ring = stores::ring(configuration).err().map(|Failed(why)| why);
    match signers {
        Ok(signers) if mistakes.is_empty() && ring.is_none() => Ok(unsigned(configuration, &signers)),
        signers => {
            mistakes.extend(signers.err().unwrap_or_default());
            Err(Failed(mistakes.iter().map(ToString::to_string).chain(ring).collect::<Vec<_>>().join("\n")))
        }
    }
}

/// The domains of the house whose changed mail leaves without a signature.
fn unsigned(configuration: &Configuration, signers: &Signers) -> Vec<String> {
    let keys = configuration.path(&configuration.store.dkim);
    let domains = configuration.admd.domains.iter().filter(|domain| !signers.can_sign(domain));
    domains.map(|domain| format!("{}: no key for {domain}: what the gateway changes of its mail leaves unsigned", keys.display())).collect()
}

impl Gateway {
    /// Opens keys and stores, reads policies, builds every part.
    pub fn open(configuration: Configuration, clock: Clock) -> Result<Self, Failed> {
        let stores = stores::Opened::open(&configuration)?;
        let (admd, brand) = (configuration.admd.clone(), configuration.brand.clone());
        let policies = Arc::new(ArcSwap::from_pointee(policies(&configuration)?));
        let certificates = Certificates::load(&configuration.path(&configuration.store.certs))?;
        let users = users(&configuration)?;
        let notices = Arc::new(Notices::new(brand.clone(), admd.clone(), templates(&configuration).as_deref())?);
        let vault = Arc::new(Vault::new(stores.records.clone(), stores.parcels, stores.parcel_slots.clone()));
        vault.latest()?.into_iter().for_each(|latest| clock.resume(latest));
        let spool = queue::Stores { records: stores.records.clone(), blobs: stores.spool, slots: stores.spool_slots.clone() };
        let queue = Arc::new(Queue::open(spool, admd.clone(), configuration.queue.clone(), clock.now())?);
        stores::reconcile(&stores.spool_slots, queue.slots_in_use());
        if stores.parcel_slots.places() <= RECONCILED {
            stores::reconcile(&stores.parcel_slots, vault.slots_in_use());
        }
        let stations = Stations { queue: queue.clone(), vault: vault.clone() };
        let relay = Arc::new(Relay::new(stations, &admd, &relay_options(&configuration), clock.clone())?);
        let transport = Arc::new(transport(&configuration, &stores.records)?);
        let signers = Arc::new(Signers::load(&configuration.path(&configuration.store.dkim))?);
        let channel = Arc::new(Channel::new(
            channel::Parts {
                vault: vault.clone(),
                queue: queue.clone(),
                records: stores.records.clone(),
                notices: notices.clone(),
                admd: admd.clone(),
                brand: brand.clone(),
                wake: waker(&relay),
                clock: clock.clone(),
            },
            channel::Options::default(),
        ));
        let intake = Intake::new(intake::Parts {
            admd,
            brand,
            policies: policies.clone(),
            extractor: Extractor::new(std::env::current_exe()?, WORKERS),
            vault: vault.clone(),
            queue: queue.clone(),
            notices,
            signers: signers.clone(),
            foreign_from: configuration.smtp.foreign_from,
            loop_key: stores.records.ring().root("loop"),
            room: (configuration.path(&configuration.store.directory), configuration.store.reserve),
            wake: waker(&relay),
            clock: clock.clone(),
        });
        Ok(Self { configuration, clock, queue, vault, relay, transport, signers, channel, policies, certificates, users, intake })
    }

    /// Reads rules, policies, certificates and users again. What is wrong changes nothing and is told.
    pub fn reload(&self) -> Result<(), String> {
        let mut mistakes = Vec::new();
        match policies(&self.configuration) {
            Ok(set) => self.policies.store(Arc::new(set)),
            Err(wrong) => mistakes.extend(wrong),
        }
        mistakes.extend(self.certificates.reload().err().unwrap_or_default());
        mistakes.extend(self.users.as_ref().and_then(|users| users.reload().err()).unwrap_or_default());
        let result = if mistakes.is_empty() { Ok(()) } else { Err(Failed::from(mistakes).0) };
        match &result {
            Ok(()) => event::emit(&Event::Upkeep { what: "reload", result: "done" }),
            Err(told) => event::emit(&Event::Trouble { place: "reload", fault: told }),
        }
        result
    }
}

impl Gateway {
    /// What is read again when it changes.
    fn watched(&self) -> Vec<PathBuf> {
        let configuration = &self.configuration;
        let store = &configuration.store;
        let users = configuration.smtp.users_file.as_ref();
        [&store.rules, &store.policies, &store.certs].into_iter().chain(users).map(|place| configuration.path(place)).collect()
    }

    fn templates(&self) -> Option<PathBuf> {
        templates(&self.configuration)
    }
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

fn users(configuration: &Configuration) -> Result<Option<Arc<Users>>, Vec<Mistake>> {
    let file = configuration.smtp.users_file.as_ref().map(|file| configuration.path(file));
    file.map(|file| Users::load(&file).map(Arc::new)).transpose()
}

fn templates(configuration: &Configuration) -> Option<PathBuf> {
    configuration.house.templates.as_ref().map(|folder| configuration.path(folder))
}

fn relay_options(configuration: &Configuration) -> relay::Options {
    let mut options = configuration.relay.clone();
    options.roots = options.roots.map(|file| configuration.path(&file));
    options.password_file = options.password_file.map(|file| configuration.path(&file));
    options
}

fn dns_options(configuration: &Configuration) -> dns::Options {
    let mut options = configuration.dns.clone();
    options.trust_anchor = options.trust_anchor.map(|file| configuration.path(&file));
    options
}

fn transport_options(configuration: &Configuration) -> transport::Options {
    let mut options = configuration.transport.clone();
    options.roots = options.roots.map(|file| configuration.path(&file));
    options
}

fn transport(configuration: &Configuration, records: &SealedRecords) -> Result<Transport, Failed> {
    let parts = transport::Parts {
        resolver: Arc::new(Resolver::new(&dns_options(configuration))?),
        records: records.clone(),
        ourselves: vec![configuration.admd.hostname.clone()],
        https: transport::HTTPS,
    };
    Ok(Transport::new(parts, &transport_options(configuration))?)
}

fn waker(relay: &Arc<Relay>) -> Arc<dyn Fn() + Send + Sync> {
    let relay = relay.clone();
    Arc::new(move || relay.wake())
}

/// Attachments that are read at once: one for each core that is likely there.
const WORKERS: usize = 2;
/// A vault of so many slots is read through at the start to find those that nobody holds; in a larger
/// one the 8 KiB that a crash costs are not worth the time.
const RECONCILED: u32 = 32_768;
