//! Every notice in every language, with everything missing and with everything hostile.

use super::*;
use crate::crypto::link::LinkSecret;

fn brand(language: Language) -> Brand {
    Brand {
        name: "Björkdalens vårdcentral".into(),
        accent: "#8f2d22".into(),
        support: "it@clinic.example, 08-123 45 67".into(),
        language,
        zone: jiff::tz::TimeZone::get("Europe/Stockholm").unwrap_or(jiff::tz::TimeZone::UTC),
        base_url: "https://secure.clinic.example".into(),
    }
}

fn admd() -> Admd {
    Admd {
        domains: vec![crate::mail::Domain::parse("clinic.example").unwrap()],
        hostname: crate::mail::Domain::parse("mail.clinic.example").unwrap(),
        postmaster: Mailbox::parse("postmaster@clinic.example").unwrap(),
    }
}

fn notices(language: Language) -> Notices {
    Notices::new(brand(language), admd(), None).unwrap()
}

fn link() -> Link {
    Link {
        recipient: Mailbox::parse("pat@mail.example").unwrap(),
        secret: LinkSecret(Secret::new([7; 20])),
        expires: "2022-06-30T08:39:00Z".parse().unwrap(),
    }
}

fn about<'a>(kind: Kind, link: &'a Link, hostile: Option<&'a str>) -> About<'a> {
    match hostile {
        None => About { kind, link, sender: "", subject: None, files: Vec::new() },
        Some(words) => {
            About { kind, link, sender: words, subject: Some(words), files: vec![(Some(words), 25_080), (None, 0), (Some(""), u64::MAX)] }
        }
    }
}

const LANGUAGES: [Language; 2] = [Language::English, Language::Swedish];
const KINDS: [Kind; 3] = [Kind::PublicFiles, Kind::SecureFiles, Kind::SecureMessage];

#[test]
fn every_notice_renders_in_every_language_with_anything() {
    let link = link();
    let url = format!("https://secure.clinic.example/m/{}", link.secret.encode().expose());
    assert!(url.len() < 76);
    let long = "å".repeat(3000);
    for language in LANGUAGES {
        let notices = notices(language);
        for (kind, words) in KINDS.iter().flat_map(|kind| {
            [
                None,
                Some("Ann"),
                Some("<script>alert(1)</script>\"'>{{ x }}{% y %}"),
                Some("x\r\nBcc: all@example.org\r\n\r\n"),
                Some("https://evil.example/?q=1 www.evil.example"),
                Some(long.as_str()),
                Some("{ $sender } { mail-ask }"),
            ]
            .map(|words| (*kind, words))
        }) {
            let about = about(kind, &link, words);
            for shown in [notices.link_block(&about), notices.secure_message(&about)] {
                let case = format!("{language:?} {kind:?} {words:?}");
                assert!(shown.text.lines().any(|line| line == url), "the link stands alone on its line: {case}\n{}", shown.text);
                assert!(shown.html.contains(&format!("href=\"{url}\"")), "{case}");
                assert!(!shown.html.contains("<script>alert") && !shown.html.contains("\"'>"), "{case}");
                assert!(!shown.subject.contains(['\r', '\n']) && !shown.subject.is_empty(), "{case}");
                for body in [&shown.text, &shown.html] {
                    assert!(!body.contains("//evil.example") && !body.contains("www.evil"), "a live link: {case}");
                }
                for output in [&shown.text, &shown.html, &shown.subject] {
                    assert!(
                        !output.contains("mail-") || words.is_some_and(|words| words.contains("mail-")),
                        "a key without a text: {case}\n{output}"
                    );
                    assert!(!output.contains("Bcc: all") || !output.contains("\nBcc"), "a line of its own: {case}");
                    assert!(!output.contains(['\u{2068}', '\u{2069}']), "{case}");
                }
                assert!(shown.text.lines().all(|line| line.chars().count() < 300), "{case}");
                assert!(!shown.html.contains("<img") && !shown.html.contains("src="), "nothing is fetched: {case}");
            }
        }
    }
}

