//! Any octets are an MTA-STS policy or not, any text a record or not; a policy that was read is written and read again.
#![no_main]

use waxseal::transport::report::letter;
use waxseal::transport::sts::{Policy, id};

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    if let Ok(policy) = Policy::parse(octets) {
        assert_eq!(Policy::parse(policy.to_string().as_bytes()), Ok(policy));
    }
    let texts = [String::from_utf8_lossy(octets).into_owned()];
    let _ = id(&texts);
    let _ = letter::mailboxes(&texts);
});
