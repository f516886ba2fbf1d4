//! What a mail holds, before a client writes it.

/// A part of a mail to be written.
#[derive(Clone)]
pub enum Node {
    Text { subtype: &'static str, text: String, charset: &'static str, parameters: &'static str },
    File(File),
    Multi { subtype: &'static str, parameters: &'static str, parts: Vec<Node> },
    Forward { subject: &'static str, inner: Box<Node> },
}

/// A file as a client attaches it.
#[derive(Clone)]
pub struct File {
    pub kind: &'static str,
    pub name: &'static str,
    pub octets: Vec<u8>,
    pub disposition: &'static str,
    pub id: Option<&'static str>,
}

/// What is to be found in a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    pub kind: String,
    pub name: Option<String>,
    pub content: Content,
    pub purpose: Purpose,
}

/// What its author means by a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be read, or shown in the body.
    Body,
    /// To be saved or opened; all that stands in a forwarded message as well.
    File,
    /// For programs: invitations, codes of reports, signatures.
    Machine,
    /// What is encrypted, or stands inside a signature with a file: nobody takes it apart.
    Sealed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Text(String),
    Octets(Vec<u8>),
}

pub fn plain(text: &str) -> Node {
    Node::Text { subtype: "plain", text: text.to_owned(), charset: "utf-8", parameters: "" }
}

pub fn html(text: &str) -> Node {
    Node::Text { subtype: "html", text: format!("<html><body><p>{text}</p></body></html>"), charset: "utf-8", parameters: "" }
}

pub fn charset(text: &str, charset: &'static str) -> Node {
    Node::Text { subtype: "plain", text: text.to_owned(), charset, parameters: "" }
}

pub fn multi(subtype: &'static str, parts: Vec<Node>) -> Node {
    Node::Multi { subtype, parameters: "", parts }
}

pub fn file(kind: &'static str, name: &'static str, length: usize) -> Node {
    Node::File(File { kind, name, octets: noise(name, length), disposition: "attachment", id: None })
}

pub fn image(name: &'static str, id: &'static str) -> Node {
    Node::File(File { kind: "image/png", name, octets: noise(name, 900), disposition: "inline", id: Some(id) })
}

/// Octets that look random and are the same in every run.
fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut state = seed.bytes().fold(0x9e37_79b9_u32, |state, octet| state.wrapping_mul(31).wrapping_add(u32::from(octet)));
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}
