//! Certificates: how long they hold, for whom, and whether others believe them.

use jiff::Timestamp;

use super::Finding;
use super::names::link_host;
use crate::config::Configuration;
use crate::net::tls::{self, Certificates};
use crate::web;

/// Everything about `certs`.
pub fn look(configuration: &Configuration, now: Timestamp) -> Vec<Finding> {
    let directory = configuration.path(&configuration.store.certs);
    // What does not load was told with the files.
    let Ok(certificates) = Certificates::load(&directory) else { return Vec::new() };
    let mut findings: Vec<Finding> = certificates.ends().into_iter().map(|(name, end)| lifetime(&name, end, now)).collect();
    let hostname = configuration.admd.hostname.to_string();
    findings.push(cover(&certificates, (&hostname, "servers that bring mail"), now));
    let links = link_host(&configuration.brand.base_url);
    if configuration.brand.base_url.starts_with("https://") && configuration.web.tls == web::Tls::Here {
        findings.push(cover(&certificates, (&links, "browsers that open links"), now));
    }
    findings
}

fn lifetime(name: &str, end: Timestamp, now: Timestamp) -> Finding {
    let days = end.duration_since(now).as_hours() / 24;
    let renew = "put the next one into certs: it is noticed without a restart";
    if end <= now {
        Finding::wrong("certificate", format!("{name}: over since {end:.0}"), renew)
    } else if days < SOON {
        Finding::warn("certificate", format!("{name}: holds {days} more days"), renew)
    } else {
        Finding::ok("certificate", format!("{name}: holds {days} more days"))
    }
}

/// What a client that asks for this host is shown.
fn cover(certificates: &Certificates, (host, who): (&str, &str), now: Timestamp) -> Finding {
    match certificates.judge(host, now) {
        Ok(()) => Finding::ok("certificate", format!("{host}: named, and believed by this machine's roots")),
        Err(tls::Unfit::Name(name)) => Finding::wrong(
            "certificate",
            format!("{host}: {who} are shown the certificate of {name}, which does not name it"),
            format!("certs/{host}/fullchain.pem and privkey.pem with a certificate for {host}"),
        ),
        Err(tls::Unfit::Chain(why)) => Finding::warn(
            "certificate",
            format!("{host}: {who} will not believe it: {why}"),
            "a certificate of a public authority, with the whole chain in fullchain.pem",
        ),
    }
}

/// Days: a renewal that has not happened by now may not happen.
const SOON: i64 = 14;
