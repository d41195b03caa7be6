//! One client's connection: waits for its first byte, then reads requests from it until either side has had enough.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::body::AnswerBody;
use crate::handler;
use crate::headers::Forwarded;
use crate::worker::Worker;

/// What is known about a client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) peer: SocketAddr,
    pub(crate) forwarded: Forwarded,
}

/// Serves one client until its connection ends, or until `draining` says so and nothing is in flight.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    mut draining: watch::Receiver<bool>,
) {
    if !has_spoken(&worker, &stream, &mut draining).await {
        return;
    }
    let client = Rc::new(Client {
        peer,
        forwarded: Forwarded {
            peer: address_value(peer),
            protocol: HeaderValue::from_static("http"),
        },
    });
    let limits = &worker.config.limits;
    let mut connection = std::pin::pin!(
        Builder::new()
            .timer(TokioTimer::new())
            .preserve_header_case(true)
            .half_close(true)
            .auto_date_header(false)
            .header_read_timeout(limits.idle_timeout)
            .max_header_size(limits.max_head)
            .max_buf_size(limits.max_head.max(MIN_BUFFER))
            .serve_connection(
                TokioIo::new(stream),
                Handler {
                    worker: Rc::clone(&worker),
                    client
                }
            )
    );

    let mut is_draining = false;
    let ended = loop {
        tokio::select! {
            ended = &mut connection => break ended,
            _ = draining.changed(), if !is_draining => {
                is_draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error = &error as &dyn std::error::Error, "connection ended");
    }
}

/// Waits for the first byte. An HTTP connection costs ten times the memory of a socket: it is built only for those who speak.
async fn has_spoken(
    worker: &Worker,
    stream: &TcpStream,
    draining: &mut watch::Receiver<bool>,
) -> bool {
    let mut byte = [0];
    tokio::select! {
        read = stream.peek(&mut byte) => matches!(read, Ok(1)),
        _ = draining.changed() => false,
        () = tokio::time::sleep(worker.config.limits.idle_timeout) => false,
    }
}

struct Handler {
    worker: Rc<Worker>,
    client: Rc<Client>,
}

impl Service<Request<Incoming>> for Handler {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Serving;

    fn call(&self, request: Request<Incoming>) -> Serving {
        let handling = handler::handle(Rc::clone(&self.worker), Rc::clone(&self.client), request);
        Serving {
            handling: Some(Box::pin(handling)),
        }
    }
}

/// A request being served. When the client leaves before its answer, the request goes on without it.
pub(crate) struct Serving {
    handling: Option<Pin<Box<dyn Future<Output = Response<AnswerBody>>>>>,
}

impl Future for Serving {
    type Output = Result<Response<AnswerBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let handling = self
            .handling
            .as_mut()
            .expect("hyper does not poll a finished service");
        handling.as_mut().poll(context).map(|answer| {
            self.handling = None;
            Ok(answer)
        })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(handling) = self.handling.take() {
            tokio::task::spawn_local(handling);
        }
    }
}

fn address_value(peer: SocketAddr) -> HeaderValue {
    let text = peer.ip().to_canonical().to_string();
    HeaderValue::from_str(&text).expect("an address is visible ASCII")
}

/// hyper's smallest read buffer.
const MIN_BUFFER: usize = 64 << 10;
