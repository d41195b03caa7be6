//! Speaks to Sentry: one thread's pool of connections, and what can be said about a request that got no answer.

mod connect;
mod sender;
mod stream;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use event::ProjectId;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;

pub(crate) use self::connect::Connector;
use self::sender::Sender;
pub(crate) use self::stream::Stream;
use crate::body::RequestBody;
use crate::config::UpstreamRoute;
use crate::error::Fault;
use crate::plain::Links;

/// One thread's ways to Sentry: the default one, and those of projects that live elsewhere.
#[derive(Debug)]
pub(crate) struct Upstreams {
    /// The default one comes first.
    all: Vec<Upstream>,
    by_project: HashMap<ProjectId, usize>,
}

/// One thread's way to one Sentry.
#[derive(Debug)]
pub(crate) struct Upstream {
    connector: Rc<Connector>,
    host: HeaderValue,
    pool: Rc<Pool>,
    /// The connections of plain requests.
    pub(crate) links: Links,
}

/// A connection that carries one request; it goes back to the pool when its answer has been read.
#[derive(Debug)]
pub(crate) struct Lease {
    sender: Sender,
    pool: Rc<Pool>,
    is_reused: bool,
}

impl Upstreams {
    pub(crate) fn new(connectors: &[Connector], routes: &[UpstreamRoute]) -> Upstreams {
        let mut by_project = HashMap::new();
        for (index, route) in routes.iter().enumerate() {
            for project in &route.projects {
                by_project.entry(*project).or_insert(index + 1);
            }
        }
        Upstreams {
            all: connectors.iter().cloned().map(Upstream::new).collect(),
            by_project,
        }
    }

    /// Returns where a project lives.
    pub(crate) fn of(&self, project: Option<ProjectId>) -> &Upstream {
        let index = project
            .and_then(|project| self.by_project.get(&project))
            .copied()
            .unwrap_or(0);
        &self.all[index]
    }

    /// Returns all of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Upstream> {
        self.all.iter()
    }

    /// Returns the path prefixes of all upstreams, the default one's first.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(Upstream::prefix)
    }
}

impl Upstream {
    fn new(connector: Connector) -> Upstream {
        let host = connector.origin().host_header();
        Upstream {
            connector: Rc::new(connector),
            host,
            pool: Rc::default(),
            links: Links::default(),
        }
    }

    pub(crate) fn connector(&self) -> &Rc<Connector> {
        &self.connector
    }

    /// Returns Sentry's `Host`.
    pub(crate) fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// Returns the path prefix of Sentry's address.
    pub(crate) fn prefix(&self) -> &str {
        self.connector.origin().prefix()
    }

    /// Sends a request and returns the head of Sentry's answer. Waits as long as it takes; the caller sets the limit.
    ///
    /// A pooled connection may turn out to be dead. If hyper hands the request back, no byte of it was sent, and it goes
    /// out once more on another connection; in every other case it is not repeated.
    pub(crate) async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Lease), Fault> {
        let mut request = request;
        loop {
            let mut lease = match self.pool.take(Instant::now()) {
                Some(lease) => lease,
                // Boxed, because it is rare and would make every request's future several times as large.
                None => Box::pin(self.open()).await?,
            };
            let origin = self.connector.origin();
            let mut failed = match lease.sender.try_send(request, origin).await {
                Ok(response) => return Ok((response, lease)),
                Err(failed) => failed,
            };
            match failed.take_message() {
                Some(unsent) if lease.is_reused => request = unsent,
                Some(_) => return Err(Fault::NotSent(failed.into_error().into())),
                None => return Err(Fault::Broken(failed.into_error().into())),
            }
        }
    }

    async fn open(&self) -> Result<Lease, Fault> {
        let sender = self.connector.connect().await?;
        self.pool.share(&sender);
        Ok(Lease {
            sender,
            pool: Rc::clone(&self.pool),
            is_reused: false,
        })
    }
}

impl Lease {
    /// Returns the connection to the pool as soon as it can take another request; a closed one is forgotten.
    pub(crate) fn give_back(mut self) {
        if self.sender.share().is_some() {
            return;
        }
        if self.sender.is_ready() {
            self.pool.put(self.sender, Instant::now());
        } else if !self.sender.is_closed() {
            tokio::task::spawn_local(async move {
                if self.sender.ready().await.is_ok() {
                    self.pool.put(self.sender, Instant::now());
                }
            });
        }
    }
}

/// Idle connections, the one used last on top: so that the others can run out.
#[derive(Debug, Default)]
struct Pool {
    idle: RefCell<Vec<Idle>>,
    /// A connection that carries many requests at once.
    shared: RefCell<Option<Sender>>,
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Instant,
}

impl Pool {
    fn take(self: &Rc<Self>, now: Instant) -> Option<Lease> {
        let lease = |sender| Lease {
            sender,
            pool: Rc::clone(self),
            is_reused: true,
        };
        let shared = self.shared.borrow().as_ref().and_then(Sender::share);
        match shared {
            Some(sender) if !sender.is_closed() => return Some(lease(sender)),
            Some(_) => drop(self.shared.take()),
            None => {}
        }
        let mut idle = self.idle.borrow_mut();
        while let Some(candidate) = idle.pop() {
            if now.duration_since(candidate.since) >= IDLE_TIMEOUT {
                idle.clear();
                return None;
            }
            if candidate.sender.is_ready() {
                return Some(lease(candidate.sender));
            }
        }
        None
    }

    /// Lets others use a connection that carries many requests.
    fn share(&self, sender: &Sender) {
        if let Some(sender) = sender.share() {
            self.shared.replace(Some(sender));
        }
    }

    fn put(&self, sender: Sender, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        let is_stale = |entry: &Idle| {
            now.duration_since(entry.since) >= IDLE_TIMEOUT || entry.sender.is_closed()
        };
        if idle.first().is_some_and(is_stale) {
            idle.retain(|entry| !is_stale(entry));
        }
        if idle.len() < MAX_IDLE {
            idle.push(Idle { sender, since: now });
        }
    }
}

/// How long an idle connection is kept: less than the 5 s after which Relay and Node close theirs, because a request
/// that meets a closing connection may be lost.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Idle connections of one thread.
pub(crate) const MAX_IDLE: usize = 256;
