//! Policy that counts on a proven way (`tls = "verified"`), and what becomes of its mail when the way is proven no more: the whole
//! program, with zones and mail servers of other domains.

use std::process::Command;

use super::matrix::{Issuer, Tlsa, World};
use super::operator::{Gateway, shown};
use super::receivers::{Receivers, Taken};
use super::world::Made;
use super::zones::{Content, Zones};
use crate::crash::raw_sink::{RawSink, obliging, wait_until};

const POLICY: &str = r#"
[[policy]]
name    = "a link, unless the way is proven"
when    = { recipient = "external" }
unless  = [{ tls = "verified" }]
then    = "secure-message"
factor  = "password"
"#;

fn gateway(next_hop: &str, more: &str) -> Gateway {
    let gateway = Gateway::new(next_hop, more);
    // The supplied ones have tests that speak against this one.
    let policies = gateway.directory.join("policies");
    std::fs::remove_dir_all(&policies).unwrap();
    std::fs::create_dir(&policies).unwrap();
    std::fs::write(policies.join("way.toml"), POLICY).unwrap();
    gateway
}

fn send(gateway: &Gateway, to: &str, subject: &str) {
    let sent = Command::new("python3").args(["-c", CLIENT, &gateway.smtp, to, subject]).output().unwrap();
    assert_eq!(shown(&sent), "250\n", "{to}");
}

/// `as it is`, `a link`, and whether REQUIRETLS was said.
fn became(taken: &Taken) -> (&'static str, bool) {
    let how = match (taken.text.contains("between us"), taken.text.contains("/m/")) {
        (true, false) => "as it is",
        (false, true) => "a link",
        _ => "neither",
    };
    (how, taken.mail.ends_with(" REQUIRETLS"))
}

fn waiting(gateway: &Gateway) -> usize {
    shown(&gateway.run(&["queue", "list"])).matches("ann@").count()
}

#[test]
fn what_passed_for_its_way_gets_protected_when_the_way_is_proven_no_more() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (mut world, receivers) = runtime.block_on(async {
        let mut world = World::new().await;
        let (receivers, port) = Receivers::start(&world.shown).await;
        world.ports.0 = port;
        (world, receivers)
    });
    world.signed("kept", (Issuer::Stranger, Made::Well), Tlsa::Key);
    world.plain("open", Issuer::Ours, Made::Well);
    world.signed("later", (Issuer::Stranger, Made::Well), Tlsa::Key);
    world.content.signed = world.content.signed.replace("mx.later A 127.0.0.1", "mx.later A 127.0.0.4");
    let zones = Zones::serve(&world.content);
    let more = |zones: &Zones| format!("\n[dns]\nservers = [\"{}\"]\nrefuse = []\n[transport]\nport = {}\n", zones.resolver, world.ports.0);
    let mut gateway = gateway("mx", &more(&zones));
    gateway.serve();
    for (to, subject, expect) in [
        ("ann@kept.signed.example", "hello", "as it is"),
        ("ann@open.plain.example", "hello", "a link"),
        // A wish hangs on no way.
        ("ann@kept.signed.example", "hello [exp: 3d]", "a link"),
    ] {
        let before = receivers.taken().len();
        send(&gateway, to, subject);
        wait_until(|| receivers.taken().len() > before);
        assert_eq!(became(receivers.taken().last().unwrap()), (expect, false), "{to} {subject}");
    }

    // Its host is away, and when mail can go again its domain proves nothing.
    let before = receivers.taken().len();
    send(&gateway, "ann@later.signed.example", "hello");
    assert_eq!(waiting(&gateway), 1);
    let lines = world.content.signed.lines().filter(|line| !line.contains("later")).map(|line| format!("{line}\n")).collect::<String>();
    let changed = Content { signed: format!("{lines}later MX 10 mx.open.plain.example.\n"), ..world.content.clone() };
    let moved = Zones::serve(&changed);
    let file = gateway.directory.join("waxseal.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(&more(&zones), &more(&moved))).unwrap();
    gateway.serve();
    assert!(gateway.run(&["queue", "retry", "--all"]).status.success());
    wait_until(|| receivers.taken().len() > before);
    wait_until(|| waiting(&gateway) == 0);
    let taken = receivers.taken();
    assert_eq!(taken[before..].iter().map(became).collect::<Vec<_>>(), [("a link", false)]);
    assert_eq!(taken[before].rcpts, ["RCPT TO:<ann@later.signed.example>"]);
}

#[test]
fn a_named_hop_that_promises_requiretls_is_a_proven_way_and_is_held_to_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (world, receivers, port) = runtime.block_on(async {
        let world = World::new().await;
        world.shown.put("localhost", &world.authority.issue("localhost", Made::Well));
        let (receivers, port) = Receivers::start(&world.shown).await;
        (world, receivers, port)
    });
    let roots = world.authority.file(world.directory.path());
    let mut gateway = gateway(&format!("localhost:{port}"), "");
    let file = gateway.directory.join("waxseal.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("[relay]\n", &format!("[relay]\nroots = {:?}\n", roots.display().to_string()))).unwrap();
    gateway.serve();
    send(&gateway, "ann@example.net", "hello");
    wait_until(|| receivers.taken().len() == 1);
    assert_eq!(became(&receivers.taken()[0]), ("as it is", true));

    let sink = RawSink::start(obliging);
    let mut gateway = self::gateway(&sink.address.to_string(), "");
    gateway.serve();
    send(&gateway, "ann@example.net", "hello");
    let taken = sink.wait_for(1);
    let text = String::from_utf8_lossy(&taken[0].octets);
    assert!(text.contains("/m/") && !text.contains("between us"), "{text}");
}

const CLIENT: &str = r#"
import smtplib, sys
host, port = sys.argv[1].split(":")
client = smtplib.SMTP(host, int(port))
client.sendmail("sue@example.org", [sys.argv[2]], f"From: sue@example.org\r\nTo: {sys.argv[2]}\r\nSubject: {sys.argv[3]}\r\n\r\nbetween us\r\n")
print(250)
"#;
