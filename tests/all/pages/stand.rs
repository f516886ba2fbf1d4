//! The pages on a socket, walked through by a real browser.

use std::process::Command;

use tokio::net::TcpListener;

use super::house::{ANN, House, Thing, bytes};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Chromium and `npm ci` in tests/browser"]
async fn a_browser_walks_from_the_link_to_the_file() {
    use sha2::{Digest, Sha256};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let house = std::sync::Arc::new(House::at(&base));
    let (_, link) = house.seal(&Thing::message());
    let (_, public) = house.seal(&Thing::public());
    let served = tokio::spawn(waxseal::web::serve(listener, None, house.app.clone(), std::future::pending()));
    let mailbox = house.folder.path().join("password.txt");
    let (writer, path) = (house.clone(), mailbox.clone());
    let postman = tokio::task::spawn_blocking(move || {
        for _ in 0..2400 {
            if let Some((_, password)) = writer.passwords().last() {
                std::fs::write(&path, password).unwrap();
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    let sum = data_encoding::HEXLOWER.encode(&Sha256::digest(bytes(70_000)));
    let mut walk = Command::new("node");
    walk.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/walk.mjs"))
        .args(["--link", &format!("{base}/m/{link}"), "--public", &format!("{base}/m/{public}"), "--address", ANN, "--sha256", &sum])
        .args(["--password-command", &format!("cat {}", mailbox.display())])
        .args(["--pictures", concat!(env!("CARGO_MANIFEST_DIR"), "/target/walk")]);
    let done = tokio::task::spawn_blocking(move || walk.output().unwrap()).await.unwrap();
    postman.abort();
    served.abort();
    assert!(done.status.success(), "{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
}
