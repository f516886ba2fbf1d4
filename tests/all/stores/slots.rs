//! What every slot engine must do.

use std::collections::BTreeSet;

use waxseal::store::slots::FileSlots;
use waxseal::store::{SlotNo, Slots};

#[test]
fn a_file_is_a_slot_engine() {
    let folder = tempfile::tempdir().unwrap();
    suite(&FileSlots::open(&folder.path().join("slots")).unwrap());
}

fn suite(slots: &dyn Slots) {
    let given = slots.allocate(700).unwrap();
    let numbers: BTreeSet<SlotNo> = given.iter().map(|(slot, _)| *slot).collect();
    assert_eq!(numbers.len(), 700, "no slot twice");
    for (slot, octets) in &given {
        assert_eq!(slots.read(*slot).unwrap().expose(), octets.expose());
    }
    let (dead, alive) = given.split_at(350);
    let numbers: Vec<SlotNo> = dead.iter().map(|(slot, _)| *slot).collect();
    slots.shred(&numbers).unwrap();
    for (slot, octets) in dead {
        assert_ne!(slots.read(*slot).unwrap().expose(), octets.expose());
    }
    for (slot, octets) in alive {
        assert_eq!(slots.read(*slot).unwrap().expose(), octets.expose());
    }
    // Places come again, and a number that is dead does not reach their new holders.
    let again = slots.allocate(2000).unwrap();
    slots.shred(&numbers).unwrap();
    for (slot, octets) in again.iter().chain(alive) {
        assert_eq!(slots.read(*slot).unwrap().expose(), octets.expose());
    }
}

#[test]
fn slots_survive_opening_again_and_none_is_given_out_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slots");
    let mut held = Vec::new();
    for round in 0..4 {
        let slots = FileSlots::open(&path).unwrap();
        held.extend(slots.allocate(100).unwrap());
        for (slot, octets) in &held {
            assert_eq!(slots.read(*slot).unwrap().expose(), octets.expose(), "round {round}");
        }
    }
    let places: BTreeSet<SlotNo> = held.iter().map(|(slot, _)| *slot).collect();
    assert_eq!(places.len(), 400);
    // What lay ready and was not given out came back: the places are the first 400.
    assert!(places.iter().all(|SlotNo(number)| number & 0xffff_ffff < 400));
}

#[test]
fn the_room_of_a_group_is_taken_before_its_first_slot_is_given_out() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slots");
    let slots = FileSlots::open(&path).unwrap();
    for (count, groups) in [(1, 1), (32_768, 2)] {
        slots.allocate(count).unwrap();
        let file = std::fs::metadata(&path).unwrap();
        assert_eq!(file.len(), 4096 + groups * (4096 + 32_768 * 32));
        assert!(file.blocks() * 512 >= file.len(), "{} of {} octets have a place", file.blocks() * 512, file.len());
    }
}

#[test]
fn what_a_crash_lost_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slots");
    let slots = FileSlots::open(&path).unwrap();
    let held = slots.allocate(3).unwrap();
    // The image of a crash: no destructor ran.
    let crashed = folder.path().join("crashed");
    std::fs::copy(&path, &crashed).unwrap();
    let slots = FileSlots::open(&crashed).unwrap();
    assert_eq!(slots.retain(held.iter().map(|(slot, _)| *slot)).unwrap(), 253);
    for (slot, octets) in &held {
        assert_eq!(slots.read(*slot).unwrap().expose(), octets.expose());
    }
    assert_eq!(slots.retain(held.iter().map(|(slot, _)| *slot)).unwrap(), 0);
}

#[test]
fn a_file_that_is_no_slot_file_or_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slots");
    let _open = FileSlots::open(&path).unwrap();
    assert!(FileSlots::open(&path).err().unwrap().0.contains("in use"));
    let other = folder.path().join("other");
    std::fs::write(&other, vec![b'x'; 5000]).unwrap();
    assert!(FileSlots::open(&other).err().unwrap().0.contains("not a slot file"));
}
