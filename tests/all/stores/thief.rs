//! Somebody who has the disk and the host's key, knows the format to the last octet, and writes what he likes
//! into his copy of the store.
//!
//! He goes two ways. By himself: a second hand that opens wraps as the format says (security of parcels: nested
//! wraps), without asking for a commitment or a record. And with our own code, whose records he forges: a wrap is put under the
//! id of a guessed link, so that it is found, and what is left to open is the wrap alone.

use serde::{Deserialize, Serialize};
use waxseal::crypto::aead::{self, Key};
use waxseal::crypto::password::{self, Cost};
use waxseal::crypto::{LinkSecret, derive};
use waxseal::secret::Secret;
use waxseal::store::{SealedRecords, SlotNo};
use waxseal::vault::{Kind, Vault};

use super::life::start;

/// One recipient's wrap as it lies in the store. The order of its fields is the format.
#[derive(Clone, Serialize, Deserialize)]
pub struct Wrap {
    pub parcel: [u8; 16],
    pub recipient: u32,
    pub epoch: u32,
    pub salt: [u8; 32],
    pub told: Option<Told>,
    pub slot: SlotNo,
    pub least_factor: Factor,
    pub commit: [u8; 32],
    pub outer: Vec<u8>,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Told {
    salt: [u8; 16],
    cost: Cost,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub enum Factor {
    None,
    Password,
}

/// What lies beside the wraps and is not sealed once more. The order of its fields is the format.
#[derive(Deserialize)]
#[expect(dead_code, reason = "the fields that hold no words are read to get past them")]
pub struct Metadata {
    kind: Kind,
    pub sender: String,
    pub sender_name: Option<String>,
    pub message_id: String,
    pub subject: String,
    date: Option<i64>,
    pub visible: Vec<String>,
    sealed: i64,
    least_factor: Factor,
    pub recipients: Vec<(String, [u8; 16], SlotNo, Either)>,
    items: u32,
    content: Either,
}

/// One of two, by its number.
#[derive(Deserialize)]
pub enum Either {
    First,
    Second,
}

/// The store and the keys, and nothing that was ever in a mail.
pub struct Thief {
    pub records: SealedRecords,
}

impl Thief {
    /// Every wrap on the disk, with the id that its link has.
    pub fn wraps(&self) -> Vec<([u8; 16], Wrap)> {
        let records = self.records.scan(b"vl/", b"", usize::MAX).unwrap();
        records.iter().map(|record| (record.key[3..].try_into().unwrap(), postcard::from_bytes(&record.value).unwrap())).collect()
    }

    /// By the format: the outer wrap with the host's key, the inner one with what is guessed. The key of the parcel, if
    /// that opens its manifest.
    pub fn open(&self, wrap: &Wrap, (link, slot): (&LinkSecret, &Secret<[u8; 32]>), told: Option<&str>) -> Option<Key> {
        let (parcel, recipient) = (&wrap.parcel, &wrap.recipient.to_be_bytes());
        let outer = [b"wx1/outer", &wrap.epoch.to_be_bytes()[..], parcel, recipient].concat();
        let inner = aead::open(&self.records.ring().wrap(wrap.epoch)?, &outer, &wrap.outer).ok()?;
        let stretched =
            wrap.told.as_ref().zip(told).map(|(how, told)| password::stretch(&Secret::new(told.to_owned()), &how.salt, how.cost));
        let word: &[u8] = stretched.as_ref().map_or(&[], |key| key.expose());
        let input = [&link.0.expose()[..], slot.expose(), &u32::try_from(word.len()).unwrap().to_be_bytes(), word].concat();
        let factor = [wrap.least_factor as u8];
        let both = derive::octets::<64>(&input, Some(&wrap.salt), ("dekwrap", &[parcel, recipient, &factor]));
        let key = Secret::new(<[u8; 32]>::try_from(&both.expose()[..32]).unwrap());
        let place = [b"wx1/inner", &parcel[..], recipient, &factor].concat();
        let dek = Secret::new(<[u8; 32]>::try_from(aead::open(&key, &place, &inner).ok()?).ok()?);
        assert_eq!(both.expose()[32..], wrap.commit, "what opens is what was committed to");
        self.opens_the_manifest(parcel, &dek).then_some(dek)
    }

    /// By our own code: the wrap is put where the guessed link is looked for.
    pub fn forge(&self, vault: &Vault, wrap: &Wrap, (guess, told): (&LinkSecret, Option<&str>)) -> bool {
        let key = [b"vl/", &guess.id().0[..]].concat();
        self.records.commit(vec![], vec![self.records.put(key, &postcard::to_allocvec(wrap).unwrap())]).unwrap();
        assert!(vault.admit(guess, start()).is_ok(), "the wrap is found");
        vault.unlock(guess, told.map(|told| Secret::new(told.to_owned())).as_ref(), start()).is_ok()
    }

    fn opens_the_manifest(&self, parcel: &[u8; 16], dek: &Key) -> bool {
        let sealed = self.records.get(&[b"vm/", &parcel[..]].concat()).unwrap().unwrap().value;
        aead::open(&derive::key(dek, "manifest", &[parcel]), b"wx2/manifest", &sealed).is_ok()
    }
}
