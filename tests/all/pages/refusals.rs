//! What is refused, and that refusals tell a stranger nothing.

use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use waxseal::vault::Factor;

use super::house::{ANN, BASE, House, Thing, form};

#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_blocked_are_the_same_octets() {
    let house = House::new();
    let (parcel, blocked) = house.seal(&Thing::message());
    house.block(parcel);
    let unknown = "a".repeat(32);
    for (method, body) in [("GET", String::new()), ("HEAD", String::new()), ("POST", form(&[("address", ANN)]))] {
        let ask = |link: String| {
            let (browser, body) = (house.browser(), body.clone());
            async move { browser.send(method, &format!("/m/{link}"), &[("origin", BASE)], &body).await }
        };
        let (a, b) = (ask(blocked.clone()).await, ask(unknown.clone()).await);
        assert_eq!(a.status, StatusCode::NOT_FOUND);
        assert_eq!((a.status, &a.headers, &a.body), (b.status, &b.headers, &b.body), "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_link_says_so() {
    let house = House::new();
    let (_, link) = house.seal(&Thing::message());
    house.wait(14 * 24 * 3600);
    let page = house.browser().get(&format!("/m/{link}")).await;
    assert_eq!(page.status, StatusCode::GONE);
    assert!(page.text().contains("This link has expired"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_opens_without_the_right_visit() {
    let house = House::new();
    let (parcel, link) = house.seal(&Thing::message());
    let (_, other) = house.seal(&Thing { factor: Factor::None, ..Thing::message() });
    let inside = house.inside(&link).await;
    let page = inside.get("/message").await;
    let token = page.token();
    let download = inside.post("/message/download", &[("token", &token), ("item", "2")]).await.header("location").to_owned();
    let stranger = house.browser();
    let neighbour = house.browser();
    neighbour.knock(&other, ANN).await;
    let knocked = house.browser();
    knocked.knock(&link, ANN).await;
    for path in ["/message", "/message/body", "/message/print", "/password"] {
        assert_eq!(stranger.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    for path in ["/message/body", "/message/print"] {
        assert_eq!(knocked.get(path).await.status, StatusCode::FORBIDDEN, "{path}: first factor only");
    }
    assert_eq!(knocked.get("/message").await.status, StatusCode::SEE_OTHER);
    for browser in [&stranger, &neighbour, &knocked] {
        assert_eq!(browser.get(&download).await.status, StatusCode::NOT_FOUND);
        for path in ["/message/download", "/message/all", "/message/save", "/leave"] {
            assert_eq!(browser.post(path, &[("token", &token), ("item", "2")]).await.status, StatusCode::FORBIDDEN, "{path}");
        }
    }
    // The files of a visit are the files of its parcel; bodies and pictures are none.
    for item in ["0", "1", "99", "4294967295"] {
        assert_eq!(inside.post("/message/download", &[("token", &token), ("item", item)]).await.status, StatusCode::NOT_FOUND, "{item}");
    }
    house.block(parcel);
    for path in ["/message", "/message/body", &download] {
        assert_eq!(inside.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_from_elsewhere_changes_nothing() {
    let house = House::new();
    let (_, link) = house.seal(&Thing::message());
    let browser = house.inside(&link).await;
    let token = browser.get("/message").await.token();
    let foreign = house.inside(&house.seal(&Thing::message()).1).await.get("/message").await.token();
    let before = house.picture();
    let landing = format!("/m/{link}");
    let origins: [&[(&str, &str)]; 6] = [
        &[("referer", "https://evil.example/")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "null"), ("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site"), ("referer", BASE)],
    ];
    let silent = browser.send("POST", &landing, &[], &form(&[("address", ANN)])).await;
    assert_eq!(silent.status, StatusCode::FORBIDDEN, "outside of a visit silence proves nothing");
    for path in [&landing, "/password/send", "/password", "/message/download", "/message/all", "/message/save", "/leave"] {
        for origin in origins {
            let page = browser.send("POST", path, origin, &form(&[("token", &token), ("item", "2"), ("address", ANN)])).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{path} {origin:?}");
            assert!(page.header("set-cookie").is_empty());
        }
        if path != landing {
            for wrong in ["", "x", &foreign] {
                for headers in [&[("origin", BASE)][..], &[]] {
                    let page = browser.send("POST", path, headers, &form(&[("token", wrong), ("item", "2")])).await;
                    assert_eq!(page.status, StatusCode::FORBIDDEN, "{path} {wrong} {headers:?}");
                }
            }
        }
    }
    assert_eq!(house.picture(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_browser_gets_in_by_its_referer_and_on_by_its_token() {
    let house = House::new();
    let (_, link) = house.seal(&Thing { factor: Factor::None, ..Thing::message() });
    let browser = house.browser();
    let landing = format!("/m/{link}");
    let knocked = browser.send("POST", &landing, &[("referer", &format!("{BASE}{landing}"))], &form(&[("address", ANN)])).await;
    assert_eq!(knocked.header("location"), "/message");
    let page = browser.get("/message").await;
    assert!(page.text().contains("<a href=\"/message/body\">Message</a></iframe>"), "what has no frames follows a link");
    let press = form(&[("token", &page.token()), ("item", "2")]);
    let taken = browser.send("POST", "/message/download", &[], &press).await;
    assert_eq!(taken.status, StatusCode::SEE_OTHER);
    assert_eq!(browser.get(taken.header("location")).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_guesses_are_five_a_password_and_thirty_a_link() {
    let house = House::new();
    let (_, link) = house.seal(&Thing::message());
    let (mut evaluated, mut page) = (0, String::new());
    for minute in 0..2000 {
        let client = format!("2001:db8:{minute:x}::1");
        let browser = house.browser();
        browser.knock(&link, ANN).await;
        let password = browser.get("/password").await;
        if password.status != StatusCode::OK {
            continue;
        }
        let token = password.token();
        browser.post("/password/send", &[("token", &token)]).await;
        for _ in 0..6 {
            let answer = browser
                .send(
                    "POST",
                    "/password",
                    &[("origin", BASE), ("x-forwarded-for", &client)],
                    &form(&[("token", &token), ("password", "AAAAA-AAAAA")]),
                )
                .await;
            page = answer.text();
            evaluated += usize::from(page.contains("That is not the password"));
        }
        house.wait(16 * 60);
        if page.contains("This link is locked") {
            break;
        }
    }
    assert_eq!(evaluated, 30);
    assert!(page.contains("This link is locked"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parallel_guesser_has_no_more_tries_than_a_patient_one() {
    let house = House::new();
    let (_, link) = house.seal(&Thing::message());
    let browser = std::sync::Arc::new(house.browser());
    browser.knock(&link, ANN).await;
    let token = browser.get("/password").await.token();
    browser.post("/password/send", &[("token", &token)]).await;
    let mut guesses = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let (browser, token) = (browser.clone(), token.clone());
        guesses.spawn(async move { browser.post("/password", &[("token", &token), ("password", "AAAAA-AAAAA")]).await.text() });
    }
    let texts = guesses.join_all().await;
    assert_eq!(texts.iter().filter(|text| text.contains("That is not the password")).count(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_go_only_to_the_stored_address_and_not_too_often() {
    let house = House::new();
    let (_, link) = house.seal(&Thing::message());
    let browser = house.browser();
    for wrong in
        ["bob@patient.example", "ann@evil.example", "ann@patient.example, bob@evil.example", "", "\"ann\"@patient.example\r\nBcc: x@y.z"]
    {
        assert_eq!(browser.knock(&link, wrong).await.status, StatusCode::FORBIDDEN, "{wrong}");
    }
    browser.knock(&link, ANN).await;
    let token = browser.get("/password").await.token();
    for _ in 0..50 {
        browser.post("/password/send", &[("token", &token)]).await;
    }
    assert_eq!(house.passwords().len(), 1);
    assert_eq!(house.woken.load(Ordering::SeqCst), 1);
    house.wait(60);
    browser.post("/password/send", &[("token", &token)]).await;
    assert_eq!(house.passwords().iter().filter(|(to, _)| to == ANN).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_failures_of_one_client_make_it_wait() {
    let house = House::new();
    let mut last = String::new();
    for _ in 0..3 {
        let (_, link) = house.seal(&Thing::message());
        for _ in 0..9 {
            last = house.browser().knock(&link, "bob@patient.example").await.text();
        }
    }
    assert!(last.contains("Please wait a little"), "{last}");
    let (_, link) = house.seal(&Thing::message());
    assert_eq!(house.browser().knock(&link, ANN).await.status, StatusCode::TOO_MANY_REQUESTS);
    house.wait(15 * 60);
    assert_eq!(house.browser().knock(&link, ANN).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_claims_about_the_host_is_nowhere_in_the_answer() {
    let house = House::new();
    let (_, link) = house.seal(&Thing::message());
    let browser = house.inside(&link).await;
    let token = browser.get("/message").await.token();
    let evil = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("forwarded", "host=evil.example"),
        ("origin", BASE),
    ];
    for (method, path) in [
        ("GET", format!("/m/{link}")),
        ("GET", "/help".into()),
        ("GET", "/message".into()),
        ("POST", "/message/download".into()),
        ("GET", format!("http://evil.example/m/{link}")),
    ] {
        let page = browser.send(method, &path, &evil, &form(&[("token", &token), ("item", "2")])).await;
        assert!(!page.text().contains("evil.example") && !format!("{:?}", page.headers).contains("evil.example"), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_leads_elsewhere_leads_nowhere() {
    let house = House::new();
    let browser = house.browser();
    let steps = [
        "..",
        "%2e%2e",
        "%252e%252e",
        "..%2f..%2fetc%2fpasswd",
        "%c0%ae%c0%ae",
        "..%5c..",
        "%00",
        "etc/passwd",
        "....//",
        "%e0%80%ae",
        "~root",
        "a%0d%0aSet-Cookie:x",
        "{{7*7}}",
    ];
    for prefix in ["/m/", "/d/", "/assets/", "/", "/message/", "/assets/../"] {
        for step in steps {
            for tail in ["", "/passwd", "/../../x"] {
                let path = format!("{prefix}{step}{tail}");
                let Ok(_) = path.parse::<axum::http::Uri>() else { continue };
                assert_eq!(browser.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_header_of_the_house() {
    let house = House::new();
    let (_, link) = house.seal(&Thing::message());
    let browser = house.inside(&link).await;
    for path in
        [format!("/m/{link}"), "/message".into(), "/message/body".into(), "/help".into(), "/nothing".into(), "/d/x".into(), "/m/x".into()]
    {
        let page = browser.get(&path).await;
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-robots-tag", "noindex, nofollow, noarchive"),
            ("x-content-type-options", "nosniff"),
            ("cross-origin-opener-policy", "same-origin"),
            ("strict-transport-security", "max-age=63072000"),
        ] {
            assert_eq!(page.header(name), value, "{path} {name}");
        }
        assert!(page.header("permissions-policy").contains("camera=()"));
        assert!(page.header("content-security-policy").contains("default-src 'none'"));
        let expect = if path == "/message/body" { "no-referrer" } else { "same-origin" };
        assert_eq!(page.header("referrer-policy"), expect, "{path}");
        if path != "/message/body" {
            let text = page.text();
            assert!(!text.contains("<script") && !text.contains("style=\"") && !text.contains("<style"), "{path}: nothing inline");
        }
    }
}
