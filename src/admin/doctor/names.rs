//! What DNS says of us: our host name there and back, the host of the links, the DKIM records, SPF.

use std::net::IpAddr;

use super::Finding;
use super::dns::{Dns, Unanswered};
use super::spf::{self, Allows};
use crate::config::Configuration;
use crate::transform::dkim::Signers;

/// Everything that is asked.
pub async fn look(configuration: &Configuration, dns: &Dns) -> Vec<Finding> {
    let hostname = configuration.admd.hostname.to_string();
    let (mut findings, addresses) = host(dns, &hostname).await;
    findings.push(links(configuration, dns).await);
    findings.extend(signatures(configuration, dns).await);
    for domain in &configuration.admd.domains {
        findings.push(senders(dns, domain.as_str(), &addresses).await);
    }
    findings
}

/// There and back: receivers distrust a host whose address has another name. RFC 8601 calls it `iprev`.
async fn host(dns: &Dns, hostname: &str) -> (Vec<Finding>, Vec<IpAddr>) {
    let addresses = match dns.addresses(hostname).await {
        Ok(addresses) => addresses,
        Err(Unanswered::None) => {
            let mend = format!("publish {hostname}. IN A (and AAAA) with the gateway's address, or correct [house] hostname");
            return (vec![Finding::wrong("dns", format!("{hostname} has no address"), mend)], Vec::new());
        }
        Err(Unanswered::Trouble(why)) => return (vec![unanswered(hostname, &why)], Vec::new()),
    };
    let mut findings = Vec::new();
    for address in &addresses {
        let mend = format!("whoever holds {address} publishes PTR {hostname}.; it only matters where mail leaves from there directly");
        findings.push(match dns.names(*address).await {
            Ok(names) if names.iter().any(|name| name.eq_ignore_ascii_case(hostname)) => {
                Finding::ok("dns", format!("{hostname} is {address}, and back"))
            }
            Ok(names) => Finding::warn("dns", format!("{hostname} is {address}, but that is {}", names.join(", ")), mend),
            Err(Unanswered::None) => Finding::warn("dns", format!("{hostname} is {address}, which has no name"), mend),
            Err(Unanswered::Trouble(why)) => unanswered(&address.to_string(), &why),
        });
    }
    (findings, addresses)
}

async fn links(configuration: &Configuration, dns: &Dns) -> Finding {
    let host = link_host(&configuration.brand.base_url);
    if host.parse::<IpAddr>().is_ok() || host == "localhost" {
        return Finding::warn(
            "dns",
            format!("links lead to {host}, which nobody else reaches"),
            "[web] base_url with a name of yours, before real recipients get links",
        );
    }
    match dns.addresses(&host).await {
        Ok(addresses) => {
            let listed = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Finding::ok("dns", format!("links lead to {host}: {listed}"))
        }
        Err(Unanswered::None) => Finding::wrong(
            "dns",
            format!("links lead to {host}, which has no address"),
            format!("publish {host}. IN A, or correct [web] base_url"),
        ),
        Err(Unanswered::Trouble(why)) => unanswered(&host, &why),
    }
}

/// The host in what links begin with.
pub fn link_host(base_url: &str) -> String {
    let rest = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    let bare = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or_default(),
    };
    bare.to_ascii_lowercase()
}

/// The public half of each key must stand in DNS as it is here.
async fn signatures(configuration: &Configuration, dns: &Dns) -> Vec<Finding> {
    // What does not load was told with the files.
    let Ok(signers) = Signers::load(&configuration.path(&configuration.store.dkim)) else { return Vec::new() };
    let mut findings = Vec::new();
    for (name, expected) in signers.records() {
        let publish = format!("publish {name}. IN TXT \"{expected}\" (in strings of at most 255 octets)");
        findings.push(match dns.texts(&name).await {
            Ok(texts) if texts.iter().any(|text| key(text) == key(&expected)) => Finding::ok("dkim", format!("{name} is the key here")),
            Ok(_) => Finding::wrong("dkim", format!("{name} is another key than the one here: our signatures fail"), publish),
            Err(Unanswered::None) => Finding::wrong("dkim", format!("{name} is not published: our signatures fail"), publish),
            Err(Unanswered::Trouble(why)) => unanswered(&name, &why),
        });
    }
    findings
}

/// The `p=` of a record, without the white space that some zones put in. RFC 6376 §3.6.1.
fn key(record: &str) -> Option<String> {
    let tags = record.split(';').filter_map(|tag| tag.split_once('='));
    let (_, key) = tags.map(|(name, value)| (name.trim(), value)).find(|(name, _)| *name == "p")?;
    Some(key.split_whitespace().collect())
}

/// SPF is about the address that speaks to the recipients' servers. Ours is that one only where mail leaves
/// from here directly; behind a next hop it is the next hop's, which cannot be seen from here.
async fn senders(dns: &Dns, domain: &str, addresses: &[IpAddr]) -> Finding {
    let Some(address) = addresses.first() else {
        return Finding::warn("spf", format!("{domain}: our address is not known"), "mend the host name first");
    };
    let sure = "sure only where mail leaves from there directly: behind a next hop its address counts";
    match spf::allows(dns, domain, *address).await {
        Allows::Yes => Finding::ok("spf", format!("{domain} lets {address} send ({sure})")),
        Allows::No(why) => Finding::warn(
            "spf",
            format!("{domain} does not let {address} send: {why}"),
            format!("name it in the record if mail leaves from there ({sure})"),
        ),
        Allows::NoRecord => Finding::warn(
            "spf",
            format!("{domain} has no SPF record"),
            format!("{domain}. IN TXT \"v=spf1 a:… -all\" with the hosts that send"),
        ),
        Allows::Unknown(why) => {
            Finding::warn("spf", format!("{domain}: cannot be told: {why}"), "a test mail to a large provider shows its verdict")
        }
    }
}

fn unanswered(name: &str, why: &str) -> Finding {
    Finding::warn("dns", format!("{name}: no answer: {why}"), "the resolver in /etc/resolv.conf must answer; --resolver asks another")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_links_is_found() {
        for (url, expect) in [
            ("https://secure.Example.org", "secure.example.org"),
            ("https://secure.example.org:8443/x", "secure.example.org"),
            ("http://[::1]:8080", "::1"),
            ("http://127.0.0.1:8080", "127.0.0.1"),
        ] {
            assert_eq!(link_host(url), expect);
        }
    }

    #[test]
    fn keys_are_compared_and_not_their_dress() {
        assert_eq!(key("v=DKIM1; k=rsa; p=AB CD"), key("k=rsa;p=ABCD; t=s"));
        assert_ne!(key("v=DKIM1; p=AB"), key("v=DKIM1; p=AC"));
        assert_eq!(key("v=DKIM1"), None);
    }
}
