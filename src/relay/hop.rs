//! One next hop as we know it: where it is, what it demands, whether it is there, and the
//! connections to it that can be used again.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::options::{Options, Tls};
use crate::clock::Clock;
use crate::event::{Event, emit};
use crate::mail::Domain;
use crate::mistake::Mistake;
use crate::net::tls::{self, Seen};
use crate::secret::Secret;
use crate::smtp::client::{Connection, Credentials, Hop, Said, Security, Stage, Trouble};
use crate::transport::{self, Transport};

/// One next hop.
pub(super) struct NextHop {
    /// `host:port`, for the log.
    pub name: String,
    hop: Hop,
    demand: Demand,
    way: Way,
    state: Mutex<State>,
    /// TLS that was only offered has failed: until then it is done without.
    in_the_clear: Mutex<Option<Timestamp>>,
    idle: Mutex<Vec<Pooled>>,
    /// Whether its last connection promised to send on under TLS what comes under TLS, and when that was.
    keeps_tls: Mutex<Option<(bool, Instant)>>,
    /// One asks for all who want to know that.
    asking: tokio::sync::Mutex<()>,
}

/// What all hops of a destination have in common.
#[derive(Clone)]
pub(super) struct Way {
    pub hello: Domain,
    pub clock: Clock,
    pub source: Option<std::net::IpAddr>,
    credentials: Option<Credentials>,
    connections: usize,
}

impl Way {
    /// Reads the password.
    pub fn new(hello: &Domain, options: &Options, clock: &Clock) -> Result<Self, Mistake> {
        let (credentials, connections) = (credentials(options)?, options.connections.max(1));
        Ok(Self { hello: hello.clone(), clock: clock.clone(), source: options.source, credentials, connections })
    }
}

/// How TLS with a hop must look.
#[derive(Clone)]
pub(super) enum Demand {
    /// As it is configured.
    Configured(Security),
    /// As its domain publishes it.
    Published {
        tls: transport::Tls,
        by: Arc<Transport>,
        /// [`Tls::Opportunistic`], or more.
        least: Tls,
    },
}

impl Demand {
    /// By the options of a way.
    pub fn of(options: &Options) -> Result<Self, Mistake> {
        Ok(Self::Configured(security(options)?))
    }

    /// For messages that require TLS: no certificate is taken unseen. RFC 8689 §4.2.1.
    pub fn verified(options: &Options) -> Result<Self, Mistake> {
        Ok(Self::Configured(Security::Verified(tls::client_verified(options.roots.as_deref())?)))
    }

    /// For one connection; `seen` gets what is wrong with a certificate that is taken all the same.
    fn security(&self, seen: &Seen) -> Result<Security, Trouble> {
        let (tls, by, least) = match self {
            Self::Configured(security) => return Ok(security.clone()),
            Self::Published { tls, by, least } => (tls, by, *least),
        };
        let client = by.client(tls, seen).map_err(|error| Trouble::new(Stage::Tls, &format!("TLS cannot be set up: {error}")))?;
        Ok(match (tls, least) {
            (transport::Tls::Opportunistic | transport::Tls::Observed, Tls::None | Tls::Opportunistic) => Security::Opportunistic(client),
            (transport::Tls::Opportunistic | transport::Tls::Observed | transport::Tls::Encrypted, _) => Security::Required(client),
            (transport::Tls::Verified | transport::Tls::Dane { .. }, _) => Security::Verified(client),
        })
    }
}

/// Whether it can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// As far as we know.
    Up,
    /// Not by the last attempts.
    Down {
        /// When it is asked again.
        until: Timestamp,
        /// How often it was not there.
        misses: u32,
        /// What we saw.
        said: Said,
    },
}

/// A connection, with what limits its use.
pub(super) struct Pooled {
    pub connection: Connection,
    transactions: u32,
    since: Timestamp,
}

impl NextHop {
    /// Nothing is known of it yet.
    pub fn new(hop: Hop, demand: Demand, way: Way) -> Self {
        let name = format!("{}:{}", hop.host, hop.port);
        let (in_the_clear, idle, keeps_tls) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { name, hop, demand, way, state: Mutex::new(State::Up), in_the_clear, idle, keeps_tls, asking: tokio::sync::Mutex::default() }
    }

    /// Whether it can be reached, as far as we know.
    pub fn state(&self) -> State {
        self.state_at(self.way.clock.now()).clone()
    }

