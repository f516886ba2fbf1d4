//! Octets: ranges, limits, archives, blocks in the middle.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use waxseal::vault::{Factor, Kind, Role};

use super::house::{ANN, House, Thing, bytes};

fn files(downloads: Option<u32>, items: Vec<(&'static str, Vec<u8>)>) -> Thing {
    let items = items.into_iter().map(|(name, content)| (Role::File, name, "application/pdf", content)).collect();
    Thing { kind: Kind::SecureFiles, factor: Factor::None, downloads, items, ..Thing::message() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_ranges_are_what_lies_there() {
    let house = House::new();
    let plain = bytes(500_001);
    let (_, link) = house.seal(&files(None, vec![("a.pdf", plain.clone())]));
    let browser = house.browser();
    browser.knock(&link, ANN).await;
    let token = browser.get("/message").await.token();
    let mut download = browser.post("/message/download", &[("token", &token), ("item", "0")]).await.header("location").to_owned();
    let whole = browser.get(&download).await;
    assert_eq!((whole.status, &whole.body), (StatusCode::OK, &plain));
    let (size, mut state) = (plain.len() as u64, 7u64);
    let mut random = |below: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    for round in 0..1000 {
        let first = random(size);
        let last = first + random((size - first).min(9000));
        let (range, expect) = match round % 4 {
            0 | 1 => (format!("bytes={first}-{last}"), first..last.min(size - 1) + 1),
            2 => (format!("bytes={}-", size - 1 - last % 9000), size - 1 - last % 9000..size),
            _ => (format!("bytes=-{}", 1 + last % 9000), size - 1 - last % 9000..size),
        };
        let mut page = browser.send("GET", &download, &[("range", &range)], "").await;
        if page.status == StatusCode::GONE {
            // Three times the size were served: the next press is the next download.
            download = browser.post("/message/download", &[("token", &token), ("item", "0")]).await.header("location").to_owned();
            page = browser.send("GET", &download, &[("range", &range)], "").await;
        }
        assert_eq!(page.status, StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(page.header("content-range"), format!("bytes {}-{}/{size}", expect.start, expect.end - 1));
        assert_eq!(page.header("content-length"), (expect.end - expect.start).to_string());
        assert!(page.body == plain[expect.start as usize..expect.end as usize], "{range}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_stands_only_with_our_own_tag() {
    let house = House::new();
    let plain = bytes(1000);
    let (_, link) = house.seal(&files(None, vec![("a.pdf", plain.clone())]));
    let browser = house.browser();
    browser.knock(&link, ANN).await;
    let token = browser.get("/message").await.token();
    let download = browser.post("/message/download", &[("token", &token), ("item", "0")]).await.header("location").to_owned();
    let etag = browser.send("HEAD", &download, &[], "").await.header("etag").to_owned();
    assert!(etag.starts_with('"') && etag.len() > 10);
    for (if_range, status) in [(etag.as_str(), 206), ("\"other\"", 200), ("Tue, 15 Nov 1994 12:45:26 GMT", 200)] {
        let page = browser.send("GET", &download, &[("range", "bytes=0-9"), ("if-range", if_range)], "").await;
        assert_eq!(page.status.as_u16(), status, "{if_range}");
        assert_eq!(page.header("etag"), etag);
    }
    let page = browser.send("GET", &download, &[("range", "bytes=1000-")], "").await;
    assert_eq!((page.status.as_u16(), page.header("content-range")), (416, "bytes */1000"));
    // What was served so far is twice the size and a little, so a whole one more takes the next download.
    let page = browser.send("GET", &download, &[("range", "bytes=0-0,5-5")], "").await;
    assert_eq!(page.status, StatusCode::GONE);
    let download = browser.post("/message/download", &[("token", &token), ("item", "0")]).await.header("location").to_owned();
    let page = browser.send("GET", &download, &[("range", "bytes=0-0,5-5")], "").await;
    assert_eq!((page.status.as_u16(), page.body), (200, plain));
    assert_eq!(page.headers["content-disposition"], "attachment; filename=\"a.pdf\"; filename*=UTF-8''a.pdf");
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
        ("accept-ranges", "bytes"),
        ("content-security-policy", "sandbox; default-src 'none'"),
    ] {
        assert_eq!(page.headers[name], value);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_download_and_two_hundred_presses_are_one_download() {
    let house = House::new();
    let (_, link) = house.seal(&files(Some(1), vec![("a.pdf", bytes(1000))]));
    let mut visits = Vec::new();
    for _ in 0..200 {
        let browser = house.browser();
        browser.knock(&link, ANN).await;
        let token = browser.get("/message").await.token();
        visits.push((browser, token));
    }
    let mut presses = tokio::task::JoinSet::new();
    for (browser, token) in visits {
        presses.spawn(async move { browser.post("/message/download", &[("token", &token), ("item", "0")]).await.status.as_u16() });
    }
    let answers = presses.join_all().await;
    assert_eq!(answers.iter().filter(|&&status| status == 303).count(), 1);
    assert_eq!(answers.iter().filter(|&&status| status == 410).count(), 199);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_in_one_visit_is_one_download_and_three_times_its_size() {
    let house = House::new();
    let (_, link) = house.seal(&files(Some(1), vec![("a.pdf", bytes(1000))]));
    let browser = Arc::new(house.browser());
    browser.knock(&link, ANN).await;
    let token = browser.get("/message").await.token();
    let mut presses = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (browser, token) = (browser.clone(), token.clone());
        presses.spawn(
            async move { browser.post("/message/download", &[("token", &token), ("item", "0")]).await.header("location").to_owned() },
        );
    }
    let mut locations = presses.join_all().await;
    locations.dedup();
    assert_eq!(locations.len(), 1, "{locations:?}");
    for _ in 0..3 {
        assert_eq!(browser.get(&locations[0]).await.body.len(), 1000);
    }
    assert_eq!(browser.get(&locations[0]).await.status, StatusCode::GONE);
    assert_eq!(browser.post("/message/download", &[("token", &token), ("item", "0")]).await.status, StatusCode::GONE);
}

/// A download that broke off is no dead end: the page offers it as long as the visit may fetch it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_can_be_pressed_again_in_its_visit() {
    let house = House::new();
    let (_, link) = house.seal(&files(Some(1), vec![("a.pdf", bytes(1000))]));
    let browser = house.browser();
    browser.knock(&link, ANN).await;
    let token = browser.get("/message").await.token();
    for _ in 0..3 {
        let pressed = browser.post("/message/download", &[("token", &token), ("item", "0")]).await;
        let page = browser.get("/message").await.text();
        assert!(page.contains("download it again during this visit") && page.contains("name=\"item\""));
        assert_eq!(browser.get(pressed.header("location")).await.status, StatusCode::OK);
    }
    let page = browser.get("/message").await.text();
    assert!(page.contains("No downloads left") && !page.contains("name=\"item\""));
    let other = house.browser();
    other.knock(&link, ANN).await;
    assert!(other.get("/message").await.text().contains("No downloads left"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_fetched_is_given_back_on_leaving() {
    let house = House::new();
    let (_, link) = house.seal(&files(Some(1), vec![("a.pdf", bytes(1000)), ("b.pdf", bytes(1000))]));
    let browser = house.browser();
    browser.knock(&link, ANN).await;
    let token = browser.get("/message").await.token();
    let a = browser.post("/message/download", &[("token", &token), ("item", "0")]).await.header("location").to_owned();
    browser.post("/message/download", &[("token", &token), ("item", "1")]).await;
    browser.get(&a).await;
    browser.post("/leave", &[("token", &token)]).await;
    let browser = house.browser();
    browser.knock(&link, ANN).await;
    let page = browser.get("/message").await;
    assert_eq!(page.text().matches("No downloads left").count(), 1);
    assert_eq!(page.text().matches("One download left").count(), 1);
    assert_eq!(browser.get(&a).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_fetched_is_given_back_when_the_visit_times_out() {
    let house = House::new();
    let (_, link) = house.seal(&files(Some(1), vec![("a.pdf", bytes(1000)), ("b.pdf", bytes(1000))]));
    let browser = house.browser();
    browser.knock(&link, ANN).await;
    let token = browser.get("/message").await.token();
    let a = browser.post("/message/download", &[("token", &token), ("item", "0")]).await.header("location").to_owned();
    let b = browser.post("/message/download", &[("token", &token), ("item", "1")]).await.header("location").to_owned();
    browser.get(&a).await;
    house.wait(15 * 60);
    for _ in 0..2 {
        house.channel.sweep().unwrap();
    }
    let later = house.browser();
    later.knock(&link, ANN).await;
    let page = later.get("/message").await.text();
    assert_eq!((page.matches("No downloads left").count(), page.matches("One download left").count()), (1, 1));
    // What was begun may be fetched again for its day; what was given back may not.
    assert_eq!(browser.get(&a).await.status, StatusCode::OK);
    assert_eq!(browser.get(&b).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_was_fetched_is_not_given_back_file_by_file() {
    let house = House::new();
    let (_, link) = house.seal(&files(Some(1), vec![("a.pdf", bytes(1000)), ("b.pdf", bytes(1000))]));
    let browser = house.browser();
    browser.knock(&link, ANN).await;
    let token = browser.get("/message").await.token();
    let all = browser.post("/message/all", &[("token", &token)]).await.header("location").to_owned();
    browser.get(&all).await;
    house.wait(15 * 60);
    house.channel.sweep().unwrap();
    let later = house.browser();
    later.knock(&link, ANN).await;
    assert_eq!(later.get("/message").await.text().matches("No downloads left").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_files_are_an_archive_too_and_a_broken_off_one_harms_nothing() {
    let house = House::new();
    let names: Vec<&'static str> = (0..150).map(|number| &*Box::leak(format!("värde {number}.csv").into_boxed_str())).collect();
    let (_, link) = house.seal(&files(Some(1), names.iter().map(|name| (*name, bytes(1 + name.len() * 37))).collect()));
    let browser = house.browser();
    browser.knock(&link, ANN).await;
    let token = browser.get("/message").await.token();
    let download = browser.post("/message/all", &[("token", &token)]).await.header("location").to_owned();
    browser.begin(&download).await;
    let page = browser.get(&download).await;
    assert!(page.whole && page.header("content-length") == page.body.len().to_string());
    let path = house.folder.path().join("files.zip");
    std::fs::write(&path, &page.body).unwrap();
    let tested = Command::new("unzip").arg("-t").arg(&path).output().unwrap();
    assert!(tested.status.success() && String::from_utf8_lossy(&tested.stdout).matches(" OK").count() == 150, "{tested:?}");
}

/// Commits while something is done.
async fn commits<T>(house: &House, act: impl Future<Output = T>) -> (usize, T) {
    let before = house.commits.load(Ordering::SeqCst);
    let done = act.await;
    (house.commits.load(Ordering::SeqCst) - before, done)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_files_are_one_commit() {
    let house = House::new();
    let names: Vec<&'static str> = (0..1000).map(|number| &*Box::leak(format!("{number}.csv").into_boxed_str())).collect();
    let (_, link) = house.seal(&files(Some(1), names.iter().map(|name| (*name, name.as_bytes().to_vec())).collect()));
    let browser = house.browser();
    browser.knock(&link, ANN).await;
    let token = browser.get("/message").await.token();
    let press = [("token", token.as_str())];
    let (count, answer) = commits(&house, browser.post("/message/all", &press)).await;
    assert_eq!((count, answer.status), (1, StatusCode::SEE_OTHER));
    // Nothing of it was fetched, so all of it is given back.
    let (count, answer) = commits(&house, browser.post("/leave", &press)).await;
    assert_eq!((count, answer.status), (1, StatusCode::OK));
    let browser = house.browser();
    browser.knock(&link, ANN).await;
    let page = browser.get("/message").await;
    assert_eq!(page.text().matches("One download left").count(), 1000);
    let (count, answer) = commits(&house, browser.post("/message/all", &[("token", &page.token())])).await;
    assert_eq!((count, answer.status), (1, StatusCode::SEE_OTHER));
    // Setting octets apart before the first one is sent is one more.
    let (count, archive) = commits(&house, browser.get(answer.header("location"))).await;
    assert_eq!((count, archive.status, archive.whole), (1, StatusCode::OK, true));
    let zip = zip::ZipArchive::new(std::io::Cursor::new(archive.body)).unwrap();
    assert_eq!(zip.len(), 1000);
    assert_eq!(browser.get("/message").await.text().matches("download it again during this visit").count(), 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_and_single_files_at_once_spend_each_download_exactly_once() {
    let house = House::new();
    let (_, link) = house.seal(&files(Some(1), (0..8).map(|_| ("a.pdf", bytes(100))).collect()));
    let mut presses = tokio::task::JoinSet::new();
    for number in 0..40u32 {
        let browser = house.browser();
        browser.knock(&link, ANN).await;
        let token = browser.get("/message").await.token();
        presses.spawn(async move {
            let item = (number % 8).to_string();
            let (path, fields) = match number % 5 {
                0 => ("/message/all", vec![("token", token.as_str())]),
                _ => ("/message/download", vec![("token", token.as_str()), ("item", item.as_str())]),
            };
            let answer = browser.post(path, &fields).await;
            match (answer.status, path) {
                (StatusCode::GONE, _) => 0,
                (StatusCode::SEE_OTHER, "/message/all") => {
                    let archive = browser.get(answer.header("location")).await;
                    zip::ZipArchive::new(std::io::Cursor::new(archive.body)).unwrap().len()
                }
                (status, _) => {
                    assert_eq!(status, StatusCode::SEE_OTHER);
                    assert_eq!(browser.get(answer.header("location")).await.body.len(), 100);
                    1
                }
            }
        });
    }
    assert_eq!(presses.join_all().await.iter().sum::<usize>(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_used_up_is_left_out_of_the_archive() {
    let house = House::new();
    let (_, link) = house.seal(&files(Some(1), vec![("a.pdf", bytes(10)), ("b.pdf", bytes(20)), ("c.pdf", bytes(30))]));
    let first = house.browser();
    first.knock(&link, ANN).await;
    let token = first.get("/message").await.token();
    first.post("/message/download", &[("token", &token), ("item", "1")]).await;
    let second = house.browser();
    second.knock(&link, ANN).await;
    let token = second.get("/message").await.token();
    let archive = second.post("/message/all", &[("token", &token)]).await;
    let archive = second.get(archive.header("location")).await;
    let zip = zip::ZipArchive::new(std::io::Cursor::new(archive.body)).unwrap();
    let mut names: Vec<String> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a.pdf", "c.pdf"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_download_is_three_times_the_file_alone_and_in_archives_together() {
    let house = House::new();
    let (_, link) = house.seal(&files(Some(1), vec![("a.pdf", bytes(1000)), ("b.pdf", bytes(1000))]));
    let browser = house.browser();
    browser.knock(&link, ANN).await;
    let token = browser.get("/message").await.token();
    let press = async |path: &str, item: &str| match item {
        "" => browser.post(path, &[("token", &token)]).await,
        item => browser.post(path, &[("token", &token), ("item", item)]).await,
    };
    let one = press("/message/download", "0").await.header("location").to_owned();
    assert_eq!(browser.get(&one).await.body.len(), 1000);
    // The first file is in the archive without being spent again, as often as it has something left.
    let archive = press("/message/all", "").await.header("location").to_owned();
    assert_eq!(press("/message/all", "").await.header("location"), archive);
    assert_eq!(press("/message/download", "0").await.header("location"), one);
    for _ in 0..2 {
        assert_eq!(browser.get(&archive).await.status, StatusCode::OK);
    }
    for used_up in [&archive, &one] {
        assert_eq!(browser.get(used_up).await.status, StatusCode::GONE);
    }
    assert_eq!(press("/message/download", "0").await.status, StatusCode::GONE);
    // What is left of the second file can be had, alone or in an archive of its own.
    let rest = press("/message/all", "").await.header("location").to_owned();
    let zip = zip::ZipArchive::new(std::io::Cursor::new(browser.get(&rest).await.body)).unwrap();
    assert_eq!(zip.len(), 1);
    for path in ["/message/all", "/message/download"] {
        assert_eq!(press(path, "1").await.status, StatusCode::GONE, "{path}");
    }
}

/// An archive used to be paid for by grants that had served nothing, and a new one was made each time that it was used up.
#[tokio::test(flavor = "multi_thread")]
async fn pressing_for_the_archive_again_and_again_gives_no_file_more_often() {
    let house = House::new();
    let (_, link) = house.seal(&files(Some(1), vec![("a.bin", bytes(20_000)), ("b.bin", bytes(30_000))]));
    let browser = house.browser();
    browser.knock(&link, ANN).await;
    let token = browser.get("/message").await.token();
    let mut fetched = 0;
    for _ in 0..4 {
        for (path, item) in [("/message/all", "9"), ("/message/download", "0"), ("/message/download", "1")] {
            let pressed = browser.post(path, &[("token", &token), ("item", item)]).await;
            for _ in 0..5 {
                if pressed.status == StatusCode::SEE_OTHER {
                    let page = browser.get(pressed.header("location")).await;
                    fetched += if page.status == StatusCode::OK { page.body.len() } else { 0 };
                }
            }
        }
    }
    assert!((150_000..152_000).contains(&fetched), "{fetched} octets of 50,000");
}

/// The end of a visit used to look at the last archive alone.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_archive_gave_stays_spent_whatever_was_pressed_afterwards() {
    for leaves in [true, false] {
        let house = House::new();
        let (_, link) = house.seal(&files(Some(1), vec![("a.bin", bytes(20_000)), ("b.bin", bytes(30_000))]));
        let browser = house.browser();
        browser.knock(&link, ANN).await;
        let token = browser.get("/message").await.token();
        let archive = browser.post("/message/all", &[("token", &token)]).await.header("location").to_owned();
        for _ in 0..3 {
            assert_eq!(browser.get(&archive).await.status, StatusCode::OK);
        }
        browser.post("/message/all", &[("token", &token)]).await;
        if leaves {
            browser.post("/leave", &[("token", &token)]).await;
        } else {
            house.wait(15 * 60);
            house.channel.sweep().unwrap();
        }
        let later = house.browser();
        later.knock(&link, ANN).await;
        let page = later.get("/message").await;
        assert_eq!(page.text().matches("No downloads left").count(), 2, "leaves: {leaves}");
        assert_eq!(later.post("/message/all", &[("token", &page.token())]).await.status, StatusCode::GONE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_counts_in_an_archive_as_far_as_it_went() {
    let house = House::new();
    let (_, link) =
        house.seal(&files(Some(1), vec![("small.bin", bytes(1000)), ("large.bin", bytes(20 << 20)), ("last.bin", bytes(1000))]));
    let browser = house.browser();
    browser.knock(&link, ANN).await;
    let token = browser.get("/message").await.token();
    let archive = browser.post("/message/all", &[("token", &token)]).await.header("location").to_owned();
    browser.begin(&archive).await;
    assert_eq!(browser.get(&archive).await.status, StatusCode::OK);
    browser.post("/leave", &[("token", &token)]).await;
    let later = house.browser();
    later.knock(&link, ANN).await;
    assert_eq!(later.get("/message").await.text().matches("No downloads left").count(), 3);

    let (_, link) = house.seal(&files(Some(1), vec![("large.bin", bytes(20 << 20)), ("last.bin", bytes(1000))]));
    let browser = house.browser();
    browser.knock(&link, ANN).await;
    let token = browser.get("/message").await.token();
    let archive = browser.post("/message/all", &[("token", &token)]).await.header("location").to_owned();
    browser.begin(&archive).await;
    browser.post("/leave", &[("token", &token)]).await;
    let later = house.browser();
    later.knock(&link, ANN).await;
    let page = later.get("/message").await.text();
    assert_eq!(
        (page.matches("No downloads left").count(), page.matches("One download left").count()),
        (1, 1),
        "the last one was never begun"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_tells_no_names_to_who_has_the_host_s_key() {
    let house = House::new();
    let (_, link) = house.seal(&files(Some(3), vec![("850709-9805.pdf", bytes(100)), ("secret plan.pdf", bytes(100))]));
    let browser = house.browser();
    browser.knock(&link, ANN).await;
    let token = browser.get("/message").await.token();
    let one = browser.post("/message/download", &[("token", &token), ("item", "0")]).await;
    assert!(browser.get(one.header("location")).await.header("content-disposition").contains("850709-9805.pdf"));
    browser.post("/message/all", &[("token", &token)]).await;
    for (key, _) in house.picture() {
        let value = house.records.get(&key).unwrap().unwrap().value;
        for name in ["850709", "secret plan"] {
            assert!(!value.windows(name.len()).any(|part| part == name.as_bytes()), "{name} in {}", String::from_utf8_lossy(&key));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_fetched_alone_stays_spent_when_the_archive_around_it_was_not() {
    let house = House::new();
    let (_, link) = house.seal(&files(Some(1), vec![("a.pdf", bytes(1000)), ("b.pdf", bytes(1000)), ("c.pdf", Vec::new())]));
    let browser = house.browser();
    browser.knock(&link, ANN).await;
    let token = browser.get("/message").await.token();
    browser.post("/message/all", &[("token", &token)]).await;
    let one = browser.post("/message/download", &[("token", &token), ("item", "0")]).await.header("location").to_owned();
    browser.get(&one).await;
    browser.post("/message/download", &[("token", &token), ("item", "1")]).await;
    browser.post("/leave", &[("token", &token)]).await;
    let later = house.browser();
    later.knock(&link, ANN).await;
    let page = later.get("/message").await.text();
    // Never two for the one that was spent, though two downloads of it were left lying.
    assert_eq!((page.matches("No downloads left").count(), page.matches("One download left").count()), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_ends_a_running_download() {
    use http_body_util::BodyExt;
    let house = House::new();
    let (parcel, link) = house.seal(&files(None, vec![("a.pdf", bytes(8 << 20))]));
    let browser = house.browser();
    browser.knock(&link, ANN).await;
    let token = browser.get("/message").await.token();
    let download = browser.post("/message/download", &[("token", &token), ("item", "0")]).await.header("location").to_owned();
    let service = hyper_util::service::TowerToHyperService::new(waxseal::web::router(house.app.clone()));
    let cookie = browser.cookie.lock().unwrap().clone().unwrap();
    let request = axum::http::Request::builder().uri(&download).header("cookie", cookie).body(axum::body::Body::empty()).unwrap();
    let mut body = hyper::service::Service::call(&service, request).await.unwrap().into_body();
    let mut got = body.frame().await.unwrap().unwrap().into_data().unwrap().len();
    house.block(parcel);
    let mut broken = false;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => got += frame.into_data().map_or(0, |data| data.len()),
            Err(_) => broken = true,
        }
    }
    assert!(broken && got <= 2 << 20, "{got}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_files_come_as_one_archive_that_every_tool_opens() {
    let house = House::new();
    let contents = vec![
        ("Prov svar.pdf", bytes(70_000)),
        ("../Prov Svar.pdf", bytes(10)),
        ("år/röntgen.jpg", bytes(300_000)),
        ("con.txt", Vec::new()),
    ];
    let (_, link) = house.seal(&files(Some(1), contents.clone()));
    let browser = house.browser();
    browser.knock(&link, ANN).await;
    let token = browser.get("/message").await.token();
    let download = browser.post("/message/all", &[("token", &token)]).await.header("location").to_owned();
    assert_eq!(browser.post("/message/all", &[("token", &token)]).await.header("location"), download);
    let page = browser.get(&download).await;
    assert!(page.whole && page.status == StatusCode::OK);
    assert_eq!(page.header("content-length"), page.body.len().to_string());
    assert_eq!(page.header("accept-ranges"), "none");
    let path = house.folder.path().join("files.zip");
    std::fs::write(&path, &page.body).unwrap();
    let script = "import sys,zipfile;z=zipfile.ZipFile(sys.argv[1]);assert z.testzip() is None;print('\\n'.join(i.filename+' '+str(i.file_size) for i in z.infolist()))";
    let listed = Command::new("python3").args(["-c", script]).arg(&path).env("PYTHONIOENCODING", "utf-8").output().unwrap();
    assert!(listed.status.success(), "{listed:?}");
    assert_eq!(String::from_utf8(listed.stdout).unwrap(), "Prov svar.pdf 70000\nProv Svar (2).pdf 10\nröntgen.jpg 300000\n_con.txt 0\n");
    let tested = Command::new("unzip").arg("-t").arg(&path).output().unwrap();
    assert!(tested.status.success(), "{tested:?}");
    // Each was spent once, so singly it is free in this visit.
    let single = browser.post("/message/download", &[("token", &token), ("item", "0")]).await;
    assert_eq!(browser.get(single.header("location")).await.body, contents[0].1);
    let other = house.browser();
    other.knock(&link, ANN).await;
    let token = other.get("/message").await.token();
    assert_eq!(other.post("/message/all", &[("token", &token)]).await.status, StatusCode::GONE);
}
