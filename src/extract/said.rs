//! What attributes say, as text beside the text of a document.
//!
//! Each value once, below the other, and so apart that two of them never read as one. Values that can
//! only measure are left out: a page has thousands of them.

use std::collections::HashSet;

use crate::mail::decode;

/// Values as they are met.
#[derive(Debug, Default)]
pub struct Said {
    text: String,
    known: HashSet<String>,
}

impl Said {
    /// Takes in a value, and what it reads as where percent signs are undone.
    pub fn push(&mut self, value: &str) {
        self.push_once(value.trim());
        if value.contains('%') {
            self.push_once(decode::url(value).trim());
        }
    }

    /// All of it, a value a line; empty when nothing was said.
    pub fn finish(self) -> String {
        self.text
    }

    fn push_once(&mut self, value: &str) {
        if !speaks(value) || self.known.contains(value) {
            return;
        }
        self.known.insert(value.to_owned());
        // Digits on both sides of a line break are read as one number.
        if value.starts_with(char::is_numeric) && self.text.trim_end().ends_with(char::is_numeric) {
            self.text.push_str(";\n");
        }
        self.text.push_str(value);
        self.text.push('\n');
    }
}

/// Whether a value can be more than a measure: it has letters, or digits enough for a number of
/// something.
fn speaks(value: &str) -> bool {
    value.contains(char::is_alphabetic) || value.chars().filter(|c| c.is_numeric()).count() >= NUMBER_MIN
}

/// Measures and colours have fewer digits or letters beside them; numbers of people have more.
const NUMBER_MIN: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_once_and_apart() {
        let mut said = Said::default();
        for value in [" a scan ", "100%", "0", "850709", "9805123", "a scan", "", "x%2Dy", "#ffffff", "1\u{a0}234"] {
            said.push(value);
        }
        assert_eq!(said.finish(), "a scan\n850709\n;\n9805123\nx%2Dy\nx-y\n#ffffff\n");
    }
}
