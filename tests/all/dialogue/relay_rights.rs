//! Who may send what to whom: strangers nothing at all, everybody else as themselves.

use super::gate::{Gate, With, ask, last, options};

const SENDERS: [&str; 4] = ["<>", "<ann@example.org>", "<eve@elsewhere.example>", "<postmaster@example.org>"];
const RECIPIENTS: [&str; 10] = [
    "<bob@elsewhere.example>",
    "<bob%elsewhere.example@example.org>",
    "<elsewhere.example!bob@example.org>",
    "<@example.org:bob@elsewhere.example>",
    "<\"bob@elsewhere.example\"@example.org>",
    "<bob@[192.0.2.1]>",
    "<bob@xn--exmple-cua.example>",
    "<bob@elsewhere.example.>",
    "<\"\"@elsewhere.example>",
    "<bob@elsewhere.example@example.org>",
];

#[tokio::test]
async fn a_stranger_relays_nothing_whatever_the_addresses() {
    let gate = Gate::open(
        options("relay_networks = [\"192.0.2.0/24\"]\nforeign_from = \"pass\""),
        With { tls: true, users: true, tls_first: false },
    )
    .await;
    for sender in SENDERS {
        for recipient in RECIPIENTS {
            let mut stream = gate.connect().await;
            last(&mut stream).await;
            ask(&mut stream, "EHLO gate.example.org").await;
            let mail = ask(&mut stream, &format!("MAIL FROM:{sender}")).await;
            let rcpt = ask(&mut stream, &format!("RCPT TO:{recipient}")).await;
            let data = ask(&mut stream, "DATA").await;
            assert!(
                mail.starts_with("530 5.7.0") && rcpt.starts_with('5') && data.starts_with("503"),
                "{sender} {recipient}: {mail} / {rcpt} / {data}"
            );
        }
    }
    assert_eq!(gate.mails(), 0);
}

#[tokio::test]
async fn a_homoglyph_of_our_domain_is_foreign() {
    let gate = Gate::open(options(""), With::default()).await;
    let mut stream = gate.connect().await;
    last(&mut stream).await;
    ask(&mut stream, "EHLO client.example").await;
    for sender in ["ann@ex\u{0430}mple.org", "ann@\u{0435}xample.org", "ann@example.0rg", "ann@example.org.elsewhere.example"] {
        let reply = ask(&mut stream, &format!("MAIL FROM:<{sender}> SMTPUTF8")).await;
        assert!(reply.starts_with("550 5.7.1") || reply.starts_with("553 5.1.2"), "{sender}: {reply}");
    }
}
