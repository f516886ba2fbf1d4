//! Postfix: as a relay that queues, as a proxy before the queue, and as a relay that looks for a hundred
//! regular expressions; the first two without any inspection.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::{Peer, Site, free_port, required, wait_for};
use crate::process::Process;

/// What it does with a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Queues it and relays it.
    Relay,
    /// Hands it through to the next hop while the client waits.
    Proxy,
    /// Queues it after a look at every line.
    Expressions,
}

pub fn start(site: &Site, role: Role) -> Peer {
    required(PROGRAM, "Postfix");
    assert!(rustix::process::geteuid().is_root(), "Postfix starts only as root\n    sudo make bench");
    let (folder, port) = (site.folder(role.name()), free_port());
    for name in ["etc", "spool", "data"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let owner = Command::new("chown").arg("postfix").arg(folder.join("data")).status();
    assert!(owner.unwrap().success(), "the data of Postfix cannot be given to it");
    fs::write(folder.join("etc/main.cf"), role.main(&folder, site)).unwrap();
    fs::write(folder.join("etc/master.cf"), role.master(port, site.sink)).unwrap();
    fs::write(folder.join("etc/body_checks"), expressions()).unwrap();
    let log = folder.join("log");
    let command = |verb: &str| {
        let mut command = Command::new(PROGRAM);
        command.arg("-c").arg(folder.join("etc")).arg(verb);
        command
    };
    let process = Process::start(&mut command("start-fg"), &log).ended_by(command("stop"));
    wait_for(port, &log);
    let etc = folder.join("etc");
    let flush = move || {
        let flushed = Command::new(PROGRAM).arg("-c").arg(&etc).arg("flush").status();
        assert!(flushed.unwrap().success(), "postfix flush does not work");
    };
    Peer { name: role.name(), port, process: Some(process), hurry: Some(Box::new(flush)) }
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Relay => "postfix",
            Self::Proxy => "proxy",
            Self::Expressions => "postfix-100",
        }
    }

    fn main(self, folder: &Path, site: &Site) -> String {
        let (at, sink) = (folder.display(), site.sink);
        let (certificate, key) = &site.certificate;
        let checks = match self {
            Self::Relay | Self::Proxy => String::new(),
            // By default it looks at the first 50 KB only.
            Self::Expressions => format!("body_checks = regexp:{at}/etc/body_checks\nbody_checks_size_limit = 157286400\n"),
        };
        format!(
            "compatibility_level = 3.6\nqueue_directory = {at}/spool\ndata_directory = {at}/data\nmaillog_file = {at}/maillog\n\
             maillog_file_prefixes = {at}\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmynetworks = 127.0.0.0/8\n\
             myhostname = mail.example.org\nmydestination =\nalias_maps =\nrelayhost = [127.0.0.1]:{sink}\n\
             smtpd_relay_restrictions = permit_mynetworks, reject\nmessage_size_limit = 157286400\n\
             smtpd_client_connection_count_limit = 0\ndefault_process_limit = 200\nsmtputf8_enable = no\n\
             smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {}, {}\n{checks}",
            key.display(),
            certificate.display()
        )
    }

    fn master(self, port: u16, sink: u16) -> String {
        let filter = match self {
            Self::Relay | Self::Expressions => String::new(),
            Self::Proxy => format!("\n  -o smtpd_proxy_filter=127.0.0.1:{sink}"),
        };
        format!("127.0.0.1:{port} inet n - n - - smtpd{filter}\n{SERVICES}")
    }
}

/// Shapes of the same kind as the gateway's patterns.
fn expressions() -> String {
    (0..100).map(|number| format!("/(^|[^0-9]){number:02}[0-9]{{4}}[-+ ]?[0-9]{{4}}([^0-9]|$)/ REJECT\n")).collect()
}

const PROGRAM: &str = "/usr/sbin/postfix";
const SERVICES: &str = "\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
local unix - n n - - local
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
showq unix n - n - - showq
postlog unix-dgram n - n - 1 postlogd
";
