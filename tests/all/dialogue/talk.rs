//! Plays the talk files.

use std::path::Path;
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use waxseal::net::tls::client_any;
use waxseal::smtp::Peer;

use super::gate::{Gate, With, options, reply, say};

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_talk_goes_as_written() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/dialogue/talk");
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut failures = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        let played = timeout(Duration::from_secs(60), play(&text)).await;
        if let Err(failure) = played.unwrap_or_else(|_| Err("nothing happens any more".into())) {
            failures.push(format!("{}: {failure}", file.file_name().unwrap().display()));
        }
    }
    assert!(files.len() >= 30, "only {} talks found", files.len());
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

async fn play(text: &str) -> Result<(), String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let (settings, talk): (Vec<&str>, Vec<&str>) = lines.iter().partition(|line| line.starts_with("= "));
    let settings: Vec<&str> = settings.iter().map(|line| line[2..].trim()).collect();
    let with = With { tls: settings.contains(&"tls"), users: settings.contains(&"users"), tls_first: settings.contains(&"tls first") };
    let toml: Vec<&str> = settings.into_iter().filter(|line| line.contains('=')).collect();
    let gate = Gate::open(options(&toml.join("\n")), with).await;
    let mut stream: Box<dyn Stream> = Box::new(gate.connect().await);
    let mut heard: Vec<String> = Vec::new();
    for line in talk {
        let (times, step) = match line.split_once("x ") {
            Some((times, step)) if times.bytes().all(|octet| octet.is_ascii_digit()) => (times.parse().unwrap(), step),
            _ => (1, line),
        };
        for _ in 0..times {
            let failed = |heard: &[String]| format!("{line:?} but heard {heard:?}");
            match step.split_at_checked(3).unwrap_or((step, "")) {
                ("C: ", words) => say(&mut stream, format!("{words}\r\n").as_bytes()).await.map_err(|error| error.to_string())?,
                ("C> ", octets) => say(&mut stream, &unescape(octets)).await.map_err(|error| error.to_string())?,
                ("S: ", words) => {
                    heard = reply(&mut stream).await.unwrap_or_else(|| vec!["closed".into()]);
                    if !heard.last().is_some_and(|last| last.starts_with(words)) {
                        return Err(failed(&heard));
                    }
                }
                ("S+ ", words) if !heard.iter().any(|line| line.contains(words)) => return Err(failed(&heard)),
                ("S! ", words) if heard.iter().any(|line| line.contains(words)) => return Err(failed(&heard)),
                ("S+ " | "S! ", _) => {}
                ("TLS", _) => stream = secured(stream).await?,
                _ => match step.split_once(": ") {
                    _ if step == "closed" => {
                        heard = reply(&mut stream).await.unwrap_or_default();
                        if !heard.is_empty() {
                            return Err(failed(&heard));
                        }
                    }
                    Some(("mails", count)) if count.parse() == Ok(gate.mails()) => {}
                    Some(("to", to)) if recipients(&gate) == to => {}
                    Some(("at", address)) if last(&gate).is_some_and(|peer| peer.address.to_string() == address) => {}
                    Some(("helo", helo)) if last(&gate).is_some_and(|peer| peer.helo == helo) => {}
                    Some(("with", with)) if gate.taken.lock().unwrap().iter().all(|taken| taken.peer.with == with) => {}
                    _ => return Err(format!("{line:?} with {:?}", gate.taken.lock().unwrap())),
                },
            }
        }
    }
    Ok(())
}

/// Who gets the last message.
fn recipients(gate: &Gate) -> String {
    let taken = gate.taken.lock().unwrap();
    let recipients = taken.last().map(|taken| taken.envelope.recipients.clone()).unwrap_or_default();
    recipients.iter().map(|recipient| recipient.forward_path.to_string()).collect::<Vec<_>>().join(", ")
}

/// Who sent the last message.
fn last(gate: &Gate) -> Option<Peer> {
    gate.taken.lock().unwrap().last().map(|taken| taken.peer.clone())
}

async fn secured(stream: Box<dyn Stream>) -> Result<Box<dyn Stream>, String> {
    let name = ServerName::try_from("gate.example.org").unwrap();
    let secured = TlsConnector::from(client_any().unwrap()).connect(name, stream).await;
    Ok(Box::new(secured.map_err(|error| error.to_string())?))
}

fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => octets.push(match chars.next() {
                Some('r') => b'\r',
                Some('n') => b'\n',
                Some('0') => 0,
                Some('x') => {
                    let digits: String = chars.by_ref().take(2).collect();
                    u8::from_str_radix(&digits, 16).unwrap()
                }
                other => panic!("unknown escape {other:?}"),
            }),
            (c, false) => octets.extend_from_slice(c.to_string().as_bytes()),
        }
    }
    octets
}
