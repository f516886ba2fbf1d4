//! What strangers chose, made harmless to show.

/// One line without controls and direction marks, not longer than a line can be read.
pub fn one_line(text: &str) -> String {
    let spaced: String = text.chars().take(4 * SHOWN_MAX).map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c }).collect();
    let plain: Vec<&str> = spaced.split(' ').filter(|word| !word.is_empty()).collect();
    let mut line: String = plain.join(" ").chars().filter(|c| !is_direction(*c)).collect();
    if line.chars().count() > SHOWN_MAX {
        line = line.chars().take(SHOWN_MAX).chain(std::iter::once('…')).collect();
    }
    line
}

/// The same, and nothing in it becomes a link in a mail reader: an invisible word joiner stands where
/// a reader would see a host name or a scheme. An address stays as it is, so that it can be copied.
pub fn inert(text: &str) -> String {
    let line = one_line(text);
    if crate::mail::Mailbox::parse(&line).is_ok() {
        return line;
    }
    let mut inert = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        inert.push(c);
        let joins = match c {
            '.' | '@' => chars.peek().is_some_and(|next| next.is_alphanumeric()),
            ':' => chars.peek().is_some_and(|next| !next.is_whitespace()),
            _ => false,
        };
        if joins {
            inert.push(WORD_JOINER);
        }
    }
    inert
}

/// Marks that change the direction of writing, or cannot be seen: they make a name read as another.
const fn is_direction(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{061c}')
}

const WORD_JOINER: char = '\u{2060}';
/// Characters of a name or subject that are shown.
const SHOWN_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_words_stay_words() {
        for (text, expect) in [
            ("Ann Lee", "Ann Lee"),
            ("  Ann\r\nBcc: x  ", "Ann Bcc: x"),
            ("ann@clinic.example", "ann@clinic.example"),
            ("http://evil.example/x", "http:\u{2060}//evil.\u{2060}example/x"),
            ("www.evil.example", "www.\u{2060}evil.\u{2060}example"),
            ("end. Next", "end. Next"),
            ("exe\u{202e}fdp.x", "exefdp.\u{2060}x"),
            ("mailto:a@b.example", "mailto:\u{2060}a@\u{2060}b.\u{2060}example"),
        ] {
            assert_eq!(inert(text), expect, "{text:?}");
        }
        assert_eq!(one_line(&"x".repeat(500)).chars().count(), SHOWN_MAX + 1);
    }
}
