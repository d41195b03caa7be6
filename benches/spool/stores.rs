//! The three stores that are compared.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::SystemTime;

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use spool::{Body, Config, Content, Framing, Head, Lane, Queue};
use tokio::sync::oneshot;

/// What stores requests.
pub(crate) trait Store: Sized + Send + Sync + 'static {
    const NAME: &'static str;

    fn open(dir: &Path) -> Self;
    /// Stores a request; it is durable when this returns.
    fn append(&self, body: Bytes) -> impl Future<Output = ()> + Send;
    /// Takes all out, the oldest first, and returns how many there were.
    fn drain(&self) -> impl Future<Output = u64> + Send;
    /// Opens the directory, and reads whatever can be read.
    fn read_all(dir: &Path) -> impl Future<Output = Vec<Bytes>>;
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// The spool.
pub(crate) struct Segments(Queue);

impl Store for Segments {
    const NAME: &'static str = "segments";

    fn open(dir: &Path) -> Self {
        Segments(Queue::open(Config::new(dir)).unwrap())
    }

    async fn append(&self, body: Bytes) {
        let body = Body::Memory(vec![body]);
        self.0.append(head(), body).await.unwrap().release();
    }

    async fn drain(&self) -> u64 {
        let mut count = 0;
        while let Some(claim) = self.0.claim(|_| true) {
            claim.load().await.unwrap();
            claim.finish();
            count += 1;
        }
        count
    }

    async fn read_all(dir: &Path) -> Vec<Bytes> {
        let store = Segments::open(dir);
        let mut found = Vec::new();
        while let Some(claim) = store.0.claim(|_| true) {
            if let Ok(request) = claim.load().await
                && let Content::Memory(body) = request.body
            {
                found.push(body);
            }
            claim.finish();
        }
        found
    }

    async fn close(self) {
        self.0.close().await;
    }
}

/// A thread that commits what came in one step.
struct Grouped {
    jobs: mpsc::Sender<(Bytes, oneshot::Sender<()>)>,
    thread: JoinHandle<()>,
}

impl Grouped {
    fn start(mut commit: impl FnMut(&[(u64, Bytes)]) + Send + 'static) -> Grouped {
        let (jobs, receiver) = mpsc::channel::<(Bytes, oneshot::Sender<()>)>();
        let next = AtomicU64::new(0);
        let thread = std::thread::spawn(move || {
            while let Ok(first) = receiver.recv() {
                let jobs = std::iter::once(first).chain(receiver.try_iter().take(1023));
                let (bodies, replies): (Vec<_>, Vec<_>) = jobs
                    .map(|(body, reply)| ((next.fetch_add(1, Ordering::Relaxed), body), reply))
                    .unzip();
                commit(&bodies);
                for reply in replies {
                    let _ = reply.send(());
                }
            }
        });
        Grouped { jobs, thread }
    }

    async fn append(&self, body: Bytes) {
        let (reply, answer) = oneshot::channel();
        self.jobs.send((body, reply)).unwrap();
        answer.await.unwrap();
    }

    fn stop(self) {
        drop(self.jobs);
        self.thread.join().unwrap();
    }
}

/// A log-structured tree.
pub(crate) struct Fjall {
    database: Database,
    requests: Keyspace,
    writer: Grouped,
}

impl Store for Fjall {
    const NAME: &'static str = "fjall";

    fn open(dir: &Path) -> Self {
        let database = Database::builder(dir).open().unwrap();
        let requests = database
            .keyspace("requests", KeyspaceCreateOptions::default)
            .unwrap();
        let (of_thread, keyspace) = (database.clone(), requests.clone());
        let writer = Grouped::start(move |bodies| {
            let mut batch = of_thread.batch().durability(Some(PersistMode::SyncData));
            for (number, body) in bodies {
                batch.insert(&keyspace, number.to_be_bytes(), &body[..]);
            }
            batch.commit().unwrap();
        });
        Fjall {
            database,
            requests,
            writer,
        }
    }

    async fn append(&self, body: Bytes) {
        self.writer.append(body).await;
    }

    async fn drain(&self) -> u64 {
        let mut count = 0;
        for item in self.requests.iter() {
            let (key, value) = item.into_inner().unwrap();
            assert!(!value.is_empty());
            self.requests.remove(key).unwrap();
            count += 1;
        }
        self.database.persist(PersistMode::SyncData).unwrap();
        count
    }

    async fn read_all(dir: &Path) -> Vec<Bytes> {
        let store = Fjall::open(dir);
        let items = store
            .requests
            .iter()
            .filter_map(|item| item.into_inner().ok());
        items
            .map(|(_, body)| Bytes::copy_from_slice(&body))
            .collect()
    }

    async fn close(self) {
        self.writer.stop();
    }
}

/// A copy-on-write B-tree.
pub(crate) struct Redb {
    database: Arc<redb::Database>,
    writer: Grouped,
}

const REQUESTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("requests");

impl Store for Redb {
    const NAME: &'static str = "redb";

    fn open(dir: &Path) -> Self {
        fs::create_dir_all(dir).unwrap();
        let database = Arc::new(redb::Database::create(dir.join("db")).unwrap());
        let of_thread = Arc::clone(&database);
        let writer = Grouped::start(move |bodies| {
            let transaction = of_thread.begin_write().unwrap();
            {
                let mut table = transaction.open_table(REQUESTS).unwrap();
                for (number, body) in bodies {
                    table.insert(number, &body[..]).unwrap();
                }
            }
            transaction.commit().unwrap();
        });
        Redb { database, writer }
    }

    async fn append(&self, body: Bytes) {
        self.writer.append(body).await;
    }

    async fn drain(&self) -> u64 {
        let mut count = 0;
        loop {
            // Each request is read when it is sent; the removals of many share a transaction.
            let transaction = self.database.begin_write().unwrap();
            let before = count;
            {
                let mut table = transaction.open_table(REQUESTS).unwrap();
                while count - before < 64
                    && let Some((_, value)) = table.pop_first().unwrap()
                {
                    assert!(!value.value().is_empty());
                    count += 1;
                }
            }
            transaction.commit().unwrap();
            if count == before {
                return count;
            }
        }
    }

    async fn read_all(dir: &Path) -> Vec<Bytes> {
        let database = redb::Database::open(dir.join("db")).unwrap();
        let transaction = database.begin_read().unwrap();
        let table = transaction.open_table(REQUESTS).unwrap();
        let items = table.iter().unwrap().filter_map(Result::ok);
        let bodies = items.map(|(_, body)| Bytes::copy_from_slice(body.value()));
        bodies.collect()
    }

    async fn close(self) {
        self.writer.stop();
    }
}

fn head() -> Head {
    let field = |name: &'static str, value: &'static str| {
        (
            Bytes::from_static(name.as_bytes()),
            Bytes::from_static(value.as_bytes()),
        )
    };
    Head {
        lane: Lane {
            project: Some(42),
            key: Some("9ec79c33ec9942ab8353589fcb2e04dc".into()),
            categories: 1,
        },
        method: http::Method::POST,
        target: http::uri::PathAndQuery::from_static("/api/42/envelope/"),
        fields: vec![
            field("host", "sentry.example.com"),
            field("user-agent", "sentry.python/2.75.0"),
            field("content-encoding", "gzip"),
            field("content-type", "application/x-sentry-envelope"),
            field("x-forwarded-for", "10.1.2.3"),
        ],
        framing: Framing::Length,
        received_at: SystemTime::now(),
        event_id: Some("9ec79c33ec9942ab8353589fcb2e04dc".to_owned()),
        note: None,
    }
}
