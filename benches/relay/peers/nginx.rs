//! nginx `stream`: a TCP pipe, the floor of any relay.

use std::process::Command;

use super::{Peer, Site, free_port, required, wait_for};
use crate::process::Process;

pub fn start(site: &Site) -> Peer {
    required(PROGRAM, "nginx");
    required(MODULE, "nginx's stream module");
    let (folder, port) = (site.folder("nginx"), free_port());
    let (at, sink) = (folder.display(), site.sink);
    let configuration = format!(
        "load_module {MODULE};\ndaemon off;\nworker_processes 2;\npid {at}/pid;\nerror_log {at}/log;\nevents {{ worker_connections 2048; }}\n\
         stream {{ server {{ listen 127.0.0.1:{port} backlog=1024; proxy_pass 127.0.0.1:{sink}; tcp_nodelay on; }} }}\n"
    );
    std::fs::write(folder.join("nginx.conf"), configuration).unwrap();
    let log = folder.join("log");
    let mut command = Command::new(PROGRAM);
    command.arg("-p").arg(&folder).arg("-c").arg(folder.join("nginx.conf")).arg("-e").arg(&log);
    let process = Process::start(&mut command, &log);
    wait_for(port, &log);
    Peer { name: "nginx", port, process: Some(process), hurry: None }
}

const PROGRAM: &str = "/usr/sbin/nginx";
const MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
