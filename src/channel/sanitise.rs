//! The HTML of a message down to what a letter needs.
//!
//! An allow-list; what is not on it is dropped, and what is inside scripts, styles, vector
//! graphics and the like goes with it. Nothing is fetched from elsewhere: pictures come from the message
//! itself or not at all. The page puts a second wall around the result; this one has to hold alone.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What may be put into a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clean {
    /// A fragment.
    pub html: String,
    /// Pictures from elsewhere that were left out.
    pub blocked: usize,
}

/// The message's HTML, cleaned. `pictures` has a `data:` URI for each Content-ID. What would cost too
/// much to read is shown as its text.
pub fn clean(html: &str, pictures: HashMap<String, String>) -> Clean {
    if !is_bearable(html) {
        return plain(&crate::extract::html::text(html));
    }
    let blocked = Arc::new(AtomicUsize::new(0));
    let gallery = Gallery { pictures, room: AtomicUsize::new(SHOWN_MAX), blocked: Arc::clone(&blocked) };
    let mut builder = ammonia::Builder::empty();
    builder
        .tags(TAGS.into_iter().collect())
        .clean_content_tags(DROPPED_WHOLE.into_iter().collect())
        .generic_attributes(ATTRIBUTES.into_iter().collect())
        .tag_attributes(TAG_ATTRIBUTES.into_iter().map(|(tag, names)| (tag, names.iter().copied().collect())).collect())
        .set_tag_attribute_value("a", "target", "_blank")
        .link_rel(Some("noopener noreferrer nofollow"))
        .url_schemes(["http", "https", "mailto", "tel", "cid"].into_iter().collect::<HashSet<_>>())
        .url_relative(ammonia::UrlRelative::Deny)
        .filter_style_properties(STYLES.into_iter().collect())
        .attribute_filter(move |element, attribute, value| match (element, attribute) {
            ("img", "src") => gallery.show(value).map(Cow::Owned),
            ("a", "href") if value.trim_start().to_ascii_lowercase().starts_with("cid:") => None,
            // A declaration that could name an address has no place in a letter.
            (_, "style") if value.to_ascii_lowercase().contains("url") || value.contains(['\\', '@']) => None,
            _ => Some(Cow::Borrowed(value)),
        });
    let html = builder.clean(html).to_string();
    Clean { html, blocked: blocked.load(Ordering::Relaxed) }
}

/// Whether reading the HTML costs about as much as it is long. A reader by the rules looks through all
/// open elements at each tag, and opens every style that was not closed anew in each paragraph, up to
/// three times where it was written three times alike: from little text, more elements than memory holds.
fn is_bearable(html: &str) -> bool {
    let (mut tags, mut styles, mut odd) = (0_usize, HashSet::new(), 0_usize);
    for (at, _) in html.match_indices('<') {
        tags += 1;
        let start = html.as_bytes().get(at + 1..).unwrap_or_default();
        let start = start.get(..STYLE_LOOK.min(start.len())).unwrap_or_default();
        let name: Vec<u8> = start.iter().take(8).take_while(|octet| octet.is_ascii_alphabetic()).map(u8::to_ascii_lowercase).collect();
        if STYLING.iter().any(|styling| styling.as_bytes() == name) {
            match whole_tag(start, name.len()) {
                Some(tag) => drop(styles.insert(tag)),
                None => odd += 1,
            }
        }
    }
    tags <= TAGS_MAX && tags.saturating_mul(3 * (styles.len() + odd)) <= REOPENED_MAX
}

/// The tag up to its `>`, if every attribute is written as it is in books: then it can end nowhere else.
fn whole_tag(text: &[u8], name: usize) -> Option<&[u8]> {
    let mut at = name;
    loop {
        at += text.get(at..)?.iter().take_while(|octet| octet.is_ascii_whitespace()).count();
        if text.get(at) == Some(&b'>') {
            return text.get(..at);
        }
        let attribute = text.get(at..)?.iter().take_while(|octet| octet.is_ascii_alphanumeric() || **octet == b'-').count();
        at += attribute;
        if attribute == 0 || text.get(at) != Some(&b'=') {
            return None;
        }
        at += 1;
        let value = text.get(at..)?;
        at += match value.first()? {
            quote @ (b'"' | b'\'') => value.iter().skip(1).position(|octet| octet == quote)? + 2,
            _ => value.iter().take_while(|octet| octet.is_ascii_alphanumeric() || b"#%.,+-".contains(octet)).count(),
        };
    }
}

/// The message's own pictures.
struct Gallery {
    pictures: HashMap<String, String>,
    /// Octets that may still be put in: one picture can be named many times.
    room: AtomicUsize,
    blocked: Arc<AtomicUsize>,
}

impl Gallery {
    /// The message's own picture, or nothing; pictures from elsewhere are counted.
    fn show(&self, source: &str) -> Option<String> {
        let source = source.trim();
        let Some(scheme) = source.get(..4).filter(|scheme| scheme.eq_ignore_ascii_case("cid:")) else {
            self.blocked.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let content_id = source.get(scheme.len()..).unwrap_or_default();
        let found = self.pictures.get(content_id).or_else(|| self.pictures.get(&content_id.replace("%40", "@")))?;
        let room = self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(found.len()));
        room.is_ok().then(|| found.clone())
    }
}

