//! The loop of one robot: read what waits, take from the budget, send, settle.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use state::{End, Pending, Report, Settlement, Unavailable, Waiting};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::batch::{self, Batch};
use super::channels::{Channels, Wait};
use super::journal::Sent;
use super::plan::{self, LONGEST_WAIT, Share, Step, View};
use super::{Shared, URGENT};
use crate::message::{Digest, NoticeKind};
use crate::{Failure, Message, Notice, Notifier, Retry};

pub(super) struct Worker {
    robot: Arc<dyn Notifier>,
    shared: Arc<Shared>,
    channels: Channels,
    /// Until when this process has the lead of the robot for sure.
    leads_until: Option<Instant>,
    /// The message tried last without a clear verdict.
    in_doubt: Option<Doubt>,
    /// What was delivered or given up, and the state could not be told yet.
    unsettled: Vec<(String, End)>,
    unsettled_missed: u64,
    /// Since when the robot refuses everything.
    broken_since: Option<SystemTime>,
}

/// A message that may have been delivered.
struct Doubt {
    batch: Batch,
    channel: usize,
    since: Instant,
}

/// What comes after a turn.
enum Then {
    /// The next one.
    Again,
    /// The next one when something is put, at the latest after so long.
    Idle(Duration),
    /// The next one after so long.
    Blocked(Wait),
}

impl Worker {
    pub(super) fn new(robot: Arc<dyn Notifier>, shared: Arc<Shared>) -> Self {
        Self {
            channels: Channels::of(robot.as_ref()),
            robot,
            shared,
            leads_until: None,
            in_doubt: None,
            unsettled: Vec::new(),
            unsettled_missed: 0,
            broken_since: None,
        }
    }

