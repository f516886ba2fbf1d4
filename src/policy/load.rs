//! From files to a set that can be trusted: read, checked, compiled, tried on its own examples.
//!
//! Nothing is loaded in part. Every mistake of every file is told at once.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::mail::Admd;
use crate::mistake::{Mistake, nearest};

use super::matching::{self, Known, Match};
use super::options::Options;
use super::reader::Page;
use super::recogniser::Recogniser;
use super::rule::{self, Rule};
use super::{BUILT_IN, PolicySet, trial};

/// The texts of a set, each with the name of its file.
#[derive(Debug, Default)]
pub struct Files {
    rules: Vec<(PathBuf, String)>,
    policies: Vec<(PathBuf, String)>,
    tests: Vec<(PathBuf, String)>,
}

impl Files {
    /// Reads both folders.
    pub fn collect(rules: &Path, policies: &Path) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let rules = read_folder(rules, &mut mistakes);
        let mut files = read_folder(policies, &mut mistakes);
        let tests = policies.join(TESTS);
        if tests.is_dir() {
            files.extend(read_folder(&tests, &mut mistakes));
        }
        for (folder, what) in LATER {
            if policies.join(folder).is_dir() {
                mistakes.push(Mistake::whole(&policies.join(folder), format!("{what}: not in this version")).help("move the folder away"));
            }
        }
        if mistakes.is_empty() { Ok(Self::sort(rules, files)) } else { Err(mistakes) }
    }

    /// Tests are the policy files in a folder `tests`.
    pub fn sort(rules: Vec<(PathBuf, String)>, policies: Vec<(PathBuf, String)>) -> Self {
        let is_test = |(file, _): &(PathBuf, String)| file.parent().and_then(Path::file_name) == Some(OsStr::new(TESTS));
        let (tests, policies) = policies.into_iter().partition(is_test);
        Self { rules, policies, tests }
    }
}

/// Reads, checks, compiles, tries.
pub fn load(files: &Files, admd: &Admd, options: &Options) -> Result<PolicySet, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let rules = read_rules(&files.rules, &mut mistakes);
    let names: Vec<String> = files.rules.iter().map(|(file, _)| rule::name_of(file)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let policies = read_policies(&files.policies, &Known { rules: &names, longest: options.longest() }, &mut mistakes);
    let recogniser = match Recogniser::new(rules) {
        Ok(recogniser) => recogniser,
        Err(wrong) => {
            mistakes.push(Mistake::whole(Path::new("rules"), wrong).help("take rules away, or make their patterns shorter"));
            return Err(mistakes);
        }
    };
    for (file, text) in &files.rules {
        try_examples(&recogniser, (file, text), &mut mistakes);
    }
    let set = PolicySet { recogniser, policies, options: options.clone() };
    // A test of a set that is wrong says nothing.
    let broken = !mistakes.is_empty();
    for (file, text) in &files.tests {
        let mut page = Page::new(file, text);
        let trials = trial::read(&mut page);
        if !broken && page.mistakes.is_empty() {
            trials.iter().for_each(|trial| trial.run(&set, admd, &mut page));
        }
        mistakes.append(&mut page.mistakes);
    }
    if mistakes.is_empty() { Ok(set) } else { Err(mistakes) }
}

fn read_rules(files: &[(PathBuf, String)], mistakes: &mut Vec<Mistake>) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for (file, text) in files {
        let name = rule::name_of(file);
        let mut page = Page::new(file, text);
        if BUILT_IN.contains(&name.as_str()) {
            page.mistakes
                .push(Mistake::whole(file, format!("{name} is the name of a built-in finding")).help("give the file another name"));
        }
        if names.contains(&name) {
            page.mistakes.push(Mistake::whole(file, format!("there are two rules {name:?}")).help("give one of the files another name"));
        }
        names.push(name.clone());
        rules.extend(Rule::read(&name, &mut page));
        mistakes.append(&mut page.mistakes);
    }
    rules
}

fn read_policies(files: &[(PathBuf, String)], known: &Known<'_>, mistakes: &mut Vec<Mistake>) -> Vec<Match> {
    let mut policies: Vec<Match> = Vec::new();
    for (file, text) in files {
        let mut page = Page::new(file, text);
        for policy in matching::read(&mut page, &file.display().to_string(), known) {
            if let Some(twin) = policies.iter().find(|other| other.name == policy.name && !policy.name.is_empty()) {
                let what = format!("policy {:?} is already at {}", policy.name, twin.stands);
                page.mistakes.push(Mistake {
                    line: Some(policy.line),
                    ..Mistake::whole(file, what).help("names stand in explanations: give each its own")
                });
            }
            policies.push(policy);
        }
        mistakes.append(&mut page.mistakes);
    }
    policies
}