    /// The same, where nobody else changes it. No wait is longer than the longest: a clock that was set back has made it so.
    fn state_at(&self, now: Timestamp) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        if let State::Down { until, .. } = &mut *state {
            *until = (*until).min(now.saturating_add(BACK_OFF_MAX).unwrap_or(*until));
        }
        state
    }

    /// It is asked again with the next message, however long it has been away.
    pub fn hurry(&self) {
        *lock(&self.state) = State::Up;
    }

    /// A new connection. Whether that worked is how we know about the hop.
    pub async fn connect(&self, seen: &Seen) -> Result<Pooled, Trouble> {
        let security = if self.is_in_the_clear() { Security::None } else { self.demand.security(seen)? };
        let opened = Connection::open(&self.hop, &self.way.hello, &security, self.way.credentials.as_ref()).await;
        let now = self.way.clock.now();
        if let Err(trouble) = &opened {
            self.fall_back(&security, trouble, now);
        }
        let mut state = self.state_at(now);
        *state = match &opened {
            Ok(_) => State::Up,
            Err(trouble) => missed(&state, trouble, now),
        };
        drop(state);
        if let Ok(connection) = &opened {
            *lock(&self.keeps_tls) = Some((connection.keeps_tls(), Instant::now()));
        }
        Ok(Pooled { connection: opened?, transactions: 0, since: now })
    }

    /// Whether it promises REQUIRETLS, by what it said lately or by asking it now.
    pub async fn keeps_tls(&self) -> bool {
        if let Some(promise) = self.promise() {
            return promise;
        }
        let _turn = self.asking.lock().await;
        if self.promise().is_none()
            && !self.is_resting()
            && let Ok(pooled) = self.connect(&Seen::default()).await
        {
            self.keep(pooled);
        }
        self.promise().unwrap_or(false)
    }

    /// What its last connection promised, while that is to be believed.
    fn promise(&self) -> Option<bool> {
        let known = *lock(&self.keeps_tls);
        known.filter(|(_, since)| since.elapsed() < PROMISED).map(|(keeps, _)| keeps)
    }

    /// Whether TLS that nobody demands is done without.
    pub fn is_in_the_clear(&self) -> bool {
        let now = self.way.clock.now();
        // By a clock that was set back meanwhile it would last: TLS gets its other chance now.
        lock(&self.in_the_clear).is_some_and(|until| now < until && until.duration_since(now) <= IN_THE_CLEAR)
    }

    /// Whether it was away, and is not to be asked yet.
    pub fn is_resting(&self) -> bool {
        matches!(self.state(), State::Down { until, .. } if self.way.clock.now() < until)
    }

    /// Whether there is nothing to be remembered of it. How often it was away is: who forgot that would wait for it anew
    /// with each message.
    pub fn is_forgettable(&self) -> bool {
        let is_remembered = |until: Timestamp| until.saturating_add(REMEMBERED).is_ok_and(|end| self.way.clock.now() < end);
        let was_away = matches!(self.state(), State::Down { until, .. } if is_remembered(until));
        !was_away && !self.is_in_the_clear() && lock(&self.idle).is_empty()
    }

    /// RFC 7435 §3: TLS that is used because it is there must not keep mail from going where none would have. The next
    /// attempt goes without, where nobody demands TLS and no password is to be sent.
    fn fall_back(&self, security: &Security, trouble: &Trouble, now: Timestamp) {
        let is_spare = matches!(security, Security::Opportunistic(_)) && self.way.credentials.is_none() && !self.hop.is_implicit_tls();
        if trouble.stage == Stage::Tls && is_spare {
            *lock(&self.in_the_clear) = now.saturating_add(IN_THE_CLEAR).ok();
            let fault = format!("TLS with {} failed, mail goes there in the clear for ten minutes: {}", self.name, trouble.said.words);
            emit(&Event::Trouble { place: "relay", fault: &fault });
        }
    }

    /// A connection that was used before and is not too old, the youngest first.
    pub fn pooled(&self) -> Option<Pooled> {
        let now = self.way.clock.now();
        let mut idle = lock(&self.idle);
        let pooled = idle.pop().filter(|pooled| is_fresh(pooled, now))?;
        Some(pooled)
    }

    /// Puts a connection back after a transaction. One that has done its share is dropped.
    pub fn keep(&self, pooled: Pooled) {
        let transactions = pooled.transactions.saturating_add(1);
        let mut idle = lock(&self.idle);
        if transactions < TRANSACTIONS_MAX && idle.len() < self.way.connections {
            idle.push(Pooled { transactions, since: self.way.clock.now(), ..pooled });
        }
    }

    /// Gives up connections that nobody used for a while.
    pub fn take_idle(&self) -> Vec<Pooled> {
        let now = self.way.clock.now();
        lock(&self.idle).extract_if(.., |pooled| !is_fresh(pooled, now)).collect()
    }

    /// Gives up all.
    pub fn take_all(&self) -> Vec<Pooled> {
        lock(&self.idle).drain(..).collect()
    }
}

