//! The whole gateway in one process, between a client and a scripted next hop: one fate a file.
// A script names the stages that it changes; all others are answered as usual.
#![allow(clippy::wildcard_enum_match_arm)]

mod house;

mod backup;
mod doubts;
mod expiry;
mod explained;
mod foreign;
mod hidden;
mod lookalikes;
mod loops;
mod mixed;
mod monitor;
mod offered;
mod ourselves;
mod queue;
mod reload;
mod rest;
mod restart;
mod untouched;
mod wishes;
