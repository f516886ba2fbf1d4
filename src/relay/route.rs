//! Which way a recipient's mail goes: by recipient and sender, the first route that fits.

use super::options::RouteOptions;
use crate::mail::{Admd, Domain, Envelope, Mailbox, Recipient, ReversePath};
use crate::queue::{Lane, NewEntry};

/// All routes, in order. [`Lane`] 0 is the way of what fits none.
#[derive(Debug, Clone)]
pub struct Routes {
    house: Vec<Domain>,
    table: Vec<Route>,
}

#[derive(Debug, Clone)]
struct Route {
    recipients: Vec<Whose>,
    senders: Vec<Whose>,
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
    pub fn new(admd: &Admd, routes: &[RouteOptions]) -> Result<Self, Vec<String>> {
        let mut wrong = Vec::new();
        let mut read = |words: &[String]| -> Vec<Whose> {
            let (good, bad): (Vec<_>, Vec<_>) = words.iter().map(|word| Whose::parse(word).ok_or(word)).partition(Result::is_ok);
            wrong.extend(bad.into_iter().filter_map(Result::err).cloned());
            good.into_iter().filter_map(Result::ok).collect()
        };
        let table = routes.iter().map(|route| Route { recipients: read(&route.recipients), senders: read(&route.senders) }).collect();
        if wrong.is_empty() { Ok(Self { house: admd.domains.clone(), table }) } else { Err(wrong) }
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

    /// Recipients by the way that they go.
    pub fn groups(&self, envelope: &Envelope) -> Vec<(Lane, Vec<Recipient>)> {
        let mut groups: Vec<(Lane, Vec<Recipient>)> = Vec::new();
        for recipient in &envelope.recipients {
            let lane = self.way(&envelope.reverse_path, &recipient.forward_path);
            match groups.iter_mut().find(|(way, _)| *way == lane) {
                Some((_, recipients)) => recipients.push(recipient.clone()),
                None => groups.push((lane, vec![recipient.clone()])),
            }
        }
        groups
    }

    fn way(&self, sender: &ReversePath, recipient: &Mailbox) -> Lane {
        let fits = |route: &Route| self.any(&route.recipients, Some(recipient)) && self.any(&route.senders, sender.mailbox());
        // Lane 0 is taken.
        let number = self.table.iter().position(fits).map_or(0, |place| place.saturating_add(1));
        Lane(u32::try_from(number).unwrap_or_default())
    }

    fn any(&self, whose: &[Whose], mailbox: Option<&Mailbox>) -> bool {
        whose.is_empty() || mailbox.is_some_and(|mailbox| whose.iter().any(|whose| whose.is(mailbox.domain(), &self.house)))
    }
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
    use super::*;
    use crate::mail::{BodyType, Utf8};
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
        Routes::new(&admd, &table.iter().map(options).collect::<Vec<_>>())
    }

    fn envelope(from: &str, to: &[&str]) -> Envelope {
        Envelope {
            reverse_path: if from.is_empty() { ReversePath::Null } else { ReversePath::Mailbox(mailbox(from)) },
            recipients: to.iter().map(|to| Recipient::new(mailbox(to))).collect(),
            ret: None,
            envelope_id: None,
            body: BodyType::SevenBit,
            utf8: Utf8::No,
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
            assert_eq!(routes.lane(&envelope(from, &[to])), Lane(lane), "{from} {to}");
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
    fn words_that_name_nobody_are_told() {
        assert_eq!(routes(&[(&["intern al", "*."], &["@x"])]).unwrap_err(), ["intern al", "*.", "@x"]);
    }
}
