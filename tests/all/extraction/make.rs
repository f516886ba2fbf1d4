//! Real files, made here so that a reader sees what is in them.

use std::io::{Cursor, Write};

use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

/// An archive with these entries, deflated.
pub fn zip<N: AsRef<str>, C: AsRef<[u8]>>(entries: &[(N, C)]) -> Vec<u8> {
    zip_as(CompressionMethod::Deflated, entries)
}

pub fn zip_as<N: AsRef<str>, C: AsRef<[u8]>>(method: CompressionMethod, entries: &[(N, C)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        writer.start_file(name.as_ref(), SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(content.as_ref()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// An archive of one stored entry with this in place of its data descriptor. APPNOTE.TXT 4.3.9.
pub fn with_descriptor(name: &str, content: &[u8], descriptor: &[u8]) -> Vec<u8> {
    let mut check = flate2::Crc::new();
    check.update(content);
    let sums = [check.sum(), content.len() as u32, content.len() as u32].map(u32::to_le_bytes).concat();
    let (length, flags) = ((name.len() as u16).to_le_bytes(), [8, 0]);
    let common = |sums: &[u8]| [&[20, 0][..], &flags, &[0; 6], sums, &length, &[0; 2]].concat();
    let mut archive = [b"PK\x03\x04", common(&[0; 12]).as_slice(), name.as_bytes(), content, descriptor].concat();
    let directory = [b"PK\x01\x02", &[20, 0][..], &common(&sums), &[0; 14], name.as_bytes()].concat();
    let place = [directory.len() as u32, archive.len() as u32].map(u32::to_le_bytes).concat();
    archive.extend_from_slice(&directory);
    archive.extend_from_slice(&[b"PK\x05\x06\0\0\0\0\x01\0\x01\0", place.as_slice(), &[0; 2]].concat());
    archive
}

/// The archive with a comment, which stands at its very end.
pub fn with_comment(mut archive: Vec<u8>, comment: &[u8]) -> Vec<u8> {
    let length = archive.len() - 2;
    archive[length..].copy_from_slice(&u16::try_from(comment.len()).unwrap().to_le_bytes());
    archive.extend_from_slice(comment);
    archive
}

/// A `winmail.dat` as Outlook writes it: a text, and files by name. [MS-OXTNEF] 2.1.3.
pub fn tnef(text: &str, files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x9f, 0x3e, 0x22, 0x01, 0x00];
    let mut attribute = |level: u8, id: u32, data: &[u8]| {
        stream.push(level);
        stream.extend_from_slice(&id.to_le_bytes());
        stream.extend_from_slice(&u32::try_from(data.len()).unwrap().to_le_bytes());
        stream.extend_from_slice(data);
        let sum = data.iter().fold(0_u16, |sum, &octet| sum.wrapping_add(octet.into()));
        stream.extend_from_slice(&sum.to_le_bytes());
    };
    let ended = |text: &str| [text.as_bytes(), &[0]].concat();
    attribute(1, 0x0008_9006, &0x0001_0000_u32.to_le_bytes());
    attribute(1, 0x0006_9007, &[0xe4, 0x04, 0, 0, 0, 0, 0, 0]);
    attribute(1, 0x0007_8008, &ended("IPM.Microsoft Mail.Note"));
    attribute(1, 0x0001_8004, &ended("a subject"));
    attribute(1, 0x0002_800c, &ended(text));
    for (name, content) in files {
        attribute(2, 0x0006_9002, &[1, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
        attribute(2, 0x0001_8010, &ended(name));
        attribute(2, 0x0006_800f, content);
    }
    stream
}

const TYPES: &str =
    r#"<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>"#;

/// A document with this XML inside `w:body` and further parts.
pub fn docx(body: &str, parts: &[(&str, &[u8])]) -> Vec<u8> {
    let document = format!(
        r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>{body}</w:body></w:document>"#
    );
    let mut entries: Vec<(&str, &[u8])> = vec![("[Content_Types].xml", TYPES.as_bytes()), ("word/document.xml", document.as_bytes())];
    entries.extend_from_slice(parts);
    zip(&entries)
}

pub fn paragraph(text: &str) -> String {
    format!("<w:p><w:r><w:t>{text}</w:t></w:r></w:p>")
}

/// A workbook: sheets by name and XML of `sheetData`, shared strings, further parts.
pub fn xlsx(sheets: &[(&str, String)], strings: &[&str], parts: &[(&str, &[u8])]) -> Vec<u8> {
    let list: String = sheets
        .iter()
        .enumerate()
        .map(|(i, (name, _))| format!(r#"<sheet name="{name}" sheetId="{i}" r:id="rId{i}" state="hidden"/>"#))
        .collect();
    let workbook = format!(r#"<workbook xmlns:r="r"><sheets>{list}</sheets></workbook>"#);
    let relations: String =
        (0..sheets.len()).map(|i| format!(r#"<Relationship Id="rId{i}" Type="worksheet" Target="worksheets/sheet{i}.xml"/>"#)).collect();
    let relations = format!("<Relationships>{relations}</Relationships>");
    let shared: String = strings.iter().map(|string| format!("<si><r><t>{string}</t></r></si>")).collect();
    let shared = format!("<sst>{shared}</sst>");
    let mut entries: Vec<(String, Vec<u8>)> = vec![
        ("[Content_Types].xml".into(), TYPES.into()),
        ("xl/workbook.xml".into(), workbook.into()),
        ("xl/_rels/workbook.xml.rels".into(), relations.into()),
        ("xl/sharedStrings.xml".into(), shared.into()),
    ];
    for (i, (_, data)) in sheets.iter().enumerate() {
        entries.push((format!("xl/worksheets/sheet{i}.xml"), format!("<worksheet><sheetData>{data}</sheetData></worksheet>").into()));
    }
    entries.extend(parts.iter().map(|(name, content)| ((*name).to_owned(), content.to_vec())));
    zip(&entries)
}

/// A PDF from its objects, numbered from 1; the first is the catalogue.
pub fn pdf(objects: &[Vec<u8>], trailer: &str) -> Vec<u8> {
    let mut file = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n".to_vec();
    let mut places = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        places.push(file.len());
        file.extend_from_slice(format!("{} 0 obj\n", index + 1).as_bytes());
        file.extend_from_slice(object);
        file.extend_from_slice(b"\nendobj\n");
    }
    let start = file.len();
    file.extend_from_slice(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).as_bytes());
    for place in places {
        file.extend_from_slice(format!("{place:010} 00000 n \n").as_bytes());
    }
    file.extend_from_slice(
        format!("trailer\n<< /Size {} /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n", objects.len() + 1).as_bytes(),
    );
    file
}

pub fn stream(dictionary: &str, content: &[u8]) -> Vec<u8> {
    let mut object = format!("<< {dictionary} /Length {} >>\nstream\n", content.len()).into_bytes();
    object.extend_from_slice(content);
    object.extend_from_slice(b"\nendstream");
    object
}

pub fn deflated(dictionary: &str, content: &[u8]) -> Vec<u8> {
    stream(&format!("{dictionary} /Filter /FlateDecode"), &zlib(content))
}

pub fn zlib(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// One page with this content stream in Helvetica; further objects from number 6 on.
pub fn page(content: Vec<u8>, more: &[Vec<u8>], catalogue: &str) -> Vec<u8> {
    let mut objects: Vec<Vec<u8>> = vec![
        format!("<< /Type /Catalog /Pages 2 0 R {catalogue} >>").into(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R /F2 6 0 R >> /XObject << /X1 7 0 R >> >> >>".to_vec(),
        content,
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_vec(),
    ];
    objects.extend_from_slice(more);
    pdf(&objects, "")
}
