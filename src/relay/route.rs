//! Which way a recipient's mail goes: by recipient and sender, the first route that fits.

use std::hash::{BuildHasher, RandomState};

use super::Ways;
use super::options::NextHops;
use crate::mail::{Admd, Domain, Envelope, Mailbox, Recipient, ReversePath};
use crate::queue::{Lane, NewEntry};

/// All routes, in order. Number 0 is the way of what fits none.
#[derive(Debug, Clone)]
pub struct Routes {
    admd: Admd,
    table: Vec<Route>,
    rest: Places,
    /// Nobody outside can choose domains that share a lane.
    keyed: RandomState,
}

#[derive(Debug, Clone)]
struct Route {
    recipients: Vec<Whose>,
    senders: Vec<Whose>,
    places: Places,
}

/// Where a way leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Places {
    One,
    /// Each domain is a place of its own.
    EachDomain,
}

impl From<&NextHops> for Places {
    fn from(hops: &NextHops) -> Self {
        if hops.is_mx() { Self::EachDomain } else { Self::One }
    }
}

/// A mailbox as a route names it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Whose {
    Internal,
    External,
    Domain(Domain),
    /// A domain that is below this one.
    Below(Domain),
}

impl Routes {
    /// Over the routes of a configuration: the words that none can be made of.
    pub fn new(admd: &Admd, ways: &Ways) -> Result<Self, Vec<String>> {
        let mut wrong = Vec::new();
        let mut read = |words: &[String]| -> Vec<Whose> {
            let (good, bad): (Vec<_>, Vec<_>) = words.iter().map(|word| Whose::parse(word).ok_or(word)).partition(Result::is_ok);
            wrong.extend(bad.into_iter().filter_map(Result::err).cloned());
            good.into_iter().filter_map(Result::ok).collect()
        };
        let table = ways.routes.iter().map(|route| {
            let (recipients, senders) = (read(&route.recipients), read(&route.senders));
            Route { recipients, senders, places: Places::from(&route.next_hop) }
        });
        let table = table.collect();
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(Self { admd: admd.clone(), table, rest: Places::from(&ways.rest.next_hop), keyed: RandomState::new() })
    }

    /// The way of an entry: that of its first recipient, whom [`split`](Self::split) gave it for.
    pub fn lane(&self, envelope: &Envelope) -> Lane {
        envelope.recipients.first().map_or(Lane::default(), |recipient| self.way(&envelope.reverse_path, &recipient.forward_path))
    }

    /// An entry for each way that its recipients go.
    pub fn split(&self, entry: NewEntry) -> Vec<NewEntry> {
        let groups = self.groups(&entry.envelope);
        let of = |recipients| NewEntry { envelope: Envelope { recipients, ..entry.envelope.clone() }, ..entry.clone() };
        groups.into_iter().map(|(_, recipients)| of(recipients)).collect()
    }

    /// Recipients by the way that they go. Those beyond ASCII are apart: a next hop that takes none takes the mail of the others.
    pub fn groups(&self, envelope: &Envelope) -> Vec<(Lane, Vec<Recipient>)> {
        let mut groups: Vec<(Lane, Vec<Recipient>)> = Vec::new();
        for recipient in &envelope.recipients {
            let lane = self.way(&envelope.reverse_path, &recipient.forward_path);
            let is_alike = |other: &Recipient| {
                other.forward_path.needs_utf8() == recipient.forward_path.needs_utf8()
                    && (lane.place == 0 || domain(other) == domain(recipient))
            };
            match groups.iter_mut().find(|(way, others)| *way == lane && others.first().is_some_and(is_alike)) {
                Some((_, recipients)) => recipients.push(recipient.clone()),
                None => groups.push((lane, vec![recipient.clone()])),
            }
        }
        groups
    }

    /// Who reads what is addressed to the gateway itself, if anybody does.
    pub fn reader(&self, own: &Mailbox) -> Option<&Mailbox> {
        self.admd.reader(own)
    }

    fn way(&self, sender: &ReversePath, recipient: &Mailbox) -> Lane {
        if self.admd.is_own(recipient) {
            return Lane::OURSELVES;
        }
        let fits = |route: &Route| self.any(&route.recipients, Some(recipient)) && self.any(&route.senders, sender.mailbox());
        let found = self.table.iter().zip(1..).find(|(route, _)| fits(route));
        let (places, route) = found.map_or((self.rest, 0), |(route, number)| (route.places, number));
        let place = match places {
            Places::One => 0,
            Places::EachDomain => self.keyed.hash_one(recipient.domain()).max(1),
        };
        Lane { route, place }
    }

    fn any(&self, whose: &[Whose], mailbox: Option<&Mailbox>) -> bool {
        whose.is_empty() || mailbox.is_some_and(|mailbox| whose.iter().any(|whose| whose.is(mailbox.domain(), &self.admd.domains)))
    }
}

