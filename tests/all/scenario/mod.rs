//! The whole gateway in one process, between a client and a scripted next hop: one fate a file.

mod house;

mod backup;
mod doubts;
mod expiry;
mod foreign;
mod loops;
mod mixed;
mod monitor;
mod reload;
mod rest;
mod restart;
mod untouched;
mod wishes;
