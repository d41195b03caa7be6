//! Asks Sentry as long as the client should wait, then makes the request durable; the attempt goes on all the same.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use event::{EventId, PublicKey};
use spool::AppendError;

use crate::config::Patience;
use crate::error::Fault;
use crate::keep::{Keeper, Kept, Parcel};
use crate::limits::Told;
use crate::patrol::Activity;
use crate::upstream::Connector;
use crate::worker::{Settings, Worker};

/// Sentry being asked: one answer, or none; a status that means an outage is none. Tells the breaker how it ends.
pub(crate) type Attempt<A> = Pin<Box<dyn Future<Output = Result<A, Fault>>>>;

/// An answer that may come when nobody waits for it any more.
pub(crate) trait Answered {
    /// Returns its status.
    fn status(&self) -> u16;

    /// Returns what it says about rate limits.
    fn told(&self) -> Told<'_>;
}

/// What came of asking.
#[derive(Debug)]
pub(crate) enum Came<A> {
    /// Sentry's own answer, in time.
    Answer(A),
    /// None, and the request is safe.
    Kept {
        /// The event's id, for our answer.
        id: Option<EventId>,
        /// The key, for the rate limits in it.
        key: Option<PublicKey>,
    },
    /// None, and the request is nowhere.
    Lost(Fault),
}

/// How to ask.
#[derive(Debug, Clone)]
pub(crate) struct Asking<'w> {
    pub(crate) worker: &'w Rc<Worker>,
    pub(crate) settings: &'w Rc<Settings>,
    pub(crate) connector: &'w Rc<Connector>,
    /// The spool, if the request may go there.
    pub(crate) keeper: Option<&'w Arc<Keeper>>,
    /// The clock of a connection that has one request at a time; others need timers.
    pub(crate) clock: Option<&'w Activity>,
    /// When the asking began.
    pub(crate) since: Instant,
}

