//! Names that exist by a wildcard, in zones that deny names as they are (NSEC).
//!
//! The validator takes such an answer only where the denial is of another name than the wildcard's own; where the wildcard
//! has the last name before the one that was asked for, it calls a good answer bogus. What it has checked, the signatures of the
//! records and of the denial, is used here; only the last step is made again. RFC 4035 §5.3.4, RFC 4592 §4.4.

use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::dnssec::rdata::{DNSSECRData, NSEC};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// Whether the answer is of this name alone, signed as a wildcard, and a proven denial says that no nearer name exists.
pub(super) fn is_proven(message: &Message, name: &Name) -> bool {
    let is_of_name = |record: &Record| record.name == *name && (record.record_type() == RecordType::RRSIG || record.proof == Proof::Secure);
    let signatures = message.answers.iter().filter(|record| record.proof == Proof::Secure).filter_map(|record| {
        let RData::DNSSEC(DNSSECRData::RRSIG(signature)) = &record.data else { return None };
        Some(usize::from(signature.input().num_labels))
    });
    // As many labels as the name has: then there is no wildcard, and nothing to prove here.
    let Some(parent) = signatures.min().filter(|labels| *labels < usize::from(name.num_labels())) else { return false };
    let is_nearest = |record: &Record| {
        let RData::DNSSEC(DNSSECRData::NSEC(denial)) = &record.data else { return false };
        record.proof == Proof::Secure && denies(&record.name, denial, name) && nearest(&record.name, denial, name) == parent
    };
    message.metadata.response_code == ResponseCode::NoError
        && message.answers.iter().all(is_of_name)
        && message.authorities.iter().any(is_nearest)
}

/// Whether the name lies between the two that the denial names.
fn denies(owner: &Name, denial: &NSEC, name: &Name) -> bool {
    let (types, next) = (denial.type_set(), denial.next_domain_name());
    // RFC 6840 §4.1: what a parent says at a cut is not said of the names below it; nor is it below a DNAME.
    let is_cut = types.contains(RecordType::NS) && !types.contains(RecordType::SOA);
    if owner.zone_of(name) && (is_cut || types.contains(RecordType::DNAME)) {
        return false;
    }
    // The last name of a zone points back to its begin.
    owner < name && (name < next || (next <= owner && next.zone_of(name)))
}

/// How many labels the longest existing name has that the name is below: everything above an existing name exists.
fn nearest(owner: &Name, denial: &NSEC, name: &Name) -> usize {
    [owner, denial.next_domain_name()].into_iter().map(|existing| common(existing, name)).max().unwrap_or_default()
}

fn common(one: &Name, other: &Name) -> usize {
    one.iter().rev().zip(other.iter().rev()).take_while(|(one, other)| one.eq_ignore_ascii_case(other)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_covers_what_lies_between_and_shows_what_is_nearest() {
        let name = |text: &str| Name::from_ascii(text).unwrap();
        let plain = &[RecordType::MX, RecordType::RRSIG, RecordType::NSEC][..];
        let cut = &[RecordType::NS, RecordType::RRSIG, RecordType::NSEC][..];
        let apex = &[RecordType::NS, RecordType::SOA, RecordType::NSEC][..];
        for (owner, next, types, asked, expect) in [
            // The wildcard is the last name before the one that is asked for, and the last of the zone.
            ("*.wild.example.", "example.", plain, "any.wild.example.", Some(2)),
            ("*.wild.example.", "z.example.", plain, "ANY.wild.example.", Some(2)),
            ("a.example.", "z.example.", plain, "m.example.", Some(1)),
            ("example.", "z.example.", apex, "m.example.", Some(1)),
            // A nearer name exists, so the wildcard above it is not for names below it.
            ("b.example.", "c.example.", plain, "a.b.example.", Some(2)),
            ("a.example.", "z.b.example.", plain, "a.b.example.", Some(2)),
            ("a.example.", "c.example.", plain, "d.example.", None),
            ("a.example.", "c.example.", plain, "a.example.", None),
            ("a.example.", "c.example.", plain, "c.example.", None),
            // Another zone's last name says nothing of ours.
            ("z.other.example.", "other.example.", plain, "zz.example.", None),
            ("b.example.", "c.example.", cut, "a.b.example.", None),
        ] {
            let denial = NSEC::new(name(next), types.iter().copied());
            let (owner, asked) = (name(owner), name(asked));
            let found = denies(&owner, &denial, &asked).then(|| nearest(&owner, &denial, &asked));
            assert_eq!(found, expect, "{owner} {next} {asked}");
        }
    }
}