/// Plain text as HTML of the same look.
pub fn plain(text: &str) -> Clean {
    Clean { html: format!("<pre>{}</pre>", ammonia::Builder::empty().clean(&escape(text))), blocked: 0 }
}

/// About how many lines the HTML fills on a narrow screen: for the height of its frame.
pub fn lines(html: &str) -> u32 {
    let mut lines = 0u32;
    let (mut column, mut tag, mut is_tag) = (0u32, String::new(), false);
    for c in html.chars() {
        match c {
            '<' => (is_tag, tag) = (true, String::new()),
            '>' if is_tag => {
                is_tag = false;
                let name = tag.split([' ', '\n', '\t', '/']).next().unwrap_or_default().to_ascii_lowercase();
                let height = TALL.iter().find(|(tall, _)| *tall == name).map_or(0, |(_, height)| *height);
                lines = lines.saturating_add(height);
                column = if height > 0 { 0 } else { column };
            }
            _ if is_tag => {
                if tag.len() < 32 {
                    tag.push(c);
                }
            }
            _ => {
                column += 1;
                if column > COLUMNS {
                    (column, lines) = (0, lines.saturating_add(1));
                }
            }
        }
    }
    lines.saturating_add(2)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const TAGS: [&str; 57] = [
    "a",
    "abbr",
    "address",
    "article",
    "b",
    "bdi",
    "bdo",
    "big",
    "blockquote",
    "br",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "del",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "font",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "i",
    "img",
    "ins",
    "kbd",
    "li",
    "mark",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "small",
    "span",
    "strike",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
];
/// Dropped with everything inside.
const DROPPED_WHOLE: [&str; 20] = [
    "script",
    "style",
    "svg",
    "math",
    "iframe",
    "noscript",
    "title",
    "textarea",
    "template",
    "object",
    "embed",
    "applet",
    "frame",
    "frameset",
    "noframes",
    "noembed",
    "xmp",
    "plaintext",
    "select",
    "head",
];
const ATTRIBUTES: [&str; 5] = ["align", "dir", "lang", "style", "title"];
const TAG_ATTRIBUTES: [(&str, &[&str]); 12] = [
    ("a", &["href"]),
    ("img", &["src", "alt", "width", "height"]),
    ("font", &["color", "face", "size"]),
    ("table", &["border", "cellpadding", "cellspacing", "width", "bgcolor", "summary"]),
    ("td", &["colspan", "rowspan", "width", "height", "valign", "bgcolor", "headers"]),
    ("th", &["colspan", "rowspan", "width", "height", "valign", "bgcolor", "scope"]),
    ("tr", &["valign", "bgcolor"]),
    ("col", &["span", "width"]),
    ("colgroup", &["span", "width"]),
    ("ol", &["start", "type"]),
    ("li", &["value"]),
    ("hr", &["width", "size", "color"]),
];
/// No shorthand that takes an address, nothing that moves out of its place.
const STYLES: [&str; 39] = [
    "background-color",
    "border-bottom-color",
    "border-bottom-style",
    "border-bottom-width",
    "border-collapse",
    "border-color",
    "border-left-color",
    "border-left-style",
    "border-left-width",
    "border-radius",
    "border-right-color",
    "border-right-style",
    "border-right-width",
    "border-spacing",
    "border-style",
    "border-top-color",
    "border-top-style",
    "border-top-width",
    "border-width",
    "color",
    "direction",
    "font-family",
    "font-size",
    "font-style",
    "font-weight",
    "letter-spacing",
    "line-height",
    "list-style-type",
    "margin-bottom",
    "margin-left",
    "margin-top",
    "padding",
    "padding-bottom",
    "padding-left",
    "padding-right",
    "padding-top",
    "text-align",
    "text-decoration",
    "white-space",
];
/// Elements that begin a line, and how many lines they and their margins fill.
const TALL: [(&str, u32); 17] = [
    ("br", 1),
    ("/p", 2),
    ("/div", 1),
    ("/li", 1),
    ("/tr", 1),
    ("hr", 2),
    ("/h1", 3),
    ("/h2", 3),
    ("/h3", 2),
    ("/h4", 2),
    ("/pre", 1),
    ("/blockquote", 1),
    ("/table", 1),
    ("/ul", 1),
    ("/ol", 1),
    ("/dd", 1),
    ("img", 8),
];
const COLUMNS: u32 = 52;
/// Elements that are opened anew; `a` is not among them, for a second one ends the first. HTML, §13.2.4.3.
const STYLING: [&str; 13] = ["b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"];
/// A longer tag counts as unlike all others.
const STYLE_LOOK: usize = 256;
/// A newsletter of a megabyte has thirty thousand.
const TAGS_MAX: usize = 50_000;
/// Elements that may come out of unclosed styles, at the very worst: about 1 GB, and rarely more than a thousandth of it.
const REOPENED_MAX: usize = 8_000_000;
/// Octets of `data:` URIs in one page: twice what the pictures of a message may have.
const SHOWN_MAX: usize = 14 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(html: &str) -> String {
        clean(html, HashMap::from([("logo@here".to_owned(), "data:image/png;base64,AAAA".to_owned())])).html
    }

    #[test]
    fn what_would_fill_the_memory_is_shown_as_its_text() {
        let fonts: String = (0..1000).map(|number| format!("<font size={number}>")).collect();
        let styled = format!("{fonts}{}", "<p>secret".repeat(50_000));
        let quoted: String = (0..1000).map(|number| format!("<b a='\"' title=\">{number}\">")).collect();
        for bomb in [styled, format!("{quoted}{}", "<p>secret".repeat(20_000)), format!("secret{}", "<div>".repeat(400_000))] {
            let shown = cleaned(&bomb);
            assert!(shown.contains("secret") && shown.len() < 2 * bomb.len(), "{} octets of {}", shown.len(), bomb.len());
        }
    }

    #[test]
    fn a_long_newsletter_is_shown_as_it_is() {
        let row = "<tr><td style=\"padding:4px\"><font color=\"#333333\" size=2><b>News</b> <a href=\"https://a.example/1\">more</a></font></td></tr>";
        let shown = cleaned(&format!("<table>{}</table>", row.repeat(2_000)));
        assert_eq!(shown.matches("<b>News</b>").count(), 2_000);
    }

    #[test]
    fn nothing_that_runs_or_fetches_stays() {
        for attack in [
            "<script>x()</script>",
            "<img src=x onerror=x()>",
            "<svg onload=x()>",
            "<math><mi//xlink:href=\"data:x,<script>x()\">",
            "<iframe src=javascript:x()>",
            "<a href=javascript:x()>a</a>",
            "<a href=' java\nscript:x()'>a</a>",
            "<style>@import url(//evil.example/)</style>",
            "<link rel=stylesheet href=//evil.example/>",
            "<meta http-equiv=refresh content='0;url=//evil.example/'>",
            "<base href=//evil.example/>",
            "<form action=//evil.example/><input name=a><button>go</button></form>",
            "<video src=//evil.example/ poster=//evil.example/>",
            "<img srcset='//evil.example/ 2x'>",
            "<div style='background:url(//evil.example/)'>a</div>",
            "<div style='background-image:url(//evil.example/)'>a</div>",
            "<div style='list-style-type:url(//evil.example/)'>a</div>",
            "<p style='color:rgb(1,2,3);border-color:url(//evil.example/)'>a</p>",
            "<noscript><p title='</noscript><img src=x onerror=x()>'></noscript>",
            "<title><img src=x onerror=x()></title>",
            "<textarea><img src=x onerror=x()></textarea>",
            "<table background=//evil.example/><tr><td>a</td></tr></table>",
            "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=x()&gt;'>",
            "<svg></p><style><a id='</style><img src=1 onerror=x()>'>",
            "<img src=data:image/svg+xml;base64,PHN2Zz4=>",
            "<a href='data:text/html,<script>x()</script>'>a</a>",
            "<object data=//evil.example/></object>",
            "<div onclick=x() id=a class=b>a</div>",
            "<img src=//evil.example/a.png>",
            "<img src='http://evil.example/a.png'>",
        ] {
            let html = cleaned(attack).to_lowercase();
            for banned in [
                "evil.example",
                "onerror",
                "onload",
                "onclick",
                "javascript",
                "<script",
                "<svg",
                "<math",
                "<style",
                "<form",
                "x()\"",
                "data:",
                "url(",
            ] {
                assert!(!html.contains(banned), "{attack} became {html}");
            }
        }
    }

    #[test]
    fn a_letter_stays_a_letter() {
        for (html, expect) in [
            ("<p style='color:red;position:fixed'>Hej</p>", "<p style=\"color:red\">Hej</p>"),
            ("<img src='cid:logo@here' alt=Logo>", "<img src=\"data:image/png;base64,AAAA\" alt=\"Logo\">"),
            ("<img src='CID:logo%40here'>", "<img src=\"data:image/png;base64,AAAA\">"),
            ("<img src='cid:other'>", "<img>"),
            (
                "<a href='https://example.org/?a=1&b=2'>a</a>",
                "<a href=\"https://example.org/?a=1&amp;b=2\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">a</a>",
            ),
            ("<table><tr><td bgcolor=red>a</td></tr></table>", "<table><tbody><tr><td bgcolor=\"red\">a</td></tr></tbody></table>"),
        ] {
            assert_eq!(cleaned(html), expect, "{html}");
        }
    }

    #[test]
    fn pictures_from_elsewhere_are_counted() {
        let html = "<img src='https://a.example/1.png'><img src='cid:logo@here'><img src='http://b.example/2'>";
        let pictures = HashMap::from([("logo@here".to_owned(), "data:image/png;base64,AAAA".to_owned())]);
        assert_eq!(clean(html, pictures).blocked, 2);
    }

    #[test]
    fn text_becomes_html_without_becoming_markup() {
        assert_eq!(plain("a <b> & \"c\"\n").html, "<pre>a &lt;b&gt; &amp; \"c\"\n</pre>");
    }
}
