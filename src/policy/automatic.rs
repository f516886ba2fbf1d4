//! Mail that no person wrote: reports and automatic answers.
//!
//! A link in a report helps nobody and may be answered by a machine. But a header field and a null
//! reverse-path are easily written, so only the real shape of a report is believed, and whoever writes
//! it gains nothing: what was found counts in such mail as in any other, and so do files.
//!
//! RFC 3464 (DSN), RFC 8098 (MDN), RFC 3834 (automatic answers).

use crate::mail::nature::Natures;
use crate::mail::{Part, ReversePath};

use super::Facts;

/// Whether a policy that asks for no finding leaves the message alone.
pub fn is_spared(facts: &Facts<'_>) -> bool {
    (is_report(facts) && Natures::of(facts.message).forwarded_files().next().is_none())
        || (is_automatic_answer(facts) && facts.inspection.attachments.is_empty())
}

/// A delivery status or disposition notification with a null reverse-path and nothing else in it.
pub fn is_report(facts: &Facts<'_>) -> bool {
    let root = facts.message.root();
    let notice = |part: &Part| part.media_type.kind == "message" && NOTICES.contains(&part.media_type.subtype.as_str());
    facts.envelope.reverse_path == ReversePath::Null
        && facts.message.ambiguities().is_empty()
        && root.media_type.is("multipart", "report")
        && root.children.len() <= REPORT_PARTS
        && root.children.get(1).is_some_and(notice)
        && root.children.first().is_some_and(|part| matches!(part.media_type.kind.as_str(), "text" | "multipart") && !holds_file(part))
        && root.children.get(2).is_none_or(|part| {
            part.is_message() || part.media_type.is("text", "rfc822-headers") || part.media_type.is("message", "global-headers")
        })
}

/// An answer by a machine: a null reverse-path or `Auto-Submitted: auto-replied`.
pub fn is_automatic_answer(facts: &Facts<'_>) -> bool {
    let replied = facts
        .message
        .header()
        .all("Auto-Submitted")
        .any(|field| field.text().trim_start().to_ascii_lowercase().starts_with("auto-replied"));
    replied || facts.envelope.reverse_path == ReversePath::Null
}

fn holds_file(part: &Part) -> bool {
    part.disposition == crate::mail::Disposition::Attachment
        || (part.children.is_empty() && part.media_type.kind != "text")
        || part.children.iter().any(holds_file)
}

const NOTICES: &[&str] = &["delivery-status", "global-delivery-status", "disposition-notification", "global-disposition-notification"];
/// Text, notice, and what is returned of the message. RFC 6522 §3.
const REPORT_PARTS: usize = 3;
