//! Our client against next hops that behave well and badly.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use waxseal::mail::{
    BodyType, Domain, Envelope, EnvelopeId, Mailbox, Notify, OriginalRecipient, Recipient, RequireTls, Return, ReversePath, Utf8,
};
use waxseal::net::tls::client_any;
use waxseal::secret::Secret;
use waxseal::smtp::client::{Answer, Body, Connection, Credentials, Hop, Protocol, Security, Stage, Trouble};

use super::gate::{Gate, With, options};

/// A next hop that answers each line by the first rule that it begins with, and keeps what it heard.
async fn next_hop(rules: &'static [(&'static str, &'static str)]) -> (Hop, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hop = Hop {
        host: "127.0.0.1".into(),
        port: listener.local_addr().unwrap().port(),
        address: None,
        source: None,
        protocol: Protocol::Smtp,
    };
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 hop\r\n").await.unwrap();
        let (mut line, mut in_message) = (Vec::new(), false);
        while stream.read_until(b'\n', &mut line).await.is_ok_and(|octets| octets > 0) {
            log.lock().unwrap().extend_from_slice(&line);
            let text = String::from_utf8_lossy(&line).into_owned();
            line.clear();
            if in_message && text != ".\r\n" {
                continue;
            }
            let reply = rules.iter().find(|(start, _)| text.starts_with(start)).map_or("250 2.0.0 ok\r\n", |(_, reply)| reply);
            in_message = reply.starts_with("354");
            if reply == "hang up" || stream.write_all(reply.as_bytes()).await.is_err() {
                return;
            }
        }
    });
    (hop, heard)
}

fn hello() -> Domain {
    Domain::parse("gate.example.org").unwrap()
}

fn envelope(recipients: &[&str]) -> Envelope {
    Envelope {
        reverse_path: ReversePath::Mailbox(Mailbox::parse("ann@example.org").unwrap()),
        recipients: recipients.iter().map(|recipient| Recipient::new(Mailbox::parse(recipient).unwrap())).collect(),
        ret: None,
        envelope_id: None,
        body: BodyType::SevenBit,
        utf8: Utf8::No,
        require_tls: RequireTls::No,
    }
}

fn body(text: &'static str) -> Body {
    Body::Memory(vec![Bytes::from_static(text.as_bytes())])
}

fn brief(answers: &[Answer]) -> Vec<String> {
    answers
        .iter()
        .map(|answer| match answer {
            Answer::Accepted(accepted) => format!("accepted {}", accepted.words()),
            Answer::Temporary(said) => format!("temporary {} {}", said.status, said.words),
            Answer::Permanent(said) => format!("permanent {} {}", said.status, said.words),
        })
        .collect()
}

async fn open(hop: &Hop) -> Connection {
    Connection::open(hop, &hello(), &Security::None, None).await.unwrap()
}

const MODERN: &str = "250-hop\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 DSN\r\n";

#[tokio::test]
async fn each_recipient_has_its_own_answer_and_the_connection_lives_on() {
    for greeting in ["EHLO", "none"] {
        let rules: &'static [(&str, &str)] = if greeting == "EHLO" {
            &[
                ("EHLO", MODERN),
                ("RCPT TO:<b@", "450 4.2.1 later\r\n"),
                ("RCPT TO:<c@", "550-5.1.1 no\r\n550 5.1.1 such user\r\n"),
                ("DATA", "354 go\r\n"),
            ]
        } else {
            &[
                ("EHLO", "502 what\r\n"),
                ("RCPT TO:<b@", "450 4.2.1 later\r\n"),
                ("RCPT TO:<c@", "550 5.1.1 no such user\r\n"),
                ("DATA", "354 go\r\n"),
            ]
        };
        let (hop, heard) = next_hop(rules).await;
        let mut connection = open(&hop).await;
        for _ in 0..2 {
            let answers =
                connection.send(&envelope(&["a@x.example", "b@x.example", "c@x.example"]), body("hi\r\n.dot\r\n"), 10).await.unwrap();
            assert_eq!(brief(&answers), ["accepted ok", "temporary 4.2.1 later", "permanent 5.1.1 no such user"], "{greeting}");
        }
        let none = connection.send(&envelope(&["b@x.example"]), body("hi\r\n"), 4).await.unwrap();
        assert_eq!(brief(&none), ["temporary 4.2.1 later"]);
        connection.quit().await;
        let heard = String::from_utf8(heard.lock().unwrap().clone()).unwrap();
        assert!(heard.contains("hi\r\n..dot\r\n.\r\n") && heard.ends_with("QUIT\r\n"), "{heard}");
    }
}

#[tokio::test]
async fn parameters_go_to_those_who_take_them() {
    let mut wishes = envelope(&["a@x.example"]);
    (wishes.ret, wishes.envelope_id, wishes.body) = (Some(Return::Headers), Some(EnvelopeId("a+b".into())), BodyType::EightBitMime);
    wishes.recipients[0].notify = Some(Notify::On { success: true, failure: false, delay: true });
    wishes.recipients[0].original = Some(OriginalRecipient { address_type: "rfc822".into(), address: "o+1@x.example".into() });
    let (hop, heard) = next_hop(&[("EHLO", MODERN), ("DATA", "354 go\r\n")]).await;
    open(&hop).await.send(&wishes, body("é\r\n"), 4).await.unwrap();
    let heard = String::from_utf8(heard.lock().unwrap().clone()).unwrap();
    assert!(heard.contains("MAIL FROM:<ann@example.org> SIZE=4 BODY=8BITMIME RET=HDRS ENVID=a+2Bb\r\n"), "{heard}");
    assert!(heard.contains("RCPT TO:<a@x.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;o+2B1@x.example\r\n"), "{heard}");

    let (hop, heard) = next_hop(&[("DATA", "354 go\r\n")]).await;
    open(&hop).await.send(&wishes, body("e\r\n"), 3).await.unwrap();
    let heard = String::from_utf8(heard.lock().unwrap().clone()).unwrap();
    assert!(heard.contains("MAIL FROM:<ann@example.org>\r\nRCPT TO:<a@x.example>\r\n"), "{heard}");
}

