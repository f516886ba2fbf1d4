//! What was acknowledged outlives the process.

use std::net::{SocketAddr, TcpListener};

use super::house::{House, contains};
use crate::crash::raw_sink::{RawSink, obliging};
use crate::ports::free_port;

const SECRET: &str = "From: emma@example.org\nTo: jonas@mail.example\nSubject: results\n\npnr 850709-9805\n";

#[test]
fn mail_that_waits_is_relayed_after_a_restart() {
    let hop = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut house = House::before(RawSink::start(obliging));
    let configuration = house.path("waxseal.toml");
    let text = std::fs::read_to_string(&configuration).unwrap().replace(&house.sink.address.to_string(), &hop.to_string());
    house.stop();
    std::fs::write(&configuration, text).unwrap();
    house.start();
    assert!(house.send("emma@example.org", &["jonas@mail.example"], SECRET).starts_with("250"));
    house.stop();
    let back = RawSink::on(TcpListener::bind(hop).unwrap(), obliging);
    // The attempt that found nobody put the next one off.
    house.turn_clock(1);
    house.start();
    let taken = back.wait_for(1);
    assert!(contains(&taken[0].octets, "/m/") && !contains(&taken[0].octets, "850709"));
}
