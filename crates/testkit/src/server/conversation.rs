//! One connection of a fake server: requests in, answers out, in the manner the script wants.
//!
//! Generic over the stream, so that TLS can be put underneath.

use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use super::{Malformed, Stage};
use crate::behaviour::{
    After, Answer, AnswerFraming, Behaviour, Break, Pace, Point, Reading, Reply, put_chunk,
};
use crate::received::{Origin, Received};
use crate::wire::{BodyBuffer, Source, WireError};

/// How a connection is to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Fin,
    Reset,
}

/// Serves requests until one of the two sides wants to end the connection.
pub(crate) async fn converse<S>(
    source: Source<S>,
    origin: Origin,
    stage: &Stage,
) -> (Source<S>, Ending)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut conversation = Conversation {
        source,
        origin,
        stage,
    };
    loop {
        if let ControlFlow::Break(ending) = conversation.exchange().await {
            return (conversation.source, ending);
        }
    }
}

struct Conversation<'a, S> {
    source: Source<S>,
    origin: Origin,
    stage: &'a Stage,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<'_, S> {
    async fn exchange(&mut self) -> ControlFlow<Ending> {
        let mut request = self.head().await?;
        let directed = Directed {
            behaviour: self.stage.script.choose(&request),
            releases: self.stage.script.releases(),
        };
        match directed.behaviour.reading {
            Reading::Whole => {
                self.invite_body(&request).await?;
                self.body(&mut request).await?;
                self.answer(&request, &directed).await?;
            }
            Reading::AfterAnswer => {
                self.answer(&request, &directed).await?;
                self.body(&mut request).await?;
            }
            Reading::Never => {
                self.record(&request);
                self.answer(&request, &directed).await?;
            }
        }
        self.after(&request, &directed.behaviour).await
    }

    async fn head(&mut self) -> ControlFlow<Ending, Received> {
        let head = match self.source.head().await {
            Ok(Some(head)) => head,
            Ok(None) | Err(WireError::Unreadable(_)) => return ControlFlow::Break(Ending::Fin),
            Err(error) => return self.complain(Bytes::new(), &error).await,
        };
        match Received::parse(head.clone(), self.origin) {
            Ok(request) => ControlFlow::Continue(request),
            Err(error) => self.complain(head, &error).await,
        }
    }

    async fn invite_body(&mut self, request: &Received) -> ControlFlow<Ending> {
        match request.expects_continue() {
            true => self.write(CONTINUE).await,
            false => ControlFlow::Continue(()),
        }
    }

    async fn body(&mut self, request: &mut Received) -> ControlFlow<Ending> {
        let mut body = BodyBuffer::new(request.framing, MAX_BODY);
        let result = self.source.body(request.framing, &mut body).await;
        request.is_complete = result.is_ok();
        (request.framed_body, request.body, request.body_length) = body.finish();
        self.record(request);
        match result {
            Ok(()) => ControlFlow::Continue(()),
            Err(WireError::Closed | WireError::Unreadable(_)) => ControlFlow::Break(Ending::Fin),
            Err(error) => self.complain(request.head.clone(), &error).await,
        }
    }

    async fn answer(&mut self, request: &Received, directed: &Directed) -> ControlFlow<Ending> {
        let behaviour = &directed.behaviour;
        directed.wait().await;
        let (head, body) = match &behaviour.reply {
            Reply::Usual => self.render(&(self.stage.usual)(request), request, behaviour),
            Reply::Answer(answer) => self.render(answer, request, behaviour),
            Reply::Raw(bytes) => (Bytes::new(), bytes.clone()),
            Reply::Endless => return self.answer_endlessly().await,
            Reply::Nothing => return ControlFlow::Continue(()),
        };
        let bytes = up_to(&head, &body, behaviour.broken);
        self.write_at(&bytes, behaviour.pace).await?;
        match behaviour.broken {
            None => ControlFlow::Continue(()),
            Some((_, Break::Fin)) => ControlFlow::Break(Ending::Fin),
            Some((_, Break::Reset)) => ControlFlow::Break(Ending::Reset),
        }
    }

    async fn after(&mut self, request: &Received, behaviour: &Behaviour) -> ControlFlow<Ending> {
        if is_final(request, behaviour) {
            return ControlFlow::Break(Ending::Fin);
        }
        if behaviour.reading == Reading::Never {
            std::future::pending::<()>().await;
        }
        if matches!(behaviour.reply, Reply::Nothing) {
            self.source.discard().await;
            return ControlFlow::Break(Ending::Fin);
        }
        ControlFlow::Continue(())
    }

    fn render(&self, answer: &Answer, request: &Received, behaviour: &Behaviour) -> (Bytes, Bytes) {
        let after = match is_final(request, behaviour) {
            true => After::Close,
            false => After::KeepAlive,
        };
        answer.render(&request.method, after)
    }

    async fn answer_endlessly(&mut self) -> ControlFlow<Ending> {
        let (head, _) = Answer::new(200).chunked(1).render("HEAD", After::KeepAlive);
        self.write(&head).await?;
        let mut chunk = BytesMut::new();
        put_chunk(&mut chunk, &[b'x'; ENDLESS_CHUNK]);
        loop {
            self.write(&chunk).await?;
        }
    }

    async fn complain<T>(&mut self, head: Bytes, error: &WireError) -> ControlFlow<Ending, T> {
        let size = head.len();
        let malformed = Malformed {
            connection: self.origin.connection,
            head,
            why: error.to_string(),
        };
        self.stage.malformed.push(malformed, size);
        let (head, _) = Answer::new(400).render("GET", After::Close);
        self.write(&head).await?;
        ControlFlow::Break(Ending::Fin)
    }

    fn record(&self, request: &Received) {
        self.stage.received.push(request.clone(), request.size());
    }

    async fn write_at(&mut self, bytes: &[u8], pace: Option<Pace>) -> ControlFlow<Ending> {
        let Some(pace) = pace else {
            return self.write(bytes).await;
        };
        for piece in bytes.chunks(pace.size) {
            self.write(piece).await?;
            tokio::time::sleep(pace.pause).await;
        }
        ControlFlow::Continue(())
    }

    async fn write(&mut self, bytes: &[u8]) -> ControlFlow<Ending> {
        let stream = self.source.stream();
        let written = match stream.write_all(bytes).await {
            Ok(()) => stream.flush().await,
            unwritten => unwritten,
        };
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(Ending::Fin),
        }
    }
}

