//! Conversations with the real server over a socket: what is said, and what becomes of it.
//!
//! Each `talk/*.talk` is one case. Lines: `C:` the client says this and CRLF, `C>` these octets
//! (with escapes) and nothing else, `S:` the last line of the next reply begins so, `S+` and `S!`
//! one of its lines holds this or none does, `TLS` handshake, `closed` the server hangs up,
//! `mails: n` so many messages arrived, `to: …` the last of them for these, `at: …` and `helo: …` from there and by this name,
//! `with: …` all of them this way. `= key = value` before the talk sets an option,
//! `= tls` and `= users` bring a certificate and the users file, `50x ` before a line repeats it.

mod certificates;
mod client;
mod gate;
mod limits;
mod patience;
mod peers;
mod relay_rights;
mod smuggling;
mod talk;
