//! The key ring and the key that seals it.
//!
//! KEK seals the ring and nothing else. The ring holds ROOT (never rotated) and epochs of META
//! (record values), WRAP (outer wraps) and SPOOL (what waits in the queue). A key or a ring is never
//! made over one that is there: what lies in the store would be closed for ever.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::aead::{self, Key};
use super::{code, derive, random};
use crate::secret::Secret;

/// The key-encryption key: 32 octets from a systemd credential or a file that only its owner may read.
#[derive(Debug)]
pub struct Kek(pub Key);

/// A key, or a key file, that cannot be used; says why and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable(pub String);

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Kek {
    /// Reads the file; refuses one that group or world may read, or of another length than 32.
    ///
    /// Readable by the group `root` of a file of `root` is how systemd hands a credential over
    /// (mode 0440 is the mask of its access list), so that alone is no exposure.
    pub fn read(path: &Path) -> Result<Self, Unusable> {
        let shown = path.display();
        let file = File::open(path).map_err(|error| {
            Unusable(format!("{shown}: {error}\n    restore the key file, or bring it back from the recovery sheet: `waxseal recover`"))
        })?;
        let facts = file.metadata().map_err(|error| Unusable(format!("{shown}: {error}")))?;
        let mode = facts.mode() & 0o777;
        let shared = if (facts.uid(), facts.gid()) == (0, 0) { mode & 0o037 } else { mode & 0o077 };
        if shared != 0 {
            return Err(Unusable(format!("{shown}: others than its owner may read it (mode {mode:04o})\n    chmod 0400 {shown}")));
        }
        let mut octets = Zeroizing::new(Vec::with_capacity(KEY + 1));
        file.take(KEY as u64 + 1).read_to_end(&mut octets).map_err(|error| Unusable(format!("{shown}: {error}")))?;
        let key = <[u8; KEY]>::try_from(octets.as_slice()).map_err(|_| {
            Unusable(format!("{shown}: a key has exactly {KEY} octets, this file has another length\n    restore it, or bring it back from the recovery sheet: `waxseal recover`"))
        })?;
        Ok(Self(Secret::new(key)))
    }

    /// Makes a new key and writes it, mode 0400; never over an existing file.
    pub fn create(path: &Path) -> Result<Self, Unusable> {
        let kek = Self(Secret::new(random::array()));
        kek.write(path)?;
        Ok(kek)
    }

    /// Writes the key, mode 0400; never over an existing file.
    pub fn write(&self, path: &Path) -> Result<(), Unusable> {
        let unusable = |error: std::io::Error| Unusable(format!("{}: {error}", path.display()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(path).map_err(unusable)?;
        let written = like_its_folder(&file, path).and_then(|()| file.write_all(self.0.expose())).and_then(|()| file.sync_all());
        written.and_then(|()| sync_folder(path)).map_err(unusable)
    }

    /// The recovery sheet: groups of characters to print and lock away, with a check at the end.
    pub fn sheet(&self) -> String {
        let mut octets = Zeroizing::new(self.0.expose().to_vec());
        octets.extend_from_slice(&self.check());
        let letters = Zeroizing::new(code::crockford(&octets));
        let mut sheet = String::with_capacity(letters.len() * 2);
        for (place, letter) in letters.chars().enumerate() {
            if place > 0 && place % GROUP == 0 {
                sheet.push(if place % (GROUP * GROUPS_A_LINE) == 0 { '\n' } else { ' ' });
            }
            sheet.push(letter);
        }
        sheet
    }

    /// The key from what stands on a recovery sheet.
    pub fn from_sheet(text: &str) -> Result<Self, Unusable> {
        let unusable = |what: &str| Unusable(format!("the recovery sheet: {what}\n    compare it character by character with the paper"));
        let octets = Zeroizing::new(code::from_crockford(text).ok_or_else(|| unusable("a character that no sheet has, or one too few"))?);
        let (key, check) = octets.split_first_chunk::<KEY>().ok_or_else(|| unusable("too short"))?;
        let kek = Self(Secret::new(*key));
        if check != kek.check() {
            return Err(unusable("the check at its end does not fit"));
        }
        Ok(kek)
    }

    /// Three octets that tell a misread sheet; of a 256-bit key they give nothing away that helps.
    fn check(&self) -> [u8; 3] {
        let [a, b, c, ..]: [u8; 32] = Sha256::new().chain_update(b"wx1/sheet").chain_update(self.0.expose()).finalize().into();
        [a, b, c]
    }
}

/// Every key that the gateway uses, by purpose.
#[derive(Debug)]
pub struct KeyRing {
    root: Key,
    meta: Epochs,
    wrap: Epochs,
    spool: Epochs,
}

/// Which file a ring was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Its own.
    InPlace,
    /// The one that a rotation has put beside it ([`rotation`](super::rotation)).
    Beside,
}

impl KeyRing {
    /// Opens the ring, or the one beside it where a rotation is not at its end.
    pub fn find(path: &Path, kek: &Kek) -> Result<(Self, Found), Unusable> {
        let in_place = Self::read(path, kek).map(|ring| (ring, Found::InPlace));
        in_place.or_else(|why| Self::read(&beside(path), kek).map(|ring| (ring, Found::Beside)).map_err(|_| why))
    }

    /// A ring with fresh keys.
    pub fn generate() -> Self {
        Self { root: Secret::new(random::array()), meta: Epochs::first(), wrap: Epochs::first(), spool: Epochs::first() }
    }

    /// Opens the sealed ring file.
    pub fn read(path: &Path, kek: &Kek) -> Result<Self, Unusable> {
        let shown = path.display();
        let file = std::fs::read(path).map_err(|error| {
            Unusable(format!("{shown}: {error}\n    without its key ring nothing in the store opens: restore it from the backup"))
        })?;
        let no_ring = || Unusable(format!("{shown}: not a key ring\n    restore it from the backup"));
        let (head, sealed) = file.split_first_chunk::<5>().ok_or_else(no_ring)?;
        let [magic @ .., version] = head;
        if magic != MAGIC {
            return Err(no_ring());
        }
        if *version > VERSION {
            return Err(Unusable(format!(
                "{shown}: version {version} is of a newer release, this one knows {VERSION}\n    run the newer release; nothing was changed"
            )));
        }
        if *version < VERSION {
            return Err(no_ring());
        }
        let plain = aead::open(&kek.0, head, sealed).map(Zeroizing::new).map_err(|_| {
            Unusable(format!(
                "{shown}: does not open with this key: it is another installation's key, or the file is damaged\n    use the key that the ring was made with, from the credential or the recovery sheet"
            ))
        })?;
        let stored: Stored = postcard::from_bytes(&plain).map_err(|_| no_ring())?;
        stored.into_ring().ok_or_else(no_ring)
    }

    /// Seals the ring into a file (write, fsync, rename, fsync of the directory).
    pub fn write(&self, path: &Path, kek: &Kek) -> Result<(), Unusable> {
        let unusable = |error: &dyn std::fmt::Display| Unusable(format!("{}: {error}", path.display()));
        let plain = postcard::to_allocvec(&Stored::of(self)).map(Zeroizing::new).map_err(|error| unusable(&error))?;
        let mut file = MAGIC.to_vec();
        file.push(VERSION);
        let sealed = aead::seal(&kek.0, &file, &plain);
        file.extend_from_slice(&sealed);
        replace(path, &file).map_err(|error| unusable(&error))
    }

    /// A key below ROOT, for indexes, codes, sessions, proofs.
    pub fn root(&self, purpose: &'static str) -> Key {
        derive::key(&self.root, purpose, &[])
    }

    /// The epoch that new record values are sealed in.
    pub fn meta_current(&self) -> (u32, Key) {
        self.meta.current()
    }

    /// META of an epoch.
    pub fn meta(&self, epoch: u32) -> Option<Key> {
        self.meta.get(epoch)
    }

    /// The epoch that new wraps are sealed in.
    pub fn wrap_current(&self) -> (u32, Key) {
        self.wrap.current()
    }

    /// WRAP of an epoch.
    pub fn wrap(&self, epoch: u32) -> Option<Key> {
        self.wrap.get(epoch)
    }

    /// The epoch that new queue entries are sealed in.
    pub fn spool_current(&self) -> (u32, Key) {
        self.spool.current()
    }

    /// SPOOL of an epoch.
    pub fn spool(&self, epoch: u32) -> Option<Key> {
        self.spool.get(epoch)
    }
}

/// The keys of one purpose by number; the newest seals, all of them open.
#[derive(Debug)]
struct Epochs {
    newest: (u32, Key),
    older: BTreeMap<u32, Key>,
}

impl Epochs {
    fn first() -> Self {
        Self { newest: (1, Secret::new(random::array())), older: BTreeMap::new() }
    }

    fn current(&self) -> (u32, Key) {
        self.newest.clone()
    }

    fn get(&self, epoch: u32) -> Option<Key> {
        if epoch == self.newest.0 { Some(self.newest.1.clone()) } else { self.older.get(&epoch).cloned() }
    }

    fn stored(&self) -> Vec<(u32, [u8; KEY])> {
        self.older.iter().chain([(&self.newest.0, &self.newest.1)]).map(|(epoch, key)| (*epoch, *key.expose())).collect()
    }

    fn from_stored(stored: &[(u32, [u8; KEY])]) -> Option<Self> {
        let mut older: BTreeMap<u32, Key> = stored.iter().map(|(epoch, key)| (*epoch, Secret::new(*key))).collect();
        Some(Self { newest: older.pop_last()?, older })
    }
}

/// The ring as it lies sealed in its file.
#[derive(Serialize, Deserialize)]
struct Stored {
    root: [u8; KEY],
    meta: Vec<(u32, [u8; KEY])>,
    wrap: Vec<(u32, [u8; KEY])>,
    spool: Vec<(u32, [u8; KEY])>,
}

impl Stored {
    fn of(ring: &KeyRing) -> Self {
        Self { root: *ring.root.expose(), meta: ring.meta.stored(), wrap: ring.wrap.stored(), spool: ring.spool.stored() }
    }

    fn into_ring(self) -> Option<KeyRing> {
        Some(KeyRing {
            root: Secret::new(self.root),
            meta: Epochs::from_stored(&self.meta)?,
            wrap: Epochs::from_stored(&self.wrap)?,
            spool: Epochs::from_stored(&self.spool)?,
        })
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.root.zeroize();
        for (_, key) in self.meta.iter_mut().chain(&mut self.wrap).chain(&mut self.spool) {
            key.zeroize();
        }
    }
}

/// Where a rotation puts what shall replace a file.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

fn replace(path: &Path, octets: &[u8]) -> std::io::Result<()> {
    let making = path.with_extension("making");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&making)?;
    like_its_folder(&file, path)?;
    file.write_all(octets)?;
    file.sync_all()?;
    std::fs::rename(&making, path)?;
    sync_folder(path)
}

