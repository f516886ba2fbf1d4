//! The forms that our pages send: small, in time, and ours.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Form, FromRequest};
use axum::http::Request;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::guard::Source;
use super::{App, guard};
use crate::channel::{Refused, Visit};

/// A form that did not come from our page, or not within its time and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forged;

/// The landing page's form. A missing field is an empty one: the page then says what is missing.
#[derive(Debug, serde::Deserialize)]
pub struct Knock {
    /// The typed address.
    #[serde(default)]
    pub address: String,
    /// The tick of public files.
    #[serde(default)]
    pub person: String,
}

/// A form of a visit.
#[derive(Debug, serde::Deserialize)]
pub struct Act {
    /// The visit's form token.
    #[serde(default)]
    pub token: String,
    /// The typed password.
    #[serde(default)]
    pub password: String,
    /// The file's number.
    #[serde(default)]
    pub item: Option<u32>,
}

/// Reads a form that stands outside of any visit: its browser says that it came from our page.
pub async fn read<T: DeserializeOwned>(app: &App, request: Request<Body>) -> Result<(Parts, T), Forged> {
    match app.site.source(request.headers()) {
        Source::Ours => fields(app, request).await,
        Source::Foreign | Source::Unsaid => Err(Forged),
    }
}

async fn fields<T: DeserializeOwned>(app: &App, request: Request<Body>) -> Result<(Parts, T), Forged> {
    let (parts, body) = request.into_parts();
    let body = http_body_util::Limited::new(body, FORM_MAX);
    let whole = Request::from_parts(parts.clone(), Body::new(body));
    let time = Duration::from_secs(app.options.request_seconds);
    let form = tokio::time::timeout(time, Form::<T>::from_request(whole, &())).await;
    match form {
        Ok(Ok(Form(form))) => Ok((parts, form)),
        Ok(Err(_)) | Err(_) => Err(Forged),
    }
}

/// The visit of a request, if it has one that goes on.
pub async fn visit(app: &App, parts: &Parts) -> Result<Visit, Refused> {
    let token = app.site.token(&parts.headers).ok_or(Refused::Ended)?;
    app.call(move |channel| channel.visit(&token)).await
}

/// Reads a form of a visit: its token is right, and its browser says of no other page that it came from there.
pub async fn act(app: &App, request: Request<Body>) -> Result<(Parts, Visit, Act), Trespass> {
    let read = match app.site.source(request.headers()) {
        Source::Ours | Source::Unsaid => fields(app, request).await,
        Source::Foreign => Err(Forged),
    };
    let (parts, act): (Parts, Act) = read.map_err(|Forged| Trespass::Forged)?;
    let visit = visit(app, &parts).await.map_err(Trespass::Refused)?;
    if !app.channel.is_form_token(&visit.token, &act.token) {
        return Err(Trespass::Forged);
    }
    Ok((parts, visit, act))
}

/// Why a form of a visit is not acted upon.
pub enum Trespass {
    /// Not from our page.
    Forged,
    /// No such visit.
    Refused(Refused),
}

/// The client's part of a request.
pub fn client(app: &App, parts: &Parts) -> crate::channel::Client {
    guard::client(parts, &app.options)
}

/// Room for an address and a token, many times over.
const FORM_MAX: usize = 64 << 10;
