//! What an organisation says once for all its policies.

use std::time::Duration;

/// What happens when external recipients of one message would fare differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mixed {
    /// All of them get the strictest.
    Strictest,
    /// Each gets the own.
    Split,
}

crate::options! {
    /// Defaults and limits for what policies leave open.
    pub struct Options {
        /// Days that a link lives when neither policy nor sender says how long.
        default_days: u32 = 14,
        /// Days that a link lives at most; who asks for more gets this, and is told.
        max_days: u32 = 14,
        /// When external recipients of one message would fare differently: `strictest` for all of them, or `split`.
        mixed: Mixed = Mixed::Strictest,
    }
}

impl Options {
    /// The longest that a link may live.
    pub fn longest(&self) -> Duration {
        days(self.max_days)
    }

    /// How long a link lives when nobody says.
    pub fn default_lifetime(&self) -> Duration {
        days(self.default_days).min(self.longest())
    }
}

/// A link that lives for no time would be mail lost, so a day is the least.
fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days.max(1)) * 86_400)
}
