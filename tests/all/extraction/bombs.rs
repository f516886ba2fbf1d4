//! Files that are small outside and endless inside.

use std::io::Write;
use std::time::{Duration, Instant};

use waxseal::extract::{Extracted, Why};

use super::make::{deflated, docx, page, paragraph, stream, xlsx, zip, zlib};
use super::{extract, whys};

fn over(name: &str, content: Vec<u8>) -> Extracted {
    let begun = Instant::now();
    let found = extract(name, content);
    assert!(begun.elapsed() < Duration::from_secs(31), "{name}: {:?}", begun.elapsed());
    found
}

/// Not read: counted out by the budget, or ended by the system when the worker asked for more memory
/// than it may have. Which of the two comes first depends on how much the worker's own code takes.
fn assert_refused(found: &Extracted) {
    let refused = |why: &Why| matches!(why, Why::OverBudget | Why::Damaged);
    assert!(!found.unread.is_empty() && whys(found).iter().all(refused), "{:?}", found.unread);
}

#[test]
fn an_archive_of_zeros_is_over_budget() {
    let mut writer = zip::write::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file("zeros.txt", zip::write::SimpleFileOptions::default()).unwrap();
    for _ in 0..60 {
        writer.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let found = over("bomb.zip", writer.finish().unwrap().into_inner());
    assert_eq!(whys(&found), [Why::OverBudget]);
}

#[test]
fn ten_archives_in_each_other_are_too_deep() {
    let mut content = zip(&[("a.txt", "the bottom")]);
    for _ in 0..10 {
        content = zip(&[("inner.zip", content)]);
    }
    let found = over("deep.zip", content);
    assert_eq!(whys(&found), [Why::OverBudget]);
    assert_eq!(found.unread[0].place.len(), 9);
}

#[test]
fn a_hundred_thousand_entries_are_too_many() {
    let names: Vec<(String, &str)> = (0..100_000).map(|i| (format!("{i}.txt"), "")).collect();
    assert_refused(&over("many.zip", zip(&names)));
}

#[test]
fn sizes_that_lie_allocate_nothing() {
    for (field, value) in [(20, u32::MAX - 1), (24, u32::MAX - 1), (20, u32::MAX), (24, u32::MAX), (42, u32::MAX)] {
        let mut content = zip(&[("a.txt", "words")]);
        let at = content.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
        content[at + field..at + field + 4].copy_from_slice(&value.to_le_bytes());
        assert_eq!(whys(&over("lie.zip", content)), [Why::Damaged], "{field}");
    }
    // The 64-bit directory far outside.
    let mut content = zip(&[("a.txt", "words")]);
    let end = content.split_off(content.len() - 22);
    let place = content.len() as u64;
    content.extend_from_slice(b"PK\x06\x06");
    content.extend_from_slice(&44_u64.to_le_bytes());
    content.extend_from_slice(&[45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for _ in 0..4 {
        content.extend_from_slice(&(u64::MAX - 7).to_le_bytes());
    }
    content.extend_from_slice(b"PK\x06\x07\0\0\0\0");
    content.extend_from_slice(&place.to_le_bytes());
    content.extend_from_slice(&1_u32.to_le_bytes());
    content.extend_from_slice(&end);
    assert_eq!(whys(&over("lie64.zip", content)), [Why::Damaged]);
}

#[test]
fn entities_are_never_expanded() {
    let levels: String = (1..10).map(|i| format!("<!ENTITY e{i} \"{}\">", format!("&e{};", i - 1).repeat(10))).collect();
    let part = format!("<!DOCTYPE x [<!ENTITY e0 \"ha\">{levels}]><x>&e9;</x>");
    let found = over("laughs.docx", docx(&paragraph("body"), &[("word/footer1.xml", part.as_bytes())]));
    assert_eq!(whys(&found), [Why::Damaged]);
}

#[test]
fn one_long_string_in_every_cell_is_over_budget() {
    let long = "x".repeat(1 << 20);
    let cells: String = (1..200).map(|r| format!(r#"<row r="{r}"><c r="A{r}" t="s"><v>0</v></c></row>"#)).collect();
    assert_refused(&over("cells.xlsx", xlsx(&[("S", cells)], &[&long], &[])));
}

#[test]
fn deep_xml_and_deep_html_cost_no_stack() {
    let deep = format!("{}<w:t>bottom</w:t>{}", "<w:a>".repeat(300_000), "</w:a>".repeat(300_000));
    let found = over("deep.docx", docx(&deep, &[]));
    assert!(super::text(&found).contains("bottom"), "{:?}", found.unread);
}

#[test]
fn a_chain_of_filters_is_over_budget() {
    let mut content = vec![b' '; 200 << 20];
    for _ in 0..2 {
        content = zlib(&content);
    }
    let chained = stream("/Filter [/FlateDecode /FlateDecode]", &content);
    let found = over("chain.pdf", page(chained, &[], ""));
    assert_refused(&found);
}

#[test]
fn forms_that_draw_each_other_end() {
    let form = |inner: &str| {
        stream(
            &format!("/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /A {inner} /B {inner} >> >>"),
            b"/A Do /B Do /A Do /B Do",
        )
    };
    let mut more: Vec<Vec<u8>> = vec![b"<< >>".to_vec()];
    for next in 8..40 {
        more.push(form(&format!("{next} 0 R")));
    }
    more.push(form("7 0 R"));
    let found = over("forms.pdf", page(stream("", b"/X1 Do"), &more, ""));
    assert!(!found.unread.is_empty());
}

#[test]
fn a_deep_pdf_object_ends_in_words_not_in_a_crash_of_ours() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let found = over("deep.pdf", page(deflated("", b"BT /F1 12 Tf (words) Tj ET"), &[deep.into_bytes()], ""));
    assert!(!found.unread.is_empty() || super::text(&found).contains("words"));
}

#[test]
fn garbage_of_every_type_is_never_clean() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut noise = |length: usize| -> Vec<u8> {
        std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .take(length)
        .collect()
    };
    let extractor = super::extractor();
    for head in [&b"PK\x03\x04"[..], b"%PDF-1.7\n", &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1], b"PK\x05\x06", b""] {
        for length in [0, 10, 1000, 100_000] {
            let content = [head, &[0xff, 0x00], &noise(length)].concat();
            let found = extractor.extract("noise", "", &content.into());
            assert!(!found.unread.is_empty(), "{head:?} {length}");
        }
    }
    let entries = zip(&[
        ("a.docx", docx(&paragraph("x"), &[("word/comments.xml", &noise(500))])),
        ("b.pdf", [b"%PDF-1.4\n".to_vec(), noise(5000)].concat()),
    ]);
    assert!(extract("mixed.zip", entries).unread.len() >= 2);
}
