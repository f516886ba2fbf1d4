//! What SMTP says about a message, apart from the message. RFC 5321 §2.3.1, RFC 3461.

use bytes::Bytes;

use super::{Mailbox, xtext};

/// Where failure reports go. RFC 5321 §4.1.1.2.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: a notification about mail, which must never cause another one.
    Null,
    /// An ordinary sender.
    Mailbox(Mailbox),
}

impl ReversePath {
    /// The mailbox that a failure report may go to.
    pub const fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            // RFC 5321 §4.5.5: a null reverse-path MUST NOT be answered.
            Self::Null => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }
}

/// Sender and recipients of one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO, in order.
    pub recipients: Vec<Recipient>,
    /// RET: how much of the message a failure report carries. RFC 3461 §4.3.
    pub ret: Option<Return>,
    /// ENVID. RFC 3461 §4.4.
    pub envelope_id: Option<EnvelopeId>,
    /// BODY. RFC 6152.
    pub body: BodyType,
    /// Whether the client asked for SMTPUTF8. RFC 6531.
    pub utf8: Utf8,
    /// REQUIRETLS. RFC 8689.
    pub require_tls: RequireTls,
}

impl Envelope {
    /// The same without SMTPUTF8 where nothing needs it: a next hop without it must not refuse what it can take.
    pub fn fitted(self, message: &[Bytes]) -> Self {
        let utf8 = if self.needs_utf8(message) { Utf8::Yes } else { Utf8::No };
        Self { utf8, ..self }
    }

    /// Whether the message cannot be sent without SMTPUTF8: many clients ask for it always. RFC 6531 §3.4.
    pub fn needs_utf8(&self, message: &[Bytes]) -> bool {
        let sender = self.reverse_path.mailbox().is_some_and(Mailbox::needs_utf8);
        let recipient = self.recipients.iter().any(|recipient| recipient.forward_path.needs_utf8());
        self.utf8 == Utf8::Yes && (sender || recipient || !header_is_ascii(message))
    }
}

fn header_is_ascii(message: &[Bytes]) -> bool {
    let mut line_is_empty = true;
    for octet in message.iter().flatten() {
        match octet {
            b'\n' if line_is_empty => return true,
            b'\n' => line_is_empty = true,
            b'\r' => {}
            octet if !octet.is_ascii() => return false,
            _ => line_is_empty = false,
        }
    }
    true
}

/// One RCPT TO with its delivery-report wishes. RFC 3461 §4.1, §4.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Where the message goes.
    pub forward_path: Mailbox,
    /// NOTIFY; `None` when the client said nothing (failures and delays are reported).
    pub notify: Option<Notify>,
    /// ORCPT.
    pub original: Option<OriginalRecipient>,
}

impl Recipient {
    /// A recipient without delivery-report wishes.
    pub const fn new(forward_path: Mailbox) -> Self {
        Self { forward_path, notify: None, original: None }
    }
}

/// NOTIFY. RFC 3461 §4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notify {
    /// No report whatever happens.
    Never,
    /// A report for each of the named fates.
    On {
        /// When it was relayed to where no report can be expected.
        success: bool,
        /// When it failed.
        failure: bool,
        /// When it is late.
        delay: bool,
    },
}

/// ORCPT: address type and address, xtext decoded and free of controls. RFC 3461 §4.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalRecipient {
    /// `rfc822` or `utf-8` as a rule.
    pub address_type: String,
    /// The address as the original submitter wrote it.
    pub address: String,
}

impl OriginalRecipient {
    /// Parses `address-type;xtext`; none when it is malformed, too long or hides a control.
    pub fn parse(parameter: &str) -> Option<Self> {
        let (address_type, address) = parameter.split_once(';').filter(|_| parameter.len() <= ORCPT_MAX)?;
        let is_atom = !address_type.is_empty() && address_type.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
        let address = xtext::decode(address).filter(|address| is_atom && !address.is_empty())?;
        Some(Self { address_type: address_type.to_ascii_lowercase(), address })
    }
}

impl std::fmt::Display for OriginalRecipient {
    /// As it stands behind `ORCPT=`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{};{}", self.address_type, xtext::encode(&xtext::embed(&self.address)))
    }
}

/// ENVID, xtext decoded: printable ASCII. RFC 3461 §4.4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeId(pub String);

