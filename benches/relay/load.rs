//! The generator: so many sessions at once, one or many messages a connection.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::client::{Client, Security};
use crate::ledger::Run;

/// How messages are sent.
#[derive(Clone)]
pub struct Load {
    pub port: u16,
    pub sessions: usize,
    pub per_connection: usize,
    pub security: Security,
}

impl Load {
    /// Sends the messages of a run until it has enough.
    pub async fn send(&self, run: &Arc<Run>) {
        let mut sessions = JoinSet::new();
        for _ in 0..self.sessions {
            sessions.spawn(session(self.clone(), run.clone()));
        }
        sessions.join_all().await;
    }
}

async fn session(load: Load, run: Arc<Run>) {
    let mut sent = 0;
    let mut next = run.draw(sent);
    while next.is_some() {
        let mut client = Client::open(load.port, &load.security).await;
        for _ in 0..load.per_connection {
            let Some(number) = next else { break };
            let header = run.mail.header(&format!("{}.{number}", run.id));
            run.accepted(number, client.send(&header, &run.mail.body).await);
            sent += 1;
            next = run.draw(sent);
        }
        client.quit().await;
    }
}
