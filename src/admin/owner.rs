//! Files that root writes for the gateway belong to whom their folder belongs to, or the gateway could not read them.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use super::Failed;

/// Gives a file the owner and the group of its folder, where that is not so already.
pub fn like_its_folder(file: &Path) -> Result<(), Failed> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let (is, ought) = (std::fs::metadata(file)?, std::fs::metadata(folder)?);
    if (is.uid(), is.gid()) == (ought.uid(), ought.gid()) {
        return Ok(());
    }
    chown(file, Some(ought.uid()), Some(ought.gid()))
        .map_err(|error| Failed(format!("{}: its owner stays who wrote it: {error}", file.display())))
}
