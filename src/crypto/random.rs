//! Randomness from the system.

/// Fresh random octets. Without randomness nothing here is safe, so the process ends.
pub fn array<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    if getrandom::fill(&mut octets).is_err() {
        std::process::abort();
    }
    octets
}
