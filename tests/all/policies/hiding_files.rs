//! Hiding places in files, and in files in files.

use data_encoding::BASE64;

use super::hiding::{Case, b64, case, multipart, part, top};
use crate::extraction::make;

#[expect(clippy::too_many_lines, reason = "a table: one line for each hiding place")]
pub fn as_files() -> Vec<Case> {
    let file = |name: &'static str, fields: &'static str, content: fn(&str) -> Vec<u8>| {
        case(name, move |s| part(&format!("{fields}\r\nContent-Transfer-Encoding: base64"), &b64(content(s))))
    };
    let docx = |s: &str| make::docx(&make::paragraph(s), &[]);
    let named = |name: &'static str, fields: fn(&str) -> String| case(name, move |s| part(&fields(s), "x"));
    let sheet = |s: &str| make::xlsx(&[("hidden", format!("<row><c t=\"inlineStr\"><is><t>{s}</t></is></c></row>"))], &[], &[]);
    vec![
        file("docx", "Content-Type: application/octet-stream; name=a.docx", docx),
        file("docx called a picture", "Content-Type: image/png; name=a.png", docx),
        file("docx called text", "Content-Type: text/plain", docx),
        file("docx called a signature", "Content-Type: application/pgp-signature; name=signature.asc", docx),
        file("docx called a calendar", "Content-Type: text/calendar", docx),
        file("docx without a name", "Content-Type: application/x-thing", docx),
        file("docx with an empty name", "Content-Type: application/octet-stream; name=\"\"", docx),
        file("docx in zip in zip", "Content-Type: application/zip; name=a.zip", |s| {
            make::zip(&[("b.zip", make::zip(&[("c.docx", make::docx(&make::paragraph(s), &[]))]))])
        }),
        file("name in a zip", "Content-Type: application/zip; name=a.zip", |s| make::zip(&[(format!("{s}.txt"), "x")])),
        file("comment in a docx", "Content-Type: application/octet-stream; name=a.docx", |s| {
            make::docx(&make::paragraph("x"), &[("word/comments.xml", format!("<c><w:t>{s}</w:t></c>").as_bytes())])
        }),
        file("custom xml in a docx", "Content-Type: application/octet-stream; name=a.docx", |s| {
            make::docx(&make::paragraph("x"), &[("customXml/item1.xml", format!("<d p='{s}'/>").as_bytes())])
        }),
        file("hidden sheet", "Content-Type: application/octet-stream; name=a.xlsx", sheet),
        file("html called octets", "Content-Type: application/octet-stream; name=a.bin", |s| {
            format!("<html><p>{}<b>{}</b>", &s[..4], &s[4..]).into_bytes()
        }),
        file("pdf", "Content-Type: application/pdf; name=a.pdf", |s| {
            make::page(make::stream("", format!("BT /F1 12 Tf 72 720 Td ({s}) Tj ET").as_bytes()), &[], "")
        }),
        file("rtf", "Content-Type: application/rtf; name=a.rtf", |s| format!("{{\\rtf1 {s}}}").into_bytes()),
        file("rtf, inline", "Content-Type: text/rtf\r\nContent-Disposition: inline", |s| format!("{{\\rtf1 {s}}}").into_bytes()),
        file("odt", "Content-Type: application/vnd.oasis.opendocument.text; name=a.odt", |s| {
            make::zip_as(
                zip::CompressionMethod::Stored,
                &[("mimetype", "application/vnd.oasis.opendocument.text".to_owned()), ("content.xml", s.to_owned())],
            )
        }),
        file("gzip", "Content-Type: application/gzip; name=a.gz", |s| [&[0x1f, 0x8b][..], s.as_bytes()].concat()),
        file("noise", "Content-Type: application/x-noise; name=a.x", |s| [&[0, 1, 2, 3, 0xff, 0xfe, 0][..], s.as_bytes()].concat()),
        file("opaque S/MIME", "Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m", |s| {
            let head = [0x30, 0x80, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x02, 0xA0, 0x80];
            [&head[..], s.as_bytes(), &[0]].concat()
        }),
        file(
            "text of which somebody says that it is a file, inline",
            "Content-Type: text/plain; name=a.txt\r\nContent-Disposition: inline",
            |s| s.into(),
        ),
        file("mail as octets", "Content-Type: application/octet-stream; name=a.eml", |s| {
            format!("From: a@x.example\r\nSubject: about {s}\r\n\r\nx\r\n").into_bytes()
        }),
        named("file name", |s| format!("Content-Type: text/csv; name=\"{s}.csv\"")),
        named("file name, encoded word", |s| {
            format!("Content-Type: text/csv; name=\"=?utf-8?B?{}?=\"", BASE64.encode(format!("{s}.csv").as_bytes()))
        }),
        named("file name in RFC 2231", |s| {
            format!("Content-Disposition: attachment; filename*=utf-8''{}.csv", s.bytes().map(|o| format!("%{o:02X}")).collect::<String>())
        }),
        named("file name, continued", |s| {
            format!("Content-Disposition: attachment; filename*0=\"{}\"; filename*1=\"{}.csv\"", &s[..5], &s[5..])
        }),
        named("file name with underscores", |s| format!("Content-Type: text/csv; name=\"a_{s}_b.csv\"")),
        case("name of the only part", |s| top(&format!("Subject: x\r\nContent-Type: application/pdf; name=\"{s}.pdf\""), "x")),
        case("picture in place that is a docx", move |s| {
            let body = multipart(
                "b-1",
                &[
                    ("Content-Type: text/html", "<img src=\"cid:a@b\">"),
                    ("Content-Type: image/png\r\nContent-ID: <a@b>\r\nContent-Transfer-Encoding: base64", &b64(docx(s))),
                ],
            );
            top("Subject: x\r\nContent-Type: multipart/related; boundary=\"b-1\"", &body)
        }),
        case("pdf with a Content-ID beside a page", move |s| {
            let pdf = make::page(make::stream("", format!("BT /F1 12 Tf 72 720 Td ({s}) Tj ET").as_bytes()), &[], "");
            let body = multipart(
                "b-1",
                &[
                    ("Content-Type: text/html", "<a href=\"cid:a@b\">x</a>"),
                    ("Content-Type: application/pdf\r\nContent-ID: <a@b>\r\nContent-Transfer-Encoding: base64", &b64(pdf)),
                ],
            );
            top("Subject: x\r\nContent-Type: multipart/related; boundary=\"b-1\"", &body)
        }),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table: one line for each hiding place")]
pub fn inside_files() -> Vec<Case> {
    let file = |name: &'static str, as_what: &'static str, content: fn(&str) -> Vec<u8>| {
        case(name, move |s| {
            let fields = format!("Content-Type: application/octet-stream; name=\"{as_what}\"\r\nContent-Transfer-Encoding: base64");
            part(&fields, &b64(content(s)))
        })
    };
    let document = |name: &'static str, body: fn(&str) -> String| {
        case(name, move |s| {
            let file = b64(make::docx(&body(s), &[]));
            part("Content-Type: application/octet-stream; name=a.docx\r\nContent-Transfer-Encoding: base64", &file)
        })
    };
    vec![
        file("caption of a picture", "a.png", |s| {
            let chunk = format!("\0\0\0\x12tEXtComment\0{s}\0\0\0\0");
            [&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0"[..], chunk.as_bytes()].concat()
        }),
        file("caption of a photograph, in UTF-16", "a.jpg", |s| {
            let caption: Vec<u8> = format!("about {s}").encode_utf16().flat_map(u16::to_le_bytes).collect();
            [&b"\xff\xd8\xff\xe1\0\x40Exif\0\0UNICODE\0"[..], &caption, b"\xff\xd9"].concat()
        }),
        file("title of a song", "a.mp3", |s| [&b"ID3\x04\0\0\0\0\0\x20TIT2\0\0\0\x0f\0\0\x03"[..], s.as_bytes(), &[0; 50]].concat()),
        file("archive behind a picture", "a.png", |s| {
            let picture = &b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0"[..];
            [picture, b"Rar!\x1a\x07\x01\0", &[0xA5, 0x3C, 0x99, 0x07], s.as_bytes()].concat()
        }),
        file("between the entries of a zip", "a.zip", |s| make::with_descriptor("a.txt", b"x", &[s.as_bytes(), b"\0"].concat())),
        document("characters of a document by their numbers", |s| {
            let digits: String = s.bytes().map(|octet| format!("<w:sym w:font=\"Arial\" w:char=\"{octet:04X}\"/>")).collect();
            format!("<w:p><w:r>{digits}</w:r></w:p>")
        }),
        file("text of winmail.dat", "winmail.dat", |s| make::tnef(s, &[])),
        file("file in winmail.dat", "winmail.dat", |s| make::tnef("x", &[("a.docx", make::docx(&make::paragraph(s), &[]))])),
        file("name in winmail.dat", "winmail.dat", |s| make::tnef("x", &[(s, b"x".to_vec())])),
        file("winmail.dat in winmail.dat", "winmail.dat", |s| make::tnef("x", &[("winmail.dat", make::tnef(s, &[]))])),
        file("winmail.dat in a zip", "a.zip", |s| make::zip(&[("winmail.dat", make::tnef(s, &[]))])),
        file("winmail.dat by another name", "a.txt", |s| make::tnef(s, &[])),
        file("winmail.dat in a mail", "a.eml", |s| {
            let packed = b64(make::tnef(s, &[]));
            let part = format!("Content-Type: application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n\r\n{packed}");
            format!("From: a@x.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n{part}\r\n").into()
        }),
        file("winmail.dat that is cut off", "winmail.dat", |s| make::tnef(s, &[("a.txt", vec![b'x'; 500])]).drain(..150).collect()),
        file("winmail.dat with a wrong sum", "winmail.dat", |s| {
            let mut stream = make::tnef(s, &[]);
            stream.pop();
            [stream, vec![0x55]].concat()
        }),
        file("winmail.dat without its beginning", "winmail.dat", |s| make::tnef(s, &[]).split_off(4)),
        file("page with a file in a link", "a.html", |s| {
            let packed = BASE64.encode(format!("the number of the patient is {s}").as_bytes());
            format!("<html><body><a href=\"data:text/plain;base64,{packed}\">open</a></body></html>").into()
        }),
        file("page with a document in a link", "a.html", |s| {
            let packed = BASE64.encode(&make::docx(&make::paragraph(s), &[]));
            format!("<html><body><a href=\"data:application/x;base64,{packed}\">open</a></body></html>").into()
        }),
        file("page with a document in a script", "a.html", |s| {
            let packed = BASE64.encode(&make::docx(&make::paragraph(s), &[]));
            format!("<html><script>save(atob('{packed}'))</script></html>").into()
        }),
        file("page with an entity of its own", "a.xhtml", |s| {
            format!("<?xml version=\"1.0\"?><!DOCTYPE html [<!ENTITY a \"{}\">]><html><p>{}&a;</p></html>", &s[4..], &s[..4]).into()
        }),
        file("mail with a page with a file in a link", "a.bin", |s| {
            let packed = BASE64.encode(format!("the number of the patient is {s}").as_bytes());
            let page = format!("<a href=\"data:text/plain;base64,{packed}\">x</a>");
            format!("From: a@x.example\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n{page}\r\n").into()
        }),
        file("notes that look like mail, Date", "notes.txt", |s| format!("Date: number {s}\r\nSubject: x\r\n\r\nhello").into()),
        file("notes that look like mail, Received", "notes.txt", |s| format!("From: x\r\nReceived: number {s}\r\n\r\nhello").into()),
        file("notes that look like mail, Content-Type", "n.bin", |s| {
            format!("From: x\r\nContent-Type: text/plain; x=\"number {s}\"\r\n\r\nhello").into()
        }),
        file("notes that look like mail, no field", "notes.txt", |s| format!("From: x\r\nTo: y\r\n{s}\r\n\r\nhello").into()),
        file("mail with a field of a machine", "a.eml", |s| format!("From: a@x.example\r\nDate: {s}\r\nSubject: x\r\n\r\nhello").into()),
        file("zip with a comment", "a.zip", |s| make::with_comment(make::zip(&[("a.txt", "x")]), s.as_bytes())),
        file("zip with a zip for a comment", "a.zip", |s| {
            let inner = make::zip(&[("b.txt", format!("number {s}, again and again, {s}"))]);
            make::with_comment(make::zip(&[("a.txt", "x")]), &[&inner[..], b"X"].concat())
        }),
        file("zip with another file for a comment", "a.zip", |s| {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            std::io::Write::write_all(&mut packer, s.as_bytes()).unwrap();
            make::with_comment(make::zip(&[("a.txt", "x")]), &packer.finish().unwrap())
        }),
        file("zip with something behind", "a.zip", |s| [make::zip(&[("a.txt", "x")]), s.into()].concat()),
        file("zip with something before", "a.zip", |s| [s.into(), make::zip(&[("a.txt", "x")])].concat()),
        file("document with a comment on the archive", "a.docx", |s| {
            make::with_comment(make::docx(&make::paragraph("x"), &[]), s.as_bytes())
        }),
        file("link of a document", "a.docx", |s| {
            let link = format!(
                "<Relationships><Relationship Id=\"rId9\" Type=\"a/hyperlink\" Target=\"https://x.example/?{s}\" TargetMode=\"External\"/></Relationships>"
            );
            make::docx(&make::paragraph("x"), &[("word/_rels/document.xml.rels", link.as_bytes())])
        }),
        file("name of a part of a document", "a.docx", |s| make::docx(&make::paragraph("x"), &[(&format!("word/{s}.xml"), b"<a/>")])),
        document("field of a document", |s| {
            format!("<w:p><w:fldSimple w:instr=\"HYPERLINK {s}\"><w:r><w:t>x</w:t></w:r></w:fldSimple></w:p>")
        }),
        document("choice of a document", |s| {
            let digits: String = s.chars().filter(char::is_ascii_digit).collect();
            format!(
                "<w:p><w:sdt><w:sdtPr><w:dropDownList><w:listItem w:displayText=\"{digits}\" w:value=\"1\"/></w:dropDownList></w:sdtPr></w:sdt></w:p>"
            )
        }),
        document("comment in the source of a document", |s| format!("<w:p><!-- {s} --></w:p>")),
        document("instruction in the source of a document", |s| format!("<w:p><?x {s}?></w:p>")),
        document("tag that is none", |s| format!("<w:p><w:x w:a={s}/></w:p>")),
        file("string that no cell shows", "a.xlsx", |s| make::xlsx(&[("a", "<row/>".into())], &["x", s], &[])),
        file("text in a mail with a wrong label", "a.eml", |s| {
            format!(
                "From: a@x.example\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-16\r\n\r\nit is {s} so\r\n"
            )
            .into()
        }),
        file("strings of a workbook by another name", "a.xlsx", |s| {
            make::zip(&[
                ("[Content_Types].xml", "<Types/>".to_owned()),
                ("xl/book.xml", "<workbook/>".to_owned()),
                ("xl/sharedStrings.xml", format!("<sst><si><t>{s}</t></si></sst>")),
                ("xl/worksheets/sheet1.xml", "<worksheet><sheetData><row><c t=\"s\"><v>0</v></c></row></sheetData></worksheet>".to_owned()),
            ])
        }),
        file("number format", "a.xlsx", |s| {
            let styles = format!("<styleSheet><numFmts><numFmt numFmtId=\"164\" formatCode=\"&quot;{s}&quot;\"/></numFmts></styleSheet>");
            make::xlsx(&[("a", "<row/>".into())], &[], &[("xl/styles.xml", styles.as_bytes())])
        }),
        file("sheet named in a formula", "a.xlsx", |s| {
            make::xlsx(&[("a", format!("<row><c r=\"A1\"><f>'{s}'!A1</f><v>1</v></c></row>"))], &[], &[])
        }),
        file("cell in an odd place", "a.xlsx", |s| make::xlsx(&[("a", format!("<row><c r=\"{s}\"><v>1</v></c></row>"))], &[], &[])),
        file("link of a pdf", "a.pdf", |s| {
            let link = format!("<< /Type /Annot /Subtype /Link /A << /S /URI /URI (https://x.example/?pnr={s}) >> >>");
            make::page(make::stream("", b"BT /F1 12 Tf 72 720 Td (x) Tj ET"), &[link.into()], "")
        }),
        file("link of a pdf that stands elsewhere", "a.pdf", |s| {
            let link = b"<< /Type /Annot /Subtype /Link /A << /S /URI /URI 7 0 R >> >>".to_vec();
            make::page(make::stream("", b"BT /F1 12 Tf 72 720 Td (x) Tj ET"), &[link, format!("({s})").into()], "")
        }),
        file("name in a pdf", "a.pdf", |s| {
            let field = format!("<< /FT /Btn /AP << /N << /{s} null >> >> /AS /{s} >>");
            make::page(make::stream("", b"BT /F1 12 Tf 72 720 Td (x) Tj ET"), &[field.into()], "")
        }),
        file("list in a pdf", "a.pdf", |s| {
            make::page(make::stream("", b"BT /F1 12 Tf 72 720 Td (x) Tj ET"), &[format!("[ /a [ ({s}) ] ]").into()], "")
        }),
        file("script of a pdf in a stream", "a.pdf", |s| {
            let action = b"<< /S /JavaScript /JS 7 0 R >>".to_vec();
            let script = make::deflated("", format!("app.alert('{s}')").as_bytes());
            make::page(make::stream("", b"BT /F1 12 Tf 72 720 Td (x) Tj ET"), &[action, script], "")
        }),
        file("words for an ornament of a pdf", "a.pdf", |s| {
            let drawing = format!("/Span << /ActualText ({s}) >> BDC BT /F1 12 Tf 72 720 Td (x) Tj ET EMC");
            make::page(make::stream("", drawing.as_bytes()), &[], "")
        }),
        file("pattern of a pdf", "a.pdf", |s| {
            let font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_vec();
            let pattern =
                make::deflated("/PatternType 1 /Resources << /Font << /F1 5 0 R >> >>", format!("BT /F1 12 Tf ({s}) Tj ET").as_bytes());
            make::page(make::stream("", b"BT /F1 12 Tf 72 720 Td (x) Tj ET"), &[font, pattern], "")
        }),
        file("title of a pdf", "a.pdf", |s| {
            let info = format!("<< /Whatever ({s}) >>");
            make::page(make::stream("", b"BT /F1 12 Tf 72 720 Td (x) Tj ET"), &[info.into()], "")
        }),
    ]
}
