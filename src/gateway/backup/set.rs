//! A set of files that belong together: the sums of all of them, and a manifest that seals the sums.
//!
//! `sums` is what `sha256sum -c` reads. The manifest is written last, so a set without one did not finish;
//! its seal is made with a key of the ring, so a set that somebody changed or mixed is told from ours.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::crypto::aead::Key;
use crate::crypto::derive;
use crate::gateway::Failed;

/// What a set says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of the layout; a newer one is refused.
    format: u32,
    /// Which release wrote it.
    release: String,
    /// `whole` or `slots`.
    pub part: String,
    /// Everything acknowledged before this moment is in the set.
    pub mark: Timestamp,
    /// How many files.
    pub files: u64,
    /// Their octets.
    pub octets: u64,
    /// SHA-256 of `sums`.
    sums: String,
    seal: String,
}

impl Manifest {
    /// Of the set in this directory. The key is that of the ring: [`KeyRing::root`](crate::crypto::KeyRing::root) of [`PURPOSE`].
    pub fn read(directory: &Path, key: &Key) -> Result<Self, Failed> {
        let path = directory.join(MANIFEST);
        let wrong = |what: String| Failed(format!("{}: {what}", path.display()));
        let text = fs::read_to_string(&path).map_err(|error| {
            let is_absent = error.kind() == io::ErrorKind::NotFound;
            wrong(if is_absent { String::from("there is none: this is no backup, or one that did not finish") } else { error.to_string() })
        })?;
        let manifest: Self = serde_json::from_str(&text).map_err(|error| wrong(format!("not a manifest: {error}")))?;
        if manifest.format > FORMAT {
            return Err(wrong(format!(
                "format {} is of a newer release, this one knows {FORMAT}\n    run the newer release",
                manifest.format
            )));
        }
        if !bool::from(manifest.sealed(key).as_bytes().ct_eq(manifest.seal.as_bytes())) {
            return Err(wrong(String::from("its seal does not hold: it was changed, or made with another key ring")));
        }
        let sums = hex(&mut File::open(directory.join(SUMS))?)?.0;
        if sums == manifest.sums {
            Ok(manifest)
        } else {
            Err(Failed(format!("{}: not what the manifest says: it was changed", directory.join(SUMS).display())))
        }
    }

    fn sealed(&self, key: &Key) -> String {
        let mark = self.mark.to_string();
        let fields = [self.format.to_string(), self.files.to_string(), self.octets.to_string()];
        let [format, files, octets] = &fields;
        let parts = [format, &self.release, &self.part, &mark, files, octets, &self.sums];
        HEXLOWER.encode(&derive::mac(key, "backup", &parts.map(|part| part.as_bytes())))
    }
}

/// A set in the making.
pub struct Writer {
    directory: PathBuf,
    sums: BufWriter<File>,
    files: u64,
    octets: u64,
}

/// How a file gets into a set.
#[derive(Clone, Copy)]
pub enum How {
    /// By a second name where that is possible: it never changes.
    Linked,
    /// By its octets.
    Copied,
}

impl Writer {
    /// In a directory that is empty or is made now; nobody else may read it.
    pub fn begin(directory: &Path) -> Result<Self, Failed> {
        let at = |error: io::Error| Failed(format!("{}: {error}", directory.display()));
        folder(directory).map_err(at)?;
        if fs::read_dir(directory).map_err(at)?.next().is_some() {
            return Err(Failed(format!("{}: not empty; a backup wants a directory of its own", directory.display())));
        }
        let sums = OpenOptions::new().write(true).create_new(true).mode(0o600).open(directory.join(SUMS)).map_err(at)?;
        Ok(Self { directory: directory.to_owned(), sums: BufWriter::new(sums), files: 0, octets: 0 })
    }

    /// Where a file of this name belongs; for one that is written there at once.
    pub fn place(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Takes a file in, under a name with slashes.
    pub fn add(&mut self, from: &Path, name: &str, how: How) -> Result<(), Failed> {
        let to = self.place(name);
        if let Some(parent) = to.parent() {
            folder(parent)?;
        }
        let linked = matches!(how, How::Linked) && fs::hard_link(from, &to).is_ok();
        if !linked {
            let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to)?;
            io::copy(&mut File::open(from)?, &mut target)?;
        }
        self.note(name)
    }

    /// Notes a file that is in its place.
    pub fn note(&mut self, name: &str) -> Result<(), Failed> {
        let (sum, octets) = hex(&mut File::open(self.place(name))?)?;
        writeln!(self.sums, "{sum}  {name}")?;
        self.files += 1;
        self.octets += octets;
        Ok(())
    }

    /// Takes all blobs below a directory in.
    pub fn add_blobs(&mut self, from: &Path, name: &str) -> Result<(), Failed> {
        for shard in sorted(from)? {
            for blob in sorted(&from.join(&shard))? {
                self.add(&from.join(&shard).join(&blob), &format!("{name}/{shard}/{blob}"), How::Linked)?;
            }
        }
        Ok(())
    }

    /// Puts all of it on stable storage, then says so in the manifest.
    pub fn finish(mut self, key: &Key, (part, mark): (&str, Timestamp)) -> Result<Manifest, Failed> {
        self.sums.flush()?;
        let sums = hex(&mut File::open(self.directory.join(SUMS))?)?.0;
        rustix::fs::syncfs(File::open(&self.directory)?).map_err(io::Error::from)?;
        let mut manifest = Manifest {
            format: FORMAT,
            release: String::from(env!("CARGO_PKG_VERSION")),
            part: part.to_owned(),
            mark,
            files: self.files,
            octets: self.octets,
            sums,
            seal: String::new(),
        };
        manifest.seal = manifest.sealed(key);
        let text = serde_json::to_string_pretty(&manifest).map_err(|error| Failed(error.to_string()))?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.directory.join(MANIFEST))?;
        file.write_all(format!("{text}\n").as_bytes())?;
        file.sync_all()?;
        File::open(&self.directory)?.sync_all()?;
        Ok(manifest)
    }
}

