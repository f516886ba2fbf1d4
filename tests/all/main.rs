//! Everything that is tested from outside the modules, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm
)]

mod configuration;
mod corpus;
mod crash;
mod dialogue;
mod extraction;
mod lookalikes;
mod pages;
mod policies;
mod ports;
mod power;
mod rewrite;
mod scenario;
mod stores;
mod transport;
