//! What pages say: values for the templates, from what the channel knows.

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use minijinja::context;
use minijinja::value::Value;

use super::App;
use super::guard::Speech;
use crate::channel::{Body as LetterBody, Field, Letter, Refused, Visit, name, sanitise};
use crate::event::{self, Event};
use crate::vault::{Admitted, Item, Kind};
use crate::words::{moment, say, size};

/// What stands above a form that was not taken.
pub struct Problem {
    title: Option<String>,
    text: String,
}

impl Problem {
    /// `<key>-title` and `<key>`.
    pub fn of(speech: Speech, key: &str, values: &[(&str, &str)]) -> Self {
        Self { title: Some(say(speech.language, &format!("{key}-title"), &[])), text: say(speech.language, key, values) }
    }

    /// One sentence.
    pub fn line(speech: Speech, key: &str) -> Self {
        Self { title: None, text: say(speech.language, key, &[]) }
    }

    fn value(problem: Option<Self>) -> Value {
        problem.map_or_else(Value::default, |problem| context! { title => problem.title, text => problem.text })
    }
}

/// The page that a link leads to.
pub fn landing(app: &App, speech: Speech, admitted: &Admitted, problem: Option<Problem>) -> Response<Body> {
    let kind = match admitted.contents.kind {
        Kind::SecureMessage => "message",
        Kind::PublicFiles if admitted.is_public() => "public",
        Kind::PublicFiles | Kind::SecureFiles => "files",
    };
    let status = if problem.is_some() { StatusCode::FORBIDDEN } else { StatusCode::OK };
    let (until, shared) = (until(app, speech, admitted), app.channel.is_shared(admitted));
    app.pages.respond((status, "landing.html"), speech, context! { kind, until, shared, problem => Problem::value(problem) })
}

/// *Send my password*, and the field once it was pressed.
pub fn password(app: &App, speech: Speech, visit: &Visit, shown: (Field, Option<Problem>)) -> Response<Body> {
    let (field, problem) = shown;
    let status = if problem.is_some() { StatusCode::FORBIDDEN } else { StatusCode::OK };
    let values = context! {
        mailbox => visit.mailbox().to_string(),
        token => app.channel.form_token(&visit.token),
        field => field == Field::Shown,
        kind => if visit.admitted.contents.kind == Kind::SecureMessage { "message" } else { "files" },
        problem => Problem::value(problem),
    };
    app.pages.respond((status, "password.html"), speech, values)
}

/// The message.
pub fn message(app: &App, speech: Speech, visit: &Visit, letter: &Letter) -> Response<Body> {
    let (frame, text, (cut, blocked)) = match &letter.body {
        LetterBody::Html { lines, blocked, cut } => {
            (Some(lines.saturating_mul(LINE_HEIGHT).clamp(FRAME_LEAST, FRAME_MOST)), Vec::new(), (*cut, *blocked))
        }
        LetterBody::Text { text, cut } => (None, pieces(text), (*cut, 0)),
        LetterBody::None => (None, Vec::new(), (false, 0)),
    };
    let values = context! {
        frame,
        text,
        cut,
        blocked,
        token => app.channel.form_token(&visit.token),
        files => letter.files.iter().map(|item| file(speech, item, letter)).collect::<Vec<_>>(),
        save => letter.admitted.contents.kind == Kind::SecureMessage && letter.raw.as_ref().is_none_or(|raw| is_open(raw, letter)),
        whole => letter.raw.is_some(),
        limited => letter.files.iter().any(|item| item.left.is_some()),
        until => until(app, speech, &letter.admitted),
        minutes => app.channel.idle_minutes(),
        reader => visit.member().map(ToString::to_string),
        ..head(app, speech, &letter.admitted)
    };
    app.pages.respond((StatusCode::OK, "message.html"), speech, values)
}

/// A whole document around the message's own HTML, for the frame; with a head of its own for paper.
pub fn document(app: &App, speech: Speech, clean: &sanitise::Clean, on_paper: Option<&Admitted>) -> Response<Body> {
    let head = on_paper.map(|admitted| app.pages.render("paper.html", speech, head(app, speech, admitted)));
    let head = match head.transpose() {
        Ok(head) => head.unwrap_or_default(),
        Err(error) => return refused(app, speech, Refused::Fault(crate::store::Fault(error.to_string()))),
    };
    let (language, html) = (speech.language.tag(), &clean.html);
    let whole = format!(
        "<!doctype html><html lang=\"{language}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"robots\" content=\"noindex\"><title>{}</title><style>{DOCUMENT_STYLE}</style></head><body>{head}<main>{html}</main></body></html>",
        say(speech.language, "message-body", &[])
    );
    let mut response = Response::new(Body::from(whole));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, axum::http::HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, axum::http::HeaderValue::from_static(DOCUMENT_POLICY));
    response
}

