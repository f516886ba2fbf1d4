//! Places at which a test has the gateway panic, to see what it survives. They are there in a build with the feature
//! `failpoints` alone, which no release can have; in every other build a place is nothing.

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!("the feature `failpoints` lets whoever starts the gateway break it: it is for debug builds alone");

/// Panics the first time that it is reached, where the environment names this place as `WAXSEAL_FAILPOINT`.
#[cfg(feature = "failpoints")]
#[track_caller]
#[expect(clippy::panic, reason = "this is what it is for")]
pub fn reach(place: &'static str) {
    use std::sync::atomic::{AtomicBool, Ordering};
    static REACHED: AtomicBool = AtomicBool::new(false);
    if std::env::var("WAXSEAL_FAILPOINT").is_ok_and(|named| named == place) && !REACHED.swap(true, Ordering::AcqRel) {
        panic!("{place}");
    }
}

/// Nothing.
#[cfg(not(feature = "failpoints"))]
pub const fn reach(_place: &'static str) {}
