//! The whole gateway in one process, between a client and a scripted next hop: one fate a file.

mod house;

mod doubts;
mod expiry;
mod foreign;
mod hidden;
mod loops;
mod mixed;
mod reload;
mod rest;
mod restart;
mod untouched;
mod wishes;
