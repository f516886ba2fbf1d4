//! The PROXY protocol, versions 1 and 2: what a proxy of ours says of the connection that it passes on.
//!
//! Read only from peers that the configuration names, before anything else and never past its end: what
//! follows is the client's, a TLS handshake as likely as not. From everybody else these octets are
//! what they look like, input of a stranger. Additional fields (TLV) are skipped: nothing here
//! depends on what a proxy knows beyond the address.
//!
//! HAProxy, "The PROXY protocol", §2.1 (text), §2.2 (binary).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use super::peers::NOWHERE;

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    /// The proxy's own: it looks whether we are alive.
    Own,
    /// This client's; at [`NOWHERE`] when the proxy does not know where it is.
    For(SocketAddr),
}

/// Why there is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoHeader {
    /// The proxy hung up, as those do that only look whether the port is open.
    Gone,
    /// It did not come in time.
    Late,
    /// Something else came.
    Malformed,
}

impl NoHeader {
    /// What was wrong, in plain words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Gone => "a proxy hung up without a PROXY header",
            Self::Late => "a proxy sent no PROXY header in time",
            Self::Malformed => "a proxy sent no well-formed PROXY header",
        }
    }
}

/// Reads the header, and not one octet more.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Spoken, NoHeader> {
    timeout(PATIENCE, header(stream)).await.unwrap_or(Err(NoHeader::Late))
}

impl From<io::Error> for NoHeader {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

async fn header(stream: &mut (impl AsyncRead + Unpin)) -> Result<Spoken, NoHeader> {
    // No header of either version is shorter.
    let mut start = [0; SIGNATURE.len()];
    stream.read_exact(&mut start).await?;
    if start == *SIGNATURE {
        let mut head = [0; 4];
        stream.read_exact(&mut head).await?;
        let [version_and_command, family, high, low] = head;
        let mut body = vec![0; usize::from(u16::from_be_bytes([high, low]))];
        if body.len() > BODY_MAX {
            return Err(NoHeader::Malformed);
        }
        stream.read_exact(&mut body).await?;
        return binary(version_and_command, family, &body).ok_or(NoHeader::Malformed);
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() == LINE_MAX || !line.starts_with(TEXT) {
            return Err(NoHeader::Malformed);
        }
        line.push(stream.read_u8().await?);
    }
    text(&line).ok_or(NoHeader::Malformed)
}

/// §2.2: what stands behind the signature.
fn binary(version_and_command: u8, family: u8, body: &[u8]) -> Option<Spoken> {
    match (version_and_command, family) {
        (0x20, _) => Some(Spoken::Own),
        (0x21, 0x11) => {
            let client = Ipv4Addr::from(*body.first_chunk::<4>()?);
            addressed(client.into(), body.get(8..12)?)
        }
        (0x21, 0x21) => {
            let client = Ipv6Addr::from(*body.first_chunk::<16>()?);
            addressed(client.into(), body.get(32..36)?)
        }
        // Unspecified, and UNIX sockets of both kinds.
        (0x21, 0x00 | 0x31 | 0x32) => Some(UNKNOWN),
        // Other versions, other commands, datagrams over a stream.
        _ => None,
    }
}

/// The source's address, with its port from `source, destination`.
fn addressed(client: IpAddr, ports: &[u8]) -> Option<Spoken> {
    let port = u16::from_be_bytes(*ports.first_chunk::<2>()?);
    Some(Spoken::For(SocketAddr::new(client.to_canonical(), port)))
}

/// §2.1: one line, its words apart by one space each.
fn text(line: &[u8]) -> Option<Spoken> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let words: Vec<&str> = line.split(' ').collect();
    let (source, destination, ports) = match words.as_slice() {
        // What follows UNKNOWN must be ignored.
        ["PROXY", "UNKNOWN", ..] => return Some(UNKNOWN),
        ["PROXY", "TCP4", source, destination, ports @ ..] => {
            (IpAddr::V4(source.parse().ok()?), IpAddr::V4(destination.parse().ok()?), ports)
        }
        ["PROXY", "TCP6", source, destination, ports @ ..] => {
            (IpAddr::V6(source.parse().ok()?), IpAddr::V6(destination.parse().ok()?), ports)
        }
        _ => return None,
    };
    let [source_port, destination_port] = ports else { return None };
    let _ = (destination, port(destination_port)?);
    Some(Spoken::For(SocketAddr::new(source.to_canonical(), port(source_port)?)))
}

/// Decimal digits alone, without leading zeros; the standard parser would take `+25`.
fn port(text: &str) -> Option<u16> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|digit| digit.is_ascii_digit()));
    canonical.then(|| text.parse().ok()).flatten()
}

