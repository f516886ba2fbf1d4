//! docx, xlsx, pptx.

use waxseal::extract::Why;

use super::make::{docx, paragraph, xlsx, zip};
use super::{extract, text, whys};

#[test]
fn words_of_a_document_are_whole_however_they_are_cut_into_runs() {
    let body = r#"<w:p><w:r><w:t>pass</w:t></w:r><w:proofErr w:type="x"/><w:r><w:rPr><w:vanish/></w:rPr><w:t xml:space="preserve">word </w:t></w:r>
        <w:r><w:instrText>HYPERLINK</w:instrText></w:r><w:r><w:t>is</w:t><w:tab/><w:t>h&#xe5;r</w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>
        <w:p><w:r><w:drawing><wp:anchor><wp:posOffset>12345678</wp:posOffset><wp:docPr descr="a picture of Ann"/></wp:anchor></w:drawing></w:r></w:p>
        <w:tbl><w:tr><w:tc><w:p><w:r><w:t>left</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>right</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"#;
    let parts: [(&str, &[u8]); 6] = [
        ("word/comments.xml", b"<w:comments><w:comment w:author='Bo'><w:p><w:r><w:t>a comment</w:t></w:r></w:p></w:comment></w:comments>"),
        ("word/footnotes.xml", b"<w:f><w:p><w:r><w:t>a footnote</w:t></w:r></w:p></w:f>"),
        ("word/header1.xml", b"<w:h><w:p><w:r><w:t>a header</w:t></w:r></w:p></w:h>"),
        ("customXml/item1.xml", b"<data patient='850709-9805'><n>custom</n></data>"),
        ("docProps/core.xml", b"<p><dc:title>a title</dc:title><dc:creator>Ann</dc:creator></p>"),
        ("word/embeddings/inner.docx", &docx(&paragraph("inside"), &[])),
    ];
    let found = extract("a.docx", docx(body, &parts));
    let all = text(&found);
    for expect in [
        "password is\thår",
        "gone",
        "HYPERLINK",
        "left",
        "right",
        "a picture of Ann",
        "a comment",
        "Bo",
        "a footnote",
        "a header",
        "850709-9805",
        "custom",
        "a title",
        "inside",
    ] {
        assert!(all.contains(expect), "{expect}: {all}");
    }
    assert!(!all.contains("12345678"), "positions are not text");
    assert!(found.unread.is_empty(), "{:?}", found.unread);
    assert!(found.passages[0].place.is_empty());
    assert!(found.passages.iter().any(|passage| passage.place == ["word/embeddings/inner.docx"] && passage.text.trim() == "inside"));
    assert!(found.passages.iter().any(|passage| passage.place == ["header 1"]));
    assert_eq!(found.types[0], "application/vnd.openxmlformats-officedocument.wordprocessingml.document");
}

#[test]
fn cells_are_found_with_their_sheet_and_range_hidden_or_not() {
    let rows = r#"<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="inlineStr"><is><t>pnr</t></is></c></row>
        <row r="2" hidden="1"><c r="A2" t="str"><f>CONCAT("se","cret")</f><v>Bo</v></c><c r="B2"><v>1.98507099805E11</v></c></row>"#;
    let single = r#"<row r="7"><c r="C7"><v>4711</v></c></row>"#.to_owned();
    let parts: [(&str, &[u8]); 2] = [
        ("xl/comments1.xml", b"<comments><comment ref='A1'><text><t>a note</t></text></comment></comments>"),
        ("xl/printerSettings/printerSettings1.bin", b"\x01\x00P\x00r\x00i\x00n\x00t\x00e\x00r\x00\x00\x02\x03"),
    ];
    let found = extract("list.xlsx", xlsx(&[("Staff", rows.to_owned()), ("Hidden", single)], &["Ann"], &parts));
    assert!(found.unread.is_empty(), "{:?}", found.unread);
    let at = |place: &str| found.passages.iter().find(|passage| passage.place == [place]).map(|passage| passage.text.as_str());
    assert_eq!(at("Staff!A1:B2"), Some("Ann\tpnr\nBo\t198507099805\n"), "{:?}", found.passages);
    assert_eq!(at("Hidden!C7"), Some("4711\n"));
    assert!(text(&found).contains("a note") && text(&found).contains("CONCAT(\"se\",\"cret\")"));
}