    /// Works until it is told to stop and nothing is left that may go now.
    pub(super) async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        loop {
            let is_stopping = *stopping.borrow();
            let then = match self.turn(is_stopping).await {
                Ok(then) => then,
                Err(error) => {
                    tracing::debug!(error = %error, "cannot read or settle what is to be said");
                    Then::Blocked(Wait::Rest(AFTER_FAILURE))
                }
            };
            match then {
                Then::Again => {}
                Then::Idle(_) if is_stopping => break,
                Then::Idle(wait) => self.idle(wait, &mut stopping).await,
                Then::Blocked(wait) => {
                    let wait = wait.duration().min(LONGEST_WAIT);
                    tokio::select! {
                        () = sleep(wait) => {}
                        _ = stopping.wait_for(|stopping| *stopping && !is_stopping) => {}
                    }
                }
            }
            tokio::task::consume_budget().await;
        }
        let resigning = self
            .shared
            .store
            .resign(self.robot.name(), &self.shared.holder);
        let _ = ask(resigning).await;
    }

    async fn idle(&self, wait: Duration, stopping: &mut watch::Receiver<bool>) {
        let put = self.shared.put.get(self.robot.name());
        tokio::select! {
            () = async { match put {
                Some(put) => Notify::notified(put).await,
                None => std::future::pending().await,
            } } => {}
            () = self.shared.store.changed(wait) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    }

    async fn turn(&mut self, is_stopping: bool) -> Result<Then, Unavailable> {
        self.settle_what_is_unsettled().await?;
        if !self.lead().await? {
            self.adopt_report().await?;
            return Ok(Then::Idle(AFTER_FAILURE));
        }
        let robot = self.robot.name();
        let pending = ask(self.shared.store.pending(robot, AT_ONCE)).await?;
        self.count_waiting(&pending);
        if let Some(doubt) = self.digest_in_doubt() {
            let batch = doubt.batch.clone();
            return self
                .send_when_possible(batch, Share::Digest, Some(doubt))
                .await;
        }
        self.step(&pending, is_stopping).await
    }

    async fn step(&mut self, pending: &Pending, is_stopping: bool) -> Result<Then, Unavailable> {
        let mut view = View {
            pending,
            now: self.shared.now(),
            is_last_call: is_stopping && !self.shared.store.is_durable(),
            urgent_blocked: Duration::ZERO,
        };
        loop {
            let then = match plan::next(&view) {
                Step::SayUrgent => self.say(pending, Share::Urgent).await?,
                Step::Say if pending.gathered_total > 0 => self.say(pending, Share::Calm).await?,
                Step::Say => self.say(pending, Share::Normal).await?,
                Step::Digest => return self.digest(&view).await,
                Step::Gather(ids, until) => return self.gather(&ids, until).await,
                Step::Wait(wait) if view.urgent_blocked.is_zero() => return Ok(Then::Idle(wait)),
                Step::Wait(wait) => return Ok(Then::Blocked(Wait::Budget(wait))),
            };
            let Then::Blocked(wait) = then else {
                return Ok(then);
            };
            let is_urgent = |first: &Waiting| first.priority < URGENT;
            let opens_after = match wait {
                Wait::Rest(_) => return Ok(then),
                Wait::Closed(wait) => Some(wait),
                Wait::Budget(_) => None,
            };
            if pending.alone.first().is_some_and(is_urgent) {
                view.urgent_blocked = wait.duration();
                continue;
            }
            let Step::Gather(ids, until) = plan::gather(&view, opens_after) else {
                return Ok(then);
            };
            return self.gather(&ids, until).await;
        }
    }

    /// Says the first message alone, or says how long the budget has no room for it.
    async fn say(&mut self, pending: &Pending, share: Share) -> Result<Then, Unavailable> {
        let Some(first) = pending.alone.first() else {
            return Ok(Then::Idle(LONGEST_WAIT));
        };
        let Ok(batch) = batch::alone(first) else {
            return self.drop_unreadable(&first.id).await;
        };
        let before = self.in_doubt.take();
        let before = before.filter(|doubt| doubt.batch.id == batch.id);
        self.send_when_possible(batch, share, before).await
    }

    async fn digest(&mut self, view: &View<'_>) -> Result<Then, Unavailable> {
        // What is gathered and would be lost is as good as due.
        let due = match view.is_last_call {
            true => view.now + LAST_CALL,
            false => view.now,
        };
        let robot = self.robot.name();
        let gathered = ask(self.shared.store.gathered(robot, Digest::NAMED, due)).await?;
        let status_url = self.shared.config.borrow().public_url.clone();
        let missed = view.pending.missed;
        match batch::digest(&gathered, missed, status_url, view.now) {
            Some(batch) => self.send_when_possible(batch, Share::Digest, None).await,
            None => Ok(Then::Idle(AFTER_FAILURE)),
        }
    }

    async fn gather(&self, ids: &[String], until: SystemTime) -> Result<Then, Unavailable> {
        ask(self.shared.store.gather(self.robot.name(), ids, until)).await?;
        Ok(Then::Again)
    }

    async fn send_when_possible(
        &mut self,
        batch: Batch,
        share: Share,
        before: Option<Doubt>,
    ) -> Result<Then, Unavailable> {
        let (store, now) = (Arc::clone(&self.shared.store), self.shared.now());
        let channel = before.as_ref().map(|doubt| doubt.channel);
        let taking = self.channels.take(store.as_ref(), share, channel, now);
        match ask(taking).await? {
            Ok(channel) => {
                let since = before.map_or_else(Instant::now, |doubt| doubt.since);
                self.send(batch, channel, since).await
            }
            Err(wait) => {
                self.in_doubt = before;
                Ok(Then::Blocked(wait))
            }
        }
    }

    /// `since` is when the message was tried first.
    async fn send(
        &mut self,
        batch: Batch,
        channel: usize,
        since: Instant,
    ) -> Result<Then, Unavailable> {
        let now = self.shared.now();
        let verdict = self.notify(&batch, channel, now).await;
        self.channels.ended(channel);
        self.note(&batch, &verdict, now);
        match verdict {
            Ok(()) => {
                self.channels.succeeded(channel);
                self.tell_of_recovery(now).await;
                self.end(batch, |events| End::Told { events });
            }
            Err(failure) => match failure.retry {
                Retry::Soon => {
                    self.channels.failed(channel);
                    self.in_doubt = Some(Doubt {
                        batch,
                        channel,
                        since,
                    });
                }
                Retry::Paused(closed) => self.close(channel, closed).await?,
                Retry::AfterRepair => {
                    let closed = self.channels.refused(channel);
                    self.close(channel, closed).await?;
                    self.tell_of_repair(&failure, now).await;
                }
                Retry::Never => self.give_up(batch, &failure),
            },
        }
        self.settle_what_is_unsettled().await?;
        Ok(Then::Again)
    }

    fn give_up(&mut self, batch: Batch, failure: &Failure) {
        tracing::error!(
            robot = self.robot.name(),
            reason = failure.reason,
            alerts = batch.told.len(),
            "gave up on a message"
        );
        for _ in &batch.told {
            self.shared
                .metrics
                .count_message(self.robot.name(), "given_up");
        }
        self.end(batch, |_| End::GivenUp { rest: REST });
    }

    async fn drop_unreadable(&mut self, id: &str) -> Result<Then, Unavailable> {
        let robot = self.robot.name();
        tracing::error!(robot, id, "a message in the outbox cannot be read");
        self.shared.metrics.count_message(robot, "unreadable");
        let rest = Duration::ZERO;
        self.unsettled.push((id.to_owned(), End::GivenUp { rest }));
        self.settle_what_is_unsettled().await?;
        Ok(Then::Again)
    }

    fn end(&mut self, batch: Batch, end: impl Fn(u64) -> End) {
        let told = batch.told.into_iter();
        self.unsettled
            .extend(told.map(|(id, events)| (id, end(events))));
        self.unsettled_missed += batch.missed;
    }

    /// What was delivered must be noted before anything else is sent, or it would be sent again.
    async fn settle_what_is_unsettled(&mut self) -> Result<(), Unavailable> {
        if self.unsettled.is_empty() && self.unsettled_missed == 0 {
            return Ok(());
        }
        let settlements = self.unsettled.iter();
        let settlements: Vec<Settlement<'_>> = settlements
            .map(|(id, end)| Settlement { id, end: *end })
            .collect();
        let (robot, now) = (self.robot.name(), self.shared.now());
        let settling = self
            .shared
            .store
            .settle(robot, &settlements, self.unsettled_missed, now);
        ask(settling).await?;
        self.unsettled.clear();
        self.unsettled_missed = 0;
        Ok(())
    }

    async fn close(&mut self, channel: usize, closed: Duration) -> Result<(), Unavailable> {
        self.channels.closed(channel, closed);
        let now = self.shared.now();
        let bucket = self.channels.bucket(channel);
        ask(self.shared.store.close(bucket, now + closed, now)).await
    }

    async fn lead(&mut self) -> Result<bool, Unavailable> {
        let is_sure = |until: Instant| until.saturating_duration_since(Instant::now()) > LEASE / 2;
        if self.leads_until.is_some_and(is_sure) {
            return Ok(true);
        }
        let (robot, holder) = (self.robot.name(), &self.shared.holder);
        let asked_at = Instant::now();
        let leading = self
            .shared
            .store
            .lead(robot, holder, LEASE, self.shared.now());
        let leads = ask(leading).await?;
        self.leads_until = leads.then(|| asked_at + LEASE);
        Ok(leads)
    }

    /// A digest that may have been delivered is sent again as it was, for a while.
    fn digest_in_doubt(&mut self) -> Option<Doubt> {
        let is_digest = |doubt: &mut Doubt| matches!(*doubt.batch.message, Message::Digest(_));
        let doubt = self.in_doubt.take_if(is_digest)?;
        (doubt.since.elapsed() < IN_DOUBT).then_some(doubt)
    }

    /// Asks the robot in a task of its own, so that a panic over one message ends with that message.
    async fn notify(&self, batch: &Batch, channel: usize, now: SystemTime) -> Result<(), Failure> {
        let (robot, message) = (Arc::clone(&self.robot), Arc::clone(&batch.message));
        let id = batch.id.clone();
        let mut asked =
            tokio::spawn(async move { robot.notify(channel, &message, &id, now).await });
        match timeout(LONGEST_ATTEMPT, &mut asked).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error)) => Err(Failure {
                reason: "panicked",
                detail: error.to_string(),
                hint: "this is a fault of sentry-notice; please report it",
                retry: Retry::Never,
            }),
            Err(_) => {
                asked.abort();
                Err(Failure {
                    reason: "timed_out",
                    detail: "no answer".to_owned(),
                    hint: "the robot's service hangs; the message is tried again",
                    retry: Retry::Soon,
                })
            }
        }
    }

    /// Counts a verdict, keeps it for people who look, and logs it when it differs from the one before.
    fn note(&self, batch: &Batch, verdict: &Result<(), Failure>, now: SystemTime) {
        let name = self.robot.name();
        let failure = verdict.as_ref().err();
        let result = failure.map_or("ok", |failure| failure.reason);
        self.shared.metrics.count_message(name, result);
        self.shared.journal.add(Sent {
            at: now,
            robot: name.to_owned(),
            message: Arc::clone(&batch.message),
            result,
        });
        let report = report_of(name, failure, now);
        let before = self.shared.health.note(report.clone());
        let before = before.map(|report| report.reason);
        match failure {
            Some(failure) if before != Some(Some(failure.reason.to_owned())) => tracing::warn!(
                robot = name,
                reason = failure.reason,
                detail = failure.detail,
                hint = failure.hint,
                "robot did not take a message"
            ),
            None if before.flatten().is_some() => {
                tracing::info!(robot = name, "robot takes messages again");
            }
            Some(_) | None => {}
        }
        let store = Arc::clone(&self.shared.store);
        // Other replicas' status pages are no reason to wait.
        tokio::spawn(async move { ask(async { store.report(&report).await }).await });
    }

    /// What the replica that leads the robot has learnt.
    async fn adopt_report(&self) -> Result<(), Unavailable> {
        let reports = ask(self.shared.store.reports()).await?;
        let name = self.robot.name();
        let ours = reports.into_iter().find(|report| report.robot == name);
        ours.and_then(|report| self.shared.health.note(report));
        Ok(())
    }

    fn count_waiting(&self, pending: &Pending) {
        let waiting = pending.alone_total + pending.gathered_total;
        let all = self.shared.health.set_waiting(self.robot.name(), waiting);
        self.shared.metrics.set_outbox(all);
    }

    async fn tell_of_repair(&mut self, failure: &Failure, now: SystemTime) {
        if self.broken_since.is_some() {
            return;
        }
        self.broken_since = Some(now);
        let kind = NoticeKind::RobotBroken {
            robot: self.robot.name().to_owned(),
            detail: failure.detail.clone(),
            hint: failure.hint.to_owned(),
        };
        self.tell("robot-broken", kind, now).await;
    }

    async fn tell_of_recovery(&mut self, now: SystemTime) {
        let Some(since) = self.broken_since.take() else {
            return;
        };
        let kind = NoticeKind::RobotBack {
            robot: self.robot.name().to_owned(),
            lasted: now.duration_since(since).unwrap_or_default(),
        };
        self.tell("robot-back", kind, now).await;
    }

    /// Lets the robot that speaks about the proxy say something about this one; never this one about itself.
    async fn tell(&self, what: &str, kind: NoticeKind, now: SystemTime) {
        let name = self.robot.name();
        let own_robot = self.shared.config.borrow().own_robot.clone();
        let Some(own_robot) = own_robot.filter(|own| own != name) else {
            return;
        };
        let since = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let id = format!("{what}-{name}-{}", since.as_secs());
        let notice = Notice { id, at: now, kind };
        if let Err(error) = ask(self.shared.tell(&own_robot, notice, now)).await {
            tracing::debug!(error = %error, "cannot tell about a robot");
        }
    }
}

