//! One function a route: read, call the channel, show.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Response, StatusCode, header};

use super::form::{self, Act, Forged, Knock, Trespass};
use super::guard::{self, Speech};
use super::range::{self, Wanted};
use super::view::{self, Problem};
use super::{App, stream};
use crate::channel::download::{DownloadId, Ready};
use crate::channel::{Field, Refused, Stage, Token, Visit, name};
use crate::crypto::LinkSecret;
use crate::secret::Secret;
use crate::store::Fault;
use crate::vault::ItemId;

type Answer = Response<Body>;

/// `GET /m/<link>`: looks, changes nothing.
pub async fn landing(State(app): State<App>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    let speech = speech(&app, &parts);
    match admit(&app, &parts).await {
        Ok((_, admitted)) => view::landing(&app, speech, &admitted, None),
        Err(refused) => view::refused(&app, speech, refused),
    }
}

/// `POST /m/<link>`: the human act.
pub async fn knock(State(app): State<App>, request: Request) -> Answer {
    let speech = spoken(&app, &request);
    let (parts, knock): (Parts, Knock) = match form::read(&app, request).await {
        Ok(read) => read,
        Err(Forged) => return forged(&app, speech),
    };
    let (link, admitted) = match admit(&app, &parts).await {
        Ok(admitted) => admitted,
        Err(refused) => return view::refused(&app, speech, refused),
    };
    if admitted.is_public() && knock.person != "yes" {
        return view::landing(&app, speech, &admitted, Some(Problem::line(speech, "landing-person-missing")));
    }
    let client = form::client(&app, &parts);
    match app.call(move |channel| channel.knock(&link, Some(&knock.address), &client)).await {
        Ok(token) => go(&app, &format!("/message{}", speech.suffix), Some(&token)),
        Err(Refused::WrongAddress) => view::landing(&app, speech, &admitted, Some(Problem::of(speech, "landing-wrong", &[]))),
        Err(refused) => view::refused(&app, speech, refused),
    }
}

/// `GET /password`.
pub async fn password(State(app): State<App>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    let speech = speech(&app, &parts);
    match form::visit(&app, &parts).await {
        Ok(visit) if matches!(visit.stage, Stage::Inside(_)) => go(&app, &format!("/message{}", speech.suffix), None),
        Ok(visit) => ask(&app, speech, visit, None).await,
        Err(refused) => view::refused(&app, speech, refused),
    }
}

/// `POST /password/send`.
pub async fn send_password(State(app): State<App>, request: Request) -> Answer {
    let speech = spoken(&app, &request);
    let (parts, visit, _) = match form::act(&app, request).await {
        Ok(act) => act,
        Err(trespass) => return trespassed(&app, speech, trespass),
    };
    let (client, visit) = (form::client(&app, &parts), std::sync::Arc::new(visit));
    let asking = std::sync::Arc::clone(&visit);
    match app.call(move |channel| channel.send_password(&asking, &client, speech.language)).await {
        Ok(()) => go(&app, &format!("/password{}", speech.suffix), None),
        Err(Refused::Soon) => view::password(&app, speech, &visit, (Field::Shown, Some(Problem::of(speech, "password-soon", &[])))),
        Err(refused) => view::refused(&app, speech, refused),
    }
}

/// `POST /password`.
pub async fn prove(State(app): State<App>, request: Request) -> Answer {
    let speech = spoken(&app, &request);
    let (parts, visit, act) = match form::act(&app, request).await {
        Ok(act) => act,
        Err(trespass) => return trespassed(&app, speech, trespass),
    };
    let (client, typed) = (form::client(&app, &parts), Secret::new(act.password));
    let visit = std::sync::Arc::new(visit);
    let proving = std::sync::Arc::clone(&visit);
    match app.call(move |channel| channel.prove(&proving, &typed, &client)).await {
        Ok(token) => go(&app, &format!("/message{}", speech.suffix), Some(&token)),
        Err(Refused::WrongPassword { left }) => {
            let problem = Problem::of(speech, "password-wrong", &[("left", &left.to_string())]);
            let field = if left > 0 { Field::Shown } else { Field::Hidden };
            view::password(&app, speech, &visit, (field, Some(problem)))
        }
        Err(Refused::Late) => view::password(&app, speech, &visit, (Field::Hidden, Some(Problem::of(speech, "password-late", &[])))),
        Err(refused) => view::refused(&app, speech, refused),
    }
}

/// `GET /message`: the message, or what is still to be proved.
pub async fn message(State(app): State<App>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    let speech = speech(&app, &parts);
    let visit = match form::visit(&app, &parts).await {
        Ok(visit) if matches!(visit.stage, Stage::Knocked(_)) => return go(&app, &format!("/password{}", speech.suffix), None),
        Ok(visit) => visit,
        Err(refused) => return view::refused(&app, speech, refused),
    };
    match app.call(move |channel| channel.letter(&visit).map(|letter| (visit, letter))).await {
        Ok((visit, letter)) => view::message(&app, speech, &visit, &letter),
        Err(refused) => view::refused(&app, speech, refused),
    }
}

