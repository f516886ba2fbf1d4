//! The gateway: what `init` writes, with ten thousand words, a hundred patterns and fifty policies more.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Peer, free_port, wait_for};
use crate::language::Language;
use crate::process::Process;
use crate::rules;

/// A set-up, and how to run it.
pub struct Gateway {
    pub program: PathBuf,
    pub home: PathBuf,
    pub port: u16,
}

impl Gateway {
    /// Written by `init`, then extended.
    pub fn set_up(program: &Path, (folder, sink): (&Path, u16), language: &Language) -> Self {
        assert!(program.exists(), "{} is not built\n    cargo build --release --locked", program.display());
        let (home, port, web) = (folder.join("waxseal"), free_port(), free_port());
        let made = Command::new(program)
            .args(["init", "--domain", "example.org", "--hostname", "mail.example.org", "--yes", "--directory"])
            .arg(&home)
            .args([
                "--next-hop",
                &format!("127.0.0.1:{sink}"),
                "--smtp",
                &format!("127.0.0.1:{port}"),
                "--web",
                &format!("127.0.0.1:{web}"),
            ])
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "waxseal init does not work");
        let gateway = Self { program: program.canonicalize().unwrap(), home, port };
        // By default one address has fewer connections at once than the generator opens.
        let text = fs::read_to_string(gateway.configuration()).unwrap();
        let text = text.replace("[smtp]\n", "[smtp]\nconnections = 6000\nconnections_per_address = 6000\n");
        let admin = format!("\n[admin]\nlisten = [\"127.0.0.1:{}\"]\n", free_port());
        fs::write(gateway.configuration(), text + &admin).unwrap();
        rules::extend(&gateway.home, language);
        gateway
    }

    pub fn configuration(&self) -> PathBuf {
        self.home.join("waxseal.toml")
    }

    /// Certificate and key that `init` made.
    pub fn certificate(&self) -> (PathBuf, PathBuf) {
        let folder = self.home.join("certs/mail.example.org");
        (folder.join("fullchain.pem"), folder.join("privkey.pem"))
    }

    /// Starts it.
    pub fn start(&self) -> Peer {
        let (process, _) = self.start_timed();
        let (program, configuration) = (self.program.clone(), self.configuration());
        let hurry = move || retry_all(&program, &configuration);
        Peer { name: "waxseal", port: self.port, process: Some(process), hurry: Some(Box::new(hurry)) }
    }

    /// Starts its process; the time to its first 220.
    pub fn start_timed(&self) -> (Process, Duration) {
        let mut command = Command::new(&self.program);
        command.args(["serve", "--allow-root", "--config"]).arg(self.configuration());
        let log = self.home.with_extension("log");
        let begun = Instant::now();
        let process = Process::start(&mut command, &log);
        wait_for(self.port, &log);
        (process, begun.elapsed())
    }

    /// Runs a command of the gateway; what it prints.
    pub fn ask(&self, arguments: &[&str]) -> String {
        ask(&self.program, &self.configuration(), arguments)
    }
}

fn ask(program: &Path, configuration: &Path, arguments: &[&str]) -> String {
    let done = Command::new(program).args(arguments).arg("--config").arg(configuration).output().unwrap();
    assert!(done.status.success(), "waxseal {}: {}", arguments.join(" "), String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// What was tried in vain is due at once; what was not is due anyway.
fn retry_all(program: &Path, configuration: &Path) {
    let listed = ask(program, configuration, &["queue", "list"]);
    let tried = listed.lines().filter(|line| line.contains(" → ") && !line.ends_with("not tried yet"));
    for id in tried.filter_map(|line| line.split_whitespace().next()) {
        // One that has gone meanwhile is no trouble.
        let _ = Command::new(program).args(["queue", "retry", id, "--config"]).arg(configuration).stderr(Stdio::null()).status();
    }
}