#[test]
fn a_block_lists_files_with_sizes_numbered_where_names_are_hidden() {
    let link = link();
    let about = About {
        kind: Kind::SecureFiles,
        link: &link,
        sender: "Ann Lee",
        subject: None,
        files: vec![(Some("provsvar 2022.pdf"), 25_080), (None, 1_500_000)],
    };
    let shown = notices(Language::Swedish).link_block(&about);
    for expect in
        ["25,08 kB", "Fil 2 (1,50 MB)", "30 juni 2022, 10:39 CEST", "Hämta filer", "https://secure.clinic.example", "it@clinic.example"]
    {
        assert!(shown.text.contains(expect), "{expect}\n{}", shown.text);
    }
    assert!(
        !shown.html.contains("<style") && !shown.html.contains("<html") && !shown.html.contains("class="),
        "a fragment has inline styles only"
    );
    assert_eq!(shown.subject, "Filer från Ann Lee");
}

#[test]
fn a_secure_message_speaks_the_house_language_with_english_below() {
    let link = link();
    let about = About { kind: Kind::SecureMessage, link: &link, sender: "Ann Lee", subject: Some("Provsvar"), files: vec![] };
    let shown = notices(Language::Swedish).secure_message(&about);
    assert!(shown.text.find("Öppna meddelandet").unwrap() < shown.text.find("Open message").unwrap());
    assert!(shown.html.starts_with("<!DOCTYPE html>") && shown.html.contains("Provsvar"));
    let shown = notices(Language::English).secure_message(&about);
    assert_eq!(shown.text.matches("Open message").count(), 1);
    assert!(!shown.text.contains("Öppna"));
}

#[test]
fn nobody_is_named_to_ask_where_nobody_is_to_be_asked() {
    let (link, to, author) = (link(), Mailbox::parse("pat@mail.example").unwrap(), Mailbox::parse("ann@clinic.example").unwrap());
    for language in LANGUAGES {
        let silent = Notices::new(Brand { support: String::new(), ..brand(language) }, admd(), None).unwrap();
        for (notices, expect) in [(notices(language), true), (silent, false)] {
            let password = notices.password(&to, &author, &Secret::new("7K2M-9QXW-4T".into()), language, Timestamp::UNIX_EPOCH);
            let password = crate::mail::Message::parse(password);
            let mut texts: Vec<String> = password.parts().into_iter().skip(1).map(|part| password.text(part)).collect();
            for kind in KINDS {
                let shown = if kind == Kind::SecureMessage {
                    notices.secure_message(&about(kind, &link, Some("Ann")))
                } else {
                    notices.link_block(&about(kind, &link, Some("Ann")))
                };
                texts.extend([shown.text, shown.html]);
            }
            assert_eq!(texts.len(), 8);
            for text in texts {
                assert_eq!(text.contains("Questions?") || text.contains("Frågor?"), expect, "{language:?}\n{text}");
                assert!(!text.contains("\n\n\n\n"), "{text}");
            }
        }
    }
}

#[test]
fn a_notice_says_of_its_page_what_the_page_asks() {
    let link = link();
    for (language, address) in [(Language::English, "your own e-mail address"), (Language::Swedish, "din egen e-postadress")] {
        for (kind, expect) in [(Kind::PublicFiles, false), (Kind::SecureFiles, true)] {
            let shown = notices(language).link_block(&about(kind, &link, Some("Ann")));
            for text in [shown.text.split_whitespace().collect::<Vec<_>>().join(" "), shown.html] {
                assert_eq!(text.contains(address), expect, "{kind:?}\n{text}");
                assert!(text.contains("https://secure.clinic.example"), "{text}");
            }
        }
    }
}

