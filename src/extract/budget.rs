//! How much work one attachment may cause: depth, entries, expanded octets, text.
//!
//! A budget that is spent stays spent: what was not looked at is never taken for clean.

/// The budget is gone; the message counts as not inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent;

/// What is left for one attachment and everything inside it.
#[derive(Debug)]
pub struct Budget {
    source: u64,
    expanded: u64,
    entries: usize,
    text: usize,
    spent: bool,
}

impl Budget {
    /// For an attachment of this many octets.
    pub const fn new(source: u64) -> Self {
        Self { source, expanded: 0, entries: 0, text: 0, spent: false }
    }

    /// Whether nothing more may be looked at.
    pub const fn is_spent(&self) -> bool {
        self.spent
    }

    /// One more thing inside a container.
    pub const fn entry(&mut self) -> Result<(), Spent> {
        self.entries = self.entries.saturating_add(1);
        if self.entries > ENTRIES_MAX {
            self.spend()
        }
        self.left()
    }

    /// So many more octets came out of a compressed stream.
    pub const fn expand(&mut self, octets: usize) -> Result<(), Spent> {
        self.expanded = self.expanded.saturating_add(octets as u64);
        let swollen = self.expanded > RATIO_FREE && self.expanded / RATIO_MAX > self.source;
        if self.expanded > EXPANDED_MAX || swollen {
            self.spend()
        }
        self.left()
    }

    /// So many more octets of text are handed out.
    pub const fn text(&mut self, octets: usize) -> Result<(), Spent> {
        self.text = self.text.saturating_add(octets);
        if self.text > TEXT_MAX {
            self.spend()
        }
        self.left()
    }

    /// Whether a container may be opened at this depth.
    pub const fn depth(&mut self, depth: usize) -> Result<(), Spent> {
        if depth > DEPTH_MAX {
            self.spend()
        }
        self.left()
    }

    const fn spend(&mut self) {
        self.spent = true;
    }

    const fn left(&self) -> Result<(), Spent> {
        if self.spent { Err(Spent) } else { Ok(()) }
    }
}

/// Containers in containers; ordinary mail has three (mail, archive, document).
const DEPTH_MAX: usize = 8;
/// Entries of all containers together.
const ENTRIES_MAX: usize = 10_000;
/// Octets out of all compressed streams together.
const EXPANDED_MAX: u64 = 512 * 1024 * 1024;
/// Up to here any ratio is fine: small documents of repeated text compress well.
const RATIO_FREE: u64 = 10 * 1024 * 1024;
/// Expanded octets to octets received.
const RATIO_MAX: u64 = 200;
/// Text of one attachment; a book has 1 MiB.
pub const TEXT_MAX: usize = 64 * 1024 * 1024;
/// One entry in memory; two are held at once when archives nest.
pub const ENTRY_MAX: usize = 128 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_stays_spent() {
        let mut budget = Budget::new(100);
        assert_eq!(budget.expand(RATIO_FREE as usize), Ok(()));
        assert_eq!(budget.expand(200), Err(Spent));
        assert_eq!(budget.entry(), Err(Spent));
        assert!(budget.is_spent());
    }

    #[test]
    fn each_bound_holds_alone() {
        let mut budget = Budget::new(u64::MAX);
        assert!((0..ENTRIES_MAX).all(|_| budget.entry().is_ok()));
        assert_eq!(budget.entry(), Err(Spent));
        let mut budget = Budget::new(u64::MAX);
        assert_eq!(budget.expand(EXPANDED_MAX as usize), Ok(()));
        assert_eq!(budget.expand(1), Err(Spent));
        let mut budget = Budget::new(1);
        assert_eq!(budget.text(TEXT_MAX), Ok(()));
        assert_eq!(budget.text(1), Err(Spent));
        let mut budget = Budget::new(1);
        assert_eq!(budget.depth(DEPTH_MAX), Ok(()));
        assert_eq!(budget.depth(DEPTH_MAX + 1), Err(Spent));
    }
}
