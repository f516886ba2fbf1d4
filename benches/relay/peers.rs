//! What is measured: started on free ports with directories of their own, ended when dropped.

use std::collections::HashMap;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub struct Peer {
    pub name: &'static str,
    pub port: u16,
    running: Running,
    _directory: Option<TempDir>,
}

enum Running {
    Nothing,
    Child(Child),
    Postfix { config: std::path::PathBuf, master: u32 },
}

impl Peer {
    /// The generator talks to the sink: what the two of them can do.
    pub fn direct(sink: u16) -> Self {
        Self { name: "direct", port: sink, running: Running::Nothing, _directory: None }
    }

    /// The gateway as `init` sets it up; none where it is not built.
    pub fn waxseal(program: &Path, sink: u16) -> Option<Self> {
        if !program.exists() {
            println!("waxseal is left out: {} does not exist", program.display());
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let (port, web) = (free_port(), free_port());
        let home = directory.path().join("waxseal");
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
        // By default one address has fewer connections at once than the generator opens.
        let configuration = home.join("waxseal.toml");
        let text = std::fs::read_to_string(&configuration).unwrap();
        std::fs::write(&configuration, text.replace("[smtp]\n", "[smtp]\nconnections_per_address = 500\n")).unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let child = Command::new(program)
            .args(["serve", "--config"])
            .args([configuration.as_os_str(), "--allow-root".as_ref()])
            .stderr(log)
            .stdout(Stdio::null())
            .spawn();
        wait_for(port);
        Some(Self { name: "waxseal", port, running: Running::Child(child.unwrap()), _directory: Some(directory) })
    }

    /// A queueing relay without inspection; none where Postfix is not installed or may not be started.
    pub fn postfix(sink: u16) -> Option<Self> {
        let directory = tempfile::Builder::new().prefix("postfix").tempdir().unwrap();
        let (config, port) = (directory.path().join("etc"), free_port());
        if !Path::new("/usr/sbin/postfix").exists() || !rustix::process::geteuid().is_root() {
            println!("Postfix is left out: it is not installed, or this is not root");
            return None;
        }
        write_postfix(directory.path(), port, sink);
        let started = Command::new("postfix").arg("-c").arg(&config).arg("start").stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(started.unwrap().success(), "Postfix does not start");
        wait_for(port);
        let pid = std::fs::read_to_string(directory.path().join("spool/pid/master.pid")).unwrap();
        let running = Running::Postfix { config, master: pid.trim().parse().unwrap() };
        Some(Self { name: "postfix", port, running, _directory: Some(directory) })
    }

    /// CPU time so far, of the process and all below it, those that ended too.
    pub fn cpu(&self) -> Duration {
        match &self.running {
            Running::Nothing => Duration::ZERO,
            Running::Child(child) => cpu_of_tree(child.id()),
            Running::Postfix { master, .. } => cpu_of_tree(*master),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        match &mut self.running {
            Running::Nothing => {}
            Running::Child(child) => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            Running::Postfix { config, .. } => {
                let _ = Command::new("postfix").arg("-c").arg(config).arg("stop").stderr(Stdio::null()).status();
            }
        }
    }
}

fn write_postfix(directory: &Path, port: u16, sink: u16) {
    use std::os::unix::fs::PermissionsExt;
    for name in ["etc", "spool", "data"] {
        std::fs::create_dir(directory.join(name)).unwrap();
    }
    // The daemons give up root and must still get there.
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    let owner = Command::new("chown").arg("postfix").arg(directory.join("data")).status();
    assert!(owner.unwrap().success());
    let at = directory.display();
    let main = format!(
        "compatibility_level = 3.6\nqueue_directory = {at}/spool\ndata_directory = {at}/data\nmaillog_file = {at}/log\nmaillog_file_prefixes = {at}\n\
         inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmynetworks = 127.0.0.0/8\nmyhostname = mail.example.org\nmydestination =\nalias_maps =\n\
         relayhost = [127.0.0.1]:{sink}\nsmtpd_relay_restrictions = permit_mynetworks, reject\nmessage_size_limit = 104857600\n\
         smtpd_client_connection_count_limit = 0\ndefault_process_limit = 200\nsmtputf8_enable = no\n"
    );
    let master = format!(
        "127.0.0.1:{port} inet n - n - - smtpd\npickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
         rewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\n\
         verify unix - - n - 1 verify\nflush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\nsmtp unix - - n - - smtp\nrelay unix - - n - - smtp\n\
         error unix - - n - - error\nretry unix - - n - - error\nlocal unix - n n - - local\nanvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\n\
         showq unix n - n - - showq\npostlog unix-dgram n - n - 1 postlogd\n"
    );
    std::fs::write(directory.join("etc/main.cf"), main).unwrap();
    std::fs::write(directory.join("etc/master.cf"), master).unwrap();
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_for(port: u16) {
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < Duration::from_secs(30), "nothing answers on port {port}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Of every process below `root` in /proc.
fn cpu_of_tree(root: u32) -> Duration {
    let mut times = HashMap::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name in brackets may hold anything; the fields after it are numbers (proc_pid_stat(5)).
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11..15].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        times.insert(pid, (fields[1].parse::<u32>().unwrap(), ticks));
    }
    let is_below = |pid: u32| {
        std::iter::successors(Some(pid), |pid| times.get(pid).map(|(parent, _)| *parent).filter(|parent| *parent > 0))
            .any(|pid| pid == root)
    };
    let ticks: u64 = times.iter().filter(|(pid, _)| is_below(**pid)).map(|(_, (_, ticks))| ticks).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// `sysconf(_SC_CLK_TCK)` on Linux.
const TICKS_PER_SECOND: u64 = 100;