#[test]
fn a_password_stands_alone_and_nothing_answers_it() {
    let to = Mailbox::parse("pat@mail.example").unwrap();
    let author = Mailbox::parse("ann@clinic.example").unwrap();
    for language in LANGUAGES {
        let mail = notices(language).password(&to, &author, &Secret::new("7K2M-9QXW-4T".into()), language, Timestamp::UNIX_EPOCH);
        let message = crate::mail::Message::parse(mail);
        assert!(message.ambiguities().is_empty(), "{:?}", message.ambiguities());
        let value =
            |name: &str| message.header().first(name).map(|field| crate::mail::decode::unstructured(&field.value())).unwrap_or_default();
        assert!(value("From").contains("postmaster@clinic.example") && value("From").contains("Björkdalens"), "{}", value("From"));
        assert_eq!(value("To"), "pat@mail.example");
        assert_eq!(value("Reply-To"), "ann@clinic.example");
        assert_eq!(value("Auto-Submitted"), "auto-generated");
        assert_eq!(value("X-Auto-Response-Suppress"), "All");
        assert!(!value("Subject").contains("7K2M"));
        let parts = message.parts();
        assert!(message.root().media_type.is("multipart", "alternative"));
        let text = message.text(parts[1]);
        assert!(text.lines().any(|line| line == "7K2M-9QXW-4T"), "{text}");
        assert!(message.text(parts[2]).contains(">7K2M-9QXW-4T</p>"));
    }
}

#[test]
fn own_templates_take_the_place_of_ours_and_broken_ones_are_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    let mail = folder.path().join("mail");
    std::fs::create_dir(&mail).unwrap();
    let link = link();
    let about = About { kind: Kind::SecureMessage, link: &link, sender: "<b>Ann</b>", subject: None, files: vec![] };
    for (source, expect) in [
        ("<p>own {{ sender }} {{ link }}</p>", Ok("<p>own &lt;b&gt;Ann&lt;&#x2f;b&gt; https://")),
        ("<p>{{ sender }}</p>", Err("the template does not show the link")),
        ("{{ link }}\n{{ nothing }}", Err("undefined value")),
        ("{{ link|safe }}", Err("unknown filter: filter safe is unknown")),
        ("{% if %}", Err("syntax error")),
        ("{% autoescape false %}{{ link }}{% endautoescape %}", Err("escaping cannot be switched off")),
    ] {
        std::fs::write(mail.join("secure-message.html"), source).unwrap();
        match (Notices::new(brand(Language::English), admd(), Some(folder.path())), expect) {
            (Ok(notices), Ok(expect)) => {
                let html = notices.secure_message(&about).html;
                assert!(html.starts_with(expect), "{html}");
            }
            (Err(mistake), Err(expect)) => {
                assert!(mistake.what.contains(expect), "{source}: {mistake}");
                assert!(mistake.file.ends_with("mail/secure-message.html"), "{mistake}");
            }
            (result, _) => panic!("{source}: {:?}", result.err()),
        }
    }
}

#[test]
fn an_own_sheet_lies_under_our_own_words() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mail")).unwrap();
    std::fs::write(folder.path().join("mail/sheet.html"), "<b>{{ organisation }}</b>{% block content %}{% endblock %}").unwrap();
    let notices = Notices::new(brand(Language::English), admd(), Some(folder.path())).unwrap();
    let link = link();
    let about = About { kind: Kind::SecureMessage, link: &link, sender: "Ann", subject: None, files: vec![] };
    let html = notices.secure_message(&about).html;
    assert!(html.starts_with("<b>") && html.contains(link.secret.encode().expose()) && !html.contains("<head>"), "{html}");
}

#[test]
fn a_link_must_fit_a_line_and_mean_nothing_in_html() {
    for (base, fine) in [
        ("https://secure.example.org", true),
        ("http://127.0.0.1:8025", true),
        ("https://secure.example.org/", false),
        ("https://a\"onclick=x", false),
        ("javascript:alert(1)", false),
        ("https://a-name-that-is-far-too-long.example.org", false),
    ] {
        assert_eq!(is_link_base(base).is_ok(), fine, "{base}");
    }
}

#[test]
fn the_button_is_readable_on_any_accent() {
    for (colour, ink) in
        [("#8f2d22", "#ffffff"), ("#ffe066", "#1b1917"), ("#1a5fb4", "#ffffff"), ("#ffffff", "#1b1917"), ("#000000", "#ffffff")]
    {
        assert_eq!(ink_on(&accent(colour)), ink, "{colour}");
    }
    assert_eq!(accent("red;}"), "#8f2d22");
}
