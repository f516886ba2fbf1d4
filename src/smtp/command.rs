//! The client's lines: grammar and nothing else.
//!
//! In-house rather than smtp-proto's, for four reasons: there a bare LF ends a command line,
//! `<postmaster>` becomes an empty address, quoted local parts lose their quotes and ORCPT loses
//! its type; and its message reader takes CRLF `.` CR CRLF for an end. What a command means for
//! the session is settled in `session`, not here.
//!
//! RFC 5321 §4.1; parameters: RFC 1870 (SIZE), RFC 6152 (BODY), RFC 6531 (SMTPUTF8), RFC 3461
//! (RET, ENVID, NOTIFY, ORCPT), RFC 4954 (AUTH), RFC 8689 (REQUIRETLS). BDAT and BINARYMIME are not offered.

use super::xclient::Introduction;
use crate::mail::{BadMailbox, BodyType, EnvelopeId, Mailbox, Notify, OriginalRecipient, RequireTls, Return, ReversePath, Utf8, xtext};

/// One command, well-formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// HELO with its argument, cleaned.
    Helo(String),
    /// EHLO with its argument, cleaned.
    Ehlo(String),
    /// MAIL.
    Mail(Mail),
    /// RCPT.
    Rcpt(Rcpt),
    /// DATA.
    Data,
    /// RSET.
    Rset,
    /// NOOP, whatever follows it.
    Noop,
    /// QUIT.
    Quit,
    /// VRFY with whatever argument.
    Vrfy,
    /// HELP, whatever follows it.
    Help,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth(Auth),
    /// XCLIENT.
    Introduce(Introduction),
    /// XFORWARD, whatever follows it.
    Forward,
}

/// MAIL with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The path.
    pub reverse_path: ReversePath,
    /// SIZE, in octets.
    pub size: Option<u64>,
    /// BODY.
    pub body: BodyType,
    /// SMTPUTF8.
    pub utf8: Utf8,
    /// REQUIRETLS.
    pub require_tls: RequireTls,
    /// RET.
    pub ret: Option<Return>,
    /// ENVID.
    pub envelope_id: Option<EnvelopeId>,
}

/// RCPT with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rcpt {
    /// The path.
    pub forward_path: ForwardPath,
    /// NOTIFY.
    pub notify: Option<Notify>,
    /// ORCPT.
    pub original: Option<OriginalRecipient>,
}

/// Where a recipient is. RFC 5321 §4.1.1.3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardPath {
    /// `<Postmaster>` without a domain: ours.
    Postmaster,
    /// Everybody else.
    Mailbox(Mailbox),
}

