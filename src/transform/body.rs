//! The body that leaves: files out, everything else byte for byte, the link block in.
//!
//! Every leaf that stays is a slice of what came in, its own header included. The frame around it is
//! written anew with a boundary of ours, so nothing can hide between two readings of the old one; a
//! frame left with one child collapses into it; preambles and epilogues go. A signed part is a leaf
//! here.
//!
//! # Where the link block stands
//!
//! In its own part behind each body that a reader may choose, in that body's own type: the plain text
//! is followed by a text block, the HTML by an HTML block, both inside `multipart/mixed` below the
//! old `multipart/alternative`. That is how Apple Mail itself writes text after an attachment, so:
//!
//! * Apple Mail and Thunderbird show the chosen body and the block as one page;
//! * Gmail and other web mail join the inline parts of a `mixed`;
//! * Outlook and Exchange take only the first text of a `mixed` for the body and list the others as
//!   `ATT00001.htm`, unless MIME-Version names a writer of bodies in sequence (MS-OXCMAIL
//!   §2.2.3.3.2.2, *aggregate body*): hence the comment in that field, which RFC 2045 §4 allows.
//!
//! To put the block into the HTML itself would show it everywhere without such care, but would change
//! the author's part, whatever its character set and encoding; and what is not touched cannot be broken.
//! Before the body it would hide the author's first words in lists and notifications.
//!
//! RFC 2046 §5.1, RFC 2387 (`related`).

use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};

use crate::mail::compose::{self, Content, HeaderText};
use crate::mail::{HeaderField, Part};

use super::Letter;
use super::anatomy::{Anatomy, Nature, is_signed};

/// A body and the MIME fields that belong into the header above it.
pub(super) struct Written {
    /// MIME-Version, Content-Type and what else describes the body.
    pub fields: Vec<HeaderField>,
    /// What follows the empty line.
    pub rope: Vec<Bytes>,
}

/// The message without its files, with the link block.
pub(super) fn without_files(anatomy: &Anatomy<'_>, letter: &Letter, seed: [u8; 16]) -> Written {
    let Some(kept) = prune(anatomy, anatomy.message.root()) else { return notice(letter, seed) };
    let mut writer = Writer { anatomy, letter, seed, count: 0, rope: Vec::new(), pending: BytesMut::new() };
    let Node::Frame(frame) = with_block(anatomy, kept) else { return notice(letter, seed) };
    let boundary = writer.boundary();
    let mut fields = vec![compose::structured("MIME-Version", &HeaderText::new(BODIES_IN_SEQUENCE))];
    fields.extend(writer.frame_fields(&frame, &boundary));
    writer.children(&boundary, &frame.children);
    writer.text("\r\n");
    Written { fields, rope: writer.finish() }
}

/// The letter alone: the mail that stands where the message was.
pub(super) fn notice(letter: &Letter, seed: [u8; 16]) -> Written {
    let (mut fields, body) = entity(&block(letter), &derived(seed, 0));
    fields.insert(0, compose::structured("MIME-Version", &HeaderText::new("1.0")));
    Written { fields, rope: vec![body] }
}

/// The tree that leaves.
enum Node<'a> {
    /// Octets that came in.
    Kept(&'a Part, Nature),
    /// The link block in one type: `plain`, `html`.
    Link(&'static str),
    /// The link block in both types.
    Block,
    Frame(Multipart<'a>),
}

/// A frame to be written.
struct Multipart<'a> {
    subtype: String,
    parameters: Vec<(&'static str, HeaderText)>,
    children: Vec<Node<'a>>,
}

fn mixed<'a>(children: Vec<Node<'a>>) -> Node<'a> {
    Node::Frame(Multipart { subtype: "mixed".to_owned(), parameters: Vec::new(), children })
}

/// What stays of a part; none if nothing does.
fn prune<'a>(anatomy: &Anatomy<'a>, part: &'a Part) -> Option<Node<'a>> {
    let nature = anatomy.nature(part);
    match nature {
        Nature::File => None,
        Nature::Frame if !is_signed(part) => {
            let mut children: Vec<Node<'a>> = part.children.iter().filter_map(|child| prune(anatomy, child)).collect();
            if children.len() < 2 {
                return children.pop();
            }
            let parameters = FRAME_PARAMETERS
                .iter()
                .filter_map(|&name| part.media_type.parameter(name).map(|value| (name, HeaderText::new(value))))
                .collect();
            Some(Node::Frame(Multipart { subtype: frame_subtype(&part.media_type.subtype), parameters, children }))
        }
        Nature::Frame | Nature::Text | Nature::Html | Nature::Picture | Nature::Apparatus => Some(Node::Kept(part, nature)),
    }
}

