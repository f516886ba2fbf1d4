//! Who may answer for the address that a message was sent to.

use axum::http::StatusCode;
use waxseal::channel::{self, Details, Shared};
use waxseal::mail::Domain;
use waxseal::web;

use super::house::{ANN, BASE, Browser, House, Thing};

const BO: &str = "bo@patient.example";
const CY: &str = "cy@patients.example";

fn open_minded() -> House {
    let domains = ["patient.example", "patients.example"].map(|domain| Domain::parse(domain).unwrap());
    let shared = vec![Shared::try_from("team@patient.example".to_owned()).unwrap()];
    let options = channel::Options { same_domains: vec![domains.to_vec()], details: Details::Same, shared, ..channel::Options::default() };
    House::with(BASE, web::Options::default(), options)
}

/// The page where the password is typed, and the newest password with whom it went to.
async fn asked(house: &House, browser: &Browser) -> (String, (String, String)) {
    house.wait(60);
    let token = browser.get("/password").await.token();
    browser.post("/password/send", &[("token", &token)]).await;
    (browser.get("/password").await.text(), house.passwords().last().unwrap().clone())
}

async fn proves(browser: &Browser, password: &str) -> bool {
    let token = browser.get("/password").await.token();
    browser.post("/password", &[("token", &token), ("password", password)]).await.status == StatusCode::SEE_OTHER
}

#[tokio::test(flavor = "multi_thread")]
async fn without_configuration_nobody_answers_but_the_address() {
    let house = House::new();
    let (_, links) = house.seal_for(&Thing::message(), &["team@patient.example", ANN]);
    for link in &links {
        for typed in [BO, CY, "ann+x@patient.example", "team@patients.example"] {
            assert_eq!(house.browser().knock(link, typed).await.status, StatusCode::FORBIDDEN, "{typed}");
        }
    }
    assert!(!house.browser().get(&format!("/m/{}", links[0])).await.text().contains("several people"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_answers_and_the_password_goes_to_the_address_that_was_sealed() {
    let house = open_minded();
    let (_, link) = house.seal(&Thing::message());
    for typed in ["ann@patients.example", "Ann+letters@patient.example"] {
        let browser = house.browser();
        assert_eq!(browser.knock(&link, typed).await.status, StatusCode::SEE_OTHER, "{typed}");
        let (page, (to, password)) = asked(&house, &browser).await;
        assert!(to == ANN && page.contains(ANN) && !page.contains(typed));
        assert!(proves(&browser, &password).await);
        assert!(!browser.get("/message").await.text().contains("You are"));
    }
    assert_eq!(house.browser().knock(&link, BO).await.status, StatusCode::FORBIDDEN, "ann is not shared");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_shared_mailbox_each_reader_gets_a_password_of_the_own() {
    let house = open_minded();
    let (_, links) = house.seal_for(&Thing::message(), &["team@patient.example"]);
    let landing = house.browser().get(&format!("/m/{}", links[0])).await.text();
    assert!(landing.contains("several people") && !landing.contains("patient.example"));
    let (bo, cy) = (house.browser(), house.browser());
    for (browser, typed) in [(&bo, BO), (&cy, CY)] {
        assert_eq!(browser.knock(&links[0], typed).await.status, StatusCode::SEE_OTHER, "{typed}");
    }
    assert_eq!(house.browser().knock(&links[0], "bo@elsewhere.example").await.status, StatusCode::FORBIDDEN);
    let (page, (to, password)) = asked(&house, &bo).await;
    assert!(to == BO && page.contains(BO));
    assert!(!proves(&cy, &password).await, "a colleague's password opens for the colleague");
    assert!(proves(&bo, &password).await);
    assert!(bo.get("/message").await.text().contains(&format!("You are</dt><dd>{BO}")));
    let (_, (to, password)) = asked(&house, &cy).await;
    assert!(to == CY && proves(&cy, &password).await);
    // The limits are those of the link, not of each reader.
    for number in 0..20 {
        let browser = house.browser();
        browser.knock(&links[0], &format!("reader{number}@patient.example")).await;
        let page = browser.get("/password").await;
        browser.post("/password/send", &[("token", &page.token())]).await;
        house.wait(60);
    }
    assert_eq!(house.passwords().len(), 5, "five an hour");
}
