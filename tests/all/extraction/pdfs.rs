//! PDF documents, written by hand.

use waxseal::extract::Why;

use super::make::{deflated, docx, page, paragraph, pdf, stream};
use super::{extract, text, whys};

const TO_UNICODE: &[u8] = b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def
1 begincodespacerange <00> <ff> endcodespacerange
2 beginbfchar <01> <0053> <02> <0065> endbfchar
1 beginbfrange <03> <05> <0063> endbfrange
endcmap CMapName currentdict /CMap defineresource pop end end";

#[test]
fn words_are_whole_however_they_are_placed() {
    for (content, expect) in [
        ("BT /F1 12 Tf 10 10 Td (Hello world) Tj ET", "Hello world"),
        ("BT /F1 12 Tf [(pass) -20 (wo) 15 (rd)] TJ ET", "password"),
        ("BT /F1 12 Tf [(two) -400 (words)] TJ ET", "two words"),
        ("BT /F1 12 Tf (one) Tj 0 -14 Td (two) Tj T* (three) Tj (four) ' ET", "one\ntwo\nthree\nfour"),
        ("BT /F1 12 Tf (a) Tj 6.6 0 Td (b) Tj 6.6 0 Td (c) Tj ET", "abc"),
        ("BT /F1 12 Tf (left) Tj 200 0 Td (right) Tj ET", "left right"),
        ("BT /F1 12 Tf <48656c6c6f> Tj ( \\050x\\051) Tj ET", "Hello (x)"),
        ("BT /F1 12 Tf (h\\345r) Tj ET", "hår"),
        ("BT /F9 12 Tf (no such font) Tj ET", "no such font"),
        ("BT /F1 1 Tf 12 0 0 12 50 700 Tm (Jo) Tj 12 0 0 12 62 700 Tm (hn) Tj ET", "John"),
    ] {
        let found = extract("a.pdf", page(deflated("", content.as_bytes()), &[], ""));
        assert_eq!(text(&found).trim(), expect, "{content}");
        assert!(found.unread.is_empty(), "{content} {:?}", found.unread);
        assert_eq!(found.passages[0].place, ["page 1"]);
    }
}

#[test]
fn a_font_that_remaps_its_codes_is_followed() {
    let font = b"<< /Type /Font /Subtype /TrueType /BaseFont /X /Encoding /WinAnsiEncoding /ToUnicode 8 0 R >>".to_vec();
    let more = [font, b"<< >>".to_vec(), stream("", TO_UNICODE)];
    let found = extract("a.pdf", page(stream("", b"BT /F2 12 Tf <0102030405> Tj ET"), &more, ""));
    assert_eq!(text(&found).trim(), "Secde");
}

#[test]
fn a_font_without_a_way_to_letters_is_unknown_and_a_scan_opaque() {
    let font = b"<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H /DescendantFonts [] >>".to_vec();
    let found = extract("a.pdf", page(stream("", b"BT /F2 12 Tf <00010002> Tj ET"), &[font], ""));
    assert!(whys(&found).contains(&Why::Unknown), "{found:?}");
    let image = stream("/Type /XObject /Subtype /Image /Width 1 /Height 1 /BitsPerComponent 8 /ColorSpace /DeviceGray", b"x");
    let found = extract("a.pdf", page(stream("", b"q 100 0 0 100 0 0 cm /X1 Do Q"), &[b"<< >>".to_vec(), image], ""));
    assert_eq!(whys(&found), [Why::Opaque]);
    assert_eq!(found.unread[0].place, ["page 1"]);
}

