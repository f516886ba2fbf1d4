//! Who may send after AUTH: the users file.
//!
//! ```text
//! # name : hash : addresses it may send as, beside a name that is an address itself
//! ann@example.org:$argon2id$v=19$…:sales@example.org,info@example.org
//! scanner:$argon2id$v=19$…:scanner@example.org
//! ```
//!
//! Guessing is slow for everybody (Argon2id), costs bounded memory (few at a time), and is cut
//! off for an address after ten wrong guesses a minute. To a guesser, a wrong name and a wrong
//! password are one case, and take the same time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;

use super::sasl::Claim;
use crate::crypto::password;
use crate::mail::Mailbox;
use crate::mistake::Mistake;
use crate::net::peers::Origin;

/// The users file in memory, and who guessed at it lately.
#[derive(Debug)]
pub struct Users {
    file: PathBuf,
    known: ArcSwap<HashMap<String, User>>,
    guesses: Mutex<HashMap<Origin, Vec<Timestamp>>>,
    checks: Semaphore,
}

#[derive(Debug, Clone)]
struct User {
    phc: String,
    may_send_as: Vec<Mailbox>,
}

/// Somebody who proved who he is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name in the users file.
    pub authcid: String,
    addresses: Vec<Mailbox>,
}

impl Identity {
    /// Whether this reverse-path is his.
    pub fn may_send_as(&self, from: &Mailbox) -> bool {
        self.addresses.iter().any(|address| address.is_same_person(from))
    }

    /// An identity with the addresses that it may send as.
    pub const fn new(authcid: String, addresses: Vec<Mailbox>) -> Self {
        Self { authcid, addresses }
    }
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    True(Identity),
    /// Wrong name or wrong password.
    False,
    /// Not looked at: too many wrong ones came from there.
    TooMany,
    /// Not looked at: the check cannot be made.
    Unavailable,
}

impl Users {
    /// Reads the file; all of its mistakes at once.
    pub fn load(file: &Path) -> Result<Self, Vec<Mistake>> {
        let known = ArcSwap::from_pointee(read(file)?);
        Ok(Self { file: file.to_owned(), known, guesses: Mutex::default(), checks: Semaphore::new(CHECKS_AT_ONCE) })
    }

    /// Reads it again; on any mistake the users stay as they are.
    pub fn reload(&self) -> Result<(), Vec<Mistake>> {
        self.known.store(read(&self.file)?.into());
        Ok(())
    }

    /// Who somebody would be after AUTH, by the name in the file.
    pub fn identity(&self, name: &str) -> Option<Identity> {
        self.known.load().get(name).map(|user| Identity::new(name.to_owned(), user.may_send_as.clone()))
    }

    /// Checks a claim that came from this address.
    pub async fn verify(&self, claim: Claim, from: IpAddr, now: Timestamp) -> Verdict {
        // Counted before it is looked at, so that many at once cannot slip through together.
        if !self.count(from, now) {
            return Verdict::TooMany;
        }
        let Ok(_turn) = self.checks.acquire().await else { return Verdict::Unavailable };
        let user = self.known.load().get(&claim.authcid).cloned();
        let phc = user.as_ref().map(|user| user.phc.clone());
        let password = claim.password;
        let holds = tokio::task::spawn_blocking(move || password::verify(&password, phc.as_deref())).await;
        match (holds, user) {
            (Ok(true), Some(user)) => {
                self.uncount(from, now);
                Verdict::True(Identity::new(claim.authcid, user.may_send_as))
            }
            (Ok(_), _) => Verdict::False,
            (Err(_), _) => Verdict::Unavailable,
        }
    }

    /// Notes a guess; false if there were too many in the last minute.
    fn count(&self, from: IpAddr, now: Timestamp) -> bool {
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |at: &Timestamp| now.duration_since(*at) < MINUTE;
        if guesses.len() >= ORIGINS_MAX {
            guesses.retain(|_, times| times.iter().any(fresh));
        }
        // Whoever can guess from so many addresses in one minute makes everybody wait.
        if guesses.len() >= ORIGINS_MAX && !guesses.contains_key(&Origin::of(from)) {
            return false;
        }
        let times = guesses.entry(Origin::of(from)).or_default();
        times.retain(fresh);
        if times.len() >= GUESSES_A_MINUTE {
            return false;
        }
        times.push(now);
        true
    }

    /// A right password is no guess.
    fn uncount(&self, from: IpAddr, at: Timestamp) {
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(times) = guesses.get_mut(&Origin::of(from)) else { return };
        if let Some(index) = times.iter().position(|time| *time == at) {
            times.swap_remove(index);
        }
    }
}

