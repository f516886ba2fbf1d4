//! A message that is kept as `.eml`, and that this is no way around the limits.

use std::io::Read;
use std::process::Command;

use axum::http::StatusCode;
use waxseal::mail::{Message, decode};
use waxseal::vault::{Factor, Kind, Role, Words};

use super::house::{ANN, Browser, House, PNG, Page, Thing, bytes};

const ORIGINAL: &[u8] = b"From: eva.berg@clinic.example\r\nSubject: hej\r\n\r\nhej\r\n";

/// A body, a picture in it and two files that can be taken once; with the original where a signature stood on it.
fn letter(original: Option<&[u8]>) -> Thing {
    let mut items = vec![
        (Role::Text, "", "text/plain", "Hej på dig\r\n".as_bytes().to_vec()),
        (Role::Html, "", "text/html", "<p>Hej på dig <img src=\"cid:logo@clinic\"></p>".as_bytes().to_vec()),
        (Role::Inline { content_id: "logo@clinic".into() }, "logo.png", "image/png", PNG.to_vec()),
        (Role::File, "Provsvar å.pdf", "application/pdf", bytes(70_001)),
        (Role::File, "fråga.eml", "message/rfc822", b"Subject: inner\r\n\r\nx\r\n".to_vec()),
    ];
    items.extend(original.map(|octets| (Role::Raw, "message.eml", "message/rfc822", octets.to_vec())));
    Thing { factor: Factor::None, downloads: Some(1), subject: Words::Hidden("Prov — svar".into()), items, ..Thing::message() }
}

async fn inside(house: &House, link: &str) -> (Browser, String) {
    let browser = house.browser();
    browser.knock(link, ANN).await;
    let token = browser.get("/message").await.token();
    (browser, token)
}

async fn press(browser: &Browser, token: &str, path: &str) -> Page {
    match path.split_once('#') {
        Some((path, item)) => browser.post(path, &[("token", token), ("item", item)]).await,
        None => browser.post(path, &[("token", token)]).await,
    }
}

