//! Signatures that verify, keys that are refused.

use std::os::unix::fs::PermissionsExt;

use aws_lc_rs::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use super::*;

const MESSAGE: &str = "From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject: Hej\r\n hopp\r\nDate: Thu, 30 Jun 2022 10:39:00 +0200\r\n\r\nbody  text \r\n\r\n";

fn domain() -> Domain {
    Domain::parse("example.org").unwrap()
}

fn now() -> Timestamp {
    "2022-06-30T08:39:00Z".parse().unwrap()
}

/// Keys in a fresh folder, and their records.
fn keys() -> (tempfile::TempDir, Vec<(String, String)>) {
    let dir = tempfile::tempdir().unwrap();
    let records = generate(dir.path(), &domain(), "s1").unwrap();
    (dir, records)
}

fn tag(field: &HeaderField, name: &str) -> String {
    let text = field.text();
    let value = text.split(';').find_map(|tag| tag.trim().strip_prefix(&format!("{name}="))).unwrap_or_default();
    value.split_whitespace().collect()
}

/// A verifier by the letter of RFC 6376 §6.1.3, apart from the signer.
fn verifies(field: &HeaderField, message: &str, records: &[(String, String)]) -> bool {
    let (header, body) = message.split_once("\r\n\r\n").unwrap();
    let header = format!("{header}\r\n");
    if tag(field, "bh") != BASE64.encode(&canonical::body_hash(std::iter::once(body.as_bytes()))) {
        return false;
    }
    let mut left = fields(header.as_bytes());
    let mut signed = Vec::new();
    for name in tag(field, "h").split(':') {
        if let Some(position) = left.iter().rposition(|raw| is_named(raw, name)) {
            signed.extend(canonical::field(left.remove(position)));
        }
    }
    let own = std::str::from_utf8(field.raw()).unwrap();
    let (before, _) = own.split_once("\tb=").unwrap();
    let own = canonical::field(format!("{before}\tb=").as_bytes());
    signed.extend_from_slice(own.strip_suffix(b"\r\n").unwrap());
    let record = &records.iter().find(|(name, _)| *name == format!("{}._domainkey.example.org", tag(field, "s"))).unwrap().1;
    let public: String = record.replace("\" \"", "").replace('"', "").split_once("p=").unwrap().1.to_owned();
    let public = BASE64.decode(public.as_bytes()).unwrap();
    let signature = BASE64.decode(tag(field, "b").as_bytes()).unwrap();
    match tag(field, "a").as_str() {
        "rsa-sha256" => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public).verify(&signed, &signature).is_ok(),
        _ => UnparsedPublicKey::new(&ED25519, public).verify(&Sha256::digest(&signed), &signature).is_ok(),
    }
}

#[test]
fn what_is_signed_verifies_and_what_is_changed_does_not() {
    let (dir, records) = keys();
    let signers = Signers::load(dir.path()).unwrap();
    let signatures = signers.sign(&domain(), &[Bytes::from(MESSAGE)], now());
    assert_eq!(signatures.iter().map(|field| tag(field, "a")).collect::<Vec<_>>(), ["ed25519-sha256", "rsa-sha256"]);
    for field in &signatures {
        assert!(verifies(field, MESSAGE, &records), "{}", field.text());
        for (what, tampered) in [
            ("body", MESSAGE.replace("text", "test")),
            ("second From", format!("From: eve@example.com\r\n{MESSAGE}")),
            ("second From below", MESSAGE.replace("\r\n\r\n", "\r\nFrom: eve@example.com\r\n\r\n")),
            ("second Subject", format!("Subject: Other\r\n{MESSAGE}")),
            ("added Content-Type", format!("Content-Type: text/html\r\n{MESSAGE}")),
            ("added Reply-To", format!("Reply-To: eve@example.com\r\n{MESSAGE}")),
            ("appended", format!("{MESSAGE}more\r\n")),
            ("recipient", MESSAGE.replace("bob", "rob")),
        ] {
            assert!(!verifies(field, &tampered, &records), "{what} {}", field.text());
        }
        for (what, same) in [
            ("other folding", MESSAGE.replace("Hej\r\n hopp", "Hej hopp")),
            ("trailing lines", format!("{MESSAGE}\r\n  \r\n")),
            ("unsigned field", format!("X-Spam: no\r\n{MESSAGE}")),
        ] {
            assert!(verifies(field, &same, &records), "{what} {}", field.text());
        }
    }
}

#[test]
fn a_signature_field_is_well_formed() {
    let (dir, _records) = keys();
    for field in Signers::load(dir.path()).unwrap().sign(&domain(), &[Bytes::from(MESSAGE)], now()) {
        let raw = std::str::from_utf8(field.raw()).unwrap();
        assert!(raw.split("\r\n").all(|line| line.len() <= 78 && !line.contains(['\r', '\n'])), "{raw}");
        assert!(raw.ends_with("\r\n"), "{raw}");
        assert_eq!(tag(&field, "c"), "relaxed/relaxed");
        assert_eq!(tag(&field, "l"), "", "never l=");
        let times: Vec<i64> = ["t", "x"].iter().map(|name| tag(&field, name).parse().unwrap()).collect();
        assert_eq!(times, [now().as_second(), now().as_second() + 7 * 24 * 3600]);
        assert_eq!(tag(&field, "h").matches("Subject").count(), 2, "named once more than it stands there");
        assert_eq!(tag(&field, "h").matches("Reply-To").count(), 1, "named although it is not there");
    }
}

