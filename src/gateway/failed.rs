//! Why the gateway, or a command of the operator, could not do what it was asked.

use std::fmt;

use crate::crypto::ring::Unusable;
use crate::mistake::Mistake;
use crate::store::Fault;

/// The reason in the words that the operator reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed(pub String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<Unusable> for Failed {
    fn from(unusable: Unusable) -> Self {
        Self(unusable.0)
    }
}

impl From<rustls::Error> for Failed {
    fn from(error: rustls::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self(fault.0)
    }
}

impl From<Mistake> for Failed {
    fn from(mistake: Mistake) -> Self {
        Self(mistake.to_string())
    }
}

impl From<Vec<Mistake>> for Failed {
    fn from(mistakes: Vec<Mistake>) -> Self {
        Self(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }
}
