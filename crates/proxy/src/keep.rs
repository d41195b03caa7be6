//! Makes requests durable that Sentry does not take, and answers for it.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use event::category::Categories;
use event::decode::decode_prefix;
use event::peek::peek_decoded;
use event::{Auth, Endpoint, EndpointKind, EventId, PublicKey};
use http::{HeaderMap, Method};
use spool::{AppendError, Claim, Framing, Head, Lane, Queue};

use crate::limits::{RateLimits, Told};

mod stream;

pub(crate) use self::stream::BodyStream;

/// The spool, and what has to be known to answer in Sentry's place; shared by all threads.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) queue: Queue,
    pub(crate) limits: RateLimits,
}

/// A request that can be made durable.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) head: Head,
    pub(crate) body: spool::Body,
    pub(crate) id: Option<EventId>,
    pub(crate) key: Option<PublicKey>,
}

/// What a parcel is made from.
#[derive(Debug)]
pub(crate) struct Contents<'a> {
    pub(crate) endpoint: Endpoint,
    pub(crate) method: &'a Method,
    pub(crate) target: http::uri::PathAndQuery,
    /// The fields as Sentry gets them, in two forms.
    pub(crate) headers: &'a HeaderMap,
    pub(crate) fields: Vec<(Bytes, Bytes)>,
    pub(crate) framing: Framing,
    pub(crate) received_at: SystemTime,
    /// The body, or its start.
    pub(crate) start: &'a [Bytes],
}

impl Keeper {
    pub(crate) fn new(queue: Queue) -> Keeper {
        Keeper {
            queue,
            limits: RateLimits::default(),
        }
    }

    /// Makes a request durable; the claim holds it until it is decided whether it has to be sent.
    pub(crate) async fn keep(self: Arc<Self>, parcel: Parcel) -> Result<Kept, AppendError> {
        let Parcel {
            head,
            body,
            id,
            key,
        } = parcel;
        let claim = self.queue.append(head, body).await?;
        Ok(Kept { claim, id, key })
    }

    /// Notes the rate limits in an answer of Sentry's.
    pub(crate) fn note(&self, key: impl FnOnce() -> Option<PublicKey>, told: Told<'_>) {
        if !told.is_empty() {
            self.limits.note(key(), told, Instant::now());
        }
    }
}

/// A request that is durable.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) claim: Claim,
    pub(crate) id: Option<EventId>,
    pub(crate) key: Option<PublicKey>,
}

impl Kept {
    /// Decides what becomes of it by the status of an answer that came after all.
    pub(crate) fn settle(self, status: u16) -> Settled {
        match status {
            200..=299 => {
                self.claim.finish();
                Settled::Delivered
            }
            429 => {
                self.claim.release();
                Settled::Limited
            }
            500.. => {
                self.claim.release();
                Settled::Failed
            }
            refused => {
                self.claim.refuse(refused);
                Settled::Refused
            }
        }
    }
}

/// What became of a request that had been kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Sentry has it.
    Delivered,
    /// Sentry's quota is spent; it waits.
    Limited,
    /// Sentry did not answer, or broke on it; it waits.
    Failed,
    /// Sentry refused it for good; it is kept aside.
    Refused,
    /// Its bytes on disk were damaged.
    Damaged,
}

impl Settled {
    /// Every end, in the order of their discriminants.
    pub(crate) const ALL: [Settled; 5] = [
        Settled::Delivered,
        Settled::Limited,
        Settled::Failed,
        Settled::Refused,
        Settled::Damaged,
    ];

    /// Returns the end's name, as used in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Settled::Delivered => "delivered",
            Settled::Limited => "limited",
            Settled::Failed => "failed",
            Settled::Refused => "refused",
            Settled::Damaged => "damaged",
        }
    }
}

impl Parcel {
    /// Packs a request up; its body is added by whoever has it.
    pub(crate) fn new(contents: Contents<'_>, body: spool::Body) -> Parcel {
        let Contents {
            endpoint,
            method,
            target,
            headers,
            fields,
            framing,
            received_at,
            start,
        } = contents;
        let decoded = decode_prefix(headers, start, LOOK);
        let peeked = peek_decoded(&decoded[..decoded.len().min(PEEK)]);
        let key = Auth::find(headers, target.query(), endpoint.key).map(|auth| auth.key);
        let key = key.or_else(|| peeked.dsn.map(|dsn| dsn.key()));
        let lane = Lane {
            project: endpoint.project.map(|project| project.value()),
            key: key.map(|key| key.to_string().into()),
            categories: Categories::of_body(&decoded, endpoint.kind).bits(),
        };
        Parcel {
            head: Head {
                lane,
                method: method.clone(),
                target,
                fields,
                framing,
                received_at,
                event_id: peeked.event_id.map(|id| id.to_string()),
                note: None,
            },
            body,
            id: peeked.event_id,
            key,
        }
    }
}

/// Returns whether a request can be sent later without its client: it carries data, and nothing of the answer is needed.
///
/// Resumable uploads need the answer, and the web API is a conversation.
pub(crate) fn is_keepable(kind: EndpointKind, method: &Method) -> bool {
    let carries_data = match kind {
        EndpointKind::Store
        | EndpointKind::LegacyStore
        | EndpointKind::Envelope
        | EndpointKind::Minidump
        | EndpointKind::Unreal
        | EndpointKind::Attachments
        | EndpointKind::Security
        | EndpointKind::Nel
        | EndpointKind::Cron
        | EndpointKind::OtlpTraces
        | EndpointKind::OtlpLogs
        | EndpointKind::VercelLogs
        | EndpointKind::UserFeedback => true,
        EndpointKind::Upload
        | EndpointKind::ErrorPage
        | EndpointKind::Relay
        | EndpointKind::Other => false,
    };
    let by_get = matches!(
        kind,
        EndpointKind::Store | EndpointKind::LegacyStore | EndpointKind::Cron
    );
    carries_data && (method == Method::POST || (method == Method::GET && by_get))
}

/// Bytes of a decoded body that are looked at for the categories of its items.
const LOOK: usize = 256 << 10;

/// Bytes of it that are looked at for its id.
const PEEK: usize = 8 << 10;
