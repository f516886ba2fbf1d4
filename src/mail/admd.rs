//! The organisation served: an administrative management domain. RFC 5598 §2.3.

use super::{Domain, Mailbox};

/// Which domains are the house, and what the gateway is called in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admd {
    /// The domains whose mailboxes are internal.
    pub domains: Vec<Domain>,
    /// The gateway's own name in banners, trace fields and message ids.
    pub hostname: Domain,
    /// Who our own notices come from.
    pub postmaster: Mailbox,
}

impl Admd {
    /// Whether the mailbox is in the house. Subdomains count only when they are listed.
    pub fn is_internal(&self, mailbox: &Mailbox) -> bool {
        self.domains.contains(mailbox.domain())
    }
}