/// The page for an act that did not happen.
pub fn refused(app: &App, speech: Speech, refused: Refused) -> Response<Body> {
    let (status, name, until) = match refused {
        Refused::Gone => (StatusCode::NOT_FOUND, "gone", None),
        Refused::Expired => (StatusCode::GONE, "expired", None),
        Refused::UsedUp => (StatusCode::GONE, "used", None),
        Refused::Ended | Refused::WrongAddress | Refused::WrongPassword { .. } | Refused::Late => (StatusCode::FORBIDDEN, "ended", None),
        Refused::Soon => (StatusCode::TOO_MANY_REQUESTS, "many", app.channel.in_a_minute()),
        Refused::TooMany { until } => (StatusCode::TOO_MANY_REQUESTS, "many", Some(until)),
        Refused::Locked => (StatusCode::TOO_MANY_REQUESTS, "locked", None),
        Refused::Fault(fault) => {
            event::emit(&Event::Trouble { place: "channel", fault: &fault.0 });
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable", None)
        }
    };
    let until = until.map(|time| moment(speech.language, time, &app.pages.brand().zone));
    sign(app, speech, status, (name, until))
}

/// A page with a title and a sentence or two.
pub fn sign(app: &App, speech: Speech, status: StatusCode, (name, until): (&'static str, Option<String>)) -> Response<Body> {
    let asks = matches!(name, "gone" | "expired" | "used");
    app.pages.respond((status, "sign.html"), speech, context! { name, until => until.unwrap_or_default(), asks })
}

fn head(app: &App, speech: Speech, admitted: &Admitted) -> Value {
    let contents = &admitted.contents;
    let sender = contents.sender_name.clone().unwrap_or_else(|| contents.sender.to_string());
    let subject = match (contents.subject.trim(), contents.kind) {
        ("", Kind::SecureMessage) => say(speech.language, "message-subject-none", &[]),
        ("", Kind::PublicFiles | Kind::SecureFiles) => say(speech.language, "message-files-title", &[("sender", &sender)]),
        (subject, _) => subject.to_owned(),
    };
    context! {
        subject,
        sender => contents.sender.to_string(),
        sender_name => &contents.sender_name,
        to => contents.visible.iter().map(ToString::to_string).collect::<Vec<_>>(),
        date => contents.date.map(|date| moment(speech.language, date, &app.pages.brand().zone)),
    }
}

/// Whether an item can be taken, or fetched again.
fn is_open(item: &Item, letter: &Letter) -> bool {
    item.left != Some(0) || letter.again.contains(&item.id)
}

fn file(speech: Speech, item: &Item, letter: &Letter) -> Value {
    context! {
        name => name::safe(&item.name),
        kind => item.media_type.split(';').next().unwrap_or_default(),
        size => size(speech.language, item.length),
        sha256 => data_encoding::HEXLOWER.encode(&item.sha256),
        left => item.left,
        again => letter.again.contains(&item.id),
        open => is_open(item, letter),
        item => item.id.0,
    }
}

fn until(app: &App, speech: Speech, admitted: &Admitted) -> String {
    moment(speech.language, admitted.contents.expires, &app.pages.brand().zone)
}

/// Text with its web addresses apart, so that they can be links.
fn pieces(text: &str) -> Vec<Value> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = find_link(rest) {
        let Some((before, from)) = rest.split_at_checked(start) else { break };
        let end = from.find(|c: char| c.is_whitespace() || "<>\"`".contains(c)).unwrap_or(from.len());
        let (link, _) = from.split_at_checked(end).unwrap_or((from, ""));
        let link = link.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '\'']);
        pieces.push(context! { text => before, link => false });
        pieces.push(context! { text => link, link => true });
        rest = from.get(link.len()..).unwrap_or_default();
    }
    pieces.push(context! { text => rest, link => false });
    pieces
}

fn find_link(text: &str) -> Option<usize> {
    let starts = ["https://", "http://"].iter().filter_map(|scheme| text.find(scheme));
    starts.min()
}

/// One line of a message, in CSS pixels.
const LINE_HEIGHT: u32 = 24;
const FRAME_LEAST: u32 = 240;
/// Higher than this the frame scrolls by itself.
const FRAME_MOST: u32 = 4000;
/// The second wall around a message's HTML: no script whatever the first one missed, nothing fetched.
const DOCUMENT_POLICY: &str = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'; form-action 'none'; base-uri 'none'";
const DOCUMENT_STYLE: &str = "html{color-scheme:light;background:#fff;color:#24211e;font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;overflow-wrap:anywhere}body{margin:0;padding:12px}main img{max-width:100%;height:auto}main table{max-width:100%}main pre{white-space:pre-wrap;font:inherit}blockquote{margin:0 0 0 4px;padding-left:12px;border-left:2px solid #d9d3ca}header{border-bottom:1px solid #d9d3ca;margin-bottom:20px}h1{font-size:20px}@media print{body{padding:0}}";
