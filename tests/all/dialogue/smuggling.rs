//! Every known false end of a message, in every segmentation: no second message, ever.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};

use super::gate::{Gate, With, ask, last};
use waxseal::smtp::Options;

const FORMS: [&str; 11] =
    ["\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\r\n.\n", "\r\r\n.\r\r\n", "\r\n\0.\r\n", "\r\n.\0\r\n", "\n.\r", "\r\n.\r\r\n"];
const SECOND: &str = "MAIL FROM:<ann@example.org>\r\nRCPT TO:<eve@elsewhere.example>\r\nDATA\r\nsmuggled\r\n.\r\nQUIT\r\n";

#[derive(Debug, Clone, Copy)]
enum Segments {
    One,
    Split,
    Octets,
}

/// Sends one message whose text is `text`, and gives back the reply to it.
async fn send(gate: &Gate, text: &str, segments: Segments) -> String {
    let mut stream = gate.connect().await;
    stream.set_nodelay(true).unwrap();
    last(&mut stream).await;
    for line in ["EHLO client.example", "MAIL FROM:<ann@example.org>", "RCPT TO:<bob@elsewhere.example>", "DATA"] {
        ask(&mut stream, line).await;
    }
    let middle = text.find('.').unwrap_or(text.len() / 2);
    let pieces: Vec<&[u8]> = match segments {
        Segments::One => vec![text.as_bytes()],
        Segments::Split => vec![&text.as_bytes()[..middle], &text.as_bytes()[middle..]],
        Segments::Octets => text.as_bytes().chunks(1).collect(),
    };
    for piece in pieces {
        // The server may have hung up in the middle, which is what it should do.
        let _ = stream.write_all(piece).await;
        let _ = stream.flush().await;
        if !matches!(segments, Segments::One) {
            sleep(Duration::from_micros(200)).await;
        }
    }
    let reply = timeout(Duration::from_secs(5), last(&mut stream)).await.unwrap();
    let after = timeout(Duration::from_secs(5), last(&mut stream)).await;
    format!("{reply} / {}", after.unwrap_or_else(|_| "open".into()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_false_end_of_a_message_starts_a_second_one() {
    let gate = Gate::open(Options::default(), With::default()).await;
    for form in FORMS {
        for segments in [Segments::One, Segments::Split, Segments::Octets] {
            let reply = send(&gate, &format!("first{form}{SECOND}"), segments).await;
            assert!(reply.starts_with("554 5.6.0") && reply.ends_with("closed"), "{form:?} {segments:?}: {reply}");
        }
    }
    assert_eq!(gate.mails(), 0);
    for segments in [Segments::One, Segments::Split, Segments::Octets] {
        let reply = send(&gate, "first\r\n .\r\nstill first\r\n.\r\nQUIT\r\n", segments).await;
        assert!(reply.starts_with("250 2.6.0") && reply.contains("221"), "{segments:?}: {reply}");
    }
    let taken = gate.taken.lock().unwrap();
    assert_eq!(taken.len(), 3);
    assert!(taken.iter().all(|taken| taken.octets == b"first\r\n .\r\nstill first\r\n"));
}
