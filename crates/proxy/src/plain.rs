//! The short way of a plain request: from socket to socket as it was written, without an HTTP library in between.
//!
//! Plain is what nearly every SDK sends: HTTP/1.1 without TLS, POST or GET to a known endpoint, small, and soon there as a
//! whole. It has passed the same checks as every other (`screen`), goes through the same table (`route`) and is counted
//! alike; but its fields are copied from buffer to buffer in the order and the writing in which they came. At the first
//! request that is anything else, the connection is handed over to hyper with all that was read of it.
//! Why: docs/decisions/0009-plain-requests-past-hyper.md.

mod answer;
mod carry;
mod fields;
mod heads;
mod line;
mod measurer;
mod request;
mod spare;
mod upstream;

use std::rc::Rc;

use tokio::net::TcpStream;

pub(crate) use self::heads::Heads;
use self::line::{Line, Next};
pub(crate) use self::spare::Spare;
pub(crate) use self::upstream::{Answer, Links};
use crate::connection::Client;
use crate::worker::Worker;

/// Serves a connection for as long as its requests are plain.
///
/// Returns the connection, with what was read and not served, when somebody else has to go on; `None` when it has ended.
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    client: &Client,
    stream: TcpStream,
) -> Option<(TcpStream, Vec<u8>)> {
    let mut line = Line::new(stream, Rc::clone(&client.activity));
    loop {
        let carried = match line.next(worker, client).await {
            // Boxed, so that idle connections do not hold its room.
            Next::Request(request) => Box::pin(carry::carry(worker, client, &mut line, request)),
            Next::Other => return Some(line.into_parts()),
            Next::Ended => return None,
        };
        if !carried.await {
            return None;
        }
    }
}