impl EnvelopeId {
    /// Parses xtext; none when it is malformed, empty, too long, beyond ASCII or hides a control.
    pub fn parse(parameter: &str) -> Option<Self> {
        xtext::decode(parameter).filter(|id| !id.is_empty() && id.is_ascii() && parameter.len() <= ENVID_MAX).map(Self)
    }
}

impl std::fmt::Display for EnvelopeId {
    /// As it stands behind `ENVID=`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&xtext::encode(&self.0))
    }
}

/// RET. RFC 3461 §4.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    /// The whole message.
    Full,
    /// Its header only.
    Headers,
}

/// BODY. RFC 6152 §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyType {
    /// Seven-bit text.
    #[default]
    SevenBit,
    /// Eight-bit text.
    EightBitMime,
}

/// SMTPUTF8. RFC 6531 §3.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Utf8 {
    /// Not asked for: addresses and header are ASCII.
    #[default]
    No,
    /// Asked for: addresses or header may hold UTF-8.
    Yes,
}

/// What must be sure of the way of a message: REQUIRETLS (RFC 8689 §2), and the like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RequireTls {
    /// Not asked for.
    #[default]
    No,
    /// The message goes over TLS with a proven host that promises the same, or not at all.
    Yes,
    /// Nobody asked, but policy let the message go as it is because its way is proven: it goes that way, or policy decides anew.
    ByPolicy,
}

/// RFC 3461 §4.4.
const ENVID_MAX: usize = 100;
/// RFC 3461 §4.2.
const ORCPT_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smtputf8_is_needed_for_addresses_and_headers_and_not_for_a_body() {
        let mailbox = |text: &str| Mailbox::parse(text).unwrap();
        for (asked, to, message, expect) in [
            (Utf8::Yes, "a@example.net", "Subject: x\r\n\r\n\u{e5}\r\n", false),
            (Utf8::Yes, "a@example.net", "Subject: \u{e5}\r\n\r\nx\r\n", true),
            (Utf8::Yes, "\u{e5}@example.net", "Subject: x\r\n\r\nx\r\n", true),
            (Utf8::No, "a@example.net", "Subject: \u{e5}\r\n\r\nx\r\n", false),
        ] {
            let envelope = Envelope {
                reverse_path: ReversePath::Null,
                recipients: vec![Recipient::new(mailbox(to))],
                ret: None,
                envelope_id: None,
                body: BodyType::EightBitMime,
                utf8: asked,
                require_tls: RequireTls::No,
            };
            let (front, back) = message.split_at(9);
            assert_eq!(envelope.needs_utf8(&[front.to_owned().into(), back.to_owned().into()]), expect, "{to} {message}");
        }
    }

    #[test]
    fn a_report_wish_hides_no_line_end() {
        for (text, expect) in [
            ("QQ314159", Some("QQ314159")),
            ("a+2Bb", Some("a+b")),
            ("a+0D+0AStatus:+202.0.0", None),
            ("a+00", None),
            ("a+C2+85", None),
            ("", None),
            ("a=b", None),
        ] {
            assert_eq!(EnvelopeId::parse(text).map(|id| id.0).as_deref(), expect, "{text}");
            assert_eq!(OriginalRecipient::parse(&format!("rfc822;{text}")).map(|original| original.address).as_deref(), expect, "{text}");
        }
        assert_eq!(EnvelopeId::parse(&"a".repeat(101)), None);
        // RFC 6533 §3: an address may be international, an id may not.
        assert_eq!(EnvelopeId::parse("\u{e5}+C3+A5"), None);
        assert_eq!(OriginalRecipient::parse("utf-8;\u{e5}+C3+A5").map(|original| original.address).as_deref(), Some("\u{e5}\u{e5}"));
        for text in ["rfc822", ";a", "rfc 822;a", "rfc822\r;a"] {
            assert_eq!(OriginalRecipient::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_report_wish_is_written_as_it_came() {
        assert_eq!(EnvelopeId::parse("a+2Bb").map(|id| id.to_string()).as_deref(), Some("a+2Bb"));
        assert_eq!(
            OriginalRecipient::parse("RFC822;ann+2Bx@example.org").map(|one| one.to_string()).as_deref(),
            Some("rfc822;ann+2Bx@example.org")
        );
    }
}
