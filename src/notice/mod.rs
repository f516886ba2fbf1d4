//! The mails and texts that we write ourselves, from templates that an organisation can override.
//!
//! Sentences come from the catalogues, layout from the templates. Links and passwords go straight
//! into the template. Whatever a stranger chose (names, subjects, file names) is cleaned before:
//! it cannot break a line, reverse the writing direction, or become a link in a mail reader.

mod clean;
mod template;

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use jiff::Timestamp;
use minijinja::{Value, context};

use self::clean::{inert, one_line};
use self::template::Templates;
use crate::crypto::random;
use crate::mail::compose::{self, Content, HeaderText};
use crate::mail::{Admd, Mailbox};
use crate::mistake::Mistake;
use crate::policy::{Shown, Verdict};
use crate::secret::Secret;
use crate::vault::{Factor, Kind, Link, NewParcel, Words};
use crate::words::{Brand, Language, moment, say, size};

/// Writes notices.
pub struct Notices {
    templates: Templates,
    brand: Brand,
    admd: Admd,
}

/// What the mail with a link may say of its parcel, taken before the parcel is sealed.
#[derive(Debug, Clone)]
pub struct Head {
    kind: Kind,
    sender: String,
    subject: Option<String>,
    file_names: Shown,
}

impl Head {
    /// What policy lets be seen: where something was found in the header its author goes by the
    /// address alone, for the display name is a text like any other.
    pub fn of(parcel: &NewParcel<'_>, verdict: &Verdict) -> Self {
        let kind = match (parcel.kind, parcel.access.factor) {
            // Its page asks for an address.
            (Kind::PublicFiles, Factor::Password) => Kind::SecureFiles,
            (kind, _) => kind,
        };
        let name = parcel.sender_name.as_ref().and_then(Words::shown);
        Self {
            kind,
            sender: name.map_or_else(|| parcel.sender.to_string(), str::to_owned),
            subject: parcel.subject.shown().map(str::to_owned),
            file_names: verdict.file_names,
        }
    }
}

/// What a link block or notice tells.
struct About<'a> {
    kind: Kind,
    link: &'a Link,
    sender: &'a str,
    subject: Option<&'a str>,
    /// Names, `None` when they may not be shown, and sizes.
    files: Vec<(Option<&'a str>, u64)>,
}

/// Text and HTML of the same content, and a subject.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// Used where the own subject is not shown.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// HTML: a fragment for a link block, a document for a notice.
    pub html: String,
}

impl Notices {
    /// With the templates in the binary, those in `overrides` instead where it has them. A template
    /// that does not render, or does not show the link or password, is a mistake.
    pub fn new(brand: Brand, admd: Admd, overrides: Option<&Path>) -> Result<Self, Mistake> {
        is_link_base(&brand.base_url)?;
        let notices = Self { templates: Templates::load(overrides)?, brand, admd };
        let file = context! { name => "a", number => 1, size => notices.in_each(|language| size(language, 1)) };
        let sample = context! { genuine => "mail-genuine", subject => "a", files => vec![file], ..notices.frame(notices.brand.language, "a", (PROBE, PROBE_TIME)) };
        notices.templates.prove(&context! { password => PROBE, title => "a", ..sample }, PROBE)?;
        Ok(notices)
    }

    /// What stands in the mail with one link: a link block or a notice. `files` are names and sizes.
    pub fn letter(&self, head: &Head, files: &[(&str, u64)], link: &Link) -> Rendered {
        let shown = |name| (head.file_names == Shown::Kept).then_some(name);
        let about = About {
            kind: head.kind,
            link,
            sender: &head.sender,
            subject: head.subject.as_deref(),
            files: files.iter().map(|&(name, length)| (shown(name), length)).collect(),
        };
        match head.kind {
            Kind::PublicFiles | Kind::SecureFiles => self.link_block(&about),
            Kind::SecureMessage => self.secure_message(&about),
        }
    }

    /// The block that stands where files were, in the organisation's language; fragment to be put
    /// into any mail's HTML (inline styles only).
    fn link_block(&self, about: &About<'_>) -> Rendered {
        self.render("link-block", about)
    }

    /// The mail that stands where the message was: the organisation's language with English below.
    fn secure_message(&self, about: &About<'_>) -> Rendered {
        self.render("secure-message", about)
    }

    /// The mail with a password, ready to be queued with a null reverse-path: the password alone on
    /// its line.
    #[expect(clippy::too_many_arguments, reason = "one mail, told once")]
    pub fn password(&self, to: &Mailbox, reply_to: &Mailbox, password: &Secret<String>, language: Language, now: Timestamp) -> Bytes {
        let subject = say(language, "mail-password-subject", &[]);
        let values = context! { password => password.expose(), title => subject.as_str(), ..self.frame(language, "", ("", now)) };
        let (text, html) = self.templates.render("password", &values, password.expose());
        let seed: [u8; 16] = random::array();
        let id = format!("<{}@{}>", data_encoding::HEXLOWER.encode(&seed), self.admd.hostname);
        let ours = Some(HeaderText::new(&one_line(&self.brand.name)));
        let fields = vec![
            compose::date(now),
            compose::addresses("From", &[(ours, self.admd.postmaster.clone())]),
            compose::addresses("To", &[(None, to.clone())]),
            compose::addresses("Reply-To", &[(None, reply_to.clone())]),
            compose::unstructured("Subject", &HeaderText::new(&subject)),
            compose::structured("Message-ID", &HeaderText::new(&id)),
            // RFC 3834 §5: so that nothing answers by itself.
            compose::structured("Auto-Submitted", &HeaderText::new("auto-generated")),
            compose::structured("X-Auto-Response-Suppress", &HeaderText::new("All")),
        ];
        let parts = vec![Content::Text { subtype: "plain", text }, Content::Text { subtype: "html", text: html }];
        compose::message(fields, Content::Multipart { subtype: "alternative", parameters: Vec::new(), parts }, &seed)
    }

