//! What the house looks for beside the rules and policies that are supplied: ten thousand words,
//! a hundred patterns with checks, fifty policies that all ask about external recipients.

use std::fs;
use std::path::{Path, PathBuf};

use crate::language::Language;

/// A rule or policy file: its path below the set-up, its text.
pub type File = (PathBuf, String);

/// Writes all of them into a set-up of `init`.
pub fn extend(home: &Path, language: &Language) {
    for (path, text) in words(language).into_iter().chain(patterns(PATTERNS)).chain([policies()]) {
        fs::write(home.join(path), text).unwrap();
    }
}

/// Rules of words.
pub fn words(language: &Language) -> Vec<File> {
    let lists = language.triggers().chunks(language.triggers().len() / WORD_RULES);
    lists
        .enumerate()
        .map(|(number, words)| {
            let list: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
            let example = words[0].trim_end_matches('*');
            let text =
                format!("title = \"Words of project {number}\"\nwords.en = [{}]\nmatches = [\"about {example} again\"]\n", list.join(", "));
            (format!("rules/words-{number}.toml").into(), text)
        })
        .collect()
}

/// So many rules with a pattern and a check each: numbers of customers, contracts, accounts, persons.
pub fn patterns(count: usize) -> Vec<File> {
    (0..count)
        .map(|number| {
            let (shape, check) = SHAPES[number % SHAPES.len()];
            let pattern = shape.replace("NN", &format!("{:02}", number / SHAPES.len() % 100));
            let text = format!("title = \"Numbers of register {number}\"\npattern = '{pattern}'\ncheck = \"{check}\"\n");
            (format!("rules/pattern-{number}.toml").into(), text)
        })
        .collect()
}

fn policies() -> File {
    let one = |number: usize| {
        let (words, pattern) = (number % WORD_RULES, number * 2 % PATTERNS);
        let when = match number % 5 {
            0 => format!("found = [\"words-{words} >= 2\", \"pattern-{pattern}\"]"),
            1 => format!("found = {{ all = [\"words-{words}\", \"pattern-{pattern}\"] }}"),
            2 => format!("sender = [\"*@example.org\"], subject = [\"*project {number}*\"], size = \"< 20MB\""),
            3 => format!("found = [\"pattern-{pattern} >= 3\"], header = {{ X-Project = \"{number}*\" }}"),
            _ => format!("attachments = {{ names = [\"*project-{number}*.xlsx\"], total = \"> 1KB\" }}"),
        };
        format!(
            "[[policy]]\nname = \"project {number} stays inside\"\nwhen = {{ recipient = \"external\", {when} }}\n\
             unless = [{{ recipient = [\"*@partner-{number}.example\"] }}]\nthen = \"secure-message\"\nfactor = \"password\"\nexpires = \"7d\"\n\
             reason.en = \"Is about project {number}.\"\n\n"
        )
    };
    ("policies/50-projects.toml".into(), (0..POLICIES).map(one).collect())
}

const WORD_RULES: usize = 40;
const PATTERNS: usize = 100;
const POLICIES: usize = 50;
const SHAPES: [(&str, &str); 5] = [
    (r"NN\d{4}[-+ ]?\d{4}", "luhn"),
    (r"[a-z]{2}NN-?\d{7}", "luhn"),
    (r"NN\d{11}", "ean"),
    (r"NN\d{7}", "bsn"),
    (r"\d{3}-NN-\d{4}", "us-ssn"),
];
