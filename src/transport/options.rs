//! What an operator can set about the way to other domains' mail servers.

use std::path::PathBuf;

crate::options! {
    /// How mail travels to the mail servers of other domains.
    pub struct Options {
        /// Whether what a domain demands by MTA-STS (RFC 8461) is asked for and kept: `on`, `off`. What it demands by DANE is kept where `dns.dnssec` finds proof.
        mta_sts: Switch = Switch::On,
        /// Where other domains' mail servers listen; anything but 25 is for a closed network.
        port: u16 = 25,
        /// PEM file with roots that count beside the system's, for policies' web servers and for mail servers whose certificate must hold.
        roots: Option<PathBuf> = None,
        /// Whether domains that ask for it (RFC 8460) are told once a day what came of TLS with their mail servers: `on`, `off`. The mails come from the house's postmaster.
        tls_reports: Switch = Switch::Off,
    }
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    /// It is done.
    On,
    /// It is not.
    Off,
}
