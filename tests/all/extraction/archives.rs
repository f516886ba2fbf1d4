//! Archives that are what they say, and archives that are not.

use waxseal::extract::Why;

use super::make::{zip, zip_as};
use super::{extract, text, whys};

#[test]
fn archives_are_read_to_the_leaf() {
    let inner = zip(&[("list.csv", "Ann,850709-9805\n"), ("note.html", "<html><p>in<b>side</b></p>")]);
    let found =
        extract("a.zip", zip(&[("folder/inner.zip", inner), ("../../etc/passwd", b"climbing".to_vec()), ("C:\\x.txt", b"drive".to_vec())]));
    assert!(found.unread.is_empty(), "{:?}", found.unread);
    assert!(found.passages.iter().any(|passage| passage.place == ["folder/inner.zip", "list.csv"] && passage.text.contains("850709-9805")));
    assert!(text(&found).contains("inside") && text(&found).contains("climbing") && text(&found).contains("drive"));
    assert!(found.names.contains(&vec!["folder/inner.zip".to_owned(), "note.html".to_owned()]));
    assert!(found.names.contains(&vec!["../../etc/passwd".to_owned()]), "a name is text and nothing else");
}

#[test]
fn both_ways_of_writing_and_an_empty_archive_are_fine() {
    let stored = zip_as(zip::CompressionMethod::Stored, &[("a.txt", "stored words")]);
    assert_eq!(text(&extract("a.zip", stored)), "stored words");
    let empty: [(&str, &str); 0] = [];
    assert_eq!(whys(&extract("a.zip", zip(&empty))), []);
    // Written as a stream: sizes stand behind the data.
    let mut writer = zip::write::ZipWriter::new_stream(Vec::new());
    writer.start_file("a.txt", zip::write::SimpleFileOptions::default()).unwrap();
    std::io::Write::write_all(&mut writer, b"streamed words").unwrap();
    writer.start_file("b.txt", zip::write::SimpleFileOptions::default().large_file(true)).unwrap();
    std::io::Write::write_all(&mut writer, b"long words").unwrap();
    let streamed = writer.finish().unwrap().into_inner();
    assert_eq!(text(&extract("a.zip", streamed)), "streamed words\nlong words");
}

/// Replaces the n-th occurrence.
fn patch(mut content: Vec<u8>, from: &[u8], to: &[u8], nth: usize) -> Vec<u8> {
    let at = content
        .windows(from.len())
        .enumerate()
        .filter(|(_, window)| *window == from)
        .map(|(at, _)| at)
        .nth(nth)
        .expect("what is patched is there");
    content[at..at + to.len()].copy_from_slice(to);
    content
}

#[test]
fn an_archive_that_can_be_read_in_two_ways_is_damaged() {
    let plain = || zip(&[("aaaa.txt", "the first words"), ("bbbb.txt", "other words")]);
    let prefixed = [b"junk before".to_vec(), plain()].concat();
    let twice = [plain(), plain()].concat();
    let picture = [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(), plain()].concat();
    let flags = {
        let at = plain().windows(4).position(|w| w == b"PK\x01\x02").unwrap();
        let mut c = plain();
        c[at + 10] = 0;
        c
    };
    let size = {
        let at = plain().windows(4).position(|w| w == b"PK\x01\x02").unwrap();
        let mut c = plain();
        c[at + 24] = 1;
        c
    };
    let count = {
        let mut c = plain();
        let at = c.len() - 22;
        c[at + 8] = 1;
        c[at + 10] = 1;
        c
    };
    for (case, content) in [
        ("octets before", prefixed),
        ("two archives", twice),
        ("a picture with an archive behind it", picture),
        ("another name in the directory", patch(plain(), b"aaaa.txt", b"cccc.txt", 1)),
        ("the same name twice", patch(patch(plain(), b"bbbb.txt", b"aaaa.txt", 0), b"bbbb.txt", b"aaaa.txt", 0)),
        ("another method in the directory", flags),
        ("another size in the directory", size),
        ("fewer entries than there are", count),
        ("cut off", plain()[..60].to_vec()),
        ("two entries from the same place", {
            let at = plain().windows(4).enumerate().filter(|(_, w)| *w == b"PK\x01\x02").map(|(at, _)| at).nth(1).unwrap();
            let mut c = plain();
            c[at + 42..at + 46].copy_from_slice(&0_u32.to_le_bytes());
            c
        }),
    ] {
        let found = extract("a.zip", content);
        assert!(whys(&found).contains(&Why::Damaged), "{case}: {found:?}");
    }
}

