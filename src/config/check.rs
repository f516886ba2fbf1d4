//! What a value must be beyond its type.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use rustls_pki_types::ServerName;

use super::{Admd, Brand, Domain, File, Grants, House, Log, Mailbox, channel, dns, monitor, queue, relay, smtp, transport, web};

/// The organisation as mail knows it.
pub fn admd(house: &House, file: &mut File<'_>) -> Option<Admd> {
    if house.domains.is_empty() {
        file.mistake(("house", "domains"), "no domain is named", "domains = [\"example.org\"]: what is internal");
    }
    let mut domains = Vec::new();
    for text in &house.domains {
        match Domain::parse(text) {
            Ok(domain) => domains.push(domain),
            Err(bad) => file.mistake(("house", "domains"), &format!("domain \"{text}\": {bad}"), "write it as in example.org"),
        }
    }
    let hostname = Domain::parse(&house.hostname);
    if hostname.is_err() {
        let what = format!("hostname \"{}\" is not a host name", house.hostname);
        file.mistake(("house", "hostname"), &what, "the name that the gateway has in DNS, as in mail.example.org");
    }
    let text = house.postmaster.clone().or_else(|| Some(format!("postmaster@{}", domains.first()?)))?;
    let postmaster = Mailbox::parse(&text);
    if let Err(bad) = &postmaster {
        file.mistake(("house", "postmaster"), &format!("postmaster \"{text}\": {bad}"), "write it as in postmaster@example.org");
    }
    let admd = Admd { domains, hostname: hostname.ok()?, postmaster: postmaster.ok()? };
    if admd.is_own(&admd.postmaster) {
        let what = format!("postmaster \"{text}\" is at the gateway's own name, where nobody has a mailbox");
        file.mistake(("house", "postmaster"), &what, "an address in one of the domains, whose mail goes to the next hop");
    }
    Some(admd)
}

/// The organisation as people see it.
pub fn brand(house: &House, web: &web::Options, file: &mut File<'_>) -> Option<Brand> {
    let zone = jiff::tz::TimeZone::get(&house.time_zone);
    if zone.is_err() {
        let what = format!("time_zone \"{}\" is not in the time zone database", house.time_zone);
        file.mistake(("house", "time_zone"), &what, "write it as in Europe/Stockholm");
    }
    if !is_colour(&house.accent) {
        file.mistake(("house", "accent"), &format!("accent \"{}\" is not a colour", house.accent), "write it as in #8a1c2b");
    }
    let base_url = web.base_url.trim_end_matches('/').to_owned();
    if !is_safe_base(&base_url) {
        let what = format!("base_url \"{base_url}\" is not an https address");
        file.mistake(("web", "base_url"), &what, "links begin with it, as in https://secure.example.org; http only on 127.0.0.1");
    } else if base_url.len() > BASE_URL_MAX {
        let what = format!("base_url has {} characters", base_url.len());
        file.mistake(
            ("web", "base_url"),
            &what,
            &format!("at most {BASE_URL_MAX}, so that no mail program breaks the links over two lines"),
        );
    }
    Some(Brand {
        name: house.name.clone(),
        accent: house.accent.clone(),
        support: house.support.clone(),
        language: house.language,
        zone: zone.ok()?,
        base_url,
    })
}

/// Rights that nobody could have, or that everybody would.
pub fn rights((networks, grants): (&[IpNet], &Grants), file: &mut File<'_>) {
    for (number, entry) in grants.certificates.iter().enumerate() {
        let wrong = match (&entry.sha256, entry.name.as_str()) {
            (Some(_), "") if entry.ca.is_some() => Some(("ca", String::from("a fingerprint needs no authority"))),
            (Some(_), "") => None,
            (Some(_), _) => Some(("name", String::from("a certificate is known by its fingerprint or by its name, not by both"))),
            (None, name) => unnamed(name),
        };
        if let Some((key, what)) = wrong {
            file.mistake_in(
                (("smtp", "certificates"), number, key),
                &what,
                "sha256 = \"AB:CD:…\", or name = \"erp.example.org\" and perhaps ca = \"ca.pem\"",
            );
        }
    }
    for (number, cloud) in grants.clouds.iter().enumerate() {
        let missing = |key, what: &str| Some((key, what.to_owned()));
        let wrong = match cloud {
            cloud if cloud.networks.is_empty() => missing("networks", "a cloud has networks"),
            cloud if cloud.fields.is_empty() => missing("fields", "a cloud writes a field that proves whose mail it is"),
            cloud => unnamed(&cloud.name).or_else(|| relayed_as_well(networks, &cloud.networks).map(|what| ("networks", what))),
        };
        if let Some((key, what)) = wrong {
            let help = "without the proof, mail from there is everybody's: see examples/exchange-online";
            file.mistake_in((("smtp", "clouds"), number, key), &what, help);
        }
    }
}

