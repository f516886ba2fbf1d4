//! Policies as they were fetched, kept until they end: who holds back the newer word of a domain, in DNS or
//! on the way to its web server, does not make us forget the older one. RFC 8461 §5.1, §10.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use super::{BadPolicy, Mode, Policy, id};
use crate::crypto::aead::Key;
use crate::crypto::derive;
use crate::event::{Event, emit};
use crate::mail::Domain;
use crate::net::dns::{Host, Resolver};
use crate::net::fetch::{Fetcher, Unfetched};
use crate::store::{Conflict, Fault, SealedRecords, Write};

/// The policies of all domains that mail goes to.
pub struct Policies {
    resolver: Arc<Resolver>,
    fetcher: Option<Fetcher>,
    records: SealedRecords,
    index: Key,
    /// What the store holds of a domain, or that it holds nothing.
    near: moka::sync::Cache<Domain, Option<Arc<Held>>>,
    /// What came of a fetch: many mails to one domain ask once, and a server that is broken is left alone for a while.
    fetched: moka::sync::Cache<(Domain, String), Arc<OnceCell<Fetched>>>,
}

type Fetched = Result<Arc<Policy>, Unavailable>;

/// Where a domain stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stand {
    /// It demands nothing.
    NoPolicy,
    /// It demands this.
    Policy(Arc<Policy>),
    /// It says that it has a policy, and there is none that can be had, nor an older one.
    Unavailable(Unavailable),
}

/// Why a policy cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unavailable {
    /// Its web server does not give it.
    Fetch(Unfetched),
    /// What it gives is none.
    Bad(BadPolicy),
}

/// A policy with its time.
#[derive(Debug)]
struct Held {
    id: String,
    policy: Arc<Policy>,
    fetched: Timestamp,
}

/// The same as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u8,
    id: String,
    text: String,
    /// Seconds since 1970.
    fetched: i64,
}

impl Policies {
    /// Over the records; without a fetcher only what is held counts.
    pub fn new(resolver: Arc<Resolver>, fetcher: Option<Fetcher>, records: SealedRecords) -> Self {
        let index = records.ring().root("index");
        let near = moka::sync::Cache::builder().max_capacity(DOMAINS_MAX).time_to_live(NEAR).build();
        let fetched = moka::sync::Cache::builder().max_capacity(FETCHES_MAX).time_to_live(FETCHED).build();
        Self { resolver, fetcher, records, index, near, fetched }
    }

    /// What the domain demands at `now`, by a clock that nobody can turn ahead. Asks DNS each time, the web server
    /// only where that names a policy that is new, or where ours is a day old.
    pub async fn of(&self, domain: &Domain, now: Timestamp) -> Result<Stand, Fault> {
        let held = self.held(domain).await?.filter(|held| !held.is_over(now));
        let texts = match Host::from(domain).service(RECORD) {
            Some(name) => self.resolver.texts(&name).await.map(|answer| answer.value).unwrap_or_default(),
            None => vec![],
        };
        match (held, id(&texts)) {
            (None, None) => Ok(Stand::NoPolicy),
            // RFC 8461 §3.3: no record, several, or no DNS at all: what is held still holds.
            (Some(held), None) => Ok(held.stand()),
            (Some(held), Some(id)) if held.id == id && !held.is_old(now) => Ok(held.stand()),
            (held, Some(id)) => match self.fetch(domain, &id).await {
                Ok(policy) => self.keep(domain, Held { id, policy, fetched: now }).await,
                Err(why) => Ok(held.map_or(Stand::Unavailable(why), |held| held.stand())),
            },
        }
    }

    /// Removes what is over.
    pub fn sweep(&self, now: Timestamp) -> Result<usize, Fault> {
        let (mut from, mut removed) = (vec![], 0);
        loop {
            let batch = self.records.scan(PREFIX, &from, BATCH)?;
            let Some(last) = batch.last() else { return Ok(removed) };
            from = [last.key.as_slice(), &[0]].concat();
            let over = batch.iter().filter(|record| Held::read(&record.value).is_none_or(|held| held.is_over(now)));
            let deletes: Vec<Write> = over.map(|record| Write::Delete(record.key.clone())).collect();
            removed += deletes.len();
            if !deletes.is_empty() {
                self.records.commit_unhurried(vec![], deletes).map_err(fault)?;
            }
        }
    }

