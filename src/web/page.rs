//! Templates to pages. Values are escaped wherever they stand; the filter that would switch that
//! off does not exist here, so no text of an outsider can become markup.

use std::path::Path;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use minijinja::value::{Kwargs, Value};
use minijinja::{AutoEscape, Environment, State, context};

use super::asset::{self, Asset};
use super::guard::Speech;
use crate::event::{self, Event};
use crate::failpoint;
use crate::mistake::Mistake;
use crate::words::{self, Brand, Language};

/// All templates and assets.
pub struct Pages {
    templates: Environment<'static>,
    brand: Brand,
    /// The stylesheet.
    pub style: Asset,
    /// The seal, or the organisation's logo.
    pub mark: Asset,
}

impl Pages {
    /// Reads the templates, those of the organisation first; a template that does not parse is a mistake at once.
    pub fn new(brand: &Brand, overrides: Option<&Path>) -> Result<Self, Mistake> {
        let mut templates = Environment::new();
        templates.set_auto_escape_callback(|_| AutoEscape::Html);
        templates.remove_filter("safe");
        templates.add_function("say", say);
        for (name, embedded) in TEMPLATES {
            let file = format!("page/{name}");
            let text = overridden(overrides, &file, embedded)?;
            templates.add_template_owned(*name, text).map_err(|error| {
                let path = overrides.map(|folder| folder.join(&file)).unwrap_or_default();
                Mistake { line: error.line(), ..Mistake::whole(&path, error.to_string()) }
            })?;
        }
        let (style, mark) = asset::all(brand, overrides)?;
        Ok(Self { templates, brand: brand.clone(), style, mark })
    }

    /// The organisation.
    pub const fn brand(&self) -> &Brand {
        &self.brand
    }

    /// A page as HTML.
    pub fn render(&self, name: &str, speech: Speech, values: Value) -> Result<String, minijinja::Error> {
        let languages: Vec<Value> =
            Language::ALL.iter().map(|language| context! { tag => language.tag(), name => language.own_name() }).collect();
        let frame = context! {
            lang => speech.language.tag(),
            suffix => speech.suffix,
            languages,
            brand => &self.brand.name,
            support => &self.brand.support,
            base_url => &self.brand.base_url,
            style => &self.style.path,
            mark => &self.mark.path,
        };
        self.templates.get_template(name)?.render(context! { ..values, ..frame })
    }

    /// A page as an answer. A template that fails is our own trouble: the reader gets a plain line.
    pub fn respond(&self, (status, name): (StatusCode, &str), speech: Speech, values: Value) -> Response<Body> {
        failpoint::reach("web.page");
        let (status, html) = match self.render(name, speech, values) {
            Ok(html) => (status, html),
            Err(error) => {
                event::emit(&Event::Trouble { place: "page", fault: &error.to_string() });
                (StatusCode::INTERNAL_SERVER_ERROR, words::say(speech.language, "unavailable-text", &[]))
            }
        };
        let mut response = Response::new(Body::from(html));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        // Nothing to a foreign host, as everywhere; but our own forms then say where they came from, so
        // that a browser without Sec-Fetch-Site can prove that they are ours.
        response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        response.headers_mut().insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(speech.language.tag()));
        response
    }
}

/// A file of the organisation, or ours.
pub fn overridden(overrides: Option<&Path>, file: &str, embedded: &str) -> Result<String, Mistake> {
    let Some(path) = overrides.map(|folder| folder.join(file)) else { return Ok(embedded.to_owned()) };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(embedded.to_owned()),
        Err(error) => Err(Mistake::whole(&path, error.to_string())),
    }
}

/// `say("key", name=value)` in the page's language.
fn say(state: &State<'_, '_>, key: String, values: Kwargs) -> Result<String, minijinja::Error> {
    let language = state.lookup("lang").and_then(|tag| Language::parse(tag.as_str()?)).unwrap_or(Language::English);
    let mut owned = Vec::new();
    for name in values.args() {
        owned.push((name, values.get::<Value>(name)?.to_string()));
    }
    let borrowed: Vec<(&str, &str)> = owned.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Ok(words::say(language, &key, &borrowed))
}

const TEMPLATES: &[(&str, &str)] = &[
    ("layout.html", include_str!("../../templates/page/layout.html")),
    ("landing.html", include_str!("../../templates/page/landing.html")),
    ("password.html", include_str!("../../templates/page/password.html")),
    ("message.html", include_str!("../../templates/page/message.html")),
    ("sign.html", include_str!("../../templates/page/sign.html")),
    ("help.html", include_str!("../../templates/page/help.html")),
    ("paper.html", include_str!("../../templates/page/paper.html")),
];
