//! A peer's processes: started in a folder of their own, measured with all below them, ended together.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// One process and all below it.
pub struct Process {
    child: Child,
    /// The end of the listening process is the end of all.
    stop: Option<Command>,
}

impl Process {
    /// Starts a program whose output goes to `log`.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        let started = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
        Self { child: started.unwrap_or_else(|why| panic!("{:?} does not start: {why}", command.get_program())), stop: None }
    }

    /// Ends by this command instead of by SIGTERM.
    pub fn ended_by(mut self, stop: Command) -> Self {
        self.stop = Some(stop);
        self
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks the whole family to end, and ends what has not by then.
    pub fn end(&mut self) {
        let family = family(self.id());
        match &mut self.stop {
            Some(stop) => drop(stop.stdout(Stdio::null()).stderr(Stdio::null()).status()),
            None => send(self.id(), Signal::TERM),
        }
        let asked = Instant::now();
        while self.child.try_wait().unwrap().is_none() && asked.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        family.into_iter().filter(is_same).for_each(|process| send(process.id, Signal::KILL));
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// CPU time so far of a process and all below it, those that ended too.
pub fn cpu(root: u32) -> Duration {
    let ticks: u64 = family(root).iter().map(|process| process.ticks).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// Proportional set of a process and all below it, in octets.
pub fn memory(root: u32) -> u64 {
    family(root).iter().map(|process| proportional_set(process.id)).sum()
}

/// The largest memory of a family while this lives.
pub struct Peak {
    over: Arc<AtomicBool>,
    watcher: JoinHandle<u64>,
}

impl Peak {
    pub fn watch(root: u32) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let seen = over.clone();
        let watcher = std::thread::spawn(move || {
            let mut peak = 0;
            while !seen.load(Ordering::SeqCst) {
                peak = peak.max(memory(root));
                std::thread::sleep(LOOK_EVERY);
            }
            peak.max(memory(root))
        });
        Self { over, watcher }
    }

    pub fn octets(self) -> u64 {
        self.over.store(true, Ordering::SeqCst);
        self.watcher.join().unwrap()
    }
}

/// One line of the process table.
struct Entry {
    id: u32,
    parent: u32,
    /// When it began, which tells it from a later process of the same number.
    began: u64,
    ticks: u64,
}

/// A process and every one below it.
fn family(root: u32) -> Vec<Entry> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let all: HashMap<u32, Entry> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(|id| Some((id, entry(id)?))).collect();
    let is_below = |id: u32| {
        std::iter::successors(Some(id), |id| all.get(id).map(|entry| entry.parent).filter(|parent| *parent > 0)).any(|id| id == root)
    };
    let below: Vec<u32> = all.keys().copied().filter(|id| is_below(*id)).collect();
    let mut all = all;
    below.iter().filter_map(|id| all.remove(id)).collect()
}

fn entry(id: u32) -> Option<Entry> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in brackets may hold anything; the fields after it are numbers (proc_pid_stat(5)).
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let ticks = (11..15).filter_map(number).sum();
    Some(Entry { id, parent: number(1)? as u32, began: number(19)?, ticks })
}

fn is_same(process: &Entry) -> bool {
    entry(process.id).is_some_and(|now| now.began == process.began)
}

fn proportional_set(id: u32) -> u64 {
    let path = format!("/proc/{id}/smaps_rollup");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        // It ended just now.
        Err(why) if why.kind() == ErrorKind::NotFound || why.raw_os_error() == Some(NO_SUCH_PROCESS) => return 0,
        Err(why) => panic!("{path}: {why}"),
    };
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn send(id: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(id as i32) {
        let _ = kill_process(pid, signal);
    }
}

/// `sysconf(_SC_CLK_TCK)` on Linux.
const TICKS_PER_SECOND: u64 = 100;
/// ESRCH.
const NO_SUCH_PROCESS: i32 = 3;
/// For the end that was asked for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Looking costs CPU that the peers then lack.
const LOOK_EVERY: Duration = Duration::from_millis(300);
