//! Names that look like `example.org` and are somebody else's: Cyrillic, Greek, Armenian, Latin with something added.

pub const LOOKALIKES: [&str; 20] = [
    "ex\u{430}mple.org",
    "\u{435}xample.org",
    "e\u{445}ample.org",
    "exam\u{440}le.org",
    "exampl\u{435}.org",
    "example.\u{43e}rg",
    "\u{435}\u{445}\u{430}m\u{440}l\u{435}.org",
    "ex\u{3b1}mple.org",
    "exam\u{3c1}le.org",
    "examp\u{3b9}e.org",
    "example.\u{3bf}rg",
    "example.\u{585}rg",
    "examp\u{56c}e.org",
    "ex\u{e4}mple.org",
    "ex\u{1ea1}mple.org",
    "exampl\u{117}.org",
    "ex\u{251}mple.org",
    "examp\u{142}e.org",
    "examp\u{131}e.org",
    "exa\u{271}ple.org",
];
