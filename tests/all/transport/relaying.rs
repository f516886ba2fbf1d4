//! Mail to other domains' mail servers, all the way: DNS, TLS, the connection and what becomes of the message.
//!
//! Rows of the faults to be survived: D12 (a name server that fails makes mail late, a domain that is not there ends it),
//! D13 (TLS that is expired, misnamed, not there, cut or taken away), S12 (a next hop that is ourselves), S19 (MTA-STS and
//! DANE), S20 (REQUIRETLS), S21 (counts of what failed).

use std::net::UdpSocket;
use std::sync::Arc;

use jiff::SignedDuration;
use waxseal::crypto::KeyRing;
use waxseal::mail::RequireTls;
use waxseal::net::dns::{self, Resolver};
use waxseal::queue::NewEntry;
use waxseal::relay::{NextHops, Options, Tls, Ways};
use waxseal::smtp::{Receipt, Refusal};
use waxseal::store::SealedRecords;
use waxseal::transport::report::{Day, Reporter};
use waxseal::transport::{self, Parts, Switch, Transport};

use super::matrix::{Issuer, Tlsa, World};
use super::receivers::{ABSENT, CUT, FORGETFUL, OLD, Receivers, STRIPPED, WHOLE};
use super::world::{Made, policy};
use super::zones::{Content, Zones};
use crate::crash::raw_sink::{RawSink, obliging, wait_until};
use crate::crash::relays::{House, stores};
use crate::crash::twins::Twins;
use crate::crash::{admd, at, entry};
use crate::ports::free_port;

/// Zones, servers and a relay that asks them.
pub struct Net {
    pub world: World,
    pub receivers: Receivers,
    pub twins: Twins,
    pub ring: Arc<KeyRing>,
    _runtime: tokio::runtime::Runtime,
}

impl Net {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (twins, ring) = stores();
        let (world, receivers) = runtime.block_on(async {
            let mut world = World::new().await;
            let (receivers, port) = Receivers::start(&world.shown).await;
            world.ports.0 = port;
            world.records = SealedRecords::new(twins.records.clone(), ring.clone());
            (world, receivers)
        });
        Self { world, receivers, twins, ring, _runtime: runtime }
    }

    /// A host of `plain.example` there, with a certificate that holds.
    pub fn host(&mut self, name: &str, address: std::net::Ipv4Addr) {
        let host = format!("{name}.plain.example");
        self.world.shown.put(&host, &self.world.authority.issue(&host, Made::Well));
        self.world.content.plain.push_str(&format!("{name} A {address}\n"));
    }

    pub fn mx(&mut self, lines: &str) {
        self.world.content.plain.push_str(lines);
    }

    fn house(&self, zones: &Zones, tls: Tls) -> House {
        self.asking(zones.by_word(), tls)
    }

    fn asking(&self, options: dns::Options, tls: Tls) -> House {
        self.over(self.transport(&options), tls)
    }

    fn over(&self, transport: Arc<Transport>, tls: Tls) -> House {
        let rest = Options { next_hop: NextHops::from("mx"), tls, ..Options::default() };
        House::by(&self.twins, &self.ring, (Ways { rest, routes: vec![] }, transport))
    }

    pub fn transport(&self, options: &dns::Options) -> Arc<Transport> {
        let parts = Parts {
            resolver: Arc::new(Resolver::new(options).unwrap()),
            records: self.world.records.clone(),
            ourselves: vec![admd().hostname],
            https: self.world.ports.1,
        };
        let roots = Some(self.world.authority.file(self.world.directory.path()));
        let options = transport::Options { port: self.world.ports.0, roots, tls_reports: Switch::On, ..transport::Options::default() };
        Arc::new(Transport::new(parts, &options).unwrap())
    }

    /// What becomes of a message: `tls HOST` or `clear` where it was taken, `refused STATUS`, or `waits STATUS`.
    fn fate(&self, house: &House, domain: &str, require_tls: RequireTls) -> String {
        let before = self.receivers.taken().len();
        let to = format!("ann@{domain}");
        let fate = match house.take_on(vec![demanding(&to, require_tls)]) {
            Err(Refusal::ByNextHop(said)) => format!("refused {}", said.status),
            Err(other) => panic!("{other:?}"),
            Ok(Receipt::Relayed(_)) => {
                let taken = self.receivers.taken().pop().unwrap();
                assert_eq!(taken.mail.ends_with(" REQUIRETLS"), require_tls == RequireTls::Yes, "{}", taken.mail);
                assert_eq!(taken.rcpts, [format!("RCPT TO:<{to}>")]);
                taken.name.map_or(String::from("clear"), |name| format!("tls {}", name.split('.').next().unwrap()))
            }
            Ok(Receipt::Queued(committed)) => {
                let id = committed.ids()[0];
                let listed = || house.queue.list(None, 100).unwrap().into_iter().find(|listed| listed.id == id).unwrap();
                wait_until(|| listed().attempts > 0);
                let status = listed().last.unwrap().status;
                assert!(house.relay.drop_entry(id).unwrap());
                format!("waits {status}")
            }
        };
        let is_taken = fate.starts_with("tls") || fate == "clear";
        assert_eq!(self.receivers.taken().len() - before, usize::from(is_taken), "{domain}: {fate}");
        // Where a host was away it would be left alone for a while, and another case asks it.
        house.relay.hurry();
        fate
    }
}

