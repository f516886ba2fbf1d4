//! HTML to the text that a reader sees, to the text that is hidden from them as well, and to the files
//! that stand in it.
//!
//! The tokenizer of the HTML standard, without a tree: constant stack, so depth costs nothing.
//! Style sheets are not evaluated; what only a style sheet hides counts as visible.

use std::cell::{Cell, RefCell};

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};

use super::data::{self, Data};
use super::said::Said;

/// What there is in a document.
#[derive(Debug, Default)]
pub struct Page {
    /// Visible text with line breaks where blocks end, then everything hidden, what attributes and
    /// declarations say, and comments, so that nothing in the document escapes inspection.
    pub text: String,
    /// What `data:` URLs hold.
    pub files: Vec<Data>,
}

/// Reads a document.
pub fn read(html: &str) -> Page {
    let mut reader = tokenize(html, Reader::default());
    reader.declarations(html);
    // Comments of the form `<!--[if mso]>…<![endif]-->` are text to some mail readers. They do not nest.
    let inside = std::mem::take(&mut reader.conditional);
    let mut page = reader.finish();
    if !inside.is_empty() {
        let more = tokenize(&inside, Reader::default()).finish();
        push_block(&mut page.text, &more.text);
        page.files.extend(more.files);
    }
    page
}

/// The text of a document.
pub fn text(html: &str) -> String {
    read(html).text
}

fn tokenize(html: &str, reader: Reader) -> Reader {
    let tokenizer = Tokenizer::new(Sink { reader: RefCell::new(reader), tokens: Cell::new(0) }, TokenizerOpts::default());
    let input = BufferQueue::default();
    let mut open = Open::default();
    let mut at = 0;
    for piece in pieces(html) {
        let before = tokenizer.sink.tokens.get();
        input.push_back(StrTendril::from_slice(piece));
        // The sink never asks to wait for a script, so one call reads everything; the loop is for a
        // tokenizer that returns early all the same.
        while !input.is_empty() {
            let _ = tokenizer.feed(&input);
        }
        if tokenizer.sink.tokens.get() != before {
            open = Open::default();
        } else if open.goes_on(piece, at) {
            // Nobody writes such a tag, and the tokenizer compares each attribute with all before it:
            // from here on everything counts as text.
            tokenizer.sink.reader.borrow_mut().hidden.push(html.get(open.start..).unwrap_or_default(), Space::Kept);
            return tokenizer.sink.reader.into_inner();
        }
        at += piece.len();
    }
    let cut_off = if open.length > 0 && !open.is_comment { html.get(open.start..).unwrap_or_default() } else { "" };
    tokenizer.end();
    let mut reader = tokenizer.sink.reader.into_inner();
    // A tag without an end is nothing to the standard, and something to whoever repairs it.
    if cut_off.starts_with('<') {
        reader.say(cut_off);
    }
    // Of two attributes of one name the standard takes the first, and others take what they like.
    if reader.is_doubtful {
        reader.say(html);
    }
    reader
}

