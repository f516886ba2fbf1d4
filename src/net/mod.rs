//! Listeners, TLS, limits: what lies between the sockets and the protocols.
//!
//! `listen` takes sockets from the system or from systemd, `tls` holds the certificates and the one
//! crypto provider, `client_certificate` judges what clients show, `peers` counts who is connected,
//! `proxy_header` reads for whom a proxy connects, `descriptors` says how many may be.
//! Nothing here knows what is spoken.

pub mod client_certificate;
pub mod descriptors;
pub mod listen;
pub mod peers;
pub mod proxy_header;
pub mod tls;
