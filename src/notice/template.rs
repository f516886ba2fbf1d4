//! Templates: those in the binary, and an organisation's own in their place.
//!
//! HTML templates escape everything; there is no filter and no tag to switch that off.

use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{Environment, UndefinedBehavior, Value};

use crate::mistake::Mistake;
use crate::words::{Language, say};

/// All templates, twice where there are own ones: the built-in is what is left if an own one fails.
pub struct Templates {
    own: Environment<'static>,
    built_in: Environment<'static>,
    folder: PathBuf,
}

impl Templates {
    /// The built-in ones, and from `folder/mail/` those that are there.
    pub fn load(folder: Option<&Path>) -> Result<Self, Mistake> {
        let folder = folder.map(|folder| folder.join("mail")).unwrap_or_default();
        let mut templates = Self { own: environment(), built_in: environment(), folder };
        for (name, source) in FRAMES.into_iter().chain(BUILT_IN) {
            templates.built_in.add_template(name, source).map_err(|error| templates.mistake(name, &error))?;
            let source = templates.source(name)?.unwrap_or_else(|| source.to_owned());
            if let Err(error) = templates.own.add_template_owned(name, source) {
                return Err(templates.mistake(name, &error));
            }
        }
        Ok(templates)
    }

    /// Renders each one with sample values; it must show `probe`.
    pub fn prove(&self, values: &Value, probe: &str) -> Result<(), Mistake> {
        for (name, _) in BUILT_IN {
            let shown =
                self.own.get_template(name).and_then(|template| template.render(values)).map_err(|error| self.mistake(name, &error))?;
            if !shown.replace("&#x2f;", "/").contains(probe) {
                let what = if name.starts_with("password") { "password" } else { "link" };
                return Err(Mistake::whole(&self.folder.join(name), format!("the template does not show the {what}"))
                    .help(format!("put {{{{ {what} }}}} where it belongs")));
            }
        }
        Ok(())
    }

    /// Text and HTML. `essential` is what is left when no template renders, which no test has seen.
    pub fn render(&self, name: &str, values: &Value, essential: &str) -> (String, String) {
        let one = |ending: &str| {
            let name = format!("{name}.{ending}");
            let by = |environment: &Environment<'_>| environment.get_template(&name).and_then(|template| template.render(values));
            by(&self.own).or_else(|_| by(&self.built_in))
        };
        (one("txt").unwrap_or_else(|_| format!("{essential}\n")), one("html").unwrap_or_else(|_| format!("<p>{essential}</p>")))
    }

    fn source(&self, name: &str) -> Result<Option<String>, Mistake> {
        let path = self.folder.join(name);
        if self.folder.as_os_str().is_empty() || !path.exists() {
            return Ok(None);
        }
        let source = std::fs::read_to_string(&path).map_err(|error| Mistake::whole(&path, error.to_string()))?;
        if let Some(offset) = source.find("autoescape") {
            return Err(Mistake::at(&path, &source, offset, "escaping cannot be switched off").help("remove the autoescape tag"));
        }
        Ok(Some(source))
    }

    fn mistake(&self, name: &str, error: &minijinja::Error) -> Mistake {
        let what = error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
        Mistake { line: error.line(), ..Mistake::whole(&self.folder.join(name), what) }
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Delimiters are the usual ones, so building cannot fail; only blank lines would differ if it did.
    environment
        .set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build().unwrap_or_default());
    environment.remove_filter("safe");
    environment.add_filter("fill", |text: &str| fill(text));
    environment.add_function("say", |language: &str, key: &str, values: Kwargs| {
        let values: Vec<(String, String)> = values
            .args()
            .map(|name| values.get::<Value>(name).map(|value| (name.to_owned(), value.to_string())))
            .collect::<Result<_, _>>()?;
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Ok::<String, minijinja::Error>(say(language_of(language), key, &values))
    });
    environment
}

fn language_of(tag: &str) -> Language {
    if tag == Language::Swedish.tag() { Language::Swedish } else { Language::English }
}

/// Sentences as lines that any mail reader shows whole.
fn fill(text: &str) -> String {
    let mut filled = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > COLUMNS {
            filled.push('\n');
            column = 0;
        } else if column > 0 {
            filled.push(' ');
            column += 1;
        }
        filled.push_str(word);
        column += width;
    }
    filled
}

/// RFC 3676 §4.2: 72 leaves room for quoting.
const COLUMNS: usize = 72;

/// What templates are set into; shows nothing by itself.
const FRAMES: [(&str, &str); 1] = [("sheet.html", include_str!("../../templates/mail/sheet.html"))];
const BUILT_IN: [(&str, &str); 6] = [
    ("link-block.txt", include_str!("../../templates/mail/link-block.txt")),
    ("link-block.html", include_str!("../../templates/mail/link-block.html")),
    ("secure-message.txt", include_str!("../../templates/mail/secure-message.txt")),
    ("secure-message.html", include_str!("../../templates/mail/secure-message.html")),
    ("password.txt", include_str!("../../templates/mail/password.txt")),
    ("password.html", include_str!("../../templates/mail/password.html")),
];