/// Cut before each `<`, and where that is far apart.
fn pieces(html: &str) -> impl Iterator<Item = &str> {
    let mut rest = html;
    std::iter::from_fn(move || {
        let next = rest.char_indices().skip(1).find(|(at, c)| *c == '<' || *at >= PIECE).map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at_checked(next)?;
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// A tag or comment that has not ended yet.
#[derive(Default)]
struct Open {
    start: usize,
    length: usize,
    /// How many attributes there can be in it at most.
    crowd: usize,
    is_comment: bool,
}

impl Open {
    /// Takes in another piece; true when it is a tag with more attributes than anyone writes. Long
    /// values, such as pictures in place, are told by how few separators they have for their length.
    fn goes_on(&mut self, piece: &str, at: usize) -> bool {
        if self.length == 0 {
            self.start = at;
            self.is_comment = piece.starts_with("<!") || piece.starts_with("<?");
        }
        self.length += piece.len();
        self.crowd += piece.bytes().filter(|octet| matches!(octet, b' ' | b'\t' | b'\n' | b'\r' | 0x0c | b'/' | b'"' | b'\'')).count();
        !self.is_comment && self.crowd > CROWD && self.crowd * CROWD_DENSITY > self.length
    }
}

struct Sink {
    reader: RefCell<Reader>,
    tokens: Cell<u64>,
}

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        // A complaint is no progress: a tag may cause one for each of its attributes.
        if !matches!(token, Token::ParseError(_)) {
            self.tokens.set(self.tokens.get().wrapping_add(1));
        }
        let mut reader = self.reader.borrow_mut();
        match token {
            Token::CharacterTokens(text) => reader.characters(&text),
            Token::CommentToken(text) => reader.comment(&text),
            Token::TagToken(tag) => return reader.tag(&tag),
            Token::DoctypeToken(_) | Token::NullCharacterToken | Token::EOFToken | Token::ParseError(_) => {}
        }
        TokenSinkResult::Continue
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        self.reader.borrow().foreign > 0
    }
}

#[derive(Default)]
struct Reader {
    seen: Flow,
    hidden: Flow,
    /// What attributes, declarations and comments say.
    said: Said,
    files: Vec<Data>,
    conditional: String,
    /// Whether somebody else could take another value of an attribute than we do.
    is_doubtful: bool,
    /// The hidden element that we are in, and how many of its name are open.
    hiding: Option<(String, usize)>,
    /// How many `svg` and `math` are open: CDATA is text in them.
    foreign: usize,
    preformatted: usize,
}

/// Text as it grows, white space collapsed.
#[derive(Default)]
struct Flow {
    text: String,
    /// A space is due before the next character.
    gap: bool,
}

/// Whether line breaks of the source are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Space {
    Kept,
    Collapsed,
}

impl Reader {
    fn characters(&mut self, text: &str) {
        let space = if self.preformatted > 0 { Space::Kept } else { Space::Collapsed };
        self.flow().push(text, space);
    }

    fn comment(&mut self, text: &str) {
        if text.trim_start().starts_with("[if") {
            self.conditional.push_str(text.split_once("]>").map_or(text, |(_, inside)| inside));
            self.conditional.push('\n');
        } else if !matches!(text.trim(), "" | "[endif]" | "<![endif]") {
            self.say(text);
        }
    }

    /// Document types and entities, which only readers of XML take for more than noise.
    fn declarations(&mut self, html: &str) {
        for (at, mark) in html.match_indices("<!") {
            let rest = html.get(at + mark.len()..).unwrap_or_default();
            let declaration = rest.split(['<', '>']).next().unwrap_or_default();
            let ordinary = declaration.trim_end().eq_ignore_ascii_case("doctype html");
            if declaration.starts_with(|c: char| c.is_ascii_alphabetic()) && !ordinary {
                self.say(declaration);
            }
        }
    }

    fn say(&mut self, value: &str) {
        let (left, files) = data::take_out(value);
        self.said.push(&left);
        self.files.extend(files);
    }

    fn tag(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let name: &str = &tag.name;
        self.attributes(tag);
        self.count(name, tag);
        if name == "bdo" {
            self.direction(tag);
        } else if BLOCKS.contains(&name) {
            self.flow().line();
        } else if matches!(name, "td" | "th") {
            self.flow().gap = true;
        }
        if tag.kind == TagKind::EndTag {
            return TokenSinkResult::Continue;
        }
        match name {
            "script" => TokenSinkResult::RawData(RawKind::ScriptData),
            "style" => TokenSinkResult::RawData(RawKind::Rawtext),
            "title" | "textarea" => TokenSinkResult::RawData(RawKind::Rcdata),
            "plaintext" => TokenSinkResult::Plaintext,
            _ => TokenSinkResult::Continue,
        }
    }

    /// `bdo` with this direction shows its text turned round. HTML Living Standard §4.5.25.
    fn direction(&mut self, tag: &Tag) {
        let value = |wanted: &str| tag.attrs.iter().find(|attribute| &*attribute.name.local == wanted).map(|attribute| &attribute.value);
        match tag.kind {
            TagKind::StartTag if value("dir").is_some_and(|dir| dir.trim().eq_ignore_ascii_case("rtl")) => {
                self.flow().push("\u{202e}", Space::Kept)
            }
            TagKind::StartTag => {}
            TagKind::EndTag => self.flow().push("\u{202c}", Space::Kept),
        }
    }

