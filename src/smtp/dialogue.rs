//! The client's side of the lines: commands out, replies in, over a socket that may turn into TLS.
//!
//! A reply is bounded, cleaned and understood before anybody sees it. What a next hop says may
//! end up in a report to a person, so nothing but printable text comes out of here.
//! RFC 5321 §4.2, RFC 1869 (keywords).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::client::Said;
use super::framing::{Line, take_line};
use super::wire::Wire;
use crate::mail::EnhancedStatus;

/// One conversation with a next hop.
pub(super) struct Dialogue {
    pub(super) wire: Wire<Socket>,
}

/// A reply as far as it has come.
#[derive(Debug, Default)]
pub struct Hearing {
    heard: Option<Heard>,
}

/// That was no SMTP reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonsense;

/// A reply as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub(super) code: u16,
    lines: Vec<String>,
}

/// What a next hop can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Capabilities {
    pub(super) pipelining: bool,
    pub(super) eight_bit: bool,
    pub(super) utf8: bool,
    pub(super) dsn: bool,
    pub(super) starttls: bool,
    pub(super) require_tls: bool,
    pub(super) auth_plain: bool,
    pub(super) auth_login: bool,
    /// SIZE is offered; the limit, if there is one.
    pub(super) size: Option<Option<u64>>,
}

impl Dialogue {
    pub(super) fn new(socket: Socket) -> Self {
        Self { wire: Wire::new(socket) }
    }

    /// Puts a command behind those that are not sent yet.
    pub(super) fn queue(&mut self, command: &str) {
        self.wire.output.extend_from_slice(command.as_bytes());
        self.wire.output.extend_from_slice(b"\r\n");
    }

