//! The architecture, enforced: a module uses only modules of lower layers, and neighbours on a
//! layer do not know each other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The table of `lib.rs`, lowest first.
const LAYERS: [&[&str]; 12] = [
    &["clock", "failpoint", "mail", "mistake", "option", "secret", "stretch"],
    &["crypto", "event", "words"],
    &["extract", "net", "store"],
    &["policy", "queue", "transport", "vault"],
    &["notice", "smtp", "transform"],
    &["relay"],
    &["intake"],
    &["channel"],
    &["monitor", "web"],
    &["config"],
    &["gateway"],
    &["admin"],
];

/// Uses that go sideways on purpose, each with its reason.
const EXCEPTIONS: [(&str, &str, &str); 3] = [
    ("mail", "secret", "a leaf that everything may use"),
    ("mail", "option", "a leaf that everything may use"),
    ("policy", "vault", "the one ladder of factors: what policy demands is what the vault binds into the wrap"),
];

fn layers() -> BTreeMap<&'static str, usize> {
    LAYERS.iter().enumerate().flat_map(|(layer, modules)| modules.iter().map(move |module| (*module, layer))).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The modules that a text names by `crate::…`, groups (`crate::{a, b}`) included; doc comments left out.
fn used(text: &str) -> Vec<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            Some(group) => {
                let mut depth = 0;
                let mut name = String::new();
                for c in group.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => found.push(std::mem::take(&mut name)),
                        c if depth == 0 && !c.is_whitespace() => name.push(c),
                        _ => {}
                    }
                }
                found.push(name);
            }
            None => found.push(after.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '!').collect()),
        }
    }
    found.into_iter().map(|name| name.split("::").next().unwrap().to_owned()).collect()
}

#[test]
fn a_module_uses_only_what_lies_below_it() {
    let layers = layers();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for path in sources(&root) {
        let inside = path.strip_prefix(&root).unwrap();
        let module = inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let Some(&own) = layers.get(module.as_str()) else {
            assert!(matches!(module.as_str(), "lib" | "main"), "{module} is on no layer");
            continue;
        };
        for name in used(&fs::read_to_string(&path).unwrap()) {
            seen += 1;
            let Some(&other) = layers.get(name.as_str()) else { continue };
            let excepted = EXCEPTIONS.iter().any(|(from, to, _)| *from == module && *to == name);
            if name != module && other >= own && !excepted {
                wrong.push(format!("{}: {module} (layer {}) uses {name} (layer {})", inside.display(), own + 1, other + 1));
            }
        }
    }
    assert!(seen > 50, "only {seen} uses were found: the search itself is broken");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_is_on_a_layer_and_opens_with_what_it_is() {
    let layers = layers();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let library = fs::read_to_string(root.join("lib.rs")).unwrap();
    for line in library.lines().filter_map(|line| line.strip_prefix("pub mod ")) {
        let module = line.trim_end_matches(';');
        assert!(layers.contains_key(module), "{module} is on no layer");
    }
    for path in sources(&root) {
        assert!(fs::read_to_string(&path).unwrap().starts_with("//!"), "{} does not say what it is", path.display());
    }
}

#[test]
fn a_file_is_read_in_one_sitting() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in sources(&root) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap().lines().count();
        assert!(code <= 600, "{} has {code} lines before its tests", path.display());
    }
}

#[test]
fn only_the_gateway_reads_the_clock() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in sources(&root) {
        let text = fs::read_to_string(&path).unwrap();
        let reads = text.contains("SystemTime::now()") || text.contains("Timestamp::now()");
        assert!(!reads || path.starts_with(root.join("gateway")), "{} reads the clock", path.display());
    }
}
