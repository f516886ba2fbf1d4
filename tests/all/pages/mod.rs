//! The pages, from landing to the last octet, over real stores.

mod downloads;
mod house;
mod lookalikes;
mod looks;
mod moves;
mod readers;
mod refusals;
mod saves;
mod ways;