fn demanding(to: &str, require_tls: RequireTls) -> NewEntry {
    let entry = entry("sue@example.org", &[to], "for your eyes");
    NewEntry { envelope: waxseal::mail::Envelope { require_tls, ..entry.envelope }, ..entry }
}

fn filled(net: &mut Net) {
    net.host("mx", WHOLE);
    for (host, address) in [("forgetful", FORGETFUL), ("stripped", STRIPPED), ("cut", CUT), ("absent", ABSENT), ("old", OLD)] {
        net.host(host, address);
    }
    net.host("implicit", WHOLE);
    net.mx("open MX 10 mx\nfar MX 20 mx\nfar MX 10 absent\nnull MX 0 .\nloop MX 10 mail.example.org.\n");
    net.mx(
        "takenaway MX 10 stripped\nbroken MX 10 cut\nancient MX 10 old\ngone MX 10 absent\nnowhere MX 10 missing\ndangling CNAME missing\n",
    );
    net.mx("inapolicy MX 10 mx\nhidden MX 10 stripped\nwrongname MX 10 mx\nbadhost MX 10 mx\nrelaxed MX 10 stripped\n");
    net.world.policy("inapolicy.plain.example", policy("enforce", "mx.plain.example"));
    net.world.policy("hidden.plain.example", policy("enforce", "stripped.plain.example"));
    net.world.policy("wrongname.plain.example", policy("enforce", "elsewhere.example"));
    net.world.policy("relaxed.plain.example", policy("testing", "stripped.plain.example"));
    net.world.policy("badhost.plain.example", policy("enforce", "elsewhere.example"));
    let web = "mta-sts.badhost.plain.example";
    net.world.shown.put(web, &net.world.issuer(Issuer::Stranger).issue(web, Made::Well));
    net.world.plain("expired", Issuer::Ours, Made::Expired);
    net.world.policy("expired.plain.example", policy("enforce", "mx.expired.plain.example"));
    net.world.signed("match", (Issuer::Stranger, Made::Well), Tlsa::Key);
    net.world.signed("mismatch", (Issuer::Ours, Made::Well), Tlsa::Wrong);
    net.world.content.signed.push_str("second MX 5 mx.mismatch\nsecond MX 10 mx.match\n");
    net.world.content.signed.push_str("mx.deaf A 127.0.0.2\ndeaf MX 10 mx.deaf\nboth MX 10 mx.deaf\nboth MX 20 mx.match\n");
    net.world.content.signed.push_str("mx.away A 127.0.0.4\nperhaps MX 10 mx.away\nperhaps MX 20 mx.deaf\n");
    let host = "mx.deaf.signed.example";
    let issued = net.world.authority.issue(host, Made::Well);
    net.world.shown.put(host, &issued);
    net.world.content.signed.push_str(&format!("_{}._tcp.mx.deaf TLSA {}\n", net.world.ports.0, issued.record()));
    net.world.content.signed.push_str("spoiled MX 5 mx.spoiled.example.\n");
    net.world.content.spoiled.push_str("mx A 127.0.0.66\n");
}

