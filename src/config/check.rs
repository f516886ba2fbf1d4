//! What a value must be beyond its type.

use super::{Admd, Brand, Domain, File, House, Log, Mailbox, dns, queue, relay, smtp, web};

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
    Some(Admd { domains, hostname: hostname.ok()?, postmaster: postmaster.ok()? })
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

/// The next hop.
pub fn relay(options: &relay::Options, file: &mut File<'_>) {
    let well_formed = options.next_hop.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if !well_formed {
        let what = format!("next_hop \"{}\" is not host:port", options.next_hop);
        file.mistake(("relay", "next_hop"), &what, "write it as in smarthost.example.org:587");
    }
    if options.username.is_some() != options.password_file.is_some() {
        file.mistake(("relay", "username"), "username and password_file go together", "name both or none");
    }
}

/// Limits that would let nothing through.
pub fn limits((smtp, web): (&smtp::Options, &web::Options), (relay, queue): (&relay::Options, &queue::Options), file: &mut File<'_>) {
    let limits = [
        ("smtp", "message_size", smtp.message_size),
        ("smtp", "recipients", smtp.recipients as u64),
        ("smtp", "connections", smtp.connections as u64),
        ("smtp", "connections_per_address", smtp.connections_per_address as u64),
        ("smtp", "command_timeout", smtp.command_timeout),
        ("smtp", "stranger_timeout", smtp.stranger_timeout),
        ("smtp", "session_timeout", smtp.session_timeout),
        ("relay", "connections", relay.connections as u64),
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
    if queue.retry_minutes.is_empty() || queue.retry_minutes.contains(&0) {
        file.mistake(
            ("queue", "retry_minutes"),
            "retry_minutes needs one time or more, each of 1 minute or more",
            "as in [1, 5, 15, 30, 60]",
        );
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
const LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];