/// Somebody of whom the proxy knows no IP address. §2.1 and §2.2 would let him pass for the proxy; but then he would have its rights.
const UNKNOWN: Spoken = Spoken::For(SocketAddr::new(NOWHERE, 0));
/// What a header of version 2 begins with, and nothing else that anybody speaks.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// What a header of version 1 begins with.
const TEXT: &[u8] = b"PROXY ";
/// §2.1: the longest line, its CRLF included.
const LINE_MAX: usize = 107;
/// Addresses and additional fields. Those that proxies send come to some hundred octets, a client's certificate included.
const BODY_MAX: usize = 4_096;
/// A header comes with the connection: it only has to cross the network between the proxy and us.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of these octets, and how many are left for who comes after.
    async fn outcome(octets: &[u8]) -> (Result<String, NoHeader>, usize) {
        let mut rest = octets;
        let spoken = read(&mut rest).await.map(|spoken| match spoken {
            Spoken::Own => String::from("own"),
            Spoken::For(client) => client.to_string(),
        });
        (spoken, rest.len())
    }

    fn version_2(head: [u8; 2], body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE.as_slice(), &head, &length, body].concat()
    }

    #[tokio::test]
    async fn lines_of_version_1_are_taken_as_the_specification_writes_them() {
        let long_unknown = format!("PROXY UNKNOWN {}\r\n", "f".repeat(LINE_MAX - 16));
        let too_long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(LINE_MAX - 15));
        for (line, expect) in [
            ("PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\r\n", Ok("192.0.2.1:56324")),
            ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", Ok("255.255.255.255:65535")),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 4124 465\r\n", Ok("[2001:db8::1]:4124")),
            ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", Ok("192.0.2.1:1")),
            ("PROXY UNKNOWN\r\n", Ok("0.0.0.0:0")),
            ("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", Ok("0.0.0.0:0")),
            (&long_unknown, Ok("0.0.0.0:0")),
            ("PROXY TCP4 2001:db8::1 192.0.2.2 1 2\r\n", Err(NoHeader::Malformed)),
            ("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", Err(NoHeader::Malformed)),
            ("PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n", Err(NoHeader::Malformed)),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", Err(NoHeader::Malformed)),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n", Err(NoHeader::Malformed)),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", Err(NoHeader::Malformed)),
            ("PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n", Err(NoHeader::Malformed)),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", Err(NoHeader::Malformed)),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", Err(NoHeader::Malformed)),
            ("PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", Err(NoHeader::Malformed)),
            ("proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n", Err(NoHeader::Malformed)),
            ("EHLO client.example\r\n", Err(NoHeader::Malformed)),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", Err(NoHeader::Gone)),
            ("PROXY", Err(NoHeader::Gone)),
            ("", Err(NoHeader::Gone)),
            (&too_long, Err(NoHeader::Malformed)),
        ] {
            assert_eq!(outcome(line.as_bytes()).await.0, expect.map(String::from), "{line}");
        }
    }

    #[tokio::test]
    async fn blocks_of_version_2_are_taken_by_command_and_family() {
        let four = [192, 0, 2, 1, 198, 51, 100, 7, 0xDC, 0x04, 0, 25];
        let mut six = [0; 36];
        six[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        six[15] = 1;
        six[32..34].copy_from_slice(&[0x10, 0x1c]);
        let with_fields = [four.as_slice(), &[0x04, 0, 3, 1, 2, 3]].concat();
        for (head, body, expect) in [
            ([0x21, 0x11], four.as_slice(), Ok("192.0.2.1:56324")),
            ([0x21, 0x11], &with_fields, Ok("192.0.2.1:56324")),
            ([0x21, 0x21], &six, Ok("[2001:db8::1]:4124")),
            ([0x20, 0x11], &four, Ok("own")),
            ([0x20, 0x00], &[], Ok("own")),
            ([0x21, 0x00], &[], Ok("0.0.0.0:0")),
            ([0x21, 0x31], &[0; 216], Ok("0.0.0.0:0")),
            ([0x21, 0x11], &four[..11], Err(NoHeader::Malformed)),
            ([0x21, 0x21], &four, Err(NoHeader::Malformed)),
            ([0x21, 0x12], &four, Err(NoHeader::Malformed)),
            ([0x22, 0x11], &four, Err(NoHeader::Malformed)),
            ([0x11, 0x11], &four, Err(NoHeader::Malformed)),
            ([0x21, 0x11], &[0; BODY_MAX + 1], Err(NoHeader::Malformed)),
        ] {
            assert_eq!(outcome(&version_2(head, body)).await.0, expect.map(String::from), "{head:x?} {}", body.len());
        }
        let whole = version_2([0x21, 0x11], &four);
        assert_eq!(outcome(&whole[..whole.len() - 1]).await.0, Err(NoHeader::Gone));
    }

    #[tokio::test]
    async fn what_follows_is_left_for_the_handshake() {
        for header in
            [b"PROXY TCP4 192.0.2.1 198.51.100.7 1 465\r\n".to_vec(), version_2([0x21, 0x11], &[1; 12]), version_2([0x20, 0], &[])]
        {
            let (spoken, left) = outcome(&[header.as_slice(), b"\x16\x03\x01"].concat()).await;
            assert!(spoken.is_ok());
            assert_eq!(left, 3);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_octets_upset_the_reader(octets in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            for start in [b"".as_slice(), TEXT, b"PROXY TCP6 ", SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x11"] {
                let _ = runtime.block_on(read(&mut [start, octets.as_slice()].concat().as_slice()));
            }
        }
    }
}