fn report_of(robot: &str, failure: Option<&Failure>, now: SystemTime) -> Report {
    Report {
        robot: robot.to_owned(),
        at: now,
        reason: failure.map(|failure| failure.reason.to_owned()),
        detail: failure.map_or_else(String::new, |failure| failure.detail.clone()),
        hint: failure.map_or_else(String::new, |failure| failure.hint.to_owned()),
        closed_until: failure.and_then(|failure| match failure.retry {
            Retry::Paused(closed) => Some(now + closed),
            Retry::Soon | Retry::AfterRepair | Retry::Never => None,
        }),
    }
}

/// Asks the state, and takes too long a silence for an answer.
async fn ask<T>(asking: impl Future<Output = Result<T, Unavailable>>) -> Result<T, Unavailable> {
    timeout(STATE_PATIENCE, asking).await.unwrap_or_else(|_| {
        Err(Unavailable {
            backend: "any",
            source: "no answer in time".into(),
        })
    })
}

/// Messages looked at in one turn.
const AT_ONCE: usize = 32;

/// How long a process leads a robot without asking again; half of it is longer than one attempt.
const LEASE: Duration = Duration::from_secs(90);

/// How long one attempt may take, whatever the robot's own patience is.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(40);

/// How long a digest without a clear verdict stays as it is; then what came since joins it.
const IN_DOUBT: Duration = Duration::from_secs(5 * 60);

/// How long the state may take to answer.
const STATE_PATIENCE: Duration = Duration::from_secs(5);

const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How long an issue rests whose message was refused for good.
const REST: Duration = Duration::from_secs(60);

/// Later than everything that may be gathered.
const LAST_CALL: Duration = Duration::from_secs(14 * 24 * 60 * 60);
