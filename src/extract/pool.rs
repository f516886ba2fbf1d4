//! Workers: started when needed, kept while they behave, replaced after many jobs or one error.

use std::io::{self, BufReader, BufWriter};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::frame::{self, Job};
use super::{Extracted, Unread, Why};
use crate::event::{Event, emit};

/// At most so many workers; who finds all of them busy waits.
pub struct Pool {
    program: PathBuf,
    workers: usize,
    state: Mutex<State>,
    freed: Condvar,
    number: AtomicU64,
}

#[derive(Default)]
struct State {
    idle: Vec<Worker>,
    busy: usize,
}

impl Pool {
    /// Starts nothing yet.
    pub fn new(program: PathBuf, workers: usize) -> Self {
        Self { program, workers: workers.max(1), state: Mutex::default(), freed: Condvar::new(), number: AtomicU64::new(1) }
    }

    /// Gives the job to a worker and waits for the answer; says how long the worker had it. A worker
    /// that fails is gone, and its job counts as not read.
    pub fn run(&self, job: Job) -> (Extracted, Duration) {
        let job = Job { number: self.number.fetch_add(1, Ordering::Relaxed), ..job };
        let mut place = Place::take(self);
        let began = Instant::now();
        let found = self.serve(&mut place, &job);
        (found, began.elapsed())
    }

    fn serve(&self, place: &mut Place<'_>, job: &Job) -> Extracted {
        let worker = match place.idle.take().map_or_else(|| Worker::start(&self.program), Ok) {
            Ok(worker) => worker,
            Err(_) => return lost(Why::Damaged),
        };
        match worker.serve(job) {
            Ok((found, worker)) => {
                if worker.jobs < JOBS_MAX {
                    self.lock().idle.push(worker);
                }
                found
            }
            Err(why) => {
                emit(&Event::WorkerLost { because: if why == Why::OverBudget { "over budget" } else { "damaged" } });
                lost(why)
            }
        }
    }

    /// Workers that are running now, idle or busy.
    pub fn running(&self) -> usize {
        let state = self.lock();
        state.idle.len() + state.busy
    }

    /// The state is a list and a count, right after every statement: a panic elsewhere cannot leave it half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the places in the pool, given back when dropped.
struct Place<'a> {
    pool: &'a Pool,
    idle: Option<Worker>,
}

impl<'a> Place<'a> {
    /// Waits for a place; with it comes an idle worker, if there is one that still lives.
    fn take(pool: &'a Pool) -> Self {
        let mut state = pool.lock();
        while state.busy >= pool.workers {
            state = pool.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.busy += 1;
        let idle = state.idle.pop();
        drop(state);
        Self { pool, idle: idle.and_then(Worker::living) }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.pool.lock().busy -= 1;
        self.pool.freed.notify_one();
    }
}

/// A child process and its pipes. Dropped, it is killed and reaped.
struct Worker {
    child: Child,
    input: BufWriter<ChildStdin>,
    output: BufReader<ChildStdout>,
    jobs: u64,
}

impl Worker {
    fn start(program: &std::path::Path) -> io::Result<Self> {
        let mut child = Command::new(program)
            .arg("extract-worker")
            .env_clear()
            .env("MIMALLOC_ARENA_RESERVE", ARENA)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => Ok(Self { child, input: BufWriter::new(input), output: BufReader::new(output), jobs: 0 }),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn living(mut self) -> Option<Self> {
        matches!(self.child.try_wait(), Ok(None)).then_some(self)
    }

    /// Does one job, or is gone.
    fn serve(mut self, job: &Job) -> Result<(Extracted, Self), Why> {
        let Self { child, input, output, .. } = &mut self;
        let (done, alarm) = mpsc::channel::<()>();
        let (answer, late) = thread::scope(|scope| {
            let watch = thread::Builder::new().spawn_scoped(scope, move || {
                let late = alarm.recv_timeout(WALL) == Err(RecvTimeoutError::Timeout);
                // An error means that the child has ended by itself.
                if late {
                    let _ = child.kill();
                }
                late
            });
            // Without a watch no job is begun.
            let Ok(watch) = watch else { return (Err(io::ErrorKind::OutOfMemory.into()), false) };
            let answer = job.write(input).and_then(|()| frame::read_answer(job.number, output));
            drop(done);
            (answer, watch.join().unwrap_or(true))
        });
        match answer {
            Ok(found) if !late => {
                self.jobs += 1;
                Ok((found, self))
            }
            _ if late => Err(Why::OverBudget),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Why::Damaged),
            _ => Err(self.cause()),
        }
    }

    /// Why it ended: a signal that stands for a limit, or anything else.
    fn cause(&mut self) -> Why {
        let limits = [rustix::process::Signal::XCPU.as_raw(), rustix::process::Signal::KILL.as_raw()];
        // Its pipes close a moment before it is gone; one that closed them and lives on is not waited for.
        for _ in 0..FAREWELL_LOOKS {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(FAREWELL),
                Ok(Some(status)) if status.signal().is_some_and(|signal| limits.contains(&signal)) => return Why::OverBudget,
                _ => return Why::Damaged,
            }
        }
        Why::Damaged
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only when the child has been reaped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nothing was read.
pub fn lost(why: Why) -> Extracted {
    Extracted { unread: vec![Unread { place: Vec::new(), why }], ..Extracted::default() }
}

/// What the allocator sets aside at once. By itself it takes a gibibyte of addresses before a worker can set
/// its limit: within them the limit does not hold, and beyond them there is nothing to be had.
const ARENA: &str = "32M";
/// After so many jobs a worker is replaced, so that nothing can pile up in it.
pub const JOBS_MAX: u64 = 100;
/// Of a job, from its first octet to the answer's last.
const WALL: Duration = Duration::from_secs(30);
/// Between two looks at a worker that should be ending.
const FAREWELL: Duration = Duration::from_millis(5);
const FAREWELL_LOOKS: usize = 40;
