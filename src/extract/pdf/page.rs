//! What a page shows: its content streams are run as far as text needs it.
//!
//! Positions are followed only to tell a new line and a gap between words; nothing is laid out.

use std::collections::BTreeMap;

use lopdf::content::{Content, Operation};
use lopdf::{Dictionary, Document, Encoding, Object, ObjectId};

use super::super::Why;
use super::super::budget::{Budget, ENTRY_MAX};
use super::{fault, is_named};

/// What came out of a page or a form.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// Text in the order in which it is drawn.
    pub text: String,
    /// What is said of pieces of it: the words for an ornament, an abbreviation written out.
    pub beside: String,
    /// Text was drawn in a font without a way back to letters.
    pub undecoded: bool,
    /// Pictures are drawn.
    pub pictures: bool,
    /// Anything is drawn.
    pub draws: bool,
}

/// Runs content streams; each form only once.
pub struct Painter<'a> {
    document: &'a Document,
    /// Forms that were run; none while one is running.
    forms: BTreeMap<ObjectId, Option<Shown>>,
}

/// Fonts and drawings by the names that a content stream uses.
struct Resources<'a> {
    fonts: Vec<(Vec<u8>, Font<'a>)>,
    drawings: BTreeMap<Vec<u8>, ObjectId>,
}

/// The ways from codes to letters, the best first.
struct Font<'a> {
    ways: Vec<Encoding<'a>>,
}

impl<'a> Painter<'a> {
    pub const fn new(document: &'a Document) -> Self {
        Self { document, forms: BTreeMap::new() }
    }

    /// Whether the form was run already.
    pub fn has_drawn(&self, id: ObjectId) -> bool {
        self.forms.contains_key(&id)
    }

    pub fn page(&mut self, id: ObjectId, budget: &mut Budget) -> Result<Shown, Why> {
        let content = self.content(id)?;
        let (direct, ids) = self.document.get_page_resources(id).map_err(|error| fault(&error))?;
        let referred = ids.iter().filter_map(|id| self.document.get_dictionary(*id).ok());
        let dictionaries: Vec<&Dictionary> = direct.into_iter().chain(referred).collect();
        self.run(&content, &dictionaries, budget)
    }

    /// The page's drawing. A stream that does not decode is said so: taken as it stands, it would look
    /// like a page without text.
    fn content(&self, id: ObjectId) -> Result<Vec<u8>, Why> {
        let mut content = Vec::new();
        for part in self.document.get_page_contents(id) {
            let Ok(stream) = self.document.get_object(part).and_then(Object::as_stream) else { continue };
            let left = (ENTRY_MAX / 2).saturating_sub(content.len());
            content.extend(stream.get_plain_content_with_limit(left).map_err(|error| fault(&error))?);
            content.push(b'\n');
        }
        Ok(content)
    }

    pub fn form(&mut self, id: ObjectId, budget: &mut Budget) -> Result<Shown, Why> {
        match self.forms.get(&id) {
            Some(Some(shown)) => return Ok(shown.clone()),
            // A form that draws itself shows nothing new.
            Some(None) => return Ok(Shown::default()),
            None => {}
        }
        let stream = self.document.get_object(id).and_then(Object::as_stream).map_err(|error| fault(&error))?;
        self.forms.insert(id, None);
        budget.entry().map_err(|_| Why::OverBudget)?;
        // Forms in forms: the running ones are the depth.
        if self.forms.values().filter(|shown| shown.is_none()).count() > FORM_DEPTH {
            return Err(Why::OverBudget);
        }
        let content = stream.get_plain_content_with_limit(ENTRY_MAX / 2).map_err(|error| fault(&error))?;
        let resources = stream.dict.get_deref(b"Resources", self.document).and_then(Object::as_dict).ok();
        let shown = self.run(&content, &resources.into_iter().collect::<Vec<_>>(), budget)?;
        self.forms.insert(id, Some(shown.clone()));
        Ok(shown)
    }

