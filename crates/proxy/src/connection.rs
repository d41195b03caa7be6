//! One client's connection: waits for its first byte, then reads requests from it until either side has had enough.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1::{Builder, Connection};
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::answer::{self, Refusal};
use crate::body::AnswerBody;
use crate::handler;
use crate::headers::Forwarded;
use crate::metrics::Outcome;
use crate::patrol::{Activity, Order, Registered};
use crate::route::EndpointLabel;
use crate::screen::{Fault, Screen};
use crate::worker::Worker;

/// What is known about a client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) peer: SocketAddr,
    pub(crate) forwarded: Forwarded,
    pub(crate) activity: Rc<Activity>,
}

/// Serves one client until its connection ends or has to.
///
/// An HTTP connection costs ten times the memory of a socket: it is built only for those who speak.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    registered: Registered,
) {
    if has_spoken(&stream, &registered.activity).await {
        Box::pin(serve_http(
            worker,
            stream,
            peer,
            Rc::clone(&registered.activity),
        ))
        .await;
    }
}

async fn serve_http(
    worker: Rc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    activity: Rc<Activity>,
) {
    let forwarded = Forwarded {
        peer: address_value(peer),
        protocol: HeaderValue::from_static("http"),
    };
    let client = Rc::new(Client {
        peer,
        forwarded,
        activity: Rc::clone(&activity),
    });
    let limits = &worker.config.limits;
    let screen = Screen::new(stream, limits.max_head, Rc::clone(&activity));
    let handler = Handler {
        worker: Rc::clone(&worker),
        client,
    };
    let mut connection = Builder::new()
        .preserve_header_case(true)
        .half_close(true)
        .auto_date_header(false)
        .header_read_timeout(None)
        .max_buf_size(READ_BUFFER.max(limits.max_head))
        .serve_connection(TokioIo::new(screen), handler);

    match drive(&mut connection, &activity).await {
        Ended::Finished(result) => {
            let has_answered = report(&worker, peer, result);
            let screen = connection.into_parts().io.into_inner();
            part(&worker, screen, has_answered).await;
        }
        Ended::Abandoned => tracing::debug!(%peer, "client does not read its answer"),
    }
}

enum Ended {
    Finished(hyper::Result<()>),
    Abandoned,
}

/// Runs the connection, and does what the patrol says.
async fn drive<S>(
    connection: &mut Connection<TokioIo<Screen<S>>, Handler>,
    activity: &Activity,
) -> Ended
where
    TokioIo<Screen<S>>: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let mut is_draining = false;
    poll_fn(|context| {
        match activity.order(context) {
            Order::End => return Poll::Ready(Ended::Abandoned),
            Order::Drain if !is_draining => {
                is_draining = true;
                Pin::new(&mut *connection).graceful_shutdown();
            }
            Order::None | Order::Drain | Order::StopReading => {}
        }
        Pin::new(&mut *connection)
            .poll(context)
            .map(Ended::Finished)
    })
    .await
}

/// Waits for the first byte; `false` when the connection ends before it.
async fn has_spoken(stream: &TcpStream, activity: &Activity) -> bool {
    poll_fn(|context| {
        if activity.order(context) != Order::None {
            return Poll::Ready(false);
        }
        let mut byte = [0];
        let peeked = stream.poll_peek(context, &mut ReadBuf::new(&mut byte));
        peeked.map(|read| matches!(read, Ok(1)))
    })
    .await
}

/// Accounts for what hyper ended with; returns whether it has refused a request by itself.
fn report(worker: &Worker, peer: SocketAddr, result: hyper::Result<()>) -> bool {
    let Err(error) = result else { return false };
    tracing::debug!(%peer, error = &error as &dyn std::error::Error, "connection ended");
    if error.is_parse() {
        worker
            .metrics
            .refused(EndpointLabel::NONE, Outcome::Refused(Refusal::Malformed));
    }
    error.is_parse()
}

/// Says the last word, and gives the client time to hear it: closing a socket with unread input would take it back.
async fn part(worker: &Worker, screen: Screen<TcpStream>, has_answered: bool) {
    let (fault, has_unread) = (screen.fault(), screen.has_unread());
    let mut stream = screen.into_inner();
    if let (Some(Fault::Head(fault)), false) = (fault, has_answered) {
        let refusal = Refusal::from(fault);
        worker
            .metrics
            .refused(EndpointLabel::NONE, Outcome::Refused(refusal));
        let text = answer::refuse_raw(refusal);
        let said = async { stream.write_all(&text).await.and(stream.shutdown().await) };
        if !matches!(timeout(FAREWELL, said).await, Ok(Ok(()))) {
            return;
        }
    }
    if has_unread {
        let mut unread = [0; 4096];
        let until_closed = async { while matches!(stream.read(&mut unread).await, Ok(1..)) {} };
        let _ = timeout(FAREWELL, until_closed).await;
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
            worker: Rc::clone(&self.worker),
        }
    }
}

/// A request being served. When the client leaves before its answer, the request goes on without it.
pub(crate) struct Serving {
    handling: Option<Pin<Box<dyn Future<Output = Response<AnswerBody>>>>>,
    worker: Rc<Worker>,
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
        if let Some(handling) = self.handling.take().filter(|_| !self.worker.is_over()) {
            tokio::task::spawn_local(handling);
        }
    }
}

fn address_value(peer: SocketAddr) -> HeaderValue {
    let text = peer.ip().to_canonical().to_string();
    HeaderValue::from_str(&text).expect("an address is visible ASCII")
}

/// Bytes read at once from a client whose body is large.
const READ_BUFFER: usize = 256 << 10;

/// How long a client may take to read our last word.
const FAREWELL: Duration = Duration::from_secs(2);
