//! Trace fields. RFC 5321 §4.4.

use bytes::Bytes;
use jiff::Timestamp;

use super::{Admd, HeaderField, compose};

/// What the Received field of one message says.
#[derive(Debug, Clone)]
pub struct Received<'a> {
    /// Who gave us the message; none when that stays in the house.
    pub client: Option<Client<'a>>,
    /// `ESMTP`, `ESMTPS`, `ESMTPSA`, `UTF8SMTPS`, … RFC 3848.
    pub with: &'static str,
    /// Our id: queue id and loop proof.
    pub id: &'a str,
    /// The only recipient, or none when there are several (RFC 5321 §7.2).
    pub recipient: Option<&'a super::Mailbox>,
}

/// What is known of a client.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    /// EHLO argument, cleaned.
    pub helo: &'a str,
    /// Its address.
    pub address: std::net::IpAddr,
}

/// The field that we add on top of every message.
pub fn received(received: &Received<'_>, admd: &Admd, now: Timestamp) -> HeaderField {
    let Received { with, .. } = received;
    // RFC 5321 §4.4 demands the clause, and its grammar lets the address be absent.
    let (client, id) = (received.client.map_or_else(|| token(""), |client| client.to_string()), token(received.id));
    // A mailbox in UTF-8 would make the whole message need SMTPUTF8 further on.
    let recipient = received.recipient.filter(|mailbox| !mailbox.needs_utf8()).map(|mailbox| format!("\r\n for <{mailbox}>"));
    let text = format!(
        "Received: from {client}\r\n by {} with {with}\r\n id {id}{};\r\n {}\r\n",
        admd.hostname,
        recipient.unwrap_or_default(),
        compose::timestamp(now),
    );
    HeaderField::new(Bytes::from(text), "Received".len())
}

impl std::fmt::Display for Client<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let helo = token(self.helo);
        // RFC 5321 §4.1.3: an address literal of IPv6 carries its name.
        match self.address.to_canonical() {
            std::net::IpAddr::V4(address) => write!(f, "{helo} ([{address}])"),
            std::net::IpAddr::V6(address) => write!(f, "{helo} ([IPv6:{address}])"),
        }
    }
}

/// The `id` of every Received field, outermost first: their number is the hop count, and one that
/// carries our proof is a loop. A field without an id gives an empty text.
pub fn ids(header: &super::Header) -> Vec<String> {
    header.all("Received").map(|field| id(&field.text())).collect()
}

/// The word after the first `id` that stands outside of comments. RFC 5321 §4.4.
fn id(value: &str) -> String {
    let mut depth = 0_usize;
    let mut outside = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            other if depth == 0 => outside.push(other),
            _ => {}
        }
    }
    // The date follows the last semicolon and is no clause.
    let clauses = outside.split(';').next().unwrap_or_default();
    let mut words = clauses.split_ascii_whitespace().skip_while(|word| !word.eq_ignore_ascii_case("id"));
    words.nth(1).unwrap_or_default().to_owned()
}

/// What a client says of itself, as one word that means nothing to a reader of trace fields.
fn token(text: &str) -> String {
    let word: String =
        text.chars().take(TOKEN_MAX).map(|c| if c.is_ascii_alphanumeric() || ".-_:[]=+/".contains(c) { c } else { '?' }).collect();
    if word.is_empty() { "unknown".to_owned() } else { word }
}

/// RFC 5321 §4.5.3.1.2.
const TOKEN_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::super::{Domain, Mailbox, Message};
    use super::*;

    fn admd() -> Admd {
        Admd {
            domains: Vec::new(),
            hostname: Domain::parse("gate.a.example").unwrap(),
            postmaster: Mailbox::parse("postmaster@a.example").unwrap(),
        }
    }

    #[test]
    fn a_received_field_says_who_and_when_and_nothing_that_was_smuggled() {
        let bo = Mailbox::parse("bo@b.example").unwrap();
        for (client, recipient, expect) in [
            (
                Some(("mail.b.example", "192.0.2.1")),
                Some(&bo),
                "Received: from mail.b.example ([192.0.2.1])\r\n by gate.a.example with ESMTPS\r\n id 17\r\n for <bo@b.example>;\r\n Thu, 01 Jan 1970 00:00:00 +0000\r\n",
            ),
            (None, None, "Received: from unknown\r\n by gate.a.example with ESMTPS\r\n id 17;\r\n Thu, 01 Jan 1970 00:00:00 +0000\r\n"),
            (
                Some(("x (evil)\r\nid fake", "2001:db8::1")),
                None,
                "Received: from x??evil???id?fake ([IPv6:2001:db8::1])\r\n by gate.a.example with ESMTPS\r\n id 17;\r\n Thu, 01 Jan 1970 00:00:00 +0000\r\n",
            ),
        ] {
            let client = client.map(|(helo, address)| Client { helo, address: address.parse().unwrap() });
            let facts = Received { client, with: "ESMTPS", id: "17", recipient };
            let field = received(&facts, &admd(), Timestamp::UNIX_EPOCH);
            assert_eq!(String::from_utf8_lossy(field.raw()), expect);
        }
    }

    #[test]
    fn every_hop_is_counted_with_or_without_an_id() {
        let header = "Received: from a (id wrong) by b with SMTP id abc123; Thu, 1 Jan 1970 00:00:00 +0000\r\n\
                      Received: (qmail 1 invoked by uid 0)\r\nReceived: from x by y\r\n\tid ABC; date\r\nReceived: by z; id late\r\n\r\n";
        let message = Message::parse(Bytes::from(header));
        assert_eq!(ids(message.header()), ["abc123", "", "ABC", ""]);
    }
}
