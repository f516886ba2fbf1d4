//! W1: looking costs nothing. W15: the table of routes is all that there is.

use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use waxseal::store::records::Record;
use waxseal::web::ROUTES;

use super::house::{ANN, Browser, House, Thing};

/// Everything in the store, octet for octet.
fn records(house: &House) -> Vec<Record> {
    house.records.scan(b"", b"", 1_000_000).unwrap()
}

/// A route as somebody asks for it.
fn target(template: &str, link: &str, download: &str, asset: &str) -> String {
    template.replace("/m/{link}", &format!("/m/{link}")).replace("/d/{download}", download).replace("/assets/{name}", asset)
}

/// The stylesheet, whose name holds a digest.
async fn asset(browser: &Browser) -> String {
    let page = browser.get("/").await.text().replace("&#x2f;", "/");
    page.split('"').find(|text| text.starts_with("/assets/")).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_looks_at_every_page_change_nothing() {
    let house = House::new();
    let (_, link) = house.seal(&Thing::message());
    let (_, public) = house.seal(&Thing::public());
    let (stranger, knocked, visitor) = (house.browser(), house.browser(), house.browser());
    // One who waits for a password, and one inside with a download, of files that have a limit.
    visitor.post(&format!("/m/{public}"), &[("person", "yes")]).await;
    let token = visitor.get("/message").await.token();
    let download = visitor.post("/message/download", &[("token", &token), ("item", "0")]).await.header("location").to_owned();
    knocked.knock(&link, ANN).await;
    let token = knocked.get("/password").await.token();
    knocked.post("/password/send", &[("token", &token)]).await;
    let asset = asset(&stranger).await;

    let before = records(&house);
    for prefix in ["vl/", "vp/", "vs/", "vm/", "vc/", "channel/visit/", "channel/link/", "channel/grant/"] {
        assert!(before.iter().any(|record| record.key.starts_with(prefix.as_bytes())), "there is something to be changed: {prefix}");
    }
    let paths: Vec<String> =
        ROUTES.iter().filter(|(method, _)| *method == "GET").map(|(_, template)| target(template, &link, &download, &asset)).collect();
    for path in ["/password/send", "/message/download", "/message/all", "/leave", &format!("/m/{link}"), &download] {
        assert!(paths.iter().any(|known| known == path), "{path} is looked at");
    }
    let others = [format!("/m/{public}"), "/m/x".into(), "/message?lang=sv".into()];
    for (who, browser) in [("a stranger", &stranger), ("who knocked", &knocked), ("a visitor", &visitor)] {
        for path in paths.iter().chain(&others) {
            // Who fetches what was granted to him is served: that is no look.
            let methods: &[&str] = if who == "a visitor" && *path == download { &["HEAD"] } else { &["GET", "HEAD", "OPTIONS"] };
            for method in methods {
                look(browser, method, path).await;
            }
        }
        assert!(records(&house) == before, "{who} changed something by looking");
    }
    assert_eq!((house.passwords().len(), house.woken.load(Ordering::SeqCst)), (1, 1));
}

async fn look(browser: &Browser, method: &str, path: &str) {
    let mut seen = None;
    for _ in 0..100 {
        let page = browser.send(method, path, &[("purpose", "prefetch"), ("range", "bytes=0-9")], "").await;
        assert!(method == "GET" || page.body.is_empty(), "{method} {path}");
        assert!(page.header("set-cookie").is_empty(), "{method} {path}");
        assert_eq!(*seen.get_or_insert(page.status), page.status, "{method} {path} answers alike each time");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_asked_for_stands_in_the_table() {
    let house = House::new();
    let (_, link) = house.seal(&Thing::message());
    let asset = asset(&house.browser()).await;
    let download = format!("/d/{}", "0".repeat(32));
    for (_, template) in ROUTES {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"] {
            let known = ROUTES.contains(&(method, template));
            let status = house.browser().send(method, &target(template, &link, &download, &asset), &[], "").await.status;
            assert_eq!(status != StatusCode::METHOD_NOT_ALLOWED, known, "{method} {template}: {status}");
        }
    }
}
