//! The parts of the way of a message that have goals of their own, through the library and in one thread:
//! inspection, text of documents, sealing and opening.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use waxseal::crypto::stream::{self, SegmentId};
use waxseal::extract::Extractor;
use waxseal::mail::{Admd, Domain, Mailbox, Message};
use waxseal::policy::{Options, PolicySet};
use waxseal::secret::Secret;

use crate::language::{Dice, Language};
use crate::mail::{self, Kind, Mails};
use crate::make;
use crate::measure::median;
use crate::peers::waxseal::Gateway;
use crate::rules;
use crate::table::Table;

/// All of them.
pub fn measure(gateway: &Gateway, (language, mails): (&Language, &mut Mails<'_>), table: &mut Table) {
    println!("\nInside, one core");
    inspection(gateway, mails, table);
    patterns(gateway, (language, mails), table);
    documents(gateway, language, table);
    sealing(table);
}

/// All rules of the set-up over plain text.
fn inspection(gateway: &Gateway, mails: &mut Mails<'_>, table: &mut Table) {
    let policies = PolicySet::load(&gateway.home.join("rules"), &gateway.home.join("policies"), &admd()).unwrap();
    let extractor = Extractor::new(gateway.program.clone(), 1);
    for (name, kind, meaning) in [
        ("inspection-MB-per-s", Kind::Text(4 << 20), "MB/s of plain text looked at, 10,000 words, 100 patterns"),
        ("inspection-HTML-MB-per-s", Kind::Html(4 << 20), "MB/s of text and HTML in quoted-printable"),
    ] {
        let message = Message::parse(mails.of(kind).octets("0.0"));
        let times = repeat(|| assert!(policies.inspect(&message, &extractor).findings.is_empty(), "{kind:?}: a finding"));
        table.note(name, message.bytes().len() as f64 / 1e6 / times, meaning);
    }
}

/// What nine hundred patterns more cost.
fn patterns(gateway: &Gateway, (language, mails): (&Language, &mut Mails<'_>), table: &mut Table) {
    let message = Message::parse(mails.of(Kind::Text(4 << 20)).octets("0.0"));
    let extractor = Extractor::new(gateway.program.clone(), 1);
    let set = |count: usize| {
        let files: Vec<(PathBuf, String)> = rules::words(language).into_iter().chain(rules::patterns(count)).collect();
        PolicySet::from_texts(&files, &[], &admd(), &Options::default()).unwrap()
    };
    let [few, many] = [set(100), set(1000)].map(|set| repeat(|| drop(set.inspect(&message, &extractor))));
    table.note("inspection-1000-patterns-beside-100", many / few, "times as long with 1,000 patterns as with 100");
}

/// Files of a megabyte each, through a worker that runs already.
fn documents(gateway: &Gateway, language: &Language, table: &mut Table) {
    let extractor = Extractor::new(gateway.program.clone(), 1);
    for (name, file, content) in [
        ("docx-1MB-ms", "a.docx", mail::document(language, 1 << 20)),
        ("xlsx-1MB-ms", "a.xlsx", sheet(language)),
        ("pdf-1MB-ms", "a.pdf", pages(language)),
    ] {
        let content = Bytes::from(content);
        let read = || {
            let begun = Instant::now();
            let found = extractor.extract(file, "application/octet-stream", &content);
            assert!(found.unread.is_empty() && !found.passages.is_empty(), "{file}: {:?}", found.unread);
            begun.elapsed().as_secs_f64() * 1000.0
        };
        read();
        let times = (0..9).map(|_| read()).collect();
        table.note(name, median(times), &format!("ms to the text of {file}, {:.1} MB", content.len() as f64 / 1e6));
    }
}

/// A sheet of rows with text and numbers.
fn sheet(language: &Language) -> Vec<u8> {
    let mut dice = Dice::new(3);
    let text = language.text(2 << 20, &mut dice);
    let rows = text.split_whitespace().collect::<Vec<_>>();
    let cells = |words: &[&str]| -> String {
        words.iter().map(|word| format!("<c t=\"inlineStr\"><is><t>{word}</t></is></c><c><v>{}</v></c>", word.len() * 17)).collect()
    };
    let rows: String = rows.chunks(12).map(|words| format!("<row>{}</row>", cells(words))).collect();
    make::xlsx(&[("People", rows)], &[], &[])
}

/// A document of pages with lines of text.
fn pages(language: &Language) -> Vec<u8> {
    let text = language.text(2_400_000, &mut Dice::new(5));
    let lines: Vec<&str> = text.split("\r\n").filter(|line| !line.is_empty()).collect();
    let pages: Vec<&[&str]> = lines.chunks(48).collect();
    let kids: String = (0..pages.len()).map(|page| format!("{} 0 R ", 4 + 2 * page)).collect();
    let mut objects: Vec<Vec<u8>> = vec![
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        format!("<< /Type /Pages /Kids [{kids}] /Count {} >>", pages.len()).into(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_vec(),
    ];
    for (number, lines) in pages.iter().enumerate() {
        let resources = "/MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >>";
        objects.push(format!("<< /Type /Page /Parent 2 0 R {resources} /Contents {} 0 R >>", 5 + 2 * number).into());
        let shown: String = lines.iter().map(|line| format!("({line}) Tj T*\n")).collect();
        objects.push(make::deflated("", format!("BT /F1 11 Tf 14 TL 50 790 Td\n{shown}ET").as_bytes()));
    }
    make::pdf(&objects, "")
}

/// A large file into the store's format, its SHA-256 with it, and out again.
fn sealing(table: &mut Table) {
    let plain = vec![0x5a; 64 << 20];
    let id = SegmentId { parcel: [9; 16], part: 1, segment: 0 };
    let key = Secret::new([5; 32]);
    let mut octets = Vec::new();
    let sealing = repeat(|| {
        octets.clear();
        stream::seal(&key, id, &mut &plain[..], &mut octets).unwrap();
    });
    let opening = repeat(|| {
        let mut reader = stream::open(&key, id, Box::new(octets.clone()), 0..plain.len() as u64).unwrap();
        io::copy(&mut reader, &mut io::sink()).unwrap();
    });
    let copying = repeat(|| drop(std::hint::black_box(octets.clone())));
    let gigabytes = plain.len() as f64 / 1e9;
    table.note("sealing-GB-per-s", gigabytes / sealing, "GB/s sealed, with SHA-256");
    table.note("opening-GB-per-s", gigabytes / (opening - copying), "GB/s opened");
}

fn admd() -> Admd {
    Admd {
        domains: vec![Domain::parse("example.org").unwrap()],
        hostname: Domain::parse("mail.example.org").unwrap(),
        postmaster: Mailbox::parse("postmaster@example.org").unwrap(),
    }
}

/// Median seconds of CPU that something takes: of what else the machine does, only caches are felt.
fn repeat(mut work: impl FnMut()) -> f64 {
    work();
    let mut times = Vec::new();
    while times.len() < 5 || times.iter().sum::<f64>() < 0.7 {
        let before = cpu();
        work();
        times.push((cpu() - before).as_secs_f64());
    }
    median(times)
}

/// Of the whole process, whatever threads it uses.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
