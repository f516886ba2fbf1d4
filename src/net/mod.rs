//! Listeners, TLS, DNS, limits: what lies between the sockets and the protocols.
//!
//! `listen` takes sockets from the system or from systemd, `tls` holds the certificates and the one
//! crypto provider, `client_certificate` judges what clients show, `peers` counts who is connected,
//! `proxy_header` reads for whom a proxy connects, `descriptors` says how many may be, `dns` finds hosts, `dane` checks
//! their certificates by what DNS says of them, `fetch` gets a small file from a web server.
//! Nothing here knows what is spoken.

pub mod client_certificate;
pub mod dane;
pub mod descriptors;
pub mod dns;
pub mod fetch;
pub mod listen;
pub mod peers;
pub mod proxy_header;
pub mod tls;
