//! Any command line is a command or a reason why not.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| {
    let _ = waxseal::smtp::command::Command::parse(line);
});
