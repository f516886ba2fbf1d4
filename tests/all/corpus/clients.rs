//! How real clients write: boundaries, encodings, names, preambles.

use data_encoding::BASE64;
use encoding_rs::Encoding;

use super::Specimen;
use super::tree::{Content, File, Leaf, Node, Purpose};

/// A mail client's habits.
pub struct Client {
    name: &'static str,
    /// Fields of its own, above the content's.
    fields: &'static str,
    boundary: fn(usize) -> String,
    /// How Content-Type carries the boundary: folded, quoted or not.
    boundary_parameter: fn(&str) -> String,
    preamble: &'static str,
    epilogue: &'static str,
    text: Text,
    names: Names,
    /// Characters in a line of base64.
    width: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    Eight,
    Quoted,
    Base64,
}

#[derive(Clone, Copy)]
enum Names {
    /// Encoded words in `name` and `filename`, several of them in a long one.
    Words,
    /// Encoded words in `name`, percent encoding in `filename*`.
    WordsAndExtended,
    /// The same with continuations.
    WordsAndContinued,
    /// `filename*` only, continued where long.
    Continued,
    /// `filename` in ASCII beside `filename*`.
    FallbackAndExtended,
    /// Eight bits as they are, in quotes.
    Raw,
}

#[expect(clippy::too_many_lines, reason = "a table")]
pub fn all() -> Vec<Client> {
    let folded = |boundary: &str| format!(";\r\n\tboundary=\"{boundary}\"");
    let beside = |boundary: &str| format!("; boundary=\"{boundary}\"");
    let bare = |boundary: &str| format!("; boundary={boundary}");
    let common = Client {
        name: "",
        fields: "",
        boundary: |number| format!("=_{number:04}_"),
        boundary_parameter: beside,
        preamble: "",
        epilogue: "",
        text: Text::Quoted,
        names: Names::Words,
        width: 76,
    };
    vec![
        Client {
            name: "outlook",
            fields: "X-Mailer: Microsoft Outlook 16.0\r\nThread-Index: AQHZ1234567890==\r\nContent-Language: sv\r\n",
            boundary: |number| format!("----=_NextPart_{number:03}_0012_01D9ABCD.{:08X}", number * 7919),
            boundary_parameter: folded,
            preamble: "This is a multi-part message in MIME format.\r\n\r\n",
            epilogue: "\r\n",
            ..common
        },
        Client {
            name: "exchange",
            fields: "Accept-Language: sv-SE, en-US\r\nX-MS-Has-Attach: yes\r\nX-MS-TNEF-Correlator:\r\n",
            boundary: |number| format!("_{number:03}_AM0PR01MB{:08}AM0PR01MB0000eurp_", number * 131),
            boundary_parameter: folded,
            text: Text::Base64,
            ..common
        },
        Client {
            name: "apple",
            fields: "X-Mailer: Apple Mail (2.3696.80.82.1.1)\r\n",
            boundary: |number| format!("Apple-Mail=_{number:08X}-1234-4ABC-8DEF-0123456789AB"),
            boundary_parameter: folded,
            preamble: "\r\n",
            epilogue: "\r\n",
            names: Names::WordsAndExtended,
            ..common
        },
        Client {
            name: "gmail",
            fields: "X-Gm-Message-State: AOJu0Y\r\nX-Google-Smtp-Source: AGHT+I\r\n",
            boundary: |number| format!("000000000000{number:04x}0605f1c0ffee"),
            text: Text::Quoted,
            ..common
        },
        Client {
            name: "thunderbird",
            fields: "User-Agent: Mozilla Thunderbird\r\nContent-Language: en-US\r\n",
            boundary: |number| format!("------------{number:04}kJh7GfDsA1"),
            boundary_parameter: |boundary| format!(";\r\n boundary=\"{boundary}\""),
            preamble: "This is a multi-part message in MIME format.\r\n",
            epilogue: "\r\n",
            text: Text::Eight,
            names: Names::WordsAndContinued,
            width: 72,
        },
        Client {
            name: "mutt",
            fields: "User-Agent: Mutt/2.2.12 (2023-09-09)\r\n",
            boundary: |number| format!("{number:02}z+Ko/7Jq?hM:x'k"),
            text: Text::Eight,
            names: Names::Continued,
            epilogue: "\r\n",
            ..common
        },
        Client {
            name: "printer",
            fields: "X-Mailer: MFP 5.1\r\nX-Priority: 3 (Normal)\r\n",
            boundary: |number| format!("DC_BOUND_PRE_<{number:05}.0000>"),
            text: Text::Base64,
            names: Names::Raw,
            width: 60,
            ..common
        },
        Client {
            name: "php",
            fields: "X-Mailer: PHPMailer 6.8.0\r\nX-PHP-Originating-Script: 33:send.php\r\n",
            boundary: |number| format!("b{number}=_q9w8e7r6t5"),
            boundary_parameter: bare,
            preamble: "This is a multi-part message in MIME format.\r\n\r\n",
            text: Text::Eight,
            names: Names::Raw,
            ..common
        },
        Client {
            name: "library",
            fields: "User-Agent: mailer 1.0\r\n",
            boundary: |number| format!("--_NmP-abcdef0123456789-Part_{number}."),
            text: Text::Quoted,
            names: Names::FallbackAndExtended,
            epilogue: "\r\n",
            ..common
        },
    ]
}