const fn domain(recipient: &Recipient) -> &Domain {
    recipient.forward_path.domain()
}

impl Whose {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "internal" => Some(Self::Internal),
            "external" => Some(Self::External),
            _ => match word.strip_prefix("*.") {
                Some(domain) => Domain::parse(domain).ok().map(Self::Below),
                None => Domain::parse(word).ok().map(Self::Domain),
            },
        }
    }

    fn is(&self, domain: &Domain, house: &[Domain]) -> bool {
        match self {
            Self::Internal => house.contains(domain),
            Self::External => !house.contains(domain),
            Self::Domain(own) => own == domain,
            Self::Below(top) => domain.as_str().strip_suffix(top.as_str()).is_some_and(|below| below.ends_with('.')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::RouteOptions;
    use super::*;
    use crate::mail::{BodyType, RequireTls, Utf8};
    use crate::queue::Carries;

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).unwrap()
    }

    fn routes(table: &[(&[&str], &[&str])]) -> Result<Routes, Vec<String>> {
        let domains = vec![Domain::parse("example.org").unwrap(), Domain::parse("sales.example").unwrap()];
        let admd = Admd { domains, hostname: Domain::parse("gate.example.org").unwrap(), postmaster: mailbox("postmaster@example.org") };
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        let options = |(recipients, senders): &(&[&str], &[&str])| RouteOptions {
            recipients: words(recipients),
            senders: words(senders),
            ..RouteOptions::default()
        };
        Routes::new(&admd, &Ways { routes: table.iter().map(options).collect(), ..Ways::default() })
    }

    fn envelope(from: &str, to: &[&str]) -> Envelope {
        Envelope {
            reverse_path: if from.is_empty() { ReversePath::Null } else { ReversePath::Mailbox(mailbox(from)) },
            recipients: to.iter().map(|to| Recipient::new(mailbox(to))).collect(),
            ret: None,
            envelope_id: None,
            body: BodyType::SevenBit,
            utf8: Utf8::No,
            require_tls: RequireTls::No,
        }
    }

    #[test]
    fn the_first_route_that_fits_counts() {
        let routes = routes(&[
            (&["partner.example", "*.partner.example"], &[]),
            (&["internal"], &[]),
            (&["external"], &["sales.example"]),
            (&["b\u{fc}cher.example"], &[]),
        ])
        .unwrap();
        for (from, to, lane) in [
            ("a@example.org", "x@partner.example", 1),
            ("a@example.org", "x@deep.mail.partner.example", 1),
            ("a@example.org", "x@notpartner.example", 0),
            ("a@example.org", "b@sales.example", 2),
            ("a@sales.example", "x@elsewhere.example", 3),
            ("a@sales.example", "x@partner.example", 1),
            ("a@example.org", "x@xn--bcher-kva.example", 4),
            ("", "x@elsewhere.example", 0),
            ("", "x@example.org", 2),
        ] {
            assert_eq!(routes.lane(&envelope(from, &[to])), Lane::of(lane), "{from} {to}");
        }
    }

    #[test]
    fn recipients_of_several_ways_become_several_entries_in_order() {
        let routes = routes(&[(&["internal"], &[])]).unwrap();
        let envelope = envelope("a@example.org", &["x@elsewhere.example", "b@example.org", "y@other.example"]);
        let entry = NewEntry { envelope, body: vec!["text".into()], carries: Carries::Nothing };
        let entries = routes.split(entry);
        let to = |entry: &NewEntry| entry.envelope.recipients.iter().map(|to| to.forward_path.to_string()).collect::<Vec<_>>();
        assert_eq!(entries.iter().map(to).collect::<Vec<_>>(), [vec!["x@elsewhere.example", "y@other.example"], vec!["b@example.org"]]);
    }

    #[test]
    fn where_each_domain_is_a_place_of_its_own_each_has_an_entry() {
        let admd = Admd {
            domains: vec![Domain::parse("example.org").unwrap()],
            hostname: Domain::parse("gate.example.org").unwrap(),
            postmaster: mailbox("postmaster@example.org"),
        };
        let mut ways = Ways::default();
        ways.rest.next_hop = NextHops::from("mx");
        let routes = Routes::new(&admd, &ways).unwrap();
        let to = envelope("a@example.org", &["x@one.example", "y@two.example", "z@ONE.example"]);
        let groups = routes.groups(&to);
        assert_eq!(groups.iter().map(|(_, recipients)| recipients.len()).collect::<Vec<_>>(), [2, 1]);
        assert!(groups.iter().all(|(lane, _)| lane.route == 0 && lane.place != 0) && groups[0].0 != groups[1].0);
    }

    #[test]
    fn words_that_name_nobody_are_told() {
        assert_eq!(routes(&[(&["intern al", "*."], &["@x"])]).unwrap_err(), ["intern al", "*.", "@x"]);
    }
}
