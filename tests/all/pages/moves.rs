//! The house has moved: what its old hosts still do.

use axum::http::StatusCode;
use waxseal::{channel, web};

use super::house::{ANN, BASE, House, Thing, form};

const OLD: &str = "https://old.clinic.example";

fn moved() -> House {
    House::with(BASE, web::Options { old_hosts: vec![OLD.to_owned()], ..web::Options::default() }, channel::Options::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_below_an_old_host_goes_on_without_effect() {
    let house = moved();
    let (_, link) = house.seal(&Thing::message());
    let before = house.picture();
    let browser = house.browser();
    for (path, method) in [format!("/m/{link}?lang=sv"), format!("/m/{}", "a".repeat(32)), "/".into(), "/help".into()]
        .iter()
        .flat_map(|path| [(path.clone(), "GET"), (path.clone(), "HEAD")])
    {
        let page = browser.send(method, &path, &[("host", "old.clinic.example")], "").await;
        assert_eq!((page.status, page.header("location")), (StatusCode::PERMANENT_REDIRECT, format!("{BASE}{path}").as_str()));
        assert_eq!((page.header("cache-control"), page.header("set-cookie")), ("no-store", ""), "{path}");
    }
    for host in ["secure.clinic.example", "evil.example", "old.clinic.example.evil.example"] {
        assert_eq!(browser.send("GET", &format!("/m/{link}"), &[("host", host)], "").await.status, StatusCode::OK, "{host}");
    }
    assert_eq!(house.picture(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_was_open_during_the_move_is_taken_and_its_visit_goes_on() {
    let house = moved();
    let (_, link) = house.seal(&Thing::public());
    let browser = house.browser();
    let there = [("host", "old.clinic.example"), ("origin", OLD)];
    let knocked = browser.send("POST", &format!("/m/{link}"), &there, &form(&[("person", "yes")])).await;
    assert_eq!((knocked.status, knocked.header("location")), (StatusCode::SEE_OTHER, "/message"));
    let page = browser.send("GET", "/message", &[("host", "old.clinic.example")], "").await;
    assert!(page.text().contains("programme.pdf"));
    let fields = form(&[("token", &page.token()), ("item", "0")]);
    let taken = browser.send("POST", "/message/download", &there, &fields).await;
    assert_eq!(browser.send("GET", taken.header("location"), &there[..1], "").await.body.len(), 4000);
    let foreign = house.browser();
    for origin in ["https://older.clinic.example", "http://old.clinic.example"] {
        let page = foreign.send("POST", &format!("/m/{link}"), &[("origin", origin)], &form(&[("person", "yes"), ("address", ANN)])).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{origin}");
    }
}