#[tokio::test]
async fn what_the_peer_cannot_take_is_not_sent() {
    let stream = |text: &'static str| Body::Stream(Box::new(text.as_bytes()));
    let mut utf8 = envelope(&["jörg@x.example"]);
    utf8.utf8 = Utf8::Yes;
    for (envelope, body, size, expect) in [
        (utf8, body("hi\r\n"), 4, "permanent 5.6.7"),
        (envelope(&["a@x.example"]), body("é\r\n"), 4, "permanent 5.6.3"),
        (envelope(&["a@x.example"]), stream("é\r\n"), 4, "permanent 5.6.3"),
        (envelope(&["a@x.example"]), body("x\r\n"), 1001, "permanent 5.3.4"),
        (envelope(&["a@x.example"]), body("a\nb\r\n"), 5, "permanent 5.6.0"),
        (envelope(&["a@x.example"]), body("a\r\n.\r\r\n"), 5, "permanent 5.6.0"),
    ] {
        let (hop, heard) = next_hop(&[("EHLO", "250-hop\r\n250 SIZE 1000\r\n"), ("DATA", "354 go\r\n")]).await;
        let answers = open(&hop).await.send(&envelope, body, size).await.unwrap();
        assert!(brief(&answers)[0].starts_with(expect), "{:?}", brief(&answers));
        assert!(!heard.lock().unwrap().windows(5).any(|octets| octets == b"\r\n.\r\n"));
    }
}

#[tokio::test]
async fn trouble_says_on_which_side_of_the_dot_it_came() {
    for (rules, stage) in [
        (&[("EHLO", "421 4.3.2 busy\r\n")][..], Stage::Greeting),
        (&[("MAIL", "hang up")], Stage::BeforeDot),
        (&[("MAIL", "421 4.3.2 busy\r\n")], Stage::BeforeDot),
        (&[("DATA", "hang up")], Stage::BeforeDot),
        (&[("DATA", "354 go\r\n"), (".", "hang up")], Stage::AfterDot),
        (&[("DATA", "nonsense\r\n")], Stage::BeforeDot),
    ] {
        let (hop, _) = next_hop(Box::leak(rules.to_vec().into_boxed_slice())).await;
        let trouble: Trouble = match Connection::open(&hop, &hello(), &Security::None, None).await {
            Ok(mut connection) => connection.send(&envelope(&["a@x.example"]), body("hi\r\n"), 4).await.unwrap_err(),
            Err(trouble) => trouble,
        };
        assert_eq!(trouble.stage, stage, "{trouble:?}");
    }
}

#[tokio::test]
async fn a_reply_put_behind_the_go_ahead_for_tls_ends_the_connection() {
    let (hop, _) = next_hop(&[("EHLO", "250-hop\r\n250 STARTTLS\r\n"), ("STARTTLS", "220 go\r\n250-hop\r\n250 AUTH PLAIN\r\n")]).await;
    let security = Security::Opportunistic(client_any().unwrap());
    let trouble = Connection::open(&hop, &hello(), &security, None).await.err().unwrap();
    assert_eq!(trouble.stage, Stage::Tls);
}

#[tokio::test]
async fn tls_that_is_demanded_and_not_offered_is_trouble() {
    let (hop, _) = next_hop(&[("EHLO", MODERN)]).await;
    let trouble = Connection::open(&hop, &hello(), &Security::Required(client_any().unwrap()), None).await.err().unwrap();
    assert_eq!((trouble.stage, trouble.said.status.to_string().as_str()), (Stage::Tls, "4.7.5"));
    let (hop, _) = next_hop(&[("EHLO", "250-hop\r\n250 AUTH PLAIN\r\n")]).await;
    let credentials = Credentials { username: "ann".into(), password: Secret::new("x".into()) };
    let trouble = Connection::open(&hop, &hello(), &Security::None, Some(&credentials)).await.err().unwrap();
    assert_eq!(trouble.stage, Stage::Auth);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_client_and_our_server_understand_each_other() {
    let gate = Gate::open(options("relay_networks = []"), With { tls: true, users: true, tls_first: false }).await;
    let hop = Hop { host: "127.0.0.1".into(), port: gate.address.port(), address: None, source: None, protocol: Protocol::Smtp };
    let credentials = |password: &str| Credentials { username: "ann@example.org".into(), password: Secret::new(password.to_owned()) };
    let security = Security::Required(client_any().unwrap());
    let wrong = Connection::open(&hop, &hello(), &security, Some(&credentials("x"))).await.err().unwrap();
    assert_eq!((wrong.stage, wrong.said.code, wrong.said.status.class), (Stage::Auth, Some(535), 5));

    let mut connection = Connection::open(&hop, &hello(), &security, Some(&credentials("swordfish"))).await.unwrap();
    assert!(connection.is_secure() && connection.carries_dsn());
    let line = b".line of a large message that is streamed in pieces\r\n";
    let message: Vec<u8> = [b"\r\n".as_slice(), &line.repeat(50_000)].concat();
    let reader = std::io::Cursor::new(message.clone());
    let answers = connection.send(&envelope(&["b@x.example"]), Body::Stream(Box::new(reader)), message.len() as u64).await.unwrap();
    assert_eq!(brief(&answers), ["accepted relayed"]);
    assert!(gate.taken.lock().unwrap()[0].octets == message);
}