/// AUTH: mechanism and initial response as they stand in the line. RFC 4954 §4.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// `PLAIN`, `LOGIN`, or one that we do not have.
    pub mechanism: String,
    /// Base64, or `=` for an empty one.
    pub initial: Option<String>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadCommand {
    /// No verb that we know.
    Unknown,
    /// A verb of the book that we do not offer.
    NotOffered,
    /// A verb that takes no argument has one, or the other way round; the text says how it is written.
    Syntax(&'static str),
    /// The path is not an address.
    Path(BadMailbox),
    /// A parameter whose value is not what it should be.
    Parameter(&'static str),
    /// A parameter that we did not offer. RFC 5321 §4.1.1.11.
    UnknownParameter,
}

impl Command {
    /// Parses a line without its CRLF.
    pub fn parse(line: &[u8]) -> Result<Self, BadCommand> {
        let line = std::str::from_utf8(line).map_err(|_| BadCommand::Syntax("commands are ASCII or UTF-8"))?;
        if line.chars().any(char::is_control) {
            return Err(BadCommand::Syntax("commands hold no control characters"));
        }
        let line = line.trim_end_matches(' ');
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "HELO" => name(argument).map(Self::Helo).ok_or(BadCommand::Syntax("HELO domain")),
            "EHLO" => name(argument).map(Self::Ehlo).ok_or(BadCommand::Syntax("EHLO domain")),
            "MAIL" => Mail::parse(argument).map(Self::Mail),
            "RCPT" => Rcpt::parse(argument).map(Self::Rcpt),
            "DATA" => alone(argument, Self::Data),
            "RSET" => alone(argument, Self::Rset),
            "QUIT" => alone(argument, Self::Quit),
            "STARTTLS" => alone(argument, Self::StartTls),
            "NOOP" => Ok(Self::Noop),
            "HELP" => Ok(Self::Help),
            "VRFY" if argument.is_empty() => Err(BadCommand::Syntax("VRFY string")),
            "VRFY" => Ok(Self::Vrfy),
            "AUTH" => Auth::parse(argument).map(Self::Auth),
            "XCLIENT" => Introduction::parse(argument).map(Self::Introduce),
            "XFORWARD" => Ok(Self::Forward),
            "EXPN" | "TURN" | "ETRN" | "SEND" | "SOML" | "SAML" | "BDAT" | "BURL" | "ATRN" => Err(BadCommand::NotOffered),
            _ => Err(BadCommand::Unknown),
        }
    }
}

impl Mail {
    fn parse(argument: &str) -> Result<Self, BadCommand> {
        const SYNTAX: BadCommand = BadCommand::Syntax("MAIL FROM:<path> parameters");
        let (path, parameters) = path_and_parameters(argument, "FROM:").ok_or(SYNTAX)?;
        let reverse_path = match path {
            "" => ReversePath::Null,
            path => ReversePath::Mailbox(mailbox(path)?),
        };
        let mut mail = Self {
            reverse_path,
            size: None,
            body: BodyType::SevenBit,
            utf8: Utf8::No,
            require_tls: RequireTls::No,
            ret: None,
            envelope_id: None,
        };
        for (keyword, value) in parse_parameters(parameters)? {
            mail.set(&keyword, value)?;
        }
        Ok(mail)
    }

    fn set(&mut self, keyword: &str, value: Option<&str>) -> Result<(), BadCommand> {
        match (keyword, value) {
            ("SIZE", Some(value)) => self.size = Some(size(value)?),
            ("BODY", Some(value)) => self.body = body(value)?,
            ("SMTPUTF8", None) => self.utf8 = Utf8::Yes,
            ("SMTPUTF8", Some(_)) => return Err(BadCommand::Parameter("SMTPUTF8 has no value")),
            ("REQUIRETLS", None) => self.require_tls = RequireTls::Yes,
            ("REQUIRETLS", Some(_)) => return Err(BadCommand::Parameter("REQUIRETLS has no value")),
            ("RET", Some(value)) => self.ret = Some(ret(value)?),
            ("ENVID", Some(value)) => self.envelope_id = Some(EnvelopeId::parse(value).ok_or(ENVID)?),
            // RFC 4954 §5: who first submitted it. Nobody here relies on a claim, so it is read and left.
            ("AUTH", Some(value)) => {
                xtext::decode(value).ok_or(BadCommand::Parameter("AUTH=xtext"))?;
            }
            ("SIZE" | "BODY" | "RET" | "ENVID" | "AUTH", None) => return Err(BadCommand::Parameter("parameter without its value")),
            _ => return Err(BadCommand::UnknownParameter),
        }
        Ok(())
    }
}

impl Rcpt {
    fn parse(argument: &str) -> Result<Self, BadCommand> {
        const SYNTAX: BadCommand = BadCommand::Syntax("RCPT TO:<path> parameters");
        let (path, parameters) = path_and_parameters(argument, "TO:").ok_or(SYNTAX)?;
        let forward_path = match path {
            "" => return Err(SYNTAX),
            // RFC 5321 §2.3.5, §4.5.1: the one name that stands without a domain.
            path if path.eq_ignore_ascii_case("postmaster") => ForwardPath::Postmaster,
            path => ForwardPath::Mailbox(mailbox(path)?),
        };
        let mut rcpt = Self { forward_path, notify: None, original: None };
        for (keyword, value) in parse_parameters(parameters)? {
            match (keyword.as_str(), value) {
                ("NOTIFY", Some(value)) => rcpt.notify = Some(notify(value)?),
                ("ORCPT", Some(value)) => rcpt.original = Some(OriginalRecipient::parse(value).ok_or(ORCPT)?),
                ("NOTIFY" | "ORCPT", None) => return Err(BadCommand::Parameter("parameter without its value")),
                _ => return Err(BadCommand::UnknownParameter),
            }
        }
        Ok(rcpt)
    }
}

impl Auth {
    fn parse(argument: &str) -> Result<Self, BadCommand> {
        let mut words = argument.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some(mechanism), initial, None) if !mechanism.is_empty() => {
                Ok(Self { mechanism: mechanism.to_ascii_uppercase(), initial: initial.map(str::to_owned) })
            }
            _ => Err(BadCommand::Syntax("AUTH mechanism [initial-response]")),
        }
    }
}

