//! What is wrong in a file that a person wrote: where, what, and what to do.
//!
//! ```text
//! policies/20-finance.toml:14: unknown protection "secure-mesage"
//!     did you mean "secure-message"?  protections: pass, public-files, secure-files, secure-message
//! ```

use std::fmt;
use std::path::{Path, PathBuf};

/// One mistake. Lower case, names the thing, says what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file, as the operator names it.
    pub file: PathBuf,
    /// Counted from 1; none when it is about the whole file.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub help: Option<String>,
}

impl Mistake {
    /// A mistake at a byte offset of the file's text.
    pub fn at(file: &Path, text: &str, offset: usize, what: impl Into<String>) -> Self {
        let line = text.bytes().take(offset).filter(|&octet| octet == b'\n').count() + 1;
        Self { file: file.to_owned(), line: Some(line), what: what.into(), help: None }
    }

    /// A mistake about the whole file.
    pub fn whole(file: &Path, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, what: what.into(), help: None }
    }

    /// The same with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.what)?;
        match &self.help {
            Some(help) => write!(f, "\n    {help}"),
            None => Ok(()),
        }
    }
}

/// The known word that is nearest to a mistyped one, if any is near.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|&candidate| (distance(word, candidate), candidate))
        .min()
        .filter(|(edits, _)| *edits <= NEAR)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance, one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (to, &above) in b.chars().zip(row.iter().skip(1)) {
            let edits = (diagonal + usize::from(from != to)).min(above + 1).min(left + 1);
            diagonal = above;
            left = edits;
            next.push(edits);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// More edits than this is another word.
const NEAR: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_offered_and_a_far_one_is_not() {
        let known = ["pass", "public-files", "secure-files", "secure-message"];
        assert_eq!(nearest("secure-mesage", &known), Some("secure-message"));
        assert_eq!(nearest("publik-file", &known), Some("public-files"));
        assert_eq!(nearest("encrypt everything", &known), None);
    }
}