    fn run(&mut self, content: &[u8], dictionaries: &[&Dictionary], budget: &mut Budget) -> Result<Shown, Why> {
        budget.expand(content.len()).map_err(|_| Why::OverBudget)?;
        let document = self.document;
        let fonts = font_dictionaries(document, dictionaries);
        let mut resources = Resources { fonts: Vec::new(), drawings: drawings(document, dictionaries) };
        for (name, unicode, plain) in &fonts {
            resources.fonts.push((name.clone(), Font::new(document, [unicode.as_ref(), Some(plain)])?));
        }
        let mut pen = Pen::default();
        for operation in Content::decode_iter(content) {
            let operation = operation.map_err(|error| fault(&error))?;
            match drawing(&operation, &resources) {
                Some(id) => self.draw(id, &mut pen, budget)?,
                None => pen.apply(&operation, &resources),
            }
            if pen.shown.text.len() > ENTRY_MAX {
                return Err(Why::OverBudget);
            }
        }
        Ok(pen.shown)
    }

    fn draw(&mut self, id: ObjectId, pen: &mut Pen, budget: &mut Budget) -> Result<(), Why> {
        pen.shown.draws = true;
        let Ok(stream) = self.document.get_object(id).and_then(Object::as_stream) else { return Ok(()) };
        if is_named(&stream.dict, b"Subtype", b"Image") {
            pen.shown.pictures = true;
        } else if is_named(&stream.dict, b"Subtype", b"Form") {
            let inner = self.form(id, budget)?;
            pen.line();
            pen.shown.text.push_str(&inner.text);
            pen.line();
            pen.shown.beside.push_str(&inner.beside);
            pen.shown.undecoded |= inner.undecoded;
            pen.shown.pictures |= inner.pictures;
        }
        Ok(())
    }
}

fn drawing(operation: &Operation, resources: &Resources<'_>) -> Option<ObjectId> {
    if operation.operator != "Do" {
        return None;
    }
    let name = operation.operands.first()?.as_name().ok()?;
    resources.drawings.get(name).copied()
}

/// Each font with a copy that leads through its own table to Unicode, where it has one.
fn font_dictionaries(document: &Document, dictionaries: &[&Dictionary]) -> Vec<(Vec<u8>, Option<Dictionary>, Dictionary)> {
    let mut fonts = Vec::new();
    for dictionary in dictionaries {
        let Ok(named) = dictionary.get_deref(b"Font", document).and_then(Object::as_dict) else { continue };
        for (name, font) in named {
            let Ok((_, Object::Dictionary(font))) = document.dereference(font) else { continue };
            let mut unicode = font.clone();
            unicode.remove(b"Encoding");
            let unicode = font.has(b"ToUnicode").then_some(unicode);
            fonts.push((name.clone(), unicode, font.clone()));
        }
    }
    fonts
}

fn drawings(document: &Document, dictionaries: &[&Dictionary]) -> BTreeMap<Vec<u8>, ObjectId> {
    let mut found = BTreeMap::new();
    for dictionary in dictionaries {
        let Ok(named) = dictionary.get_deref(b"XObject", document).and_then(Object::as_dict) else { continue };
        for (name, drawing) in named {
            if let Ok(id) = drawing.as_reference() {
                found.entry(name.clone()).or_insert(id);
            }
        }
    }
    found
}

impl<'a> Font<'a> {
    fn new(document: &'a Document, dictionaries: [Option<&'a Dictionary>; 2]) -> Result<Self, Why> {
        let mut ways = Vec::new();
        for dictionary in dictionaries.into_iter().flatten() {
            match dictionary.get_font_encoding_with_limit(document, ENTRY_MAX / 8) {
                // Codes of a composite font have two octets or more: a table of single octets is only a guess.
                Ok(Encoding::OneByteEncoding(_)) if is_named(dictionary, b"Subtype", b"Type0") => {}
                Ok(way) => ways.push(way),
                Err(error) if fault(&error) == Why::OverBudget => return Err(Why::OverBudget),
                Err(_) => {}
            }
        }
        Ok(Self { ways })
    }

    /// The first way that knows every code.
    fn letters(&self, codes: &[u8]) -> Option<String> {
        let mute = codes.iter().all(|code| *code <= b' ');
        self.ways
            .iter()
            .filter_map(|way| way.bytes_to_string(codes).ok())
            .find(|text| !text.contains('\u{fffd}') && (mute || !text.is_empty()))
    }
}

/// Where text goes, and where the last of it stood.
#[derive(Default)]
struct Pen {
    shown: Shown,
    font: Option<usize>,
    size: f32,
    /// Letters shown since the last move.
    letters: usize,
    /// Scale and place of the text matrix: a, e, f.
    matrix: (f32, f32, f32),
}