    fn attributes(&mut self, tag: &Tag) {
        for attribute in &tag.attrs {
            self.say(&attribute.value);
            // A page in a page. HTML Living Standard §4.8.5.
            if &*attribute.name.local == "srcdoc" {
                self.files.push(Data { declared: "text/html".to_owned(), content: attribute.value.as_bytes().to_vec().into() });
            }
            // No attribute has a name like this: somebody meant it as a value.
            if has_number(&attribute.name.local) {
                self.say(attribute.name.local.trim_start_matches(|c: char| c.is_ascii_alphabetic()));
            }
        }
        self.is_doubtful |= tag.had_duplicate_attributes;
        if has_number(&tag.name) {
            self.say(tag.name.trim_start_matches(|c: char| c.is_ascii_alphabetic()));
        }
        let opens = tag.kind == TagKind::StartTag && !tag.self_closing && !VOID.contains(&&*tag.name);
        if self.hiding.is_none() && opens && is_hidden(tag) {
            self.hidden.line();
            self.hiding = Some((tag.name.to_string(), 0));
        }
    }

    /// Keeps the few depths that matter. They are counts, so unbalanced tags only misplace text, never lose it.
    fn count(&mut self, name: &str, tag: &Tag) {
        let step = |depth: usize| if tag.kind == TagKind::StartTag { depth.saturating_add(1) } else { depth.saturating_sub(1) };
        if let Some((hider, depth)) = &mut self.hiding
            && hider == name
        {
            *depth = step(*depth);
            if *depth == 0 {
                self.hiding = None;
            }
        }
        match name {
            "pre" | "textarea" => self.preformatted = step(self.preformatted),
            "svg" | "math" if !tag.self_closing => self.foreign = step(self.foreign),
            _ => {}
        }
    }

    const fn flow(&mut self) -> &mut Flow {
        if self.hiding.is_some() { &mut self.hidden } else { &mut self.seen }
    }

    fn finish(mut self) -> Page {
        let mut text = self.seen.text.trim_end().to_owned();
        // Style sheets and scripts have files in them as well.
        let (hidden, files) = data::take_out(self.hidden.text.trim_end());
        self.files.extend(files);
        push_block(&mut text, &hidden);
        push_block(&mut text, self.said.finish().trim_end());
        Page { text, files: self.files }
    }
}

impl Flow {
    fn push(&mut self, text: &str, space: Space) {
        for c in text.chars() {
            if space == Space::Kept && c == '\n' {
                self.line();
            } else if c.is_ascii_whitespace() {
                self.gap = true;
            } else {
                if std::mem::take(&mut self.gap) && !self.text.is_empty() && !self.text.ends_with('\n') {
                    self.text.push(' ');
                }
                self.text.push(c);
            }
        }
    }

    fn line(&mut self) {
        self.gap = false;
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }
}

fn push_block(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push('\n');
    }
    text.push_str(more);
}

fn has_number(name: &str) -> bool {
    name.bytes().filter(u8::is_ascii_digit).count() >= NUMBER_MIN
}

fn is_hidden(tag: &Tag) -> bool {
    if matches!(&*tag.name, "script" | "style" | "template" | "datalist") {
        return true;
    }
    tag.attrs.iter().any(|attribute| match &*attribute.name.local {
        "hidden" => true,
        "style" => {
            let style: String = attribute.value.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
            [
                "display:none",
                "visibility:hidden",
                "mso-hide:all",
                "max-height:0",
                "opacity:0;",
                "font-size:0;",
                "font-size:0px",
                "font-size:1px",
            ]
            .iter()
            .any(|hides| style.contains(hides))
        }
        _ => false,
    })
}

/// Digits in a name of a tag or an attribute that no such name has.
const NUMBER_MIN: usize = 6;
/// Octets given to the tokenizer at once.
const PIECE: usize = 4096;
/// Separators in one tag; tags of ordinary mail have a few dozen.
const CROWD: usize = 4096;
/// One separator in so many octets is a crowd of attributes; base64 has one slash in 64.
const CROWD_DENSITY: usize = 32;