fn unnamed(name: &str) -> Option<(&'static str, String)> {
    match ServerName::try_from(name) {
        Ok(_) => None,
        Err(_) if name.is_empty() => Some(("name", String::from("no name says whose certificate it is"))),
        Err(_) => Some(("name", format!("name \"{name}\" is not a DNS name"))),
    }
}

/// A range of a cloud that is to be a relay network as well.
fn relayed_as_well(relay: &[IpNet], cloud: &[IpNet]) -> Option<String> {
    let pairs = cloud.iter().flat_map(|range| relay.iter().map(move |network| (range, network)));
    let mut overlaps = pairs.filter(|(range, network)| network.contains(*range) || range.contains(*network));
    overlaps.next().map(|(range, network)| format!("{range} is in relay_networks as well, by {network}"))
}

/// Hosts that links began with before.
pub fn old_hosts(web: &web::Options, file: &mut File<'_>) {
    for host in &web.old_hosts {
        let plain = host.trim_end_matches('/');
        let is_origin = is_safe_base(plain) && plain.matches('/').count() == 2;
        if !is_origin {
            let what = format!("old host \"{host}\" is not an https address");
            file.mistake(("web", "old_hosts"), &what, "write it without a path, as in https://old.example.org");
        } else if plain.eq_ignore_ascii_case(web.base_url.trim_end_matches('/')) {
            file.mistake(
                ("web", "old_hosts"),
                &format!("old host \"{host}\" is base_url itself"),
                "name hosts that links began with before",
            );
        }
    }
}

/// The ways out.
pub fn relay((ways, admd): (&relay::Ways, Option<&Admd>), file: &mut File<'_>) {
    for (key, what, help) in way(&ways.rest) {
        file.mistake(("relay", key), &what, help);
    }
    for (number, route) in ways.routes.iter().enumerate() {
        let mut wrong = way(&route.way());
        if route.connections == 0 {
            wrong.push(("connections", String::from("connections = 0 lets nothing through"), "write 1 or more"));
        }
        let words = admd
            .and_then(|admd| relay::Routes::new(admd, &relay::Ways { routes: vec![route.clone()], ..relay::Ways::default() }).err())
            .unwrap_or_default();
        let what = |word: &String| format!("a route for \"{word}\", which is neither internal, external nor a domain");
        wrong.extend(
            words.iter().map(|word| ("recipients", what(word), "as in [\"internal\", \"partner.example\", \"*.partner.example\"]")),
        );
        for (key, what, help) in wrong {
            file.mistake_in((("relay", "routes"), number, key), &what, help);
        }
    }
}

/// What is wrong with one way: the key, what, and what helps.
fn way(options: &relay::Options) -> Vec<(&'static str, String, &'static str)> {
    let hop = options.next_hop.malformed().map(|wrong| format!("next_hop {wrong} is not host:port"));
    let half = (options.username.is_some() != options.password_file.is_some())
        .then(|| ("username", String::from("username and password_file go together"), "name both or none"));
    let wrong = hop.map(|what| {
        (
            "next_hop",
            what,
            "write it as in smarthost.example.org:587, lmtp://127.0.0.1:24 (never port 25), or mx for each domain's own mail servers",
        )
    });
    wrong.into_iter().chain(half).chain(options.next_hop.is_mx().then(|| by_mx(options)).into_iter().flatten()).collect()
}

