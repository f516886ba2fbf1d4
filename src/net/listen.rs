//! Listening sockets: bound here, or opened by systemd and found by name.

use std::io;
use std::net::SocketAddr;

use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpSocket};

/// Binds an address. An unspecified IPv6 address takes IPv4 clients as well. Needs a running runtime.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart does not wait for the old connections to be forgotten.
    socket.set_reuseaddr(true)?;
    if address.is_ipv6() {
        rustix::net::sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Sockets that were open when we were started (`sd_listen_fds`), by the names of their units' `FileDescriptorName=`.
pub struct Inherited {
    names: Vec<String>,
    sockets: ListenFd,
}

impl Inherited {
    /// Takes them over; there may be none.
    pub fn from_environment() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        Self { names: names.split(':').map(str::to_owned).collect(), sockets: ListenFd::from_env() }
    }

    /// All TCP listeners of this name. Needs a running runtime.
    pub fn take(&mut self, name: &str) -> io::Result<Vec<TcpListener>> {
        let mut listeners = Vec::new();
        for index in 0..self.sockets.len() {
            if self.names.get(index).is_some_and(|known| known == name)
                && let Some(listener) = self.sockets.take_tcp_listener(index)?
            {
                listener.set_nonblocking(true)?;
                listeners.push(TcpListener::from_std(listener)?);
            }
        }
        Ok(listeners)
    }
}

impl Inherited {
    /// Sockets that nobody asked for: whoever connects to one would wait for ever.
    pub fn left(&mut self) -> Vec<String> {
        let name = |index: usize| self.names.get(index).filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| String::from("unnamed"));
        let names: Vec<String> = (0..self.sockets.len()).map(name).collect();
        let mut left = Vec::new();
        for (index, name) in names.into_iter().enumerate() {
            if !matches!(self.sockets.take_raw_fd(index), Ok(None)) {
                left.push(name);
            }
        }
        left
    }
}

/// Connections that the system completes before we take them.
const BACKLOG: u32 = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unspecified_address_takes_both_families() {
        let listener = bind("[::]:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "::1"] {
            assert!(tokio::net::TcpStream::connect((host, port)).await.is_ok(), "{host}");
        }
        assert!(Inherited::from_environment().take("smtp").unwrap().is_empty());
    }
}