/// Elements that begin and end a line. HTML Living Standard §15.3, the rendering of flow content, and `br`.
const BLOCKS: [&str; 46] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "br",
    "caption",
    "center",
    "dd",
    "details",
    "dialog",
    "dir",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "html",
    "legend",
    "li",
    "main",
    "menu",
    "nav",
    "ol",
    "option",
    "p",
    "pre",
    "section",
    "summary",
    "table",
    "textarea",
    "title",
    "tr",
    "ul",
    "select",
];
/// Elements without content. HTML Living Standard §13.1.2.
const VOID: [&str; 14] = ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_and_the_inspection_see_the_same_words() {
        for (html, expect) in [
            ("<p>One</p><p>two</p>", "One\ntwo"),
            ("pass<b>word</b>", "password"),
            ("pass<!-- -->word", "password"),
            ("pass<wbr>wo&#x72;d &amp; more", "password & more"),
            ("a  \n b<br>c", "a b\nc"),
            ("<table><tr><td>a<td>b<tr><td>c</table>", "a b\nc"),
            ("<pre>a\n  b</pre>", "a\nb"),
            ("<style>p{color:red}</style>x<script>if (a<b) say('y')</script>", "x\np{color:red}\nif (a<b) say('y')"),
            ("pass<span style='DISPLAY : none'>hid<span>d</span>en</span>word", "password\nhidden\nDISPLAY : none"),
            ("<img alt='a scan' src=https://x.example/a.png width=600 height=100%>text", "text\na scan\nhttps://x.example/a.png"),
            ("<p class=note style='background:url(/note)'>x</p><p class=note>y", "x\ny\nnote\nbackground:url(/note)"),
            ("<a href='https://x.example/850709%2D9805'>x</a>", "x\nhttps://x.example/850709%2D9805\nhttps://x.example/850709-9805"),
            ("<p title=one title=two>x", "x\none\n<p title=one title=two>x"),
            ("<p x850709-9805>x", "x\n850709-9805"),
            ("x<p title='cut off", "x\n<p title='cut off"),
            ("<!DOCTYPE html PUBLIC \"-//W3C\"><?note a?>x", "x\n?note a?\nDOCTYPE html PUBLIC \"-//W3C\""),
            ("<!DOCTYPE a [<!ENTITY b 'c'>]>x", "]>x\nDOCTYPE a [\nENTITY b 'c'"),
            ("<p hidden>secret", "secret"),
            ("<p title='a 1' lang='2 b'>x", "x\na 1\n;\n2 b"),
            ("<!-- shown to the curious -->x", "x\nshown to the curious"),
            ("<a href='https://x.example/?who=me'>x</a>", "x\nhttps://x.example/?who=me"),
            ("<!--[if mso]><p>for one reader</p><![endif]-->x", "x\nfor one reader"),
            ("<svg><text><![CDATA[in a picture]]></text></svg>", "in a picture"),
            ("<title>T</title>x", "T\nx"),
            ("<textarea><b>x", "<b>x"),
            ("", ""),
            ("plain < text > here", "plain < text > here"),
        ] {
            assert_eq!(text(html), expect, "{html}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{}x{}", "<div>".repeat(200_000), "</div>".repeat(200_000));
        assert_eq!(text(&deep), "x");
    }

    #[test]
    fn a_tag_of_endless_attributes_is_text_and_costs_no_more_than_its_length() {
        for separator in [" ", "/", "='>' "] {
            let crowd: String = (0..300_000).map(|i| format!("a{i}{separator}")).collect();
            let found = text(&format!("<p>before</p><div {crowd} title=secret>after"));
            assert!(found.starts_with("before") && found.contains("secret") && found.contains("after"), "{separator}");
        }
        let picture = "iVBORw0KGgo/AAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4abcdefg".repeat(30_000);
        let page = read(&format!("<p>pass<img src=\"data:image/png;base64,{picture}\" alt='a scan'>word"));
        assert_eq!(page.text, "password\ndata:image/png;base64,\na scan");
        assert_eq!(page.files.len(), 1);
        let comment = "<a b c d e f g> ".repeat(50_000);
        assert!(text(&format!("pass<!-- {comment} -->word")).starts_with("password\n<a b c"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_and_words_outside_tags_are_kept(head in "\\PC{0,200}", word in "[a-z]{8}") {
            let html = format!("{head}--></x\"'></style></script></title></textarea><p>{word}</p>");
            let _ = text(&html);
            let clean = format!("<div>{}</div><p>{word}</p>", head.replace(['<', '&'], " "));
            proptest::prop_assert!(text(&clean).contains(&word));
        }
    }
}
