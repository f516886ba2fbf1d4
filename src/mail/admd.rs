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
    /// Whether the mailbox is the gateway's own: at its name, where that is not a domain of the house as well.
    pub fn is_own(&self, mailbox: &Mailbox) -> bool {
        *mailbox.domain() == self.hostname && !self.domains.contains(&self.hostname)
    }

    /// Whether what is addressed to the mailbox stays inside.
    pub fn is_inside(&self, mailbox: &Mailbox) -> bool {
        self.is_internal(mailbox) || self.is_own(mailbox)
    }

    /// Who reads what is addressed to the gateway itself, if anybody does. RFC 5321 §4.5.1, RFC 2142 §4 and §5.
    pub fn reader(&self, own: &Mailbox) -> Option<&Mailbox> {
        let is_read = ["postmaster", "abuse"].iter().any(|name| own.local_part().eq_ignore_ascii_case(name));
        (is_read && self.is_own(own) && !self.is_own(&self.postmaster)).then_some(&self.postmaster)
    }

    /// Whether the mailbox is in the house. Subdomains count only when they are listed.
    pub fn is_internal(&self, mailbox: &Mailbox) -> bool {
        self.domains.contains(mailbox.domain())
    }
}