impl Asking<'_> {
    /// Asks Sentry. `pack` is called when the request has to be made durable.
    pub(crate) async fn ask<A: Answered + 'static>(
        self,
        attempt: Attempt<A>,
        pack: impl FnOnce() -> Parcel,
    ) -> Came<A> {
        let Some(keeper) = self.keeper else {
            return self.wait(attempt).await;
        };
        // The breaker comes last: what it allows may be the only trial for a while.
        if !self.worker.has_many_detached() && self.connector.allows() {
            return self.ask_begun(attempt, pack).await;
        }
        match keep(keeper, pack()).await {
            Ok(kept) => release(kept),
            Err(error) => {
                self.worker.log.unkept(&error);
                self.wait(attempt).await
            }
        }
    }

    /// As [`Asking::ask`], for an attempt that has begun already.
    pub(crate) async fn ask_begun<A: Answered + 'static>(
        &self,
        mut attempt: Attempt<A>,
        pack: impl FnOnce() -> Parcel,
    ) -> Came<A> {
        let Some(keeper) = self.keeper else {
            return self.wait(attempt).await;
        };
        let wait = self.wait_for_answer();
        match self.within(wait, &mut attempt).await {
            Some(Ok(answer)) => {
                self.connector.lateness().note(false);
                Came::Answer(answer)
            }
            Some(Err(fault)) => Box::pin(self.keep_instead(keeper, fault, pack())).await,
            None => {
                if !wait.is_zero() {
                    self.connector.lateness().note(true);
                }
                Box::pin(self.keep_meanwhile(keeper, attempt, pack())).await
            }
        }
    }

    /// Asks Sentry for what somebody else can answer as well: no longer than a client waits for a request that can be kept.
    pub(crate) async fn ask_in_passing<A>(&self, mut attempt: Attempt<A>) -> Came<A> {
        let wait = self.wait_for_answer();
        if wait.is_zero() || self.connector.breaker().next_try(Instant::now()).is_some() {
            return Came::Lost(Fault::Timeout);
        }
        match self.within(wait, &mut attempt).await {
            Some(Ok(answer)) => Came::Answer(answer),
            Some(Err(fault)) => Came::Lost(fault),
            None => Came::Lost(Fault::Timeout),
        }
    }

    /// Returns how long the client waits: not at all where Sentry is late as a rule.
    fn wait_for_answer(&self) -> Duration {
        match self.settings.config().forward.patience {
            Patience::For(_) if self.connector.lateness().is_usual() => Duration::ZERO,
            Patience::For(_) | Patience::Off => self.patience(),
        }
    }

    /// Waits for Sentry alone.
    async fn wait<A>(&self, mut attempt: Attempt<A>) -> Came<A> {
        match self.within(self.response_timeout(), &mut attempt).await {
            Some(Ok(answer)) => Came::Answer(answer),
            Some(Err(fault)) => Came::Lost(fault),
            None => {
                self.connector.failed();
                Came::Lost(Fault::Timeout)
            }
        }
    }

    /// Makes the request durable whose attempt has failed.
    pub(crate) async fn keep_instead<A>(
        &self,
        keeper: &Arc<Keeper>,
        fault: Fault,
        parcel: Parcel,
    ) -> Came<A> {
        match keep(keeper, parcel).await {
            Ok(kept) => release(kept),
            Err(error) => {
                self.worker.log.unkept(&error);
                Came::Lost(fault)
            }
        }
    }

    /// Makes the request durable while Sentry is still being asked; whichever comes first decides the answer.
    async fn keep_meanwhile<A: Answered + 'static>(
        &self,
        keeper: &Arc<Keeper>,
        mut attempt: Attempt<A>,
        parcel: Parcel,
    ) -> Came<A> {
        let mut keeping = keep(keeper, parcel);
        let first = poll_fn(|context| {
            if let Poll::Ready(kept) = keeping.as_mut().poll(context) {
                return Poll::Ready(First::Kept(kept));
            }
            attempt.as_mut().poll(context).map(First::Asked)
        });
        match first.await {
            First::Kept(Ok(kept)) => {
                let came = Came::Kept {
                    id: kept.id,
                    key: kept.key,
                };
                self.detach(keeper, attempt, kept);
                came
            }
            First::Kept(Err(error)) => {
                self.worker.log.unkept(&error);
                self.wait(attempt).await
            }
            First::Asked(Ok(answer)) => {
                let is_late = self.since.elapsed() >= self.patience();
                self.connector.lateness().note(is_late);
                // Broken off, it might be kept all the same, and be sent twice.
                tokio::task::spawn_local(async move {
                    if let Ok(kept) = keeping.await {
                        kept.settle(200);
                    }
                });
                Came::Answer(answer)
            }
            First::Asked(Err(fault)) => match keeping.await {
                Ok(kept) => release(kept),
                Err(error) => {
                    self.worker.log.unkept(&error);
                    Came::Lost(fault)
                }
            },
        }
    }

    /// Lets the attempt go on without the client: if it succeeds, the request need not be sent again.
    fn detach<A: Answered + 'static>(&self, keeper: &Arc<Keeper>, attempt: Attempt<A>, kept: Kept) {
        let (since, patience) = (self.since, self.patience());
        let (keeper, limit) = (Arc::clone(keeper), self.response_timeout());
        let (connector, worker) = (Rc::clone(self.connector), Rc::clone(self.worker));
        let detached = self.worker.detach();
        tokio::task::spawn_local(async move {
            let _detached = detached;
            match tokio::time::timeout(limit, attempt).await {
                Ok(Ok(answer)) => {
                    connector.lateness().note(since.elapsed() >= patience);
                    keeper.note(|| kept.key, answer.told());
                    kept.settle(answer.status());
                }
                Ok(Err(fault)) => worker.log.kept(&fault),
                Err(_) => connector.failed(),
            }
        });
    }

    async fn within<A>(
        &self,
        limit: Duration,
        attempt: &mut Attempt<A>,
    ) -> Option<Result<A, Fault>> {
        if limit.is_zero() {
            let once = poll_fn(|context| Poll::Ready(attempt.as_mut().poll(context)));
            return match once.await {
                Poll::Ready(asked) => Some(asked),
                Poll::Pending => None,
            };
        }
        match self.clock {
            Some(clock) => clock.within(limit, attempt).await,
            None => tokio::time::timeout(limit, attempt).await.ok(),
        }
    }

    fn patience(&self) -> Duration {
        match self.settings.config().forward.patience {
            Patience::For(patience) => patience,
            Patience::Off => self.response_timeout(),
        }
    }

    fn response_timeout(&self) -> Duration {
        self.settings.config().upstream.response_timeout
    }
}

enum First<A> {
    Kept(Result<Kept, AppendError>),
    Asked(Result<A, Fault>),
}

/// Makes a request durable. Boxed, because it is rare and would make every request's future several times as large.
fn keep(
    keeper: &Arc<Keeper>,
    parcel: Parcel,
) -> Pin<Box<impl Future<Output = Result<Kept, AppendError>> + use<>>> {
    Box::pin(Arc::clone(keeper).keep(parcel))
}

/// Leaves a request to the replay.
fn release<A>(kept: Kept) -> Came<A> {
    let Kept { claim, id, key } = kept;
    claim.release();
    Came::Kept { id, key }
}
