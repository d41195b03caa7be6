//! Asks a robot, and lets everybody know what it said: counters, status pages, the log, and the robot that speaks of others.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use state::{Pending, Report, Unavailable};
use tokio::time::timeout;

use super::{Worker, ask};
use crate::message::NoticeKind;
use crate::outbox::batch::Batch;
use crate::outbox::journal::Sent;
use crate::{Failure, Notice, Retry};

impl Worker {
    /// Asks the robot in a task of its own, so that a panic over one message ends with that message.
    pub(super) async fn notify(
        &self,
        batch: &Batch,
        channel: usize,
        now: SystemTime,
    ) -> Result<(), Failure> {
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
    pub(super) fn note(&self, batch: &Batch, verdict: &Result<(), Failure>, now: SystemTime) {
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
    pub(super) async fn adopt_report(&self) -> Result<(), Unavailable> {
        let reports = ask(self.shared.store.reports()).await?;
        let name = self.robot.name();
        let ours = reports.into_iter().find(|report| report.robot == name);
        ours.and_then(|report| self.shared.health.note(report));
        Ok(())
    }

    pub(super) fn count_waiting(&self, pending: &Pending) {
        let waiting = pending.alone_total + pending.gathered_total;
        let all = self.shared.health.set_waiting(self.robot.name(), waiting);
        self.shared.metrics.set_outbox(all);
    }

    pub(super) async fn tell_of_repair(&mut self, failure: &Failure, now: SystemTime) {
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

    pub(super) async fn tell_of_recovery(&mut self, now: SystemTime) {
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

/// How long one attempt may take, whatever the robot's own patience is.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(40);