/// Gives each file of a set its octets at its place below `to`; one that is not what its sum says ends it.
pub fn unpack(directory: &Path, to: &Path) -> Result<u64, Failed> {
    let mut files = 0;
    for line in BufReader::new(File::open(directory.join(SUMS))?).lines() {
        let line = line?;
        let (sum, name) = line
            .split_once("  ")
            .filter(|(_, name)| is_inside(name))
            .ok_or_else(|| Failed(format!("{SUMS}: \"{line}\" is no line of ours")))?;
        let target = to.join(name);
        if let Some(parent) = target.parent() {
            folder(parent)?;
        }
        let mut from = Counted {
            file: File::open(directory.join(name)).map_err(|error| missing(&directory.join(name), &error))?,
            digest: Sha256::new(),
        };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target)?;
        io::copy(&mut from, &mut file)?;
        if HEXLOWER.encode(&from.digest.finalize()) != sum {
            return Err(Failed(format!("{}: not what it was when the backup was made", directory.join(name).display())));
        }
        files += 1;
    }
    Ok(files)
}

fn missing(path: &Path, error: &io::Error) -> Failed {
    Failed(format!("{}: {error}; the backup is not whole", path.display()))
}

/// A file whose octets are summed as they are read.
struct Counted {
    file: File,
    digest: Sha256,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.digest.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Relative, and nothing but names: a set that was tampered with leads nowhere else.
fn is_inside(name: &str) -> bool {
    let path = Path::new(name);
    !name.is_empty() && path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// SHA-256 as hexadecimal digits, and how many octets there were.
fn hex(from: &mut File) -> io::Result<(String, u64)> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    let mut octets = 0;
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok((HEXLOWER.encode(&digest.finalize()), octets));
        }
        digest.update(buffer.get(..count).unwrap_or_default());
        octets += count as u64;
    }
}

/// Names in a directory that are text, as ours are; none where there is no directory.
fn sorted(directory: &Path) -> Result<Vec<String>, Failed> {
    let mut names = Vec::new();
    match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => {
            for entry in found? {
                names.extend(entry?.file_name().into_string());
            }
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Of the ring's ROOT: the key that seals manifests.
pub const PURPOSE: &str = "backup";
const MANIFEST: &str = "manifest.json";
const SUMS: &str = "sums";
const FORMAT: u32 = 1;
const BUFFER: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn set(place: &Path) -> Manifest {
        fs::write(place.join("source"), "octets").unwrap();
        let mut writer = Writer::begin(&place.join("set")).unwrap();
        writer.add(&place.join("source"), "deep/one", How::Copied).unwrap();
        writer.add(&place.join("source"), "two", How::Linked).unwrap();
        writer.finish(&Secret::new([1; 32]), ("whole", Timestamp::UNIX_EPOCH)).unwrap()
    }

    #[test]
    fn a_set_comes_back_as_it_was() {
        let place = tempfile::tempdir().unwrap();
        let made = set(place.path());
        assert_eq!((made.files, made.octets), (2, 12));
        assert_eq!(Manifest::read(&place.path().join("set"), &Secret::new([1; 32])).unwrap(), made);
        assert_eq!(unpack(&place.path().join("set"), &place.path().join("to")).unwrap(), 2);
        assert_eq!(fs::read_to_string(place.path().join("to/deep/one")).unwrap(), "octets");
        assert!(Writer::begin(&place.path().join("set")).err().unwrap().0.contains("not empty"));
    }

    #[test]
    fn a_set_that_was_changed_mixed_or_cut_short_is_refused() {
        let refused = |change: fn(&Path)| {
            let place = tempfile::tempdir().unwrap();
            set(place.path());
            change(&place.path().join("set"));
            let directory = place.path().join("set");
            let read = Manifest::read(&directory, &Secret::new([1; 32])).and_then(|_| unpack(&directory, &place.path().join("to")));
            read.unwrap_err().0
        };
        assert!(refused(|set| fs::remove_file(set.join("manifest.json")).unwrap()).contains("did not finish"));
        assert!(refused(|set| fs::write(set.join("deep/one"), "Octets").unwrap()).contains("not what it was"));
        assert!(refused(|set| fs::remove_file(set.join("two")).unwrap()).contains("not whole"));
        assert!(refused(|set| edit_file(&set.join("manifest.json"), "whole", "slots")).contains("seal"));
        assert!(refused(|set| edit_file(&set.join("manifest.json"), "\"format\": 1", "\"format\": 2")).contains("newer release"));
        assert!(refused(|set| edit_file(&set.join("sums"), "  two", "  ../two")).contains("changed"));
        let place = tempfile::tempdir().unwrap();
        set(place.path());
        assert!(Manifest::read(&place.path().join("set"), &Secret::new([2; 32])).unwrap_err().0.contains("another key ring"));
    }

    fn edit_file(path: &Path, from: &str, to: &str) {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains(from));
        fs::write(path, text.replace(from, to)).unwrap();
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        for (name, expect) in
            [("parcels/00/ab", true), ("ring", true), ("../ring", false), ("/etc/passwd", false), ("a/../b", false), ("", false)]
        {
            assert_eq!(is_inside(name), expect, "{name}");
        }
    }
}
