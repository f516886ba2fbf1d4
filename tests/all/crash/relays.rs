//! Queue and relay together against a raw sink: fates of recipients, reports, pools, probes, stops.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mail_parser::{MessageParser, MimeHeaders};
use tokio::sync::oneshot;
use waxseal::clock::Clock;
use waxseal::crypto::KeyRing;
use waxseal::mail::{EnvelopeId, Notify, OriginalRecipient, Return};
use waxseal::net::dns::Resolver;
use waxseal::queue::{NewEntry, Queue};
use waxseal::relay::{self, Relay, Routes, Stations, Ways};
use waxseal::store::SealedRecords;
use waxseal::transport::{self, Transport};
use waxseal::vault::Vault;

use super::raw_sink::{Act, RawSink, Stage, Taken, obliging, say, wait_until};
use super::twins::Twins;
use super::{admd, at, entry, open_with};

/// A queue and a running relay with a clock whose hands the test moves.
pub struct House {
    pub queue: Arc<Queue>,
    pub relay: Arc<Relay>,
    seconds: Arc<AtomicI64>,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl House {
    pub fn start(twins: &Twins, ring: &Arc<KeyRing>, next_hop: &str) -> Self {
        Self::with(twins, ring, Ways { rest: plain(next_hop), routes: vec![] })
    }

    pub fn with(twins: &Twins, ring: &Arc<KeyRing>, ways: Ways) -> Self {
        let parts = transport::Parts {
            resolver: Arc::new(Resolver::new(&waxseal::net::dns::Options::default()).unwrap()),
            records: SealedRecords::new(twins.records.clone(), ring.clone()),
            ourselves: vec![admd().hostname],
            https: transport::HTTPS,
        };
        Self::by(twins, ring, (ways, Arc::new(Transport::new(parts, &transport::Options::default()).unwrap())))
    }

    /// The same with its own way to other domains.
    pub fn by(twins: &Twins, ring: &Arc<KeyRing>, (ways, transport): (Ways, Arc<Transport>)) -> Self {
        let seconds = Arc::new(AtomicI64::new(0));
        let hands = seconds.clone();
        let clock = Clock::new(move || at(hands.load(Ordering::SeqCst)));
        let routes = Routes::new(&admd(), &ways).unwrap();
        let tell = routes.clone();
        let queue = Arc::new(open_with(twins, ring, Arc::new(move |envelope| tell.lane(envelope)), at(0)).unwrap());
        let records = SealedRecords::new(twins.records.clone(), ring.clone());
        let vault = Arc::new(Vault::new(records, twins.blobs.clone(), twins.slots.clone()));
        let relay = Arc::new(Relay::new(Stations { queue: queue.clone(), vault, routes, transport }, &admd(), &ways, clock).unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (stop, stopped) = oneshot::channel();
        runtime.spawn(relay.clone().run(async {
            let _ = stopped.await;
        }));
        Self { queue, relay, seconds, stop: Some(stop), runtime: Some(runtime) }
    }

    pub fn send(&self, entries: Vec<NewEntry>) {
        self.queue.commit(entries, vec![], at(self.seconds.load(Ordering::SeqCst))).unwrap();
        self.relay.wake();
    }

    /// Moves the clock on.
    pub fn later(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
        self.relay.wake();
    }

    pub fn until_empty(&self) {
        wait_until(|| {
            self.relay.wake();
            self.queue.waiting() == 0
        });
    }

    pub fn runtime(&self) -> &tokio::runtime::Runtime {
        self.runtime.as_ref().unwrap()
    }

    /// The relay ends what it does and begins nothing.
    pub fn ask_to_stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    /// As a kill: nothing is told to anybody.
    pub fn kill(mut self) {
        if let Some(stop) = self.stop.take() {
            std::mem::forget(stop);
        }
        self.runtime.take().unwrap().shutdown_timeout(Duration::ZERO);
    }
}

/// A next hop in the clear, with few connections.
pub fn plain(next_hop: &str) -> relay::Options {
    relay::Options { next_hop: next_hop.into(), tls: relay::Tls::None, connections: 4, ..relay::Options::default() }
}

pub fn stores() -> (Twins, Arc<KeyRing>) {
    (Twins::new(), Arc::new(KeyRing::generate()))
}

fn to(taken: &[Taken], address: &str) -> usize {
    taken.iter().flat_map(|mail| &mail.rcpts).filter(|line| line.contains(address)).count()
}

#[test]
fn each_recipient_of_one_envelope_meets_its_own_fate() {
    let refusals = AtomicUsize::new(0);
    let sink = RawSink::start(move |stage| match stage {
        Stage::Rcpt(line) if line.contains("later@") && refusals.fetch_add(1, Ordering::SeqCst) < 2 => say("450 4.2.1 later"),
        Stage::Rcpt(line) if line.contains("never@") => say("550 5.1.1 nobody of that name"),
        _ => obliging(stage),
    });
    let (twins, ring) = stores();
    let house = House::start(&twins, &ring, &sink.address.to_string());
    house.send(vec![entry("ann@example.org", &["now@example.net", "later@example.net", "never@example.net"], "x")]);
    sink.wait_for(2);
    house.later(61);
    // Settled, not only attempted: the next time counts from there.
    wait_until(|| house.queue.list(None, 1).unwrap().first().is_some_and(|entry| entry.attempts == 2));
    house.later(301);
    house.until_empty();
    let taken = sink.taken();
    assert_eq!((to(&taken, "now@"), to(&taken, "later@"), to(&taken, "never@"), to(&taken, "ann@")), (1, 1, 0, 1));
    let report = taken.iter().find(|mail| mail.rcpts[0].contains("ann@")).unwrap();
    assert!(report.mail.starts_with("MAIL FROM:<>"), "{}", report.mail);
    assert!(String::from_utf8_lossy(&report.octets).contains("5.1.1"));
}

#[test]
fn next_hops_that_do_not_answer_a_goodbye_keep_nothing_from_being_tidied() {
    let sink = RawSink::start(|stage| match stage {
        Stage::Dot(_) => {
            std::thread::sleep(Duration::from_millis(300));
            obliging(stage)
        }
        Stage::Quit => Act::Hang,
        _ => obliging(stage),
    });
    let (twins, ring) = stores();
    let house = House::start(&twins, &ring, &sink.address.to_string());
    house.send((0..4).map(|number| entry("ann@example.org", &["b@example.net"], &number.to_string())).collect());
    house.until_empty();
    let is_tidy = || twins.slots.slots.lock().unwrap().iter().all(|(_, in_use, _)| !in_use);
    wait_until(is_tidy);
    house.later(31);
    let quits = || sink.stages().iter().filter(|stage| **stage == Stage::Quit).count();
    // Each of them is waited for five seconds, all at once.
    wait_until(|| quits() > 2);
    house.send(vec![entry("ann@example.org", &["b@example.net"], "one more")]);
    house.until_empty();
    wait_until(is_tidy);
}

#[test]
fn a_bounce_that_cannot_be_delivered_makes_no_mail() {
    let sink = RawSink::start(|stage| match stage {
        Stage::Rcpt(_) => say("550 5.1.1 nobody"),
        _ => obliging(stage),
    });
    let (twins, ring) = stores();
    let house = House::start(&twins, &ring, &sink.address.to_string());
    house.send(vec![entry("", &["b@example.net"], "x"), entry("ann@example.org", &["b@example.net"], "x")]);
    house.until_empty();
    // The second one's report went to ann, was refused too, and that was the end of it.
    let mails = sink.stages().iter().filter(|stage| matches!(stage, Stage::Mail(_))).count();
    assert_eq!((sink.taken().len(), mails), (0, 3));
}

#[test]
fn reports_follow_the_wishes_of_the_sender_and_can_be_parsed() {
    const fn on([success, failure, delay]: [bool; 3]) -> Option<Notify> {
        Some(Notify::On { success, failure, delay })
    }
    let cases = [
        (None, "550", "failed"),
        (None, "250", ""),
        (None, "450", "delayed"),
        (Some(Notify::Never), "550", ""),
        (Some(Notify::Never), "450", ""),
        (on([true, false, false]), "250", "relayed"),
        (on([true, false, false]), "550", ""),
        (on([false, true, false]), "550", "failed"),
        (on([false, true, false]), "450", ""),
        (on([false, false, true]), "450", "delayed"),
        (on([true, true, true]), "250", "relayed"),
        (on([true, true, true]), "550", "failed"),
    ];
    for (notify, code, expect) in cases {
        let sink = RawSink::start(move |stage| match stage {
            // Without DSN a success report is ours to make.
            Stage::Ehlo => say("250-sink.example.net\n250 PIPELINING"),
            Stage::Rcpt(line) if line.contains("b@") => say(&format!("{code} words of the next hop")),
            _ => obliging(stage),
        });
        let (twins, ring) = stores();
        let house = House::start(&twins, &ring, &sink.address.to_string());
        let mut new = entry("ann@example.org", &["b@example.net"], "the body");
        new.envelope.ret = Some(Return::Headers);
        new.envelope.envelope_id = Some(EnvelopeId("QQ314159".into()));
        new.envelope.recipients[0].notify = notify;
        new.envelope.recipients[0].original =
            Some(OriginalRecipient { address_type: "rfc822".into(), address: "b@example.net Injected: yes".into() });
        house.send(vec![new]);
        let attempted = || sink.stages().iter().any(|stage| matches!(stage, Stage::Rcpt(line) if line.contains("b@")));
        wait_until(attempted);
        if code == "450" {
            wait_until(|| house.queue.list(None, 1).unwrap().first().is_some_and(|entry| entry.attempts == 1));
            house.later(4 * 3600);
            wait_until(|| house.queue.list(None, 1).unwrap().first().is_some_and(|entry| entry.attempts == 2));
            wait_until(|| house.queue.waiting() == 1);
        } else {
            house.until_empty();
        }
        let reports: Vec<Taken> = sink.taken().into_iter().filter(|mail| mail.mail.starts_with("MAIL FROM:<>")).collect();
        assert_eq!(reports.len(), usize::from(!expect.is_empty()), "{notify:?} {code}");
        for report in reports {
            assert_is_report(&report.octets, expect);
        }
        house.kill();
    }
}

/// RFC 3464: three parts, and the second says what happened.
fn assert_is_report(octets: &[u8], action: &str) {
    let message = MessageParser::default().parse(octets).unwrap();
    let content_type = message.content_type().unwrap();
    assert_eq!((content_type.ctype(), content_type.subtype()), ("multipart", Some("report")));
    assert_eq!(content_type.attribute("report-type"), Some("delivery-status"));
    let text = String::from_utf8_lossy(octets);
    for line in [&format!("Action: {action}\r\n"), "Original-Envelope-Id: QQ314159\r\n", "Final-Recipient: rfc822;"] {
        assert!(text.contains(line.trim_end()), "{line} in {text}");
    }
    assert!(text.contains("Subject: test"), "the header comes back");
    assert!(!text.contains("the body"), "the body does not");
    assert!(!text.contains("\r\nInjected:"), "no header line can be smuggled in");
}

#[test]
fn an_lmtp_hop_answers_for_each_recipient_and_a_loss_in_between_is_for_the_rest() {
    let dots = AtomicUsize::new(0);
    let sink = RawSink::start(move |stage| match stage {
        Stage::Ehlo => say("250-sink.example.net\n250 PIPELINING"),
        Stage::Rcpt(line) if line.contains("nobody@") => say("550 5.1.1 nobody"),
        Stage::Dot(_) => match dots.fetch_add(1, Ordering::SeqCst) {
            0 => say("250 2.0.0 in\n451 4.2.2 later\n552 5.2.2 full\n250 2.0.0 in"),
            // The reports about the first, to one recipient each.
            1 | 2 => say("250 2.0.0 in"),
            3 => Act::SayAndClose("250 2.0.0 in".into()),
            _ => say("250 2.0.0 in"),
        },
        _ => obliging(stage),
    });
    let (twins, ring) = stores();
    let house = House::start(&twins, &ring, &format!("lmtp://{}", sink.address));
    let to = |names: &[&str]| names.iter().map(|name| format!("{name}@example.net")).collect::<Vec<_>>();
    let send = |names: &[&str]| {
        let to = to(names);
        let mut new = entry("ann@example.org", &to.iter().map(String::as_str).collect::<Vec<_>>(), "x");
        let wish = Some(Notify::On { success: true, failure: true, delay: false });
        new.envelope.recipients.iter_mut().filter(|to| to.forward_path.to_string() == "told@example.net").for_each(|to| to.notify = wish);
        house.send(vec![new]);
    };
    let open = || {
        let listed = house.queue.list(None, 9).unwrap();
        let to =
            |listed: &waxseal::queue::Listed| listed.envelope.recipients.iter().map(|to| to.forward_path.to_string()).collect::<Vec<_>>();
        listed.iter().flat_map(to).collect::<Vec<_>>()
    };
    send(&["in", "nobody", "late", "full", "told"]);
    wait_until(|| open() == ["late@example.net"]);
    let texts: Vec<String> = sink.taken().iter().map(|taken| String::from_utf8_lossy(&taken.octets).into_owned()).collect();
    let about = |action: &str| texts.iter().filter(|text| text.contains(action)).collect::<Vec<_>>();
    let (failed, delivered) = (about("Action: failed"), about("Action: delivered"));
    assert!(failed.len() == 1 && failed[0].contains("smtp; 552 full") && failed[0].contains("smtp; 550 nobody"), "{failed:?}");
    assert!(delivered.len() == 1 && delivered[0].contains("told@example.net"), "{delivered:?}");
    send(&["first", "second"]);
    wait_until(|| open().contains(&"second@example.net".to_owned()) && !open().contains(&"first@example.net".to_owned()));
    assert!(sink.wire().iter().all(|wire| !contains_line(wire, "EHLO") && contains_line(wire, "LHLO")));
    house.later(61);
    house.until_empty();
}

fn contains_line(wire: &[u8], verb: &str) -> bool {
    String::from_utf8_lossy(wire).lines().any(|line| line.starts_with(verb))
}

#[test]
fn a_loss_after_the_dot_is_tried_again_and_a_pooled_connection_that_died_is_replaced_at_once() {
    let dots = AtomicUsize::new(0);
    let sink = RawSink::start(move |stage| match stage {
        Stage::Dot(_) => match dots.fetch_add(1, Ordering::SeqCst) {
            0 => Act::Reset,
            1 => Act::SayAndClose("250 2.0.0 taken".into()),
            _ => obliging(stage),
        },
        _ => obliging(stage),
    });
    let (twins, ring) = stores();
    let house = House::start(&twins, &ring, &sink.address.to_string());
    house.send(vec![entry("ann@example.org", &["b@example.net"], "one")]);
    wait_until(|| house.queue.list(None, 1).unwrap().first().is_some_and(|entry| entry.attempts == 1));
    assert_eq!(sink.taken().len(), 0);
    house.later(61);
    sink.wait_for(1);
    house.until_empty();
    // The connection in the pool is closed by now; nobody waits a minute for that.
    house.send(vec![entry("ann@example.org", &["b@example.net"], "two")]);
    sink.wait_for(2);
    house.send(vec![entry("ann@example.org", &["b@example.net"], "three")]);
    sink.wait_for(3);
    house.until_empty();
    let greetings = sink.stages().iter().filter(|stage| **stage == Stage::Greeting).count();
    assert_eq!(greetings, 3, "the last two messages shared a connection");
}

#[test]
fn a_next_hop_that_says_nothing_after_the_dot_gets_the_message_again_from_the_next_start() {
    let dots = AtomicUsize::new(0);
    let sink = RawSink::start(move |stage| match stage {
        Stage::Dot(_) if dots.fetch_add(1, Ordering::SeqCst) == 0 => Act::Hang,
        _ => obliging(stage),
    });
    let (twins, ring) = stores();
    let house = House::start(&twins, &ring, &sink.address.to_string());
    house.send(vec![entry("ann@example.org", &["b@example.net"], "..\r\n.dot")]);
    wait_until(|| sink.stages().iter().any(|stage| matches!(stage, Stage::Dot(_))));
    house.kill();
    let house = House::start(&twins, &ring, &sink.address.to_string());
    assert!(sink.wait_for(1)[0].octets.ends_with(b"\r\n\r\n...\r\n..dot\r\n"));
    house.until_empty();
    for wire in sink.wire() {
        assert!(!String::from_utf8_lossy(&wire).replace("\r\n", "").contains(['\r', '\n']), "every line on the wire ends with CRLF");
    }
}

#[test]
fn a_next_hop_that_is_away_is_probed_and_not_hammered() {
    let away = Arc::new(AtomicUsize::new(1));
    let is_away = away.clone();
    let sink = RawSink::start(move |stage| match stage {
        Stage::Greeting if is_away.load(Ordering::SeqCst) == 1 => Act::SayAndClose("421 4.3.2 closed".into()),
        _ => obliging(stage),
    });
    let greetings = |sink: &RawSink| sink.stages().iter().filter(|stage| **stage == Stage::Greeting).count();
    let (twins, ring) = stores();
    let house = House::start(&twins, &ring, &sink.address.to_string());
    house.send((0..50).map(|number| entry("ann@example.org", &["b@example.net"], &number.to_string())).collect());
    wait_until(|| greetings(&sink) >= 1);
    std::thread::sleep(Duration::from_millis(200));
    let first = greetings(&sink);
    assert!(first <= 4, "{first} connections while it is away");
    house.later(6);
    wait_until(|| greetings(&sink) == first + 1);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(greetings(&sink), first + 1, "one probe");
    // Late senders hear of it although nothing can be attempted.
    house.later(5 * 3600);
    wait_until(|| house.queue.waiting() == 100);
    away.store(0, Ordering::SeqCst);
    house.later(3600);
    house.until_empty();
    assert_eq!((to(&sink.taken(), "b@"), to(&sink.taken(), "ann@")), (50, 50));
}

#[test]
fn tls_that_breaks_is_done_without_where_it_was_only_offered_and_nowhere_else() {
    use relay::Tls::{Opportunistic, Required, Verified};
    let place = tempfile::tempdir().unwrap();
    let password = place.path().join("password");
    std::fs::write(&password, "swordfish\n").unwrap();
    std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    for (tls, user, is_sent) in
        [(Opportunistic, None, true), (Opportunistic, Some("gateway"), false), (Required, None, false), (Verified, None, false)]
    {
        let sink = RawSink::start(|stage| match stage {
            Stage::Ehlo => say("250-sink.example.net\n250-AUTH PLAIN\n250 STARTTLS"),
            Stage::StartTls => Act::SayAndClose("220 go on".into()),
            _ => obliging(stage),
        });
        let (twins, ring) = stores();
        let (username, password_file) = (user.map(String::from), user.map(|_| password.clone()));
        let rest = relay::Options { tls, username, password_file, ..plain(&sink.address.to_string()) };
        let house = House::with(&twins, &ring, Ways { rest, routes: vec![] });
        let shaken = || sink.stages().iter().filter(|stage| **stage == Stage::StartTls).count();
        let attempts = || house.queue.list(None, 1).unwrap().first().map_or(0, |entry| entry.attempts);
        house.send(vec![entry("ann@example.org", &["b@example.net"], "x")]);
        wait_until(|| attempts() == 1);
        house.later(61);
        if is_sent {
            house.until_empty();
            assert_eq!((sink.taken().len(), shaken()), (1, 1), "{tls:?}");
            house.later(10 * 60);
            house.send(vec![entry("ann@example.org", &["b@example.net"], "x")]);
            wait_until(|| shaken() == 2);
        } else {
            wait_until(|| attempts() == 2);
            assert_eq!(shaken(), 2, "{tls:?}");
            let said = sink.stages().into_iter().find(|stage| matches!(stage, Stage::Mail(_) | Stage::Auth(_)));
            assert_eq!(said, None, "{tls:?} {user:?}");
        }
        house.kill();
    }
}

#[test]
fn a_stop_lets_running_attempts_settle() {
    let sink = RawSink::start(|stage| {
        if matches!(stage, Stage::Dot(_)) {
            std::thread::sleep(Duration::from_millis(300));
        }
        obliging(stage)
    });
    let (twins, ring) = stores();
    let mut house = House::start(&twins, &ring, &sink.address.to_string());
    house.send((0..4).map(|number| entry("ann@example.org", &["b@example.net"], &number.to_string())).collect());
    wait_until(|| sink.stages().iter().filter(|stage| **stage == Stage::Data).count() == 4);
    house.stop.take().unwrap().send(()).unwrap();
    wait_until(|| house.queue.waiting() == 0);
    wait_until(|| sink.stages().contains(&Stage::Quit));
    assert_eq!(sink.taken().len(), 4);
}

#[test]
fn killed_at_any_moment_nothing_is_lost_and_at_most_one_copy_a_connection_is_doubled() {
    let kills: i64 = 12;
    let (twins, ring) = stores();
    let moments = Mutex::new(0_u64);
    let sink = RawSink::start(move |stage| {
        // A next hop that takes its time, so that kills fall before, in and after DATA.
        if matches!(stage, Stage::Data | Stage::Dot(_)) {
            let mut moment = moments.lock().unwrap();
            *moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let pause = *moment >> 60;
            drop(moment);
            std::thread::sleep(Duration::from_millis(pause));
        }
        obliging(stage)
    });
    let mut sent = 0;
    for kill in 0..kills {
        let house = House::start(&twins, &ring, &sink.address.to_string());
        for _ in 0..20 {
            house.send(vec![entry("ann@example.org", &["b@example.net"], &format!("number {sent}."))]);
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(u64::try_from(kill * 7).unwrap()));
        house.kill();
    }
    let house = House::start(&twins, &ring, &sink.address.to_string());
    house.until_empty();
    let taken = sink.taken();
    for number in 0..sent {
        let pattern = format!("number {number}.");
        assert!(taken.iter().any(|mail| String::from_utf8_lossy(&mail.octets).contains(&pattern)), "{number} is lost");
    }
    let doubled = taken.len() - sent;
    assert!(doubled <= usize::try_from(kills).unwrap() * 4, "{doubled} duplicates");
}
