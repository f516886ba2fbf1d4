//! What the configuration makes over stores and queue that stay: the way in, the channel, the pages.
//!
//! A start builds it once; a reload builds it anew, whole or not at all, and swaps it under what runs.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::{Failed, policies, threshold};
use crate::channel::{self, Channel};
use crate::clock::Clock;
use crate::config::Configuration;
use crate::extract::Extractor;
use crate::intake::{self, Intake};
use crate::mail::Envelope;
use crate::mistake::Mistake;
use crate::net::dns;
use crate::notice::Notices;
use crate::queue::Queue;
use crate::relay::{Anew, Made, Relay, Ways};
use crate::smtp::sender::Senders;
use crate::smtp::{self, Receipt, Refusal, Transaction};
use crate::store::SealedRecords;
use crate::store::slots::FileSlots;
use crate::transform::dkim::Signers;
use crate::transport::{self, Transport};
use crate::vault::Vault;
use crate::web;

/// What stays as long as the process.
pub(super) struct Base {
    pub records: SealedRecords,
    pub parcel_slots: Arc<FileSlots>,
    pub spool_slots: Arc<FileSlots>,
    pub queue: Arc<Queue>,
    pub vault: Arc<Vault>,
    pub relay: Arc<Relay>,
    pub senders: Arc<Senders>,
    pub transport: Arc<Transport>,
    pub clock: Clock,
}

/// What a reload builds anew.
pub(super) struct Built {
    pub intake: Intake,
    pub channel: Arc<Channel>,
    pub app: web::App,
}

impl Built {
    /// Reads everything that the configuration names for it. Visits of `before` go on.
    pub fn over(base: &Base, configuration: &Configuration, before: Option<&Channel>) -> Result<Self, Failed> {
        let (admd, brand) = (configuration.admd.clone(), configuration.brand.clone());
        let overrides = templates(configuration);
        let store = &configuration.store;
        let mut mistakes: Vec<Mistake> = Vec::new();
        let policies = policies(configuration).map_err(|wrong| mistakes.extend(wrong));
        let signers = Signers::load(&configuration.path(&store.dkim)).map_err(|wrong| mistakes.extend(wrong));
        let notices = Notices::new(brand.clone(), admd.clone(), overrides.as_deref()).map_err(|wrong| mistakes.push(wrong));
        let (Ok(policies), Ok(signers), Ok(notices)) = (policies, signers, notices) else { return Err(mistakes.into()) };
        let notices = Arc::new(notices);
        let language = brand.language;
        let parts = channel::Parts {
            vault: base.vault.clone(),
            queue: base.queue.clone(),
            records: base.records.clone(),
            notices: notices.clone(),
            admd: admd.clone(),
            brand: brand.clone(),
            wake: waker(&base.relay),
            clock: base.clock.clone(),
        };
        let channel = Arc::new(match before {
            Some(before) => before.renewed(parts, configuration.channel.clone()),
            None => Channel::new(parts, configuration.channel.clone()),
        });
        let app = web::App::new(channel.clone(), configuration.web.clone(), overrides.as_deref())?;
        let intake = Intake::new(intake::Parts {
            threshold: threshold(configuration, base.records.ring()),
            brand,
            policies: Arc::new(ArcSwap::from_pointee(policies)),
            extractor: Extractor::new(std::env::current_exe()?, WORKERS),
            vault: base.vault.clone(),
            relay: base.relay.clone(),
            senders: base.senders.clone(),
            notices,
            signers,
            trace_client: configuration.smtp.trace_client,
            room: (configuration.path(&store.directory), store.reserve),
            clock: base.clock.clone(),
        });
        // Nothing can go wrong any more.
        base.queue.speak(language);
        Ok(Self { intake, channel, app })
    }
}

/// Where every message is handed in: at the intake of this moment.
pub(super) struct Desk(ArcSwap<Intake>);

impl Desk {
    pub fn new(intake: Intake) -> Self {
        Self(ArcSwap::from_pointee(intake))
    }

    /// The next message goes to this one.
    pub fn replace(&self, intake: Intake) {
        self.0.store(Arc::new(intake));
    }
}

impl smtp::Intake for Desk {
    fn accept(&self, transaction: Transaction) -> impl Future<Output = Result<Receipt, Refusal>> + Send {
        let intake = self.0.load_full();
        async move { intake.accept(transaction).await }
    }

    fn has_room(&self, size: u64) -> bool {
        self.0.load().has_room(size)
    }
}

impl Anew for Desk {
    fn decide_anew(&self, envelope: Envelope, message: Bytes) -> Result<Made, Refusal> {
        self.0.load_full().decide_anew(envelope, message)
    }
}

/// Templates that replace ours.
pub(super) fn templates(configuration: &Configuration) -> Option<PathBuf> {
    configuration.house.templates.as_ref().map(|folder| configuration.path(folder))
}

/// The ways out, with the paths of their files from where the configuration is.
pub(super) fn ways(configuration: &Configuration) -> Ways {
    let mut ways = configuration.relay.clone();
    let whole = |path: &mut Option<PathBuf>| {
        if let Some(path) = path {
            *path = configuration.path(path);
        }
    };
    whole(&mut ways.rest.roots);
    whole(&mut ways.rest.password_file);
    for route in &mut ways.routes {
        whole(&mut route.roots);
        whole(&mut route.password_file);
    }
    ways
}

/// DNS, with the path of its file from where the configuration is.
pub(super) fn dns(configuration: &Configuration) -> dns::Options {
    let mut options = configuration.dns.clone();
    options.trust_anchor = options.trust_anchor.map(|file| configuration.path(&file));
    options
}

/// The way to other domains, with the path of its file from where the configuration is.
pub(super) fn transport(configuration: &Configuration) -> transport::Options {
    let mut options = configuration.transport.clone();
    options.roots = options.roots.map(|file| configuration.path(&file));
    options
}

fn waker(relay: &Arc<Relay>) -> Arc<dyn Fn() + Send + Sync> {
    let relay = relay.clone();
    Arc::new(move || relay.wake())
}

/// Attachments that are read at once: one for each core that is likely there.
const WORKERS: usize = 2;