#[test]
fn mail_goes_where_dns_says_and_no_message_goes_with_less_tls_than_is_demanded() {
    use RequireTls::{No, Yes};
    let mut net = Net::new();
    filled(&mut net);
    let zones = Zones::serve(&net.world.content);
    for (tls, cases) in [(Tls::Opportunistic, OPPORTUNISTIC), (Tls::Required, REQUIRED), (Tls::Verified, VERIFIED)] {
        let house = net.house(&zones, tls);
        for (domain, expect) in cases {
            assert_eq!(net.fate(&house, domain, No), *expect, "{domain} {tls:?}");
        }
        for (domain, expect) in REQUIRETLS {
            assert_eq!(net.fate(&house, domain, Yes), *expect, "{domain} {tls:?} REQUIRETLS");
        }
    }
    // By signatures that are checked here the answers are the same.
    let house = net.asking(zones.by_own_check(), Tls::Opportunistic);
    for (domain, expect) in OPPORTUNISTIC {
        assert_eq!(net.fate(&house, domain, No), *expect, "{domain} by our own check");
    }
}

type Cases = &'static [(&'static str, &'static str)];

const OPPORTUNISTIC: Cases = &[
    ("open.plain.example", "tls mx"),
    ("implicit.plain.example", "tls implicit"),
    ("far.plain.example", "tls mx"),
    ("null.plain.example", "refused 5.1.10"),
    ("missing.plain.example", "refused 5.1.2"),
    ("loop.plain.example", "refused 5.4.6"),
    ("nowhere.plain.example", "refused 5.4.4"),
    ("gone.plain.example", "waits 4.4.1"),
    ("takenaway.plain.example", "clear"),
    ("inapolicy.plain.example", "tls mx"),
    ("hidden.plain.example", "waits 4.7.5"),
    ("wrongname.plain.example", "waits 4.7.5"),
    ("expired.plain.example", "waits 4.7.5"),
    ("relaxed.plain.example", "clear"),
    ("badhost.plain.example", "tls mx"),
    ("match.signed.example", "tls mx"),
    ("mismatch.signed.example", "waits 4.7.5"),
    ("second.signed.example", "tls mx"),
    ("spoiled.signed.example", "waits 4.4.3"),
];

const REQUIRED: Cases = &[
    ("open.plain.example", "tls mx"),
    ("takenaway.plain.example", "waits 4.7.5"),
    ("relaxed.plain.example", "waits 4.7.5"),
    ("broken.plain.example", "waits 4.7.5"),
    ("ancient.plain.example", "waits 4.7.5"),
    ("mismatch.signed.example", "waits 4.7.5"),
];

const VERIFIED: Cases = &[
    ("open.plain.example", "waits 4.7.10"),
    ("ancient.plain.example", "waits 4.7.10"),
    ("inapolicy.plain.example", "tls mx"),
    ("match.signed.example", "tls mx"),
    ("mismatch.signed.example", "waits 4.7.5"),
];

const REQUIRETLS: Cases = &[
    ("match.signed.example", "tls mx"),
    ("inapolicy.plain.example", "tls mx"),
    // It promises nothing; the other one does.
    ("deaf.signed.example", "refused 5.7.30"),
    ("both.signed.example", "tls mx"),
    ("open.plain.example", "refused 5.7.30"),
    // It is away, and may promise when it is back.
    ("perhaps.signed.example", "waits 4.4.1"),
    ("hidden.plain.example", "refused 5.7.30"),
    ("expired.plain.example", "refused 5.7.30"),
    ("ancient.plain.example", "refused 5.7.30"),
    ("mismatch.signed.example", "refused 5.7.30"),
    ("spoiled.signed.example", "waits 4.4.3"),
];

#[test]
fn tls_that_fails_where_nobody_demands_it_is_done_without_next_time_and_only_there() {
    let mut net = Net::new();
    filled(&mut net);
    let zones = Zones::serve(&net.world.content);
    let house = net.house(&zones, Tls::Opportunistic);
    assert_eq!(net.fate(&house, "broken.plain.example", RequireTls::No), "waits 4.7.5");
    assert_eq!(net.fate(&house, "broken.plain.example", RequireTls::No), "clear");
    assert_eq!(net.fate(&house, "broken.plain.example", RequireTls::Yes), "refused 5.7.30");
}