fn alone(argument: &str, command: Command) -> Result<Command, BadCommand> {
    if argument.is_empty() { Ok(command) } else { Err(BadCommand::Syntax("no argument here")) }
}

/// The name in EHLO, of which many clients write nonsense: it is kept for the trace field only, so
/// anything of one word passes, with all that could harm a header field taken out.
fn name(argument: &str) -> Option<String> {
    argument.split(' ').next().filter(|word| !word.is_empty()).map(clean_name)
}

/// A name as it may stand in a trace field.
pub(super) fn clean_name(word: &str) -> String {
    word.chars().map(|c| if c.is_ascii_alphanumeric() || "-._:[]".contains(c) { c } else { '?' }).take(NAME_MAX).collect()
}

/// What stands between the angle brackets, and after them. A `>` within quotes is text.
fn path_and_parameters<'a>(argument: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let (head, rest) = argument.split_at_checked(keyword.len())?;
    if !head.eq_ignore_ascii_case(keyword) {
        return None;
    }
    // RFC 5321 §3.3 allows no space here; enough clients send one, and it cannot be misread.
    let rest = rest.trim_start_matches(' ').strip_prefix('<')?;
    let (path, parameters) = rest.split_at_checked(closing_bracket(rest)?)?;
    let parameters = parameters.strip_prefix('>')?;
    match parameters.strip_prefix(' ') {
        Some(parameters) => Some((path, parameters)),
        None if parameters.is_empty() => Some((path, parameters)),
        None => None,
    }
}

fn closing_bracket(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// The mailbox of a path; a source route before it is dropped. RFC 5321 §4.1.1.3, appendix C.
fn mailbox(path: &str) -> Result<Mailbox, BadCommand> {
    let path = match path.strip_prefix('@').and_then(|route| route.split_once(':')) {
        Some((route, mailbox)) if is_source_route(route) => mailbox,
        _ => path,
    };
    Mailbox::parse(path).map_err(BadCommand::Path)
}

/// `one.example,@two.example`: what stands between the first `@` and the colon.
fn is_source_route(route: &str) -> bool {
    route.split(",@").all(|hop| crate::mail::Domain::parse(hop).is_ok())
}

/// `KEYWORD` or `KEYWORD=value`, each at most once.
fn parse_parameters(text: &str) -> Result<Vec<(String, Option<&str>)>, BadCommand> {
    let mut parameters: Vec<(String, Option<&str>)> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let (keyword, value) = match word.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (word, None),
        };
        let keyword = keyword.to_ascii_uppercase();
        if parameters.iter().any(|(known, _)| *known == keyword) {
            return Err(BadCommand::Parameter("parameter given twice"));
        }
        if parameters.len() == PARAMETERS_MAX {
            return Err(BadCommand::Parameter("too many parameters"));
        }
        parameters.push((keyword, value));
    }
    Ok(parameters)
}

/// RFC 1870 §6: up to twenty digits; what does not fit is surely too big.
fn size(value: &str) -> Result<u64, BadCommand> {
    if value.is_empty() || value.len() > 20 || !value.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(BadCommand::Parameter("SIZE=octets"));
    }
    Ok(value.parse().unwrap_or(u64::MAX))
}

fn body(value: &str) -> Result<BodyType, BadCommand> {
    match value.to_ascii_uppercase().as_str() {
        "7BIT" => Ok(BodyType::SevenBit),
        "8BITMIME" => Ok(BodyType::EightBitMime),
        _ => Err(BadCommand::Parameter("BODY=7BIT or BODY=8BITMIME")),
    }
}

fn ret(value: &str) -> Result<Return, BadCommand> {
    match value.to_ascii_uppercase().as_str() {
        "FULL" => Ok(Return::Full),
        "HDRS" => Ok(Return::Headers),
        _ => Err(BadCommand::Parameter("RET=FULL or RET=HDRS")),
    }
}

