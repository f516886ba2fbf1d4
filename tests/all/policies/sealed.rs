//! What is encrypted by its author, made by `openssl` and `gpg`, and what only says so.
//!
//! The files in `sealed/` hold "The number of the patient is 850709-9805." They were made, for keys that
//! nobody has any more, by
//!
//! ```text
//! openssl smime -encrypt -binary -outform DER -aes256                      smime-one.der
//! openssl cms -encrypt -binary -outform DER -aes-256-cbc                   cms-one.der
//! openssl cms -encrypt -binary -outform DER -aes-256-gcm                   cms-auth.der    AuthEnvelopedData
//! openssl cms -encrypt -binary -outform DER -stream, two recipients        cms-stream.der  indefinite lengths
//! openssl cms -sign -binary -nodetach -outform DER                         cms-signed.der
//! gpg -ea                                                                  pgp-one.asc
//! gpg -ea, two recipients, --comment                                       pgp-two.asc
//! gpg -e --throw-keyids                                                    pgp-binary.pgp
//! gpg -ca                                                                  pgp-password.asc
//! gpg -ea --rfc2440 --disable-mdc                                          pgp-old.asc     tag 9
//! gpg -sa                                                                  pgp-signed.asc
//! ```

use std::path::Path;

use data_encoding::BASE64_MIME;
use waxseal::policy::Protection;

use super::super::extraction::make;
use super::pipeline::fate;

const SECRET: &str = "The number of the patient is 850709-9805.";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// Passes as its author's own secret.
    ForSealed,
    /// Cannot be looked into, and leaves as a link.
    ForUnreadable,
}

fn taken(mail: &str) -> Option<Taken> {
    let fate = fate(mail.as_bytes());
    let has = |rule: &str| fate.inspection.findings.iter().any(|finding| finding.rule == rule);
    let all = |protection| fate.decisions.iter().all(|decision| decision.verdict.protection == protection);
    match (has("end-to-end"), has("uninspectable")) {
        (true, false) if all(Protection::Pass) => Some(Taken::ForSealed),
        (false, true) if all(Protection::SecureMessage) => Some(Taken::ForUnreadable),
        _ => None,
    }
}

fn made(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/policies/sealed").join(name)).unwrap()
}

fn text(name: &str) -> String {
    String::from_utf8(made(name)).unwrap().replace('\n', "\r\n")
}

fn top(fields: &str, body: &str) -> String {
    format!("From: ann@house.example\r\nTo: bob@mail.example\r\nSubject: hello\r\nMIME-Version: 1.0\r\n{fields}\r\n\r\n{body}\r\n")
}

fn smime(kind: &str, content: &[u8]) -> String {
    let fields = format!("Content-Type: application/pkcs7-mime{kind}; name=smime.p7m\r\nContent-Transfer-Encoding: base64");
    top(&fields, &BASE64_MIME.encode(content))
}

fn enveloped(content: &[u8]) -> String {
    smime("; smime-type=enveloped-data", content)
}

fn pgp_mime(version: &str, content: &[u8]) -> String {
    top(
        "Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=b",
        &format!(
            "--b\r\nContent-Type: application/pgp-encrypted\r\n\r\n{version}\r\n--b\r\nContent-Type: application/octet-stream\r\n\
            Content-Transfer-Encoding: base64\r\n\r\n{}\r\n--b--",
            BASE64_MIME.encode(content)
        ),
    )
}

fn inline(text: &str) -> String {
    top("Content-Type: text/plain", text)
}

fn armour(octets: &[u8]) -> String {
    format!("-----BEGIN PGP MESSAGE-----\r\n\r\n{}-----END PGP MESSAGE-----", BASE64_MIME.encode(octets))
}

/// A packet as RFC 9580 §4.2.1 has it, with a body below 192 octets.
fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[0xC0 | tag, u8::try_from(body.len()).unwrap()], body].concat()
}

/// Octets that could be ciphertext.
fn noise(length: usize) -> Vec<u8> {
    let real = made("cms-stream.der");
    real.iter().copied().cycle().skip(90).take(length).collect()
}

#[test]
fn what_openssl_and_gpg_encrypted_is_its_authors_own_secret() {
    let binary = made("pgp-binary.pgp");
    // The session key, then the encrypted data in pieces.
    let pieces: Vec<u8> = [&binary[..96], &[0xD2, 0xE9], &[1; 1], &noise(511), &[40], &noise(40)].concat();
    for (name, mail) in [
        ("smime", enveloped(&made("smime-one.der"))),
        ("cms", enveloped(&made("cms-one.der"))),
        ("cms without its kind", smime("", &made("cms-one.der"))),
        ("cms with proof", smime("; smime-type=authEnveloped-data", &made("cms-auth.der"))),
        ("cms in pieces", enveloped(&made("cms-stream.der"))),
        ("armour", pgp_mime("Version: 1", &made("pgp-one.asc"))),
        ("two recipients", pgp_mime("Version: 1\r\n", &made("pgp-two.asc"))),
        ("password", pgp_mime("Version: 1", &made("pgp-password.asc"))),
        ("old", pgp_mime("Version: 1", &made("pgp-old.asc"))),
        ("binary", pgp_mime("Version: 1", &binary)),
        ("binary in pieces", pgp_mime("Version: 1", &pieces)),
        ("with a marker", pgp_mime("Version: 1", &[packet(10, b"PGP"), binary].concat())),
        ("inline", inline(&text("pgp-one.asc"))),
        ("inline among words", inline(&format!("Hello Bob,\r\n\r\n{}\r\n\r\nAnn", text("pgp-two.asc")))),
    ] {
        assert_eq!(taken(&mail), Some(Taken::ForSealed), "{name}\n{mail}");
    }
}

