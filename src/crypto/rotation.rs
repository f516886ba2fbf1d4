//! A new key-encryption key for the ring that is there, in steps that may stop anywhere.
//!
//! The new key, and the ring sealed under it, lie complete beside the old ones before anything is replaced: then the
//! key is, then the ring. Whoever opens the pair tries the ring first and the one beside it next
//! ([`KeyRing::find`]), so at every moment the key in force opens one of them. What a stop left behind is taken up
//! by the next try. The keys in the ring stay as they are: a gateway that runs does not notice.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::ring::{Found, Kek, KeyRing, Unusable, beside, sync_folder};

/// Where key and ring lie.
#[derive(Debug, Clone)]
pub struct Places {
    /// The key-encryption key that is in force.
    pub kek: PathBuf,
    /// The key ring.
    pub ring: PathBuf,
    /// Who keeps the key.
    pub custody: Custody,
}

/// Who keeps the key-encryption key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Custody {
    /// It is a file, and can be replaced.
    File,
    /// systemd hands it over at the start of the service: its operator alone can replace it.
    Credential,
}

/// How far a rotation came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The new key is in force, and the ring opens with it alone.
    Done,
    /// The new key lies in this file, to be made the credential; until then the old one is in force.
    Prepared(PathBuf),
}

impl Places {
    /// Rotates, or ends what an earlier try began. `keep` gets the new key before anything is sealed under it.
    pub fn rotate(&self, keep: impl FnOnce(&Kek) -> Result<(), Unusable>) -> Result<Progress, Unusable> {
        let _alone = self.lock()?;
        let (ring, found) = KeyRing::find(&self.ring, &Kek::read(&self.kek)?)?;
        if found == Found::Beside {
            return self.finish();
        }
        let (new, ring_beside) = (self.new_key()?, beside(&self.ring));
        keep(&new)?;
        ring.write(&ring_beside, &new)?;
        // What is on the disk counts, not what was meant to be there.
        KeyRing::read(&ring_beside, &Kek::read(&self.key_beside())?)?;
        match self.custody {
            Custody::File => {
                rename(&self.key_beside(), &self.kek)?;
                self.finish()
            }
            Custody::Credential => Ok(Progress::Prepared(self.key_beside())),
        }
    }

    /// The key in force is the new one: its ring takes the place of the old.
    fn finish(&self) -> Result<Progress, Unusable> {
        rename(&beside(&self.ring), &self.ring)?;
        match std::fs::remove_file(self.key_beside()) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(unusable(&self.key_beside(), &error)),
            Ok(()) | Err(_) => {}
        }
        KeyRing::read(&self.ring, &Kek::read(&self.kek)?)?;
        Ok(Progress::Done)
    }

    /// A new key on the disk: the one of a try that stopped, or a fresh one.
    fn new_key(&self) -> Result<Kek, Unusable> {
        let path = self.key_beside();
        match (Kek::read(&path), beside(&self.ring).exists()) {
            (Ok(key), _) => Ok(key),
            (Err(_), false) => {
                // The writing of it stopped half-way, and nothing is sealed under half a key.
                let _ = std::fs::remove_file(&path);
                Kek::create(&path)
            }
            (Err(_), true) => Err(Unusable(format!(
                "{}: a rotation waits for its key, and {} is not there\n    \
                 restart the gateway with the new key as its credential and rotate again; or give it up: delete the former file",
                beside(&self.ring).display(),
                path.display()
            ))),
        }
    }

    fn key_beside(&self) -> PathBuf {
        match self.custody {
            Custody::File => beside(&self.kek),
            Custody::Credential => self.ring.with_file_name("kek.new"),
        }
    }

    /// Two at once would take each other's files.
    fn lock(&self) -> Result<File, Unusable> {
        let ring = File::open(&self.ring).map_err(|error| unusable(&self.ring, &error))?;
        ring.try_lock().map_err(|_| Unusable(format!("{}: another rotation is under way", self.ring.display())))?;
        Ok(ring)
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), Unusable> {
    std::fs::rename(from, to).and_then(|()| sync_folder(to)).map_err(|error| unusable(to, &error))
}

