//! Clients that send numbered requests as fast as they are answered, wherever the program is just now.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use testkit::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::letter::{Letter, Writer};
use crate::oracle::Oracle;

/// What all clients share.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) writer: Writer,
    pub(crate) oracle: Arc<Oracle>,
    /// Where the program is; `None` once no more is to be sent.
    pub(crate) address: watch::Receiver<Option<SocketAddr>>,
    pub(crate) next: AtomicU64,
    /// Answers of the program itself: the request is in its spool.
    pub(crate) kept: AtomicU64,
    /// Answers that are not 200.
    pub(crate) refused: AtomicU64,
}

impl Load {
    /// Starts clients; they end when there is no address any more.
    pub(crate) fn start(self: &Arc<Self>, clients: usize) -> JoinSet<()> {
        let mut set = JoinSet::new();
        for _ in 0..clients {
            set.spawn(Arc::clone(self).work());
        }
        set
    }

    async fn work(self: Arc<Self>) {
        let mut address = self.address.clone();
        loop {
            let Some(target) = *address.borrow_and_update() else {
                return;
            };
            if let Ok(client) = Client::connect(target).await {
                self.talk(client, &address).await;
            }
            // The program was killed, or will be: either there is a new address soon, or the old one works again.
            let _ = tokio::time::timeout(PAUSE, address.changed()).await;
        }
    }

    /// Sends one request after the other until the connection breaks.
    async fn talk(&self, mut client: Client, address: &watch::Receiver<Option<SocketAddr>>) {
        while address.borrow().is_some() {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let letter = self.writer.write(number);
            self.oracle.sends(number, &letter);
            let Ok(answer) = client.send(&letter.request).await else {
                return;
            };
            match answer.status {
                200 => self.acknowledge(number, &letter, &answer.json()),
                _ => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    fn acknowledge(&self, number: u64, letter: &Letter, answer: &serde_json::Value) {
        // Sentry's own answer here is `{}`.
        if let Some(id) = answer.get("id") {
            assert_eq!(id, &letter.id, "{number}");
            self.kept.fetch_add(1, Ordering::Relaxed);
        }
        self.oracle.acknowledged(number);
    }
}

const PAUSE: Duration = Duration::from_millis(20);