#[test]
fn a_wrong_checksum_damages_its_entry_only() {
    let content = zip_as(zip::CompressionMethod::Stored, &[("a.txt", "first words"), ("b.txt", "other words")]);
    let found = extract("a.zip", patch(content, b"first", b"fires", 0));
    assert_eq!(text(&found), "other words");
    assert_eq!(found.unread.len(), 1);
    assert_eq!((found.unread[0].place.as_slice(), found.unread[0].why), (&["a.txt".to_owned()][..], Why::Damaged));
}

#[test]
fn an_entry_behind_a_password_is_encrypted_and_its_name_is_known() {
    let mut content = zip(&[("salaries.txt", "words")]);
    let at = content.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    content[6] |= 1;
    content[at + 8] |= 1;
    let found = extract("a.zip", content);
    assert_eq!(whys(&found), [Why::Encrypted]);
    assert_eq!(found.names, [vec!["salaries.txt".to_owned()]]);
}

#[test]
fn formats_that_are_not_read_are_named_and_never_clean() {
    for (name, content, why) in [
        ("winmail.dat", &[0x78, 0x9f, 0x3e, 0x22, 1, 0][..], Why::Unknown),
        ("a.tar.gz", &[0x1f, 0x8b, 8, 0, 0, 0], Why::Unknown),
        ("a.7z", b"7z\xbc\xaf\x27\x1c\0\x04", Why::Unknown),
        ("a.rar", b"Rar!\x1a\x07\x01\0", Why::Unknown),
        ("a.exe", b"MZ\x90\0\x03", Why::Unknown),
        ("a.rtf", b"{\\rtf1}", Why::Unknown),
        ("a.p7m", &[0x30, 0x82, 0x01, 0x00, 0x06, 0x09, 0x2a], Why::Unknown),
        ("a.asc", b"-----BEGIN PGP MESSAGE-----\n\nabc", Why::Encrypted),
        ("a.jpg", &[0xff, 0xd8, 0xff, 0xe0, 0, 0x10], Why::Opaque),
        ("a.mp3", b"ID3\x04\0\0\0\0", Why::Opaque),
        ("a.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0", Why::Opaque),
        ("a.woff2", b"wOF2\0\x01\0\0", Why::Opaque),
        ("a.bin", &[0, 1, 2, 3, 4, 0xff], Why::Unknown),
    ] {
        let found = extract(name, content.to_vec());
        assert_eq!(whys(&found), [why], "{name} {:?}", found.types);
    }
}

#[test]
fn a_declared_type_is_not_believed() {
    let archive = zip(&[("a.txt", "secret words")]);
    let found = super::extractor().extract("photo.jpg", "image/jpeg", &archive.into());
    assert_eq!(text(&found), "secret words");
    let found = super::extractor().extract("photo.jpg", "image/jpeg", &b"plain words".to_vec().into());
    assert_eq!(text(&found), "plain words");
}

#[test]
fn plain_text_needs_no_worker() {
    let extractor = waxseal::extract::Extractor::new("/nonexistent".into(), 1);
    assert_eq!(text(&extractor.extract("a.csv", "text/csv", &b"a;b\nc;d".to_vec().into())), "a;b\nc;d");
    assert_eq!(text(&extractor.extract("a.html", "text/html", &b"<p>a<p>b".to_vec().into())), "a\nb");
    let found = extractor.extract("a.zip", "", &zip(&[("a", "b")]).into());
    assert_eq!(whys(&found), [Why::Damaged], "a worker that cannot be started reads nothing");
}
