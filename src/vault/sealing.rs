//! Sealing: blobs, slots, then one commit of records that nobody can open yet.

use jiff::Timestamp;

use super::parcel::{ItemId, ParcelId, RecipientId};
use super::record::{self, Lies, Stage, StoredItem, StoredManifest, StoredParcel, StoredRecipient, StoredState, Way};
use super::wrap::{self, Opener, Whose};
use super::{Link, NewItem, NewParcel, PENDING_FOR, Sealed, Vault, Words};
use crate::crypto::aead::{self, Key};
use crate::crypto::stream::{self, SegmentId};
use crate::crypto::{LinkSecret, derive, random};
use crate::failpoint;
use crate::secret::Secret;
use crate::store::{BlobId, BlobWriter, Blobs, Fault, Write};

impl Vault {
    /// Seals a parcel: blobs first, then slots, then one commit of its records, still pending.
    pub fn seal(&self, parcel: NewParcel<'_>, now: Timestamp) -> Result<Sealed, Fault> {
        self.seal_with(parcel, None, now)
    }

    /// As [`seal`](Self::seal), with a password that the sender tells the recipients another way: it
    /// becomes a part of every wrap and is forgotten.
    pub fn seal_told(&self, parcel: NewParcel<'_>, told: &Secret<String>, now: Timestamp) -> Result<Sealed, Fault> {
        self.seal_with(parcel, Some(told), now)
    }

    fn seal_with(&self, mut parcel: NewParcel<'_>, told: Option<&Secret<String>>, now: Timestamp) -> Result<Sealed, Fault> {
        let now = self.time.at(&self.records, now)?;
        let id = ParcelId(random::array());
        let dek = Secret::new(random::array());
        // A blob without a parcel is swept; a parcel without its blob would be lost content.
        let (items, content) = self.seal_items(id, &dek, std::mem::take(&mut parcel.items))?;
        let Ways { mut writes, recipients, links } = self.wraps(id, &dek, (&parcel, told))?;
        let state = StoredState {
            stage: Stage::Pending,
            since: now.as_second(),
            expires: parcel.access.expires.as_second(),
            factor: parcel.access.factor,
            downloads: parcel.access.downloads,
        };
        let stored = stored_parcel(&parcel, recipients, now);
        let stored = StoredParcel { items: u32::try_from(items.len()).map_err(|_| too_large())?, content: content.lies(), ..stored };
        let waits = record::due_key(now.as_second().saturating_add(PENDING_FOR), id);
        writes.push(record::write(&self.records, record::parcel_key(id), &stored)?);
        let hidden = |words: &Words| words.hidden().map(str::to_owned);
        let manifest =
            StoredManifest { subject: hidden(&parcel.subject), sender_name: parcel.sender_name.as_ref().and_then(hidden), items };
        writes.push(self.records.put(record::manifest_key(id), &seal_manifest(id, &dek, &manifest)?));
        writes.push(state.write(&self.records, id)?);
        writes.push(self.records.put(waits.clone(), &[]));
        if let Content::Small(octets) = content {
            writes.push(self.records.put(record::content_key(id), &octets));
        }
        self.records.commit(vec![], writes).map_err(record::fault)?;
        let go_live = vec![
            state.with(Stage::Live, now).write(&self.records, id)?,
            // In this order: a parcel that ends after exactly an hour has both under one key.
            Write::Delete(waits),
            self.records.put(record::due_key(state.expires, id), &[]),
        ];
        let items = (0..).zip(manifest.items).map(|(place, item)| item.seen(ItemId(place), parcel.access.downloads)).collect();
        Ok(Sealed { parcel: id, items, links, go_live })
    }

    /// All items behind each other, in one blob, or in a record when they are small.
    fn seal_items(&self, id: ParcelId, dek: &Key, items: Vec<NewItem<'_>>) -> Result<(Vec<StoredItem>, Content), Fault> {
        let mut target = Target { blobs: &*self.blobs, id: BlobId(id.0), small: Vec::new(), blob: None, written: 0 };
        let mut stored = Vec::with_capacity(items.len());
        for (part, mut item) in (0..).zip(items) {
            let start = target.written;
            let sealed = stream::seal(dek, SegmentId { parcel: id.0, part, segment: 0 }, &mut item.content, &mut target)?;
            let NewItem { role, name, media_type, .. } = item;
            let (length, sha256) = (sealed.length, sealed.sha256);
            stored.push(StoredItem { role, name, media_type, length, sha256, start, sealed: target.written - start });
        }
        failpoint::reach("vault.seal");
        Ok((stored, target.finish()?))
    }

