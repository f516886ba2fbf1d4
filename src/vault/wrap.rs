//! The nested wrap of a parcel's key for one recipient.
//!
//! Inside: sealed under a key that takes the link secret, a live slot and, where one was told, the
//! password. Outside: sealed under the host's WRAP. So neither the disk with the host's key nor the
//! link with the disk opens anything, and the host's key can rotate without any recipient.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::parcel::{Factor, ParcelId, RecipientId};
use super::record::{StoredLink, StoredTold};
use crate::crypto::aead::{self, Key};
use crate::crypto::password::{self, Cost};
use crate::crypto::{KeyRing, LinkSecret, derive, random};
use crate::secret::Secret;
use crate::store::SlotNo;

/// Whose wrap it is.
pub(super) struct Whose {
    pub parcel: ParcelId,
    pub recipient: RecipientId,
    /// Bound in: who can write to the store cannot make the way easier.
    pub least_factor: Factor,
}

/// What opens the inner wrap.
pub(super) struct Opener<'a> {
    pub link: &'a LinkSecret,
    pub slot: (SlotNo, &'a Secret<[u8; 32]>),
    pub told: Option<&'a Secret<String>>,
}

/// Wraps the parcel's key.
pub(super) fn wrap(ring: &KeyRing, whose: &Whose, opener: &Opener<'_>, dek: &Key) -> StoredLink {
    let salt: [u8; 32] = random::array();
    let told = opener.told.map(|_| StoredTold { salt: random::array(), cost: Cost::STANDARD });
    let (key, commit) = inner_key(whose, opener, (&salt, told));
    let inner = aead::seal(&key, &whose.inner(), dek.expose());
    let (epoch, outer_key) = ring.wrap_current();
    let outer = aead::seal(&outer_key, &whose.outer(epoch), &inner);
    let Whose { parcel, recipient, least_factor } = *whose;
    StoredLink { parcel: parcel.0, recipient: recipient.0, epoch, salt, told, slot: opener.slot.0, least_factor, commit, outer }
}

/// The parcel's key, if everything that it takes is there and right.
pub(super) fn unwrap(ring: &KeyRing, stored: &StoredLink, opener: &Opener<'_>) -> Option<Key> {
    let whose = Whose { parcel: ParcelId(stored.parcel), recipient: RecipientId(stored.recipient), least_factor: stored.least_factor };
    let inner = Zeroizing::new(aead::open(&ring.wrap(stored.epoch)?, &whose.outer(stored.epoch), &stored.outer).ok()?);
    // A password where none was told changes the key as a wrong one does; so does a missing one.
    let told = match (stored.told, opener.told) {
        (Some(told), Some(_)) => Some(told),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return None,
    };
    let (key, commit) = inner_key(&whose, opener, (&stored.salt, told));
    // XChaCha20-Poly1305 does not commit to its key: the commitment is compared before it is asked.
    if !bool::from(commit.ct_eq(&stored.commit)) {
        return None;
    }
    let dek = Zeroizing::new(aead::open(&key, &whose.inner(), &inner).ok()?);
    Some(Secret::new(<[u8; 32]>::try_from(dek.as_slice()).ok()?))
}

fn inner_key(whose: &Whose, opener: &Opener<'_>, (salt, told): (&[u8; 32], Option<StoredTold>)) -> (Key, [u8; 32]) {
    let stretched = told.zip(opener.told).map(|(told, password)| password::stretch(password, &told.salt, told.cost));
    let password: &[u8] = stretched.as_ref().map_or(&[], |key| key.expose());
    let mut input = Zeroizing::new(opener.link.0.expose().to_vec());
    input.extend_from_slice(opener.slot.1.expose());
    // 0 or 32, as four octets: the length tells a missing password from an empty one.
    input.extend_from_slice(&(if password.is_empty() { 0_u32 } else { 32 }).to_be_bytes());
    input.extend_from_slice(password);
    let ids: [&[u8]; 3] = [&whose.parcel.0, &whose.recipient.0.to_be_bytes(), &[octet(whose.least_factor)]];
    let both = derive::octets::<64>(&input, Some(salt), ("dekwrap", &ids));
    let (mut key, mut commit) = ([0; 32], [0; 32]);
    for (to, from) in key.iter_mut().chain(&mut commit).zip(both.expose()) {
        *to = *from;
    }
    (Secret::new(key), commit)
}

impl Whose {
    fn inner(&self) -> Vec<u8> {
        [b"wx1/inner", &self.parcel.0[..], &self.recipient.0.to_be_bytes(), &[octet(self.least_factor)]].concat()
    }

    fn outer(&self, epoch: u32) -> Vec<u8> {
        [b"wx1/outer", &epoch.to_be_bytes()[..], &self.parcel.0, &self.recipient.0.to_be_bytes()].concat()
    }
}

/// Frozen: part of every wrap.
const fn octet(factor: Factor) -> u8 {
    match factor {
        Factor::None => 0,
        Factor::Password => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrap_opens_only_with_everything_it_takes() {
        let (ring, dek) = (KeyRing::generate(), Secret::new([4; 32]));
        let (link, slot, password) = (LinkSecret::random(), Secret::new([7; 32]), Secret::new("told by phone".to_owned()));
        let whose = || Whose { parcel: ParcelId([1; 16]), recipient: RecipientId(2), least_factor: Factor::Password };
        for told in [None, Some(&password)] {
            let right = Opener { link: &link, slot: (SlotNo(5), &slot), told };
            let mut stored = wrap(&ring, &whose(), &right, &dek);
            assert_eq!(unwrap(&ring, &stored, &right).unwrap().expose(), dek.expose());

            let (other_link, other_slot, other_word) = (LinkSecret::random(), Secret::new([8; 32]), Secret::new("guess".to_owned()));
            assert!(unwrap(&ring, &stored, &Opener { link: &other_link, ..right }).is_none(), "another link");
            assert!(unwrap(&ring, &stored, &Opener { slot: (SlotNo(5), &other_slot), ..right }).is_none(), "a dead slot");
            assert!(unwrap(&ring, &stored, &Opener { told: Some(&other_word), ..right }).is_none(), "a wrong password");
            assert_eq!(unwrap(&ring, &stored, &Opener { told: None, ..right }).is_none(), told.is_some(), "no password");
            assert!(unwrap(&KeyRing::generate(), &stored, &right).is_none(), "another host's key");

            stored.least_factor = Factor::None;
            assert!(unwrap(&ring, &stored, &right).is_none(), "an easier factor");
            stored.least_factor = Factor::Password;
            stored.recipient = 3;
            assert!(unwrap(&ring, &stored, &right).is_none(), "another recipient");
        }
    }
}
