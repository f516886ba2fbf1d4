//! MTA-STS: a domain says over HTTPS which hosts take its mail, and that their certificates hold. RFC 8461.
//!
//! What is here only reads; [`Policies`] asks and remembers.

use std::fmt;

use crate::net::dns::Host;

mod policies;

pub use policies::{Policies, Stand, Unavailable};

/// What a domain demands of those who send to it. RFC 8461 §3.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How serious it is.
    pub mode: Mode,
    /// Seconds that it holds after it was fetched.
    pub max_age: u32,
    /// The hosts that may take mail.
    mx: Vec<Pattern>,
}

/// RFC 8461 §5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// No mail to a host that does not meet it.
    Enforce,
    /// Failures are reported; mail goes all the same.
    Testing,
    /// As if there were no policy.
    None,
}

/// A host, or all hosts one label below a name. RFC 8461 §4.1.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Host(Host),
    Below(Host),
}

/// Why a text is no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadPolicy {
    /// It does not begin as one, or a line is no field.
    Syntax,
    /// Of a version that is not `STSv1`.
    Version,
    /// Neither `enforce`, `testing` nor `none`.
    Mode,
    /// No number, or too high a one.
    MaxAge,
    /// A pattern that no host can match, or none at all.
    Mx,
}

impl Policy {
    /// Reads the file. Fields that nobody knows are passed over, and so is every field but `mx` that comes again.
    pub fn parse(text: &[u8]) -> Result<Self, BadPolicy> {
        let text = std::str::from_utf8(text).map_err(|_| BadPolicy::Syntax)?;
        let (mut version, mut mode, mut max_age, mut mx) = (None, None, None, Vec::new());
        for line in text.lines().filter(|line| !line.trim_ascii().is_empty()) {
            let (name, value) = line.split_once(':').ok_or(BadPolicy::Syntax)?;
            let value = value.trim_ascii();
            match name {
                "version" => _ = version.get_or_insert(value),
                "mode" => _ = mode.get_or_insert(value),
                "max_age" => _ = max_age.get_or_insert(value),
                "mx" => mx.push(Pattern::parse(value).ok_or(BadPolicy::Mx)?),
                name if is_name(name) => {}
                _ => return Err(BadPolicy::Syntax),
            }
        }
        if version != Some(VERSION) {
            return Err(BadPolicy::Version);
        }
        let mode = mode.and_then(Mode::parse).ok_or(BadPolicy::Mode)?;
        let max_age = max_age.and_then(seconds).ok_or(BadPolicy::MaxAge)?;
        if (mx.is_empty() && mode != Mode::None) || mx.len() > MX_MAX {
            return Err(BadPolicy::Mx);
        }
        Ok(Self { mode, max_age, mx })
    }

    /// Whether the host is one of those.
    pub fn allows(&self, host: &Host) -> bool {
        self.mx.iter().any(|pattern| pattern.matches(host))
    }

    /// Its `mx` patterns.
    pub fn patterns(&self) -> impl Iterator<Item = String> {
        self.mx.iter().map(ToString::to_string)
    }
}

/// The file again, in our order; what was not understood is gone.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "version: {VERSION}\nmode: {}", self.mode)?;
        self.mx.iter().try_for_each(|pattern| writeln!(f, "mx: {pattern}"))?;
        writeln!(f, "max_age: {}", self.max_age)
    }
}

impl Mode {
    fn parse(text: &str) -> Option<Self> {
        [Self::Enforce, Self::Testing, Self::None].into_iter().find(|mode| mode.to_string() == text)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::None => "none",
        })
    }
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("*.") {
            Some(rest) => Host::parse(rest).map(Self::Below),
            None => Host::parse(text).map(Self::Host),
        }
    }

    fn matches(&self, host: &Host) -> bool {
        match self {
            Self::Host(one) => one == host,
            Self::Below(above) => host.as_str().split_once('.').is_some_and(|(_, rest)| rest == above.as_str()),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => host.fmt(f),
            Self::Below(host) => write!(f, "*.{host}"),
        }
    }
}

impl fmt::Display for BadPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "it is not made of \"name: value\" lines",
            Self::Version => "its version is not STSv1",
            Self::Mode => "its mode is not enforce, testing or none",
            Self::MaxAge => "its max_age is not a number of seconds up to a year",
            Self::Mx => "its mx patterns are not hosts",
        })
    }
}

/// The id in the one record that says that there is a policy; none where the records say nothing clear. RFC 8461 §3.1.
pub fn id(texts: &[String]) -> Option<String> {
    let mut records = texts.iter().filter_map(|text| fields(text));
    let (record, None) = (records.next()?, records.next()) else { return None };
    let id = record.split(';').find_map(|field| field.trim_ascii().strip_prefix("id=").map(str::trim_ascii))?;
    let is_id = (1..=ID_MAX).contains(&id.len()) && id.bytes().all(|octet| octet.is_ascii_alphanumeric());
    is_id.then(|| id.to_owned())
}