/// Says goodbye on all of these at once: one that does not answer keeps nobody waiting.
pub(super) async fn quit(connections: Vec<Pooled>) {
    join_all(connections.into_iter().map(|pooled| pooled.connection.quit())).await;
}

fn is_fresh(pooled: &Pooled, now: Timestamp) -> bool {
    let idle = now.duration_since(pooled.since);
    // A clock that was set back says nothing about the connection.
    !idle.is_negative() && idle <= IDLE_MAX
}

/// Attempts that failed together count once: only one that began after the wait was over waits longer.
fn missed(state: &State, trouble: &Trouble, now: Timestamp) -> State {
    match state {
        State::Down { until, .. } if now < *until => state.clone(),
        State::Up => down(0, trouble, now),
        State::Down { misses, .. } => down(misses.saturating_add(1), trouble, now),
    }
}

fn down(misses: u32, trouble: &Trouble, now: Timestamp) -> State {
    let step = usize::try_from(misses).unwrap_or(usize::MAX);
    let wait = BACK_OFF.get(step).copied().unwrap_or(BACK_OFF_MAX);
    State::Down { until: now.saturating_add(wait).unwrap_or(now), misses, said: trouble.said.clone() }
}

/// All that would stop a start.
pub(super) fn check(options: &Options) -> Vec<Mistake> {
    let hops = options.next_hop.malformed().map(|wrong| malformed(&wrong));
    hops.into_iter().chain(security(options).err()).chain(credentials(options).err()).collect()
}

/// What is wrong with a hop as it was written.
pub(super) fn malformed(hop: &str) -> Mistake {
    mistake(format!("relay.next_hop: {hop} is not host:port"))
        .help("for example \"smtp.example.org:587\", \"[2001:db8::1]:25\", \"lmtp://127.0.0.1:24\" (never port 25) or \"mx\"")
}

fn security(options: &Options) -> Result<Security, Mistake> {
    Ok(match options.tls {
        Tls::None => Security::None,
        Tls::Opportunistic => Security::Opportunistic(unchecked()?),
        Tls::Required => Security::Required(unchecked()?),
        Tls::Verified => Security::Verified(tls::client_verified(options.roots.as_deref())?),
    })
}

fn unchecked() -> Result<Arc<rustls::ClientConfig>, Mistake> {
    tls::client_any().map_err(|error| mistake(format!("relay.tls: TLS cannot be set up: {error}")))
}

fn credentials(options: &Options) -> Result<Option<Credentials>, Mistake> {
    match (&options.username, &options.password_file) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) if options.tls == Tls::None => {
            Err(mistake("relay.username: a password is never sent without TLS").help("set relay.tls to \"required\" or \"verified\""))
        }
        (Some(username), Some(file)) => Ok(Some(Credentials { username: username.clone(), password: password(file)? })),
        (Some(_), None) => Err(mistake("relay.username: there is no password for it").help("name its file in relay.password_file")),
        (None, Some(_)) => Err(mistake("relay.password_file: there is no identity for it").help("set relay.username")),
    }
}

/// The first line of a file that nobody but its owner may read.
fn password(file: &Path) -> Result<Secret<String>, Mistake> {
    use std::os::unix::fs::PermissionsExt;
    let unreadable = |error: std::io::Error| Mistake::whole(file, format!("cannot be read: {error}"));
    let mode = std::fs::metadata(file).map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Mistake::whole(file, format!("readable by others than its owner (mode {mode:04o})")).help("chmod 600"));
    }
    let text = Secret::new(std::fs::read_to_string(file).map_err(unreadable)?);
    match text.expose().lines().next() {
        Some(line) if !line.is_empty() => Ok(Secret::new(line.to_owned())),
        _ => Err(Mistake::whole(file, "holds no password").help("write it on the first line")),
    }
}