/// `GET /message/body`: the message's own HTML, for its frame.
pub async fn body(State(app): State<App>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    document(&app, &parts, Paper::Frame).await
}

/// `GET /message/print`: the same with who and when, for paper.
pub async fn print(State(app): State<App>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    document(&app, &parts, Paper::Sheet).await
}

/// `POST /message/download`: spends one.
pub async fn download(State(app): State<App>, request: Request) -> Answer {
    take(app, request, |channel, visit, act| channel.take(visit, ItemId(act.item.ok_or(Refused::Gone)?))).await
}

/// `POST /message/all`.
pub async fn download_all(State(app): State<App>, request: Request) -> Answer {
    take(app, request, |channel, visit, _| channel.take_all(visit)).await
}

/// `POST /message/save`: the message as a file.
pub async fn save(State(app): State<App>, request: Request) -> Answer {
    take(app, request, |channel, visit, _| channel.save(visit)).await
}

/// `GET /d/<download>`: the octets of what was spent.
pub async fn fetch(State(app): State<App>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    let speech = speech(&app, &parts);
    let id = parts.uri.path().strip_prefix("/d/").and_then(DownloadId::parse);
    let (Some(id), Some(token)) = (id, app.site.token(&parts.headers)) else { return view::refused(&app, speech, Refused::Gone) };
    let ready = match app.call(move |channel| channel.ready(&token, id)).await {
        Ok(ready) => ready,
        Err(refused) => return view::refused(&app, speech, refused),
    };
    match serve(&app, &parts, ready).await {
        Ok(answer) => answer,
        Err(refused) => view::refused(&app, speech, refused),
    }
}

/// `POST /leave`.
pub async fn leave(State(app): State<App>, request: Request) -> Answer {
    let speech = spoken(&app, &request);
    let visit = match form::act(&app, request).await {
        Ok((_, visit, _)) => visit,
        Err(trespass) => return trespassed(&app, speech, trespass),
    };
    if let Err(refused) = app.call(move |channel| channel.leave(&visit)).await {
        return view::refused(&app, speech, refused);
    }
    let mut answer = view::sign(&app, speech, StatusCode::OK, ("left", None));
    put(&mut answer, header::SET_COOKIE, &app.site.clear_cookie());
    put(&mut answer, header::HeaderName::from_static("clear-site-data"), "\"cache\", \"storage\"");
    answer
}

/// `GET` where only a form leads: back to the message.
pub async fn back(State(app): State<App>, request: Request) -> Answer {
    let suffix = spoken(&app, &request).suffix;
    go(&app, &format!("/message{suffix}"), None)
}

/// `GET /help`.
pub async fn help(State(app): State<App>, request: Request) -> Answer {
    app.pages.respond((StatusCode::OK, "help.html"), spoken(&app, &request), minijinja::context! {})
}

/// `GET /`.
pub async fn home(State(app): State<App>, request: Request) -> Answer {
    view::sign(&app, spoken(&app, &request), StatusCode::OK, ("home", None))
}

/// `GET /healthz`.
pub async fn health(State(app): State<App>) -> (StatusCode, &'static str) {
    match app.call(|channel| Ok(channel.is_well())).await {
        Ok(true) => (StatusCode::OK, "ok\n"),
        Ok(false) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n"),
    }
}

/// `GET /robots.txt`.
pub async fn robots() -> &'static str {
    "User-agent: *\nDisallow: /\n"
}

/// `GET /assets/<hash>-<name>`: never another content under this name.
pub async fn asset(State(app): State<App>, request: Request) -> Answer {
    let path = request.uri().path();
    let Some(asset) = [&app.pages.style, &app.pages.mark].into_iter().find(|asset| asset.path == path) else {
        return missing(State(app.clone()), request).await;
    };
    let mut answer = Response::new(Body::from(asset.content.clone()));
    put(&mut answer, header::CONTENT_TYPE, asset.media_type);
    put(&mut answer, header::CACHE_CONTROL, "public, max-age=31536000, immutable");
    answer
}

/// Everything else.
pub async fn missing(State(app): State<App>, request: Request) -> Answer {
    view::sign(&app, spoken(&app, &request), StatusCode::NOT_FOUND, ("missing", None))
}

/// Where a message's HTML is to stand.
enum Paper {
    Frame,
    Sheet,
}

async fn document(app: &App, parts: &Parts, paper: Paper) -> Answer {
    let speech = speech(app, parts);
    let visit = match form::visit(app, parts).await {
        Ok(visit) => visit,
        Err(refused) => return view::refused(app, speech, refused),
    };
    match app.call(move |channel| Ok((channel.told(&visit)?, channel.html(&visit)?))).await {
        Ok((admitted, clean)) => {
            let head = matches!(paper, Paper::Sheet).then_some(&admitted);
            view::document(app, speech, &clean, head)
        }
        Err(refused) => view::refused(app, speech, refused),
    }
}

