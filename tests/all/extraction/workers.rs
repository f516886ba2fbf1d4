//! Workers that die, lie, hang or grow; and the pool that goes on.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use waxseal::extract::{Extractor, Why};

use super::make::zip;
use super::{extractor, text, whys};

/// A program that stands in for the worker.
fn stand_in(script: &str) -> (tempfile::TempDir, Extractor) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("worker");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
    file.set_permissions(std::fs::Permissions::from_mode(0o755)).unwrap();
    drop(file);
    let extractor = Extractor::new(path, 1);
    (folder, extractor)
}

fn archive() -> bytes::Bytes {
    zip(&[("a.txt", "words")]).into()
}

#[test]
fn a_worker_that_dies_or_lies_means_not_read() {
    for (script, why) in [
        ("exit 0", Why::Damaged),
        ("kill -SEGV $$", Why::Damaged),
        ("kill -ABRT $$", Why::Damaged),
        ("kill -XCPU $$", Why::OverBudget),
        ("kill -KILL $$", Why::OverBudget),
        ("printf 'p\\377\\377\\377\\377garbage'; cat >/dev/null", Why::Damaged),
        ("printf 'e\\010\\000\\000\\000\\143\\000\\000\\000\\000\\000\\000\\000'; cat >/dev/null", Why::Damaged),
        ("yes; cat", Why::Damaged),
    ] {
        let (_folder, extractor) = stand_in(script);
        let begun = Instant::now();
        let found = extractor.extract("a.zip", "", &archive());
        assert_eq!(whys(&found), [why], "{script}");
        assert!(found.passages.is_empty());
        assert!(begun.elapsed() < Duration::from_secs(5), "{script}");
        assert_eq!(extractor.workers(), 0, "{script}: a worker that failed is not kept");
    }
}

/// The limit on addresses counts what was set aside before it was set, too.
#[test]
fn a_worker_has_no_more_memory_than_its_limit_and_all_of_that() {
    let extractors: Vec<Extractor> = (0..40).map(|_| extractor()).collect();
    for extractor in &extractors {
        assert!(extractor.extract("a.zip", "", &archive()).unread.is_empty());
    }
    let ours = |status: &String| status.contains(&format!("PPid:\t{}\n", std::process::id()));
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let workers = processes.filter(|path| std::fs::read_to_string(path.join("cmdline")).is_ok_and(|line| line.contains("extract-worker")));
    let statuses: Vec<String> = workers.filter_map(|path| std::fs::read_to_string(path.join("status")).ok()).filter(ours).collect();
    assert!(statuses.len() >= extractors.len(), "{} workers", statuses.len());
    for status in statuses {
        let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
        let kilobytes: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kilobytes < 256 * 1024, "{size}");
    }
}

#[test]
fn a_worker_that_hangs_is_killed_in_time() {
    let (_folder, extractor) = stand_in("exec sleep 600");
    let begun = Instant::now();
    assert_eq!(whys(&extractor.extract("a.zip", "", &archive())), [Why::OverBudget]);
    assert!((29..32).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[test]
fn the_job_after_a_death_works_and_workers_are_kept() {
    let extractor = extractor();
    assert_eq!(extractor.workers(), 0, "nothing is started before it is needed");
    for _ in 0..3 {
        assert_eq!(text(&extractor.extract("a.zip", "", &archive())), "words");
    }
    assert_eq!(extractor.workers(), 1, "an idle worker is used again");
    kill_children();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(text(&extractor.extract("a.zip", "", &archive())), "words");
}

/// Ends the workers of this test only: they are told by the thread that started them.
fn kill_children() {
    let mine = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    for pid in mine.split_whitespace() {
        let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
}

#[test]
fn many_jobs_share_few_workers_and_outlive_them() {
    let extractor = extractor();
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let extractor = &extractor;
            scope.spawn(move || {
                for job in 0..50 {
                    let words = format!("thread {thread} job {job}");
                    let content = zip(&[("a.txt", words.as_str())]);
                    assert_eq!(text(&extractor.extract("a.zip", "", &content.into())), words, "answers are not mixed up");
                    assert!(extractor.workers() <= 3);
                }
            });
        }
    });
    assert!(extractor.workers() <= 2);
}

#[test]
fn a_worker_has_no_environment_and_small_limits() {
    let (folder, extractor) = stand_in("env > \"$(dirname \"$0\")/seen\"; exit 1");
    extractor.extract("a.zip", "", &archive());
    let seen = std::fs::read_to_string(folder.path().join("seen")).unwrap();
    assert!(!seen.contains("HOME=") && !seen.contains("CARGO"), "{seen}");

    let extractor = Extractor::new(env!("CARGO_BIN_EXE_waxseal").into(), 1);
    extractor.extract("a.zip", "", &archive());
    let children = std::fs::read_to_string("/proc/thread-self/children").unwrap();
    let pid = children.split_whitespace().next().expect("the worker is a child of this thread");
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    for (name, value) in [
        ("Max address space", "536870912"),
        ("Max open files", "16"),
        ("Max file size", "0"),
        ("Max core file size", "0"),
        ("Max cpu time", "20"),
    ] {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        assert_eq!(line[name.len()..].split_whitespace().next(), Some(value), "{line}");
    }
    let sockets = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let sockets = sockets.filter_map(|file| std::fs::read_link(file.path()).ok()).filter(|link| link.starts_with("socket:")).count();
    assert_eq!(sockets, 0, "a worker holds no socket");
}

#[test]
fn what_is_dropped_is_gone() {
    let extractor = Extractor::new(env!("CARGO_BIN_EXE_waxseal").into(), 1);
    extractor.extract("a.zip", "", &archive());
    assert!(!std::fs::read_to_string("/proc/thread-self/children").unwrap().trim().is_empty());
    drop(extractor);
    assert!(std::fs::read_to_string("/proc/thread-self/children").unwrap().trim().is_empty());
}

#[test]
fn a_message_in_a_message_is_read_to_the_leaf() {
    let inner = "From: bo@example.org\r\nSubject: =?utf-8?q?the_inner_s=C3=BCbject?=\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>h=E5r</p>\r\n--b\r\nContent-Type: application/octet-stream; name=\"a.csv\"\r\nContent-Transfer-Encoding: base64\r\n\r\nYSw4NTA3MDktOTgwNQo=\r\n--b--\r\n";
    let found = extractor().extract("forwarded.eml", "message/rfc822", &inner.as_bytes().to_vec().into());
    let all = text(&found);
    for expect in ["the inner sübject", "bo@example.org", "hår", "850709-9805"] {
        assert!(all.contains(expect), "{expect}: {all} {:?}", found.unread);
    }
    assert!(found.passages.iter().any(|passage| passage.place == ["a.csv"]));
    assert!(found.unread.is_empty(), "{:?}", found.unread);
}
