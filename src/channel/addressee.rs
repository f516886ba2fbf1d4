//! Who may answer for the address that a message was sent to.
//!
//! The address itself, and without any configuration nobody else. What else counts is decided by the
//! configuration alone: nothing that lies in the store can widen it for one parcel.

use crate::mail::{BadMailbox, Domain, Mailbox};

/// Whether a detail in an address makes it another person's. RFC 5233.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Details {
    /// `karin+news@` is somebody else than `karin@`.
    Distinct,
    /// They are one person.
    Same,
}

/// Addresses that several people read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Shared {
    /// This mailbox.
    One(Mailbox),
    /// Every mailbox of this domain: that of a list server, say.
    All(Domain),
}

/// Which addresses count beside the one that a message was sent to.
#[derive(Debug)]
pub(super) struct Addressees {
    pub same_domains: Vec<Vec<Domain>>,
    pub details: Details,
    pub shared: Vec<Shared>,
}

/// Who answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reader {
    /// The person whom the message was sent to: what is mailed goes to the address that was sealed.
    Addressee,
    /// One of those who read a shared mailbox: what is mailed goes to the own address, so that it is known who came.
    Member(Mailbox),
}

impl Addressees {
    /// Who somebody is who types this address for a message that was sent to that one; none when it is not theirs.
    pub fn reader(&self, sent_to: &Mailbox, typed: Mailbox) -> Option<Reader> {
        if !self.is_same_domain(sent_to.domain(), typed.domain()) {
            return None;
        }
        if self.name(sent_to) == self.name(&typed) {
            return Some(Reader::Addressee);
        }
        self.is_shared(sent_to).then_some(Reader::Member(typed))
    }

    /// Whether several people read what is sent to this address.
    pub fn is_shared(&self, mailbox: &Mailbox) -> bool {
        self.shared.iter().any(|shared| match shared {
            Shared::One(one) => one.is_same_person(mailbox),
            Shared::All(domain) => domain == mailbox.domain(),
        })
    }

    fn is_same_domain(&self, one: &Domain, other: &Domain) -> bool {
        one == other || self.same_domains.iter().any(|same| same.contains(one) && same.contains(other))
    }

    /// The local part as people read it: without case, and without a detail where that is not a part of the name.
    fn name(&self, mailbox: &Mailbox) -> String {
        let name = mailbox.local_part().to_lowercase();
        match (self.details, name.split_once('+')) {
            // In quotes a plus is any character; in front of all it parts nothing.
            (Details::Same, Some((user, _))) if !user.is_empty() && !user.starts_with('"') => user.to_owned(),
            _ => name,
        }
    }
}

impl TryFrom<String> for Shared {
    type Error = BadMailbox;

    fn try_from(text: String) -> Result<Self, BadMailbox> {
        match text.strip_prefix("*@") {
            Some(domain) => Domain::parse(domain).map(Self::All),
            None => Mailbox::parse(&text).map(Self::One),
        }
    }
}

impl From<Shared> for String {
    fn from(shared: Shared) -> Self {
        match shared {
            Shared::One(mailbox) => mailbox.to_string(),
            Shared::All(domain) => format!("*@{domain}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(addressees: &Addressees, sent_to: &str, typed: &str) -> &'static str {
        match addressees.reader(&Mailbox::parse(sent_to).unwrap(), Mailbox::parse(typed).unwrap()) {
            Some(Reader::Addressee) => "addressee",
            Some(Reader::Member(mailbox)) if mailbox.to_string() == typed => "member",
            Some(Reader::Member(mailbox)) => panic!("{mailbox}"),
            None => "stranger",
        }
    }

    #[test]
    fn nobody_answers_but_the_address_unless_the_configuration_says_so() {
        let nothing = Addressees { same_domains: vec![], details: Details::Distinct, shared: vec![] };
        let domain = |text: &str| Domain::parse(text).unwrap();
        let all = Addressees {
            same_domains: vec![
                vec![domain("example.com"), domain("example.co.uk")],
                vec![domain("lists.example.net"), domain("example.net")],
            ],
            details: Details::Same,
            shared: ["info@example.net", "*@lists.example.net"].map(|text| Shared::try_from(text.to_owned()).unwrap()).to_vec(),
        };
        for (sent_to, typed, by_nothing, by_all) in [
            ("karin@example.com", "Karin@EXAMPLE.com", "addressee", "addressee"),
            ("karin@example.com", "karin@example.co.uk", "stranger", "addressee"),
            ("karin@example.co.uk", "karin@example.com", "stranger", "addressee"),
            ("karin@example.com", "karin@example.net", "stranger", "stranger"),
            ("karin@example.com", "jonas@example.com", "stranger", "stranger"),
            ("karin+news@example.com", "karin@example.com", "stranger", "addressee"),
            ("karin@example.com", "karin+x@example.co.uk", "stranger", "addressee"),
            ("+a@example.com", "+b@example.com", "stranger", "stranger"),
            ("\"k+a\"@example.com", "\"k+b\"@example.com", "stranger", "stranger"),
            ("info@example.net", "jonas@example.net", "stranger", "member"),
            ("Info@example.net", "jonas@lists.example.net", "stranger", "member"),
            ("info@example.net", "info@example.net", "addressee", "addressee"),
            ("info@example.net", "jonas@example.com", "stranger", "stranger"),
            ("jonas@example.net", "info@example.net", "stranger", "stranger"),
            ("staff@lists.example.net", "jonas@example.net", "stranger", "member"),
            ("staff@lists.example.net", "jonas@sub.lists.example.net", "stranger", "stranger"),
        ] {
            assert_eq!(reader(&nothing, sent_to, typed), by_nothing, "{sent_to} {typed}");
            assert_eq!(reader(&all, sent_to, typed), by_all, "{sent_to} {typed}");
        }
    }

    #[test]
    fn what_is_shared_is_an_address_or_a_domain_and_never_everything() {
        for (text, well_formed) in
            [("info@example.net", true), ("*@example.net", true), ("*", false), ("*@*", false), ("*@", false), ("@", false)]
        {
            assert_eq!(Shared::try_from(text.to_owned()).is_ok(), well_formed, "{text}");
        }
    }
}
