//! What people send: the shapes that every client writes in its own way.

use super::tree::{Node, charset, file, html, image, multi, plain};

const GREETING: &str = "Hej Örjan,\r\n\r\nhär är räkningen för april: 1 250 kr.\r\n\r\nVänliga hälsningar\r\nÅsa\r\n";
const LONG_NAME: &str = "Årsredovisning för räkenskapsåret 2025 med revisionsberättelse och bilagor, slutlig version.pdf";
const LONG_ASCII: &str = "Minutes of the annual general meeting of shareholders with all appendices and signatures 2026-04-30.docx";

pub fn all() -> Vec<(&'static str, Node)> {
    [simple(), nested(), structured(), charsets()].concat()
}

fn simple() -> Vec<(&'static str, Node)> {
    vec![
        ("plain", plain("Hello,\r\n\r\nsee you at ten.\r\n\r\n-- \r\nAnn\r\n")),
        ("plain-8bit", plain(GREETING)),
        ("html", html("R&auml;kan och Åsa = vänner")),
        ("empty", plain("")),
        ("long-line", plain(&format!("{}\r\nend\r\n", "a very long line without a break ".repeat(60)))),
        ("dots", plain(".\r\n..\r\n.hidden\r\nFrom here on\r\n--\r\n-- \r\n=20\r\n")),
        (
            "flowed",
            Node::Text {
                subtype: "plain",
                text: "A paragraph that flows \r\nover two lines.\r\n> quoted \r\n> too\r\n".to_owned(),
                charset: "utf-8",
                parameters: "; format=flowed; delsp=yes",
            },
        ),
        ("inline-pgp", plain("-----BEGIN PGP MESSAGE-----\r\n\r\nhQEMA1234\r\n=abcd\r\n-----END PGP MESSAGE-----\r\n")),
        ("file-only", file("application/pdf", "scan.pdf", 3000)),
    ]
}

