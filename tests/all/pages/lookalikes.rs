//! Domains that look like another one are shown as what they are: row S17 of the attacks to be survived.

use axum::http::StatusCode;
use waxseal::mail::Domain;

use super::house::{ANN, House, Thing};
use crate::lookalikes::LOOKALIKES;

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_the_mail_with_the_password_show_which_domain_it_is() {
    for name in LOOKALIKES {
        let (house, ascii) = (House::new(), Domain::parse(name).unwrap());
        let (_, links) = house.seal_for(&Thing::message(), &[&format!("eva@{name}"), ANN]);
        let (browser, address) = (house.browser(), format!("eva@{ascii}"));
        let landing = browser.get(&format!("/m/{}", links[0])).await.text();
        // People type what they see.
        assert_eq!(browser.knock(&links[0], &format!("eva@{name}")).await.status, StatusCode::SEE_OTHER, "{name}");
        let asked = browser.get("/password").await;
        browser.post("/password/send", &[("token", &asked.token())]).await;
        let (_, mail) = house.waiting().remove(0);
        let token = browser.get("/password").await.token();
        let (to, password) = house.passwords().remove(0);
        assert_eq!(to, address);
        assert_eq!(browser.post("/password", &[("token", &token), ("password", &password)]).await.status, StatusCode::SEE_OTHER);
        let message = browser.get("/message").await.text();
        for (what, shown) in [("password page", &asked.text()), ("password mail", &mail), ("message page", &message)] {
            assert!(shown.contains(&address), "{what} of {name}: {shown}");
        }
        let print = browser.get("/message/print").await.text();
        for (what, shown) in [("landing", landing), ("password page", asked.text()), ("mail", mail), ("message", message), ("print", print)]
        {
            assert!(!shown.contains(name), "{what} of {name} shows it as it looks");
        }
    }
}
