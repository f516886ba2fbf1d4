//! A language that nobody speaks, the same in every run: words as common as in real text, and words
//! that rules look for and that no text here holds.

use std::collections::HashSet;

/// Its words.
pub struct Language {
    /// Of texts, the commonest first.
    spoken: Vec<String>,
    /// Of rules; in no text.
    triggers: Vec<String>,
}

impl Language {
    /// Thousands of words to speak with, and ten thousand that are looked for: some of two words, the
    /// first of them spoken, some open at their end.
    pub fn new() -> Self {
        let mut dice = Dice::new(1);
        let mut known: HashSet<String> = COMMON.split_whitespace().map(String::from).collect();
        let mut spoken: Vec<String> = COMMON.split_whitespace().map(String::from).collect();
        spoken.extend((0..SPOKEN).map(|_| fresh(&mut dice, &mut known)));
        let triggers = (0..TRIGGERS).map(|number| {
            let word = std::iter::repeat_with(|| fresh(&mut dice, &mut known)).find(|word| !may_be_joined(word, &spoken)).unwrap();
            match number % 10 {
                0 => format!("{} {word}", spoken[dice.below(spoken.len())]),
                1 if !spoken.iter().any(|other| other.starts_with(&word)) => word + "*",
                _ => word,
            }
        });
        let triggers = triggers.collect();
        Self { spoken, triggers }
    }

    /// What rules look for.
    pub fn triggers(&self) -> &[String] {
        &self.triggers
    }

    /// Sentences of about so many octets, in lines that end in CRLF. Here and there stands a number.
    pub fn text(&self, octets: usize, dice: &mut Dice) -> String {
        let mut text = String::with_capacity(octets + LINE);
        let mut column = 0;
        while text.len() + 2 < octets {
            for word in self.sentence(dice) {
                let gap = match column {
                    0 => "",
                    _ if column + word.len() > LINE => "\r\n",
                    _ => " ",
                };
                column = if gap == " " { column + 1 + word.len() } else { word.len() };
                text.push_str(gap);
                text.push_str(&word);
            }
            if dice.below(6) == 0 {
                text.push_str("\r\n\r\n");
                column = 0;
            }
        }
        text.truncate(octets.saturating_sub(2).max(1));
        text.truncate(text.trim_end().len());
        text + "\r\n"
    }

    fn sentence(&self, dice: &mut Dice) -> Vec<String> {
        let mut words = vec![capitalised(self.word(dice))];
        // Two numbers in a row would be somebody's number now and then, in ten megabytes of them.
        let mut is_number = false;
        words.extend((0..4 + dice.below(12)).map(|_| {
            is_number = !is_number && dice.below(40) == 0;
            if is_number { dice.below(2100).to_string() } else { self.word(dice).into() }
        }));
        words.push(self.word(dice).to_owned() + ".");
        words
    }

    /// The k-th commonest word comes about 1/k as often as the commonest (Zipf).
    fn word(&self, dice: &mut Dice) -> &str {
        let rank = (self.spoken.len() as f64).powf(dice.share()) as usize;
        &self.spoken[rank.min(self.spoken.len()) - 1]
    }
}

/// Whether two spoken words beside a line break could be read as it, as the gateway reads words that a break was put into.
fn may_be_joined(word: &str, spoken: &[String]) -> bool {
    (1..word.len()).any(|at| spoken.iter().any(|left| *left == word[..at]) && spoken.iter().any(|right| right.starts_with(&word[at..])))
}

fn capitalised(word: &str) -> String {
    word[..1].to_ascii_uppercase() + &word[1..]
}

/// A word of syllables that was not there before.
fn fresh(dice: &mut Dice, known: &mut HashSet<String>) -> String {
    loop {
        let syllables = 2 + dice.below(3);
        let word: String = (0..syllables)
            .map(|_| {
                let pick = |dice: &mut Dice, of: &[&'static str]| of[dice.below(of.len())];
                [pick(dice, &ONSETS), pick(dice, &VOWELS), pick(dice, &CODAS)].concat()
            })
            .collect();
        if known.insert(word.clone()) {
            return word;
        }
    }
}

/// Numbers that look random and are the same in every run (xorshift64).
pub struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.roll() >> 11) as usize % end
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1u64 << 53) as f64
    }
}

const SPOKEN: usize = 6_000;
const TRIGGERS: usize = 10_000;
/// RFC 5322 §2.1.1 wishes for 78.
const LINE: usize = 74;
const ONSETS: [&str; 18] = ["b", "br", "c", "d", "f", "g", "h", "l", "m", "n", "p", "pr", "r", "s", "st", "t", "tr", "v"];
const VOWELS: [&str; 8] = ["a", "e", "i", "o", "u", "ea", "ou", "ai"];
const CODAS: [&str; 10] = ["", "", "n", "r", "s", "l", "nd", "ng", "t", "ck"];
const COMMON: &str = "the of and to in is that for it as was with be by on not he his but at are this have from or had an they which one you were \
    all her she there would their we him been has when who will no more if out so up said what its about than into them can only other time \
    new some could these two may first then do any like my now over such our man me even most made after also did many off before must well \
    back through years where much your way down should because long each just state those people too mr how little good world make very year \
    still see own work men day get here old life both between being under three never know same last another while us might great go come \
    since against right came take used himself few house use place during high without again home around small however found";