#[test]
fn a_connection_serves_all_domains_of_a_host_whose_demand_is_the_same_and_no_other() {
    let mut net = Net::new();
    net.host("mx", WHOLE);
    net.mx("one MX 10 mx\ntwo MX 10 mx\nstrict MX 10 mx\n");
    net.world.policy("strict.plain.example", policy("enforce", "mx.plain.example"));
    let zones = Zones::serve(&net.world.content);
    let house = net.house(&zones, Tls::Opportunistic);
    for (domain, connections) in [("one", 1), ("two", 1), ("strict", 2), ("one", 2), ("strict", 2)] {
        assert_eq!(net.fate(&house, &format!("{domain}.plain.example"), RequireTls::No), "tls mx");
        assert_eq!(net.receivers.handshakes("mx.plain.example"), connections, "{domain}");
    }
}

#[test]
fn recipients_of_several_domains_part_and_one_that_is_away_keeps_nobody_waiting() {
    let mut net = Net::new();
    for (host, address) in [("mx", WHOLE), ("absent", ABSENT)] {
        net.host(host, address);
    }
    net.mx("one MX 10 mx\ntwo MX 10 mx\ngone MX 10 absent\n");
    let zones = Zones::serve(&net.world.content);
    let house = net.house(&zones, Tls::Opportunistic);
    for _ in 0..10 {
        let to = ["a@one.plain.example", "b@two.plain.example", "c@gone.plain.example", "d@one.plain.example"];
        assert!(matches!(house.take_on_one(&to), Ok(Receipt::Queued(_))));
    }
    wait_until(|| house.queue.waiting() == 10);
    let taken = net.receivers.taken();
    assert_eq!(taken.len(), 20);
    for mail in taken {
        let (one, two) = ((&["a", "d"][..], "one"), (&["b"][..], "two"));
        let lines = |(names, domain): (&[&str], &str)| {
            names.iter().map(|name| format!("RCPT TO:<{name}@{domain}.plain.example>")).collect::<Vec<_>>()
        };
        assert!([one, two].into_iter().any(|domain| lines(domain) == mail.rcpts), "{:?}", mail.rcpts);
    }
    // It is found again when its turn comes.
    assert!(house.queue.list(None, 20).unwrap().iter().all(|listed| listed.attempts <= 1));
    house.later(61);
    wait_until(|| house.queue.list(None, 20).unwrap().iter().all(|listed| listed.attempts == 2));
    house.kill();

    // What waits finds its way after a restart too, to where the domain's mail goes now.
    net.world.content.plain = net.world.content.plain.replace("gone MX 10 absent", "gone MX 10 mx");
    let zones = Zones::serve(&net.world.content);
    let house = net.house(&zones, Tls::Opportunistic);
    house.later(3_600);
    house.until_empty();
    assert_eq!(net.receivers.taken().len(), 30);
}

#[test]
fn an_entry_that_could_not_be_read_at_the_start_is_looked_at_again() {
    let mut net = Net::new();
    net.host("mx", WHOLE);
    net.mx("open MX 10 mx\n");
    let zones = Zones::serve(&net.world.content);
    let spoil = || {
        let mut map = net.twins.records.map.lock().unwrap();
        let (_, (value, _)) = map.iter_mut().find(|(key, _)| key.starts_with(b"q/e/")).unwrap();
        value[40] ^= 1;
    };
    let house = net.house(&zones, Tls::Opportunistic);
    house.queue.commit(vec![entry("sue@example.org", &["b@open.plain.example"], "text")], vec![], at(3_600)).unwrap();
    house.kill();
    spoil();
    let house = net.house(&zones, Tls::Opportunistic);
    spoil();
    house.later(3_600);
    house.until_empty();
    assert_eq!(net.receivers.taken().len(), 1);
}

#[test]
fn a_name_server_that_is_silent_makes_mail_late() {
    let net = Net::new();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let options = dns::Options { servers: vec![silent.local_addr().unwrap()], timeout_seconds: 1, attempts: 1, ..dns::Options::default() };
    let house = net.asking(options, Tls::Opportunistic);
    assert_eq!(net.fate(&house, "open.plain.example", RequireTls::No), "waits 4.4.3");
}

