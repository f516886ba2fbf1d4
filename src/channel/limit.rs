//! How often something may be tried. Counted before it is judged, in the store, so that neither
//! many connections nor a restart give anybody more.
//!
//! Burning tries needs the link, so only its holders can lock it.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

use super::{Channel, Refused, decode};
use crate::crypto::derive;
use crate::vault::Admitted;

/// Who asks, as coarse as an access line: the IPv4 address, the /64 of an IPv6 one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Client(Vec<u8>);

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.octets().to_vec()),
            IpAddr::V6(address) => Self(address.octets().into_iter().take(8).collect()),
        }
    }
}

/// What was tried on one link by whomever.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Tries {
    /// The password that is waiting to be typed.
    pub active: Option<Active>,
    /// When passwords were mailed, oldest first.
    pub sent: Vec<i64>,
    /// Wrong passwords in all.
    pub failed: u32,
    /// When wrong addresses were typed.
    pub addresses: Vec<i64>,
    /// When it was last touched.
    pub touched: i64,
}

/// A mailed password.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct Active {
    pub challenge: [u8; 16],
    pub mac: [u8; 32],
    pub made: i64,
    pub tries: u32,
}

/// What one client got wrong.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct Failures {
    times: Vec<i64>,
    barred_until: i64,
}

impl Channel {
    /// Whether the client may try anything that can be guessed.
    pub(super) fn let_try(&self, client: &Client) -> Result<(), Refused> {
        let now = self.now().as_second();
        let failures: Failures = match self.parts.records.get(&self.client_key(client))? {
            Some(record) => decode(&record.value)?,
            None => return Ok(()),
        };
        if failures.barred_until > now { Err(too_many(failures.barred_until)) } else { Ok(()) }
    }

    /// Notes a failure of the client.
    pub(super) fn count_failure(&self, client: &Client) -> Result<(), Refused> {
        let now = self.now().as_second();
        self.change(&self.client_key(client), |failures: &mut Failures| {
            failures.times.retain(|&time| time > now - CLIENT_WINDOW);
            failures.times.push(now);
            if failures.times.len() >= CLIENT_FAILURES {
                failures.times.clear();
                failures.barred_until = now + CLIENT_DELAY;
            }
            Ok(())
        })
    }

    /// Counts a typed address before it is compared.
    pub(super) fn count_address(&self, admitted: &Admitted) -> Result<(), Refused> {
        let now = self.now().as_second();
        self.change(&link_key(admitted), |tries: &mut Tries| {
            tries.addresses.retain(|&time| time > now - HOUR);
            if let Some(first) = tries.addresses.first().filter(|_| tries.addresses.len() >= ADDRESSES_AN_HOUR) {
                return Err(too_many(first + HOUR));
            }
            tries.addresses.push(now);
            tries.touched = now;
            Ok(())
        })
    }

    /// It was the right one.
    pub(super) fn uncount_address(&self, admitted: &Admitted) -> Result<(), Refused> {
        self.change(&link_key(admitted), |tries: &mut Tries| {
            tries.addresses.pop();
            Ok(())
        })
    }

    /// The password of this second could not be mailed: nobody waits for it, and nobody has to wait for another.
    pub(super) fn uncount_password(&self, admitted: &Admitted, made: i64) -> Result<(), Refused> {
        self.change(&link_key(admitted), |tries: &mut Tries| {
            tries.sent.retain(|&time| time != made);
            tries.active.take_if(|active| active.made == made);
            Ok(())
        })
    }

    fn client_key(&self, client: &Client) -> Vec<u8> {
        [CLIENT_PREFIX, &derive::mac(&self.keys.index, "client", &[&client.0])].concat()
    }
}

impl Tries {
    /// Whether a password may be mailed at this moment.
    pub fn let_send(&mut self, now: i64) -> Result<(), Refused> {
        self.sent.retain(|&time| time > now - DAY);
        if self.failed >= FAILED_IN_ALL {
            return Err(Refused::Locked);
        }
        if self.sent.last().is_some_and(|&last| now - last < BETWEEN_PASSWORDS) {
            return Err(Refused::Soon);
        }
        for (window, limit) in [(HOUR, PASSWORDS_AN_HOUR), (DAY, PASSWORDS_A_DAY)] {
            let within: Vec<i64> = self.sent.iter().copied().filter(|&time| time > now - window).collect();
            if let Some(first) = within.first().filter(|_| within.len() >= limit) {
                return Err(too_many(first + window));
            }
        }
        Ok(())
    }

