//! What a recipient reads: the message's metadata, its body, the list of its files.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;

use super::session::Visit;
use super::{Channel, Refused, sanitise, trouble};
use crate::store::Fault;
use crate::vault::{Admitted, Grant, Item, ItemId, Role};

/// A message as its page shows it.
pub struct Letter {
    /// Sender, subject, dates.
    pub admitted: Admitted,
    /// The message itself.
    pub body: Body,
    /// What can be taken.
    pub files: Vec<Item>,
    /// The message as it was sent, where it was kept.
    pub raw: Option<Item>,
    /// What has no download left but was taken in this visit, and may be fetched again.
    pub again: BTreeSet<ItemId>,
}

/// The message itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// There is none: only files were secured.
    None,
    /// Plain text; cut when it is too long to be shown.
    Text {
        /// Its beginning, or all of it.
        text: String,
        /// Whether there is more.
        cut: bool,
    },
    /// HTML: asked for by [`Channel::html`]; about so many lines on a narrow screen.
    Html {
        /// An estimate.
        lines: u32,
        /// Pictures from elsewhere that are not shown.
        blocked: usize,
        /// Whether there is more than is shown.
        cut: bool,
    },
}

impl Channel {
    /// The message's page.
    pub fn letter(&self, visit: &Visit) -> Result<Letter, Refused> {
        let grant = visit.grant()?;
        let items = self.parts.vault.items(grant)?;
        let body = match (items.iter().find(|item| item.role == Role::Html), items.iter().find(|item| item.role == Role::Text)) {
            (Some(html), _) => {
                let (html, cut) = self.text(grant, html)?;
                Body::Html { lines: sanitise::lines(&html), blocked: sanitise::clean(&html, HashMap::new()).blocked, cut }
            }
            (None, Some(text)) => {
                let (text, cut) = self.text(grant, text)?;
                Body::Text { text, cut }
            }
            (None, None) => Body::None,
        };
        let raw = items.iter().find(|item| item.role == Role::Raw).cloned();
        let spent: Vec<Item> = items.iter().filter(|item| item.left == Some(0)).cloned().collect();
        let again = self.paid(&self.session(visit)?.0, &spent)?.into_keys().collect();
        Ok(Letter { admitted: self.told(visit)?, body, files: files(&items), raw, again })
    }

    /// Who wrote what to whom: to who is inside, also what stands nowhere else.
    pub fn told(&self, visit: &Visit) -> Result<Admitted, Refused> {
        Ok(self.parts.vault.revealed(visit.grant()?, visit.admitted.clone())?)
    }

    /// The message's HTML, cleaned, its own pictures in it.
    pub fn html(&self, visit: &Visit) -> Result<sanitise::Clean, Refused> {
        let grant = visit.grant()?;
        let items = self.parts.vault.items(grant)?;
        let Some(html) = items.iter().find(|item| item.role == Role::Html) else {
            let text = items.iter().find(|item| item.role == Role::Text).map(|item| self.text(grant, item)).transpose()?;
            return Ok(sanitise::plain(&text.unwrap_or_default().0));
        };
        let mut pictures = HashMap::new();
        for (content_id, item) in pictures_of(&items) {
            let octets = self.octets(grant, item, PICTURES_MAX)?;
            let encoded = data_encoding::BASE64.encode(&octets);
            pictures.insert(content_id.to_owned(), format!("data:{};base64,{encoded}", kind(item)));
        }
        Ok(sanitise::clean(&self.text(grant, html)?.0, pictures))
    }

    /// A text item in Unicode, and whether there is more of it than is shown.
    fn text(&self, grant: &Grant, item: &Item) -> Result<(String, bool), Refused> {
        let octets = self.octets(grant, item, TEXT_MAX)?;
        let cut = item.length > TEXT_MAX;
        let whole = match std::str::from_utf8(&octets) {
            // A character that was cut through is not a reason to doubt the rest.
            Err(error) if cut && octets.len() - error.valid_up_to() < 4 => octets.get(..error.valid_up_to()).unwrap_or_default(),
            _ => &octets,
        };
        let charset = item.media_type.split("charset=").nth(1).and_then(|rest| rest.split([';', ' ']).next()).unwrap_or_default();
        let declared = encoding_rs::Encoding::for_label(charset.trim_matches('"').as_bytes()).unwrap_or(encoding_rs::WINDOWS_1252);
        let text = match std::str::from_utf8(whole) {
            Ok(text) => text.to_owned(),
            Err(_) => declared.decode(whole).0.into_owned(),
        };
        Ok((text, cut))
    }

    fn octets(&self, grant: &Grant, item: &Item, limit: u64) -> Result<Vec<u8>, Refused> {
        let opened = self.parts.vault.shelf(grant, self.now())?.open(item.id, 0..item.length.min(limit))?;
        let mut octets = Vec::new();
        let read = opened.content.take(limit).read_to_end(&mut octets);
        read.map_err(|error| trouble("message page", Fault::from(error)))?;
        Ok(octets)
    }
}

/// What can be taken: the files, and the pictures that the message cannot show.
pub(super) fn files(items: &[Item]) -> Vec<Item> {
    let shown = pictures_of(items);
    let is_file = |item: &&Item| match &item.role {
        Role::File => true,
        Role::Inline { .. } => !shown.iter().any(|(_, picture)| picture.id == item.id),
        Role::Text | Role::Html | Role::Raw => false,
    };
    items.iter().filter(is_file).cloned().collect()
}

/// The pictures that the HTML can show: of a kind that cannot hold a script, and not too much in all.
fn pictures_of(items: &[Item]) -> Vec<(&str, &Item)> {
    let mut left = PICTURES_MAX;
    let has_html = items.iter().any(|item| item.role == Role::Html);
    items
        .iter()
        .filter(|item| has_html && PICTURES.contains(&kind(item).as_str()))
        .filter_map(|item| match &item.role {
            Role::Inline { content_id } if item.length <= left => {
                left -= item.length;
                Some((content_id.as_str(), item))
            }
            Role::Inline { .. } | Role::Text | Role::Html | Role::File | Role::Raw => None,
        })
        .collect()
}

fn kind(item: &Item) -> String {
    item.media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Never SVG: it is a document.
const PICTURES: [&str; 5] = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"];
/// A page with more than this in its pictures is no letter; larger pictures are files.
const PICTURES_MAX: u64 = 5 << 20;
/// A body longer than this is a file that somebody pasted.
const TEXT_MAX: u64 = 2 << 20;