fn unusable(path: &Path, error: &std::io::Error) -> Unusable {
    Unusable(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct House {
        folder: tempfile::TempDir,
        root: [u8; 32],
    }

    impl House {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let ring = KeyRing::generate();
            ring.write(&folder.path().join("ring"), &Kek::create(&folder.path().join("kek")).unwrap()).unwrap();
            Self { root: *ring.root("index").expose(), folder }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn places(&self, custody: Custody) -> Places {
            Places { kek: self.path("kek"), ring: self.path("ring"), custody }
        }

        fn kek(&self) -> Vec<u8> {
            std::fs::read(self.path("kek")).unwrap()
        }

        /// How the key in force finds the keys that were always there.
        fn found(&self) -> Found {
            let (ring, found) = KeyRing::find(&self.path("ring"), &Kek::read(&self.path("kek")).unwrap()).unwrap();
            assert_eq!(ring.root("index").expose(), &self.root);
            found
        }

        fn files(&self) -> Vec<String> {
            let entries = std::fs::read_dir(self.folder.path()).unwrap();
            let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    fn keep(_: &Kek) -> Result<(), Unusable> {
        Ok(())
    }

    #[test]
    fn the_keys_stay_and_only_the_new_key_opens_them() {
        let house = House::new();
        let old = Kek::read(&house.path("kek")).unwrap();
        let mut kept = Vec::new();
        let done = house.places(Custody::File).rotate(|new| {
            kept = new.0.expose().to_vec();
            Ok(())
        });
        assert_eq!((done, house.found()), (Ok(Progress::Done), Found::InPlace));
        assert_eq!(house.kek(), kept);
        assert!(KeyRing::read(&house.path("ring"), &old).is_err());
        assert_eq!(house.files(), ["kek", "ring"]);
    }

    #[test]
    fn a_stop_at_any_step_leaves_a_pair_that_opens_and_the_next_try_ends_it() {
        // What a stop leaves: of the key, of the ring, and whether the key was put in its place.
        let torn = |house: &House| std::fs::write(house.path("kek.new"), [7; 10]).unwrap();
        let key = |house: &House| drop(Kek::create(&house.path("kek.new")).unwrap());
        let ring = |house: &House| {
            key(house);
            let ring = KeyRing::read(&house.path("ring"), &Kek::read(&house.path("kek")).unwrap()).unwrap();
            ring.write(&house.path("ring.new"), &Kek::read(&house.path("kek.new")).unwrap()).unwrap();
        };
        let half_a_ring = |house: &House| {
            key(house);
            std::fs::write(house.path("ring.making"), b"WXKR").unwrap();
        };
        let swapped = |house: &House| {
            ring(house);
            std::fs::rename(house.path("kek.new"), house.path("kek")).unwrap();
        };
        let steps = [
            ("half a key", &torn as &dyn Fn(&House), Found::InPlace),
            ("a key", &key, Found::InPlace),
            ("half a ring", &half_a_ring, Found::InPlace),
            ("a ring", &ring, Found::InPlace),
            ("the key in its place", &swapped, Found::Beside),
        ];
        for (step, stop, expect) in steps {
            let house = House::new();
            let old = house.kek();
            stop(&house);
            assert_eq!(house.found(), expect, "{step}");
            assert_eq!(house.places(Custody::File).rotate(keep), Ok(Progress::Done), "{step}");
            assert_eq!(house.found(), Found::InPlace, "{step}");
            assert_ne!(house.kek(), old, "{step}");
            assert_eq!(house.files(), ["kek", "ring"], "{step}");
        }
    }

    #[test]
    fn nothing_is_sealed_under_a_key_that_could_not_be_kept() {
        let house = House::new();
        let old = house.kek();
        let stopped = house.places(Custody::File).rotate(|_| Err(Unusable(String::from("no paper"))));
        assert_eq!(stopped, Err(Unusable(String::from("no paper"))));
        assert_eq!((house.kek(), house.found(), house.files()), (old, Found::InPlace, vec!["kek".into(), "kek.new".into(), "ring".into()]));
    }

    #[test]
    fn a_credential_is_replaced_by_its_operator_and_the_old_key_holds_until_then() {
        let house = House::new();
        let places = house.places(Custody::Credential);
        let prepared = Ok(Progress::Prepared(house.path("kek.new")));
        assert_eq!(places.rotate(keep), prepared);
        let new = std::fs::read(house.path("kek.new")).unwrap();
        assert_eq!(places.rotate(keep), prepared, "asked again, it is the same key");
        assert_eq!((std::fs::read(house.path("kek.new")).unwrap(), house.found()), (new.clone(), Found::InPlace));
        // The operator has made it the credential and deleted the file, and the gateway runs with the old one still.
        std::fs::remove_file(house.path("kek.new")).unwrap();
        let Err(Unusable(told)) = places.rotate(keep) else { panic!("a key that nobody has is not replaced by another") };
        assert!(told.contains("ring.new: a rotation waits for its key"), "{told}");
        std::fs::remove_file(house.path("kek")).unwrap();
        Kek(crate::secret::Secret::new(new.try_into().unwrap())).write(&house.path("kek")).unwrap();
        assert_eq!(house.found(), Found::Beside);
        assert_eq!(places.rotate(keep), Ok(Progress::Done));
        assert_eq!((house.found(), house.files()), (Found::InPlace, vec!["kek".into(), "ring".into()]));
    }

    #[test]
    fn two_rotations_at_once_are_one() {
        let house = House::new();
        let places = house.places(Custody::File);
        let within = places.rotate(|_| {
            let Err(Unusable(told)) = places.rotate(keep) else { panic!("both went on") };
            assert!(told.contains("another rotation is under way"), "{told}");
            Ok(())
        });
        assert_eq!(within, Ok(Progress::Done));
    }
}
