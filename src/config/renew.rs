//! A configuration that is read again under a running gateway: what can change does, the rest is told.

use toml::{Table, Value};

use super::{Configuration, Mistake};

/// What comes of reading a file again.
#[derive(Debug, Clone)]
pub struct Renewed {
    /// What runs from now on: the new file, but the old values where those need a restart.
    pub configuration: Configuration,
    /// Options that changed and hold at once, as `[policy] max_days`.
    pub applied: Vec<String>,
    /// Options that changed and hold after a restart.
    pub restart: Vec<String>,
}

impl Configuration {
    /// What runs on when the file now says `new`.
    pub fn renewed(&self, new: &Self) -> Result<Renewed, Vec<Mistake>> {
        let (mut applied, mut restart) = (Vec::new(), Vec::new());
        let mut merged = Table::new();
        for ((name, old), (_, new)) in self.tables()?.into_iter().zip(new.tables()?) {
            let mut table = old.clone();
            let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys.into_iter().filter(|key| old.get(*key) != new.get(*key)) {
                if !is_live(name, key) {
                    restart.push(format!("[{name}] {key}"));
                    continue;
                }
                applied.push(format!("[{name}] {key}"));
                match new.get(key) {
                    Some(value) => table.insert(key.clone(), value.clone()),
                    None => table.remove(key),
                };
            }
            merged.insert(name.to_owned(), Value::Table(table));
        }
        // Options that depend on each other are checked in their new company.
        let configuration = Self::parse(&self.file, &merged.to_string())?;
        Ok(Renewed { configuration, applied, restart })
    }

    fn tables(&self) -> Result<[(&'static str, Table); 12], Vec<Mistake>> {
        let unwritten = |error: toml::ser::Error| vec![Mistake::whole(&self.file, error.to_string())];
        let mut smtp = Table::try_from(&self.smtp).map_err(unwritten)?;
        smtp.extend(Table::try_from(&self.grants).map_err(unwritten)?);
        Ok([
            ("house", Table::try_from(&self.house).map_err(unwritten)?),
            ("smtp", smtp),
            ("relay", Table::try_from(&self.relay).map_err(unwritten)?),
            ("transport", Table::try_from(&self.transport).map_err(unwritten)?),
            ("dns", Table::try_from(&self.dns).map_err(unwritten)?),
            ("web", Table::try_from(&self.web).map_err(unwritten)?),
            ("channel", Table::try_from(&self.channel).map_err(unwritten)?),
            ("policy", Table::try_from(&self.policy).map_err(unwritten)?),
            ("queue", Table::try_from(&self.queue).map_err(unwritten)?),
            ("store", Table::try_from(&self.store).map_err(unwritten)?),
            ("admin", Table::try_from(&self.admin).map_err(unwritten)?),
            ("log", Table::try_from(&self.log).map_err(unwritten)?),
        ])
    }
}

fn is_live(table: &str, key: &str) -> bool {
    LIVE.iter().any(|(name, keys)| *name == table && keys.contains(&key))
}

/// What the gateway builds anew without a stop: policy, the house's texts, where those and the DKIM keys
/// lie. Domains and host name are not here: queue, relay and loop proof have them since the start.
const LIVE: [(&str, &[&str]); 3] = [
    ("house", &["name", "language", "time_zone", "support", "accent", "templates"]),
    ("policy", &["default_days", "max_days", "mixed"]),
    ("store", &["rules", "policies", "dkim", "reserve"]),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(more: &str) -> Configuration {
        let house = "domains = [\"example.org\"]\nhostname = \"mail.example.org\"\n";
        let web = "[web]\nbase_url = \"https://secure.example.org\"\n";
        Configuration::parse(Path::new("/etc/waxseal/waxseal.toml"), &format!("[house]\n{house}{more}\n{web}")).unwrap()
    }

    #[test]
    fn what_can_change_changes_and_the_rest_is_told() {
        let old = read("name = \"Old\"\n[relay]\nnext_hop = \"a.example:25\"\n");
        let new = read(
            "name = \"New\"\nsupport = \"desk\"\n[policy]\nmax_days = 3\ndefault_days = 2\n[relay]\nnext_hop = \"b.example:25\"\ntls = \"verified\"\n",
        );
        let renewed = old.renewed(&new).unwrap();
        assert_eq!(renewed.applied, ["[house] name", "[house] support", "[policy] default_days", "[policy] max_days"]);
        assert_eq!(renewed.restart, ["[relay] next_hop", "[relay] tls"]);
        assert_eq!(
            (renewed.configuration.brand.name.as_str(), renewed.configuration.relay.rest.next_hop.0[0].as_str()),
            ("New", "a.example:25")
        );
        assert_eq!(renewed.configuration.directory, Path::new("/etc/waxseal"));
        let again = renewed.configuration.renewed(&new).unwrap();
        assert_eq!((again.applied.len(), again.restart.len()), (0, 2), "told until the restart");
    }

    #[test]
    fn every_live_option_exists() {
        let described = [super::super::House::describe(), crate::policy::Options::describe(), super::super::Store::describe()];
        for ((table, keys), options) in LIVE.iter().zip(described) {
            for key in *keys {
                assert!(options.iter().any(|option| option.key == *key), "[{table}] {key}");
            }
        }
    }
}