#[test]
fn slides_and_their_notes_are_read_in_order() {
    let slide = |words: &str| format!("<p:sld><p:txBody><a:p><a:r><a:t>{words}</a:t></a:r></a:p></p:txBody></p:sld>");
    let found = extract(
        "a.pptx",
        zip(&[
            ("[Content_Types].xml", "<Types/>".to_owned()),
            ("ppt/presentation.xml", "<p/>".to_owned()),
            ("ppt/slides/slide10.xml", slide("ten")),
            ("ppt/slides/slide2.xml", slide("two")),
            ("ppt/notesSlides/notesSlide2.xml", slide("note")),
            ("ppt/media/image1.png", "\u{89}PNG".to_owned()),
        ]),
    );
    let all = text(&found);
    assert!(all.find("two").unwrap() < all.find("ten").unwrap() && all.contains("note"), "{all}");
    assert!(found.passages.iter().any(|passage| passage.place == ["slide 10"]));
}

#[test]
fn what_a_document_hides_from_us_is_named() {
    for (part, content, why) in [
        ("word/vbaProject.bin", &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1, 0, 0][..], Why::Unknown),
        ("word/media/image1.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", Why::Opaque),
        ("word/fonts/font1.odttf", b"\x99\x88\x77", Why::Opaque),
        ("word/footer1.xml", b"<!DOCTYPE x [<!ENTITY a 'secret'>]><w:p>&a;</w:p>", Why::Damaged),
        ("word/header2.xml", b"<w:p><w:t>cut off", Why::Damaged),
        ("word/afchunk.rtf", b"{\\rtf1 words}", Why::Unknown),
    ] {
        let found = extract("a.docx", docx(&paragraph("body"), &[(part, content)]));
        assert_eq!(whys(&found), [why], "{part}");
        assert!(text(&found).contains("body"), "{part}");
    }
}

#[test]
fn an_encrypted_document_is_encrypted_and_an_old_one_unknown() {
    let mut encrypted = vec![0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];
    encrypted.resize(600, 0);
    let old = encrypted.clone();
    encrypted.extend("EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes));
    assert_eq!(whys(&extract("a.docx", encrypted)), [Why::Encrypted]);
    assert_eq!(whys(&extract("a.doc", old)), [Why::Unknown]);
}

#[test]
fn an_open_document_is_known_by_name_and_not_read() {
    let found = extract("a.odt", zip(&[("mimetype", "application/vnd.oasis.opendocument.text"), ("content.xml", "<x>words</x>")]));
    assert_eq!(whys(&found), [Why::Unknown]);
    assert!(found.types.contains(&"application/vnd.oasis.opendocument".to_owned()));
}

#[test]
fn megabyte_documents_are_read_in_good_time() {
    let line = "The quick brown fox number ";
    let body: String = (0..40_000_u32).map(|i| paragraph(&format!("{line}{}", i.wrapping_mul(2_654_435_761)))).collect();
    let rows: String = (1..30_000_u32)
        .map(|r| {
            format!(r#"<row r="{r}"><c r="A{r}"><v>{}</v></c><c r="B{r}" t="s"><v>{}</v></c></row>"#, r.wrapping_mul(2_654_435_761), r % 2)
        })
        .collect();
    let extractor = super::extractor();
    // The first job also starts the worker.
    extractor.extract("w.zip", "", &zip(&[("a", "b")]).into());
    for (name, content) in [("a.docx", docx(&body, &[])), ("a.xlsx", xlsx(&[("S", rows)], &["Ann", "Bo"], &[]))] {
        let content = bytes::Bytes::from(content);
        let begun = std::time::Instant::now();
        let found = extractor.extract(name, "", &content);
        println!("{name}: {} octets, {} of text in {:?}", content.len(), text(&found).len(), begun.elapsed());
        assert!(found.unread.is_empty() && !found.passages.is_empty());
        assert!(begun.elapsed().as_secs() < 10);
    }
}
