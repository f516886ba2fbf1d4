//! A mail inside a mail: fields that people read, text, and its own attachments. RFC 5322, RFC 2046 §5.2.1.

use super::Why;
use super::archive::collect;
use super::walk::{Item, Walk};
use crate::mail::{HeaderField, Message, TransferEncoding, decode};

/// Looks at every part of a message.
pub fn read(walk: &mut Walk, item: &Item<'_>) {
    let message = Message::parse(item.content.clone());
    if !message.ambiguities().is_empty() {
        walk.unread(&item.place, Why::Damaged);
    }
    for part in message.parts() {
        if walk.budget().entry().is_err() {
            return walk.unread(&item.place, Why::OverBudget);
        }
        let fields = part.header.fields().iter().map(HeaderField::words);
        let outside = message.outside(part).into_iter().filter(|_| part.is_multipart()).map(|octets| decode::unlabelled(&octets));
        let shown: Vec<String> = fields.chain(outside).filter(|text| !text.trim().is_empty()).collect();
        walk.say(&item.place, shown.join("\n"));
        if part.is_multipart() || !part.children.is_empty() {
            continue;
        }
        let name = part.file_name.as_deref().unwrap_or_default();
        let place = item.inside(name);
        if !name.is_empty() {
            walk.name(place.clone());
        }
        if part.encoding == TransferEncoding::Unknown {
            walk.unread(&place, Why::Damaged);
            continue;
        }
        let declared = match part.media_type.parameter("charset") {
            Some(charset) => format!("{}; charset={charset}", part.media_type),
            None => part.media_type.to_string(),
        };
        match collect(message.content(part), walk.budget()) {
            Ok(content) => walk.look(&Item { place, name, declared: &declared, content: content.into(), depth: item.depth + 1 }),
            Err(why) => walk.unread(&place, why),
        }
    }
}
