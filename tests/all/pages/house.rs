//! A whole channel in a temporary folder, with real stores and a clock that is moved by hand.

use std::io::{Cursor, Read};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use waxseal::channel::{self, Channel, Parts};
use waxseal::clock::Clock;
use waxseal::crypto::KeyRing;
use waxseal::mail::{Admd, Domain, Mailbox};
use waxseal::notice::Notices;
use waxseal::queue::{self, Lane, Queue, Stores};
use waxseal::store::blobs::DirectoryBlobs;
use waxseal::store::records::Record;
use waxseal::store::redb::RedbRecords;
use waxseal::store::slots::FileSlots;
use waxseal::store::{Blobs, Check, Conflict, Fault, Records, SealedRecords, Slots, Write};
use waxseal::vault::{Access, Factor, Kind, NewItem, NewParcel, ParcelId, Role, State, Vault, Words};
use waxseal::web::{self, App};
use waxseal::words::{Brand, Language};

pub const BASE: &str = "https://secure.clinic.example";
pub const ANN: &str = "ann@patient.example";

pub struct House {
    pub vault: Arc<Vault>,
    pub queue: Arc<Queue>,
    pub records: SealedRecords,
    pub channel: Arc<Channel>,
    pub app: App,
    pub woken: Arc<AtomicUsize>,
    /// Commits so far, of everybody.
    pub commits: Arc<AtomicUsize>,
    clock: Arc<AtomicI64>,
    pub folder: tempfile::TempDir,
}

/// What is sealed for a test.
pub struct Thing {
    pub kind: Kind,
    pub factor: Factor,
    pub downloads: Option<u32>,
    pub subject: Words,
    pub items: Vec<(Role, &'static str, &'static str, Vec<u8>)>,
}

impl Thing {
    pub fn message() -> Self {
        Self {
            kind: Kind::SecureMessage,
            factor: Factor::Password,
            downloads: Some(5),
            subject: Words::Shown("Your test results and the next appointment".into()),
            items: vec![
                (Role::Html, "", "text/html", HTML.as_bytes().to_vec()),
                (Role::Inline { content_id: "logo@clinic".into() }, "logo.png", "image/png", PNG.to_vec()),
                (Role::File, "Provsvar 2026-11-20.pdf", "application/pdf", bytes(70_000)),
                (Role::File, "Röntgen/thorax.jpg", "image/jpeg", bytes(1_234_567)),
                (Role::Raw, "message.eml", "message/rfc822", b"Subject: hej\r\n\r\nhej\r\n".to_vec()),
            ],
        }
    }

    pub fn public() -> Self {
        let items = vec![(Role::File, "programme.pdf", "application/pdf", bytes(4000))];
        Self { kind: Kind::PublicFiles, factor: Factor::None, downloads: Some(1), items, ..Self::message() }
    }
}

impl House {
    pub fn new() -> Self {
        Self::at(BASE)
    }

    pub fn at(base: &str) -> Self {
        Self::with(base, web::Options::default(), channel::Options::default())
    }

    pub fn with(base: &str, web: web::Options, channel: channel::Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let commits = Arc::new(AtomicUsize::new(0));
        let engine = RedbRecords::open(&folder.path().join("records.redb")).unwrap();
        let engine = Arc::new(Counted { engine, commits: commits.clone() });
        let records = SealedRecords::new(engine, Arc::new(KeyRing::generate()));
        let blobs: Arc<dyn Blobs> = Arc::new(DirectoryBlobs::open(&folder.path().join("blobs")).unwrap());
        let slots: Arc<dyn Slots> = Arc::new(FileSlots::open(&folder.path().join("slots")).unwrap());
        let vault = Arc::new(Vault::new(records.clone(), blobs.clone(), slots.clone()));
        let domain = Domain::parse("clinic.example").unwrap();
        let admd = Admd { domains: vec![domain.clone()], hostname: domain, postmaster: mailbox("postmaster@clinic.example") };
        let clock = Arc::new(AtomicI64::new(1_795_000_000));
        let now = Timestamp::from_second(clock.load(Ordering::SeqCst)).unwrap();
        let stores = Stores { records: records.clone(), blobs, slots, lanes: Arc::new(|_| Lane::default()) };
        let queue = Arc::new(Queue::open(stores, admd.clone(), queue::Options::default(), now).unwrap());
        let brand = Brand {
            name: "Lindgren Clinic".into(),
            accent: "#1f5f5b".into(),
            support: "08-123 45 67, weekdays 8-17".into(),
            language: Language::English,
            zone: jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap(),
            base_url: base.into(),
        };
        let woken = Arc::new(AtomicUsize::new(0));
        let parts = Parts {
            vault: vault.clone(),
            queue: queue.clone(),
            records: records.clone(),
            notices: Arc::new(Notices::new(brand.clone(), admd.clone(), None).unwrap()),
            admd,
            brand,
            wake: Arc::new({
                let woken = woken.clone();
                move || {
                    woken.fetch_add(1, Ordering::SeqCst);
                }
            }),
            clock: Clock::new({
                let clock = clock.clone();
                move || Timestamp::from_second(clock.load(Ordering::SeqCst)).unwrap()
            }),
        };
        let channel = Arc::new(Channel::new(parts, channel));
        let app = App::new(channel.clone(), web, None).unwrap();
        Self { vault, queue, records, channel, app, woken, commits, clock, folder }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_second(self.clock.load(Ordering::SeqCst)).unwrap()
    }