/// The names of the files in a message and their contents.
fn files(octets: &[u8]) -> Vec<(String, Vec<u8>)> {
    let message = Message::parse(octets.to_vec().into());
    assert!(message.ambiguities().is_empty(), "{:?}", message.ambiguities());
    let named = message.parts().into_iter().filter_map(|part| Some((part.file_name.clone()?, part)));
    let content = |part| {
        let mut octets = Vec::new();
        message.content(part).read_to_end(&mut octets).unwrap();
        octets
    };
    named.map(|(name, part)| (name, content(part))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_message_is_what_was_sealed_and_every_reader_opens_it() {
    let house = House::new();
    let (_, link) = house.seal_for(&letter(None), &[ANN, "bo@patient.example"]);
    let (browser, token) = inside(&house, &link[0]).await;
    assert!(browser.get("/message").await.text().contains("counts as a download"));
    let saved = press(&browser, &token, "/message/save").await;
    assert_eq!(press(&browser, &token, "/message/save").await.header("location"), saved.header("location"));
    let head = browser.send("HEAD", saved.header("location"), &[], "").await;
    let page = browser.get(saved.header("location")).await;
    assert!(page.whole && page.status == StatusCode::OK);
    assert_eq!(
        (page.header("content-length"), head.header("content-length")),
        (page.body.len().to_string().as_str(), page.header("content-length"))
    );
    assert!(
        page.header("content-disposition").contains("filename=\"message.eml\"")
            && page.header("content-type") == "application/octet-stream"
    );
    let wanted: Vec<(String, Vec<u8>)> = ["logo.png", "Provsvar å.pdf", "fråga.eml"]
        .map(String::from)
        .into_iter()
        .zip([PNG.to_vec(), bytes(70_001), b"Subject: inner\r\n\r\nx\r\n".to_vec()])
        .collect();
    assert_eq!(files(&page.body), wanted);
    let message = Message::parse(page.body.clone().into());
    let field = |name: &str| decode::unstructured(&message.header().first(name).unwrap().value());
    assert_eq!(field("Subject"), "Prov — svar");
    assert_eq!(field("From"), "Eva Berg <eva.berg@clinic.example>");
    assert_eq!(field("To"), format!("{ANN}, bo@patient.example"));
    assert_eq!(field("Message-ID"), "<1@clinic.example>");

    let path = house.folder.path().join("message.eml");
    std::fs::write(&path, &page.body).unwrap();
    let script = "import sys,email,email.policy;m=email.message_from_binary_file(open(sys.argv[1],'rb'),policy=email.policy.default);\
b=lambda k:m.get_body((k,)).get_content();\
assert not any(p.defects for p in m.walk()),[p.defects for p in m.walk()];\
print(m['subject'],b('plain').strip(),b('html').strip(),sorted(len(a.get_content()) for a in m.iter_attachments()))";
    let read = Command::new("python3").args(["-c", script]).arg(&path).env("PYTHONIOENCODING", "utf-8").output().unwrap();
    assert!(read.status.success(), "{read:?}");
    let expect = "Prov — svar Hej på dig <p>Hej på dig <img src=\"cid:logo@clinic\"></p> [21, 70001]\n";
    assert_eq!(String::from_utf8(read.stdout).unwrap(), expect);
}

#[tokio::test(flavor = "multi_thread")]
async fn saving_costs_a_download_of_each_file_and_leaves_out_what_has_none() {
    let house = House::new();
    let (_, link) = house.seal(&letter(None));
    let (first, token) = inside(&house, &link).await;
    let file = press(&first, &token, "/message/download#3").await;
    first.get(file.header("location")).await;
    let (second, token) = inside(&house, &link).await;
    let saved = press(&second, &token, "/message/save").await;
    let names = |page: &Page| files(&page.body).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(&second.get(saved.header("location")).await), ["logo.png", "fråga.eml"]);
    assert!(second.get("/message").await.text().matches("No downloads left").count() == 1, "the other one may be fetched again");
    // Alone and in the message together it is three times at most.
    assert_eq!(press(&second, &token, "/message/download#4").await.status, StatusCode::SEE_OTHER);
    let alone = press(&second, &token, "/message/download#4").await;
    for _ in 0..2 {
        assert_eq!(second.get(alone.header("location")).await.status, StatusCode::OK);
    }
    for used_up in [alone.header("location"), saved.header("location")] {
        assert_eq!(second.get(used_up).await.status, StatusCode::GONE);
    }
    // The body alone costs nothing.
    let (third, token) = inside(&house, &link).await;
    let saved = press(&third, &token, "/message/save").await;
    assert_eq!(names(&third.get(saved.header("location")).await), ["logo.png"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_original_costs_all_that_is_in_it_or_cannot_be_had() {
    let house = House::new();
    let (_, link) = house.seal(&letter(Some(ORIGINAL)));
    let (browser, token) = inside(&house, &link).await;
    assert_eq!(press(&browser, &token, "/message/download#5").await.status, StatusCode::NOT_FOUND, "not as a file");
    let saved = press(&browser, &token, "/message/save").await;
    assert_eq!(browser.get(saved.header("location")).await.body, ORIGINAL);
    for path in ["/message/all", "/message/download#3"] {
        let pressed = press(&browser, &token, path).await;
        for status in [StatusCode::OK, StatusCode::OK, StatusCode::GONE] {
            if path == "/message/all" {
                assert_eq!(browser.get(pressed.header("location")).await.status, status, "what was spent has twice left");
            }
        }
        assert_eq!(press(&browser, &token, path).await.status, StatusCode::GONE, "{path}");
    }
    let (later, token) = inside(&house, &link).await;
    for path in ["/message/save", "/message/all", "/message/download#3"] {
        assert_eq!(press(&later, &token, path).await.status, StatusCode::GONE, "{path}");
    }

    let (_, link) = house.seal(&letter(Some(ORIGINAL)));
    let (browser, token) = inside(&house, &link).await;
    let file = press(&browser, &token, "/message/download#3").await;
    browser.get(file.header("location")).await;
    browser.post("/leave", &[("token", &token)]).await;
    let (later, token) = inside(&house, &link).await;
    assert_eq!(press(&later, &token, "/message/save").await.status, StatusCode::GONE, "a file in it is used up");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_original_alone_is_resumed_like_a_file_and_files_alone_are_no_message() {
    let house = House::new();
    let items = vec![(Role::Raw, "message.eml", "message/rfc822", ORIGINAL.to_vec())];
    let (_, link) = house.seal(&Thing { items, ..letter(None) });
    let (browser, token) = inside(&house, &link).await;
    let page = browser.get("/message").await.text();
    assert!(page.contains("kept whole") && !page.contains("no files"));
    let saved = press(&browser, &token, "/message/save").await;
    let part = browser.send("GET", saved.header("location"), &[("range", "bytes=6-")], "").await;
    assert_eq!((part.status, part.body.as_slice()), (StatusCode::PARTIAL_CONTENT, &ORIGINAL[6..]));
    for kind in [Kind::SecureFiles, Kind::PublicFiles] {
        let items = vec![(Role::File, "a.pdf", "application/pdf", bytes(10))];
        let (_, link) = house.seal(&Thing { kind, items, ..letter(None) });
        let browser = house.browser();
        browser.post(&format!("/m/{link}"), &[("address", ANN), ("person", "yes")]).await;
        let page = browser.get("/message").await;
        assert!(!page.text().contains("/message/save") && !page.text().contains("Save the message"));
        assert_eq!(press(&browser, &page.token(), "/message/save").await.status, StatusCode::NOT_FOUND);
    }
}
