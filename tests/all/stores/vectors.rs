//! Files of every version of the chunk format: what was sealed once opens for ever.

use std::io::Read;
use std::path::Path;

use waxseal::crypto::stream::{self, SegmentId};
use waxseal::secret::Secret;

#[test]
fn segments_of_every_version_open() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/stores/vectors");
    for length in [0_usize, 1, 65_536, 65_537] {
        let sealed = std::fs::read(folder.join(format!("wxp1-v1-{length}.sealed"))).unwrap();
        let id = SegmentId { parcel: [9; 16], part: 3, segment: 1 };
        let mut plain = Vec::new();
        stream::open(&Secret::new([5; 32]), id, Box::new(sealed), 0..length as u64).unwrap().read_to_end(&mut plain).unwrap();
        assert!(plain.iter().enumerate().all(|(i, octet)| *octet == u8::try_from(i * 31 % 251).unwrap()) && plain.len() == length);
    }
}
