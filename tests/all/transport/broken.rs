//! Name servers that are silent, broken or hostile: mail waits, and a lookup never takes long. Row D12.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use waxseal::mail::Domain;
use waxseal::net::dns::{Host, NoExchange, Options, Resolver, Trouble};

/// Octets of a query to those of its answer; none is silence.
type Script = Arc<dyn Fn(&[u8], Way) -> Option<Vec<u8>> + Send + Sync>;

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Udp,
    Tcp,
}

/// A name server that answers by a script, on a port of UDP and TCP.
fn server(script: impl Fn(&[u8], Way) -> Option<Vec<u8>> + Send + Sync + 'static) -> SocketAddr {
    let script: Script = Arc::new(script);
    let (tcp, udp) = loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
            break (tcp, udp);
        }
    };
    let address = tcp.local_addr().unwrap();
    let by_udp = script.clone();
    std::thread::spawn(move || {
        let mut query = [0; 4_096];
        while let Ok((length, from)) = udp.recv_from(&mut query) {
            if let Some(answer) = by_udp(&query[..length], Way::Udp) {
                let _ = udp.send_to(&answer, from);
            }
        }
    });
    std::thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream = stream.unwrap();
            let mut length = [0; 2];
            while stream.read_exact(&mut length).is_ok() {
                let mut query = vec![0; u16::from_be_bytes(length).into()];
                stream.read_exact(&mut query).unwrap();
                let Some(answer) = script(&query, Way::Tcp) else { break };
                let _ = stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes());
                let _ = stream.write_all(&answer);
            }
        }
    });
    address
}

/// Where the question ends.
fn question_end(query: &[u8]) -> usize {
    let mut at = 12;
    while query[at] != 0 {
        at += usize::from(query[at]) + 1;
    }
    at + 5
}

fn kind(query: &[u8]) -> u16 {
    let end = question_end(query);
    u16::from_be_bytes([query[end - 4], query[end - 3]])
}

/// The query's id and question, with these flags, this many answers, and their octets.
fn answer(query: &[u8], flags: u16, answers: u16, records: &[u8]) -> Vec<u8> {
    let mut octets = query[..2].to_vec();
    octets.extend_from_slice(&flags.to_be_bytes());
    octets.extend_from_slice(&[0, 1]);
    octets.extend_from_slice(&answers.to_be_bytes());
    octets.extend_from_slice(&[0, 0, 0, 0]);
    octets.extend_from_slice(&query[12..question_end(query)]);
    octets.extend_from_slice(records);
    octets
}

/// A record of the question's name.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    [&[0xc0, 12][..], &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 60], &length.to_be_bytes(), data].concat()
}

fn name(text: &str) -> Vec<u8> {
    let mut octets: Vec<u8> =
        text.split('.').flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat()).collect();
    octets.push(0);
    octets
}

fn mx(query: &[u8]) -> Vec<u8> {
    answer(query, GOOD, 1, &record(MX, &[&[0, 10][..], &name("mx.example.org")].concat()))
}

fn resolver(servers: Vec<SocketAddr>) -> Resolver {
    Resolver::new(&Options { servers, timeout_seconds: 1, attempts: 1, refuse: vec![], ..Options::default() }).unwrap()
}

