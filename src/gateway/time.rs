//! What is said and done about a clock that cannot be believed.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, SpanRound, Unit};

use super::Gateway;
use crate::clock::Doubt;
use crate::event::{self, Event};
use crate::failpoint;
use crate::store::Fault;

impl Gateway {
    /// Tells the log when the clock stops being believed and when it is believed again.
    pub(super) async fn watch_clock(self: Arc<Self>) {
        let mut doubted = false;
        loop {
            failpoint::reach("gateway.clock");
            match self.base.clock.doubt() {
                Some(doubt) if !doubted => event::emit(&Event::Trouble { place: "clock", fault: &told(&doubt) }),
                None if doubted => event::emit(&Event::Upkeep { what: "clock", result: "believed again" }),
                Some(_) | None => {}
            }
            doubted = self.base.clock.doubt().is_some();
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The machine's clock is right, an operator says.
    pub(super) fn believe_clock(&self) -> Result<(), Fault> {
        self.base.vault.believe(self.base.clock.now())?;
        self.base.clock.accept();
        event::emit(&Event::Upkeep { what: "clock", result: "believed, as the operator says" });
        Ok(())
    }
}

/// What is wrong with the clock and what comes of it.
pub(super) fn told(doubt: &Doubt) -> String {
    let way = if doubt.ahead.is_negative() { "behind" } else { "ahead of" };
    format!(
        "the clock is {} {way} the time that has passed: until it has been even for {} no link ends, nothing is shredded, no mail is given up",
        words(doubt.ahead.abs()),
        words(doubt.remains)
    )
}

/// `30 d`, `1 h 30 m`: the two largest units.
fn words(duration: SignedDuration) -> String {
    let unit = match duration {
        duration if duration >= DAY => Unit::Hour,
        duration if duration >= SignedDuration::from_hours(1) => Unit::Minute,
        _ => Unit::Second,
    };
    let round = SpanRound::new().largest(Unit::Day).smallest(unit).days_are_24_hours();
    jiff::Span::try_from(duration).and_then(|span| span.round(round)).map_or_else(|_| duration.to_string(), |span| format!("{span:#}"))
}

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// How soon a jump is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_says_how_far_which_way_and_for_how_long() {
        for (minutes, expect) in [(43_206, "30d ahead of"), (-61, "1h 1m behind"), (7, "7m ahead of")] {
            let doubt = Doubt { ahead: SignedDuration::from_mins(minutes), remains: SignedDuration::from_secs(599) };
            let told = told(&doubt);
            assert!(told.starts_with(&format!("the clock is {expect} the time")) && told.contains("for 9m 59s"), "{told}");
        }
    }
}
