//! The whole gateway in one process, between a client and a scripted next hop: one fate a file.

mod house;

mod doubts;
mod expiry;
mod explained;
mod foreign;
mod loops;
mod mixed;
mod reload;
mod rest;
mod restart;
mod untouched;
mod wishes;