async fn take<F>(app: App, request: Request, spend: F) -> Answer
where
    F: FnOnce(&crate::channel::Channel, &Visit, &Act) -> Result<DownloadId, Refused> + Send + 'static,
{
    let speech = spoken(&app, &request);
    let (visit, act) = match form::act(&app, request).await {
        Ok((_, visit, act)) => (visit, act),
        Err(trespass) => return trespassed(&app, speech, trespass),
    };
    match app.call(move |channel| spend(channel, &visit, &act)).await {
        Ok(id) => go(&app, &format!("/d/{id}"), None),
        Err(refused) => view::refused(&app, speech, refused),
    }
}

/// 200, 206 or 416; for HEAD the head alone.
async fn serve(app: &App, parts: &Parts, ready: Ready) -> Result<Answer, Refused> {
    let (length, etag) = (ready.length, ready.etag.clone());
    let field = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    // RFC 9110 §14.2: Range counts for GET only. An archive has no ranges.
    let wanted = match &etag {
        Some(etag) if parts.method == Method::GET && range::stands(field("if-range"), etag) => range::wanted(field("range"), length),
        Some(_) | None => Wanted::Whole,
    };
    let (status, octets) = match wanted {
        Wanted::Whole => (StatusCode::OK, 0..length),
        Wanted::Part(octets) => (StatusCode::PARTIAL_CONTENT, octets),
        Wanted::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, 0..0),
    };
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    put(&mut answer, header::ACCEPT_RANGES, if etag.is_some() { "bytes" } else { "none" });
    match status {
        StatusCode::RANGE_NOT_SATISFIABLE => {
            put(&mut answer, header::CONTENT_RANGE, &format!("bytes */{length}"));
            return Ok(answer);
        }
        StatusCode::PARTIAL_CONTENT => {
            let last = octets.end.saturating_sub(1);
            put(&mut answer, header::CONTENT_RANGE, &format!("bytes {}-{last}/{length}", octets.start));
        }
        _ => {}
    }
    label(&mut answer, &ready, octets.end - octets.start);
    if parts.method == Method::GET {
        let client = guard::address(parts, &app.options);
        let seat = app.room.download(client).ok_or_else(|| Refused::Fault(Fault("more downloads run than there is room for".into())))?;
        let size = octets.end - octets.start;
        let content = app.call(move |channel| channel.fetch(ready, octets)).await?;
        *answer.body_mut() = stream::body(content, size, seat);
    }
    Ok(answer)
}

/// The header of octets that a browser shall save and never show.
fn label(answer: &mut Answer, ready: &Ready, size: u64) {
    put(answer, header::CONTENT_TYPE, "application/octet-stream");
    put(answer, header::CONTENT_LENGTH, &size.to_string());
    put(answer, header::CONTENT_DISPOSITION, &name::disposition(&ready.name));
    put(answer, header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'");
    if let Some(etag) = &ready.etag {
        put(answer, header::ETAG, &format!("\"{etag}\""));
    }
}

/// What the link in the target leads to. The target is read as it came: what it may look like is for [`LinkSecret`] to say.
async fn admit(app: &App, parts: &Parts) -> Result<(LinkSecret, crate::vault::Admitted), Refused> {
    let text = parts.uri.path().strip_prefix("/m/").unwrap_or_default();
    let link = LinkSecret::decode(text).ok_or(Refused::Gone)?;
    app.call(move |channel| channel.admit(&link).map(|admitted| (link, admitted))).await
}

async fn ask(app: &App, speech: Speech, visit: Visit, problem: Option<Problem>) -> Answer {
    match app.call(move |channel| channel.field(&visit).map(|field| (visit, field))).await {
        Ok((visit, field)) => view::password(app, speech, &visit, (field, problem)),
        Err(refused) => view::refused(app, speech, refused),
    }
}

/// 303 to one of our own paths, with the visit's cookie when it is new.
fn go(app: &App, path: &str, token: Option<&Token>) -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    put(&mut answer, header::LOCATION, path);
    if let Some(token) = token {
        put(&mut answer, header::SET_COOKIE, &app.site.set_cookie(token));
    }
    answer
}

fn forged(app: &App, speech: Speech) -> Answer {
    view::sign(app, speech, StatusCode::FORBIDDEN, ("forged", None))
}

fn trespassed(app: &App, speech: Speech, trespass: Trespass) -> Answer {
    match trespass {
        Trespass::Forged => forged(app, speech),
        Trespass::Refused(refused) => view::refused(app, speech, refused),
    }
}

fn speech(app: &App, parts: &Parts) -> Speech {
    Speech::of(&parts.uri, &parts.headers, app.pages.brand().language)
}

fn spoken(app: &App, request: &Request) -> Speech {
    Speech::of(request.uri(), request.headers(), app.pages.brand().language)
}

/// Sets a field. A value that cannot stand in one is left out, which no value of ours is.
fn put(answer: &mut Answer, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}