impl Pen {
    fn apply(&mut self, operation: &Operation, resources: &Resources<'_>) {
        let operands = operation.operands.as_slice();
        match operation.operator.as_str() {
            "Tf" => {
                let name = operands.first().and_then(|name| name.as_name().ok());
                self.font = resources.fonts.iter().position(|(known, _)| Some(known.as_slice()) == name);
                self.size = operands.get(1).and_then(|size| size.as_float().ok()).unwrap_or(1.0).abs();
            }
            "Td" | "TD" => self.moved(float(operands, 0), float(operands, 1)),
            "Tm" => {
                let (scale, x, y) = (float(operands, 0), float(operands, 4), float(operands, 5));
                let by = if self.matrix.0.abs() > f32::EPSILON { self.matrix.0 } else { 1.0 };
                self.moved((x - self.matrix.1) / by, (y - self.matrix.2) / by);
                self.matrix = (scale, x, y);
            }
            "T*" | "ET" => self.line(),
            // ISO 32000-1 §14.9.
            "BDC" | "DP" => self.mark(operands.get(1)),
            "Tj" => self.show(operands.first(), resources),
            "'" => {
                self.line();
                self.show(operands.first(), resources);
            }
            "\"" => {
                self.line();
                self.show(operands.get(2), resources);
            }
            "TJ" => {
                for piece in operands.first().and_then(|pieces| pieces.as_array().ok()).into_iter().flatten() {
                    match piece.as_float() {
                        // Thousandths of the font size, against the direction of writing.
                        Ok(shift) if shift < -WORD_GAP * 1000.0 => self.space(),
                        Ok(_) => {}
                        Err(_) => self.show(Some(piece), resources),
                    }
                }
            }
            "BI" => {
                self.shown.pictures = true;
                self.shown.draws = true;
            }
            "f" | "F" | "f*" | "B" | "B*" | "b" | "b*" | "S" | "s" | "sh" => self.shown.draws = true,
            _ => {}
        }
    }

    fn mark(&mut self, properties: Option<&Object>) {
        let Some(Object::Dictionary(properties)) = properties else { return };
        for text in properties.iter().filter_map(|(_, value)| value.as_str().ok()) {
            self.shown.beside.push_str(&super::text_string(text));
            self.shown.beside.push('\n');
        }
    }

    fn show(&mut self, string: Option<&Object>, resources: &Resources<'_>) {
        let Some(codes) = string.and_then(|string| string.as_str().ok()) else { return };
        self.shown.draws = true;
        let font = self.font.and_then(|index| resources.fonts.get(index)).map(|(_, font)| font);
        let text = match font {
            Some(font) => font.letters(codes),
            // Readers fall back to a western font when a name is unknown.
            None => Some(super::text_string(codes)),
        };
        match text {
            Some(text) => {
                self.letters += text.chars().count();
                self.shown.text.push_str(&text);
            }
            None => self.shown.undecoded |= !codes.is_empty(),
        }
    }

    /// A new line, a gap between words, or only the next letter of the same word.
    fn moved(&mut self, x: f32, y: f32) {
        let size = if self.size > f32::EPSILON { self.size } else { 1.0 };
        #[allow(clippy::cast_precision_loss, reason = "an estimate of a width")]
        let shown = self.letters as f32 * size;
        if y.abs() > size * LINE_SHIFT {
            self.line();
        } else if x < 0.0 || x > shown * LETTER_WIDTH + size * WORD_GAP {
            self.space();
        }
        self.letters = 0;
    }

    fn line(&mut self) {
        self.letters = 0;
        if !self.shown.text.is_empty() && !self.shown.text.ends_with('\n') {
            self.shown.text.push('\n');
        }
    }

    fn space(&mut self) {
        if !self.shown.text.is_empty() && !self.shown.text.ends_with([' ', '\n']) {
            self.shown.text.push(' ');
        }
    }
}

fn float(operands: &[Object], index: usize) -> f32 {
    operands.get(index).and_then(|operand| operand.as_float().ok()).unwrap_or_default()
}

/// In parts of the font size: less is kerning.
const WORD_GAP: f32 = 0.2;
/// A raised or lowered letter stays on its line.
const LINE_SHIFT: f32 = 0.5;
/// A wide letter of an ordinary font.
const LETTER_WIDTH: f32 = 0.65;
/// Forms that draw forms.
const FORM_DEPTH: usize = 16;
