//! A Sentry made of a raw socket: records what arrives and answers what it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::message::{Connection, Message};

pub(crate) const OK: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

pub(crate) struct Sentry {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: mpsc::UnboundedReceiver<Message>,
    accepting: JoinHandle<()>,
}

impl Sentry {
    /// Answers every request alike, on kept-alive connections.
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Sentry {
        let answer: Arc<[u8]> = answer.into().into();
        Sentry::scripted(move |stream, recorder| {
            let answer = Arc::clone(&answer);
            async move {
                let mut connection = Connection::new(stream);
                while let Ok(message) = connection.read().await {
                    recorder.send(message).ok();
                    if connection.stream.write_all(&answer).await.is_err() {
                        break;
                    }
                }
            }
        })
        .await
    }

    /// Runs a script for each connection.
    pub(crate) async fn scripted<F>(
        script: impl Fn(TcpStream, mpsc::UnboundedSender<Message>) -> F + Send + 'static,
    ) -> Sentry
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Sentry::at("127.0.0.1:0".parse().unwrap(), script).await
    }

    /// Runs a script for each connection to an address.
    pub(crate) async fn at<F>(
        address: SocketAddr,
        script: impl Fn(TcpStream, mpsc::UnboundedSender<Message>) -> F + Send + 'static,
    ) -> Sentry
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (recorder, requests) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(script(stream, recorder.clone()));
            }
        });
        Sentry {
            address,
            connections,
            requests,
            accepting,
        }
    }

    /// Returns the next request that arrived whole.
    pub(crate) async fn request(&mut self) -> Message {
        self.requests.recv().await.unwrap()
    }

    /// Returns a request that has arrived by now.
    pub(crate) fn request_now(&mut self) -> Option<Message> {
        self.requests.try_recv().ok()
    }

    pub(crate) fn connection_count(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Sentry {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
