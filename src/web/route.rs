//! Every route there is, in one table, and the header that every answer carries.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use super::pulse::Pulse;
use super::{App, act};

/// Methods and templates of all routes: what a stranger can ask for, and nothing else. HEAD goes where GET goes.
pub const ROUTES: [(&str, &str); 23] = [
    ("GET", "/"),
    ("GET", "/help"),
    ("GET", "/healthz"),
    ("GET", "/robots.txt"),
    ("GET", "/assets/{name}"),
    ("GET", "/m/{link}"),
    ("POST", "/m/{link}"),
    ("GET", "/password"),
    ("POST", "/password"),
    ("GET", "/password/send"),
    ("POST", "/password/send"),
    ("GET", "/message"),
    ("GET", "/message/body"),
    ("GET", "/message/print"),
    ("GET", "/message/download"),
    ("POST", "/message/download"),
    ("GET", "/message/all"),
    ("POST", "/message/all"),
    ("GET", "/message/save"),
    ("POST", "/message/save"),
    ("GET", "/d/{download}"),
    ("GET", "/leave"),
    ("POST", "/leave"),
];

/// The router, for the server and for tests without one.
pub fn router(app: App) -> Router {
    let landings = Router::new()
        .route("/", get(act::home))
        .route("/help", get(act::help))
        .route("/m/{*link}", get(act::landing).post(act::knock))
        .layer(middleware::from_fn_with_state(app.clone(), forward));
    Router::new()
        .merge(landings)
        .route("/healthz", get(act::health))
        .route("/robots.txt", get(act::robots))
        .route("/assets/{name}", get(act::asset))
        .route("/password", get(act::password).post(act::prove))
        .route("/password/send", get(act::back).post(act::send_password))
        .route("/message", get(act::message))
        .route("/message/body", get(act::body))
        .route("/message/print", get(act::print))
        .route("/message/download", get(act::back).post(act::download))
        .route("/message/all", get(act::back).post(act::download_all))
        .route("/message/save", get(act::back).post(act::save))
        .route("/d/{download}", get(act::fetch))
        .route("/leave", get(act::back).post(act::leave))
        .fallback(act::missing)
        .layer(middleware::from_fn_with_state(app.clone(), dress))
        .with_state(app)
}

/// Who comes by an old host goes on to the new one. A form that was open during the move is taken where it
/// was, and so is the visit that follows: its cookie knows no other host.
async fn forward(State(app): State<App>, request: Request, next: Next) -> Response {
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    match app.site.moved(request.uri(), request.headers()).filter(|_| looks) {
        Some(place) => Redirect::permanent(&place).into_response(),
        None => next.run(request).await,
    }
}

/// Puts on every answer what it does not set itself, and keeps up the pulse of its connection.
async fn dress(State(app): State<App>, request: Request, next: Next) -> Response {
    let answering = request.extensions().get::<Pulse>().map(Pulse::answer);
    let mut answer = next.run(request).await;
    if let Some(answering) = answering {
        answer = answer.map(|body| answering.watch(body));
    }
    let headers = answer.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(HeaderName::from_static(name)).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(PAGE_POLICY));
    if app.site.is_secure() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000"));
    }
    answer
}

const HEADERS: [(&str, &str); 9] = [
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    ("x-robots-tag", "noindex, nofollow, noarchive"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-frame-options", "SAMEORIGIN"),
    (
        "permissions-policy",
        "accelerometer=(), autoplay=(), camera=(), clipboard-read=(), clipboard-write=(), display-capture=(), encrypted-media=(), fullscreen=(), geolocation=(), gyroscope=(), hid=(), identity-credentials-get=(), idle-detection=(), local-fonts=(), magnetometer=(), microphone=(), midi=(), payment=(), picture-in-picture=(), publickey-credentials-create=(), publickey-credentials-get=(), screen-wake-lock=(), serial=(), storage-access=(), usb=(), web-share=(), window-management=(), xr-spatial-tracking=()",
    ),
    ("vary", "Accept-Language, Cookie"),
];

/// Nothing inline, nothing from elsewhere.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; form-action 'self'; frame-src 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'";
