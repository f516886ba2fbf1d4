//! Whether the ports answer, and whether we get out: connections that say hello and go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::Finding;
use super::dns::Dns;
use crate::config::Configuration;
use crate::gateway;
use crate::smtp::client::Said;

/// Each listener of the configuration, from this machine.
pub async fn listeners(configuration: &Configuration) -> Vec<Finding> {
    let smtp = &configuration.smtp;
    let mut findings = Vec::new();
    for (name, addresses, greets) in [
        ("smtp", smtp.listen.as_slice(), Greets::First),
        ("submission", smtp.submission.as_slice(), Greets::First),
        ("smtps", smtp.listen_tls.as_slice(), Greets::Never),
        ("web", std::slice::from_ref(&configuration.web.listen), Greets::Never),
        ("admin", configuration.admin.listen.as_slice(), Greets::Never),
    ] {
        for address in addresses {
            findings.push(listener(name, *address, greets).await);
        }
    }
    findings
}

/// Who speaks first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Greets {
    First,
    Never,
}

async fn listener(name: &str, address: SocketAddr, greets: Greets) -> Finding {
    let what = format!("{name} on {address}");
    let mend = "the gateway listens there since its last start? `ss -ltn` shows; a packet filter on this machine?";
    match tokio::time::timeout(PATIENCE, TcpStream::connect(here(address))).await {
        Err(_) => Finding::wrong("ports", format!("{what}: no answer"), mend),
        Ok(Err(error)) => Finding::wrong("ports", format!("{what}: {error}"), mend),
        Ok(Ok(_)) if greets == Greets::Never => Finding::ok("ports", format!("{what}: answers")),
        Ok(Ok(mut stream)) => match greeting(&mut stream).await {
            Some(said) if said.starts_with("220") => Finding::ok("ports", format!("{what}: greets")),
            Some(said) => Finding::warn("ports", format!("{what}: says {said}"), "421 while it drains or has too many connections"),
            None => Finding::wrong(
                "ports",
                format!("{what}: takes connections and says nothing"),
                "another program listens there? `ss -ltnp` names it",
            ),
        },
    }
}

/// An unspecified address is reached on loopback.
fn here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn greeting(stream: &mut TcpStream) -> Option<String> {
    let mut said = vec![0; GREETING_MAX];
    let count = tokio::time::timeout(PATIENCE, stream.read(&mut said)).await.ok()?.ok()?;
    let said = String::from_utf8_lossy(said.get(..count)?).into_owned();
    let line = said.lines().next()?;
    Some(line.chars().filter(|letter| !letter.is_control()).collect())
}

/// EHLO, STARTTLS, AUTH, QUIT.
pub async fn next_hop(configuration: &Configuration) -> Vec<Finding> {
    let mend = "next_hop, tls, roots, username, password_file in [relay] and its routes; is it up, and does it let us in?";
    let finding = |(name, why): (String, Option<Said>)| match why {
        None => Finding::ok("next hop", format!("{name}: lets us in (hello, TLS and AUTH as configured; no mail was sent)")),
        Some(said) => Finding::wrong("next hop", format!("{name}: {}", said.words), mend),
    };
    match gateway::probe_next_hops(configuration).await {
        Ok(probed) => probed.into_iter().map(finding).collect(),
        Err(gateway::Failed(why)) => vec![Finding::wrong("next hop", why, mend)],
    }
}

/// Port 25 to the world, which many networks close: at our own mail exchanger, because it is nobody else's.
pub async fn outside(configuration: &Configuration, dns: &Dns) -> Vec<Finding> {
    let Some(domain) = configuration.admd.domains.first() else { return Vec::new() };
    let Ok(exchangers) = dns.exchangers(domain.as_str()).await else { return Vec::new() };
    let Some(exchanger) = exchangers.first() else { return Vec::new() };
    let Ok(addresses) = dns.addresses(exchanger).await else { return Vec::new() };
    let Some(address) = addresses.first() else { return Vec::new() };
    let what = format!("port 25 out, at {exchanger} ({address})");
    let mend = "it only matters where mail leaves from here directly: the network's operator may have closed it";
    vec![match tokio::time::timeout(PATIENCE, TcpStream::connect((*address, 25))).await {
        Ok(Ok(_)) => Finding::ok("ports", format!("{what}: open")),
        Ok(Err(error)) => Finding::warn("ports", format!("{what}: {error}"), mend),
        Err(_) => Finding::warn("ports", format!("{what}: no answer"), mend),
    }]
}

const PATIENCE: Duration = Duration::from_secs(5);
/// RFC 5321 §4.5.3.1.5.
const GREETING_MAX: usize = 512;