fn nested() -> Vec<(&'static str, Node)> {
    let alternative = || multi("alternative", vec![plain(GREETING), html("Räkan")]);
    let related = || multi("related", vec![html("<img src=\"cid:logo@a.example\">"), image("logo.png", "logo@a.example")]);
    let forward = |inner| Node::Forward { subject: "Fwd: the contract", inner: Box::new(inner) };
    vec![
        ("alternative", alternative()),
        ("related", related()),
        ("alternative-related", multi("alternative", vec![plain("see the picture"), related()])),
        ("attachment", multi("mixed", vec![plain("attached"), file("application/pdf", "invoice.pdf", 2000)])),
        ("alternative-attachment", multi("mixed", vec![alternative(), file("application/pdf", "räkning.pdf", 1000)])),
        (
            "three-files",
            multi(
                "mixed",
                vec![
                    plain(GREETING),
                    file("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "Möte 2026.docx", 1500),
                    file("image/jpeg", "IMG_0001.JPG", 1501),
                    file("application/zip", "日本語の資料.zip", 1502),
                ],
            ),
        ),
        ("long-name", multi("mixed", vec![plain("long"), file("application/pdf", LONG_NAME, 400)])),
        ("long-ascii-name", multi("mixed", vec![plain("long"), file("application/octet-stream", LONG_ASCII, 400)])),
        ("odd-name", multi("mixed", vec![plain("odd"), file("application/pdf", "a (1); b, 50% [x].pdf", 400)])),
        ("empty-file", multi("mixed", vec![plain("empty"), file("application/octet-stream", "empty.bin", 0)])),
        (
            "csv",
            multi(
                "mixed",
                vec![
                    plain("table"),
                    Node::File(super::tree::File {
                        kind: "text/csv",
                        name: "table.csv",
                        octets: b"name;sum\r\nAnn;12\r\n".to_vec(),
                        disposition: "attachment",
                        id: None,
                    }),
                ],
            ),
        ),
        (
            "everything",
            multi(
                "mixed",
                vec![multi("alternative", vec![plain(GREETING), related()]), file("application/pdf", "a.pdf", 700), plain("footer\r\n")],
            ),
        ),
        ("forward", multi("mixed", vec![plain("see below"), forward(plain(GREETING))])),
        (
            "forward-with-files",
            multi("mixed", vec![plain("see below"), forward(multi("mixed", vec![alternative(), file("application/pdf", "b.pdf", 300)]))]),
        ),
        ("forward-of-forward", multi("mixed", vec![plain("1"), forward(multi("mixed", vec![plain("2"), forward(alternative())]))])),
        ("deep", (0..12).fold(plain("core"), |inner, _| multi("mixed", vec![inner, plain("rim")]))),
        ("many-files", multi("mixed", (0..15).map(|_| file("image/png", "image.png", 200)).collect())),
    ]
}

fn structured() -> Vec<(&'static str, Node)> {
    let signature = || {
        Node::File(super::tree::File {
            kind: "application/pkcs7-signature",
            name: "smime.p7s",
            octets: vec![0x30, 0x82, 1, 2, 3, 4, 5, 6],
            disposition: "attachment",
            id: None,
        })
    };
    let armour = || {
        Node::File(super::tree::File {
            kind: "application/pgp-signature",
            name: "signature.asc",
            octets: b"-----BEGIN PGP SIGNATURE-----\r\n\r\niQEzBAEBCgAdFiEE1234\r\n=abcd\r\n-----END PGP SIGNATURE-----\r\n".to_vec(),
            disposition: "attachment",
            id: None,
        })
    };
    let calendar = |parameters| Node::Text {
        subtype: "calendar",
        text: "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nSUMMARY:Möte\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n".to_owned(),
        charset: "utf-8",
        parameters,
    };
    let smime = |parts| Node::Multi { subtype: "signed", parameters: "; protocol=\"application/pkcs7-signature\"; micalg=sha-256", parts };
    let pgp_signed =
        |parts| Node::Multi { subtype: "signed", parameters: "; micalg=pgp-sha512; protocol=\"application/pgp-signature\"", parts };
    let pgp_encrypted = |parts| Node::Multi { subtype: "encrypted", parameters: "; protocol=\"application/pgp-encrypted\"", parts };
    vec![
        ("calendar", multi("alternative", vec![plain("Möte"), html("Möte"), calendar("; method=REQUEST")])),
        (
            "calendar-file",
            multi(
                "mixed",
                vec![multi("alternative", vec![plain("Möte"), calendar("; method=REQUEST")]), file("application/ics", "invite.ics", 300)],
            ),
        ),
        ("smime-signed", smime(vec![multi("mixed", vec![plain(GREETING), file("application/pdf", "c.pdf", 500)]), signature()])),
        ("smime-encrypted", file("application/pkcs7-mime; smime-type=enveloped-data", "smime.p7m", 4000)),
        ("pgp-signed", pgp_signed(vec![plain("signed\r\n"), armour()])),
        (
            "pgp-encrypted",
            pgp_encrypted(vec![
                file("application/pgp-encrypted", "version.asc", 12),
                file("application/octet-stream", "encrypted.asc", 900),
            ]),
        ),
        ("winmail", multi("mixed", vec![plain("see winmail"), file("application/ms-tnef", "winmail.dat", 1200)])),
    ]
}

fn charsets() -> Vec<(&'static str, Node)> {
    vec![
        ("iso-8859-1", charset("Räksmörgås på smörgåsbord\r\n", "iso-8859-1")),
        ("windows-1252", charset("“Räksmörgås” – 20 €\r\n", "windows-1252")),
        ("koi8-r", charset("Привет, мир\r\n", "koi8-r")),
        ("windows-1251", charset("Привет, мир\r\n", "windows-1251")),
        ("iso-2022-jp", charset("こんにちは世界\r\nhello\r\n", "iso-2022-jp")),
        ("shift_jis", charset("こんにちは世界\r\n", "shift_jis")),
        ("gb18030", charset("你好，世界\r\n", "gb18030")),
        ("big5", charset("你好，世界\r\n", "big5")),
        ("euc-kr", charset("안녕하세요\r\n", "euc-kr")),
        ("utf-8-emoji", charset("🦀 and 👩‍💻\r\n", "utf-8")),
    ]
}
