//! Signatures of rewritten mail, read by two verifiers that are not ours.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use waxseal::mail::{Domain, Message, Recipient, RequireTls};
use waxseal::policy::{Decision, Form, Go, Protection, Shown, Verdict, Wish};
use waxseal::transform::dkim::{Signers, generate};
use waxseal::vault::Factor;

use super::generated::{Shape, mail};
use super::mailbox;

/// 100 messages of all shapes, two signatures each; and ten of them changed after signing.
struct Signed {
    dir: tempfile::TempDir,
    records: Vec<(String, String)>,
    good: Vec<Vec<u8>>,
    tampered: Vec<Vec<u8>>,
}

fn signed() -> Signed {
    let dir = tempfile::tempdir().unwrap();
    let records = generate(dir.path(), &Domain::parse("example.org").unwrap(), "wx").unwrap();
    let signers = Signers::load(dir.path()).unwrap();
    let good: Vec<Vec<u8>> = (0..100).map(|number| rewritten(number, &signers)).collect();
    let tampered = good.iter().enumerate().take(10).map(|(number, octets)| tamper(number, octets)).collect();
    Signed { dir, records, good, tampered }
}

fn rewritten(number: u8, signers: &Signers) -> Vec<u8> {
    // The first field bit is a Bcc field, so that passed mail is touched and signed as well.
    let shape = Shape {
        body: number % 8,
        files: vec![number % 6, 1],
        nested: number % 3,
        fields: 1 | (number % 8),
        seed: u64::from(number) * 7919 + 3,
    };
    let message = Message::parse(mail(&shape).octets);
    let protection = match number % 4 {
        0 => Protection::Pass,
        1 => Protection::PublicFiles,
        2 => Protection::SecureFiles,
        _ => Protection::SecureMessage,
    };
    let decision = Decision {
        recipient: Recipient::new(mailbox("bob@example.net")),
        verdict: Verdict {
            protection,
            factor: Factor::Password,
            expires: Duration::from_secs(3600),
            downloads: None,
            go: Go::Now,
            subject: Shown::Kept,
            file_names: Shown::Kept,
            header: Shown::Kept,
            form: Form::Parts,
            tls: RequireTls::No,
        },
        because: Vec::new(),
    };
    let wish = Wish { subject: number.is_multiple_of(5).then(|| format!("Ämne {number}")), ..Wish::default() };
    let (_, entries) = super::sent_at(&message, vec![decision], (&wish, signers), present());
    entries.unwrap().remove(0).body.concat()
}

/// The verifiers compare with the clock.
#[allow(clippy::disallowed_methods)]
fn present() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

fn tamper(number: usize, octets: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(octets).into_owned();
    let (header, body) = text.split_once("\r\n\r\n").unwrap();
    let changed = match number {
        0 => format!("{header}\r\nFrom: eve@example.com\r\n\r\n{body}"),
        1 => format!("From: eve@example.com\r\n{header}\r\n\r\n{body}"),
        2 => format!("{header}\r\nSubject: Urgent\r\n\r\n{body}"),
        3 => format!("Subject: Urgent\r\n{header}\r\n\r\n{body}"),
        4 => format!("{header}\r\n\r\n{body}appended\r\n"),
        5 => format!("{header}\r\nContent-Type: text/html\r\n\r\n{body}"),
        6 => format!("{header}\r\nReply-To: eve@example.com\r\n\r\n{body}"),
        7 => format!("{header}\r\nCc: eve@example.com\r\n\r\n{body}"),
        8 => format!("{header}\r\n\r\n{}", body.replacen('a', "b", 1)),
        _ => format!("{}\r\n\r\n{body}", header.replace("To: Bob", "To: Rob")),
    };
    changed.into_bytes()
}

#[test]
fn two_hundred_signatures_pass_dkimpy_and_tampered_ones_fail() {
    let python = dkimpy();
    let signed = signed();
    let folder = signed.dir.path().join("mails");
    std::fs::create_dir(&folder).unwrap();
    for (kind, mails) in [("good", &signed.good), ("tampered", &signed.tampered)] {
        for (number, octets) in mails.iter().enumerate() {
            std::fs::write(folder.join(format!("{kind}-{number:03}.eml")), octets).unwrap();
        }
    }
    let records: String = signed.records.iter().map(|(name, value)| format!("{name}\t{}\n", plain(value))).collect();
    std::fs::write(signed.dir.path().join("records"), records).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/rewrite/verify.py");
    let output = Command::new(python).arg(script).arg(&folder).arg(signed.dir.path().join("records")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let count = |kind: &str, result: &str| said.lines().filter(|line| line.starts_with(kind) && line.ends_with(result)).count();
    assert_eq!((count("good", " pass"), count("good", " fail")), (200, 0), "{said}");
    assert_eq!((count("tampered", " pass"), count("tampered", " fail")), (0, 20), "{said}");
    assert!(!signed.good.iter().any(|octets| String::from_utf8_lossy(octets).contains(" l=")));
}

/// The Python of the tests' real peers, which has dkimpy in it.
fn dkimpy() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin/python");
    let works = Command::new(&python).args(["-c", "import dkim, nacl"]).output().is_ok_and(|output| output.status.success());
    assert!(works, "{}: there is no Python with dkimpy; `tests/install.sh test` makes it", python.display());
    python
}

