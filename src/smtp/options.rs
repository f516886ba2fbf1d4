//! What an operator can set about mail that comes in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

crate::options! {
    /// Mail that comes in.
    pub struct Options {
        /// Addresses for SMTP with STARTTLS, for other servers.
        listen: Vec<SocketAddr> = vec![any(25)],
        /// Addresses for SMTP with STARTTLS, for people's mail programs (RFC 6409).
        submission: Vec<SocketAddr> = vec![any(587)],
        /// Addresses for SMTP under TLS from the first octet (RFC 8314).
        listen_tls: Vec<SocketAddr> = vec![any(465)],
        /// Networks whose clients may send through the gateway without AUTH. A shared cloud's range is nobody's identity: do not list it.
        relay_networks: Vec<IpNet> = vec![IpAddr::from(Ipv4Addr::LOCALHOST).into(), IpAddr::from(Ipv6Addr::LOCALHOST).into()],
        /// Mail from relay networks whose sender is not of our domains: `reject`, or `pass` (forwarders, inbound mail behind another server). Reports go to our own senders only: foreign mail that fails later is gone, and the log names it as `unreported`.
        foreign_from: ForeignFrom = ForeignFrom::Reject,
        /// What the Received field that we add says of the client: `full` (its name and address), or `none` (neither leaves the house).
        trace_client: TraceClient = TraceClient::Full,
        /// File of those who may send after AUTH, one a line: `name:hash:addresses`. Absent is no AUTH.
        users_file: Option<PathBuf> = None,
        /// Largest message, in octets.
        message_size: u64 = 104_857_600,
        /// Recipients in one transaction; RFC 5321 asks for at least 100.
        recipients: usize = 1_000,
        /// Connections at once, from everywhere.
        connections: usize = 2_000,
        /// Connections at once from one IPv4 address or IPv6 /64.
        connections_per_address: usize = 50,
        /// Seconds to wait for a command of a client in the relay networks or after AUTH.
        command_timeout: u64 = 300,
        /// Seconds to wait for a command of anybody else.
        stranger_timeout: u64 = 60,
        /// Seconds after which a message must come with at least 1 KiB/s on the whole.
        slow_after: u64 = 60,
        /// Seconds that a session may last.
        session_timeout: u64 = 1_800,
        /// Seconds that messages on their way in get when the gateway stops; who is not done by then hears 421. At most 20.
        drain_seconds: u64 = 20,
    }
}

/// What to do with a sender who is not of the house.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForeignFrom {
    /// Refuse at MAIL.
    Reject,
    /// Let through; never rewritten, never signed.
    Pass,
}

/// What the trace field says of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TraceClient {
    /// EHLO argument and address, as RFC 5321 §4.4 has it.
    Full,
    /// Nothing.
    None,
}

/// Every address of the machine, IPv4 and IPv6.
fn any(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))
}
