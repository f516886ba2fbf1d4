//! The operator's verbs on a Unix socket: one JSON line asks, one JSON line answers.
//!
//! The socket lies in the store's directory (mode 0700), so whoever may read the store may ask.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;

use super::backup::{self, Job, Part};
use super::operate::id;
use super::{Failed, Gateway, Reloaded, time};
use crate::failpoint;
use crate::mail::ReversePath;
use crate::queue::{Cursor, Listed, QueueId, Tally, Waits};
use crate::smtp::server::Doors;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub enum Request {
    /// Entries in order of arrival.
    QueueList {
        /// After this one.
        after: Option<String>,
        /// At most so many.
        limit: usize,
    },
    /// One entry.
    QueueShow {
        /// Which.
        id: String,
    },
    /// What waits for which way out.
    QueueStats,
    /// Hold, release, retry or bounce some.
    QueueEach(Each),
    /// Remove it without any report.
    QueueDrop {
        /// Which.
        id: String,
    },
    /// Read the configuration, rules, policies, texts, users and certificates again.
    Reload,
    /// Turn new mail away while the queue empties; asked again, how far that is.
    Drain,
    /// Take new mail again.
    DrainEnd,
    /// Begin a backup.
    Backup {
        /// Where, as an absolute path.
        directory: PathBuf,
        /// Of what.
        part: Part,
    },
    /// How the backup stands.
    BackupState,
    /// Which release runs.
    About,
    /// The way to a domain's mail servers.
    Course {
        /// Which.
        domain: String,
    },
    /// Tell domains now what came of TLS.
    TlsReports,
    /// What is thought of the machine's clock.
    Clock,
    /// The machine's clock is right.
    ClockBelieve,
}

/// One verb for some entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Each {
    /// What is done.
    pub act: Act,
    /// To which.
    pub which: Which,
    /// After this place.
    pub after: Option<Cursor>,
}

/// What is done to entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// They wait for the operator.
    Hold,
    /// They wait no longer for the operator.
    Release,
    /// They are tried now.
    Retry,
    /// They go back to their senders.
    Bounce {
        /// Why.
        reason: String,
    },
}

/// Entries as an operator names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// These, all in one request.
    Ids {
        /// As they are printed.
        ids: Vec<String>,
    },
    /// All that fit, page by page.
    Fitting {
        /// An address or a domain of a recipient.
        to: Option<String>,
        /// An address or a domain of the sender; `<>` is nobody.
        from: Option<String>,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// Entries.
    Entries {
        /// In order of arrival.
        entries: Vec<Entry>,
    },
    /// The way to a domain's mail servers.
    Course {
        /// Hosts in the order in which they would be tried.
        targets: Vec<Target>,
    },
    /// What waits, by way out.
    Stats {
        /// Every way out, whether anything waits for it or not.
        ways: Vec<Way>,
    },
    /// What became of a page of entries.
    Tally {
        /// How many met what.
        tally: Tally,
        /// Where the next page begins.
        next: Option<Cursor>,
    },
    /// The gateway.
    About {
        /// Its release.
        release: String,
    },
    /// The machine's clock.
    Clock {
        /// What it shows.
        now: String,
        /// What links and visits end by.
        certain: String,
        /// What is wrong with it.
        doubt: Option<String>,
    },
    /// What a reload did.
    Reloaded {
        /// Options that changed and hold.
        applied: Vec<String>,
        /// Options that changed and need a restart.
        restart: Vec<String>,
    },
    /// How far a drain is.
    Draining {
        /// Entries that still have to go.
        waiting: usize,
        /// Entries that wait for the operator and go nowhere by themselves.
        held: usize,
    },
    /// A backup is being made.
    BackingUp,
    /// A backup was made.
    BackedUp {
        /// What it holds, in words.
        told: String,
    },
    /// It was done.
    Done,
    /// There is no such entry.
    NoSuchEntry,
    /// It was not done.
    Trouble {
        /// Why.
        because: String,
    },
}

/// An entry as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// Reverse-path; empty is null.
    pub from: String,
    /// Recipients that are still open.
    pub to: Vec<String>,
    /// Octets.
    pub size: u64,
    /// When it was taken on.
    pub arrived: String,
    /// When it is tried next; `held` is when the operator says so, `now` that it is under way.
    pub next: String,
    /// Attempts so far.
    pub attempts: u32,
    /// What the last attempt heard.
    pub last: Option<String>,
}

/// A host on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its name.
    pub host: String,
    /// Where it is.
    pub addresses: Vec<String>,
    /// How TLS with it must look.
    pub tls: String,
    /// Whether it is proven that it is the domain's.
    pub proven: bool,
}

/// A way out as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// Its next hops.
    pub hops: String,
    /// Entries that wait for their turn.
    pub waiting: usize,
    /// Entries under way.
    pub leased: usize,
    /// Entries that wait for the operator.
    pub held: usize,
    /// When the oldest of them was taken on.
    pub oldest: Option<String>,
    /// Why no hop can be reached.
    pub away: Option<String>,
}

impl From<Listed> for Entry {
    fn from(listed: Listed) -> Self {
        Self {
            id: listed.id.to_string(),
            from: match &listed.envelope.reverse_path {
                ReversePath::Null => String::new(),
                ReversePath::Mailbox(mailbox) => mailbox.to_string(),
            },
            to: listed.envelope.recipients.iter().map(|recipient| recipient.forward_path.to_string()).collect(),
            size: listed.size,
            arrived: listed.arrived.strftime(TIME).to_string(),
            next: match listed.waits {
                Waits::Until(next) => next.strftime(TIME).to_string(),
                Waits::UnderWay => String::from("now"),
                Waits::Held => String::from("held"),
            },
            attempts: listed.attempts,
            last: listed.last.map(|heard| format!("{} {}", heard.status, heard.text)),
        }
    }
}

