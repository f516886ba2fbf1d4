//! The operator's listener: metrics of every fate, health, the overview; and the drain that it tells of.

use std::io::{Read, Write};
use std::net::TcpStream;

use waxseal::gateway::control::{Answer, Request, ask};

use super::house::{House, contains, link};

const SECRETS: [&str; 5] = ["canary-subject", "canary-body", "canary-file", "canary-recipient", "canary-sender"];

/// One GET; status line and body.
pub fn get(port: u16, path: &str, host: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

fn asked(house: &House, request: Request) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(ask(&house.path("data/control.sock"), &request)).unwrap()
}

fn mail() -> String {
    String::from(
        "From: canary-sender@example.org\nTo: canary-recipient@mail.example\nSubject: [secure] canary-subject\nMIME-Version: 1.0\n\
         Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\ncanary-body\n--b\nContent-Type: text/plain\n\
         Content-Disposition: attachment; filename=canary-file.txt\n\nx\n--b--\n",
    )
}

#[test]
fn fates_are_counted_and_nobody_is_named() {
    let house = House::open();
    assert!(house.send("canary-sender@example.org", &["canary-recipient@mail.example"], &mail()).starts_with("250"));
    let secret = link(&house.arrived(1)[0]).unwrap();
    assert!(house.send("eve@elsewhere.example", &["canary-recipient@mail.example"], &mail()).starts_with('5'));
    crate::crash::raw_sink::wait_until(|| get(house.admin, "/metrics", "127.0.0.1").1.contains("waxseal_relayed_total{next_hop="));
    let (status, metrics) = get(house.admin, "/metrics", "127.0.0.1:1");
    let (_, page) = get(house.admin, "/", "localhost");
    assert!(status.contains("200"), "{status}");
    for expect in [
        "waxseal_events_total{event=\"accepted\"} ",
        "waxseal_recipients_total{leaves=\"link\"} ",
        "waxseal_decisions_total{protection=\"secure-message\"} ",
        "waxseal_refused_total{status=\"5.7\"} ",
        "waxseal_step_seconds_bucket{le=\"+Inf\",step=\"accept\"} ",
        "waxseal_step_seconds_bucket{le=\"+Inf\",step=\"seal\"} ",
        "waxseal_step_seconds_bucket{le=\"+Inf\",step=\"attempt\"} ",
        "waxseal_queue_entries{what=\"due\"} ",
        "waxseal_certificate_days{what=\"gateway.example.org\"} ",
        "waxseal_connections{service=\"smtp\"} ",
        "waxseal_memory_bytes ",
        "waxseal_free_bytes ",
        "waxseal_records_bytes ",
        "waxseal_clock_doubted 0.0",
        "waxseal_draining 0.0",
        "# EOF",
    ] {
        assert!(metrics.contains(expect), "{expect} is missing in\n{metrics}");
    }
    assert!(page.contains("Messages taken") && page.contains("Ready") && page.contains("<polyline"), "{page}");
    for text in [&metrics, &page] {
        for told in SECRETS.iter().chain(&[secret.as_str(), "mail.example", "@", "elsewhere"]) {
            // The house's own host name is no secret, and lies below its domain.
            assert!(!contains(text.as_bytes(), told), "{told} in\n{text}");
        }
    }
}

#[test]
fn only_who_means_this_listener_is_answered_and_nothing_can_be_changed_here() {
    let house = House::open();
    assert!(get(house.admin, "/metrics", "rebound.example").0.contains("421"));
    for (path, status) in
        [("/health/live", "200"), ("/health/ready", "200"), ("/nothing", "404"), ("/m/x", "404"), ("/assets/style.css", "404")]
    {
        assert!(get(house.admin, path, "[::1]:9").0.contains(status), "{path}");
    }
    for path in ["/metrics", "/health/live", "/health/ready"] {
        assert!(get(house.web, path, "127.0.0.1").0.contains("404"), "{path} on the public listener");
    }
    let mut stream = TcpStream::connect(("127.0.0.1", house.admin)).unwrap();
    stream.write_all(b"POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
}

#[test]
fn a_drain_turns_new_mail_away_and_ends_when_it_is_told_to() {
    let house = House::open();
    let mut open = std::io::BufReader::new(TcpStream::connect(("127.0.0.1", house.smtp)).unwrap());
    open.get_mut().set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut open, &mut line).unwrap();
    assert!(line.starts_with("220"), "{line}");
    assert_eq!(asked(&house, Request::Drain), Answer::Draining { waiting: 0, held: 0 });
    line.clear();
    std::io::BufRead::read_line(&mut open, &mut line).unwrap();
    assert!(line.starts_with("421"), "who waits is told: {line}");
    let mut said = String::new();
    TcpStream::connect(("127.0.0.1", house.smtp)).unwrap().read_to_string(&mut said).unwrap();
    assert!(said.starts_with("421"), "{said}");
    let (status, reasons) = get(house.admin, "/health/ready", "127.0.0.1");
    assert!(status.contains("503") && reasons == "draining\n", "{status} {reasons}");
    assert!(get(house.web, "/healthz", "127.0.0.1").0.contains("200"), "links open on");
    assert!(get(house.admin, "/metrics", "127.0.0.1").1.contains("waxseal_draining 1.0"));
    assert_eq!(asked(&house, Request::DrainEnd), Answer::Done);
    assert!(get(house.admin, "/health/ready", "127.0.0.1").0.contains("200"));
    assert!(house.send("emma@example.org", &["jonas@mail.example"], "From: emma@example.org\n\nx\n").starts_with("250"));
}
