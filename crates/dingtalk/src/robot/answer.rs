//! Reads one answer: bounded, whatever came, and with the hour at which DingTalk gave it.

use std::error::Error as _;
use std::time::SystemTime;

use jiff::fmt::rfc2822;
use reqwest::Response;
use reqwest::header::{DATE, HeaderMap};

use crate::errcode::{self, Cause, Remedy};
use crate::markdown;

/// Why a request was no delivery.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) cause: Cause,
    /// The other side's words, one bounded line.
    pub(super) detail: String,
    /// When the other side said it, by its own clock.
    pub(super) date: Option<SystemTime>,
}

impl Refusal {
    pub(super) fn of_transport(error: &reqwest::Error) -> Self {
        let cause = match () {
            () if error.is_timeout() => Cause::TimedOut,
            () if error.is_connect() => Cause::Unreachable,
            () => Cause::BrokenOff,
        };
        Self::new(cause, &innermost(error), None)
    }

    /// Returns what may be changed to deliver the message after all; a clock only when the answer tells the time.
    pub(super) fn remedy(&self) -> Option<Remedy> {
        match self.cause.remedy()? {
            Remedy::CorrectClock => self.date.map(|_| Remedy::CorrectClock),
            remedy @ (Remedy::Shrink | Remedy::Reduce) => Some(remedy),
        }
    }

    fn new(cause: Cause, detail: &str, date: Option<SystemTime>) -> Self {
        let detail = markdown::line(detail, DETAIL);
        Self {
            cause,
            detail,
            date,
        }
    }
}

/// Reads at most [`ANSWER`] bytes of an answer.
///
/// # Errors
/// [`Refusal`] for everything but `{"errcode":0}` with status 200.
pub(super) async fn read(mut response: Response) -> Result<(), Refusal> {
    let (status, date) = (response.status().as_u16(), date(response.headers()));
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| Refusal::of_transport(&error))?
    {
        body.extend_from_slice(&chunk[..chunk.len().min(ANSWER - body.len())]);
        if body.len() == ANSWER {
            break;
        }
    }
    errcode::read_answer(status, &body)
        .map_err(|(cause, detail)| Refusal::new(cause, &detail, date))
}

fn date(headers: &HeaderMap) -> Option<SystemTime> {
    let date = rfc2822::parse(headers.get(DATE)?.to_str().ok()?).ok()?;
    SystemTime::try_from(date.timestamp()).ok()
}

/// The outer errors name the URL, which holds the token, and say less.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut text = None;
    while let Some(inner) = cause {
        text = Some(inner.to_string());
        cause = inner.source();
    }
    text.unwrap_or_else(|| "the request could not be completed".to_owned())
}

/// Bytes read of an answer; a real one has a hundred.
const ANSWER: usize = 64 * 1024;

/// Characters kept of the other side's words.
const DETAIL: usize = 300;
