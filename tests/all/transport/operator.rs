//! The way to other domains as an operator sees it, the mail that tells a domain of it, and mail that a client wants kept
//! under TLS (S20): the whole program.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use waxseal::crypto::{Kek, KeyRing};
use waxseal::mail::{Domain, Message};
use waxseal::net::dns::Host;
use waxseal::store::SealedRecords;
use waxseal::store::redb::RedbRecords;
use waxseal::transport::report::{Applied, Failure, Outcome, Tally, Wrong};

use super::matrix::{Issuer, Tlsa, World};
use super::receivers::Receivers;
use super::world::Made;
use super::zones::{Content, Zones};
use crate::crash::raw_sink::{RawSink, obliging, wait_until};
use crate::ports::free_port;

pub struct Gateway {
    pub directory: std::path::PathBuf,
    _place: tempfile::TempDir,
    /// Where mail comes in.
    pub smtp: String,
    running: Option<Child>,
}

impl Gateway {
    /// Set up, with this behind its configuration.
    pub fn new(next_hop: &str, more: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("s");
        let port = || format!("127.0.0.1:{}", free_port());
        let (smtp, web, admin, folder) = (port(), port(), port(), directory.display().to_string());
        let base = format!("http://{web}");
        let words =
            ["init", "--yes", "--directory", &folder, "--domain", "example.org", "--smtp", &smtp, "--web", &web, "--base-url", &base];
        let made =
            Command::new(env!("CARGO_BIN_EXE_waxseal")).args(words).args(["--next-hop", next_hop, "--admin", &admin]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let file = directory.join("waxseal.toml");
        std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + more).unwrap();
        Self { directory, _place: place, smtp, running: None }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
        command.args(words).arg("--config").arg(self.directory.join("waxseal.toml")).stdin(Stdio::null());
        command
    }

    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs; again, where it ran before.
    pub fn serve(&mut self) {
        self.stop();
        self.running = Some(self.command(&["serve", "--allow-root"]).stderr(Stdio::piped()).spawn().unwrap());
        wait_until(|| self.run(&["clock", "show"]).status.success());
    }
}

impl Gateway {
    fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.kill();
            let _ = running.wait();
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop();
    }
}

pub fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn an_operator_sees_the_way_to_a_domain() {
    let record = "3 1 1 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let zones = Zones::serve(&Content {
        signed: format!("proven MX 10 mx.proven\nmx.proven A 192.0.2.1\nmx.proven AAAA 2001:db8::1\n_25._tcp.mx.proven TLSA {record}\n"),
        plain: "open MX 10 mx.open\nmx.open A 192.0.2.2\ninside MX 10 mx.inside\nmx.inside A 127.0.0.1\nnull MX 0 .\n".into(),
        spoiled: String::new(),
    });
    let mut gateway = Gateway::new("127.0.0.1:9", &format!("\n[dns]\nservers = [\"{}\"]\n", zones.resolver));
    gateway.serve();
    for (domain, code, expect) in [
        (
            "proven.signed.example",
            0,
            "mx.proven.signed.example  proven to be the domain's\n    2001:db8::1 192.0.2.1\n    TLS with a certificate by 1 TLSA records (DANE)\n",
        ),
        ("open.plain.example", 0, "mx.open.plain.example  not proven to be the domain's\n    192.0.2.2\n    TLS if it is offered\n"),
        ("inside.plain.example", 1, "inside.plain.example: no host that takes mail for the domain can be found (5.4.4)\n"),
        ("null.plain.example", 1, "null.plain.example: the domain takes no mail (5.1.10)\n"),
        ("missing.plain.example", 1, "missing.plain.example: the domain does not exist (5.1.2)\n"),
        ("a b", 1, "\"a b\" is not a domain\n    write it as in example.org\n"),
    ] {
        let output = gateway.run(&["route", domain]);
        assert_eq!((output.status.code(), shown(&output).as_str()), (Some(code), expect), "{domain}");
    }
}

