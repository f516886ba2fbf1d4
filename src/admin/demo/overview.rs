//! The demo's overview page: what each mailbox received, as its owner would see it.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use super::sink::{Captured, Mailboxes};
use crate::mail::{Message, decode};

/// The pages over the mailboxes.
pub fn router(mailboxes: Mailboxes) -> axum::Router {
    axum::Router::new()
        .route("/", get(overview))
        .route("/messages.json", get(messages))
        .route("/message/{number}/html", get(html))
        .route("/message/{number}/raw", get(raw))
        .with_state(mailboxes)
}

/// A message as a mail program would list it.
#[derive(Debug, Clone, Serialize)]
pub struct View {
    number: usize,
    from: String,
    to: Vec<String>,
    subject: String,
    text: String,
    has_html: bool,
    files: Vec<String>,
    pub link: Option<String>,
    octets: usize,
}

impl View {
    pub fn of(captured: &Captured) -> Self {
        let message = Message::parse(captured.octets.clone());
        let parts = message.parts();
        let text_of = |subtype: &str| {
            let found = parts.iter().filter(|part| part.media_type.is("text", subtype) && part.file_name.is_none());
            found.map(|part| message.text(part)).collect::<Vec<_>>().join("\n")
        };
        let text = text_of("plain");
        let field = |name: &str| message.header().first(name).map(|field| decode::unstructured(&field.value())).unwrap_or_default();
        Self {
            number: captured.number,
            from: field("From"),
            to: captured.to.clone(),
            subject: field("Subject"),
            link: text.split_whitespace().find(|word| word.contains("/m/")).map(String::from),
            has_html: !text_of("html").is_empty(),
            files: parts.iter().filter_map(|part| part.file_name.clone()).collect(),
            text,
            octets: captured.octets.len(),
        }
    }
}

async fn overview(State(mailboxes): State<Mailboxes>) -> Response {
    let views: Vec<View> = mailboxes.all().iter().rev().map(View::of).collect();
    let mut environment = minijinja::Environment::new();
    let page = environment
        .add_template("overview.html", OVERVIEW)
        .and_then(|()| environment.get_template("overview.html"))
        .and_then(|template| template.render(minijinja::context! { messages => minijinja::value::Serde(&views) }));
    match page {
        Ok(page) => ([(header::CONTENT_SECURITY_POLICY, PAGE_POLICY)], Html(page)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn messages(State(mailboxes): State<Mailboxes>) -> Response {
    let views: Vec<View> = mailboxes.all().iter().map(View::of).collect();
    ([(header::CONTENT_TYPE, "application/json")], serde_json::to_vec(&views).unwrap_or_default()).into_response()
}

/// The HTML of a mail in a frame that may do nothing.
async fn html(State(mailboxes): State<Mailboxes>, Path(number): Path<usize>) -> Response {
    let Some(captured) = mailboxes.get(number) else { return StatusCode::NOT_FOUND.into_response() };
    let message = Message::parse(captured.octets);
    let parts = message.parts();
    let html: String = parts.iter().filter(|part| part.media_type.is("text", "html")).map(|part| message.text(part)).collect();
    ([(header::CONTENT_SECURITY_POLICY, MAIL_POLICY)], Html(html)).into_response()
}

async fn raw(State(mailboxes): State<Mailboxes>, Path(number): Path<usize>) -> Response {
    match mailboxes.get(number) {
        Some(captured) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], captured.octets).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

const OVERVIEW: &str = include_str!("../../../templates/demo/overview.html");
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'";
const MAIL_POLICY: &str =
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'";