/// RFC 2046 §5.1.7: an unknown multipart is treated as mixed, and so it is written.
fn frame_subtype(subtype: &str) -> String {
    if matches!(subtype, "alternative" | "related" | "report" | "parallel") { subtype.to_owned() } else { "mixed".to_owned() }
}

/// What a reader may be shown of a node.
#[derive(Default, Clone, Copy)]
struct Shows {
    plain: usize,
    html: usize,
    alternatives: usize,
}

impl Shows {
    fn of(anatomy: &Anatomy<'_>, node: &Node<'_>) -> Self {
        let mut shows = Self::default();
        shows.count(anatomy, node);
        shows
    }

    fn count(&mut self, anatomy: &Anatomy<'_>, node: &Node<'_>) {
        match node {
            Node::Kept(part, nature) => self.count_part(anatomy, part, *nature),
            Node::Link(_) | Node::Block => {}
            Node::Frame(frame) => {
                self.alternatives += usize::from(frame.subtype == "alternative");
                frame.children.iter().for_each(|child| self.count(anatomy, child));
            }
        }
    }

    fn count_part(&mut self, anatomy: &Anatomy<'_>, part: &Part, nature: Nature) {
        match nature {
            Nature::Text => self.plain += 1,
            Nature::Html => self.html += 1,
            Nature::Frame => {
                self.alternatives += usize::from(part.media_type.is("multipart", "alternative"));
                part.children.iter().for_each(|child| self.count_part(anatomy, child, anatomy.nature(child)));
            }
            Nature::Picture | Nature::Apparatus | Nature::File => {}
        }
    }

    const fn is_nothing(self) -> bool {
        self.plain + self.html == 0
    }

    /// The block in the type of what is shown.
    fn link<'a>(self) -> Node<'a> {
        match self {
            Self { alternatives: 1.., .. } => Node::Block,
            Self { html: 1.., .. } => Node::Link("html"),
            Self { .. } => Node::Link("plain"),
        }
    }
}

/// Puts the link block behind each body that a reader may choose.
fn with_block<'a>(anatomy: &Anatomy<'a>, node: Node<'a>) -> Node<'a> {
    let shows = Shows::of(anatomy, &node);
    if shows.is_nothing() {
        return mixed(vec![Node::Block, node]);
    }
    let Node::Frame(mut frame) = node else { return mixed(vec![node, shows.link()]) };
    if frame.subtype == "alternative" {
        let shown = |child: Node<'a>| if Shows::of(anatomy, &child).is_nothing() { child } else { with_block(anatomy, child) };
        frame.children = frame.children.into_iter().map(shown).collect();
        return Node::Frame(frame);
    }
    let chosen = |child: &Node<'a>| matches!(child, Node::Frame(_)) && Shows::of(anatomy, child).alternatives > 0;
    match (frame.subtype.as_str(), frame.children.iter().rposition(chosen)) {
        ("related" | "mixed", Some(choice)) => {
            let into = |(at, child)| if at == choice { with_block(anatomy, child) } else { child };
            frame.children = frame.children.into_iter().enumerate().map(into).collect();
            Node::Frame(frame)
        }
        ("mixed", None) => {
            frame.children.push(shows.link());
            Node::Frame(frame)
        }
        _ => mixed(vec![Node::Frame(frame), shows.link()]),
    }
}

/// Writes the tree as a rope: what is kept as slices, what is new in small pieces between them.
struct Writer<'a> {
    anatomy: &'a Anatomy<'a>,
    letter: &'a Letter,
    seed: [u8; 16],
    count: u32,
    rope: Vec<Bytes>,
    pending: BytesMut,
}

