//! Sends what the spool holds to Sentry: oldest first for each project, as fast as Sentry takes it and no faster.
//!
//! It runs on a thread of its own with connections of its own, so that live traffic goes first.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use event::refresh::refresh_sent_at;
use event::{Categories, ProjectId, PublicKey};
use spool::{Claim, Content, Lane, LoadError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use self::aside::Aside;
use self::pace::{Project, Ramp, UnderWay};
use self::send::{Outgoing, send};
use crate::config::{Config, Patience};
use crate::error::Fault;
use crate::keep::{Keeper, Kept, Settled};
use crate::metrics::Metrics;
use crate::plan::Plan;
use crate::server::Command;
use crate::worker::Settings;

mod aside;
mod pace;
mod send;

/// The replay of one process.
pub(crate) struct Replay {
    settings: Rc<Settings>,
    keeper: Arc<Keeper>,
    metrics: Arc<Metrics>,
    projects: HashMap<Option<u64>, Project>,
    ramp: Ramp,
    aside: Aside,
}

/// How sending one request ended.
struct Sent {
    project: Option<u64>,
    sequence: u64,
    end: End,
}

struct End {
    settled: Settled,
    /// The request, if Sentry broke on it by itself.
    broken: Option<Claim>,
    /// How long Sentry took to answer, if it did.
    took: Option<Duration>,
}

impl Replay {
    pub(crate) fn new(plan: Arc<Plan>, keeper: Arc<Keeper>, metrics: Arc<Metrics>) -> Replay {
        Replay {
            settings: Settings::new(plan),
            keeper,
            metrics,
            projects: HashMap::new(),
            ramp: Ramp::new(Instant::now()),
            aside: Aside::default(),
        }
    }

    /// Works until told to stop; then lets what is under way finish for as long as there is grace.
    pub(crate) async fn run(mut self, mut commands: watch::Receiver<Command>) {
        let mut sending = JoinSet::new();
        let grace = loop {
            self.start(&mut sending);
            let wake = self.wake(Instant::now());
            tokio::select! {
                Some(sent) = sending.join_next(), if !sending.is_empty() => self.note(sent.ok()),
                () = self.keeper.queue.changed() => {}
                () = sleep_until(wake.into()) => {}
                changed = commands.changed() => {
                    match changed.ok().map(|()| commands.borrow_and_update().clone()) {
                        Some(Command { plan, grace: None }) => self.settings = Settings::new(plan),
                        Some(Command { grace: Some(grace), .. }) => break grace,
                        None => break Duration::ZERO,
                    }
                }
            }
        };
        let finished = async { while sending.join_next().await.is_some() {} };
        let _ = timeout(grace, finished).await;
    }

    /// Starts as many requests as may go.
    fn start(&mut self, sending: &mut JoinSet<Sent>) {
        loop {
            let now = Instant::now();
            self.aside.let_back(now);
            if sending.len() >= self.ramp.at_once(now) {
                return;
            }
            let lane = RefCell::new(None);
            let claim = self.keeper.queue.claim(|candidate| {
                let may_go = self.may_go(candidate, now);
                if may_go {
                    lane.replace(Some(candidate.clone()));
                }
                may_go
            });
            let (Some(claim), Some(lane)) = (claim, lane.take()) else {
                return;
            };
            let upstream = self
                .settings
                .upstreams
                .of(lane.project.map(ProjectId::from));
            if !upstream.connector().breaker().allows(now) {
                return claim.release();
            }
            let project = self.projects.entry(lane.project).or_default();
            let one = One {
                _under_way: project.start(),
                settings: Rc::clone(&self.settings),
                keeper: Arc::clone(&self.keeper),
                lane,
                is_last_try: self.aside.is_last_try(claim.sequence()),
            };
            sending.spawn_local(one.send(claim));
        }
    }

    fn may_go(&self, lane: &Lane, now: Instant) -> bool {
        let upstream = self
            .settings
            .upstreams
            .of(lane.project.map(ProjectId::from));
        if upstream.connector().breaker().next_try(now).is_some() {
            return false;
        }
        let project = self.projects.get(&lane.project);
        if project.is_some_and(|project| !project.may_start(now))
            || self.aside.is_full(lane.project)
        {
            return false;
        }
        let limited = self.keeper.limits.in_force(key_of(lane), now);
        !limited.meets(Categories::from_bits(lane.categories))
    }

    fn note(&mut self, sent: Option<Sent>) {
        // A task that panicked has dropped its claim, and is no longer under way.
        let Some(sent) = sent else { return };
        let End {
            settled,
            broken,
            took,
        } = sent.end;
        self.metrics.replayed(settled);
        let now = Instant::now();
        let project = self.projects.entry(sent.project).or_default();
        if let Some(took) = took {
            project.note(took);
            self.ramp.note(took, now);
        }
        match (settled, broken) {
            (_, Some(claim)) => self.aside.hold(claim, sent.project, now),
            (Settled::Failed, None) => {
                project.pause(now);
                self.ramp = Ramp::new(now);
            }
            (settled, None) => {
                let is_taken = settled == Settled::Delivered;
                self.aside.ended(sent.sequence, is_taken);
            }
        }
        if project.is_idle(now) && self.projects.len() > MANY {
            self.projects.remove(&sent.project);
        }
    }

    /// Returns when to look again though nothing happens.
    fn wake(&self, now: Instant) -> Instant {
        let tries = self
            .settings
            .upstreams
            .all()
            .filter_map(|upstream| upstream.connector().breaker().next_try(now));
        let pauses = self
            .projects
            .values()
            .filter_map(|project| project.paused_until(now));
        let limit = self.keeper.limits.next_end(now);
        tries
            .chain(pauses)
            .chain(limit)
            .chain(self.ramp.next_step(now))
            .chain(self.aside.next())
            .min()
            .unwrap_or(now + IDLE)
            .min(now + IDLE)
    }
}

/// One request on its way.
struct One {
    settings: Rc<Settings>,
    keeper: Arc<Keeper>,
    lane: Lane,
    /// Whether it is kept aside for good should Sentry break on it once more.
    is_last_try: bool,
    _under_way: UnderWay,
}

impl One {
    async fn send(self, claim: Claim) -> Sent {
        let (project, sequence) = (self.lane.project, claim.sequence());
        let end = match self.load(&claim).await {
            Ok(request) => self.carry(claim, request).await,
            Err(settled) => End::without_answer(settled),
        };
        Sent {
            project,
            sequence,
            end,
        }
    }

    async fn load(&self, claim: &Claim) -> Result<spool::Request, Settled> {
        match claim.load().await {
            Ok(mut request) => {
                refresh(&mut request, self.settings.config());
                Ok(request)
            }
            Err(LoadError::Damaged) => {
                tracing::error!("a request in the spool is damaged, and lost");
                Err(Settled::Damaged)
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "cannot read a request from the spool for the moment");
                Err(Settled::Failed)
            }
        }
    }

    async fn carry(&self, claim: Claim, request: spool::Request) -> End {
        let project = self.lane.project.map(ProjectId::from);
        let outgoing = Outgoing {
            settings: Rc::clone(&self.settings),
            project,
            request,
        };
        let kept = Kept {
            claim,
            id: None,
            key: key_of(&self.lane),
        };
        let limit = self.settings.config().upstream.response_timeout;
        let upstream = self.settings.upstreams.of(project);
        let started = Instant::now();
        let asked = timeout(limit, send(outgoing)).await;
        let took = started.elapsed();
        let asked = asked.unwrap_or(Err(Fault::Timeout));
        upstream.connector().note(&asked);
        match asked {
            Ok(answer) => {
                if let Patience::For(patience) = self.settings.config().forward.patience {
                    upstream.connector().lateness().note(took >= patience);
                }
                self.keeper.note(|| kept.key, answer.told());
                // Before the rest of the answer is read: should we be killed meanwhile, it would be sent again.
                let (settled, broken) = self.settle(kept, answer.status);
                let _ = timeout(limit, answer.put_back(upstream)).await;
                End {
                    settled,
                    broken,
                    took: Some(took),
                }
            }
            Err(fault) => {
                let error: &dyn std::error::Error = &fault;
                tracing::debug!(error, "Sentry did not take a request from the spool");
                End::without_answer(Settled::Failed)
            }
        }
    }

    /// Ends a request by Sentry's answer; one on which Sentry broke by itself is given back.
    fn settle(&self, kept: Kept, status: u16) -> (Settled, Option<Claim>) {
        let settled = match status {
            500.. if self.is_last_try => {
                kept.claim.refuse(status);
                Settled::Refused
            }
            500.. => return (Settled::Failed, Some(kept.claim)),
            _ => kept.settle(status),
        };
        if settled == Settled::Refused {
            let project = self.lane.project;
            tracing::error!(
                status,
                project,
                "Sentry refused a request from the spool: it is kept aside"
            );
        }
        (settled, None)
    }
}

