//! What was sent, accepted and received, message by message. A message that is lost, cut or doubled is
//! found here, and no figure counts without it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::mail::{Kind, Mail};

/// All runs whose messages may still arrive.
#[derive(Default)]
pub struct Ledger {
    runs: Mutex<HashMap<usize, Arc<Run>>>,
    last: AtomicUsize,
    /// Headers of messages that no open run knows.
    strays: Mutex<Vec<String>>,
}

/// Messages of one kind through one peer.
pub struct Run {
    pub id: usize,
    pub kind: Kind,
    pub mail: Arc<Mail>,
    pub arrives: Arrives,
    began: Instant,
    until: Until,
    /// Numbers given out.
    drawn: AtomicUsize,
    letters: Vec<Letter>,
    arrived: AtomicUsize,
    damaged: AtomicUsize,
    doubled: AtomicUsize,
}

/// How the messages of a run come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrives {
    /// With the body that was sent, octet for octet.
    AsSent,
    /// With a link in its place.
    AsLink,
}

/// In which state a message comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As it should.
    Whole,
    /// Not so.
    Changed,
}

/// When a run has enough.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After this time no message is begun, but one of each session is.
    Time(Duration),
    /// After so many messages.
    Count(usize),
}

/// Microseconds since the run began; nought is not yet.
#[derive(Default)]
struct Letter {
    sent: AtomicU64,
    accepted: AtomicU64,
    arrived: AtomicU64,
}

impl Ledger {
    pub fn open(&self, (kind, mail): (Kind, Arc<Mail>), arrives: Arrives, until: Until) -> Arc<Run> {
        let id = self.last.fetch_add(1, Ordering::SeqCst) + 1;
        let places = match until {
            Until::Time(_) => TIMED_MAX,
            Until::Count(count) => count,
        };
        let letters = (0..places).map(|_| Letter::default()).collect();
        let [drawn, arrived, damaged, doubled] = Default::default();
        let run = Arc::new(Run { id, kind, mail, arrives, began: Instant::now(), until, drawn, letters, arrived, damaged, doubled });
        self.runs.lock().unwrap().insert(id, run.clone());
        run
    }

    pub fn run(&self, id: usize) -> Option<Arc<Run>> {
        self.runs.lock().unwrap().get(&id).cloned()
    }

    /// A message came that nobody sent, or once too often.
    pub fn stray(&self, header: &[u8]) {
        self.strays.lock().unwrap().push(String::from_utf8_lossy(header).into_owned());
    }

    /// All of a run are there, and nothing else is; from now on a message of it is a stray one.
    pub fn close(&self, run: &Run, peer: &str) {
        run.audit(peer);
        self.runs.lock().unwrap().remove(&run.id);
        let strays = self.strays.lock().unwrap();
        assert!(strays.is_empty(), "{peer}: {} messages came that nobody sent, the first of them:\n{}", strays.len(), strays[0]);
    }
}

impl Run {
    /// The number of the next message; `sent` says how many the session sent before.
    pub fn draw(&self, sent: usize) -> Option<usize> {
        let over = matches!(self.until, Until::Time(time) if sent > 0 && self.began.elapsed() >= time);
        if over {
            return None;
        }
        let number = self.drawn.fetch_add(1, Ordering::SeqCst);
        (number < self.letters.len()).then_some(number)
    }

    pub fn accepted(&self, number: usize, (dot, reply): (Instant, Instant)) {
        self.letters[number].sent.store(self.since(dot), Ordering::SeqCst);
        self.letters[number].accepted.store(self.since(reply), Ordering::SeqCst);
    }

    /// A message came out.
    pub fn arrived(&self, number: usize, state: State) {
        let Some(letter) = self.letters.get(number) else {
            self.damaged.fetch_add(1, Ordering::SeqCst);
            return;
        };
        if state == State::Changed {
            self.damaged.fetch_add(1, Ordering::SeqCst);
        }
        if letter.arrived.swap(self.since(Instant::now()), Ordering::SeqCst) != 0 {
            self.doubled.fetch_add(1, Ordering::SeqCst);
            return;
        }
        self.arrived.fetch_add(1, Ordering::SeqCst);
    }

    /// Messages sent.
    pub fn count(&self) -> usize {
        self.drawn.load(Ordering::SeqCst).min(self.letters.len())
    }

    /// Messages that arrived.
    pub fn arrivals(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }

    pub fn is_complete(&self) -> bool {
        self.arrivals() >= self.count()
    }

    /// Nothing lost, cut or doubled, or the whole measurement is worth nothing.
    fn audit(&self, peer: &str) {
        let [arrived, damaged, doubled] = [&self.arrived, &self.damaged, &self.doubled].map(|number| number.load(Ordering::SeqCst));
        let (sent, what) = (self.count(), self.kind.name());
        assert!(
            arrived == sent && damaged == 0 && doubled == 0,
            "{peer}, {what}: {sent} sent, {arrived} arrived, {damaged} of them changed or cut, {doubled} twice"
        );
    }

    /// Messages a second from the first connection to the last arrival.
    pub fn arrival_rate(&self) -> f64 {
        self.rate(|letter| &letter.arrived)
    }

    /// Messages a second from the first connection to the last 250.
    pub fn acceptance_rate(&self) -> f64 {
        self.rate(|letter| &letter.accepted)
    }

    fn rate(&self, moment: impl Fn(&Letter) -> &AtomicU64) -> f64 {
        let last = self.letters.iter().map(|letter| moment(letter).load(Ordering::SeqCst)).max().unwrap_or(0);
        self.count() as f64 * 1e6 / last.max(1) as f64
    }

    /// Milliseconds from the end of DATA to the 250: median and 99th percentile.
    pub fn acceptance(&self) -> [f64; 2] {
        self.percentiles(|letter| &letter.accepted)
    }

    /// Milliseconds from the end of DATA to the arrival.
    pub fn arrival(&self) -> [f64; 2] {
        self.percentiles(|letter| &letter.arrived)
    }

    fn percentiles(&self, moment: impl Fn(&Letter) -> &AtomicU64) -> [f64; 2] {
        let letters = &self.letters[..self.count()];
        let after = |letter: &Letter| moment(letter).load(Ordering::SeqCst).saturating_sub(letter.sent.load(Ordering::SeqCst));
        let mut times: Vec<u64> = letters.iter().map(after).collect();
        times.sort_unstable();
        [50, 99].map(|part| times[(times.len() * part / 100).min(times.len() - 1)] as f64 / 1000.0)
    }

    fn since(&self, moment: Instant) -> u64 {
        moment.duration_since(self.began).as_micros() as u64 + 1
    }
}

/// More messages than any peer moves in the time of a run.
const TIMED_MAX: usize = 1 << 16;
