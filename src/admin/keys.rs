//! `waxseal keys`: a new key-encryption key, and the sheet that brings it back.
//!
//! The running gateway is not asked: the keys in the ring stay what they are, only what seals them changes.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{Failed, owner};
use crate::config::Configuration;
use crate::crypto::Kek;
use crate::crypto::ring::Unusable;
use crate::crypto::rotation::{Custody, Places, Progress};
use crate::mail::Domain;

/// What to do with the keys.
#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub enum Verb {
    /// Seal the key ring under a new key-encryption key. Asked again, it ends what was interrupted.
    Rotate,
}

/// Rotates, and says what is left to do.
pub fn run(verb: Verb, path: &Path, out: &mut dyn Write) -> Result<(), Failed> {
    let Verb::Rotate = verb;
    let configuration = Configuration::read(path)?;
    let kek = configuration.path(&configuration.store.kek);
    let custody = if is_credential(&kek) { Custody::Credential } else { Custody::File };
    let places = Places { ring: configuration.path(&configuration.store.ring), custody, kek };
    let paper = configuration.path(Path::new(SHEET));
    let progress = places.rotate(|new| keep(&sheet(new, configuration.admd.domains.first()), &paper))?;
    let (kek, ring, paper) = (places.kek.display(), places.ring.display(), paper.display());
    match progress {
        Progress::Done => {
            writeln!(out, "{kek}: a new key, and {ring} opens with it alone. A gateway that runs goes on and needs no restart.\n")?;
            writeln!(out, "1. Print {paper}, lock the paper away, then delete the file.\n   {LOST}\n")?;
            writeln!(
                out,
                "2. Destroy the old sheet, and copies of the old key: they open every old copy of the ring, and its keys are the same."
            )?;
        }
        Progress::Prepared(new) => {
            let (new, name) = (new.display(), places.kek.file_name().unwrap_or_default().display());
            writeln!(out, "The new key is in {new}; the old one stays in force until the new one is the credential.\n")?;
            writeln!(out, "1. Print {paper}, lock the paper away, then delete the file.\n   {LOST}\n")?;
            writeln!(out, "2. systemd-creds encrypt --name={name} {new} /etc/credstore.encrypted/{name}\n   systemctl restart waxseal\n")?;
            writeln!(out, "3. Run this command again: it puts the new ring in its place and deletes {new}.")?;
        }
    }
    Ok(())
}

/// What stands on the page that is printed and locked away.
pub(super) fn sheet(kek: &Kek, house: Option<&Domain>) -> String {
    let house = house.map(ToString::to_string).unwrap_or_default();
    format!(
        "# Waxseal, {house}: recovery sheet\n#\n\
         # The characters below are the key-encryption key; with it and a copy of the disk, metadata can be read.\n\
         # Print this page, lock it away, delete the file.\n#\n\
         # {LOST}\n#\n\
         # To bring the key back: type it into a file, then  waxseal recover FILE --config …\n\n{}\n",
        kek.sheet()
    )
}

/// Writes the page; one of another key that lies there still is nobody's to overwrite.
fn keep(text: &str, paper: &Path) -> Result<(), Unusable> {
    let unusable = |why: String| Unusable(format!("{}: {why}", paper.display()));
    if std::fs::read_to_string(paper).is_ok_and(|there| there == text) {
        return Ok(());
    }
    // Whole or not at all: half a sheet would be printed and locked away.
    let making = paper.with_extension("making");
    let written = write(&making, text).and_then(|()| std::fs::hard_link(&making, paper));
    let _ = std::fs::remove_file(&making);
    written.map_err(|error| {
        let lies_here = error.kind() == ErrorKind::AlreadyExists;
        unusable(if lies_here { String::from(NOT_TAKEN) } else { error.to_string() })
    })?;
    owner::like_its_folder(paper).map_err(|Failed(why)| Unusable(why))
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let _ = std::fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Whether systemd hands the key over, so that a file in its place would mean nothing.
fn is_credential(kek: &Path) -> bool {
    let handed_over = std::env::var_os("CREDENTIALS_DIRECTORY");
    kek.starts_with(CREDENTIALS) || handed_over.is_some_and(|folder| !folder.is_empty() && kek.starts_with(folder))
}

/// To be printed and deleted.
pub(super) const SHEET: &str = "recovery-sheet.txt";
/// What must not be lost.
pub(super) const LOST: &str = "WHOEVER LOSES THIS KEY, OR THE SLOTS (*.slots IN THE STORE), LOSES ALL SEALED CONTENT, FOR GOOD.";
/// The sheet of the key in force is the only one: it must be on paper before there is another.
const NOT_TAKEN: &str = "the sheet of the key in force lies here still\n    print it, lock it away, delete the file; then rotate";
/// Where systemd puts credentials.
const CREDENTIALS: &str = "/run/credentials";