impl Client {
    pub fn write(&self, shape: &str, tree: &Node) -> Specimen {
        let mut writer = Writer { client: self, boundaries: 0, leaves: Vec::new(), within: None };
        let mut bytes = self.header("Räkning för april").into_bytes();
        bytes.extend(writer.part(tree));
        Specimen { name: format!("{}-{shape}", self.name), bytes, leaves: writer.leaves }
    }

    fn header(&self, subject: &str) -> String {
        let subject = if matches!(self.names, Names::Raw) { subject.to_owned() } else { words(subject) };
        format!(
            "Received: from client.a.example ([192.0.2.7])\r\n\tby mail.a.example with ESMTPSA id 4abc; Mon, 4 May 2026 10:00:00 +0200\r\n\
             From: {} <asa@a.example>\r\nTo: \"Bo, the other\" <bo@b.example>,\r\n\tcarl@c.example\r\nSubject: {subject}\r\n\
             Date: Mon, 4 May 2026 10:00:00 +0200\r\nMessage-ID: <{}.1@a.example>\r\n{}MIME-Version: 1.0\r\n",
            words("Åsa Öberg"),
            self.name,
            self.fields
        )
    }
}

struct Writer<'c> {
    client: &'c Client,
    boundaries: usize,
    leaves: Vec<Leaf>,
    /// What everything here is, whatever it is by itself.
    within: Option<Purpose>,
}

impl Writer<'_> {
    /// Content fields, blank line, body.
    fn part(&mut self, node: &Node) -> Vec<u8> {
        match node {
            Node::Text { subtype, text, charset, parameters } => self.text((subtype, parameters), text, charset),
            Node::File(file) => self.file(file),
            Node::Multi { subtype, parameters, parts } => self.multi((subtype, parameters), parts),
            Node::Forward { subject, inner } => {
                let mut bytes = b"Content-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n".to_vec();
                bytes.extend(self.client.header(subject).into_bytes());
                let around = self.within.replace(self.within.unwrap_or(Purpose::File));
                bytes.extend(self.part(inner));
                self.within = around;
                bytes
            }
        }
    }

    fn multi(&mut self, (subtype, parameters): (&str, &str), parts: &[Node]) -> Vec<u8> {
        let around = self.within;
        if subtype == "encrypted" || (subtype == "signed" && parts.iter().any(has_file)) {
            self.within = Some(Purpose::Sealed);
        }
        self.boundaries += 1;
        let boundary = (self.client.boundary)(self.boundaries);
        let parameter = (self.client.boundary_parameter)(&boundary);
        let mut bytes = format!("Content-Type: multipart/{subtype}{parameters}{parameter}\r\n\r\n{}", self.client.preamble).into_bytes();
        for (number, part) in parts.iter().enumerate() {
            bytes.extend(format!("{}--{boundary}\r\n", if number == 0 { "" } else { "\r\n" }).into_bytes());
            bytes.extend(self.part(part));
        }
        bytes.extend(format!("\r\n--{boundary}--\r\n{}", self.client.epilogue).into_bytes());
        self.within = around;
        bytes
    }

    fn text(&mut self, (subtype, parameters): (&str, &str), text: &str, charset: &'static str) -> Vec<u8> {
        let octets = Encoding::for_label(charset.as_bytes()).unwrap().encode(text).0.into_owned();
        let own = if subtype == "calendar" { Purpose::Machine } else { Purpose::Body };
        let purpose = self.within.unwrap_or(own);
        self.leaves.push(Leaf { kind: format!("text/{subtype}"), name: None, content: Content::Text(text.to_owned()), purpose });
        let is_long = text.lines().any(|line| line.len() > 998);
        let is_seven = octets.is_ascii();
        let (encoding, body) = match self.client.text {
            Text::Eight if !is_long => (if is_seven { "7bit" } else { "8bit" }, octets),
            Text::Eight | Text::Quoted => ("quoted-printable", quoted(&octets)),
            Text::Base64 => ("base64", base64(&octets, self.client.width)),
        };
        // Outlook and Gmail write the label in quotes, others in capitals.
        let label = if matches!(self.client.names, Names::Words) { format!("\"{charset}\"") } else { charset.to_uppercase() };
        let mut bytes =
            format!("Content-Type: text/{subtype}; charset={label}{parameters}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n")
                .into_bytes();
        bytes.extend(body);
        bytes
    }

    fn file(&mut self, file: &File) -> Vec<u8> {
        let kind = file.kind.split(';').next().unwrap();
        let own = match kind {
            "application/pkcs7-mime" => Purpose::Sealed,
            "application/ics" | "application/pgp-signature" | "application/pkcs7-signature" => Purpose::Machine,
            _ if file.id.is_some() => Purpose::Body,
            _ => Purpose::File,
        };
        self.leaves.push(Leaf {
            kind: kind.to_owned(),
            name: Some(file.name.to_owned()),
            content: Content::Octets(file.octets.clone()),
            purpose: self.within.unwrap_or(own),
        });
        let (name, file_name) = self.names(file.name);
        let id = file.id.map(|id| format!("Content-ID: <{id}>\r\nX-Attachment-Id: {id}\r\n")).unwrap_or_default();
        let mut bytes = format!(
            "Content-Type: {}{name}\r\nContent-Transfer-Encoding: base64\r\n{id}Content-Disposition: {}{file_name}\r\n\r\n",
            file.kind, file.disposition
        )
        .into_bytes();
        bytes.extend(base64(&file.octets, self.client.width));
        bytes
    }

    /// The parameters of Content-Type and of Content-Disposition.
    fn names(&self, name: &str) -> (String, String) {
        let quoted = |key: &str| format!(";\r\n\t{key}=\"{name}\"");
        let worded = |key: &str| if name.is_ascii() { quoted(key) } else { format!(";\r\n\t{key}=\"{}\"", words(name)) };
        let extended = if name.is_ascii() { quoted("filename") } else { format!(";\r\n\tfilename*=utf-8''{}", percent(name)) };
        match self.client.names {
            Names::Words => (worded("name"), worded("filename")),
            Names::WordsAndExtended => (worded("name"), extended),
            Names::WordsAndContinued => (worded("name"), continued(name)),
            Names::Continued => (String::new(), continued(name)),
            Names::FallbackAndExtended if !name.is_ascii() => {
                let fallback: String = name.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
                (String::new(), format!(";\r\n filename=\"{fallback}\"{extended}"))
            }
            Names::FallbackAndExtended => (String::new(), quoted("filename")),
            Names::Raw => (format!("; name=\"{name}\""), format!("; filename=\"{name}\"")),
        }
    }
}