impl Writer<'_> {
    fn node(&mut self, node: &Node<'_>) {
        match node {
            Node::Kept(part, _) => self.kept(part),
            Node::Link(subtype) => self.written(&link(self.letter, subtype)),
            Node::Block => self.written(&block(self.letter)),
            Node::Frame(frame) => {
                let boundary = self.boundary();
                for field in self.frame_fields(frame, &boundary) {
                    self.pending.put_slice(field.raw());
                }
                self.text("\r\n");
                self.children(&boundary, &frame.children);
            }
        }
    }

    fn children(&mut self, boundary: &str, children: &[Node<'_>]) {
        for child in children {
            self.text(&format!("--{boundary}\r\n"));
            self.node(child);
            self.text("\r\n");
        }
        self.text(&format!("--{boundary}--"));
    }

    /// A part as it came in. The outermost one has its description in the header of the message.
    fn kept(&mut self, part: &Part) {
        let message = self.anatomy.message;
        if part.id != message.root().id {
            self.slice(message.raw(part));
            return;
        }
        for field in part.header.fields().iter().filter(|field| field.name().to_ascii_lowercase().starts_with("content-")) {
            self.pending.put_slice(field.raw());
        }
        self.text("\r\n");
        self.slice(message.body(part));
    }

    fn written(&mut self, content: &Content) {
        self.count += 1;
        let (fields, body) = entity(content, &derived(self.seed, self.count));
        for field in fields {
            self.pending.put_slice(field.raw());
        }
        self.text("\r\n");
        self.pending.put_slice(body.strip_suffix(b"\r\n").unwrap_or(&body));
    }

    fn frame_fields(&self, frame: &Multipart<'_>, boundary: &str) -> Vec<HeaderField> {
        let mut parameters = frame.parameters.clone();
        parameters.push(("boundary", HeaderText::new(boundary)));
        let mut fields =
            vec![compose::parameterised("Content-Type", &HeaderText::new(&format!("multipart/{}", frame.subtype)), &parameters)];
        // RFC 2045 §6.4: a multipart says so when one of its parts is not seven-bit.
        if !frame.children.iter().all(|child| self.is_seven_bit(child)) {
            fields.push(compose::structured("Content-Transfer-Encoding", &HeaderText::new("8bit")));
        }
        fields
    }

    fn is_seven_bit(&self, node: &Node<'_>) -> bool {
        match node {
            Node::Kept(part, _) => self.anatomy.message.raw(part).is_ascii(),
            Node::Link(_) | Node::Block => true,
            Node::Frame(frame) => frame.children.iter().all(|child| self.is_seven_bit(child)),
        }
    }

    /// 128 bits from the seed: no part that came in can hold it. All have one length, so none is
    /// the beginning of another.
    fn boundary(&mut self) -> String {
        self.count += 1;
        format!("waxseal-{}", data_encoding::HEXLOWER.encode(&derived(self.seed, self.count)))
    }

    fn text(&mut self, text: &str) {
        self.pending.put_slice(text.as_bytes());
    }

    fn slice(&mut self, octets: Bytes) {
        if !self.pending.is_empty() {
            self.rope.push(self.pending.split().freeze());
        }
        if !octets.is_empty() {
            self.rope.push(octets);
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.slice(Bytes::new());
        self.rope
    }
}

fn link(letter: &Letter, subtype: &'static str) -> Content {
    Content::Text { subtype, text: if subtype == "html" { letter.html.clone() } else { letter.text.clone() } }
}

fn block(letter: &Letter) -> Content {
    Content::Multipart { subtype: "alternative", parameters: Vec::new(), parts: vec![link(letter, "plain"), link(letter, "html")] }
}

/// New content as the fields that describe it and its body. MIME-Version belongs to messages only.
fn entity(content: &Content, seed: &[u8; 16]) -> (Vec<HeaderField>, Bytes) {
    let octets = compose::message(Vec::new(), content.clone(), seed);
    let mut fields: Vec<HeaderField> = Vec::new();
    let mut start = 0;
    let mut end = 0;
    for line in octets.split_inclusive(|&octet| octet == b'\n') {
        let continues = line.starts_with(b" ") || line.starts_with(b"\t");
        if !continues && end > start {
            fields.push(described(octets.slice(start..end)));
            start = end;
        }
        end += line.len();
        if line == b"\r\n" {
            break;
        }
    }
    fields.retain(|field| !field.is("MIME-Version"));
    (fields, octets.slice(end..))
}

fn described(raw: Bytes) -> HeaderField {
    let name = raw.iter().position(|&octet| octet == b':').unwrap_or(raw.len());
    HeaderField::new(raw, name)
}

/// Independent octets from one seed.
fn derived(seed: [u8; 16], number: u32) -> [u8; 16] {
    let digest = Sha256::new().chain_update(b"waxseal boundary").chain_update(seed).chain_update(number.to_be_bytes()).finalize();
    let mut octets = [0; 16];
    octets.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    octets
}

/// See the module: makes Exchange join the bodies instead of listing them as files.
const BODIES_IN_SEQUENCE: &str = "1.0 (bodies in sequence, like Apple Mail)";

/// Parameters of a frame that its readers need. RFC 2387 §3, RFC 6522 §3.
const FRAME_PARAMETERS: [&str; 4] = ["type", "start", "start-info", "report-type"];
