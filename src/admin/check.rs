//! `waxseal check`: reads every file and says all that is wrong at once; changes nothing.

use std::io::Write;
use std::path::Path;

use super::Failed;
use crate::config::Configuration;
use crate::gateway;

/// Checks the configuration and everything that it names.
pub fn run(path: &Path, out: &mut dyn Write) -> Result<(), Failed> {
    let configuration = Configuration::read(path)?;
    for remark in gateway::check(&configuration)? {
        writeln!(out, "{remark}")?;
    }
    writeln!(out, "{}: no mistakes", path.display())?;
    Ok(())
}
