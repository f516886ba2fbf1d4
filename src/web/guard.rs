//! Who asks, from where, with which visit.
//!
//! A form is ours when its Origin is ours. Our pages have the referrer policy `same-origin`, so browsers
//! say it; where one says `null` nevertheless, Sec-Fetch-Site, which no page can forge, must say
//! that the form came from us. Neither is no proof at all. Within a visit the form's token has to be right as well.

use std::net::{IpAddr, SocketAddr};

use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use super::Options;
use crate::channel::{Client, Token};
use crate::words::Language;

/// Where we are, as the configuration says.
#[derive(Debug)]
pub struct Site {
    origin: String,
    cookie: &'static str,
    attributes: &'static str,
    secure: bool,
}

/// The peer of the connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// In which language a page speaks, and whether the reader chose it on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speech {
    /// The language.
    pub language: Language,
    /// What our links carry on so that the choice stays, without a cookie.
    pub suffix: &'static str,
}

impl Site {
    /// From the base URL. Over plain HTTP (a demonstration on loopback) browsers refuse the
    /// `__Host-` prefix and Secure, so there the cookie goes without.
    pub fn new(base_url: &str) -> Self {
        let origin = base_url.trim_end_matches('/').to_ascii_lowercase();
        let secure = origin.starts_with("https://");
        let (cookie, attributes) = match secure {
            true => ("__Host-waxseal", "; Path=/; Secure; HttpOnly; SameSite=Lax"),
            false => ("waxseal", "; Path=/; HttpOnly; SameSite=Lax"),
        };
        Self { origin, cookie, attributes, secure }
    }

    /// Whether browsers reach us by TLS.
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether a form came from one of our pages.
    pub fn is_ours(&self, headers: &HeaderMap) -> bool {
        let fetched_by_us = text(headers, "sec-fetch-site") == Some("same-origin");
        match text(headers, "origin") {
            Some(origin) if origin != "null" => origin.eq_ignore_ascii_case(&self.origin),
            Some(_) | None => fetched_by_us && headers.get_all(header::ORIGIN).iter().count() <= 1,
        }
    }

    /// The visit's token in a request.
    pub fn token(&self, headers: &HeaderMap) -> Option<Token> {
        let mut found = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|field| field.to_str().ok())
            .flat_map(|field| field.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == self.cookie);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Token::parse(value),
            // Two of them: one was planted. Neither counts.
            _ => None,
        }
    }

    /// Set-Cookie of a visit.
    pub fn set_cookie(&self, token: &Token) -> String {
        format!("{}={}{}", self.cookie, token.encode().expose(), self.attributes)
    }

    /// Set-Cookie that ends it.
    pub fn clear_cookie(&self) -> String {
        format!("{}={}; Max-Age=0", self.cookie, self.attributes)
    }
}

impl Speech {
    /// By the page's own switch, else by the browser, else the organisation's.
    pub fn of(uri: &axum::http::Uri, headers: &HeaderMap, default: Language) -> Self {
        let chosen = uri.query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("lang="));
        match chosen.and_then(Language::parse) {
            Some(Language::English) => Self { language: Language::English, suffix: "?lang=en" },
            Some(Language::Swedish) => Self { language: Language::Swedish, suffix: "?lang=sv" },
            None => Self { language: Language::negotiate(text(headers, "accept-language"), default), suffix: "" },
        }
    }
}

/// Who the client is.
pub fn client(parts: &Parts, options: &Options) -> Client {
    Client::from(address(parts, options))
}

/// Where the client is: the peer, or what a proxy of ours says. Read from the right, since only what
/// our own proxies added can be believed.
pub fn address(parts: &Parts, options: &Options) -> IpAddr {
    let unspecified = IpAddr::from([0, 0, 0, 0]);
    let peer = parts.extensions.get::<Peer>().map_or(unspecified, |peer| peer.0.ip().to_canonical());
    let is_proxy = |address: &IpAddr| options.proxies.iter().any(|network| network.contains(address));
    if !is_proxy(&peer) {
        return peer;
    }
    let fields: Vec<&str> = parts.headers.get_all("x-forwarded-for").iter().filter_map(|field| field.to_str().ok()).collect();
    let forwarded = fields.iter().rev().flat_map(|field| field.rsplit(',')).map_while(|text| text.trim().parse::<IpAddr>().ok());
    forwarded.map(|address| address.to_canonical()).find(|address| !is_proxy(address)).unwrap_or(peer)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (axum::http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_form_is_ours_only_with_proof() {
        let site = Site::new("https://secure.example.org");
        for (fields, ours) in [
            (vec![], false),
            (vec![("origin", "https://secure.example.org")], true),
            (vec![("origin", "https://evil.example")], false),
            (vec![("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")], false),
            (vec![("origin", "http://secure.example.org")], false),
            (vec![("origin", "null")], false),
            (vec![("origin", "null"), ("sec-fetch-site", "same-origin")], true),
            (vec![("origin", "null"), ("sec-fetch-site", "cross-site")], false),
            (vec![("sec-fetch-site", "same-origin")], true),
            (vec![("sec-fetch-site", "same-site")], false),
            (vec![("sec-fetch-site", "none")], false),
        ] {
            assert_eq!(site.is_ours(&headers(&fields)), ours, "{fields:?}");
        }
    }

    #[test]
    fn a_planted_second_cookie_ends_the_visit() {
        let site = Site::new("https://secure.example.org");
        let token = "A".repeat(43);
        let one = format!("other=1; __Host-waxseal={token}");
        assert!(site.token(&headers(&[("cookie", &one)])).is_some());
        let two = format!("{one}; __Host-waxseal={token}");
        assert!(site.token(&headers(&[("cookie", &two)])).is_none());
        assert!(site.token(&headers(&[("cookie", &format!("waxseal={token}"))])).is_none());
    }

    #[test]
    fn only_our_own_proxies_say_who_the_client_is() {
        let options = Options { proxies: vec!["10.0.0.0/8".parse().unwrap()], ..Options::default() };
        for (peer, forwarded, expect) in [
            ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
            ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
            ("10.0.0.1", "203.0.113.9, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
            ("10.0.0.1", "nonsense", "10.0.0.1"),
        ] {
            let mut parts = axum::http::Request::builder().header("x-forwarded-for", forwarded).body(()).unwrap().into_parts().0;
            parts.extensions.insert(Peer(SocketAddr::new(peer.parse().unwrap(), 1)));
            assert_eq!(client(&parts, &options), Client::from(expect.parse::<IpAddr>().unwrap()), "{peer} {forwarded}");
        }
    }
}
