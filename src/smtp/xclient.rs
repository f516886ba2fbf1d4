//! XCLIENT: what a mail server in front of us says of its client.
//!
//! Believed from named peers alone. They say where a client is, and so what it may relay; who it is, it
//! proves to us or not at all: `LOGIN` is read and gives nothing, since a peer that checks passwords
//! of its own would otherwise be able to speak for every user here. For the same reason `LOGIN` is not
//! offered. Names in DNS and the peer's own address are read and left: nothing here depends on them.
//!
//! Postfix, XCLIENT_README; xtext: RFC 3461 §4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::command::BadCommand;
use super::session::Dialect;
use crate::mail::xtext;
use crate::net::peers::NOWHERE;

/// What one XCLIENT command says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Introduction {
    /// Where the client is; [`NOWHERE`] when its peer does not know.
    pub address: Option<IpAddr>,
    /// What it said in EHLO or HELO, cleaned as such.
    pub helo: Option<String>,
    /// Which of the two it said.
    pub dialect: Option<Dialect>,
}

impl Introduction {
    /// Parses what follows the verb.
    pub fn parse(argument: &str) -> Result<Self, BadCommand> {
        let mut introduction = Self::default();
        let mut attributes = 0;
        for word in argument.split(' ').filter(|word| !word.is_empty()) {
            let (name, value) = word.split_once('=').ok_or(SYNTAX)?;
            let value = xtext::decode(value).filter(|value| !value.is_empty()).ok_or(SYNTAX)?;
            introduction.set(&name.to_ascii_uppercase(), &value)?;
            attributes += 1;
        }
        if attributes == 0 { Err(SYNTAX) } else { Ok(introduction) }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), BadCommand> {
        let known = Some(value).filter(|value| !is_unknown(value));
        match name {
            "ADDR" => self.address = Some(known.map_or(Ok(NOWHERE), address)?),
            "HELO" => self.helo = known.map(super::command::clean_name),
            "PROTO" => self.dialect = known.map(dialect).transpose()?,
            "DESTADDR" => {
                known.map(address).transpose()?;
            }
            "PORT" | "DESTPORT" => {
                known.map(port).transpose()?;
            }
            "NAME" | "LOGIN" => {}
            _ => return Err(BadCommand::Parameter("XCLIENT attribute not offered")),
        }
        Ok(())
    }

    /// This command after an earlier one: peers put into two what does not fit into one. An address begins anew, because
    /// then it may be another client.
    pub fn after(self, earlier: Self) -> Self {
        if self.address.is_some() {
            return self;
        }
        Self { address: earlier.address, helo: self.helo.or(earlier.helo), dialect: self.dialect.or(earlier.dialect) }
    }
}

fn is_unknown(value: &str) -> bool {
    ["[UNAVAILABLE]", "[TEMPUNAVAIL]"].iter().any(|unknown| value.eq_ignore_ascii_case(unknown))
}

fn address(value: &str) -> Result<IpAddr, BadCommand> {
    let parsed = match value.split_at_checked(IPV6.len()) {
        Some((prefix, address)) if prefix.eq_ignore_ascii_case(IPV6) => address.parse::<Ipv6Addr>().map(IpAddr::from),
        _ => value.parse::<Ipv4Addr>().map(IpAddr::from),
    };
    parsed.map(|address| address.to_canonical()).map_err(|_| BadCommand::Parameter("ADDR=192.0.2.1 or ADDR=IPV6:2001:db8::1"))
}

fn dialect(value: &str) -> Result<Dialect, BadCommand> {
    match value.to_ascii_uppercase().as_str() {
        "SMTP" => Ok(Dialect::Smtp),
        "ESMTP" => Ok(Dialect::Esmtp),
        _ => Err(BadCommand::Parameter("PROTO=SMTP or PROTO=ESMTP")),
    }
}

fn port(value: &str) -> Result<u16, BadCommand> {
    let digits = value.bytes().all(|digit| digit.is_ascii_digit());
    digits.then(|| value.parse().ok()).flatten().ok_or(BadCommand::Parameter("PORT=number"))
}

/// The keyword of EHLO.
pub const KEYWORD: &str = "XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT";
const SYNTAX: BadCommand = BadCommand::Parameter("XCLIENT name=xtext …");
const IPV6: &str = "IPV6:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_postfix_writes_them() {
        let at = |address: &str| Introduction { address: Some(address.parse().unwrap()), ..Introduction::default() };
        for (argument, expect) in [
            ("ADDR=192.0.2.1", Ok(at("192.0.2.1"))),
            ("addr=IPV6:2001:db8::1 NAME=mail.example PORT=52154", Ok(at("2001:db8::1"))),
            ("ADDR=ipv6:::ffff:192.0.2.1", Ok(at("192.0.2.1"))),
            ("ADDR=[UNAVAILABLE] NAME=[TEMPUNAVAIL] PORT=[UNAVAILABLE] LOGIN=ann DESTADDR=127.0.0.1 DESTPORT=25", Ok(at("0.0.0.0"))),
            ("HELO=[UNAVAILABLE] PROTO=[unavailable]", Ok(Introduction::default())),
            (
                "HELO=a+2Bb+20(x) PROTO=smtp",
                Ok(Introduction { helo: Some("a?b??x?".into()), dialect: Some(Dialect::Smtp), ..Introduction::default() }),
            ),
            ("", Err(SYNTAX)),
            ("ADDR", Err(SYNTAX)),
            ("ADDR=", Err(SYNTAX)),
            ("HELO=a+0D+0Ab", Err(SYNTAX)),
            ("ADDR=2001:db8::1", Err(BadCommand::Parameter("ADDR=192.0.2.1 or ADDR=IPV6:2001:db8::1"))),
            ("ADDR=IPV6:192.0.2.1", Err(BadCommand::Parameter("ADDR=192.0.2.1 or ADDR=IPV6:2001:db8::1"))),
            ("ADDR=mail.example", Err(BadCommand::Parameter("ADDR=192.0.2.1 or ADDR=IPV6:2001:db8::1"))),
            ("PORT=65536", Err(BadCommand::Parameter("PORT=number"))),
            ("PORT=1x", Err(BadCommand::Parameter("PORT=number"))),
            ("PROTO=LMTP", Err(BadCommand::Parameter("PROTO=SMTP or PROTO=ESMTP"))),
            ("REVERSE_NAME=x", Err(BadCommand::Parameter("XCLIENT attribute not offered"))),
        ] {
            assert_eq!(Introduction::parse(argument), expect, "{argument}");
        }
    }

    #[test]
    fn a_second_command_adds_to_the_first_and_an_address_begins_anew() {
        let said = |argument: &str| Introduction::parse(argument).unwrap();
        let both = said("HELO=a.example").after(said("ADDR=192.0.2.1 PROTO=SMTP"));
        assert_eq!(both, said("ADDR=192.0.2.1 PROTO=SMTP HELO=a.example"));
        assert_eq!(said("ADDR=192.0.2.2").after(both), said("ADDR=192.0.2.2"));
    }
}