async fn asked(resolver: &Resolver) -> String {
    let found = resolver.exchanges(&Domain::parse("example.org").unwrap(), &[]).await;
    found.map_or_else(|none| none.status().to_string(), |exchanges| exchanges.hosts[0].host.to_string())
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

/// A name that is a chain of as many pointers as there may be, and as many records with it as there is room for.
fn bomb(query: &[u8]) -> Vec<u8> {
    let begin = question_end(query) + 12;
    let mut chain = Vec::new();
    let mut at = begin;
    // Each points to the one before, the first to the question.
    let mut before: usize = 12;
    while at < 0x3ffe {
        chain.extend_from_slice(&u16::try_from(0xc000 | before).unwrap().to_be_bytes());
        before = at;
        at += 2;
    }
    let pointer = u16::try_from(0xc000 | before).unwrap().to_be_bytes();
    let mut records = record(999, &chain);
    let mut count = 1;
    while records.len() < 64_000 {
        records.extend([&pointer[..], &MX.to_be_bytes(), &[0, 1, 0, 0, 0, 60, 0, 4, 0, 10], &pointer].concat());
        count += 1;
    }
    answer(query, GOOD, count, &records)
}

#[tokio::test]
async fn what_is_broken_makes_mail_wait_and_takes_little_time() {
    let long = |octets: usize| {
        move |query: &[u8], way| {
            // Of a name with as many labels as there may be, so that each record is of another one.
            let truncated = answer(query, GOOD | TRUNCATED, 0, &[]);
            let many =
                (0..octets / 20).flat_map(|number| record(MX, &[&[0, 10][..], &name(&format!("mx{number}"))].concat())).collect::<Vec<_>>();
            let count = u16::try_from(octets / 20).unwrap();
            Some(if way == Way::Udp { truncated } else { answer(query, GOOD, count, &many) })
        }
    };
    let cases: Vec<(&str, SocketAddr, &str)> = vec![
        ("silent", server(|_, _| None), "4.4.3"),
        ("SERVFAIL", server(|query, _| Some(answer(query, GOOD | 2, 0, &[]))), "4.4.3"),
        ("REFUSED", server(|query, _| Some(answer(query, GOOD | 5, 0, &[]))), "4.4.3"),
        ("a code that nobody knows", server(|query, _| Some(answer(query, GOOD | 11, 0, &[]))), "4.4.3"),
        ("NXDOMAIN", server(|query, _| Some(answer(query, GOOD | 3, 0, &[]))), "5.1.2"),
        ("nothing that is DNS", server(|_, _| Some(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())), "4.4.3"),
        ("half a record", server(|query, _| Some(answer(query, GOOD, 1, &record(MX, &[0, 10, 2, b'm'])))), "4.4.3"),
        ("another question", server(|query, _| Some(mx(&[&query[..12], &name("example.net"), &[0, 15, 0, 1]].concat()))), "4.4.3"),
        ("another id", server(|query, _| Some(mx(&[&[query[0] ^ 1], &query[1..]].concat()))), "4.4.3"),
        ("a name that points at itself", server(|query, _| Some(answer(query, GOOD, 1, &looping(query)))), "4.4.3"),
        ("an alias of itself", server(|query, _| Some(answer(query, GOOD, 1, &record(CNAME, &[0xc0, 12])))), "4.4.3"),
        ("aliases without an end", server(|query, _| Some(answer(query, GOOD, 1, &record(CNAME, &further(query))))), "4.4.3"),
        ("cut short, and TCP as well", server(|query, _| Some(answer(query, GOOD | TRUNCATED, 0, &[]))), "4.4.3"),
        ("60,000 octets", server(long(60_000)), "mx"),
        (
            "pointers to pointers",
            server(|query, way| Some(if way == Way::Udp { answer(query, GOOD | TRUNCATED, 0, &[]) } else { bomb(query) })),
            "example.org",
        ),
    ];
    for (case, server, expect) in cases {
        let resolver = resolver(vec![server]);
        let (began, time) = (Instant::now(), thread_time());
        let found = asked(&resolver).await;
        let (took, worked) = (began.elapsed(), thread_time() - time);
        assert!(found.starts_with(expect), "{case}: {found}");
        assert!(worked < Duration::from_secs(1), "{case}: {worked:?} of work");
        assert!(took < Duration::from_secs(6), "{case}: {took:?}");
        println!("{case}: {found}, {worked:?} of work, {took:?}");
    }
}

/// A record whose data is a name that points at its own begin.
fn looping(query: &[u8]) -> Vec<u8> {
    let at = u16::try_from(question_end(query) + 14).unwrap() | 0xc000;
    record(MX, &[&[0, 10][..], &at.to_be_bytes()].concat())
}

/// A name with one label more than the question's.
fn further(query: &[u8]) -> Vec<u8> {
    [&[1, b'x'], &query[12..question_end(query) - 4]].concat()
}

#[tokio::test]
async fn a_server_that_is_broken_is_passed_over() {
    for broken in [server(|_, _| None), server(|query, _| Some(answer(query, GOOD | 2, 0, &[])))] {
        let resolver = resolver(vec![broken, server(|query, _| Some(mx(query)))]);
        assert_eq!(asked(&resolver).await, "mx.example.org");
        // From then on the one that answered is asked first.
        let began = Instant::now();
        let other = resolver.exchanges(&Domain::parse("example.net").unwrap(), &[]).await;
        assert!(other.is_ok() && began.elapsed() < Duration::from_millis(900));
    }
}

#[tokio::test]
async fn that_a_domain_does_not_exist_is_asked_twice() {
    let asked_so_far = Arc::new(AtomicUsize::new(0));
    let count = asked_so_far.clone();
    let flipping = server(move |query, _| {
        let turn = count.fetch_add(1, Ordering::Relaxed);
        Some(if turn.is_multiple_of(2) { answer(query, GOOD | 3, 0, &[]) } else { mx(query) })
    });
    let resolver = resolver(vec![flipping]);
    assert_eq!((asked(&resolver).await.as_str(), asked_so_far.load(Ordering::Relaxed)), ("mx.example.org", 2));
    // And a second server that is out of order makes the first one's word uncertain.
    let (gone, down) = (server(|query, _| Some(answer(query, GOOD | 3, 0, &[]))), server(|query, _| Some(answer(query, GOOD | 2, 0, &[]))));
    let found = self::resolver(vec![gone, down]).exchanges(&Domain::parse("example.org").unwrap(), &[]).await;
    assert_eq!(found, Err(NoExchange::NoDomain), "the first is asked again, and is sure");
}

#[tokio::test]
async fn an_answer_is_kept_for_its_time_and_trouble_for_a_moment() {
    let asked_so_far = Arc::new(AtomicUsize::new(0));
    let count = asked_so_far.clone();
    let resolver = resolver(vec![server(move |query, _| {
        count.fetch_add(1, Ordering::Relaxed);
        Some(if kind(query) == MX { mx(query) } else { answer(query, GOOD | 2, 0, &[]) })
    })]);
    for _ in 0..5 {
        assert_eq!(asked(&resolver).await, "mx.example.org");
    }
    assert_eq!(asked_so_far.load(Ordering::Relaxed), 1);
    for _ in 0..5 {
        let trouble = resolver.texts(&Host::parse("example.org").unwrap()).await;
        assert_eq!(trouble, Err(Trouble::Refusal("Server Failure".into())));
    }
    assert_eq!(asked_so_far.load(Ordering::Relaxed), 2);
}

const MX: u16 = 15;
const CNAME: u16 = 5;
/// A response that recursion was made for.
const GOOD: u16 = 0x8180;
const TRUNCATED: u16 = 0x0200;