fn has_file(node: &Node) -> bool {
    match node {
        Node::Text { .. } => false,
        Node::File(file) => !file.kind.ends_with("-signature"),
        Node::Multi { parts, .. } => parts.iter().any(has_file),
        Node::Forward { .. } => true,
    }
}

/// RFC 2047, base64, a few characters a word.
fn words(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let word = |chunk: &[char]| format!("=?UTF-8?B?{}?=", BASE64.encode(chunk.iter().collect::<String>().as_bytes()));
    characters.chunks(14).map(word).collect::<Vec<_>>().join("\r\n ")
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(
            |octet| {
                if octet.is_ascii_alphanumeric() || b".-_".contains(&octet) {
                    char::from(octet).to_string()
                } else {
                    format!("%{octet:02X}")
                }
            },
        )
        .collect()
}

/// RFC 2231 continuations as Thunderbird and mutt write them.
fn continued(name: &str) -> String {
    if name.is_ascii() && name.len() < 60 {
        return format!(";\r\n filename=\"{name}\"");
    }
    if name.is_ascii() {
        let pieces = name.as_bytes().chunks(50).enumerate();
        return pieces.map(|(number, piece)| format!(";\r\n filename*{number}=\"{}\"", String::from_utf8_lossy(piece))).collect();
    }
    let characters: Vec<char> = name.chars().collect();
    if characters.len() < 20 {
        return format!("; filename*=UTF-8''{}", percent(name));
    }
    let piece = |(number, piece): (usize, &[char])| {
        format!(";\r\n filename*{number}*={}{}", if number == 0 { "UTF-8''" } else { "" }, percent(&piece.iter().collect::<String>()))
    };
    characters.chunks(14).enumerate().map(piece).collect()
}

pub fn base64(octets: &[u8], width: usize) -> Vec<u8> {
    let encoded = BASE64.encode(octets);
    encoded.as_bytes().chunks(width).flat_map(|line| [line, b"\r\n"].concat()).collect()
}

pub fn quoted(octets: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    let mut width = 0;
    for (at, &octet) in octets.iter().enumerate() {
        let ends = octets[at + 1..].starts_with(b"\r\n") || at + 1 == octets.len();
        match octet {
            b'\r' | b'\n' => {
                encoded.push(octet);
                width = 0;
                continue;
            }
            _ if width > 72 => {
                encoded.extend_from_slice(b"=\r\n");
                width = 0;
            }
            _ => {}
        }
        if octet == b'=' || !(b' '..=b'~').contains(&octet) || (octet == b' ' && ends) {
            encoded.extend(format!("={octet:02X}").into_bytes());
            width += 3;
        } else {
            encoded.push(octet);
            width += 1;
        }
    }
    encoded
}
