//! The program as an operator meets it: what it says, what it leaves alone, and its exit status.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::ports::free_port;

fn waxseal(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_waxseal")).args(words).stdin(Stdio::null()).output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A set-up of its own.
struct SetUp {
    place: TempDir,
    smtp: u16,
}

impl SetUp {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let (smtp, web) = (free_port(), free_port());
        let made = waxseal(&[
            "init",
            "--yes",
            "--directory",
            place.path().join("s").to_str().unwrap(),
            "--domain",
            "example.org",
            "--smtp",
            &format!("127.0.0.1:{smtp}"),
            "--web",
            &format!("127.0.0.1:{web}"),
            "--base-url",
            &format!("http://127.0.0.1:{web}"),
            "--next-hop",
            "127.0.0.1:9",
            "--admin",
            &format!("127.0.0.1:{}", free_port()),
        ]);
        assert!(made.status.success(), "{}", told(&made));
        Self { place, smtp }
    }

    fn path(&self, inside: &str) -> std::path::PathBuf {
        self.place.path().join("s").join(inside)
    }

    fn configuration(&self) -> String {
        self.path("waxseal.toml").display().to_string()
    }

    fn edit(&self, before: &str, after: &str) {
        let text = fs::read_to_string(self.path("waxseal.toml")).unwrap();
        assert!(text.contains(before));
        fs::write(self.path("waxseal.toml"), text.replace(before, after)).unwrap();
    }

    fn run(&self, words: &[&str]) -> Output {
        let configuration = self.configuration();
        waxseal(&[words, &["--config", &configuration]].concat())
    }

    fn serve(&self) -> Child {
        let mut child = Command::new(env!("CARGO_BIN_EXE_waxseal"))
            .args(["serve", "--allow-root", "--config", &self.configuration()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", self.smtp)).is_err() {
            assert!(child.try_wait().unwrap().is_none() && Instant::now() < end, "it does not serve");
            std::thread::sleep(Duration::from_millis(20));
        }
        child
    }
}

/// SIGTERM, then exit status and log.
fn ended(mut child: Child) -> (Option<i32>, String) {
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    (child.wait().unwrap().code(), log)
}

fn open_to_all(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn init_writes_nothing_that_check_would_refuse() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("s");
    for (flags, expect) in [
        (vec![], "no domain is named"),
        (vec!["--domain", "not_a domain"], "\"not_a\": the domain is not a valid name"),
        (vec!["--domain", "example.org", "--smtp", "25"], "\"25\" is not address:port, as in 127.0.0.1:25 or [::]:25"),
        (vec!["--domain", "example.org", "--next-hop", "smarthost"], "\"smarthost\" is not host:port"),
        (vec!["--domain", "example.org", "--base-url", "http://secure.example.org"], "is not an https address"),
        (vec!["--domain", "example.org", "--relay-network", "10/33"], "or networks, as in \"192.0.2.0/24\""),
    ] {
        let output = waxseal(&[&["init", "--yes", "--directory", directory.to_str().unwrap()], flags.as_slice()].concat());
        assert_eq!(output.status.code(), Some(1), "{flags:?}");
        assert!(told(&output).contains(expect), "{flags:?}: {}", told(&output));
        assert!(!directory.exists(), "{flags:?}");
    }
}

#[test]
fn a_second_init_changes_nothing() {
    let house = SetUp::new();
    let key = fs::read(house.path("keys/kek")).unwrap();
    let again = waxseal(&["init", "--yes", "--domain", "example.org", "--directory", house.path("").to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(1));
    assert!(told(&again).contains("there is a configuration already; nothing was changed"), "{}", told(&again));
    fs::remove_file(house.path("waxseal.toml")).unwrap();
    let over_keys = waxseal(&["init", "--yes", "--domain", "example.org", "--directory", house.path("").to_str().unwrap()]);
    assert!(told(&over_keys).contains("keys/kek: File exists"), "{}", told(&over_keys));
    assert_eq!(fs::read(house.path("keys/kek")).unwrap(), key);
}

#[test]
fn what_is_wrong_in_any_file_is_told_at_once_with_its_place() {
    let house = SetUp::new();
    assert_eq!(String::from_utf8(house.run(&["check"]).stdout).unwrap(), format!("{}: no mistakes\n", house.configuration()));
    house.edit("[smtp]", "[smtp]\nusers_file = \"users\"");
    house.edit("[relay]", "[relay]\nusername = \"gateway\"\npassword_file = \"keys/hop\"");
    fs::write(house.path("users"), "nobody\n").unwrap();
    for file in ["rules/iban.toml", "policies/20-files.toml", "policies/tests/files.toml"] {
        fs::OpenOptions::new().append(true).open(house.path(file)).unwrap().write_all(b"\nsurprise = 1\n").unwrap();
    }
    open_to_all(&house.path("certs/mail.example.org/privkey.pem"));
    open_to_all(&house.path("keys/dkim/example.org/waxseal.rsa.pem"));
    open_to_all(&house.path("keys/dkim/example.org/waxseal-ed25519.ed25519.pem"));
    open_to_all(&house.path("keys/kek"));
    let output = house.run(&["check"]);
    let said = told(&output);
    assert_eq!(output.status.code(), Some(1));
    for expect in [
        "rules/iban.toml:",
        "policies/20-files.toml:",
        "policies/tests/files.toml:",
        "privkey.pem: readable by everyone (mode 0644)",
        "waxseal.rsa.pem: open to everyone (mode 0644)",
        "waxseal-ed25519.ed25519.pem: open to everyone (mode 0644)",
        "users:1: no \":\" between name and hash\n    a line is  name:hash:addresses  as `waxseal user add` writes it",
        "keys/hop: cannot be read",
        "keys/kek: others than its owner may read it (mode 0644)\n    chmod 0400",
    ] {
        assert!(said.contains(expect), "{expect:?} is missing in:\n{said}");
    }
    fs::remove_file(house.path("keys/kek")).unwrap();
    assert!(told(&house.run(&["check"])).contains("bring it back from the recovery sheet: `waxseal recover`"));
}

#[test]
fn a_domain_without_a_dkim_key_is_remarked_on() {
    let house = SetUp::new();
    fs::remove_dir_all(house.path("keys/dkim/example.org")).unwrap();
    let output = house.run(&["check"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("no key for example.org"), "{said}");
}

#[test]
fn a_listener_of_the_operator_that_others_reach_is_remarked_on() {
    let house = SetUp::new();
    let text = fs::read_to_string(house.path("waxseal.toml")).unwrap();
    let (before, _) = text.split_once("[admin]").unwrap();
    fs::write(house.path("waxseal.toml"), format!("{before}[admin]\nlisten = [\"0.0.0.0:9925\", \"[::1]:9925\"]\n")).unwrap();
    let output = house.run(&["check"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("[admin] listen: 0.0.0.0:9925 is no loopback address"), "{said}");
    assert_eq!(said.matches("loopback").count(), 1, "{said}");
}

#[test]
fn wrong_usage_is_2_and_what_was_not_done_is_1() {
    let house = SetUp::new();
    for (words, expect, says) in [
        (vec!["serf"], 2, "unrecognized subcommand"),
        (vec!["queue"], 2, "list"),
        (vec!["queue", "list"], 1, "control.sock"),
        (vec!["reload"], 1, "the running gateway is asked, and none answers"),
        (vec!["drain"], 1, "the running gateway is asked, and none answers"),
        (vec!["backup", "/nowhere"], 1, "the running gateway is asked, and none answers"),
        (vec!["restore", "/nowhere"], 1, "/nowhere/ring"),
        (vec!["queue", "retry"], 2, "required"),
        (vec!["explain", "/nowhere.eml", "--from", "a@example.org", "--to", "b@mail.example"], 1, "/nowhere.eml"),
        (vec!["user", "add", "ann@example.org"], 1, "no users file is named"),
    ] {
        let output = house.run(&words);
        assert_eq!(output.status.code(), Some(expect), "{words:?}");
        assert!(told(&output).contains(says), "{words:?}: {}", told(&output));
    }
    let nowhere = waxseal(&["check", "--config", "/nowhere/waxseal.toml"]);
    assert!(told(&nowhere).contains("`waxseal init` writes a configuration"), "{}", told(&nowhere));
}

#[test]
fn a_lost_key_comes_back_from_the_sheet_and_no_other_does() {
    let (house, other) = (SetUp::new(), SetUp::new());
    let key = fs::read(house.path("keys/kek")).unwrap();
    let sheet = house.path("recovery-sheet.txt");
    assert!(told(&house.run(&["recover", sheet.to_str().unwrap()])).contains("File exists"));
    fs::remove_file(house.path("keys/kek")).unwrap();
    let wrong = house.run(&["recover", other.path("recovery-sheet.txt").to_str().unwrap()]);
    assert!(!wrong.status.success() && told(&wrong).contains("does not open with this key"), "{}", told(&wrong));
    assert!(!house.path("keys/kek").exists());
    let right = house.run(&["recover", sheet.to_str().unwrap()]);
    assert!(right.status.success(), "{}", told(&right));
    assert_eq!(fs::read(house.path("keys/kek")).unwrap(), key);
}

#[test]
fn a_new_key_takes_the_place_of_the_old_while_the_gateway_runs() {
    let house = SetUp::new();
    let old_key = fs::read(house.path("keys/kek")).unwrap();
    let (paper, old_paper) = (house.path("recovery-sheet.txt"), house.place.path().join("old-sheet"));
    let running = house.serve();
    let refused = house.run(&["keys", "rotate"]);
    let told_so =
        "recovery-sheet.txt: the sheet of the key in force lies here still\n    print it, lock it away, delete the file; then rotate";
    assert!(refused.status.code() == Some(1) && told(&refused).contains(told_so), "{}", told(&refused));
    assert_eq!(fs::read(house.path("keys/kek")).unwrap(), old_key);
    fs::rename(&paper, &old_paper).unwrap();
    let rotated = house.run(&["keys", "rotate"]);
    let said = String::from_utf8_lossy(&rotated.stdout).into_owned();
    assert!(rotated.status.success() && said.contains("keys/ring opens with it alone"), "{said}{}", told(&rotated));
    assert!(house.run(&["queue", "list"]).stdout.starts_with(b"0 in the queue"), "it runs on");
    assert_eq!(ended(running).0, Some(0));
    let new_key = fs::read(house.path("keys/kek")).unwrap();
    assert_ne!(new_key, old_key);
    assert_eq!(ended(house.serve()).0, Some(0), "the store is the same to the new key");
    fs::remove_file(house.path("keys/kek")).unwrap();
    let old = house.run(&["recover", old_paper.to_str().unwrap()]);
    assert!(told(&old).contains("does not open with this key"), "{}", told(&old));
    assert!(house.run(&["recover", paper.to_str().unwrap()]).status.success());
    assert_eq!(fs::read(house.path("keys/kek")).unwrap(), new_key);
    let sheet = fs::read_to_string(&paper).unwrap();
    assert!(sheet.contains("OR THE SLOTS (*.slots IN THE STORE), LOSES ALL SEALED CONTENT, FOR GOOD"), "{sheet}");
}

#[test]
fn a_key_that_systemd_hands_over_is_made_new_and_left_to_its_operator() {
    let house = SetUp::new();
    let handed_over = house.place.path().join("credentials");
    let credential = handed_over.join("waxseal.kek");
    fs::create_dir(&handed_over).unwrap();
    fs::rename(house.path("keys/kek"), &credential).unwrap();
    fs::remove_file(house.path("recovery-sheet.txt")).unwrap();
    house.edit("[store]", &format!("[store]\nkek = \"{}\"", credential.display()));
    let rotate = || {
        let configuration = house.configuration();
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
        command.args(["keys", "rotate", "--config", &configuration]).env("CREDENTIALS_DIRECTORY", &handed_over);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let old_key = fs::read(&credential).unwrap();
    let said = rotate();
    let install =
        format!("systemd-creds encrypt --name=waxseal.kek {} /etc/credstore.encrypted/waxseal.kek", house.path("keys/kek.new").display());
    assert!(said.contains(&install) && said.contains("the old one stays in force"), "{said}");
    assert_eq!(fs::read(&credential).unwrap(), old_key);
    assert_eq!(ended(house.serve()).0, Some(0), "with the old one");
    fs::remove_file(&credential).unwrap();
    fs::copy(house.path("keys/kek.new"), &credential).unwrap();
    let (code, log) = ended(house.serve());
    assert!(code == Some(0) && log.contains("`waxseal keys rotate` ends the rotation"), "{log}");
    let checked = house.run(&["check"]);
    assert!(String::from_utf8_lossy(&checked.stdout).contains("`waxseal keys rotate` ends the rotation"), "{}", told(&checked));
    assert!(rotate().contains("keys/ring opens with it alone"));
    assert!(!house.path("keys/kek.new").exists() && !house.path("keys/ring.new").exists());
    let (code, log) = ended(house.serve());
    assert!(code == Some(0) && !log.contains("rotation"), "{log}");
}

#[test]
fn a_start_that_cannot_be_whole_is_no_start_and_says_what_to_do() {
    let house = SetUp::new();
    let taken = TcpListener::bind(("127.0.0.1", house.smtp)).unwrap();
    let output = house.run(&["serve", "--allow-root"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("another program listens there"), "{}", told(&output));
    drop(taken);
    if rustix::process::getuid().is_root() {
        assert!(told(&house.run(&["serve"])).contains("running as root is refused"));
    }
    fs::set_permissions(house.path("data"), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(told(&house.run(&["serve", "--allow-root"])).contains("data: readable by others (mode 0755)\n    chmod 700"));
    fs::set_permissions(house.path("data"), fs::Permissions::from_mode(0o700)).unwrap();
    let running = house.serve();
    let second = house.run(&["serve", "--allow-root"]);
    let (code, log) = ended(running);
    assert!(told(&second).contains("in use by another process\n    one gateway has one store"), "{}", told(&second));
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("event=\"listening\" service=\"smtp\"") && log.contains("service=\"http\"") && log.contains("drained"), "{log}");
}

#[test]
fn the_log_is_json_when_asked_and_a_reload_tells_its_mistakes_to_who_asked() {
    let house = SetUp::new();
    let text = fs::read_to_string(house.path("waxseal.toml")).unwrap();
    fs::write(house.path("waxseal.toml"), format!("{text}\n[log]\nformat = \"json\"\n")).unwrap();
    let running = house.serve();
    assert!(house.run(&["reload"]).status.success());
    fs::write(house.path("rules/iban.toml"), "titel = \"x\"\n").unwrap();
    let output = house.run(&["reload"]);
    assert!(output.status.code() == Some(1) && told(&output).contains("rules/iban.toml:1: unknown key \"titel\""), "{}", told(&output));
    assert!(house.run(&["queue", "list"]).stdout.starts_with(b"0 in the queue"));
    let (code, log) = ended(running);
    assert_eq!(code, Some(0));
    for line in log.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(event.get("event").is_some_and(serde_json::Value::is_string), "{line}");
    }
}

#[test]
fn a_new_certificate_serves_within_five_seconds_and_half_of_one_never() {
    let (house, other) = (SetUp::new(), SetUp::new());
    let running = house.serve();
    let serving = || {
        let asked = Command::new("openssl")
            .args(["s_client", "-starttls", "smtp", "-connect", &format!("127.0.0.1:{}", house.smtp)])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&asked.stdout).into_owned();
        let (_, from) = text.split_once("-----BEGIN CERTIFICATE-----").expect("a certificate");
        from.split_once("-----END").unwrap().0.split_whitespace().collect::<String>()
    };
    let old = serving();
    let (chain, key) = ("certs/mail.example.org/fullchain.pem", "certs/mail.example.org/privkey.pem");
    fs::copy(other.path(chain), house.path(chain)).unwrap();
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(serving(), old, "a chain without its key");
    fs::copy(other.path(key), house.path(key)).unwrap();
    std::thread::sleep(Duration::from_secs(5));
    assert_ne!(serving(), old);
    let (code, log) = ended(running);
    assert_eq!(code, Some(0));
    assert!(log.contains("the private key does not belong to fullchain.pem"), "{log}");
}