/// What does not go together with mail servers that DNS names.
fn by_mx(options: &relay::Options) -> Vec<(&'static str, String, &'static str)> {
    let wrong = [
        (
            options.tls == relay::Tls::None,
            "tls",
            "tls = \"none\" is for a next hop on the same machine, and next_hop is mx",
            "write opportunistic, required or verified",
        ),
        (
            options.username.is_some(),
            "username",
            "mail servers of other domains take no password, and next_hop is mx",
            "leave username and password_file out",
        ),
        (
            options.roots.is_some(),
            "roots",
            "roots are for a next hop that is named, and next_hop is mx",
            "name the file in transport.roots",
        ),
    ];
    wrong.into_iter().filter(|(is_wrong, ..)| *is_wrong).map(|(_, key, what, help)| (key, what.to_owned(), help)).collect()
}

/// Limits that would let nothing through.
pub fn limits(
    (smtp, web): (&smtp::Options, &web::Options),
    (ways, queue): ((&relay::Options, &transport::Options), &queue::Options),
    file: &mut File<'_>,
) {
    let limits = [
        ("smtp", "message_size", smtp.message_size),
        ("smtp", "recipients", smtp.recipients as u64),
        ("smtp", "connections", smtp.connections as u64),
        ("smtp", "connections_per_address", smtp.connections_per_address as u64),
        ("smtp", "command_timeout", smtp.command_timeout),
        ("smtp", "stranger_timeout", smtp.stranger_timeout),
        ("smtp", "session_timeout", smtp.session_timeout),
        ("relay", "connections", ways.0.connections as u64),
        ("transport", "port", u64::from(ways.1.port)),
        ("web", "connections", web.connections as u64),
        ("web", "connections_per_client", web.connections_per_client as u64),
        ("web", "request_seconds", web.request_seconds),
        ("web", "stall_seconds", web.stall_seconds),
        ("queue", "lifetime_hours", u64::from(queue.lifetime_hours)),
    ];
    for (table, key, limit) in limits {
        if limit == 0 {
            file.mistake((table, key), &format!("{key} = 0 lets nothing through"), "write 1 or more");
        }
    }
    for (table, drain) in [("smtp", smtp.drain_seconds), ("web", web.drain_seconds)] {
        if drain > DRAIN_MAX {
            let what = format!("drain_seconds = {drain} is longer than a stop may take");
            file.mistake((table, "drain_seconds"), &what, &format!("at most {DRAIN_MAX}: everything ends within 30 s"));
        }
    }
    if smtp.error_delay > ERROR_DELAY_MAX {
        let what = format!("error_delay = {} is longer than clients wait for a reply when it is doubled four times", smtp.error_delay);
        file.mistake(
            ("smtp", "error_delay"),
            &what,
            &format!("at most {ERROR_DELAY_MAX}: they wait five minutes (RFC 5321 section 4.5.3.2)"),
        );
    }
    if smtp.recipients > 0 && smtp.recipients < RECIPIENTS_MIN {
        let what = format!("recipients = {} is less than every server must take", smtp.recipients);
        file.mistake(("smtp", "recipients"), &what, &format!("at least {RECIPIENTS_MIN} (RFC 5321 section 4.5.3.1.8)"));
    }
    // Such a message would be too much in every hour.
    if smtp.sender_recipients != 0 && smtp.sender_recipients < smtp.recipients as u64 {
        let what = format!("sender_recipients = {} is less than one message may have", smtp.sender_recipients);
        file.mistake(("smtp", "sender_recipients"), &what, &format!("recipients = {} or more, or 0 for no limit", smtp.recipients));
    }
    if queue.retry_minutes.is_empty() || queue.retry_minutes.contains(&0) {
        file.mistake(
            ("queue", "retry_minutes"),
            "retry_minutes needs one time or more, each of 1 minute or more",
            "as in [1, 5, 15, 30, 60]",
        );
    } else if queue.lifetime_hours > 0 && queue.attempts() < queue::ATTEMPTS_MIN {
        let what = format!("retry_minutes leaves time for {} attempts in lifetime_hours = {}", queue.attempts(), queue.lifetime_hours);
        file.mistake(("queue", "retry_minutes"), &what, "there must be time for five: try sooner, or give up later");
    }
}