/// A rule must find what it says it finds, and leave alone what it says it leaves alone.
fn try_examples(recogniser: &Recogniser, (file, text): (&Path, &str), mistakes: &mut Vec<Mistake>) {
    let name = rule::name_of(file);
    let Some((number, rule)) = recogniser.rules().iter().enumerate().find(|(_, rule)| rule.name == name) else { return };
    let first_hit = |example: &str| {
        let mut hit = None;
        recogniser.look(example, &mut |found| {
            if found.rule == number {
                hit.get_or_insert(found.text);
            }
        });
        hit
    };
    for (example, at) in &rule.matches {
        if first_hit(example).is_none() {
            mistakes.push(Mistake::at(file, text, *at, format!("matches: {example:?} is not found")).help(rule.excuse(example)));
        }
    }
    for (example, at) in &rule.ignores {
        if let Some(hit) = first_hit(example) {
            mistakes.push(Mistake::at(file, text, *at, format!("ignores: {example:?} is found")).help(format!("{hit:?} counts")));
        }
    }
}

/// All TOML files of a folder, in the order of their names.
fn read_folder(folder: &Path, mistakes: &mut Vec<Mistake>) -> Vec<(PathBuf, String)> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(wrong) => {
            mistakes.push(Mistake::whole(folder, format!("the folder cannot be read: {wrong}")));
            return Vec::new();
        }
    };
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => paths.push(entry.path()),
            Err(wrong) => mistakes.push(Mistake::whole(folder, format!("the folder cannot be read to its end: {wrong}"))),
        }
    }
    paths.sort();
    let mut texts = Vec::new();
    for path in paths {
        if path.extension() == Some(OsStr::new("toml")) {
            match read_file(&path) {
                Ok(text) => texts.push((path, text)),
                Err(mistake) => mistakes.push(mistake),
            }
        } else {
            mistakes.extend(passed_over(&path));
        }
    }
    texts
}

/// What an administrator surely did not mean to be left out.
fn passed_over(path: &Path) -> Option<Mistake> {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let known = name == TESTS || LATER.iter().any(|(folder, _)| *folder == name) || name.starts_with('.');
    if path.is_dir() && !known {
        return Some(match nearest(&name, &[TESTS]) {
            Some(near) => Mistake::whole(path, "a folder that is not read").help(format!("did you mean {near:?}?")),
            None => Mistake::whole(path, "a folder that is not read").help("put the files beside the others, or begin its name with a dot"),
        });
    }
    let slip = SLIPS.iter().any(|slip| name.ends_with(slip));
    slip.then(|| Mistake::whole(path, "a file that is not read").help("its name must end in .toml"))
}

fn read_file(path: &Path) -> Result<String, Mistake> {
    let unreadable = |wrong: std::io::Error| Mistake::whole(path, format!("cannot be read: {wrong}"));
    let known = std::fs::metadata(path).map_err(unreadable)?;
    if !known.is_file() {
        return Err(Mistake::whole(path, "is not a file").help("only plain files are read"));
    }
    if known.len() > FILE_MAX {
        return Err(Mistake::whole(path, format!("{} octets are too many", known.len())).help(format!("{FILE_MAX} at most in one file")));
    }
    let octets = std::fs::read(path).map_err(unreadable)?;
    String::from_utf8(octets).map_err(|wrong| {
        let good = wrong.utf8_error().valid_up_to();
        let line = wrong.as_bytes().iter().take(good).filter(|&&octet| octet == b'\n').count() + 1;
        let mistake = Mistake::whole(path, "not UTF-8").help("save the file as UTF-8; the letters before are, this one is not");
        Mistake { line: Some(line), ..mistake }
    })
}

/// No list of words that people keep is longer.
const FILE_MAX: u64 = 4 << 20;
/// Endings by which a file slips out of notice.
const SLIPS: &[&str] = &[".toml", ".tml", ".tolm", ".tom", ".toml.txt", ".yaml", ".yml", ".json"];
const TESTS: &str = "tests";
const LATER: &[(&str, &str)] = &[("portals", "upload portals"), ("requests", "upload requests")];
