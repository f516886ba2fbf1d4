//! AUTH PLAIN and LOGIN: from base64 to a claim that can be checked.
//!
//! Whether the claim is true is not known here. RFC 4954, RFC 4616; LOGIN has no RFC, but many printers know nothing else.

use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::command::Auth;
use crate::secret::Secret;

/// Who somebody says that he is.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Authentication identity.
    pub authcid: String,
    /// The password that is to prove it.
    pub password: Secret<String>,
}

/// What the next line of the client will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// The one message of PLAIN.
    Plain,
    /// The name in LOGIN.
    LoginName,
    /// The password in LOGIN, after this name.
    LoginPassword(String),
}

/// How it goes on.
#[derive(Debug)]
pub enum Step {
    /// Say this challenge (in base64), then wait for a line.
    Challenge(Exchange, &'static str),
    /// There is something to check.
    Claim(Claim),
    /// `*`. RFC 4954 §4.
    Cancelled,
    /// Not base64, or not what the mechanism asks for.
    Malformed,
    /// No such mechanism.
    Unknown,
}

/// Begins with what the AUTH command brought along.
pub fn begin(auth: &Auth) -> Step {
    let first = match auth.mechanism.as_str() {
        "PLAIN" => Step::Challenge(Exchange::Plain, ""),
        "LOGIN" => Step::Challenge(Exchange::LoginName, CHALLENGE_NAME),
        _ => Step::Unknown,
    };
    match (first, auth.initial.as_deref()) {
        // RFC 4954 §4: `=` is an initial response of no octets.
        (Step::Challenge(exchange, _), Some("=")) => exchange.on(b""),
        (Step::Challenge(exchange, _), Some(initial)) => exchange.on(initial.as_bytes()),
        (first, _) => first,
    }
}

impl Exchange {
    /// Takes the client's next line.
    pub fn on(self, line: &[u8]) -> Step {
        if line == b"*" {
            return Step::Cancelled;
        }
        let Some(text) = decode(line) else { return Step::Malformed };
        match self {
            Self::Plain => plain(&text).map_or(Step::Malformed, Step::Claim),
            Self::LoginName if text.is_empty() => Step::Malformed,
            Self::LoginName => Step::Challenge(Self::LoginPassword(text.to_string()), CHALLENGE_PASSWORD),
            Self::LoginPassword(authcid) => Step::Claim(Claim { authcid, password: Secret::new(text.to_string()) }),
        }
    }
}

/// RFC 4616 §2: `[authzid] NUL authcid NUL passwd`. Nobody acts for another here: an authzid may only repeat the authcid.
fn plain(text: &str) -> Option<Claim> {
    let mut fields = text.split('\0');
    let (authzid, authcid, password) = (fields.next()?, fields.next()?, fields.next()?);
    let fine = fields.next().is_none() && !authcid.is_empty() && (authzid.is_empty() || authzid == authcid);
    fine.then(|| Claim { authcid: authcid.to_owned(), password: Secret::new(password.to_owned()) })
}

fn decode(line: &[u8]) -> Option<Zeroizing<String>> {
    let octets = Zeroizing::new(BASE64.decode(line).ok()?);
    std::str::from_utf8(&octets).ok().map(|text| Zeroizing::new(text.to_owned()))
}

/// `Username:`
const CHALLENGE_NAME: &str = "VXNlcm5hbWU6";
/// `Password:`
const CHALLENGE_PASSWORD: &str = "UGFzc3dvcmQ6";

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(step: Step) -> String {
        match step {
            Step::Challenge(exchange, text) => format!("{exchange:?} {text}"),
            Step::Claim(claim) => format!("{}/{}", claim.authcid, claim.password.expose()),
            step @ (Step::Cancelled | Step::Malformed | Step::Unknown) => format!("{step:?}"),
        }
    }

    #[test]
    fn a_claim_comes_out_of_well_formed_exchanges_only() {
        let plain = |text: &str| BASE64.encode(text.as_bytes());
        for (mechanism, initial, expect) in [
            ("PLAIN", None, "Plain "),
            ("PLAIN", Some(plain("\0ann\0pw")), "ann/pw"),
            ("PLAIN", Some(plain("ann\0ann\0pw")), "ann/pw"),
            ("PLAIN", Some(plain("bob\0ann\0pw")), "Malformed"),
            ("PLAIN", Some(plain("\0\0pw")), "Malformed"),
            ("PLAIN", Some(plain("\0ann\0pw\0x")), "Malformed"),
            ("PLAIN", Some(plain("ann")), "Malformed"),
            ("PLAIN", Some("=".into()), "Malformed"),
            ("PLAIN", Some("*".into()), "Cancelled"),
            ("PLAIN", Some("AGFubg".into()), "Malformed"),
            ("PLAIN", Some("!!!!".into()), "Malformed"),
            ("LOGIN", None, "LoginName VXNlcm5hbWU6"),
            ("LOGIN", Some(plain("ann")), "LoginPassword(\"ann\") UGFzc3dvcmQ6"),
            ("CRAM-MD5", None, "Unknown"),
        ] {
            let auth = Auth { mechanism: mechanism.into(), initial: initial.clone() };
            assert_eq!(outcome(begin(&auth)), expect, "{mechanism} {initial:?}");
        }
        assert_eq!(outcome(Exchange::LoginPassword("ann".into()).on(b"cHc=")), "ann/pw");
        assert_eq!(outcome(Exchange::LoginPassword("ann".into()).on(b"*")), "Cancelled");
    }
}
