//! One client's connection: waits for its first byte, then reads requests from it until either side has had enough.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::answer::{self, Refusal};
use crate::body::AnswerBody;
use crate::config::Limits;
use crate::handler;
use crate::headers::Forwarded;
use crate::metrics::Outcome;
use crate::patrol::{Activity, Order, Registered};
use crate::plain;
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
    let activity = Rc::clone(&registered.activity);
    let plan = Arc::clone(&worker.settings().plan);
    let Some(tls) = &plan.tls else {
        return serve_plain(worker, stream, peer, activity).await;
    };
    if !has_spoken(&stream, &activity).await {
        return;
    }
    // What has changed while the client was silent.
    let plan = Arc::clone(&worker.settings().plan);
    let acceptor = TlsAcceptor::from(Arc::clone(plan.tls.as_ref().unwrap_or(tls)));
    let opened = Opened::new(worker, peer, activity);
    Box::pin(opened.serve_tls(stream, acceptor)).await;
}

/// Serves a client without TLS: on the short way as long as its requests are plain, then by hyper.
async fn serve_plain(
    worker: Rc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    activity: Rc<Activity>,
) {
    let client = Client {
        peer,
        forwarded: Forwarded {
            peer: address_value(peer),
            protocol: PLAIN,
        },
        activity: Rc::clone(&activity),
    };
    let Some((stream, read)) = plain::serve(&worker, &client, stream).await else {
        return;
    };
    drop(client);
    let opened = Opened::new(worker, peer, activity);
    Box::pin(opened.serve_http1(stream, read, PLAIN)).await;
}

/// A connection whose client has spoken.
struct Opened {
    worker: Rc<Worker>,
    peer: SocketAddr,
    activity: Rc<Activity>,
    limits: Limits,
}

impl Opened {
    fn new(worker: Rc<Worker>, peer: SocketAddr, activity: Rc<Activity>) -> Opened {
        let limits = worker.settings().config().limits;
        Opened {
            worker,
            peer,
            activity,
            limits,
        }
    }

    async fn serve_tls(self, stream: TcpStream, acceptor: TlsAcceptor) {
        let stream = match timeout(self.limits.header_timeout, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                return tracing::debug!(peer = %self.peer, error = &error as &dyn Error, "no TLS with a client");
            }
            Err(_) => return tracing::debug!(peer = %self.peer, "no TLS with a client in time"),
        };
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            self.serve_http2(stream).await;
        } else {
            self.serve_http1(stream, Vec::new(), ENCRYPTED).await;
        }
    }

    async fn serve_http1<S: AsyncRead + AsyncWrite + Unpin>(
        self,
        stream: S,
        read: Vec<u8>,
        protocol: HeaderValue,
    ) {
        let activity = Rc::clone(&self.activity);
        let screen = Screen::resume(stream, read, self.limits.max_head, activity);
        let mut connection = http1::Builder::new()
            .preserve_header_case(true)
            .half_close(true)
            .auto_date_header(false)
            .header_read_timeout(None)
            .max_buf_size(READ_BUFFER.max(self.limits.max_head))
            .serve_connection(TokioIo::new(screen), self.handler(protocol));

        let ended = drive(&self.activity, |context, task| {
            if task == Task::Finish {
                Pin::new(&mut connection).graceful_shutdown();
            }
            Pin::new(&mut connection).poll(context)
        });
        if let Some(result) = ended.await {
            let has_answered = self.report(result);
            let screen = connection.into_parts().io.into_inner();
            part(&self.worker, screen, has_answered).await;
        }
    }

    async fn serve_http2<S: AsyncRead + AsyncWrite + Unpin + 'static>(self, stream: S) {
        let mut connection = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .auto_date_header(false)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(self.limits.max_head).unwrap_or(u32::MAX))
            .keep_alive_interval(self.limits.stall_timeout)
            .keep_alive_timeout(self.limits.stall_timeout)
            .serve_connection(TokioIo::new(stream), self.handler(ENCRYPTED));

        let ended = drive(&self.activity, |context, task| {
            if matches!(task, Task::Finish | Task::FinishIdle) {
                Pin::new(&mut connection).graceful_shutdown();
            }
            Pin::new(&mut connection).poll(context)
        });
        if let Some(result) = ended.await {
            self.report(result);
        }
    }

    fn handler(&self, protocol: HeaderValue) -> Handler {
        let forwarded = Forwarded {
            peer: address_value(self.peer),
            protocol,
        };
        let client = Rc::new(Client {
            peer: self.peer,
            forwarded,
            activity: Rc::clone(&self.activity),
        });
        Handler {
            worker: Rc::clone(&self.worker),
            client,
        }
    }

    /// Accounts for what hyper ended with; returns whether it has refused a request by itself.
    fn report(&self, result: hyper::Result<()>) -> bool {
        let Err(error) = result else { return false };
        tracing::debug!(peer = %self.peer, error = &error as &dyn Error, "connection ended");
        if error.is_parse() {
            self.worker
                .metrics
                .refused(EndpointLabel::NONE, Outcome::Refused(Refusal::Malformed));
        }
        error.is_parse()
    }
}

/// What a connection has to do besides going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    None,
    /// End when nothing is in flight any more.
    Finish,
    /// The same, because the client was silent for long; over HTTP/1 the screen sees to it.
    FinishIdle,
}

/// Runs a connection, and does what the patrol says; `None` when it was abandoned.
async fn drive(
    activity: &Activity,
    mut poll: impl FnMut(&mut Context<'_>, Task) -> Poll<hyper::Result<()>>,
) -> Option<hyper::Result<()>> {
    let mut done = Task::None;
    poll_fn(|context| {
        let task = match activity.order(context) {
            Order::End => return Poll::Ready(None),
            Order::Drain => Task::Finish,
            Order::StopReading => Task::FinishIdle,
            Order::None => Task::None,
        };
        let news = if task == done { Task::None } else { task };
        done = task;
        poll(context, news).map(Some)
    })
    .await
}

/// Runs the tasks of an HTTP/2 connection on the thread that it belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
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

/// Says the last word, and gives the client time to hear it: closing a socket with unread input would take it back.
async fn part<S: AsyncRead + AsyncWrite + Unpin>(
    worker: &Worker,
    screen: Screen<S>,
    has_answered: bool,
) {
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
            client: Rc::clone(&self.client),
        }
    }
}

/// A request being served. When the client leaves before its answer, the request goes on without it; but not any number
/// of them, or resetting HTTP/2 requests at once would go round the limit of those at a time.
pub(crate) struct Serving {
    handling: Option<Pin<Box<dyn Future<Output = Response<AnswerBody>>>>>,
    worker: Rc<Worker>,
    client: Rc<Client>,
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
        let goes_on = !self.worker.is_over() && self.client.activity.in_flight() <= MAX_STREAMS;
        if let Some(handling) = self.handling.take().filter(|_| goes_on) {
            tokio::task::spawn_local(handling);
        }
    }
}

fn address_value(peer: SocketAddr) -> HeaderValue {
    let text = peer.ip().to_canonical().to_string();
    HeaderValue::from_str(&text).expect("an address is visible ASCII")
}

/// What `X-Forwarded-Proto` says.
const PLAIN: HeaderValue = HeaderValue::from_static("http");
const ENCRYPTED: HeaderValue = HeaderValue::from_static("https");

/// Requests of one HTTP/2 connection at once.
const MAX_STREAMS: u32 = 128;

/// Bytes read at once from a client whose body is large.
const READ_BUFFER: usize = 256 << 10;

/// How long a client may take to read our last word.
const FAREWELL: Duration = Duration::from_secs(2);
