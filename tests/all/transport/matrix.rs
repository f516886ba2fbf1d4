//! DANE and MTA-STS, each alone and both together, against servers that keep to them and servers that do not. Rows S19
//! (which comes first, a policy that outlives an attack and ends in its time, redirects) and S21 (counts).

use std::sync::Arc;

use jiff::Timestamp;
use waxseal::crypto::KeyRing;
use waxseal::mail::Domain;
use waxseal::net::dns::{self, Resolver};
use waxseal::store::SealedRecords;
use waxseal::store::redb::RedbRecords;
use waxseal::transport::report::{Day, Report, Reporter};
use waxseal::transport::{NoCourse, Options, Parts, Strictness, Switch, Transport, Wanted};

use super::world::{Answers, Authority, Made, Shown, deliver, mail_servers, ok, policy, web_servers};
use super::zones::{Content, Zones};

/// Servers and certificates for all cases.
pub struct World {
    pub authority: Authority,
    stranger: Authority,
    pub shown: Arc<Shown>,
    answers: Answers,
    pub content: Content,
    /// Of mail servers and of policies' web servers.
    pub ports: (u16, u16),
    pub directory: tempfile::TempDir,
    pub records: SealedRecords,
}

impl World {
    pub async fn new() -> Self {
        let (shown, answers) = (Arc::new(Shown::default()), Answers::default());
        let ports = (mail_servers(&shown).await.port(), web_servers(&shown, &answers).await.port());
        let engine = Arc::new(RedbRecords::over(redb::backends::InMemoryBackend::new()).unwrap());
        let records = SealedRecords::new(engine, Arc::new(KeyRing::generate()));
        let directory = tempfile::tempdir().unwrap();
        let (authority, stranger) = (Authority::new(), Authority::new());
        Self { authority, stranger, shown, answers, content: Content::default(), ports, directory, records }
    }

    /// A domain `NAME.signed.example` whose one host has this certificate and this TLSA record.
    pub fn signed(&mut self, name: &str, (issuer, made): (Issuer, Made), tlsa: Tlsa) {
        let host = format!("mx.{name}.signed.example");
        let issued = self.issuer(issuer).issue(&host, made);
        self.shown.put(&host, &issued);
        let record = match tlsa {
            Tlsa::None => String::new(),
            Tlsa::Key => issued.record(),
            Tlsa::Authority => self.issuer(issuer).record(),
            Tlsa::Wrong => format!("3 1 1 {}", "00".repeat(32)),
            Tlsa::Unusable => format!("1 1 1 {}", "00".repeat(32)),
        };
        let lines = format!("{name} MX 10 mx.{name}\nmx.{name} A 127.0.0.1\n");
        self.content.signed.push_str(&lines);
        if !record.is_empty() {
            self.content.signed.push_str(&format!("_{}._tcp.mx.{name} TLSA {record}\n", self.ports.0));
        }
    }

    /// The same in `plain.example`, without a record.
    pub fn plain(&mut self, name: &str, issuer: Issuer, made: Made) {
        let host = format!("mx.{name}.plain.example");
        self.shown.put(&host, &self.issuer(issuer).issue(&host, made));
        self.content.plain.push_str(&format!("{name} MX 10 mx.{name}\nmx.{name} A 127.0.0.1\n"));
    }

    /// An MTA-STS policy for a domain, as its web server answers it.
    pub fn policy(&mut self, domain: &str, answer: String) {
        let host = format!("mta-sts.{domain}");
        self.shown.put(&host, &self.authority.issue(&host, Made::Well));
        self.answers.lock().unwrap().insert(host, answer);
        let (name, zone) = domain.split_once('.').unwrap();
        let zone = if zone == "signed.example" { &mut self.content.signed } else { &mut self.content.plain };
        zone.push_str(&format!("_mta-sts.{name} TXT \"v=STSv1; id=1\"\nmta-sts.{name} A 127.0.0.1\n"));
    }

    pub fn issuer(&self, issuer: Issuer) -> &Authority {
        if issuer == Issuer::Ours { &self.authority } else { &self.stranger }
    }

    fn transport(&self, zones: &Zones, reports: Switch) -> Transport {
        self.transport_by(zones.by_word(), reports)
    }

    pub fn transport_by(&self, options: dns::Options, reports: Switch) -> Transport {
        let parts = Parts {
            resolver: Arc::new(Resolver::new(&options).unwrap()),
            records: self.records.clone(),
            ourselves: vec![Domain::parse("gate.example.net").unwrap()],
            https: self.ports.1,
        };
        let roots = Some(self.authority.file(self.directory.path()));
        Transport::new(parts, &Options { port: self.ports.0, roots, tls_reports: reports, ..Options::default() }).unwrap()
    }