fn plain(record: &str) -> String {
    record.replace("\" \"", "").replace('"', "")
}

/// Answers from the records at hand; it is never asked to forget.
#[derive(Clone)]
struct Records(Vec<(String, mail_auth::Txt)>);

impl mail_auth::ResolverCache<Box<str>, mail_auth::Txt> for Records {
    fn get<Q>(&self, name: &Q) -> Option<mail_auth::Txt>
    where
        Box<str>: std::borrow::Borrow<Q>,
        Q: std::hash::Hash + Eq + ?Sized,
    {
        let hash = |value: &dyn Fn(&mut std::hash::DefaultHasher)| {
            let mut hasher = std::hash::DefaultHasher::new();
            value(&mut hasher);
            std::hash::Hasher::finish(&hasher)
        };
        let wanted = hash(&|hasher| name.hash(hasher));
        self.0.iter().find(|(known, _)| hash(&|hasher| std::hash::Hash::hash(known.as_str(), hasher)) == wanted).map(|(_, txt)| txt.clone())
    }

    fn remove<Q>(&self, _: &Q) -> Option<mail_auth::Txt>
    where
        Box<str>: std::borrow::Borrow<Q>,
        Q: std::hash::Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: mail_auth::Txt, _: std::time::Instant) {}
}

/// How many signatures by this selector hold, by the other verifier.
async fn passes(records: &[(String, String)], mails: &[Vec<u8>], selector: &str) -> usize {
    use mail_auth::common::parse::TxtRecordParser;
    use mail_auth::common::verify::DomainKey;

    let parsed = |value: &str| mail_auth::Txt::from(DomainKey::parse(plain(value).as_bytes()).unwrap());
    let records = Records(records.iter().map(|(name, value)| (format!("{name}."), parsed(value))).collect());
    let verifier = mail_auth::MessageAuthenticator::new_cloudflare_tls().unwrap();
    let mut count = 0;
    for octets in mails {
        let message = mail_auth::AuthenticatedMessage::parse(octets).unwrap();
        let parameters = mail_auth::Parameters::new(&message).with_txt_cache(&records);
        for output in verifier.verify_dkim(parameters).await {
            let meant = output.signature().is_some_and(|signature| signature.s.starts_with(selector));
            count += usize::from(meant && matches!(output.result(), mail_auth::DkimResult::Pass));
        }
    }
    count
}

#[tokio::test]
async fn two_hundred_signatures_pass_mail_auth_and_tampered_ones_fail() {
    let signed = signed();
    let counts = [passes(&signed.records, &signed.good, "wx").await, passes(&signed.records, &signed.tampered, "wx").await];
    assert_eq!(counts, [200, 0]);
}

/// A signature that somebody made before us holds after us, on mail that is left alone.
#[tokio::test]
async fn a_signature_from_upstream_holds_after_passage() {
    let dir = tempfile::tempdir().unwrap();
    let domain = Domain::parse("a.example").unwrap();
    let records = generate(dir.path(), &domain, "up").unwrap();
    let upstream = Signers::load(dir.path()).unwrap();
    // What has no From field is signed by nobody.
    let mails =
        crate::corpus::mails().into_iter().map(|(_, octets)| octets).filter(|octets| octets.windows(6).any(|window| window == b"\nFrom:"));
    let mut passed = Vec::new();
    for octets in mails.step_by(7) {
        let body = Bytes::from(octets);
        let mut signed: Vec<u8> =
            upstream.sign(&domain, std::slice::from_ref(&body), present()).iter().flat_map(|field| field.raw().to_vec()).collect();
        signed.extend_from_slice(&body);
        let message = Message::parse(signed.into());
        let pass = super::specimens::decision(Protection::Pass, Form::Parts);
        let (_, entries) = super::sent(&message, vec![pass], &Wish::default(), &Signers::default());
        passed.push(entries.unwrap().remove(0).body.concat());
    }
    assert!(passed.len() >= 50, "{}", passed.len());
    assert_eq!(passes(&records, &passed, "up").await, 2 * passed.len());
}