    fn wraps(&self, id: ParcelId, dek: &Key, (parcel, told): (&NewParcel<'_>, Option<&Secret<String>>)) -> Result<Ways, Fault> {
        let Ways { mut writes, mut recipients, mut links } = Ways::default();
        let expires = record::time(parcel.access.expires.as_second())?;
        let slots = self.slots.allocate(parcel.recipients.len())?;
        for ((place, mailbox), (slot, octets)) in (0..).zip(&parcel.recipients).zip(&slots) {
            let secret = LinkSecret::random();
            let whose = Whose { parcel: id, recipient: RecipientId(place), least_factor: parcel.access.factor };
            let opener = Opener { link: &secret, slot: (*slot, octets), told };
            let stored = wrap::wrap(self.records.ring(), &whose, &opener, dek);
            writes.push(record::write(&self.records, record::link_key(secret.id()), &stored)?);
            recipients.push(StoredRecipient { mailbox: mailbox.to_string(), link: secret.id().0, slot: *slot, way: Way::Open });
            links.push(Link { recipient: mailbox.clone(), secret, expires });
        }
        Ok(Ways { writes, recipients, links })
    }
}

fn stored_parcel(parcel: &NewParcel<'_>, recipients: Vec<StoredRecipient>, now: Timestamp) -> StoredParcel {
    StoredParcel {
        kind: parcel.kind,
        sender: parcel.sender.to_string(),
        sender_name: parcel.sender_name.as_ref().and_then(Words::shown).map(str::to_owned),
        message_id: parcel.message_id.clone(),
        subject: parcel.subject.shown().unwrap_or_default().to_owned(),
        date: parcel.date.map(Timestamp::as_second),
        visible: parcel.visible.iter().map(ToString::to_string).collect(),
        sealed: now.as_second(),
        least_factor: parcel.access.factor,
        recipients,
        items: 0,
        content: Lies::InRecord,
    }
}

fn seal_manifest(id: ParcelId, dek: &Key, manifest: &StoredManifest) -> Result<Vec<u8>, Fault> {
    let plain = postcard::to_allocvec(manifest).map_err(|error| Fault(error.to_string()))?;
    Ok(aead::seal(&manifest_key(id, dek), MANIFEST, &plain))
}

/// Opens what sealing wrote, in this version or the first; `None` when it does not open.
pub(super) fn open_manifest(id: ParcelId, dek: &Key, sealed: &[u8]) -> Option<StoredManifest> {
    let key = manifest_key(id, dek);
    if let Ok(plain) = aead::open(&key, MANIFEST, sealed) {
        return postcard::from_bytes(&plain).ok();
    }
    let items = postcard::from_bytes(&aead::open(&key, MANIFEST_OF_ITEMS, sealed).ok()?).ok()?;
    Some(StoredManifest { subject: None, sender_name: None, items })
}

fn manifest_key(id: ParcelId, dek: &Key) -> Key {
    derive::key(dek, "manifest", &[&id.0])
}

/// The way of each recipient, in their order.
#[derive(Default)]
struct Ways {
    writes: Vec<Write>,
    recipients: Vec<StoredRecipient>,
    links: Vec<Link>,
}

/// What the items became.
enum Content {
    Small(Vec<u8>),
    Blob,
}

impl Content {
    const fn lies(&self) -> Lies {
        match self {
            Self::Small(_) => Lies::InRecord,
            Self::Blob => Lies::InBlob,
        }
    }
}

/// Memory until it is worth a file of its own, then the file: a small parcel costs no fsync but the commit's.
struct Target<'a> {
    blobs: &'a dyn Blobs,
    id: BlobId,
    small: Vec<u8>,
    blob: Option<Box<dyn BlobWriter>>,
    written: u64,
}

impl Target<'_> {
    fn finish(self) -> Result<Content, Fault> {
        match self.blob {
            Some(blob) => blob.commit().map(|()| Content::Blob),
            None => Ok(Content::Small(self.small)),
        }
    }
}

impl std::io::Write for Target<'_> {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        if let Some(blob) = &mut self.blob {
            blob.write_all(octets)?;
        } else if self.small.len() + octets.len() <= SMALL {
            self.small.extend_from_slice(octets);
        } else {
            let mut blob = self.blobs.create(self.id).map_err(|fault| std::io::Error::other(fault.0))?;
            blob.write_all(&std::mem::take(&mut self.small))?;
            blob.write_all(octets)?;
            self.blob = Some(blob);
        }
        self.written += octets.len() as u64;
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn too_large() -> Fault {
    Fault("more items than a parcel can count".to_owned())
}

const MANIFEST: &[u8] = b"wx2/manifest";
/// The first version was the list of items alone.
const MANIFEST_OF_ITEMS: &[u8] = b"wx1/manifest";
/// Sealed octets up to which the content lies in a record.
const SMALL: usize = 64 << 10;