    /// What becomes of a mail: `taken by HOST`, `kept`, or the status of why there is no way.
    async fn fate(&self, transport: &Transport, domain: &str, strictness: Strictness) -> String {
        let domain = Domain::parse(domain).unwrap();
        let wanted = Wanted { domain: &domain, strictness };
        match transport.course(&wanted, now()).await {
            Err(none) => {
                transport.count_refusal(&domain, &none, now());
                none.status().to_string()
            }
            Ok(course) => match deliver(transport, (&domain, &course), self.ports.0, now()).await {
                Some(host) => format!("taken by {}", host.split('.').next().unwrap()),
                None => String::from("kept"),
            },
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
pub enum Issuer {
    Ours,
    Stranger,
}

#[derive(Clone, Copy)]
pub enum Tlsa {
    None,
    Key,
    Authority,
    Wrong,
    Unusable,
}

fn now() -> Timestamp {
    "2026-11-28T12:00:00Z".parse().unwrap()
}

const OURS: (Issuer, Made) = (Issuer::Ours, Made::Well);
const STRANGER: (Issuer, Made) = (Issuer::Stranger, Made::Well);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_mail_goes_where_the_domain_does_not_want_it() {
    let mut world = World::new().await;
    world.signed("match", STRANGER, Tlsa::Key);
    world.signed("mismatch", OURS, Tlsa::Wrong);
    world.signed("authority", STRANGER, Tlsa::Authority);
    world.signed("othername", (Issuer::Stranger, Made::For("other.example")), Tlsa::Authority);
    world.signed("oldauthority", (Issuer::Stranger, Made::Expired), Tlsa::Authority);
    world.signed("oldkey", (Issuer::Stranger, Made::Expired), Tlsa::Key);
    world.signed("unusable", STRANGER, Tlsa::Unusable);
    world.signed("silent", STRANGER, Tlsa::None);
    world.signed("both", STRANGER, Tlsa::Key);
    world.policy("both.signed.example", policy("enforce", "elsewhere.example"));
    world.signed("bothwrong", OURS, Tlsa::Wrong);
    world.policy("bothwrong.signed.example", policy("enforce", "*.bothwrong.signed.example"));
    world.content.signed.push_str("second MX 5 mx.mismatch\nsecond MX 10 mx.match\n");
    world.content.signed.push_str("spoiled MX 5 mx.spoiled.example.\n");
    world.content.spoiled.push_str("mx A 127.0.0.66\n");

    world.plain("enforced", Issuer::Ours, Made::Well);
    world.policy("enforced.plain.example", policy("enforce", "mx.enforced.plain.example"));
    world.plain("strange", Issuer::Stranger, Made::Well);
    world.policy("strange.plain.example", policy("enforce", "mx.strange.plain.example"));
    world.plain("other", Issuer::Ours, Made::For("other.example"));
    world.policy("other.plain.example", policy("enforce", "mx.other.plain.example"));
    world.plain("old", Issuer::Ours, Made::Expired);
    world.policy("old.plain.example", policy("enforce", "mx.old.plain.example"));
    world.plain("unlisted", Issuer::Ours, Made::Well);
    world.policy("unlisted.plain.example", policy("enforce", "*.unlisted.example"));
    world.plain("deep", Issuer::Ours, Made::Well);
    world.policy("deep.plain.example", policy("enforce", "*.plain.example"));
    world.plain("tested", Issuer::Stranger, Made::Well);
    world.policy("tested.plain.example", policy("testing", "mx.tested.plain.example"));
    world.plain("testedelse", Issuer::Ours, Made::Well);
    world.policy("testedelse.plain.example", policy("testing", "elsewhere.example"));
    world.plain("none", Issuer::Stranger, Made::Well);
    world.policy("none.plain.example", policy("none", "mx.none.plain.example"));
    world.plain("redirected", Issuer::Stranger, Made::Well);
    world.policy("redirected.plain.example", format!("HTTP/1.1 302 Found\r\nLocation: https://mta-sts.enforced.plain.example:{}/.well-known/mta-sts.txt\r\nContent-Length: 0\r\n\r\n", world.ports.1));
    world.plain("html", Issuer::Stranger, Made::Well);
    world.policy("html.plain.example", policy("enforce", "mx.html.plain.example").replace("text/plain", "text/html"));
    world.plain("huge", Issuer::Stranger, Made::Well);
    world.policy(
        "huge.plain.example",
        ok(&format!("version: STSv1\nmode: enforce\nmax_age: 1\n{}", "mx: mx.huge.plain.example\n".repeat(5_000))),
    );

    let zones = Zones::serve(&world.content);
    for options in [zones.by_word(), zones.by_own_check()] {
        let transport = world.transport_by(options, Switch::Off);
        as_published(&world, &transport).await;
        as_we_ask(&world, &transport).await;
    }
}

async fn as_published(world: &World, transport: &Transport) {
    for (domain, expect) in [
        ("match.signed.example", "taken by mx"),
        ("mismatch.signed.example", "kept"),
        ("authority.signed.example", "taken by mx"),
        ("othername.signed.example", "kept"),
        ("oldauthority.signed.example", "kept"),
        ("oldkey.signed.example", "taken by mx"),
        ("unusable.signed.example", "taken by mx"),
        ("silent.signed.example", "taken by mx"),
        ("both.signed.example", "taken by mx"),
        ("bothwrong.signed.example", "kept"),
        ("second.signed.example", "taken by mx"),
        ("spoiled.signed.example", "4.4.3"),
        ("enforced.plain.example", "taken by mx"),
        ("strange.plain.example", "kept"),
        ("other.plain.example", "kept"),
        ("old.plain.example", "kept"),
        ("unlisted.plain.example", "4.7.5"),
        ("deep.plain.example", "4.7.5"),
        ("tested.plain.example", "taken by mx"),
        ("testedelse.plain.example", "taken by mx"),
        ("none.plain.example", "taken by mx"),
        ("redirected.plain.example", "taken by mx"),
        ("html.plain.example", "taken by mx"),
        ("huge.plain.example", "taken by mx"),
    ] {
        assert_eq!(world.fate(transport, domain, Strictness::Published).await, expect, "{domain}");
    }
}

/// What the message, or our own policy, asks for.
async fn as_we_ask(world: &World, transport: &Transport) {
    for (domain, strictness, expect) in [
        ("match.signed.example", Strictness::RequireTls, "taken by mx"),
        ("silent.signed.example", Strictness::RequireTls, "kept"),
        ("enforced.plain.example", Strictness::RequireTls, "taken by mx"),
        ("tested.plain.example", Strictness::RequireTls, "kept"),
        ("none.plain.example", Strictness::RequireTls, "5.7.30"),
        ("unlisted.plain.example", Strictness::RequireTls, "4.7.5"),
        ("match.signed.example", Strictness::Proven, "taken by mx"),
        ("second.signed.example", Strictness::Proven, "taken by mx"),
        ("enforced.plain.example", Strictness::Proven, "taken by mx"),
        ("silent.signed.example", Strictness::Proven, "5.7.10"),
        ("tested.plain.example", Strictness::Proven, "5.7.10"),
        ("[127.0.0.1]", Strictness::Proven, "5.7.10"),
    ] {
        assert_eq!(world.fate(transport, domain, strictness).await, expect, "{domain} {strictness:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_was_seen_once_outlives_an_attack_on_dns_and_a_restart() {
    let mut world = World::new().await;
    world.plain("victim", Issuer::Ours, Made::Well);
    world.policy("victim.plain.example", policy("enforce", "mx.victim.plain.example"));
    let good = Zones::serve(&world.content);
    assert_eq!(world.fate(&world.transport(&good, Switch::Off), "victim.plain.example", Strictness::Published).await, "taken by mx");
    drop(good);

    // The record of the policy is gone, and the mail is to go to somebody else, whose certificate holds.
    let host = "mx.attacker.plain.example";
    world.shown.put(host, &world.authority.issue(host, Made::Well));
    world.content.plain = String::from("victim MX 10 mx.attacker\nmx.attacker A 127.0.0.1\n");
    let forged = Zones::serve(&world.content);
    let after = world.transport(&forged, Switch::Off);
    assert_eq!(world.fate(&after, "victim.plain.example", Strictness::Published).await, "4.7.5");
    let wanted = Wanted { domain: &Domain::parse("victim.plain.example").unwrap(), strictness: Strictness::Published };
    // It ends when it said that it would, and not before.
    for (hours, is_held) in [(167, true), (169, false)] {
        let later = now() + jiff::SignedDuration::from_hours(hours);
        let course = after.course(&wanted, later).await;
        assert_eq!(matches!(course, Err(NoCourse::Untrusted(_))), is_held, "after {hours} hours: {course:?}");
    }

    // A forged record makes us ask a web server that the attacker has no certificate for.
    world.content.plain.push_str("_mta-sts.victim TXT \"v=STSv1; id=2\"\nmta-sts.victim A 127.0.0.1\n");
    let web = "mta-sts.victim.plain.example";
    world.shown.put(web, &world.stranger.issue(web, Made::Well));
    world.answers.lock().unwrap().insert(web.into(), policy("none", "mx.attacker.plain.example"));
    let forged = Zones::serve(&world.content);
    assert_eq!(world.fate(&world.transport(&forged, Switch::Off), "victim.plain.example", Strictness::Published).await, "4.7.5");

    // The owner takes the policy back.
    world.shown.put(web, &world.authority.issue(web, Made::Well));
    let owner = world.transport(&forged, Switch::Off);
    assert_eq!(world.fate(&owner, "victim.plain.example", Strictness::Published).await, "taken by mx");
    assert_eq!(after.tidy(now() + jiff::SignedDuration::from_hours(169)), Ok(()));
    assert!(world.records.scan(b"transport/", b"transport/", 9).unwrap().is_empty(), "what is over is removed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_report_counts_what_came_to_pass() {
    let mut world = World::new().await;
    world.signed("good", STRANGER, Tlsa::Key);
    world.signed("mismatch", OURS, Tlsa::Wrong);
    world.plain("tested", Issuer::Stranger, Made::Well);
    world.policy("tested.plain.example", policy("testing", "mx.tested.plain.example"));
    world.plain("old", Issuer::Ours, Made::Expired);
    world.policy("old.plain.example", policy("enforce", "mx.old.plain.example"));
    world.plain("unlisted", Issuer::Ours, Made::Well);
    world.policy("unlisted.plain.example", policy("enforce", "elsewhere.example"));
    world.plain("redirected", Issuer::Stranger, Made::Well);
    world.policy("redirected.plain.example", String::from("HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n"));
    world.plain("open", Issuer::Stranger, Made::Well);
    let zones = Zones::serve(&world.content);
    let transport = world.transport(&zones, Switch::On);
    let cases = [
        ("good.signed.example", 3, "tlsa 3 0"),
        ("mismatch.signed.example", 2, "tlsa 0 2 certificate-not-trusted"),
        ("tested.plain.example", 4, "sts 0 4 certificate-not-trusted"),
        ("old.plain.example", 2, "sts 0 2 certificate-expired"),
        ("unlisted.plain.example", 5, "sts 0 5 validation-failure"),
        ("redirected.plain.example", 2, "sts 0 2 sts-policy-fetch-error"),
        ("open.plain.example", 1, "no-policy-found 1 0"),
    ];
    for (number, (domain, count, _)) in cases.iter().enumerate() {
        for _ in 0..*count {
            world.fate(&transport, domain, Strictness::Published).await;
        }
        // Counts of two minutes become one.
        if number.is_multiple_of(2) {
            transport.flush().unwrap();
        }
    }
    let by = Reporter {
        organisation: "Example".into(),
        contact: waxseal::mail::Mailbox::parse("postmaster@example.net").unwrap(),
        host: Domain::parse("gate.example.net").unwrap(),
    };
    let tally = transport.tally().unwrap();
    assert!(tally.before(Day::of(now()), 100).unwrap().is_empty(), "the day is not over");
    let tomorrow = Day::of(now() + jiff::SignedDuration::from_hours(24));
    let reports = tally.before(tomorrow, 100).unwrap();
    assert_eq!(reports.len(), cases.len());
    for (domain, _, expect) in cases {
        let report = reports.iter().find(|report| report.domain == domain).unwrap();
        let shown = told(report, &by);
        assert_eq!(shown, expect, "{domain}");
        tally.forget(report).unwrap();
    }
    assert!(tally.before(tomorrow, 100).unwrap().is_empty());
}

/// Kind of the only policy, successes, failures, and what was wrong.
fn told(report: &Report, by: &Reporter) -> String {
    let text: serde_json::Value = serde_json::from_str(&report.text(by)).unwrap();
    let policies = text["policies"].as_array().unwrap();
    let [policy] = policies.as_slice() else { panic!("{text}") };
    let summary = &policy["summary"];
    let mut shown = format!(
        "{} {} {}",
        policy["policy"]["policy-type"].as_str().unwrap(),
        summary["total-successful-session-count"],
        summary["total-failure-session-count"]
    );
    for detail in policy["failure-details"].as_array().into_iter().flatten() {
        assert_eq!(detail["failed-session-count"], summary["total-failure-session-count"], "{text}");
        shown.push_str(&format!(" {}", detail["result-type"].as_str().unwrap()));
    }
    shown
}
