//! The listener of the admin pages: so many connections at a time, and none that says nothing for long.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

use crate::seldom::Seldom;

/// A listener that lets so many in.
pub(crate) struct Door {
    listener: TcpListener,
    seats: Arc<Semaphore>,
    /// What the log tells of those who cannot be let in.
    refused: Seldom,
}

/// A connection that ends when nothing was read or written for a while.
pub(crate) struct Visitor {
    stream: TcpStream,
    patience: Pin<Box<Sleep>>,
    _seat: OwnedSemaphorePermit,
}

impl Door {
    pub(crate) fn new(listener: TcpListener) -> Self {
        let seats = Arc::new(Semaphore::new(SEATS));
        Self {
            listener,
            seats,
            refused: Seldom::default(),
        }
    }

    /// Tells the log why nobody can be let in, once in a while.
    fn report(&mut self, error: &io::Error) {
        if let Some(others) = self.refused.say(Instant::now()) {
            let error: &dyn std::error::Error = error;
            tracing::warn!(
                error,
                others,
                "the admin listener cannot accept connections"
            );
        }
    }
}

impl Listener for Door {
    type Io = Visitor;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visitor, SocketAddr) {
        loop {
            let seat = Arc::clone(&self.seats).acquire_owned().await;
            let seat = seat.expect("the semaphore is never closed");
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    // Only a matter of speed.
                    let _ = stream.set_nodelay(true);
                    return (Visitor::new(stream, seat), address);
                }
                // Without descriptors left, the error would repeat at once.
                Err(error) => {
                    self.report(&error);
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Visitor {
    fn new(stream: TcpStream, seat: OwnedSemaphorePermit) -> Self {
        Self {
            stream,
            patience: Box::pin(sleep(PATIENCE)),
            _seat: seat,
        }
    }

    /// Passes on what became of reading or writing; an error when that has taken too long.
    fn within<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.patience.as_mut().reset(Instant::now() + PATIENCE);
            return polled;
        }
        if self.patience.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl AsyncRead for Visitor {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.within(context, polled)
    }
}

impl AsyncWrite for Visitor {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.within(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Connections at a time; those beyond wait in the kernel.
const SEATS: usize = 256;

/// Longer than the pause between two lines of an open page.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long not to accept after running out of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_is_let_go() {
        let (_client, mut visitor) = pair().await;
        let mut bytes = [0; 9];

        let silent = Instant::now();
        let refused = visitor.read(&mut bytes).await.unwrap_err();

        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        assert!(silent.elapsed() >= PATIENCE - Duration::from_secs(1));
    }

    async fn pair() -> (TcpStream, Visitor) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut door = Door::new(listener);
        let address = door.local_addr().unwrap();
        let (client, (visitor, _)) = tokio::join!(TcpStream::connect(address), door.accept());
        (client.unwrap(), visitor)
    }
}