#[test]
fn forms_notes_fields_titles_and_files_are_found() {
    let form =
        stream("/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /Font << /F1 5 0 R >> >>", b"BT /F1 9 Tf (in a form) Tj ET");
    let more = [
        b"<< >>".to_vec(),
        form,
        b"<< /Type /Annot /Subtype /Text /Contents (a sticky note) >>".to_vec(),
        b"<< /FT /Tx /T (name) /V <feff00d6> >>".to_vec(),
        b"<< /Type /Filespec /F (inner.docx) /EF << /F 11 0 R >> >>".to_vec(),
        deflated("/Type /EmbeddedFile", &docx(&paragraph("deep inside"), &[])),
        stream("/Type /Metadata /Subtype /XML", b"<x:xmpmeta><dc:title>metadata title</dc:title></x:xmpmeta>"),
    ];
    let found = extract("a.pdf", page(stream("", b"BT /F1 12 Tf (on the page) Tj ET /X1 Do"), &more, ""));
    let all = text(&found);
    for expect in ["on the page", "in a form", "a sticky note", "Ö", "deep inside", "metadata title"] {
        assert!(all.contains(expect), "{expect}: {all}");
    }
    assert!(found.names.contains(&vec!["inner.docx".to_owned()]));
    assert!(found.passages.iter().any(|passage| passage.place == ["inner.docx"]), "{:?}", found.passages);
    assert!(found.unread.is_empty(), "{:?}", found.unread);
}

#[test]
fn an_encrypted_document_is_encrypted() {
    let encrypt = b"<< /Filter /Standard /V 1 /R 2 /O <00000000000000000000000000000000000000000000000000000000000000aa> /U <00000000000000000000000000000000000000000000000000000000000000aa> /P -4 >>".to_vec();
    let objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R >>".to_vec(),
        stream("", b"BT (x) Tj ET"),
        encrypt,
    ];
    let found = extract("a.pdf", pdf(&objects, "/Encrypt 5 0 R /ID [<00> <00>]"));
    assert_eq!(whys(&found), [Why::Encrypted]);
    assert!(found.passages.is_empty());
}

#[test]
fn what_an_earlier_revision_said_is_found() {
    let mut file = page(stream("", b"BT /F1 12 Tf (the first version) Tj ET"), &[], "");
    let start = String::from_utf8_lossy(&file).rsplit("startxref\n").next().unwrap().lines().next().unwrap().to_owned();
    let place = file.len();
    file.extend_from_slice(b"4 0 obj\n");
    file.extend_from_slice(&stream("", b"BT /F1 12 Tf (the second version) Tj ET"));
    file.extend_from_slice(b"\nendobj\n");
    let table = file.len();
    file.extend_from_slice(
        format!("xref\n4 1\n{place:010} 00000 n \ntrailer\n<< /Size 6 /Root 1 0 R /Prev {start} >>\nstartxref\n{table}\n%%EOF\n")
            .as_bytes(),
    );
    let all = text(&extract("a.pdf", file));
    assert!(all.contains("the second version") && all.contains("the first version"), "{all}");
}

#[test]
fn objects_in_streams_are_read() {
    let mut document = lopdf::Document::load_mem(&page(deflated("", b"BT /F1 12 Tf (packed words) Tj ET"), &[], "")).unwrap();
    let mut packed = Vec::new();
    document.save_modern(&mut packed).unwrap();
    assert!(packed.windows(7).any(|w| w == b"/ObjStm"));
    let found = extract("a.pdf", packed);
    assert_eq!(text(&found).trim(), "packed words");
}

#[test]
fn a_megabyte_is_read_in_good_time() {
    let mut content = String::from("BT /F1 12 Tf\n");
    for i in 0..40_000_u32 {
        content.push_str(&format!("0 -14 Td (The quick brown fox number {}) Tj\n", i.wrapping_mul(2_654_435_761)));
    }
    content.push_str("ET");
    for (case, object) in [("plain", stream("", content.as_bytes())), ("deflated", deflated("", content.as_bytes()))] {
        let file = bytes::Bytes::from(page(object, &[], ""));
        let extractor = super::extractor();
        extractor.extract("w.pdf", "", &page(stream("", b""), &[], "").into());
        let begun = std::time::Instant::now();
        let found = extractor.extract("a.pdf", "", &file);
        println!("pdf {case}: {} octets in {:?}", file.len(), begun.elapsed());
        assert!(found.unread.is_empty() && text(&found).contains("fox number"));
        assert!(begun.elapsed().as_secs() < 10);
    }
}