#[test]
fn what_only_says_that_it_is_encrypted_is_never_clean() {
    let (cms, one) = (made("cms-one.der"), made("pgp-binary.pgp"));
    let (key, data) = one.split_at(96);
    let sealed = |body: &[u8]| packet(18, &[&[1], body].concat());
    let text_of = |body: &[u8]| [&cms[..cms.len() - 80], body].concat();
    let mut longer = cms.clone();
    longer[3] += 20;
    let zip = [&b"PK\x03\x04\x14\0\0\0"[..], &noise(200)].concat();
    for (name, mail) in [
        ("words for S/MIME", enveloped(SECRET.as_bytes())),
        ("a zip for S/MIME", enveloped(&zip)),
        ("nothing for S/MIME", enveloped(b"")),
        ("a beginning and words", enveloped(&[&b"0\x80\x06\x09*\x86H\x86\xf7\x0d\x01\x07\x03\xa0\x80"[..], SECRET.as_bytes()].concat())),
        ("a real one and words behind it", enveloped(&[&cms, SECRET.as_bytes()].concat())),
        ("a real one that is cut off", enveloped(&cms[..cms.len() - 1])),
        ("words as ciphertext", enveloped(&text_of(&[SECRET.as_bytes(), &[b'x'; 39]].concat()))),
        ("a length beyond the end", enveloped(&longer)),
        ("signed, called encrypted", enveloped(&made("cms-signed.der"))),
        ("a length without an end", enveloped(&b"0\x80".repeat(5000))),
        ("words for PGP", pgp_mime("Version: 1", SECRET.as_bytes())),
        ("a zip for PGP", pgp_mime("Version: 1", &zip)),
        ("words beside the version", pgp_mime(&format!("Version: 1\r\n{SECRET}"), &one)),
        ("signed, called encrypted PGP", pgp_mime("Version: 1", &made("pgp-signed.asc"))),
        ("a session key and words", pgp_mime("Version: 1", &[key, SECRET.as_bytes()].concat())),
        ("a session key alone", pgp_mime("Version: 1", key)),
        ("a literal packet before", pgp_mime("Version: 1", &[&packet(11, SECRET.as_bytes()), one.as_slice()].concat())),
        ("a literal packet behind", pgp_mime("Version: 1", &[&one, packet(11, SECRET.as_bytes()).as_slice()].concat())),
        ("a message twice", pgp_mime("Version: 1", &[one.as_slice(), &one].concat())),
        ("words as encrypted data", pgp_mime("Version: 1", &[key, &sealed(SECRET.as_bytes())].concat())),
        ("hardly anything as encrypted data", pgp_mime("Version: 1", &[key, &sealed(b"850709-9805")].concat())),
        ("of an unknown version", pgp_mime("Version: 1", &[key, &packet(18, &[&[9], &data[3..]].concat())].concat())),
        ("words in armour", inline(&armour(SECRET.as_bytes()))),
        ("words in the armour", inline(&text("pgp-one.asc").replace("\r\n\r\n", &format!("\r\n\r\n{SECRET}\r\n")))),
        ("words behind the armour's checksum", inline(&text("pgp-one.asc").replace("\r\n-----END", &format!("\r\n{SECRET}\r\n-----END")))),
        ("signed, in armour", inline(&text("pgp-signed.asc"))),
    ] {
        assert_eq!(taken(&mail), Some(Taken::ForUnreadable), "{name}\n{mail}");
    }
    // Words around the armour are read like any others.
    let around = fate(inline(&format!("{}\r\n{SECRET}\r\n", text("pgp-one.asc"))).as_bytes());
    assert!(around.inspection.findings.iter().any(|finding| finding.rule == "se-personnummer"));
}

/// Documents and archives that ask for a password: nobody but their recipient can say what is in them.
#[test]
fn what_stands_behind_a_password_is_never_clean() {
    let key = b"<< /Filter /Standard /V 1 /R 2 /O <00000000000000000000000000000000000000000000000000000000000000aa> /U <00000000000000000000000000000000000000000000000000000000000000aa> /P -4 >>";
    let objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R >>".to_vec(),
        make::stream("", b"BT (x) Tj ET"),
        key.to_vec(),
    ];
    let document = make::pdf(&objects, "/Encrypt 5 0 R /ID [<00> <00>]");
    let mut compound = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec();
    compound.resize(600, 0);
    compound.extend("EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes));
    let mut archive = make::zip(&[("salaries.txt", "words")]);
    let at = archive.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    archive[6] |= 1;
    archive[at + 8] |= 1;
    for (name, file) in [("a.pdf", document), ("a.docx", compound), ("a.zip", archive)] {
        let fields = format!(
            "Content-Type: application/octet-stream; name={name}\r\nContent-Disposition: attachment; filename={name}\r\n\
             Content-Transfer-Encoding: base64"
        );
        assert_eq!(taken(&top(&fields, &BASE64_MIME.encode(&file))), Some(Taken::ForUnreadable), "{name}");
    }
}

#[test]
fn no_beginning_of_a_secret_and_no_change_of_its_frame_passes_for_one_or_upsets_anything() {
    for name in ["cms-one.der", "cms-auth.der", "cms-stream.der", "pgp-binary.pgp", "pgp-old.asc"] {
        let whole = made(name);
        let write = |content: &[u8]| if name.ends_with("der") { enveloped(content) } else { pgp_mime("Version: 1", content) };
        for length in (0..whole.len()).step_by(7) {
            assert_ne!(taken(&write(&whole[..length])), Some(Taken::ForSealed), "{name} cut to {length}");
        }
        for place in 0..whole.len().min(40) {
            let mut other = whole.clone();
            other[place] ^= 0xFF;
            let _ = taken(&write(&other));
        }
    }
}
