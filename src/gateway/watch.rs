//! What people may change while the gateway runs: the configuration, rules, policies, templates, DKIM keys,
//! certificates, users. Their names, sizes and times are looked at every two seconds; no directory is ever
//! executed or imported from.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Files and folders whose change means: read again.
pub struct Watched {
    places: Vec<PathBuf>,
    seen: Vec<Seen>,
}

/// One file as it was last seen.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    path: PathBuf,
    size: u64,
    changed: (i64, i64),
}

impl Watched {
    /// From now on.
    pub fn new(places: Vec<PathBuf>) -> Self {
        let seen = look(&places);
        Self { places, seen }
    }

    /// From now on these places.
    pub fn follow(&mut self, places: Vec<PathBuf>) {
        if places != self.places {
            // Nothing was seen of them yet, so the next look reads them once more.
            *self = Self { places, seen: Vec::new() };
        }
    }

    /// Whether anything changed since the last time.
    pub fn has_changed(&mut self) -> bool {
        let now = look(&self.places);
        let changed = now != self.seen;
        self.seen = now;
        changed
    }
}

fn look(places: &[PathBuf]) -> Vec<Seen> {
    let mut seen = Vec::new();
    for place in places {
        gather(place, DEPTH, &mut seen);
    }
    seen.sort();
    seen
}

fn gather(path: &Path, depth: usize, seen: &mut Vec<Seen>) {
    let Ok(found) = fs::metadata(path) else { return };
    if !found.is_dir() {
        seen.push(Seen { path: path.to_owned(), size: found.len(), changed: (found.mtime(), found.mtime_nsec()) });
        return;
    }
    let Some(deeper) = depth.checked_sub(1) else { return };
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        gather(&entry.path(), deeper, seen);
    }
}

/// How often to look.
pub const EVERY: Duration = Duration::from_secs(2);
/// Folders within folders.
const DEPTH: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_a_changed_and_a_removed_file_are_noticed_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut watched = Watched::new(vec![folder.path().to_owned()]);
        assert!(!watched.has_changed());
        fs::create_dir(folder.path().join("tests")).unwrap();
        fs::write(folder.path().join("tests/a.toml"), "a").unwrap();
        assert!(watched.has_changed());
        assert!(!watched.has_changed());
        fs::write(folder.path().join("tests/a.toml"), "ab").unwrap();
        assert!(watched.has_changed());
        fs::remove_file(folder.path().join("tests/a.toml")).unwrap();
        assert!(watched.has_changed());
    }
}
