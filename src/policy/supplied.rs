//! The rules and policies that `init` writes, with their tests.

/// Each file's place, and its text.
pub const fn supplied() -> &'static [(&'static str, &'static str)] {
    &[
        ("rules/de-rvnr.toml", include_str!("../../rules/de-rvnr.toml")),
        ("rules/de-steuer-id.toml", include_str!("../../rules/de-steuer-id.toml")),
        ("rules/finance.toml", include_str!("../../rules/finance.toml")),
        ("rules/health.toml", include_str!("../../rules/health.toml")),
        ("rules/iban.toml", include_str!("../../rules/iban.toml")),
        ("rules/nl-bsn.toml", include_str!("../../rules/nl-bsn.toml")),
        ("rules/payment-card.toml", include_str!("../../rules/payment-card.toml")),
        ("rules/personnel.toml", include_str!("../../rules/personnel.toml")),
        ("rules/se-personnummer.toml", include_str!("../../rules/se-personnummer.toml")),
        ("rules/uk-nhs.toml", include_str!("../../rules/uk-nhs.toml")),
        ("rules/uk-nino.toml", include_str!("../../rules/uk-nino.toml")),
        ("rules/us-ssn.toml", include_str!("../../rules/us-ssn.toml")),
        ("policies/10-personal-data.toml", include_str!("../../policies/10-personal-data.toml")),
        ("policies/20-files.toml", include_str!("../../policies/20-files.toml")),
        ("policies/90-unreadable.toml", include_str!("../../policies/90-unreadable.toml")),
        ("policies/tests/files.toml", include_str!("../../policies/tests/files.toml")),
        ("policies/tests/personal-data.toml", include_str!("../../policies/tests/personal-data.toml")),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::mail::{Admd, Domain, Mailbox};
    use crate::policy::{Options, PolicySet};

    #[test]
    fn what_is_supplied_loads_and_passes_its_own_tests() {
        let house = Domain::parse("example.org").unwrap();
        let admd = Admd { domains: vec![house.clone()], hostname: house, postmaster: Mailbox::parse("postmaster@example.org").unwrap() };
        let (rules, policies) = supplied()
            .iter()
            .map(|(file, text)| (PathBuf::from(file), (*text).to_owned()))
            .partition::<Vec<_>, _>(|(file, _)| file.starts_with("rules"));
        if let Err(mistakes) = PolicySet::from_texts(&rules, &policies, &admd, &Options::default()) {
            panic!("{}", mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        }
    }

    #[test]
    fn every_file_of_the_set_is_supplied() {
        for folder in ["rules", "policies", "policies/tests"] {
            for entry in std::fs::read_dir(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap().map(Result::unwrap) {
                let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
                assert!(!name.ends_with(".toml") || supplied().iter().any(|(file, _)| *file == name), "{name}");
            }
        }
    }
}
