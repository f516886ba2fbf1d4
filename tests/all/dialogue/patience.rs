//! What wrong commands and wrong passwords cost in time, and connections beyond what is allowed.

use std::time::{Duration, Instant};

use rustls_pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;
use waxseal::net::tls::client_any;

use super::gate::{Gate, With, ask, last, options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sixth_wrong_command_is_answered_late_and_right_ones_at_once() {
    let gate = Gate::open(options(""), With::default()).await;
    let mut stream = gate.connect().await;
    last(&mut stream).await;
    for (command, slow) in [("NONSENSE", false); 5].into_iter().chain([("NONSENSE", true), ("NOOP", false), ("EHLO", true)]) {
        let began = Instant::now();
        ask(&mut stream, command).await;
        assert_eq!(began.elapsed() >= Duration::from_secs(1), slow, "{command}: {:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_an_answer_does_not_hold_up_the_end() {
    let mut gate = Gate::open(options("error_delay = 15"), With::default()).await;
    let mut stream = gate.connect().await;
    last(&mut stream).await;
    for _ in 0..5 {
        ask(&mut stream, "NONSENSE").await;
    }
    stream.write_all(b"NONSENSE\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let began = Instant::now();
    gate.stop();
    assert!(last(&mut stream).await.starts_with("421 4.3.2"));
    drop(stream);
    gate.stopped().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_wrong_password_is_answered_later_than_the_one_before_whoever_is_named() {
    let gate = Gate::open(options("relay_networks = []"), With { tls: true, users: true, tls_first: true }).await;
    // ann, who exists, and nobody, in turns; both with a wrong password.
    for (claim, seconds) in [("AGFubkBleGFtcGxlLm9yZwB3cm9uZw==", 1), ("AG5vYm9keQB4", 2), ("AGFubkBleGFtcGxlLm9yZwB3cm9uZw==", 4)] {
        let name = ServerName::try_from("gate.example.org").unwrap();
        let mut stream = TlsConnector::from(client_any().unwrap()).connect(name, gate.connect().await).await.unwrap();
        last(&mut stream).await;
        ask(&mut stream, "EHLO client.example").await;
        let began = Instant::now();
        let reply = ask(&mut stream, &format!("AUTH PLAIN {claim}")).await;
        assert!(reply.starts_with("535 5.7.8"), "{reply}");
        assert!(began.elapsed() >= Duration::from_secs(seconds), "{:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_count_for_the_client_that_a_proxy_names_and_not_for_the_proxy() {
    let rights = "connections_per_address = 1\nproxy_networks = [\"127.0.0.0/8\"]";
    let gate = Gate::open(options(rights), With::default()).await;
    let mut open = Vec::new();
    for (client, expect) in [("192.0.2.1", "220"), ("192.0.2.2", "220"), ("192.0.2.1", "421 4.7.0"), ("192.0.2.3", "220")] {
        let mut stream = gate.connect().await;
        stream.write_all(format!("PROXY TCP4 {client} 198.51.100.7 56324 25\r\n").as_bytes()).await.unwrap();
        let reply = last(&mut stream).await;
        assert!(reply.starts_with(expect), "{client}: {reply}");
        open.push(stream);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_count_for_the_client_that_xclient_names() {
    let rights = "connections_per_address = 1\nxclient_networks = [\"127.0.0.0/8\"]";
    let gate = Gate::open(options(rights), With::default()).await;
    let mut open = Vec::new();
    for (client, expect) in [("192.0.2.1", "220"), ("192.0.2.2", "220"), ("192.0.2.1", "421 4.7.0")] {
        let mut stream = gate.connect().await;
        assert!(last(&mut stream).await.starts_with("220"));
        let reply = ask(&mut stream, &format!("XCLIENT ADDR={client}")).await;
        assert!(reply.starts_with(expect), "{client}: {reply}");
        open.push(stream);
    }
    // A connection that goes from one client to another gives the first one's place back.
    assert!(ask(&mut open[0], "XCLIENT ADDR=192.0.2.7").await.starts_with("220"));
    assert!(ask(&mut open[1], "XCLIENT ADDR=192.0.2.1").await.starts_with("220"));
}
