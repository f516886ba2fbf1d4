//! Ports for servers that are told theirs before they open it.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// One that nobody has, and that nobody gets meanwhile: each is given once, and they lie below those that the system
/// gives to clients of its own accord (`net.ipv4.ip_local_port_range`).
pub fn free_port() -> u16 {
    // Another process of these tests begins elsewhere.
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new((std::process::id() % u32::from(COUNT)) as u16));
    loop {
        let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let address = (Ipv4Addr::LOCALHOST, port);
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return port;
        }
    }
}

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;
