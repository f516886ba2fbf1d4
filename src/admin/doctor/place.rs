//! The machine: disk, permissions, clock.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Finding;
use crate::config::Configuration;

/// Everything about files and the disk under them.
pub fn look(configuration: &Configuration) -> Vec<Finding> {
    let directory = configuration.path(&configuration.store.directory);
    let mut findings = owners(configuration, &directory);
    if directory.is_dir() {
        findings.extend(disk(&directory, configuration.store.reserve));
    } else {
        findings.push(Finding::warn("disk", format!("{}: not there yet", directory.display()), "waxseal serve makes it"));
    }
    findings
}

/// Who may read what is secret, and whether we look with the eyes of the service.
fn owners(configuration: &Configuration, directory: &Path) -> Vec<Finding> {
    let store = &configuration.store;
    let mut findings = Vec::new();
    let mine = rustix::process::geteuid().as_raw();
    if let Ok(facts) = fs::metadata(directory)
        && facts.uid() != mine
    {
        let what = format!(
            "{} belongs to user {}, and this is user {mine}: what follows is seen with other eyes",
            directory.display(),
            facts.uid()
        );
        findings.push(Finding::warn(
            "permissions",
            what,
            "run doctor as the user that the gateway runs as: sudo -u waxseal waxseal doctor …",
        ));
    }
    let secret = [(directory.to_owned(), 0o077), (configuration.path(&store.kek), 0o027), (configuration.path(&store.ring), 0o027)];
    for (path, forbidden) in secret {
        let Ok(facts) = fs::metadata(&path) else { continue };
        let mode = facts.mode() & 0o777;
        let shown = path.display();
        findings.push(if mode & forbidden == 0 {
            Finding::ok("permissions", format!("{shown}: mode {mode:04o}"))
        } else {
            let right = if facts.is_dir() { "700" } else { "400" };
            Finding::wrong("permissions", format!("{shown}: others may use it (mode {mode:04o})"), format!("chmod {right} {shown}"))
        });
    }
    if fs::metadata(&configuration.file).is_ok_and(|facts| facts.mode() & 0o022 != 0) {
        let shown = configuration.file.display();
        findings.push(Finding::wrong("permissions", format!("{shown}: others may write it"), format!("chmod 640 {shown}")));
    }
    findings
}

fn disk(directory: &Path, reserve: u64) -> Vec<Finding> {
    let shown = directory.display();
    let mut findings = Vec::new();
    match rustix::fs::statvfs(directory) {
        Ok(room) => {
            let free = room.f_bavail.saturating_mul(room.f_frsize);
            let told = format!("{shown}: {} MB free", free / 1_000_000);
            findings.push(if free < reserve {
                Finding::wrong(
                    "disk",
                    format!("{told}, less than [store] reserve keeps: mail is answered 452"),
                    "make room, or lower the reserve",
                )
            } else if free < reserve.saturating_mul(TIGHT) {
                Finding::warn("disk", told, "mail is answered 452 once less than [store] reserve is left")
            } else {
                Finding::ok("disk", told)
            });
            // Some file systems make inodes as they need them and count none.
            if room.f_files > 0 {
                let told = format!("{shown}: {} inodes free", room.f_favail);
                let mend = "each sealed file of a message needs one: a file system with more, or shorter lives of links";
                findings.push(if room.f_favail < INODES { Finding::warn("disk", told, mend) } else { Finding::ok("disk", told) });
            }
        }
        Err(error) => findings.push(Finding::wrong("disk", format!("{shown}: {error}"), "the store needs a file system that answers")),
    }
    if let Ok(facts) = rustix::fs::statfs(directory) {
        findings.push(kind(&shown.to_string(), facts.f_type as u64));
    }
    findings
}

/// Whether 250 means anything there: fsync must reach a disk, and slots must be overwritten in place.
fn kind(shown: &str, magic: u64) -> Finding {
    match KINDS.iter().find(|(known, ..)| *known == magic & 0xffff_ffff) {
        Some((_, name, Fit::Good)) => Finding::ok("disk", format!("{shown}: {name}")),
        Some((_, name, Fit::Copies)) => Finding::warn(
            "disk",
            format!("{shown}: {name} writes beside and not in place: an overwritten slot may still lie on the disk"),
            "a file system that writes in place, such as ext4 or xfs, if the disk itself may be stolen",
        ),
        Some((_, name, Fit::Bad)) => Finding::wrong(
            "disk",
            format!("{shown}: {name} does not keep what was acknowledged"),
            "[store] directory on a local disk with ext4 or xfs",
        ),
        None => Finding::warn(
            "disk",
            format!("{shown}: a file system that is not known here ({magic:#x})"),
            "make sure that fsync reaches a disk",
        ),
    }
}

#[derive(Clone, Copy)]
enum Fit {
    Good,
    Copies,
    Bad,
}

/// Whether anything keeps the clock right.
pub fn clock() -> Finding {
    let kept = KEEPERS.iter().find(|(path, _)| Path::new(path).exists());
    match kept {
        Some((_, keeper)) => Finding::ok("clock", format!("believed; {keeper}")),
        None => Finding::warn(
            "clock",
            "believed, but nothing seen here keeps it right",
            "a time server: systemd-timesyncd or chrony. Links, queue and certificates go by the clock",
        ),
    }
}

/// Magic numbers of statfs(2).
const KINDS: [(u64, &str, Fit); 13] = [
    (0xef53, "ext4", Fit::Good),
    (0x5846_5342, "xfs", Fit::Good),
    (0xf2f5_2010, "f2fs", Fit::Copies),
    (0x9123_683e, "btrfs", Fit::Copies),
    (0x2fc1_2fc1, "zfs", Fit::Copies),
    (0x794c_7630, "overlayfs", Fit::Copies),
    (0x0102_1994, "tmpfs", Fit::Bad),
    (0x8584_58f6, "ramfs", Fit::Bad),
    (0x6969, "nfs", Fit::Bad),
    (0xff53_4d42, "cifs", Fit::Bad),
    (0xfe53_4d42, "smb2", Fit::Bad),
    (0x0102_1997, "9p", Fit::Bad),
    (0x6573_5546, "fuse", Fit::Bad),
];
/// What time services leave while they run.
const KEEPERS: [(&str, &str); 3] = [
    ("/run/systemd/timesync/synchronized", "systemd-timesyncd keeps it right"),
    ("/run/chrony/chronyd.pid", "chrony runs"),
    ("/run/ntpd.pid", "ntpd runs"),
];
/// Times the reserve.
const TIGHT: u64 = 10;
const INODES: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn file_systems_that_forget_are_wrong() {
        for (magic, expect) in [
            (0xef53, Verdict::Ok),
            (0x9123_683e, Verdict::Warn),
            (0x0102_1994, Verdict::Wrong),
            (0x6969, Verdict::Wrong),
            (0x1, Verdict::Warn),
        ] {
            assert_eq!(kind("/x", magic).verdict, expect, "{magic:x}");
        }
    }
}
