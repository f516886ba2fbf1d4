//! The other side of the pipe: limits first, then one job after the other.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::Extracted;
use super::frame::{self, Job};
use super::walk::{Item, Reach, Walk};

/// Takes away what a worker must not have, then reads jobs until its input ends.
pub fn run() -> ExitCode {
    std::panic::set_hook(Box::new(|_| std::process::abort()));
    if confine().is_err() {
        return ExitCode::FAILURE;
    }
    let mut input = std::io::stdin().lock();
    let mut output = BufWriter::new(std::io::stdout().lock());
    loop {
        match Job::read(&mut input) {
            Ok(None) => return ExitCode::SUCCESS,
            Ok(Some(job)) => {
                let served = allow_time().and_then(|()| frame::answer(job.number, &read(&job), &mut output)).and_then(|()| output.flush());
                if served.is_err() {
                    return ExitCode::FAILURE;
                }
            }
            Err(_) => return ExitCode::FAILURE,
        }
    }
}

/// What is found in the attachment of a job.
fn read(job: &Job) -> Extracted {
    let mut walk = Walk::new(job.content.len(), Reach::Everything);
    walk.look(&job.item());
    walk.finish().unwrap_or_default()
}

/// The same without a worker; none where anything in it needs one.
pub fn read_plain(job: &Job) -> Option<Extracted> {
    let mut walk = Walk::new(job.content.len(), Reach::Plain);
    walk.look(&job.item());
    walk.finish()
}

impl Job {
    fn item(&self) -> Item<'_> {
        Item { place: Vec::new(), name: &self.name, declared: &self.declared, content: self.content.clone(), depth: 0 }
    }
}

fn confine() -> std::io::Result<()> {
    for (resource, most) in
        [(Resource::As, MEMORY), (Resource::Nofile, FILES), (Resource::Fsize, 0), (Resource::Core, 0), (Resource::Nproc, 0)]
    {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

/// The limit counts the whole life of a process, so each job moves it on from what is used already.
fn allow_time() -> std::io::Result<()> {
    let used = u64::try_from(clock_gettime(ClockId::ProcessCPUTime).tv_sec).unwrap_or_default();
    let current = used.saturating_add(CPU_SECONDS);
    setrlimit(Resource::Cpu, Rlimit { current: Some(current), maximum: Some(CPU_SECONDS * (super::pool::JOBS_MAX + 1)) })?;
    Ok(())
}

/// Address space, twice what the largest allowed attachment needs.
const MEMORY: u64 = 512 * 1024 * 1024;
/// Open files; the three that it has are enough, the rest is for the run time.
const FILES: u64 = 16;
/// Processor time of one job.
const CPU_SECONDS: u64 = 20;