/// A behaviour with the releases that count for it: those after it was chosen.
struct Directed {
    behaviour: Behaviour,
    releases: watch::Receiver<u64>,
}

impl Directed {
    async fn wait(&self) {
        if self.behaviour.is_held {
            let _ = self.releases.clone().changed().await;
        }
        if !self.behaviour.delay.is_zero() {
            tokio::time::sleep(self.behaviour.delay).await;
        }
    }
}

fn is_final(request: &Received, behaviour: &Behaviour) -> bool {
    let is_unframed = matches!(
        &behaviour.reply,
        Reply::Answer(answer) if answer.framing == AnswerFraming::UntilClose
    );
    behaviour.is_closing || is_unframed || request.is_last() && !is_silent(behaviour)
}

fn is_silent(behaviour: &Behaviour) -> bool {
    matches!(behaviour.reply, Reply::Nothing)
}

fn up_to(head: &[u8], body: &[u8], broken: Option<(Point, Break)>) -> Bytes {
    match broken.map(|(point, _)| point) {
        Some(Point::Start) => Bytes::new(),
        Some(Point::Head) => Bytes::copy_from_slice(&head[..head.len() / 2]),
        Some(Point::Body) => [head, &body[..body.len() / 2]].concat().into(),
        Some(Point::End) | None => [head, body].concat().into(),
    }
}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const ENDLESS_CHUNK: usize = 16 * 1024;
/// Most bytes kept of one body; larger ones are read to the end and counted.
const MAX_BODY: usize = 32 * 1024 * 1024;
