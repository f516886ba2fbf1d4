//! A message is read the same in one piece and octet by octet, and what is written of it is read back as it was.
#![no_main]

use bytes::BytesMut;
use waxseal::smtp::framing::{Bare, CrlfWriter, DataReader, LINE_MAX, Progress};

/// The message, and what came after it where it has an end.
fn read(octets: &[u8], size: usize) -> Result<(Vec<u8>, Option<Vec<u8>>, usize), Bare> {
    let (mut reader, mut input, mut message) = (DataReader::default(), BytesMut::new(), Vec::new());
    for (number, piece) in octets.chunks(size).enumerate() {
        input.extend_from_slice(piece);
        if reader.read(&mut input, |run| message.extend_from_slice(run))? == Progress::Ended {
            let after = [&input[..], octets.get((number + 1) * size..).unwrap_or_default()].concat();
            return Ok((message, Some(after), reader.longest_line()));
        }
    }
    Ok((message, None, reader.longest_line()))
}

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let whole = read(octets, octets.len().max(1));
    // Where it breaks, more of it may have been kept before: only that it breaks is the same.
    assert_eq!(whole, read(octets, 1));
    let Ok((message, Some(after), longest)) = whole else { return };
    assert!(octets[..octets.len() - after.len()].ends_with(b".\r\n"));
    let (mut writer, mut wire) = (CrlfWriter::default(), Vec::new());
    let half = message.len() / 2;
    let written = writer.write(&message[..half], &mut wire).and_then(|()| writer.write(&message[half..], &mut wire)).and_then(|()| writer.finish(&mut wire));
    assert_eq!(written.is_ok(), longest <= LINE_MAX, "what was taken can be sent, but for its long lines");
    if written.is_ok() {
        let again = read(&wire, wire.len().max(1)).map(|(message, after, _)| (message, after));
        assert_eq!(again, Ok((message, Some(vec![]))));
    }
});
