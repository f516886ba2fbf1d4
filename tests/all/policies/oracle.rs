//! Whether octets that are sent tell a secret to anybody who looks long enough: undone transfer encodings
//! and encoded words, tags and entities taken away, runs of base64 and percent signs read, and then
//! nothing but letters and digits compared.

use bytes::Bytes;
use waxseal::extract::html;
use waxseal::mail::{Message, decode};

/// The reading in which the secret stands, if there is one.
pub fn tells(sent: &[u8], secret: &str) -> Option<String> {
    let secret = bare(secret);
    assert!(secret.len() >= 6, "too short to be told from chance");
    views(sent).into_iter().find(|view| bare(view).contains(&secret))
}

fn bare(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn views(sent: &[u8]) -> Vec<String> {
    let message = Message::parse(Bytes::copy_from_slice(sent));
    let mut views = vec![String::from_utf8_lossy(sent).into_owned()];
    for part in message.parts() {
        for field in part.header.fields() {
            views.push(decode::unstructured(&field.value()));
            views.push(
                decode::addresses(&field.value()).mailboxes.into_iter().map(|(name, mailbox)| format!("{name:?} {mailbox}\n")).collect(),
            );
        }
        views.extend(part.file_name.clone());
        if !part.is_multipart() {
            views.push(message.text(part));
            views.push(html::text(&message.text(part)));
        }
    }
    let read: Vec<String> = views.iter().flat_map(|view| [packed(view), percent(view)]).collect();
    views.extend(read);
    views
}

/// What runs of base64 hold.
fn packed(text: &str) -> String {
    let runs = text.split(|c: char| !(c.is_ascii_alphanumeric() || "+/".contains(c))).filter(|run| run.len() >= 12);
    let whole =
        |run: &str| data_encoding::BASE64_NOPAD.decode(&run.as_bytes()[..run.len() - usize::from(run.len() % 4 == 1)]).unwrap_or_default();
    runs.map(|run| String::from_utf8_lossy(&whole(run)).into_owned() + "\n").collect()
}

fn percent(text: &str) -> String {
    let octets = text.split('%').enumerate().flat_map(|(number, piece)| {
        let digits = piece.get(..2).filter(|_| number > 0).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        digits.into_iter().chain(piece.bytes().skip(if digits.is_some() { 2 } else { 0 })).collect::<Vec<_>>()
    });
    String::from_utf8_lossy(&octets.collect::<Vec<_>>()).into_owned()
}

#[test]
fn the_oracle_sees_what_it_is_there_to_see() {
    let mail = |body: &str| format!("From: a@x.example\r\nMIME-Version: 1.0\r\n{body}").into_bytes();
    for told in [
        "Subject: 85 07 09 9805\r\n\r\n",
        "Subject: =?utf-8?B?ODUwNzA5?= =?utf-8?Q?=2D9805?=\r\n\r\n",
        "Content-Transfer-Encoding: base64\r\n\r\nODUw\r\nNzA5OTgw\r\nNQ==\r\n",
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n8507=\r\n09=2D9805\r\n",
        "Content-Type: text/html\r\n\r\n<p>8507<b>09&#45;98</b>05\r\n",
        "\r\nsee ODUwNzA5LTk4MDU= there\r\n",
        "\r\nhttps://x.example/%38%3507099805\r\n",
        "To: \"850709\\-9805\" <b@x.example>\r\n\r\n",
    ] {
        assert!(tells(&mail(told), "850709-9805").is_some(), "{told}");
        assert!(tells(&mail(told), "850709-9806").is_none(), "{told}");
    }
    assert!(tells(&mail("\r\nThe DIAGNOSIS is known.\r\n"), "diagnosis").is_some());
}