    fn render(&self, name: &'static str, about: &About<'_>) -> Rendered {
        let language = self.brand.language;
        let key = match about.kind {
            Kind::PublicFiles | Kind::SecureFiles => "mail-subject-files",
            Kind::SecureMessage => "mail-subject-message",
        };
        let subject = say(language, key, &[("sender", &one_line(about.sender))]);
        let secret = about.link.secret.encode();
        let link = Secret::new(format!("{}/m/{}", self.brand.base_url, secret.expose()));
        let files: Vec<Value> = about.files.iter().zip(1..).map(|(&(name, octets), number)| self.file(name, octets, number)).collect();
        let genuine = match about.kind {
            Kind::PublicFiles => "mail-genuine-public",
            Kind::SecureFiles | Kind::SecureMessage => "mail-genuine",
        };
        let values = context! {
            genuine,
            title => say(language, key, &[("sender", &inert(about.sender))]),
            subject => about.subject.map(inert).filter(|subject| !subject.is_empty()),
            files => files,
            ..self.frame(language, about.sender, (link.expose(), about.link.expires))
        };
        let (text, html) = self.templates.render(name, &values, link.expose());
        Rendered { subject, text, html }
    }

    /// What every template knows.
    fn frame(&self, language: Language, sender: &str, (link, expires): (&str, Timestamp)) -> Value {
        let mut languages = vec![language.tag()];
        if language != Language::English {
            languages.push(Language::English.tag());
        }
        let accent = accent(&self.brand.accent);
        context! {
            language => language.tag(),
            languages => languages,
            organisation => one_line(&self.brand.name),
            support => one_line(&self.brand.support),
            host => Value::from_safe_string(self.brand.base_url.clone()),
            ink => ink_on(&accent),
            accent => accent,
            sender => inert(sender),
            // Letters, digits and a few marks that mean nothing in HTML: checked when the notices were made.
            link => Value::from_safe_string(link.to_owned()),
            expires => self.in_each(|language| moment(language, expires, &self.brand.zone)),
        }
    }

    fn file(&self, name: Option<&str>, octets: u64, number: u32) -> Value {
        let name = name.map(inert).filter(|name| !name.is_empty());
        context! { name => name, number => number, size => self.in_each(|language| size(language, octets)) }
    }

    /// A text in each language that a notice may speak.
    fn in_each(&self, text: impl Fn(Language) -> String) -> BTreeMap<&'static str, String> {
        [self.brand.language, Language::English, Language::Swedish].into_iter().map(|language| (language.tag(), text(language))).collect()
    }
}

/// A link must be one line of any mail, and must mean nothing else in HTML.
fn is_link_base(base: &str) -> Result<(), Mistake> {
    let place = Path::new("base_url");
    let harmless = base.chars().all(|c| c.is_ascii_alphanumeric() || ".:/-_~[]%".contains(c));
    if !harmless || !(base.starts_with("https://") || base.starts_with("http://")) || base.ends_with('/') {
        return Err(Mistake::whole(place, format!("{base:?} cannot begin a link"))
            .help("write it like https://secure.example.org, without a slash at the end"));
    }
    if base.len() + "/m/".len() + LINK_CHARS >= LINE_MAX {
        return Err(Mistake::whole(place, format!("{base:?} makes links longer than a line of mail"))
            .help(format!("use a host name with which it has at most {} characters", LINE_MAX - LINK_CHARS - 4)));
    }
    Ok(())
}

/// `#rrggbb`, or the colour of sealing wax.
fn accent(wanted: &str) -> String {
    let well_formed = wanted.len() == 7 && wanted.strip_prefix('#').is_some_and(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()));
    if well_formed { wanted.to_ascii_lowercase() } else { "#8f2d22".to_owned() }
}

/// White or nearly black, whichever stands out more on the accent. WCAG 2.2, relative luminance.
fn ink_on(accent: &str) -> &'static str {
    let channel = |at: usize| {
        let value = accent.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok()).unwrap_or_default();
        let share = f64::from(value) / 255.0;
        if share <= 0.040_45 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
    };
    let luminance = 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
    if (1.05 / (luminance + 0.05)) >= ((luminance + 0.05) / 0.058) { "#ffffff" } else { "#1b1917" }
}

/// RFC 2045 §6.7: longer lines are broken by quoted-printable, and by some readers.
const LINE_MAX: usize = 76;
/// base32 of the 20 octets of a link secret.
const LINK_CHARS: usize = 32;
/// Stands for the link or password while templates are tried.
const PROBE: &str = "https://probe.invalid/m/abcdefghijklmnop234567";
const PROBE_TIME: Timestamp = Timestamp::UNIX_EPOCH;

#[cfg(test)]
mod tests;