#[test]
fn the_same_message_is_signed_alike_however_the_rope_is_cut() {
    let (dir, _records) = keys();
    let signers = Signers::load(dir.path()).unwrap();
    let whole = signers.sign(&domain(), &[Bytes::from(MESSAGE)], now());
    for size in [1, 7, 40] {
        let rope: Vec<Bytes> = MESSAGE.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect();
        assert_eq!(signers.sign(&domain(), &rope, now()), whole, "pieces of {size}");
    }
}

#[test]
fn a_domain_without_keys_is_not_signed() {
    let (dir, _records) = keys();
    let signers = Signers::load(dir.path()).unwrap();
    assert_eq!(signers.sign(&Domain::parse("example.net").unwrap(), &[Bytes::from(MESSAGE)], now()), []);
    assert!(!Signers::load(&dir.path().join("nothing")).unwrap().can_sign(&domain()));
}

#[test]
fn records_are_what_a_zone_file_takes_and_keys_are_never_overwritten() {
    let (dir, records) = keys();
    assert_eq!(records[0].0, "s1._domainkey.example.org");
    assert!(records[0].1.starts_with("\"v=DKIM1; k=rsa; p=MIIB"), "{}", records[0].1);
    assert!(records[0].1.split(' ').count() > 3 && records[0].1.split("\" \"").all(|string| string.len() <= 257), "{}", records[0].1);
    assert_eq!(records[1].0, "s1-ed25519._domainkey.example.org");
    assert!(records[1].1.starts_with("\"v=DKIM1; k=ed25519; p="), "{}", records[1].1);
    assert_eq!(generate(dir.path(), &domain(), "s1").unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(generate(dir.path(), &domain(), "../x").unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn a_wrong_key_folder_says_what_is_wrong() {
    let (dir, _records) = keys();
    let folder = dir.path().join("example.org");
    let key = folder.join("s1.rsa.pem");
    let load = || Signers::load(dir.path()).err().map(|mistakes| mistakes[0].to_string().replace(&*dir.path().to_string_lossy(), "dkim"));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(
        load().unwrap(),
        "dkim/example.org/s1.rsa.pem: open to everyone (mode 0644)\n    chmod 640 and chgrp to the group of the service"
    );
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(load(), None);
    for (name, expect) in [
        ("s2.pem", "the name does not say what kind of key it is"),
        ("s_2.rsa.pem", "\"s_2\" is not a selector"),
        ("s2.ed25519.pem", "not an Ed25519 private key"),
    ] {
        let path = folder.join(name);
        std::fs::copy(&key, &path).unwrap();
        let said = load().unwrap();
        assert!(said.contains(expect), "{name}: {said}");
        std::fs::remove_file(path).unwrap();
    }
    let second = folder.join("s1-ed25519.rsa.pem");
    std::fs::copy(&key, &second).unwrap();
    assert!(load().unwrap().contains("selector \"s1-ed25519\" has two keys"));
    std::fs::remove_file(second).unwrap();
    std::fs::write(folder.join("s3.rsa.pem"), "nothing").unwrap();
    std::fs::set_permissions(folder.join("s3.rsa.pem"), std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(load().unwrap().contains("no private key in it"));
    std::fs::write(folder.join("s4.pem"), "nothing").unwrap();
    assert_eq!(Signers::load(dir.path()).err().unwrap().len(), 2, "all mistakes at once");
}

#[test]
fn a_signature_is_read_back() {
    let raw = "DKIM-Signature: v=1; d=Example.ORG; s=a;\r\n h=From : Subject:\r\n\tTo; z=Subject:x; b=abc\r\n";
    let field = HeaderField::new(Bytes::from(raw), 14);
    let expect = Claims { domain: Some(domain()), covered: vec!["from".into(), "subject".into(), "to".into()], copies: Copies::Some };
    assert_eq!(claims(&field), expect);
}

#[test]
fn keys_that_other_tools_made_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("example.org");
    std::fs::create_dir(&folder).unwrap();
    for (algorithm, name) in [("RSA", "a.rsa.pem"), ("ED25519", "b.ed25519.pem")] {
        let path = folder.join(name);
        let made = std::process::Command::new("openssl").args(["genpkey", "-algorithm", algorithm, "-out"]).arg(&path).output().unwrap();
        assert!(made.status.success());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let signers = Signers::load(dir.path()).unwrap();
    assert_eq!(signers.sign(&domain(), &[Bytes::from(MESSAGE)], now()).len(), 2);
}