/// DNS, which has to be asked at least once.
pub fn dns(options: &dns::Options, file: &mut File<'_>) {
    let asked = [("timeout_seconds", options.timeout_seconds), ("attempts", options.attempts)];
    for (key, _) in asked.iter().filter(|(_, limit)| *limit == 0) {
        file.mistake(("dns", key), &format!("{key} = 0 finds nothing"), "write 1 or more");
    }
    if options.trust_anchor.is_some() && options.dnssec != dns::Dnssec::Own {
        let what = "trust_anchor is of no use where signatures are not checked here";
        file.mistake(("dns", "trust_anchor"), what, "dnssec = \"own\" checks them");
    }
}

/// Two listeners that want the same address: the second could not be opened.
pub fn listeners((smtp, web, admin): (&smtp::Options, &web::Options, &monitor::Options), file: &mut File<'_>) {
    let named = |table: &'static str, key: &'static str, addresses: &[SocketAddr]| {
        addresses.iter().map(|address| (table, key, *address)).collect::<Vec<_>>()
    };
    let all = [
        named("smtp", "listen", &smtp.listen),
        named("smtp", "submission", &smtp.submission),
        named("smtp", "listen_tls", &smtp.listen_tls),
        named("web", "listen", &[web.listen]),
        named("admin", "listen", &admin.listen),
    ]
    .concat();
    for (place, (table, key, address)) in all.iter().enumerate() {
        let before = all.iter().take(place).find(|(.., other)| overlap(*address, *other));
        if let Some((other_table, other_key, other)) = before {
            let what = format!("{key} = {address} is taken by {other_key} = {other} of [{other_table}]");
            file.mistake((table, key), &what, "each listener needs an address or a port of its own");
        }
    }
}

/// Whether one address is part of the other. An unspecified IPv6 address takes IPv4 too; port 0 is always another.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |wide: IpAddr, narrow: IpAddr| wide == narrow || (wide.is_unspecified() && (wide.is_ipv6() || narrow.is_ipv4()));
    one.port() == other.port() && one.port() != 0 && (covers(one.ip(), other.ip()) || covers(other.ip(), one.ip()))
}

/// Visits, and who counts as whom.
pub fn channel(channel: &channel::Options, file: &mut File<'_>) {
    for (key, minutes) in [("idle_minutes", channel.idle_minutes), ("session_minutes", channel.session_minutes)] {
        if minutes == 0 {
            file.mistake(("channel", key), &format!("{key} = 0 lets nobody read anything"), "write 1 or more");
        }
    }
    if channel.same_domains.iter().any(|same| same.len() < 2) {
        file.mistake(
            ("channel", "same_domains"),
            "a list of the same domains needs two or more",
            "as in [[\"example.com\", \"example.co.uk\"]]: a list of lists",
        );
    }
}

/// The log's level.
pub fn log(log: &Log, file: &mut File<'_>) {
    if !LEVELS.contains(&log.level.as_str()) {
        file.mistake(("log", "level"), &format!("unknown level \"{}\"", log.level), &format!("levels: {}", LEVELS.join(", ")));
    }
}

fn is_colour(text: &str) -> bool {
    text.strip_prefix('#').is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// Links carry the secret, so they travel over https alone; loopback is for trying things out.
fn is_safe_base(url: &str) -> bool {
    let host = |rest: &str| rest.split(['/', ':']).next().is_some_and(|host| !host.is_empty());
    match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => host(rest),
        (None, Some(rest)) => ["127.0.0.1", "localhost", "[::1]"]
            .iter()
            .any(|local| rest.strip_prefix(local).is_some_and(|after| after.is_empty() || after.starts_with([':', '/']))),
        (None, None) => false,
    }
}

/// A link has 35 characters more, and a line of plain text 76.
const BASE_URL_MAX: usize = 40;
/// Of the 30 s after which an operator loses patience, what the replies to the last messages leave.
const DRAIN_MAX: u64 = 20;
/// Sixteen times this is four minutes.
const ERROR_DELAY_MAX: u64 = 15;
/// RFC 5321 §4.5.3.1.8.
const RECIPIENTS_MIN: usize = 100;
const LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];
