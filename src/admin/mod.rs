//! The operator's commands: set up, serve, look, explain. While the gateway runs, its state is
//! reached through the control socket alone, because the embedded store allows one process.

pub mod backup;
pub mod check;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod init;
mod journal;
pub mod keys;
mod owner;
pub mod queue;
pub mod recover;
pub mod running;
pub mod serve;
pub mod user;

pub use crate::gateway::Failed;
