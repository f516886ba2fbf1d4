//! The ways in, and that looking costs nothing.

use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use waxseal::vault::{Factor, Role};

use super::house::{ANN, House, Thing};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_read_after_address_and_password() {
    let house = House::new();
    let (_, link) = house.seal(&Thing::message());
    let browser = house.browser();
    let landing = browser.get(&format!("/m/{link}")).await;
    assert_eq!(landing.status, StatusCode::OK);
    assert!(!landing.text().contains("Eva") && !landing.text().contains("results") && !landing.text().contains(ANN));

    let knocked = browser.knock(&link, " <Ann@Patient.example> ").await;
    assert_eq!((knocked.status, knocked.header("location")), (StatusCode::SEE_OTHER, "/message"));
    let cookie = knocked.header("set-cookie").to_owned();
    assert!(cookie.starts_with("__Host-waxseal=") && cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{cookie}");
    assert_eq!(browser.get("/message").await.header("location"), "/password");
    let before = browser.get("/password").await;
    assert!(before.text().contains("Send my password") && !before.text().contains("name=\"password\""));
    browser.post("/password/send", &[("token", &before.token())]).await;
    assert_eq!(house.woken.load(Ordering::SeqCst), 1);
    let after = browser.get("/password").await;
    assert!(after.text().contains("name=\"password\""));
    let passwords = house.passwords();
    assert_eq!(passwords.len(), 1);
    assert_eq!(passwords[0].0, ANN);

    let typed = passwords[0].1.to_lowercase().replace('-', " ");
    let old = browser.cookie.lock().unwrap().clone();
    let proved = browser.post("/password", &[("token", &after.token()), ("password", &typed)]).await;
    assert_eq!((proved.status, proved.header("location")), (StatusCode::SEE_OTHER, "/message"));
    assert_ne!(*browser.cookie.lock().unwrap(), old, "a new id at each factor");
    let message = browser.get("/message").await;
    for part in [
        "Your test results",
        "Eva Berg",
        "eva.berg@clinic.example",
        "Provsvar 2026-11-20.pdf",
        "thorax.jpg",
        "1.23 MB",
        "5 downloads left",
        "One picture",
    ] {
        assert!(message.text().contains(part), "{part}");
    }
    let body = browser.get("/message/body").await;
    assert!(body.text().contains("within their normal range") && body.text().contains("data:image/png;base64,"));
    for banned in ["evil.example", "<script", "<svg", "owned", "onload"] {
        assert!(!body.text().contains(banned), "{banned}");
    }
    assert!(body.header("content-security-policy").starts_with("sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'"));

    let left = browser.post("/leave", &[("token", &message.token())]).await;
    assert_eq!(left.status, StatusCode::OK);
    *browser.cookie.lock().unwrap() = old;
    assert_eq!(browser.get("/message").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scanner_that_submits_every_form_once_gets_nothing() {
    let house = House::new();
    for thing in [Thing::message(), Thing::public(), Thing { factor: Factor::None, ..Thing::message() }] {
        let (_, link) = house.seal(&thing);
        let scanner = house.browser();
        let path = format!("/m/{link}");
        scanner.get(&path).await;
        // As it stands, and with the fields filled in as scanners do.
        for fields in [vec![], vec![("address", "test@example.com")], vec![("address", "")]] {
            let page = scanner.post(&path, &fields).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN);
            assert!(!page.text().contains("Eva Berg") && !page.text().contains("programme.pdf"));
        }
        for path in ["/password/send", "/password", "/message/download", "/message/all", "/message/save", "/leave"] {
            assert_eq!(scanner.post(path, &[]).await.status, StatusCode::FORBIDDEN, "{path}");
        }
    }
    assert_eq!(house.passwords(), []);
    assert_eq!(house.woken.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_factor_the_act_alone_opens() {
    let house = House::new();
    let (_, public) = house.seal(&Thing::public());
    let browser = house.browser();
    let page = browser.post(&format!("/m/{public}"), &[("person", "yes")]).await;
    assert_eq!(page.header("location"), "/message");
    assert!(browser.get("/message").await.text().contains("programme.pdf"));
    let (_, addressed) = house.seal(&Thing { factor: Factor::None, ..Thing::message() });
    let browser = house.browser();
    assert_eq!(browser.post(&format!("/m/{addressed}"), &[("person", "yes")]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.knock(&addressed, ANN).await.header("location"), "/message");
    assert!(browser.get("/message").await.text().contains("Provsvar"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_survives_what_mail_programs_do_to_it() {
    let house = House::new();
    let (_, link) = house.seal(&Thing::message());
    let (first, second) = link.split_at(16);
    for path in [
        link.to_uppercase(),
        format!("{link}."),
        format!("{link})"),
        format!("{link}%3E"),
        format!("{link}="),
        format!("{link},"),
        format!("{first}=%0D%0A{second}"),
        format!("{link}%253E"),
    ] {
        assert_eq!(house.browser().get(&format!("/m/{path}")).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visit_ends_by_itself() {
    let house = House::new();
    let (_, link) = house.seal(&Thing::message());
    let browser = house.inside(&link).await;
    for _ in 0..4 {
        house.wait(14 * 60);
        assert_eq!(browser.get("/message").await.status, StatusCode::OK);
    }
    house.wait(5 * 60);
    assert_eq!(browser.get("/message").await.status, StatusCode::FORBIDDEN, "an hour in all");
    let browser = house.inside(&link).await;
    house.wait(15 * 60);
    assert_eq!(browser.get("/message").await.status, StatusCode::FORBIDDEN, "a quarter of an hour idle");
    assert!(house.channel.sweep().unwrap() >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_speak_the_readers_language_and_keep_the_choice_without_a_cookie() {
    let house = House::new();
    let (_, link) = house.seal(&Thing::message());
    let browser = house.browser();
    let swedish = browser.send("GET", &format!("/m/{link}"), &[("accept-language", "sv-SE,sv;q=0.9,en;q=0.8")], "").await;
    assert!(swedish.text().contains("<html lang=\"sv\">") && swedish.text().contains("Din e-postadress"));
    let chosen = browser.send("GET", &format!("/m/{link}?lang=en"), &[("accept-language", "sv")], "").await;
    assert!(chosen.text().contains("<html lang=\"en\">") && chosen.text().contains("action=\"?lang=en\""));
    let knocked = browser.post(&format!("/m/{link}?lang=sv"), &[("address", ANN)]).await;
    assert_eq!(knocked.header("location"), "/message?lang=sv");
    for path in ["/help?lang=sv", "/?lang=sv", "/password?lang=sv"] {
        let page = browser.get(path).await;
        assert!(page.text().contains("<html lang=\"sv\">") && page.body.len() < 30_000, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_cut_says_so() {
    let house = House::new();
    for (long, role, media_type) in [
        (false, Role::Html, "text/html"),
        (true, Role::Html, "text/html"),
        (false, Role::Text, "text/plain"),
        (true, Role::Text, "text/plain"),
    ] {
        let length = if long { 3 << 20 } else { 1 << 10 };
        let items = vec![(role, "", media_type, b"a letter ".repeat(length / 9))];
        let (_, link) = house.seal(&Thing { factor: Factor::None, items, ..Thing::message() });
        let browser = house.browser();
        browser.knock(&link, ANN).await;
        let says = browser.get("/message").await.text().contains("longer than this page shows");
        assert_eq!(says, long, "{media_type} {length}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_expiry_and_sweep_the_page_still_says_why() {
    let house = House::new();
    let (_, link) = house.seal(&Thing::message());
    let browser = house.inside(&link).await;
    house.wait(14 * 24 * 3600);
    house.vault.sweep(house.now()).unwrap();
    house.channel.sweep().unwrap();
    let page = house.browser().get(&format!("/m/{link}")).await;
    assert_eq!(page.status, StatusCode::GONE);
    assert!(page.text().contains("This link has expired") && !page.text().contains("Eva"));
    let swedish = house.browser().get(&format!("/m/{link}?lang=sv")).await;
    assert!(swedish.text().contains("Länkens tid är slut"));
    let wrong = house.browser().get(&format!("/m/{}", "b".repeat(32))).await;
    assert_eq!(wrong.status, StatusCode::NOT_FOUND);
    assert!(wrong.text().contains("There is nothing at this address"));
    assert_eq!(browser.get("/message").await.status, StatusCode::FORBIDDEN);
}