#[test]
fn a_domain_that_asks_is_told_once_by_a_signed_mail() {
    let zones = Zones::serve(&Content {
        plain: "_smtp._tls.asks TXT \"v=TLSRPTv1; rua=mailto:tls@asks.plain.example\"\nsilent TXT x\n".into(),
        ..Content::default()
    });
    let sink = RawSink::start(obliging);
    let more = format!("\n[dns]\nservers = [\"{}\"]\n[transport]\ntls_reports = \"on\"\n", zones.resolver);
    let mut gateway = Gateway::new(&sink.address.to_string(), &more);
    counted_yesterday(&gateway.directory, &["asks.plain.example", "silent.plain.example"]);
    gateway.serve();
    for _ in 0..2 {
        let told = gateway.run(&["tls-reports"]);
        assert!(told.status.success(), "{}", shown(&told));
    }
    let taken = sink.wait_for(1);
    let [mail] = taken.as_slice() else { panic!("{} mails", taken.len()) };
    assert!(mail.mail.starts_with("MAIL FROM:<>") && mail.rcpts == ["RCPT TO:<tls@asks.plain.example>"], "{} {:?}", mail.mail, mail.rcpts);
    let text = String::from_utf8_lossy(&mail.octets);
    assert!(text.contains("DKIM-Signature: ") && text.contains("TLS-Report-Domain: asks.plain.example\r\n"), "{text}");
    let message = Message::parse(mail.octets.clone().into());
    let mut json = String::new();
    flate2::read::GzDecoder::new(message.content(message.parts().last().unwrap())).read_to_string(&mut json).unwrap();
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["policies"][0]["summary"]["total-failure-session-count"], 3, "{json}");
    assert_eq!(report["contact-info"], "postmaster@example.org");
}

#[test]
fn a_client_under_tls_has_its_message_kept_under_tls_or_hears_at_once_that_it_cannot_be() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (world, receivers) = runtime.block_on(async {
        let mut world = World::new().await;
        let (receivers, port) = Receivers::start(&world.shown).await;
        world.ports.0 = port;
        world.signed("kept", (Issuer::Stranger, Made::Well), Tlsa::Key);
        world.plain("open", Issuer::Ours, Made::Well);
        (world, receivers)
    });
    let zones = Zones::serve(&world.content);
    let more = format!("\n[dns]\nservers = [\"{}\"]\nrefuse = []\n[transport]\nport = {}\n", zones.resolver, world.ports.0);
    let mut gateway = Gateway::new("mx", &more);
    gateway.serve();
    let client = Command::new("python3").args(["-c", CLIENT, &gateway.smtp]).output().unwrap();
    assert_eq!(shown(&client), "clear 555 5.5.4\nkept 250\nopen 550 5.7.30\nopen without 250\n");
    let taken: Vec<_> = receivers.taken().into_iter().map(|taken| (taken.name, taken.mail.ends_with(" REQUIRETLS"))).collect();
    assert_eq!(taken, [(Some("mx.kept.signed.example".into()), true), (Some("mx.open.plain.example".into()), false)]);
}

const CLIENT: &str = r#"
import smtplib, ssl, sys
host, port = sys.argv[1].split(":")
client = smtplib.SMTP(host, int(port))
client.ehlo()
assert not client.has_extn("requiretls")
code, words = client.mail("sue@example.org", ["REQUIRETLS"])
print("clear", code, words.split()[0].decode())
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
client.starttls(context=context)
client.ehlo()
assert client.has_extn("requiretls")
for name, to, options in [("kept", "ann@kept.signed.example", ["REQUIRETLS"]), ("open", "ann@open.plain.example", ["REQUIRETLS"]), ("open without", "ann@open.plain.example", [])]:
    try:
        client.sendmail("sue@example.org", [to], "From: sue@example.org\r\nTo: " + to + "\r\nSubject: hello\r\n\r\nhello\r\n", options)
        print(name, 250)
    except smtplib.SMTPDataError as error:
        print(name, error.smtp_code, error.smtp_error.split()[0].decode())
"#;

/// Three failures each, as an earlier run left them with the records.
#[allow(clippy::disallowed_methods)]
fn counted_yesterday(directory: &Path, domains: &[&str]) {
    let ring = KeyRing::read(&directory.join("keys/ring"), &Kek::read(&directory.join("keys/kek")).unwrap()).unwrap();
    let data = directory.join("data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let records = SealedRecords::new(Arc::new(RedbRecords::open(&data.join("records.redb")).unwrap()), Arc::new(ring));
    records.check_or_initialise().unwrap();
    let tally = Tally::new(records);
    let yesterday = Timestamp::now() - SignedDuration::from_hours(24);
    for domain in domains {
        let host = Host::parse("mx.example.net").unwrap();
        for _ in 0..3 {
            let failure = Failure::new(Wrong::CertificateExpired, Some(&host), "expired");
            tally.count((&Domain::parse(domain).unwrap(), &Applied::default()), Outcome::Failure(failure), yesterday);
        }
    }
    tally.flush().unwrap();
}