/// What root writes belongs to whom the folder belongs to, or the gateway could not read it.
fn like_its_folder(file: &File, path: &Path) -> std::io::Result<()> {
    let (is, ought) = (file.metadata()?, folder(path).metadata()?);
    if (is.uid(), is.gid()) == (ought.uid(), ought.gid()) || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    fchown(file, Some(ought.uid()), Some(ought.gid()))
}

pub(super) fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

const MAGIC: &[u8; 4] = b"WXKR";
/// Of the ring's file; a newer one is refused.
const VERSION: u8 = 1;
const KEY: usize = 32;
/// Characters that one reads at a glance.
const GROUP: usize = 4;
const GROUPS_A_LINE: usize = 7;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_file_that_others_may_read_or_of_another_length_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kek");
        let kek = Kek::create(&path).unwrap();
        assert_eq!(Kek::read(&path).unwrap().0.expose(), kek.0.expose());
        for (mode, octets, expect) in
            [(0o444, 32, "chmod 0400"), (0o402, 32, "chmod 0400"), (0o400, 31, "exactly 32"), (0o400, 33, "exactly 32")]
        {
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, vec![1; octets]).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let Unusable(text) = Kek::read(&path).unwrap_err();
            assert!(text.contains(expect), "{mode:o} {octets}: {text}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(Kek::read(&path).unwrap_err().0.contains("recovery sheet"));
    }

    #[test]
    fn a_new_key_is_never_written_over_an_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kek");
        let first = Kek::create(&path).unwrap();
        assert!(Kek::create(&path).is_err());
        assert_eq!(Kek::read(&path).unwrap().0.expose(), first.0.expose());
    }

    #[test]
    fn a_recovery_sheet_gives_the_key_back_and_a_slip_of_the_pen_is_told() {
        let kek = Kek(Secret::new(std::array::from_fn(|i| u8::try_from(i * 7).unwrap())));
        let sheet = kek.sheet();
        assert_eq!(sheet.split_whitespace().count(), 14, "{sheet}");
        let scribbled = sheet.to_lowercase().replace('0', "o").replace(' ', "-");
        assert_eq!(Kek::from_sheet(&scribbled).unwrap().0.expose(), kek.0.expose());
        let slip = sheet.replacen(['7', 'R', 'W'], "2", 1);
        assert_ne!(slip, sheet);
        assert!(Kek::from_sheet(&slip).is_err());
        assert!(Kek::from_sheet(sheet.split_at(sheet.len() - 4).0).is_err());
        assert!(Kek::from_sheet("").is_err());
    }

    #[test]
    fn a_ring_opens_with_its_key_and_with_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ring");
        let (kek, other) = (Kek(Secret::new([1; 32])), Kek(Secret::new([2; 32])));
        let ring = KeyRing::generate();
        ring.write(&path, &kek).unwrap();
        let read = KeyRing::read(&path, &kek).unwrap();
        assert_eq!(read.root("index").expose(), ring.root("index").expose());
        assert_eq!(read.spool_current().0, 1);
        assert_eq!(read.meta(1).unwrap().expose(), ring.meta(1).unwrap().expose());
        assert!(read.wrap(2).is_none());
        assert!(KeyRing::read(&path, &other).unwrap_err().0.contains("recovery sheet"));

        let mut file = std::fs::read(&path).unwrap();
        file[4] = 2;
        std::fs::write(&path, &file).unwrap();
        assert!(KeyRing::read(&path, &kek).unwrap_err().0.contains("newer release"));
        std::fs::write(&path, b"nonsense").unwrap();
        assert!(KeyRing::read(&path, &kek).unwrap_err().0.contains("not a key ring"));
    }

    #[test]
    fn every_epoch_that_ever_sealed_still_opens() {
        let mut epochs = Epochs::first();
        let first = epochs.current().1;
        epochs = Epochs::from_stored(&[(1, *first.expose()), (2, [9; 32])]).unwrap();
        assert_eq!(epochs.current().0, 2);
        assert_eq!(epochs.get(1).unwrap().expose(), first.expose());
        assert_eq!(Epochs::from_stored(&epochs.stored()).unwrap().current().1.expose(), &[9; 32]);
        assert!(Epochs::from_stored(&[]).is_none());
    }
}
