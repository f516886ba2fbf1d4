//! Broken configurations fail with exactly their text: `NN-name/waxseal.toml` with `NN-name/error`.
//! `UPDATE=1` writes the texts anew; read the difference before believing it.

mod operator;

use std::fs;
use std::path::Path;

use waxseal::config::{Configuration, describe};

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/configuration")
}

#[test]
fn a_broken_configuration_fails_with_exactly_its_text() {
    let mut cases = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let case = entry.unwrap().path();
        if !case.is_dir() {
            continue;
        }
        cases += 1;
        let text = fs::read_to_string(case.join("waxseal.toml")).unwrap();
        let mistakes = Configuration::parse(Path::new("waxseal.toml"), &text).expect_err(&case.display().to_string());
        let told = mistakes.iter().map(|mistake| format!("{mistake}\n")).collect::<String>();
        if std::env::var_os("UPDATE").is_some() {
            fs::write(case.join("error"), &told).unwrap();
        }
        assert_eq!(told, fs::read_to_string(case.join("error")).unwrap_or_default(), "{}", case.display());
    }
    assert!(cases >= 12, "only {cases} cases were found");
}

#[test]
fn a_short_configuration_is_enough() {
    let text = "[house]\ndomains = [\"example.org\"]\nhostname = \"mail.example.org\"\n[web]\nbase_url = \"https://secure.example.org/\"\n";
    let configuration = Configuration::parse(Path::new("/etc/waxseal/waxseal.toml"), text).unwrap();
    assert_eq!(configuration.brand.base_url, "https://secure.example.org");
    assert_eq!(configuration.admd.postmaster.to_string(), "postmaster@example.org");
    assert_eq!(configuration.path(Path::new("keys/kek")), Path::new("/etc/waxseal/keys/kek"));
}

#[test]
fn every_example_is_a_configuration() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut read = 0;
    for entry in fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path().join("waxseal.toml");
        let mistakes = Configuration::read(&path).err().unwrap_or_default();
        assert!(mistakes.is_empty(), "{}", mistakes.iter().map(|mistake| format!("{mistake}\n")).collect::<String>());
        read += 1;
    }
    assert!(read >= 3, "only {read} examples were found");
}

#[test]
fn the_reference_in_the_readme_is_the_one_that_the_options_print() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let begin = "<!-- waxseal config describe -->\n";
    let end = "<!-- end -->";
    let (before, rest) = readme.split_once(begin).expect("the README has a reference");
    let (printed, after) = rest.split_once(end).expect("the reference has an end");
    if std::env::var_os("UPDATE").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
        fs::write(path, format!("{before}{begin}{}{end}{after}", describe())).unwrap();
        return;
    }
    assert_eq!(printed, describe(), "run `UPDATE=1 cargo test --test all configuration` and read the difference");
}