#[test]
fn a_next_hop_with_an_address_needs_no_dns() {
    let net = Net::new();
    let (unasked, sink) = (UdpSocket::bind("127.0.0.1:0").unwrap(), RawSink::start(obliging));
    unasked.set_nonblocking(true).unwrap();
    let options = dns::Options { servers: vec![unasked.local_addr().unwrap()], ..dns::Options::default() };
    let rest = Options { next_hop: NextHops::from(sink.address.to_string().as_str()), ..Options::default() };
    let house = House::by(&net.twins, &net.ring, (Ways { rest, routes: vec![] }, net.transport(&options)));
    assert!(matches!(house.take_on_one(&["b@example.net"]), Ok(Receipt::Relayed(_))));
    assert_eq!(unasked.recv(&mut [0; 512]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_named_hop_keeps_requiretls_or_gets_nothing_and_the_sender_hears_of_it_without_a_word_of_the_message() {
    let net = Net::new();
    let way = |next_hop: String, roots| Options { next_hop: NextHops::from(next_hop.as_str()), roots, ..Options::default() };
    let roots = Some(net.world.authority.file(net.world.directory.path()));
    let options = Zones::serve(&Content::default()).by_word();
    let open = |rest| House::by(&net.twins, &net.ring, (Ways { rest, routes: vec![] }, net.transport(&options)));
    let named = || way(format!("localhost:{}", net.world.ports.0), roots.clone());
    let house = open(named());
    net.world.shown.put("localhost", &net.world.authority.issue("localhost", Made::Well));
    assert_eq!(net.fate(&house, "example.net", RequireTls::Yes), "tls localhost");
    net.world.shown.put("localhost", &net.world.issuer(Issuer::Stranger).issue("localhost", Made::Well));
    // Not the same house: a session that is resumed shows no certificate.
    house.kill();
    let house = open(named());
    assert_eq!(net.fate(&house, "example.net", RequireTls::Yes), "refused 5.7.30");
    assert_eq!(net.fate(&house, "example.net", RequireTls::No), "tls localhost", "who demands nothing is not kept waiting");
    house.kill();

    let sink = RawSink::start(obliging);
    let away = format!("127.0.0.1:{}", free_port());
    let house = open(Options { next_hop: NextHops(vec![sink.address.to_string(), away]), ..way(String::new(), None) });
    for _ in 0..2 {
        assert!(net.fate(&house, "example.net", RequireTls::Yes).starts_with("waits"), "the one that is away might keep it");
    }
    house.kill();
    let house = open(way(sink.address.to_string(), None));
    house.send(vec![demanding("ann@example.net", RequireTls::Yes)]);
    let taken = sink.wait_for(1);
    let [report] = taken.as_slice() else { panic!("{} mails", taken.len()) };
    let text = String::from_utf8_lossy(&report.octets);
    assert_eq!(report.rcpts, ["RCPT TO:<sue@example.org> NOTIFY=NEVER"]);
    assert!(text.contains("Status: 5.7.30") && !text.contains("Subject: test") && !text.contains("for your eyes"), "{text}");
}

#[test]
fn what_failed_is_counted_for_the_domain_once() {
    let mut net = Net::new();
    filled(&mut net);
    let zones = Zones::serve(&net.world.content);
    let transport = net.transport(&zones.by_word());
    let house = net.over(transport.clone(), Tls::Opportunistic);
    let domains = ["match.signed.example", "mismatch.signed.example", "hidden.plain.example", "wrongname.plain.example"];
    for domain in domains {
        net.fate(&house, domain, RequireTls::No);
    }
    transport.flush().unwrap();
    let tally = transport.tally().unwrap();
    let tomorrow = Day::of(at(0) + SignedDuration::from_hours(24));
    let by = Reporter { organisation: "x".into(), contact: admd().postmaster, host: admd().hostname };
    let told = |domain: &str| {
        let reports = tally.before(tomorrow, 100).unwrap();
        let report = reports.iter().find(|report| report.domain == domain).unwrap();
        serde_json::from_str::<serde_json::Value>(&report.text(&by)).unwrap()["policies"][0].clone()
    };
    for (domain, result) in [
        ("match.signed.example", ""),
        ("mismatch.signed.example", "certificate-not-trusted"),
        ("hidden.plain.example", "starttls-not-supported"),
        ("wrongname.plain.example", "validation-failure"),
    ] {
        let policy = told(domain);
        assert_eq!(policy["failure-details"][0]["result-type"].as_str().unwrap_or_default(), result, "{policy}");
    }
}