    /// Takes one try of the waiting password.
    pub fn take(&mut self, now: i64) -> Result<Active, Refused> {
        if self.failed >= FAILED_IN_ALL {
            return Err(Refused::Locked);
        }
        let active = self.active.as_mut().ok_or(Refused::Late)?;
        if now - active.made >= PASSWORD_LIFE || active.tries >= TRIES {
            return Err(Refused::Late);
        }
        active.tries += 1;
        self.failed += 1;
        self.touched = now;
        Ok(active.clone())
    }

    /// Whether a password that was mailed can still be typed.
    pub fn is_waiting(&self, now: i64) -> bool {
        self.active.as_ref().is_some_and(|active| now - active.made < PASSWORD_LIFE && active.tries < TRIES)
    }
}

/// The record of one link: its parcel and whose it is.
pub(super) fn link_key(admitted: &Admitted) -> Vec<u8> {
    [LINK_PREFIX, &admitted.parcel.0, &admitted.recipient.0.to_be_bytes()].concat()
}

fn too_many(until: i64) -> Refused {
    let until = Timestamp::from_second(until).unwrap_or(Timestamp::MAX);
    Refused::TooMany {
        until: until.round(jiff::Unit::Minute).unwrap_or(until).saturating_add(SignedDuration::from_mins(1)).unwrap_or(until),
    }
}

pub(super) fn is_client_over(_: &Channel, value: &[u8], now: Timestamp) -> bool {
    decode::<Failures>(value).is_ok_and(|failures| {
        let last = failures.times.last().copied().unwrap_or_default();
        failures.barred_until < now.as_second() && last < now.as_second() - CLIENT_WINDOW
    })
}

/// A link's counters are forgotten when it was not touched for longer than any parcel lives.
pub(super) fn is_link_over(_: &Channel, value: &[u8], now: Timestamp) -> bool {
    decode::<Tries>(value).is_ok_and(|tries| tries.touched < now.as_second() - LINK_LIFE)
}

pub(super) const LINK_PREFIX: &[u8] = b"channel/link/";
pub(super) const CLIENT_PREFIX: &[u8] = b"channel/client/";

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// A mailed password is good for 30 minutes: long enough for slow mail, short for a thief.
pub(super) const PASSWORD_LIFE: i64 = 30 * 60;
/// Tries of one password: 50 bits against five.
pub(super) const TRIES: u32 = 5;
const BETWEEN_PASSWORDS: i64 = 60;
const PASSWORDS_AN_HOUR: usize = 5;
const PASSWORDS_A_DAY: usize = 10;
/// After so many wrong passwords only the sender can help.
const FAILED_IN_ALL: u32 = 30;
/// Wrong addresses: a person has a handful, a guesser has a list.
const ADDRESSES_AN_HOUR: usize = 20;
const CLIENT_FAILURES: usize = 20;
const CLIENT_WINDOW: i64 = 10 * 60;
const CLIENT_DELAY: i64 = 15 * 60;
const LINK_LIFE: i64 = 400 * DAY;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_access_line() {
        for (a, b, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ] {
            let of = |text: &str| Client::from(text.parse::<IpAddr>().unwrap());
            assert_eq!(of(a) == of(b), same, "{a} {b}");
        }
    }

    #[test]
    fn passwords_are_mailed_once_a_minute_five_an_hour_ten_a_day() {
        let mut tries = Tries::default();
        let mut sent = Vec::new();
        for minute in 0..24 * 60 {
            let now = 1_000_000 + minute * 60;
            if tries.let_send(now).is_ok() {
                tries.sent.push(now);
                sent.push(minute);
            }
        }
        assert_eq!(sent, [0, 1, 2, 3, 4, 60, 61, 62, 63, 64]);
        let mut tries = Tries { sent: vec![1000], ..Tries::default() };
        assert_eq!(tries.let_send(1059), Err(Refused::Soon));
        assert_eq!(tries.let_send(1060), Ok(()));
    }

    #[test]
    fn a_password_has_five_tries_and_a_link_thirty() {
        let mut tries = Tries::default();
        let mut taken = 0;
        for challenge in 0..10u8 {
            tries.active = Some(Active { challenge: [challenge; 16], mac: [0; 32], made: 0, tries: 0 });
            taken += (0..1000).filter(|_| tries.take(1).is_ok()).count();
        }
        assert_eq!(taken, 30);
        assert_eq!(tries.take(1).map(|_| ()), Err(Refused::Locked));
    }

    #[test]
    fn a_password_is_late_after_half_an_hour() {
        let active = Some(Active { challenge: [0; 16], mac: [0; 32], made: 0, tries: 0 });
        let mut tries = Tries { active, ..Tries::default() };
        assert!(tries.is_waiting(1799) && !tries.is_waiting(1800));
        assert_eq!(tries.take(1800).map(|_| ()), Err(Refused::Late));
    }
}
