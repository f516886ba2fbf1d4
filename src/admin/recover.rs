//! `waxseal recover`: the key-encryption key from what stands on the recovery sheet.
//!
//! The key is tried on the ring before it is written, and never written over one that is there.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::Failed;
use crate::config::Configuration;
use crate::crypto::{Kek, KeyRing};

/// Flags of the command.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// A file with the characters of the sheet; lines that begin with # are left out.
    pub sheet: PathBuf,
}

/// Writes the key where the configuration expects it.
pub fn run(arguments: &Arguments, configuration: &Path, out: &mut dyn Write) -> Result<(), Failed> {
    let configuration = Configuration::read(configuration)?;
    let text = std::fs::read_to_string(&arguments.sheet).map_err(|error| Failed(format!("{}: {error}", arguments.sheet.display())))?;
    let characters: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let kek = Kek::from_sheet(&characters.join("\n"))?;
    KeyRing::find(&configuration.path(&configuration.store.ring), &kek)?;
    let path = configuration.path(&configuration.store.kek);
    kek.write(&path)?;
    writeln!(out, "{}: written, and it opens the key ring", path.display())?;
    Ok(())
}
