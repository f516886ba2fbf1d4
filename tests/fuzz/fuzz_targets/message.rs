//! Any octets are a message whose parts lie inside of it and of each other.
#![no_main]

use waxseal::mail::{Message, Part, sealed};

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let message = Message::parse(bytes::Bytes::copy_from_slice(octets));
    let mut waiting: Vec<(&Part, usize, usize)> = vec![(message.root(), 0, octets.len())];
    while let Some((part, from, to)) = waiting.pop() {
        assert!(part.span.start >= from && part.span.end <= to && part.body.start >= part.span.start && part.body.end <= part.span.end);
        waiting.extend(part.children.iter().map(|child| (child, part.body.start, part.body.end)));
    }
    for part in message.parts() {
        let _ = message.text(part);
        let _ = sealed::secrecy(&message, part);
    }
});