    async fn fetch(&self, domain: &Domain, id: &str) -> Fetched {
        let Some(fetcher) = &self.fetcher else { return Err(Unavailable::Fetch(Unfetched::Silence)) };
        let fetch = async {
            let host = Host::from(domain).service(WEB_HOST).ok_or(Unavailable::Bad(BadPolicy::Syntax))?;
            let text = fetcher.text(&host, PATH).await.map_err(Unavailable::Fetch)?;
            Policy::parse(&text).map(Arc::new).map_err(Unavailable::Bad)
        };
        let fetched = self.fetched.get_with((domain.clone(), id.to_owned()), Arc::default);
        fetched.get_or_init(|| fetch).await.clone()
    }

    async fn held(&self, domain: &Domain) -> Result<Option<Arc<Held>>, Fault> {
        if let Some(near) = self.near.get(domain) {
            return Ok(near);
        }
        let (records, key) = (self.records.clone(), self.key(domain));
        let record = off_thread(move || records.get(&key)).await?;
        // What is not readable is of another release, and as good as forgotten.
        let held = record.and_then(|record| Held::read(&record.value)).map(Arc::new);
        self.near.insert(domain.clone(), held.clone());
        Ok(held)
    }

    /// Near at once; on the disk without anybody waiting for it.
    async fn keep(&self, domain: &Domain, held: Held) -> Result<Stand, Fault> {
        let held = Arc::new(held);
        self.near.insert(domain.clone(), Some(held.clone()));
        let (records, key, value) = (self.records.clone(), self.key(domain), held.written()?);
        let kept = off_thread(move || records.commit_unhurried(vec![], vec![records.put(key, &value)]).map_err(fault)).await;
        if let Err(fault) = kept {
            emit(&Event::Trouble { place: "transport", fault: &fault.0 });
        }
        Ok(held.stand())
    }

    fn key(&self, domain: &Domain) -> Vec<u8> {
        [PREFIX, &derive::mac(&self.index, "sts", &[domain.as_str().as_bytes()])].concat()
    }
}

impl Held {
    fn stand(&self) -> Stand {
        // RFC 8461 §8.3: a policy that says `none` was published to take an older one back.
        if self.policy.mode == Mode::None { Stand::NoPolicy } else { Stand::Policy(self.policy.clone()) }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        now.duration_since(self.fetched) > SignedDuration::from_secs(self.policy.max_age.into())
    }

    /// RFC 8461 §10.2: whoever fetches again in time is never without a policy.
    fn is_old(&self, now: Timestamp) -> bool {
        now.duration_since(self.fetched) > OLD
    }

    fn read(value: &[u8]) -> Option<Self> {
        let stored: Stored = postcard::from_bytes(value).ok()?;
        let policy = Policy::parse(stored.text.as_bytes()).ok().filter(|_| stored.version == FORMAT)?;
        Some(Self { id: stored.id, policy: Arc::new(policy), fetched: Timestamp::from_second(stored.fetched).ok()? })
    }

    fn written(&self) -> Result<Vec<u8>, Fault> {
        let stored = Stored { version: FORMAT, id: self.id.clone(), text: self.policy.to_string(), fetched: self.fetched.as_second() };
        postcard::to_allocvec(&stored).map_err(|error| Fault(error.to_string()))
    }
}

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fetch(why) => why.fmt(f),
            Self::Bad(why) => write!(f, "the policy is of no use: {why}"),
        }
    }
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|ended| Err(Fault(ended.to_string())))
}

fn fault(conflict: Conflict) -> Fault {
    match conflict {
        Conflict::Fault(fault) => fault,
        Conflict::Check => Fault(String::from("a policy was written at the same moment")),
    }
}

/// RFC 8461 §3.1.
const RECORD: &str = "_mta-sts";
/// RFC 8461 §3.3.
const WEB_HOST: &str = "mta-sts";
const PATH: &str = "/.well-known/mta-sts.txt";
const PREFIX: &[u8] = b"transport/sts/";
const FORMAT: u8 = 1;
/// Domains in memory, of some hundred octets as a rule and 30 KiB at most; all others are in the store.
const DOMAINS_MAX: u64 = 4_000;
/// Fetches of the last minutes.
const FETCHES_MAX: u64 = 1_000;
/// How long memory is believed; a second process may write to the same records.
const NEAR: Duration = Duration::from_secs(10 * 60);
/// RFC 8461 §3.3: five minutes at least between two fetches of one version.
const FETCHED: Duration = Duration::from_secs(5 * 60);
/// After this a policy is fetched again, although DNS names no new one.
const OLD: SignedDuration = SignedDuration::from_hours(24);
const BATCH: usize = 256;
