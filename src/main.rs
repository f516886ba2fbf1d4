//! Arguments → command; there is none yet.
#![forbid(unsafe_code)]

fn main() {}
