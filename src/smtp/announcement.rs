//! The lines of MAIL and RCPT as a client says them: never a parameter that the peer did not offer to take.
//!
//! RFC 1870 (SIZE), RFC 3461 (DSN), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8), RFC 8689 (REQUIRETLS).
//! REQUIRETLS stands there in any case: who has not offered it gets no MAIL from us.

use super::dialogue::Capabilities;
use crate::mail::{BodyType, Envelope, Notify, Recipient, RequireTls, Return, ReversePath, Utf8};

/// MAIL, with those parameters that the peer offered to take.
pub(super) fn mail(envelope: &Envelope, size: u64, offered: Capabilities) -> String {
    let mut line = match &envelope.reverse_path {
        ReversePath::Null => String::from("MAIL FROM:<>"),
        ReversePath::Mailbox(mailbox) => format!("MAIL FROM:<{mailbox}>"),
    };
    if offered.size.is_some() {
        line += &format!(" SIZE={size}");
    }
    if offered.eight_bit && envelope.body == BodyType::EightBitMime {
        line += " BODY=8BITMIME";
    }
    if offered.utf8 && envelope.utf8 == Utf8::Yes {
        line += " SMTPUTF8";
    }
    if envelope.require_tls == RequireTls::Yes {
        line += " REQUIRETLS";
    }
    if offered.dsn {
        line += match envelope.ret {
            Some(Return::Full) => " RET=FULL",
            Some(Return::Headers) => " RET=HDRS",
            None => "",
        };
        if let Some(id) = &envelope.envelope_id {
            line += &format!(" ENVID={id}");
        }
    }
    line
}

/// RCPT, with the delivery-report wishes if the peer carries them on. RFC 3461 §5.2.1.
pub(super) fn rcpt(recipient: &Recipient, offered: Capabilities) -> String {
    let mut line = format!("RCPT TO:<{}>", recipient.forward_path);
    if !offered.dsn {
        return line;
    }
    match recipient.notify {
        None => {}
        Some(Notify::Never | Notify::On { success: false, failure: false, delay: false }) => line += " NOTIFY=NEVER",
        Some(Notify::On { success, failure, delay }) => {
            let words = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
            let words: Vec<&str> = words.into_iter().filter_map(|(is_asked, word)| is_asked.then_some(word)).collect();
            line += &format!(" NOTIFY={}", words.join(","));
        }
    }
    if let Some(original) = &recipient.original {
        line += &format!(" ORCPT={original}");
    }
    line
}