    /// Sends what is queued.
    pub(super) async fn flush(&mut self, patience: Duration) -> io::Result<()> {
        timeout(patience, self.wire.flush()).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Sends one command and waits for its reply.
    pub(super) async fn ask(&mut self, command: &str, patience: Duration) -> io::Result<Heard> {
        self.queue(command);
        self.flush(patience).await?;
        self.hear(patience).await
    }

    /// Waits for one reply.
    pub(super) async fn hear(&mut self, patience: Duration) -> io::Result<Heard> {
        timeout(patience, self.hear_lines()).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn hear_lines(&mut self) -> io::Result<Heard> {
        let mut hearing = Hearing::default();
        loop {
            match hearing.take(&mut self.wire.input)? {
                Some(heard) => return Ok(heard),
                None => self.wire.fill(BUFFER).await?,
            }
        }
    }
}

impl Hearing {
    /// Takes lines off the front of the input; gives the reply when its last line is there.
    pub fn take(&mut self, input: &mut BytesMut) -> Result<Option<Heard>, Nonsense> {
        loop {
            let line = match take_line(input, LINE_MAX) {
                Line::Whole(line) => line,
                Line::TooLong | Line::Bare => return Err(Nonsense),
                Line::Partial => return Ok(None),
            };
            let (code, more, text) = reply_line(&line).ok_or(Nonsense)?;
            let heard = self.heard.get_or_insert(Heard { code, lines: Vec::new() });
            if heard.code != code || heard.lines.len() >= LINES_MAX {
                return Err(Nonsense);
            }
            heard.lines.push(text);
            if more == More::No {
                return Ok(self.heard.take());
            }
        }
    }
}

impl From<Nonsense> for io::Error {
    fn from(_: Nonsense) -> Self {
        Self::new(io::ErrorKind::InvalidData, "that was no SMTP reply")
    }
}

impl Heard {
    pub(super) const fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    pub(super) const fn is_temporary(&self) -> bool {
        self.code / 100 == 4
    }

    /// Code, status and words, fit for a report.
    pub fn said(&self) -> Said {
        let class = u8::try_from(self.code / 100).unwrap_or(5);
        let first = self.lines.first().map_or("", String::as_str);
        let claimed = EnhancedStatus::parse(first.split(' ').next().unwrap_or_default()).filter(|status| status.class == class);
        let words: Vec<&str> = self.lines.iter().map(|line| without_status(line, claimed)).collect();
        let words = words.join(" ").chars().take(WORDS_MAX).collect();
        Said { code: Some(self.code), status: claimed.unwrap_or(EnhancedStatus::new(class, 0, 0)), words }
    }

    /// What an EHLO reply offers.
    pub(super) fn capabilities(&self) -> Capabilities {
        let mut offered = Capabilities::default();
        for line in self.lines.iter().skip(1) {
            let mut words = line.split([' ', '=']).map(str::to_ascii_uppercase);
            match words.next().unwrap_or_default().as_str() {
                "PIPELINING" => offered.pipelining = true,
                "8BITMIME" => offered.eight_bit = true,
                "SMTPUTF8" => offered.utf8 = true,
                "DSN" => offered.dsn = true,
                "STARTTLS" => offered.starttls = true,
                "REQUIRETLS" => offered.require_tls = true,
                // RFC 1870 §4: zero is no fixed limit.
                "SIZE" => offered.size = Some(words.next().and_then(|size| size.parse().ok()).filter(|size| *size > 0)),
                "AUTH" => {
                    for mechanism in words {
                        offered.auth_plain |= mechanism == "PLAIN";
                        offered.auth_login |= mechanism == "LOGIN";
                    }
                }
                _ => {}
            }
        }
        offered
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum More {
    Yes,
    No,
}

/// `250-text`, `250 text` or `250`. RFC 5321 §4.2.
fn reply_line(line: &[u8]) -> Option<(u16, More, String)> {
    let (code, rest) = line.split_at_checked(3)?;
    let code: u16 = std::str::from_utf8(code).ok()?.parse().ok().filter(|code| (200..600).contains(code))?;
    let (more, text) = match rest {
        [] => (More::No, rest),
        [b' ', text @ ..] => (More::No, text),
        [b'-', text @ ..] => (More::Yes, text),
        _ => return None,
    };
    let text = text.iter().map(|&octet| if (b' '..=b'~').contains(&octet) { char::from(octet) } else { '?' }).collect();
    Some((code, more, text))
}

fn without_status(line: &str, claimed: Option<EnhancedStatus>) -> &str {
    match line.split_once(' ') {
        Some((status, words)) if claimed.is_some() && EnhancedStatus::parse(status).is_some() => words,
        _ => line,
    }
}

/// A connection before and after STARTTLS.
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, octets),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, octets),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Longer than RFC 5321 §4.5.3.1.5 allows, because next hops explain themselves at length.
const LINE_MAX: usize = 2_048;
/// Lines of one reply.
const LINES_MAX: usize = 100;
/// What of a reply goes into a report.
const WORDS_MAX: usize = 500;
const BUFFER: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(lines: &[&str]) -> Heard {
        let lines: Vec<_> = lines.iter().map(|line| reply_line(line.as_bytes()).unwrap()).collect();
        Heard { code: lines[0].0, lines: lines.into_iter().map(|(_, _, text)| text).collect() }
    }

    #[test]
    fn a_reply_is_its_code_its_status_and_clean_words() {
        for (lines, status, words) in [
            (&["550 5.1.1 no such user"][..], "5.1.1", "no such user"),
            (&["550-5.7.1 first", "550 5.7.1 second"], "5.7.1", "first second"),
            (&["550 go away"], "5.0.0", "go away"),
            (&["550 2.0.0 liar"], "5.0.0", "2.0.0 liar"),
            (&["451"], "4.0.0", ""),
            (&["451 4.7.1 a\tb\u{e9}"], "4.7.1", "a?b??"),
        ] {
            let said = heard(lines).said();
            assert_eq!((said.status.to_string().as_str(), said.words.as_str()), (status, words), "{lines:?}");
        }
        for line in ["", "25", "250x", "999 x", "1x0 y", "abc def"] {
            assert_eq!(reply_line(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn keywords_are_read_without_case_and_unknown_ones_left() {
        let offered =
            heard(&["250-mx", "250-pipelining", "250-SIZE 1000", "250-AUTH=LOGIN", "250-AUTH PLAIN CRAM-MD5", "250-X", "250 DSN"])
                .capabilities();
        let expect = Capabilities {
            pipelining: true,
            dsn: true,
            auth_plain: true,
            auth_login: true,
            size: Some(Some(1000)),
            ..Capabilities::default()
        };
        assert_eq!(offered, expect);
        assert_eq!(heard(&["250-mx", "250 SIZE 0"]).capabilities().size, Some(None));
    }
}