    pub fn wait(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Seals for Ann; tells the link's 32 characters.
    pub fn seal(&self, thing: &Thing) -> (ParcelId, String) {
        let (parcel, mut links) = self.seal_for(thing, &[ANN]);
        (parcel, links.remove(0))
    }

    pub fn seal_for(&self, thing: &Thing, recipients: &[&str]) -> (ParcelId, Vec<String>) {
        let new_item = |(role, name, media_type, content): &(Role, &'static str, &'static str, Vec<u8>)| NewItem {
            role: role.clone(),
            name: (*name).to_owned(),
            media_type: (*media_type).to_owned(),
            content: Box::new(Cursor::new(content.clone())),
        };
        let expires = self.now().checked_add(jiff::SignedDuration::from_hours(14 * 24)).unwrap();
        let parcel = NewParcel {
            kind: thing.kind,
            sender: mailbox("eva.berg@clinic.example"),
            sender_name: Some(Words::Shown("Eva Berg".into())),
            message_id: "<1@clinic.example>".into(),
            subject: thing.subject.clone(),
            date: Some(self.now()),
            visible: recipients.iter().map(|text| mailbox(text)).collect(),
            access: Access { factor: thing.factor, expires, downloads: thing.downloads },
            items: thing.items.iter().map(new_item).collect(),
            recipients: recipients.iter().map(|text| mailbox(text)).collect(),
        };
        let sealed = self.vault.seal(parcel, self.now()).unwrap();
        self.records.commit(Vec::new(), sealed.go_live).unwrap();
        (sealed.parcel, sealed.links.iter().map(|link| link.secret.encode().expose().clone()).collect())
    }

    pub fn block(&self, parcel: ParcelId) {
        self.vault.set_blocked(parcel, State::Blocked, self.now()).unwrap();
    }

    /// The passwords in the mails that wait in the queue, with whom they go to.
    pub fn passwords(&self) -> Vec<(String, String)> {
        let read = self.waiting().into_iter().map(|(to, octets)| {
            let is_code = |line: &&str| {
                line.len() == 11
                    && line.as_bytes()[5] == b'-'
                    && line.chars().all(|c| c == '-' || c.is_ascii_digit() || c.is_ascii_uppercase())
            };
            (to, octets.lines().map(str::trim).find(is_code).expect("a password alone on its line").to_owned())
        });
        read.collect()
    }

    /// The mails that wait in the queue, with whom they go to.
    pub fn waiting(&self) -> Vec<(String, String)> {
        let leases = self.queue.lease(Lane::default(), self.now(), 1000).unwrap();
        let read = leases.iter().map(|lease| {
            let mut octets = String::new();
            self.queue.body(lease).read_to_string(&mut octets).unwrap();
            (lease.envelope.recipients[0].forward_path.to_string(), octets)
        });
        let read = read.collect();
        for lease in leases {
            let id = lease.id;
            self.queue.settle(lease, vec![], self.now()).unwrap();
            self.queue.retry(&[id], self.now());
        }
        read
    }

    /// Everything in the store, as it lies there: to see whether anything changed.
    pub fn picture(&self) -> Vec<(Vec<u8>, u64)> {
        self.records.scan(b"", b"", 1_000_000).unwrap().into_iter().map(|record| (record.key, record.version)).collect()
    }

    pub fn browser(&self) -> Browser {
        Browser { service: TowerToHyperService::new(web::router(self.app.clone())), cookie: Mutex::new(None) }
    }

    /// A browser that has gone all the way in.
    pub async fn inside(&self, link: &str) -> Browser {
        let browser = self.browser();
        assert_eq!(browser.knock(link, ANN).await.status, StatusCode::SEE_OTHER);
        let page = browser.get("/password").await;
        assert_eq!(browser.post("/password/send", &[("token", &page.token())]).await.status, StatusCode::SEE_OTHER);
        let password = self.passwords().last().unwrap().1.clone();
        let token = browser.get("/password").await.token();
        let answer = browser.post("/password", &[("token", &token), ("password", &password)]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
        for id in self.queue.list(None, 1000).unwrap() {
            self.queue.drop_entry(id.id).unwrap();
        }
        browser
    }
}

/// An engine whose commits are counted.
struct Counted {
    engine: RedbRecords,
    commits: Arc<AtomicUsize>,
}

impl Records for Counted {
    fn get(&self, key: &[u8]) -> Result<Option<Record>, Fault> {
        self.engine.get(key)
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Record>, Fault> {
        self.engine.scan(prefix, from, limit)
    }

    fn commit(&self, checks: Vec<Check>, writes: Vec<Write>) -> Result<(), Conflict> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.engine.commit(checks, writes)
    }
}

/// A browser without a screen: keeps its cookie, sends what browsers send.
pub struct Browser {
    service: TowerToHyperService<axum::Router>,
    pub cookie: Mutex<Option<String>>,
}

pub struct Page {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub body: Vec<u8>,
    /// Whether the body came to its end.
    pub whole: bool,
}

impl Page {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The form token.
    pub fn token(&self) -> String {
        let text = self.text();
        let after = text.split("name=\"token\" value=\"").nth(1).unwrap_or_else(|| panic!("no form: {} {text}", self.status));
        after.split('"').next().unwrap().to_owned()
    }
}

impl Browser {
    pub async fn get(&self, path: &str) -> Page {
        self.send("GET", path, &[], "").await
    }

    pub async fn knock(&self, link: &str, address: &str) -> Page {
        self.post(&format!("/m/{link}"), &[("address", address)]).await
    }

    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.send("POST", path, &[("origin", BASE)], &form(fields)).await
    }

    #[allow(clippy::too_many_arguments, reason = "a request has these four parts")]
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Page {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if method == "POST" {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        let cookie = self.cookie.lock().unwrap().clone();
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        let answer = self.service.call(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        self.take(answer).await
    }

    /// Takes the first piece of an answer and goes away.
    pub async fn begin(&self, path: &str) {
        use http_body_util::BodyExt;
        let cookie = self.cookie.lock().unwrap().clone().unwrap();
        let request = Request::builder().uri(path).header("cookie", cookie).body(Body::empty()).unwrap();
        let mut answer = self.service.call(request).await.unwrap().into_body();
        assert!(answer.frame().await.unwrap().is_ok());
    }

    async fn take(&self, answer: Response<Body>) -> Page {
        use http_body_util::BodyExt;
        let (parts, mut body) = answer.into_parts();
        if let Some(set) = parts.headers.get("set-cookie") {
            let pair = set.to_str().unwrap().split(';').next().unwrap().to_owned();
            *self.cookie.lock().unwrap() = (!pair.ends_with('=')).then_some(pair);
        }
        let (mut octets, mut whole) = (Vec::new(), true);
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => octets.extend(frame.into_data().unwrap_or_default()),
                Err(_) => whole = false,
            }
        }
        Page { status: parts.status, headers: parts.headers, body: octets, whole }
    }
}

pub fn form(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| text.bytes().map(|octet| format!("%{octet:02X}")).collect::<String>();
    fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&")
}

pub fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

/// Octets that look like nothing and are the same every time.
pub fn bytes(count: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

const HTML: &str = r#"<html><head><style>@import url(https://evil.example/a.css)</style></head><body>
<p><img src="cid:logo@clinic" alt="Lindgren Clinic" width="96" height="48"></p>
<p>Dear Ann,</p>
<p>Your blood samples from <b>20 November</b> have come back. All values are <b>within their normal range</b>; your iron is a little low, as we expected.</p>
<table style="border-collapse:collapse"><tr><th align="left" style="padding:4px 16px 4px 0">Value</th><th align="left" style="padding:4px 16px 4px 0">Result</th><th align="left">Reference</th></tr>
<tr><td style="padding:4px 16px 4px 0">Haemoglobin</td><td>128 g/l</td><td>117 – 153</td></tr><tr><td>Ferritin</td><td>14 µg/l</td><td>13 – 148</td></tr><tr><td>TSH</td><td>2.1 mIU/l</td><td>0.4 – 4.0</td></tr></table>
<p>The full report and the X-ray are attached. Please <a href="https://clinic.example/book">book a time</a> in three months.</p>
<p>Kind regards,<br>Eva Berg, physician</p>
<img src="https://evil.example/pixel.gif"><script>document.title='owned'</script><svg onload="x()"></svg>
</body></html>"#;

/// A small picture: 2 × 1 pixels.
pub const PNG: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0, 0x90,
    0x77, 0x53, 0xde, 0, 0, 0, 0x0c, b'I', b'D', b'A', b'T', 8, 0xd7, 0x63, 0xf8, 0xcf, 0xc0, 0, 0, 3, 1, 1, 0, 0x18, 0xdd, 0x8d, 0xb0, 0,
    0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82,
];