impl End {
    fn without_answer(settled: Settled) -> End {
        End {
            settled,
            broken: None,
            took: None,
        }
    }
}

/// Moves the time at which an envelope says it was sent, if it has been here for so long that Sentry would shift its timestamps.
fn refresh(request: &mut spool::Request, config: &Config) {
    let kept = SystemTime::now()
        .duration_since(request.head.received_at)
        .unwrap_or_default();
    let Content::Memory(body) = &request.body else {
        return;
    };
    if !config.refresh_sent_at || kept < STALE {
        return;
    }
    let Ok(mut headers) = request.head.header_map() else {
        return;
    };
    let Some(moved) = refresh_sent_at(&mut headers, std::slice::from_ref(body), kept, REFRESHED)
    else {
        return;
    };
    let coding = headers.get(http::header::CONTENT_ENCODING).cloned();
    for (name, value) in &mut request.head.fields {
        if name.eq_ignore_ascii_case(b"content-length") {
            *value = moved.len().to_string().into();
        } else if let (true, Some(coding)) =
            (name.eq_ignore_ascii_case(b"content-encoding"), &coding)
        {
            *value = bytes::Bytes::copy_from_slice(coding.as_bytes());
        }
    }
    request.body = Content::Memory(moved);
}

fn key_of(lane: &Lane) -> Option<PublicKey> {
    PublicKey::parse(lane.key.as_deref()?)
}

/// How often to look when nothing happens.
const IDLE: Duration = Duration::from_secs(5);

/// How long after it came an envelope's `sent_at` is moved: Sentry shifts timestamps from 55 minutes on.
const STALE: Duration = Duration::from_secs(50 * 60);

/// Decoded bytes of an envelope of which `sent_at` is moved.
const REFRESHED: usize = 64 << 20;

/// Projects that are remembered though none of their requests is under way.
const MANY: usize = 1000;
