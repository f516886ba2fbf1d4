//! Nothing of a protected or waiting mail can be read from the disk.

use std::fs;
use std::path::Path;

use super::house::House;
use crate::crash::raw_sink::{RawSink, Stage, say};

const CANARIES: [&str; 7] = [
    "canary-body",
    "canary-subject",
    "canary-file-name",
    "canary-file-content",
    "canary.local@mail.example",
    "Canary Display",
    "850709-9805",
];

const MAIL: &str = "From: Canary Display <emma@example.org>\nTo: canary.local@mail.example\nSubject: canary-subject\nMIME-Version: 1.0\n\
Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\ncanary-body pnr 850709-9805\n--b\nContent-Type: text/plain\n\
Content-Disposition: attachment; filename=canary-file-name.txt\n\ncanary-file-content\n--b--\n";

#[test]
fn no_canary_lies_on_the_disk_while_mail_waits_or_after_it_left() {
    let waiting = RawSink::start(|stage: &Stage| match stage {
        Stage::Rcpt(_) => say("451 4.7.1 later"),
        other => crate::crash::raw_sink::obliging(other),
    });
    for (name, sink) in [("waits", waiting), ("left", RawSink::start(crate::crash::raw_sink::obliging))] {
        let mut house = House::before(sink);
        for _ in 0..3 {
            assert!(house.send("emma@example.org", &["canary.local@mail.example", "anders@example.org"], MAIL).starts_with("250"));
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
        let live = search(&house.path("data"));
        house.stop();
        let stopped = search(&house.path("data"));
        assert!(live.1 >= 3 && stopped.1 >= 3, "there was nothing to search");
        assert_eq!((live.0, stopped.0), (Vec::<String>::new(), Vec::new()), "{name}");
    }
}

/// Canaries found below the directory, and the number of files searched.
fn search(directory: &Path) -> (Vec<String>, usize) {
    let (mut found, mut files) = (Vec::new(), 0);
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            let (deeper, count) = search(&path);
            found.extend(deeper);
            files += count;
        } else if let Ok(octets) = fs::read(&path) {
            files += 1;
            for canary in CANARIES {
                for form in [canary.to_owned(), data_encoding::BASE64.encode(canary.as_bytes())] {
                    if super::house::contains(&octets, form.trim_end_matches('=')) {
                        found.push(format!("{canary} in {}", path.display()));
                    }
                }
            }
        }
    }
    (found, files)
}
