//! Where the time comes from: an argument, never a call.
//!
//! Decisions take `now`; the drivers that run for long hold a [`Clock`]. Only the gateway
//! makes one that reads the machine's time, so a test can move the hands itself.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

/// The gateway's clock.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that asks `read` each time.
    pub fn new(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