impl From<Reloaded> for Answer {
    fn from(Reloaded { applied, restart }: Reloaded) -> Self {
        Self::Reloaded { applied, restart }
    }
}

impl From<Job> for Answer {
    fn from(job: Job) -> Self {
        match job {
            Job::None => trouble("no backup was asked for since the start"),
            Job::Running => Self::BackingUp,
            Job::Done(manifest) => Self::BackedUp { told: backup::told(&manifest) },
            Job::Failed(because) => Self::Trouble { because },
        }
    }
}

/// The socket, made anew: one that is left of a process that died is removed.
pub fn listen(path: &Path) -> std::io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    UnixListener::bind(path)
}

/// Answers until the gateway stops.
pub async fn serve(listener: UnixListener, gateway: Arc<Gateway>) {
    loop {
        match listener.accept().await {
            // One operator at a time is enough, and a slow one is cut.
            Ok((stream, _)) => drop(tokio::time::timeout(PATIENCE, converse(stream, &gateway)).await),
            // Out of descriptors as a rule; it must not be the end of the operator's only way in.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn converse(stream: UnixStream, gateway: &Arc<Gateway>) -> std::io::Result<()> {
    failpoint::reach("control.converse");
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read).take(LINE_MAX).read_line(&mut line).await?;
    let answer = match serde_json::from_str(&line) {
        Ok(request) => {
            let gateway = Arc::clone(gateway);
            tokio::task::spawn_blocking(move || gateway.answer(request)).await.unwrap_or_else(|_| trouble("the verb panicked"))
        }
        Err(error) => trouble(&format!("not a request: {error}")),
    };
    let mut text = serde_json::to_string(&answer)?;
    text.push('\n');
    write.write_all(text.as_bytes()).await
}

impl Gateway {
    /// Does what an operator asks. Blocks, and needs a running runtime.
    pub fn answer(self: &Arc<Self>, request: Request) -> Answer {
        failpoint::reach("control.verb");
        let done = match request {
            Request::QueueList { after, limit } => {
                let entries = self.base.queue.list(after.as_deref().and_then(id), limit.min(LIST_MAX));
                entries.map(|entries| Answer::Entries { entries: entries.into_iter().map(Entry::from).collect() })
            }
            Request::QueueShow { id: text } => match id(&text) {
                Some(id) => self.base.queue.show(id).map(|listed| match listed {
                    Some(listed) => Answer::Entries { entries: vec![listed.into()] },
                    None => Answer::NoSuchEntry,
                }),
                None => Ok(Answer::NoSuchEntry),
            },
            Request::QueueEach(each) => return self.each(each),
            Request::QueueDrop { id: text } => self.on_entry(&text, |id| self.base.relay.drop_entry(id)),
            Request::QueueStats => Ok(self.stats()),
            Request::About => Ok(Answer::About { release: String::from(env!("CARGO_PKG_VERSION")) }),
            Request::Course { domain } => return Handle::current().block_on(self.shown_course(&domain)),
            Request::TlsReports => Handle::current().block_on(self.tell_domains()).map(|()| Answer::Done),
            Request::Clock => Ok(self.shown_clock()),
            Request::ClockBelieve => self.believe_clock().map(|()| Answer::Done),
            Request::Reload => return self.reload().map_or_else(|mistakes| trouble(&mistakes), Answer::from),
            Request::Drain => {
                self.set_doors(Doors::Closed);
                let waiting = self.waiting();
                Ok(Answer::Draining { waiting: waiting.due + waiting.later + waiting.leased, held: waiting.held })
            }
            Request::DrainEnd => {
                self.set_doors(Doors::Open);
                Ok(Answer::Done)
            }
            Request::Backup { directory, part } => {
                return self.begin_backup(directory, part).map_or_else(|Failed(why)| trouble(&why), |()| Answer::Done);
            }
            Request::BackupState => return self.backed_up().into(),
        };
        done.unwrap_or_else(|fault| trouble(&fault.0))
    }

    fn shown_clock(&self) -> Answer {
        let [now, certain] = [self.base.clock.now(), self.base.clock.certain()].map(|time| time.strftime(TIME).to_string());
        Answer::Clock { now, certain, doubt: self.base.clock.doubt().as_ref().map(time::told) }
    }

    fn on_entry(&self, text: &str, act: impl Fn(QueueId) -> Result<bool, crate::store::Fault>) -> Result<Answer, crate::store::Fault> {
        let found = match id(text) {
            Some(id) => act(id)?,
            None => false,
        };
        self.base.relay.wake();
        Ok(if found { Answer::Done } else { Answer::NoSuchEntry })
    }
}

/// Asks a running gateway; used by the operator's commands.
pub async fn ask(path: &Path, request: &Request) -> std::io::Result<Answer> {
    let (read, mut write) = UnixStream::connect(path).await?.into_split();
    let mut text = serde_json::to_string(request)?;
    text.push('\n');
    write.write_all(text.as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(read).read_line(&mut line).await?;
    Ok(serde_json::from_str(&line)?)
}

fn trouble(because: &str) -> Answer {
    Answer::Trouble { because: because.to_owned() }
}

/// RFC 3339, UTC.
pub(super) const TIME: &str = "%Y-%m-%dT%H:%M:%SZ";
/// A request is short.
const LINE_MAX: u64 = 4096;
/// An answer must fit into memory twice.
const LIST_MAX: usize = 1000;
/// How long one operator may hold the socket.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
/// Between two tries to take a connection when there are no descriptors.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);