/// What follows the version; none of another kind of record.
fn fields(text: &str) -> Option<&str> {
    text.strip_prefix("v=STSv1")?.trim_ascii_start().strip_prefix(';')
}

fn seconds(text: &str) -> Option<u32> {
    let is_number = (1..=MAX_AGE_DIGITS).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit());
    text.parse().ok().filter(|seconds| is_number && *seconds <= MAX_AGE)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'-' | b'.'))
}

const VERSION: &str = "STSv1";
/// RFC 8461 §3.1.
const ID_MAX: usize = 32;
/// RFC 8461 §3.2: a year, more or less.
const MAX_AGE: u32 = 31_557_600;
/// RFC 8461 §3.2.
const MAX_AGE_DIGITS: usize = 10;
/// A domain with more hosts writes a pattern with an asterisk.
const MX_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_or_it_is_said_what_is_wrong() {
        let long = format!("version: STSv1\nmode: enforce\nmax_age: 1\n{}", "mx: a.example\n".repeat(MX_MAX + 1));
        for (text, expect) in [
            // RFC 8461 §3.2.
            (
                "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmx: backupmx.example.com\nmax_age: 604800\n",
                Ok("enforce 604800 mail.example.com *.example.net backupmx.example.com"),
            ),
            (
                "version:STSv1\r\nmode:\ttesting \r\nmx: A.example.\r\nmax_age: 0\r\nmax_age: 9\r\nnew.thing: é\r\n",
                Ok("testing 0 a.example"),
            ),
            ("mode: none\nversion: STSv1\nmax_age: 86400", Ok("none 86400")),
            ("version: STSv1\nmode: enforce\nmax_age: 86400\n", Err(BadPolicy::Mx)),
            ("version: STSv1\nmode: enforce\nmx: *\nmax_age: 86400\n", Err(BadPolicy::Mx)),
            ("version: STSv1\nmode: enforce\nmx: a.*.example\nmax_age: 86400\n", Err(BadPolicy::Mx)),
            (&long, Err(BadPolicy::Mx)),
            ("version: STSv2\nmode: enforce\nmx: a.example\nmax_age: 86400\n", Err(BadPolicy::Version)),
            ("", Err(BadPolicy::Version)),
            ("version: STSv1\nmode: Enforce\nmx: a.example\nmax_age: 86400\n", Err(BadPolicy::Mode)),
            ("version: STSv1\nmode: none\nmax_age: -1\n", Err(BadPolicy::MaxAge)),
            ("version: STSv1\nmode: none\nmax_age: +1\n", Err(BadPolicy::MaxAge)),
            ("version: STSv1\nmode: none\nmax_age: 31557601\n", Err(BadPolicy::MaxAge)),
            ("version: STSv1\nmode: none\n", Err(BadPolicy::MaxAge)),
            ("<html>", Err(BadPolicy::Syntax)),
            ("version: STSv1\n<a href=\"x:y\">", Err(BadPolicy::Syntax)),
        ] {
            let read = Policy::parse(text.as_bytes());
            let shown = read.as_ref().map(|policy| {
                let mx: String = policy.patterns().map(|pattern| format!(" {pattern}")).collect();
                format!("{} {}{mx}", policy.mode, policy.max_age)
            });
            assert_eq!(shown.as_deref().map_err(|bad| **bad), expect, "{text}");
            if let Ok(policy) = read {
                assert_eq!(Policy::parse(policy.to_string().as_bytes()).as_ref(), Ok(&policy), "written and read again");
            }
        }
        assert_eq!(Policy::parse(&[0xff, 0xfe]), Err(BadPolicy::Syntax));
    }

    #[test]
    fn an_asterisk_is_one_label() {
        let policy = Policy::parse(b"version: STSv1\nmode: enforce\nmx: mx.example.com\nmx: *.example.net\nmax_age: 1\n").unwrap();
        for (host, expect) in [
            ("MX.example.com", true),
            ("mx2.example.com", false),
            ("a.mx.example.com", false),
            ("mx1.example.net", true),
            ("example.net", false),
            ("a.b.example.net", false),
            ("mx1.example.net.attacker.example", false),
            ("mx1-example.net", false),
        ] {
            assert_eq!(policy.allows(&Host::parse(host).unwrap()), expect, "{host}");
        }
    }

    #[test]
    fn exactly_one_record_says_that_there_is_a_policy() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        for (records, expect) in [
            (&["v=STSv1; id=20160831085700Z;"][..], Some("20160831085700Z")),
            (&["v=STSv1 ;x=y; id=1 "], Some("1")),
            (&["v=spf1 -all", "v=STSv1; id=2"], Some("2")),
            (&["v=STSv1; id=1", "v=STSv1; id=1"], None),
            (&["v=STSv1; id="], None),
            (&["v=STSv1; id=a-b"], None),
            (&["v=STSv1; id=123456789012345678901234567890123"], None),
            (&["v=STSv1"], None),
            (&["v=STSv10; id=1"], None),
            (&[" v=STSv1; id=1"], None),
            (&[], None),
        ] {
            assert_eq!(id(&texts(records)).as_deref(), expect, "{records:?}");
        }
    }
}
