//! What a peer can make big or many, and the graceful end.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::gate::{Gate, With, ask, last, options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn surplus_connections_get_a_421_and_places_are_given_back() {
    let gate = Gate::open(options("connections_per_address = 3"), With::default()).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = gate.connect().await;
        assert!(last(&mut stream).await.starts_with("220"));
        open.push(stream);
    }
    let mut surplus = gate.connect().await;
    assert!(last(&mut surplus).await.starts_with("421 4.7.0"));
    ask(&mut open[0], "QUIT").await;
    assert_eq!(last(&mut open[0]).await, "closed");
    let again = async {
        loop {
            let mut stream = gate.connect().await;
            if last(&mut stream).await.starts_with("220") {
                break;
            }
        }
    };
    timeout(Duration::from_secs(5), again).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_says_421_to_the_idle_and_lets_a_message_finish() {
    let mut gate = Gate::open(options(""), With::default()).await;
    let (mut idle, mut busy) = (gate.connect().await, gate.connect().await);
    last(&mut idle).await;
    last(&mut busy).await;
    for line in ["EHLO client.example", "MAIL FROM:<ann@example.org>", "RCPT TO:<bob@elsewhere.example>", "DATA"] {
        ask(&mut busy, line).await;
    }
    gate.stop();
    assert!(last(&mut idle).await.starts_with("421 4.3.2"));
    drop(idle);
    assert!(ask(&mut busy, "text\r\n.").await.starts_with("250 2.6.0"));
    assert!(last(&mut busy).await.starts_with("421 4.3.2"));
    drop(busy);
    assert_eq!(gate.mails(), 1);
    timeout(Duration::from_secs(5), gate.stopped()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_leaves_no_session_without_its_421() {
    let mut gate = Gate::open(options("drain_seconds = 1"), With::default()).await;
    let (mut idle, mut within, mut waiting) = (gate.connect().await, gate.connect().await, gate.connect().await);
    for (stream, to) in [(&mut idle, None), (&mut within, Some("bob")), (&mut waiting, Some("slow"))] {
        last(stream).await;
        let Some(to) = to else { continue };
        for line in ["EHLO client.example", "MAIL FROM:<ann@example.org>", &format!("RCPT TO:<{to}@elsewhere.example>"), "DATA"] {
            ask(stream, line).await;
        }
        stream.write_all(b"half of a message\r\n").await.unwrap();
    }
    waiting.write_all(b".\r\n").await.unwrap();
    gate.stop();
    for (what, stream, seconds) in [("idle", &mut idle, 1), ("within DATA", &mut within, 3), ("waiting for the reply", &mut waiting, 7)] {
        let farewell = timeout(Duration::from_secs(seconds), last(stream)).await;
        assert!(farewell.as_ref().is_ok_and(|said| said.starts_with("421 4.3.2")), "{what}: {farewell:?}");
        assert_eq!(last(stream).await, "closed", "{what}");
    }
    drop((idle, within, waiting));
    assert_eq!(gate.mails(), 0);
    timeout(Duration::from_secs(5), gate.stopped()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_message_arrives_whole_and_leaves_nothing_on_disk() {
    let gate = Gate::open(options(""), With::default()).await;
    let mut stream = gate.connect().await;
    last(&mut stream).await;
    for line in ["EHLO client.example", "MAIL FROM:<ann@example.org> SIZE=8000000", "RCPT TO:<bob@elsewhere.example>", "DATA"] {
        ask(&mut stream, line).await;
    }
    let message: String = std::iter::once("\r\n".to_owned()).chain((0..100_000).map(|line| format!("{line:0>76}\r\n"))).collect();
    stream.write_all(message.as_bytes()).await.unwrap();
    assert!(ask(&mut stream, ".").await.starts_with("250 2.6.0"));
    assert!(gate.taken.lock().unwrap()[0].octets == message.as_bytes());
    assert_eq!(std::fs::read_dir(gate.directory.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lie_about_the_size_is_cut_off_at_twice_the_limit() {
    let gate = Gate::open(options("message_size = 100000"), With::default()).await;
    let mut stream = gate.connect().await;
    last(&mut stream).await;
    for line in ["EHLO client.example", "MAIL FROM:<ann@example.org> SIZE=1000", "RCPT TO:<bob@elsewhere.example>", "DATA"] {
        ask(&mut stream, line).await;
    }
    let _ = stream.write_all("x".repeat(78).add_crlf().repeat(5_000).as_bytes()).await;
    assert!(last(&mut stream).await.starts_with("552 5.3.4"));
    assert_eq!(gate.mails(), 0);
}

trait AddCrlf {
    fn add_crlf(self) -> String;
}

impl AddCrlf for String {
    fn add_crlf(mut self) -> String {
        self.push_str("\r\n");
        self
    }
}