/// RFC 3461 §4.1: NEVER alone, or a list of the others.
fn notify(value: &str) -> Result<Notify, BadCommand> {
    if value.eq_ignore_ascii_case("NEVER") {
        return Ok(Notify::Never);
    }
    let (mut success, mut failure, mut delay) = (false, false, false);
    for word in value.split(',') {
        match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => success = true,
            "FAILURE" => failure = true,
            "DELAY" => delay = true,
            _ => return Err(BadCommand::Parameter("NOTIFY=NEVER or a list of SUCCESS, FAILURE, DELAY")),
        }
    }
    Ok(Notify::On { success, failure, delay })
}

const ENVID: BadCommand = BadCommand::Parameter("ENVID=xtext without controls");
const ORCPT: BadCommand = BadCommand::Parameter("ORCPT=type;xtext without controls");
/// RFC 5321 §4.5.3.1.2: a domain.
const NAME_MAX: usize = 255;
/// All that are known, and some that are not.
const PARAMETERS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mail(line: &str) -> Mail {
        match Command::parse(line.as_bytes()) {
            Ok(Command::Mail(mail)) => mail,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn rcpt(line: &str) -> Rcpt {
        match Command::parse(line.as_bytes()) {
            Ok(Command::Rcpt(rcpt)) => rcpt,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn verbs_are_read_without_case_and_with_their_arguments() {
        for (line, expect) in [
            ("noop", Ok(Command::Noop)),
            ("NOOP what ever", Ok(Command::Noop)),
            ("Data", Ok(Command::Data)),
            ("DATA ", Ok(Command::Data)),
            ("DATA now", Err(BadCommand::Syntax("no argument here"))),
            ("STARTTLS please", Err(BadCommand::Syntax("no argument here"))),
            ("EHLO", Err(BadCommand::Syntax("EHLO domain"))),
            ("EHLO client.example", Ok(Command::Ehlo("client.example".into()))),
            ("HELO [192.0.2.1]", Ok(Command::Helo("[192.0.2.1]".into()))),
            ("EHLO (evil)\\x", Ok(Command::Ehlo("?evil??x".into()))),
            ("VRFY ann", Ok(Command::Vrfy)),
            ("VRFY", Err(BadCommand::Syntax("VRFY string"))),
            ("EXPN list", Err(BadCommand::NotOffered)),
            ("BDAT 10 LAST", Err(BadCommand::NotOffered)),
            ("GET / HTTP/1.1", Err(BadCommand::Unknown)),
            ("", Err(BadCommand::Unknown)),
            (" NOOP", Err(BadCommand::Unknown)),
            ("MAIL\tFROM:<>", Err(BadCommand::Syntax("commands hold no control characters"))),
            ("AUTH", Err(BadCommand::Syntax("AUTH mechanism [initial-response]"))),
            ("AUTH plain AAA=", Ok(Command::Auth(Auth { mechanism: "PLAIN".into(), initial: Some("AAA=".into()) }))),
            ("AUTH PLAIN a b", Err(BadCommand::Syntax("AUTH mechanism [initial-response]"))),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), expect, "{line}");
        }
    }

    #[test]
    fn paths_are_what_stands_between_the_brackets() {
        for (line, expect) in [
            ("MAIL FROM:<ann@example.org>", Ok("ann@example.org")),
            ("mail from: <ann@example.org>", Ok("ann@example.org")),
            ("MAIL FROM:<\"a>b\"@example.org>", Ok("\"a>b\"@example.org")),
            ("MAIL FROM:<\"a\\\"b\"@example.org>", Ok("\"a\\\"b\"@example.org")),
            ("MAIL FROM:<@one.example,@two.example:ann@example.org>", Ok("ann@example.org")),
            ("MAIL FROM:<@one.example:@two.example:ann@example.org>", Err(BadCommand::Path(BadMailbox::BadLocalPart))),
            ("MAIL FROM:<ann>", Err(BadCommand::Path(BadMailbox::NoDomain))),
            ("MAIL FROM:ann@example.org", Err(BadCommand::Syntax("MAIL FROM:<path> parameters"))),
            ("MAIL FROM:<ann@example.org>SIZE=1", Err(BadCommand::Syntax("MAIL FROM:<path> parameters"))),
            ("MAIL FROM:<ann@example.org", Err(BadCommand::Syntax("MAIL FROM:<path> parameters"))),
            ("MAIL TO:<ann@example.org>", Err(BadCommand::Syntax("MAIL FROM:<path> parameters"))),
            ("MAIL", Err(BadCommand::Syntax("MAIL FROM:<path> parameters"))),
        ] {
            let path = Command::parse(line.as_bytes()).map(|command| {
                let Command::Mail(Mail { reverse_path: ReversePath::Mailbox(mailbox), .. }) = command else { panic!("{command:?}") };
                mailbox.to_string()
            });
            assert_eq!(path, expect.map(String::from), "{line}");
        }
        assert_eq!(mail("MAIL FROM:<>").reverse_path, ReversePath::Null);
        assert_eq!(rcpt("RCPT TO:<PostMaster>").forward_path, ForwardPath::Postmaster);
        assert_eq!(Command::parse(b"RCPT TO:<>"), Err(BadCommand::Syntax("RCPT TO:<path> parameters")));
    }

    #[test]
    fn parameters_are_kept_and_unknown_ones_refused() {
        let full = mail("MAIL FROM:<> SIZE=1000 BODY=8bitmime SMTPUTF8 RET=hdrs ENVID=a+2Bb AUTH=<>");
        assert_eq!((full.size, full.body, full.utf8), (Some(1000), BodyType::EightBitMime, Utf8::Yes));
        assert_eq!((full.ret, full.envelope_id), (Some(Return::Headers), Some(EnvelopeId("a+b".into()))));
        let full = rcpt("RCPT TO:<a@example.org> NOTIFY=success,DELAY ORCPT=rfc822;b+2Bc@example.org");
        assert_eq!(full.notify, Some(Notify::On { success: true, failure: false, delay: true }));
        assert_eq!(full.original, Some(OriginalRecipient { address_type: "rfc822".into(), address: "b+c@example.org".into() }));
        assert_eq!(mail("MAIL FROM:<> SIZE=99999999999999999999").size, Some(u64::MAX));
        for (line, expect) in [
            ("MAIL FROM:<> FOO", BadCommand::UnknownParameter),
            ("MAIL FROM:<> NOTIFY=NEVER", BadCommand::UnknownParameter),
            ("MAIL FROM:<> BODY=BINARYMIME", BadCommand::Parameter("BODY=7BIT or BODY=8BITMIME")),
            ("MAIL FROM:<> SIZE=-1", BadCommand::Parameter("SIZE=octets")),
            ("MAIL FROM:<> SIZE", BadCommand::Parameter("parameter without its value")),
            ("MAIL FROM:<> SIZE=1 SIZE=2", BadCommand::Parameter("parameter given twice")),
            ("MAIL FROM:<> REQUIRETLS=1", BadCommand::Parameter("REQUIRETLS has no value")),
            ("MAIL FROM:<> SMTPUTF8=yes", BadCommand::Parameter("SMTPUTF8 has no value")),
            ("MAIL FROM:<> RET=SOME", BadCommand::Parameter("RET=FULL or RET=HDRS")),
            ("MAIL FROM:<> ENVID=a+0D+0AX:y", BadCommand::Parameter("ENVID=xtext without controls")),
            ("RCPT TO:<a@example.org> NOTIFY=NEVER,SUCCESS", BadCommand::Parameter("NOTIFY=NEVER or a list of SUCCESS, FAILURE, DELAY")),
            ("RCPT TO:<a@example.org> ORCPT=rfc822;a+0D+0AX:y", BadCommand::Parameter("ORCPT=type;xtext without controls")),
            ("RCPT TO:<a@example.org> ORCPT=a@example.org", BadCommand::Parameter("ORCPT=type;xtext without controls")),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), Err(expect), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_octets_upset_the_grammar(line in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Command::parse(&line);
            let _ = Command::parse(&[b"MAIL FROM:<", line.as_slice()].concat());
            let _ = Command::parse(&[b"RCPT TO:<a@b.example> ", line.as_slice()].concat());
        }
    }
}
