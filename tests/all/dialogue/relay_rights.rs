//! Who may send what to whom: strangers nothing at all, everybody else as themselves.

use tokio::io::AsyncWriteExt;
use waxseal::net::client_certificate::Fingerprint;
use waxseal::smtp::rights::{CertificateOptions, Grants};

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

/// What a stranger may say to be taken for somebody else, before or after the banner.
const DISGUISES: [(&str, &str); 7] = [
    ("PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\r\n", ""),
    ("\r\n\r\n\0\r\nQUIT\n\u{21}\u{11}\0\u{c}\u{7f}\0\0\u{1}\u{7f}\0\0\u{1}\0\u{1}\0\u{1}", ""),
    ("", "PROXY TCP4 192.0.2.1 198.51.100.7 56324 25"),
    ("", "XCLIENT ADDR=192.0.2.1 NAME=gate.example.org LOGIN=ann@example.org"),
    ("", "XFORWARD ADDR=192.0.2.1 NAME=gate.example.org"),
    ("", "AUTH EXTERNAL YW5uQGV4YW1wbGUub3Jn"),
    ("", "HELO [192.0.2.1]"),
];

#[tokio::test]
async fn a_stranger_in_disguise_is_a_stranger() {
    let trusted = "relay_networks = [\"192.0.2.0/24\"]\nproxy_networks = [\"192.0.2.0/24\"]\nxclient_networks = [\"192.0.2.0/24\"]";
    let certificate = CertificateOptions { sha256: Fingerprint::try_from("AB".repeat(32)).ok(), ..CertificateOptions::default() };
    let grants = Grants { certificates: vec![certificate], ..Grants::default() };
    let options = options(&format!("{trusted}\nforeign_from = \"pass\""));
    let gate = Gate::granting(options, &grants, With { tls: true, users: true, tls_first: false }).await;
    for (before, after) in DISGUISES {
        for sender in SENDERS {
            let mut stream = gate.connect().await;
            let _ = stream.write_all(before.as_bytes()).await;
            let mut said = vec![last(&mut stream).await];
            for line in [
                after,
                "EHLO gate.example.org",
                &format!("MAIL FROM:{sender} AUTH=ann+40example.org"),
                "RCPT TO:<bob@elsewhere.example>",
                "DATA",
            ] {
                // After the first reply there may be nobody any more.
                if !line.is_empty() && stream.write_all(format!("{line}\r\n").as_bytes()).await.is_ok() {
                    said.push(last(&mut stream).await);
                }
            }
            let fooled = said.iter().any(|reply| reply.starts_with("250 2.") || reply.starts_with("354"));
            assert!(!fooled, "{before:?} {after} {sender}: {said:?}");
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