fn read(file: &Path) -> Result<HashMap<String, User>, Vec<Mistake>> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        vec![Mistake::whole(file, format!("the users file cannot be read: {error}")).help("`waxseal user add` writes it")]
    })?;
    let (mut known, mut mistakes, mut offset) = (HashMap::new(), Vec::new(), 0);
    for line in text.split_inclusive('\n') {
        let entry = line.trim();
        let at = |what: String| Mistake::at(file, &text, offset, what);
        if !entry.is_empty() && !entry.starts_with('#') {
            match parse(entry) {
                Ok((name, user)) => {
                    if known.insert(name.clone(), user).is_some() {
                        mistakes.push(at(format!("user \"{name}\" stands here twice")));
                    }
                }
                Err(what) => mistakes.push(at(what).help("a line is  name:hash:addresses  as `waxseal user add` writes it")),
            }
        }
        offset += line.len();
    }
    if mistakes.is_empty() { Ok(known) } else { Err(mistakes) }
}

fn parse(entry: &str) -> Result<(String, User), String> {
    let mut fields = entry.splitn(3, ':').map(str::trim);
    let (Some(name), Some(phc)) = (fields.next(), fields.next()) else { return Err("no \":\" between name and hash".to_owned()) };
    if name.is_empty() {
        return Err("no name before the \":\"".to_owned());
    }
    if !phc.starts_with("$argon2id$") {
        return Err(format!("the hash of \"{name}\" does not begin with $argon2id$"));
    }
    let mut may_send_as: Vec<Mailbox> = Mailbox::parse(name).into_iter().collect();
    for address in fields.next().unwrap_or_default().split(',').map(str::trim).filter(|address| !address.is_empty()) {
        may_send_as.push(Mailbox::parse(address).map_err(|bad| format!("\"{address}\": {bad}"))?);
    }
    if may_send_as.is_empty() {
        return Err(format!("\"{name}\" is not an address and has none that it may send as"));
    }
    Ok((name.to_owned(), User { phc: phc.to_owned(), may_send_as }))
}

/// Argon2id takes 19 MiB for each check.
const CHECKS_AT_ONCE: usize = 2;
/// Wrong passwords that are looked at, for each address.
const GUESSES_A_MINUTE: usize = 10;
const MINUTE: SignedDuration = SignedDuration::from_secs(60);
/// Addresses that are remembered for having guessed.
const ORIGINS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Users, Vec<String>> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("users");
        std::fs::write(&file, text).unwrap();
        let shorter = |mistake: &Mistake| format!("{}: {}", mistake.line.unwrap_or(0), mistake.what);
        Users::load(&file).map_err(|mistakes| mistakes.iter().map(shorter).collect())
    }

    #[test]
    fn all_mistakes_of_the_file_are_named_at_once() {
        let text = "# users\n\nann@example.org:$argon2id$x\nbob:$argon2id$x:bob\nann@example.org:$argon2id$y\ncarl:plain:c@example.org\ndora:$argon2id$x\nnothing\n";
        assert_eq!(
            load(text).unwrap_err(),
            [
                "4: \"bob\": an address needs a domain: local-part@domain",
                "5: user \"ann@example.org\" stands here twice",
                "6: the hash of \"carl\" does not begin with $argon2id$",
                "7: \"dora\" is not an address and has none that it may send as",
                "8: no \":\" between name and hash",
            ]
        );
    }

    #[test]
    fn a_user_may_send_as_its_own_name_and_the_listed_addresses() {
        let users = load("ann@example.org:$argon2id$x:sales@example.org, info@example.org\n").unwrap();
        let user = users.known.load().get("ann@example.org").cloned().unwrap();
        let identity = Identity::new("ann@example.org".into(), user.may_send_as);
        for (from, expect) in [
            ("Ann@EXAMPLE.org", true),
            ("info@example.org", true),
            ("bob@example.org", false),
            ("ann@sub.example.org", false),
            ("\u{0430}nn@example.org", false),
        ] {
            assert_eq!(identity.may_send_as(&Mailbox::parse(from).unwrap()), expect, "{from}");
        }
    }

    #[test]
    fn the_eleventh_guess_in_a_minute_is_not_looked_at() {
        let users = load("ann@example.org:$argon2id$x\n").unwrap();
        let (here, there) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let at = |second: i64| Timestamp::from_second(1_700_000_000 + second).unwrap();
        for second in 0..10 {
            assert!(users.count(here, at(second)));
        }
        assert!(!users.count(here, at(11)));
        assert!(users.count(there, at(11)));
        users.uncount(here, at(3));
        assert!(users.count(here, at(12)));
        assert!(!users.count(here, at(13)));
        assert!(users.count(here, at(61)));
    }
}
