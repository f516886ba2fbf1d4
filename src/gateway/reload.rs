//! Reading again what people change: the configuration, rules, policies, texts and DKIM keys as one
//! whole; certificates, users and the authorities of relay rights each by themselves, so that a mistake
//! elsewhere does not let a certificate run out.

use std::path::PathBuf;
use std::sync::Arc;

use super::build::Built;
use super::{Failed, Gateway, rights};
use crate::config::{Configuration, Renewed};
use crate::event::{self, Event};
use crate::failpoint;

/// What a reload did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Options of the configuration that changed and hold.
    pub applied: Vec<String>,
    /// Options that changed and need a restart.
    pub restart: Vec<String>,
}

impl Gateway {
    /// Reads everything again. What is wrong changes nothing and is told.
    pub fn reload(&self) -> Result<Reloaded, String> {
        failpoint::reach("gateway.reload");
        let mut told = Vec::new();
        let reloaded = self.renew().map_err(|Failed(wrong)| told.push(wrong)).unwrap_or_default();
        told.extend(self.certificates.reload().err().map(|mistakes| Failed::from(mistakes).0));
        told.extend(self.users.as_ref().and_then(|users| users.reload().err()).map(|mistakes| Failed::from(mistakes).0));
        match rights(&self.configuration.load()) {
            Ok(rights) => self.rights.store(Arc::new(rights)),
            Err(mistakes) => told.push(Failed::from(mistakes).0),
        }
        if !reloaded.restart.is_empty() {
            let result = format!("needs a restart: {}", reloaded.restart.join(", "));
            event::emit(&Event::Upkeep { what: "reload", result: &result });
        }
        if told.is_empty() {
            event::emit(&Event::Upkeep { what: "reload", result: "done" });
            return Ok(reloaded);
        }
        let told = told.join("\n");
        event::emit(&Event::Trouble { place: "reload", fault: &told });
        Err(told)
    }

    /// The configuration and what is built from it: all of it, or nothing.
    fn renew(&self) -> Result<Reloaded, Failed> {
        // One after the other: the later file must not lose to the earlier.
        let _turn = self.renewing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let running = self.configuration.load();
        let new = Configuration::read(&running.file)?;
        let Renewed { configuration, applied, restart } = running.renewed(&new)?;
        let Built { intake, channel, app } = Built::over(&self.base, &configuration, Some(&self.channel.load()))?;
        self.configuration.store(Arc::new(configuration));
        self.desk.replace(intake);
        self.channel.store(channel);
        self.shown.replace(app);
        Ok(Reloaded { applied, restart })
    }

    /// What is read again when it changes.
    pub(super) fn watched(&self) -> Vec<PathBuf> {
        let configuration = self.configuration.load();
        let store = &configuration.store;
        let named = [configuration.smtp.users_file.as_ref(), configuration.house.templates.as_ref()];
        let places = [&store.rules, &store.policies, &store.certs, &store.dkim].into_iter().chain(named.into_iter().flatten());
        let places = places.chain(configuration.grants.authorities());
        places.map(|place| configuration.path(place)).chain([configuration.file.clone()]).collect()
    }
}
