//! From a message to what was asked: the chain of aliases, the records at its end, how long they hold.

use std::net::IpAddr;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::{Proof, Trouble};
use crate::net::dane;

/// What is known of a name and a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The name at the end of all aliases.
    pub name: Name,
    /// What it has.
    pub records: Vec<Datum>,
    /// Of the records and the aliases.
    pub proof: Proof,
    /// Whether the name exists; one that exists may still have no such record.
    pub exists: bool,
    /// Whether that was asked twice.
    pub is_sure: bool,
    /// Seconds that it may be believed.
    pub lifetime: u32,
    /// Names that were aliases.
    pub aliases: Vec<Name>,
}

/// The content of one record, of the types that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Datum {
    Exchange(u16, Name),
    Address(IpAddr),
    Text(String),
    Tlsa(dane::Record),
    Alias,
}

/// Where one message leads.
pub(super) enum Step {
    /// That is it.
    Done(Found),
    /// To another name, of which the message says nothing.
    Onward(Found),
}

impl Found {
    /// Nothing is known of the name yet.
    pub fn nothing(name: Name) -> Self {
        Self { name, records: vec![], proof: Proof::Secure, exists: true, is_sure: false, lifetime: u32::MAX, aliases: vec![] }
    }

    /// Takes what a message says of the name, and of the names that it is an alias of.
    pub fn take(mut self, message: &Message, kind: RecordType, proof: Proof) -> Result<Step, Trouble> {
        self.proof = self.proof.min(proof);
        let before = self.aliases.len();
        while let Some((target, lifetime)) = alias(message, &self.name).filter(|_| kind != RecordType::CNAME) {
            self.aliases.push(std::mem::replace(&mut self.name, target));
            self.lifetime = self.lifetime.min(lifetime);
            if self.aliases.contains(&self.name) || self.aliases.len() > ALIASES_MAX {
                return Err(Trouble::Endless);
            }
        }
        for record in message.answers.iter().filter(|record| record.record_type() == kind && record.name == self.name) {
            self.lifetime = self.lifetime.min(record.ttl);
            self.records.extend(Datum::of(&record.data).filter(|_| self.records.len() < RECORDS_MAX));
        }
        let has_moved = self.aliases.len() > before;
        match (message.metadata.response_code, self.records.is_empty()) {
            (ResponseCode::NoError, false) => Ok(Step::Done(self)),
            // RFC 2308 §2.2: that there is nothing is said with the authority for it; without, the server only stopped here.
            (ResponseCode::NoError, true) if has_moved && negative_lifetime(message).is_none() => Ok(Step::Onward(self)),
            (ResponseCode::NoError, true) => Ok(Step::Done(self.without(message))),
            (ResponseCode::NXDomain, _) => Ok(Step::Done(Self { exists: false, records: vec![], ..self.without(message) })),
            (code, _) => Err(Trouble::Refusal(code.to_string())),
        }
    }

    /// Octets in memory, about.
    pub fn weight(&self) -> usize {
        let data = self.records.iter().map(|datum| match datum {
            Datum::Text(text) => text.len(),
            Datum::Tlsa(record) => record.len(),
            Datum::Exchange(..) | Datum::Address(_) | Datum::Alias => 0,
        });
        data.map(|octets| octets + RECORD).sum::<usize>() + RECORD
    }

    fn without(self, message: &Message) -> Self {
        let lifetime = negative_lifetime(message).unwrap_or_default().min(self.lifetime);
        Self { lifetime, ..self }
    }
}

impl Datum {
    #[expect(clippy::wildcard_enum_match_arm, reason = "of a type that nobody asked for")]
    fn of(data: &RData) -> Option<Self> {
        match data {
            RData::MX(exchange) => Some(Self::Exchange(exchange.preference, exchange.exchange.clone())),
            RData::A(address) => Some(Self::Address(address.0.into())),
            RData::AAAA(address) => Some(Self::Address(address.0.into())),
            RData::TXT(text) => Some(Self::Text(String::from_utf8_lossy(&text.txt_data.concat()).into_owned())),
            RData::TLSA(tlsa) => {
                let kind = [tlsa.cert_usage.into(), tlsa.selector.into(), tlsa.matching.into()];
                Some(Self::Tlsa(dane::Record::new(kind, tlsa.cert_data.clone())))
            }
            RData::CNAME(_) => Some(Self::Alias),
            _ => None,
        }
    }
}

fn alias(message: &Message, name: &Name) -> Option<(Name, u32)> {
    message.answers.iter().filter(|record| record.name == *name).find_map(|record| {
        let RData::CNAME(target) = &record.data else { return None };
        Some((target.0.clone(), record.ttl))
    })
}

/// RFC 2308 §5.
fn negative_lifetime(message: &Message) -> Option<u32> {
    message.authorities.iter().find_map(|record| {
        let RData::SOA(soa) = &record.data else { return None };
        Some(record.ttl.min(soa.minimum))
    })
}

/// Aliases of one name; resolvers follow no more.
const ALIASES_MAX: usize = 16;
/// Records of one name; a message of 64 KiB holds thousands.
const RECORDS_MAX: usize = 100;
/// What a record takes beside its content.
const RECORD: usize = 256;
