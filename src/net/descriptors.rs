//! The descriptors of this process, shared out.
//!
//! Whoever takes all that it is offered leaves nothing for the others: a queue that cannot open a file
//! keeps mail back, a control socket that nobody can be taken on from leaves the operator outside. So
//! strangers get shares, and what is left is the gateway's own.
//!
//! Of the limit, mail that comes in has a half: each session may have a socket and a file. Pages
//! have a quarter, one half of it for connections, one for the files that answers are read from.
//! Queue, relay, control socket, stores and workers live on the last quarter.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many of each there may be at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// The limit that they are of.
    pub limit: u64,
    /// SMTP sessions.
    pub sessions: usize,
    /// Connections of browsers.
    pub visitors: usize,
    /// Files that answers to browsers are read from.
    pub readings: usize,
}

impl Shares {
    /// Of the limit as it stands.
    pub fn now() -> Self {
        Self::of(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
    }

    fn of(limit: u64) -> Self {
        let share = |part: u64| usize::try_from(limit / part).unwrap_or(usize::MAX).max(1);
        Self { limit, sessions: share(4), visitors: share(8), readings: share(8) }
    }
}

/// Asks for as many descriptors as the system lets this process have. Where it lets us have no more,
/// those that there are have to be enough.
pub fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_in_full_use_leave_a_quarter() {
        for limit in [64, 256, 1024, 65_536] {
            let Shares { sessions, visitors, readings, .. } = Shares::of(limit);
            let used = (sessions * 2 + visitors + readings) as u64;
            assert!(used <= limit - limit / 4 && used > limit / 2, "{used} of {limit}");
        }
        assert_eq!(Shares::of(0), Shares { limit: 0, sessions: 1, visitors: 1, readings: 1 });
        assert!(Shares::of(u64::MAX).sessions > 1 << 40);
    }

    #[test]
    fn raised_is_the_hard_limit() {
        raise();
        let limits = getrlimit(Resource::Nofile);
        assert_eq!(limits.current, limits.maximum);
    }
}
