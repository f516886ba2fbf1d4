//! Real clients: Python's smtplib and `openssl s_client`, where the machine has them.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use super::gate::{Gate, With, options};

const SCRIPT: &str = r#"
import smtplib, ssl, sys
from email.message import EmailMessage
context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
message = EmailMessage(); message["From"] = "ann@example.org"; message["To"] = "bob@elsewhere.example"; message["Subject"] = "hello"
message.set_content("line\n.\n..dots\n" + "word " * 30)
message.add_attachment(bytes(range(256)) * 40, maintype="application", subtype="octet-stream", filename="a.bin")
with smtplib.SMTP("127.0.0.1", int(sys.argv[1])) as client:
    client.starttls(context=context)
    if sys.argv[2] == "auth": client.login("ann@example.org", "swordfish")
    assert client.send_message(message) == {}
    assert client.send_message(message, rcpt_options=["NOTIFY=NEVER"]) == {}
    assert client.verify("ann")[0] == 252
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn smtplib_sends_with_and_without_auth() {
    for (rights, auth, with) in [("", "no", "ESMTPS"), ("relay_networks = []", "auth", "ESMTPSA")] {
        let gate = Gate::open(options(rights), With { tls: true, users: true, tls_first: false }).await;
        let port = gate.address.port().to_string();
        let output = run("python3", &["-c", SCRIPT, &port, auth], "").await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let taken = gate.taken.lock().unwrap();
        assert_eq!(taken.len(), 2, "{auth}");
        assert!(taken.iter().all(|taken| taken.peer.with == with && taken.octets.windows(5).any(|octets| octets == b"\r\n.\r\n")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_sees_our_certificate_and_no_old_protocol() {
    let gate = Gate::open(options(""), With { tls: true, users: false, tls_first: false }).await;
    for (version, expect) in [("-tls1_3", true), ("-tls1_2", true), ("-tls1_1", false)] {
        let address = gate.address.to_string();
        let arguments = ["s_client", "-starttls", "smtp", "-crlf", version, "-servername", "gate.example.org", "-connect", &address];
        let output = run("openssl", &arguments, "EHLO client.example\nQUIT\n").await;
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.contains("250-PIPELINING") || output.contains("BEGIN CERTIFICATE"), expect, "{version}: {output}");
    }
}

/// Runs a program to its end, off the I/O threads.
async fn run(program: &'static str, arguments: &[&str], input: &'static str) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    });
    running.await.unwrap()
}
