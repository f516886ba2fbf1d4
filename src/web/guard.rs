//! Who asks, from where, with which visit.
//!
//! A form is ours when its Origin is ours. Our pages have the referrer policy `same-origin`, so browsers
//! say it; where one says `null` nevertheless, Sec-Fetch-Site, which no page can forge, must say
//! that the form came from us. Text browsers send neither; then, and only then, Referer counts: a page
//! elsewhere can silence it, not forge it, and silence proves nothing. Within a visit the form's token has
//! to be right as well; it stands alone where a browser says nothing.

use std::net::{IpAddr, SocketAddr};

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Uri, header};

use super::Options;
use crate::channel::{Client, Token};
use crate::words::Language;

/// Where we are, as the configuration says.
#[derive(Debug)]
pub struct Site {
    /// Our origin, then those that we had before.
    origins: Vec<String>,
    base_url: String,
    cookie: &'static str,
    attributes: &'static str,
    secure: bool,
}

/// The peer of the connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Where a form came from, by what its browser says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// One of our pages.
    Ours,
    /// Another page, or one that hides itself.
    Foreign,
    /// The browser says nothing at all.
    Unsaid,
}

/// In which language a page speaks, and whether the reader chose it on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speech {
    /// The language.
    pub language: Language,
    /// What our links carry on so that the choice stays, without a cookie.
    pub suffix: &'static str,
}

impl Site {
    /// From the base URL and the hosts that it had before. Over plain HTTP (a demonstration on loopback)
    /// browsers refuse the `__Host-` prefix and Secure, so there the cookie goes without.
    pub fn new(base_url: &str, old_hosts: &[String]) -> Self {
        let origin = |url: &str| url.trim_end_matches('/').trim_end_matches(":443").to_ascii_lowercase();
        let origins = std::iter::once(base_url).chain(old_hosts.iter().map(String::as_str)).map(origin).collect();
        let base_url = base_url.trim_end_matches('/').to_owned();
        let secure = base_url.starts_with("https://");
        let (cookie, attributes) = match secure {
            true => ("__Host-waxseal", "; Path=/; Secure; HttpOnly; SameSite=Lax"),
            false => ("waxseal", "; Path=/; HttpOnly; SameSite=Lax"),
        };
        Self { origins, base_url, cookie, attributes, secure }
    }

    /// Whether browsers reach us by TLS.
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// Where a form came from. A field that is there twice, or is no text, is a foreign one.
    pub fn source(&self, headers: &HeaderMap) -> Source {
        let (origin, fetched, referer) = (only(headers, "origin"), only(headers, "sec-fetch-site"), only(headers, "referer"));
        let is_ours = match (origin, fetched, referer) {
            (Said::Once(origin), ..) if origin != "null" => self.origins.iter().any(|ours| origin.eq_ignore_ascii_case(ours)),
            (Said::Once(_) | Said::Nothing, Said::Once(fetched), _) => fetched == "same-origin",
            (Said::Nothing, Said::Nothing, Said::Once(referer)) => self.holds(referer),
            (Said::Nothing, Said::Nothing, Said::Nothing) => return Source::Unsaid,
            _ => false,
        };
        if is_ours { Source::Ours } else { Source::Foreign }
    }

    /// Whether an address is one of ours.
    fn holds(&self, url: &str) -> bool {
        self.origins.iter().any(|ours| {
            let Some((origin, path)) = url.split_at_checked(ours.len()) else { return false };
            // Without the slash, `https://secure.example.org.evil.example` and `https://secure.example.org@evil.example` would begin like us.
            origin.eq_ignore_ascii_case(ours) && (path.is_empty() || path.starts_with('/'))
        })
    }