fn mistake(what: impl Into<String>) -> Mistake {
    Mistake::whole(Path::new("waxseal.toml"), what)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Many servers close after a hundred messages themselves, and less politely.
const TRANSACTIONS_MAX: u32 = 100;
/// Servers keep an idle client for minutes; a short time keeps their room free.
const IDLE_MAX: SignedDuration = SignedDuration::from_secs(30);
/// What a host offers changes with its configuration alone.
const PROMISED: std::time::Duration = std::time::Duration::from_secs(10 * 60);
/// After this, TLS gets another chance.
const IN_THE_CLEAR: SignedDuration = SignedDuration::from_secs(10 * 60);
/// From one probe to the next.
const BACK_OFF: [SignedDuration; 4] =
    [SignedDuration::from_secs(5), SignedDuration::from_secs(15), SignedDuration::from_secs(30), SignedDuration::from_secs(60)];
/// And then.
const BACK_OFF_MAX: SignedDuration = SignedDuration::from_secs(120);
/// After a wait for a host that nobody asked for since.
const REMEMBERED: SignedDuration = SignedDuration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::EnhancedStatus;

    #[test]
    fn the_password_file_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        for (text, mode, expect) in [
            ("secret\n", 0o600, Ok("secret")),
            ("secret", 0o400, Ok("secret")),
            ("secret\n", 0o640, Err("readable by others than its owner (mode 0640)")),
            ("secret\n", 0o604, Err("readable by others than its owner (mode 0604)")),
            ("\nsecret\n", 0o600, Err("holds no password")),
            ("", 0o600, Err("holds no password")),
        ] {
            let _ = std::fs::remove_file(&file);
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            let read = password(&file);
            assert_eq!(read.as_ref().map(|text| text.expose().as_str()).map_err(|mistake| mistake.what.as_str()), expect);
        }
    }

    #[test]
    fn an_identity_needs_its_password_and_tls() {
        let with = |username: Option<&str>, file: Option<&str>, tls| Options {
            username: username.map(String::from),
            password_file: file.map(Into::into),
            tls,
            ..Options::default()
        };
        for (options, expect) in [
            (with(Some("gw"), None, Tls::Verified), "relay.username: there is no password for it"),
            (with(None, Some("p"), Tls::Verified), "relay.password_file: there is no identity for it"),
            (with(Some("gw"), Some("p"), Tls::None), "relay.username: a password is never sent without TLS"),
        ] {
            assert_eq!(credentials(&options).unwrap_err().what, expect);
        }
        assert!(credentials(&Options::default()).unwrap().is_none());
    }

    #[test]
    fn a_clock_that_is_set_back_lengthens_no_wait() {
        let hands = Arc::new(std::sync::atomic::AtomicI64::new(30 * 86_400));
        let shown = hands.clone();
        let clock = Clock::new(move || Timestamp::from_second(shown.load(std::sync::atomic::Ordering::SeqCst)).unwrap());
        let hello = Domain::parse("mail.example.org").unwrap();
        let way = Way::new(&hello, &Options::default(), &clock).unwrap();
        let protocol = crate::smtp::client::Protocol::Smtp;
        let place = Hop { host: "mx.example.net".into(), port: 25, address: None, source: None, protocol };
        let hop = NextHop::new(place, Demand::Configured(Security::None), way);
        let said = Said { code: None, status: EnhancedStatus::new(4, 7, 5), words: "no TLS".into() };
        let trouble = Trouble { stage: Stage::Tls, said, wrong: None };
        *lock(&hop.state) = down(9, &trouble, clock.now());
        hop.fall_back(&Security::Opportunistic(unchecked().unwrap()), &trouble, clock.now());
        assert!(hop.is_resting() && hop.is_in_the_clear());
        hands.store(0, std::sync::atomic::Ordering::SeqCst);
        assert!(hop.is_resting() && !hop.is_in_the_clear());
        hands.store(121, std::sync::atomic::Ordering::SeqCst);
        assert!(!hop.is_resting());
    }

    #[test]
    fn misses_that_come_together_count_once_and_the_wait_grows() {
        let said = Said { code: None, status: EnhancedStatus::new(4, 4, 1), words: "refused".into() };
        let trouble = Trouble { stage: Stage::Connect, said, wrong: None };
        let second = |second| Timestamp::from_second(second).unwrap();
        let mut state = State::Up;
        for (now, until) in [(0, 5), (1, 5), (5, 20), (6, 20), (20, 50), (50, 110), (110, 230), (230, 350)] {
            state = missed(&state, &trouble, second(now));
            assert!(matches!(state, State::Down { until: is, .. } if is == second(until)), "{now}: {state:?}");
        }
    }
}