    /// Where a page is now that was asked for at an old host. What a request claims chooses among
    /// configured hosts only, and no claim stands in the answer.
    pub fn moved(&self, uri: &Uri, headers: &HeaderMap) -> Option<String> {
        let host = uri.authority().map(|authority| authority.as_str()).or_else(|| text(headers, "host"))?;
        let host = host.trim_end_matches(":443");
        let is_host_of = |origin: &String| origin.split_once("://").is_some_and(|(_, ours)| ours.eq_ignore_ascii_case(host));
        let is_old = !self.origins.first().is_some_and(is_host_of) && self.origins.iter().skip(1).any(is_host_of);
        is_old.then(|| format!("{}{}", self.base_url, uri.path_and_query().map_or("/", |path| path.as_str())))
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
    pub fn of(uri: &Uri, headers: &HeaderMap, default: Language) -> Self {
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

/// What a field says that may be there once.
#[derive(Clone, Copy)]
enum Said<'a> {
    Nothing,
    Once(&'a str),
    Unclear,
}

fn only<'a>(headers: &'a HeaderMap, name: &str) -> Said<'a> {
    let mut fields = headers.get_all(name).iter();
    match (fields.next().map(HeaderValue::to_str), fields.next()) {
        (None, _) => Said::Nothing,
        (Some(Ok(value)), None) => Said::Once(value),
        (Some(_), _) => Said::Unclear,
    }
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
        use Source::{Foreign, Ours, Unsaid};
        const US: &str = "https://secure.example.org";
        const PAGE: &str = "https://secure.example.org/m/abc?lang=sv";
        let site = Site::new(US, &["https://Old.example.org/".to_owned(), "https://older.example.org:443".to_owned()]);
        for (fields, source) in [
            (vec![("origin", US)], Ours),
            (vec![("origin", "https://old.example.org")], Ours),
            (vec![("origin", "https://older.example.org")], Ours),
            (vec![("origin", "http://old.example.org")], Foreign),
            (vec![("origin", "https://old.example.org.evil.example")], Foreign),
            (vec![("referer", "https://old.example.org/m/abc")], Ours),
            (vec![("origin", "https://evil.example")], Foreign),
            (vec![("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")], Foreign),
            (vec![("origin", "http://secure.example.org")], Foreign),
            (vec![("origin", US), ("origin", US)], Foreign),
            (vec![("origin", "null")], Foreign),
            (vec![("origin", "null"), ("sec-fetch-site", "same-origin")], Ours),
            (vec![("origin", "null"), ("sec-fetch-site", "cross-site")], Foreign),
            (vec![("sec-fetch-site", "same-origin")], Ours),
            (vec![("sec-fetch-site", "same-site")], Foreign),
            (vec![("sec-fetch-site", "none")], Foreign),
            (vec![("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")], Foreign),
            // A browser that says neither.
            (vec![], Unsaid),
            (vec![("referer", PAGE)], Ours),
            (vec![("referer", US)], Ours),
            (vec![("referer", "HTTPS://Secure.Example.ORG/password")], Ours),
            (vec![("referer", "http://secure.example.org/")], Foreign),
            (vec![("referer", "https://secure.example.org:8443/")], Foreign),
            (vec![("referer", "https://secure.example.org.evil.example/")], Foreign),
            (vec![("referer", "https://secure.example.org@evil.example/")], Foreign),
            (vec![("referer", "https://evil.example/https://secure.example.org/")], Foreign),
            (vec![("referer", "https://evil.example/?https://secure.example.org/")], Foreign),
            (vec![("referer", "/m/abc")], Foreign),
            (vec![("referer", "")], Foreign),
            (vec![("referer", PAGE), ("referer", PAGE)], Foreign),
            // One that says either: Referer is not heard.
            (vec![("origin", "null"), ("referer", PAGE)], Foreign),
            (vec![("origin", ""), ("referer", PAGE)], Foreign),
            (vec![("origin", "https://evil.example"), ("referer", PAGE)], Foreign),
            (vec![("sec-fetch-site", "cross-site"), ("referer", PAGE)], Foreign),
            (vec![("sec-fetch-site", ""), ("referer", PAGE)], Foreign),
            (vec![("origin", US), ("referer", "https://evil.example/")], Ours),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in &fields {
                headers.append(*name, value.parse().unwrap());
            }
            assert_eq!(site.source(&headers), source, "{fields:?}");
        }
        for name in ["origin", "sec-fetch-site", "referer"] {
            let mut headers = HeaderMap::new();
            headers.append(name, HeaderValue::from_bytes(b"https://secure.example.org/\xff").unwrap());
            assert_eq!(site.source(&headers), Foreign, "{name}");
        }
    }

    #[test]
    fn an_old_host_leads_to_the_new_one_and_no_other_host_does() {
        let site =
            Site::new("https://secure.example.org", &["https://old.example.org".to_owned(), "https://other.example.org:8443".to_owned()]);
        const NEW: Option<&str> = Some("https://secure.example.org/m/abc?lang=sv");
        for (target, host, expect) in [
            ("/m/abc?lang=sv", Some("old.example.org"), NEW),
            ("/m/abc?lang=sv", Some("OLD.example.org:443"), NEW),
            ("/m/abc?lang=sv", Some("other.example.org:8443"), NEW),
            ("/m/abc?lang=sv", Some("other.example.org"), None),
            // HTTP/2 and absolute targets say it in the target, which counts more.
            ("https://old.example.org/m/abc?lang=sv", None, NEW),
            ("https://old.example.org/m/abc?lang=sv", Some("secure.example.org"), NEW),
            ("https://secure.example.org/m/abc", Some("old.example.org"), None),
            ("/m/abc", Some("secure.example.org"), None),
            ("/m/abc", Some("evil.example"), None),
            ("/m/abc", None, None),
        ] {
            let fields: Vec<(&'static str, &str)> = host.map(|host| ("host", host)).into_iter().collect();
            assert_eq!(site.moved(&target.parse().unwrap(), &headers(&fields)).as_deref(), expect, "{target} at {host:?}");
        }
    }

    #[test]
    fn a_planted_second_cookie_ends_the_visit() {
        let site = Site::new("https://secure.example.org", &[]);
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
