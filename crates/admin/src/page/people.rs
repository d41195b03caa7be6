//! Who is told, what they were told, and what is kept silent.

use std::time::SystemTime;

use alert::{Message, RobotHealth, Sent, StandingMute};
use state::{Mute, Report, Scope, Unavailable};

use super::View;
use super::issue::Moment;
use super::now::Health;
use crate::issues::project_name;
use crate::words::grouped;

pub(super) struct RobotRow {
    pub(super) name: String,
    /// How many messages it may still send in this minute; `None` when the state does not say.
    pub(super) left: Option<u32>,
    pub(super) per_minute: u32,
    pub(super) waiting: String,
    pub(super) health: Health,
    pub(super) detail: Option<String>,
    pub(super) hint: Option<String>,
    pub(super) at: Option<Moment>,
    pub(super) closed: Option<String>,
}

pub(super) struct AlertRow {
    /// The same as long as it is shown.
    pub(super) id: String,
    pub(super) at: Moment,
    pub(super) robot: String,
    pub(super) health: Health,
    pub(super) kind: String,
    pub(super) title: String,
    /// HTML, escaped.
    pub(super) card: Option<String>,
}

pub(super) struct MuteList {
    pub(super) rows: Vec<MuteRow>,
    /// How many more there are.
    pub(super) more: usize,
}

pub(super) struct MuteRow {
    /// What names it when it is to be removed; `None` when it stands in the file.
    pub(super) id: Option<String>,
    pub(super) what: String,
    pub(super) project: Option<String>,
    pub(super) by: String,
    pub(super) comment: String,
    pub(super) until: Option<Moment>,
}

impl View<'_> {
    pub(super) async fn robots(&self) -> Vec<RobotRow> {
        let mut rows = Vec::new();
        for robot in self.site.admin.robots.robots() {
            let left = self.budget_left(&robot).await.ok();
            rows.push(self.robot(robot, left));
        }
        rows
    }

    pub(super) fn alerts(&self) -> Vec<AlertRow> {
        let journal = &self.site.admin.journal;
        let (sent, count) = (journal.messages(), journal.count());
        let newest = (0..=count).rev().zip(&sent).take(SHOWN);
        newest
            .map(|(number, sent)| self.alert(number, sent))
            .collect()
    }

    pub(super) async fn mutes(&self) -> Result<MuteList, Unavailable> {
        let mutes = self.site.admin.store.mutes(self.now).await?;
        let more = mutes.len().saturating_sub(SHOWN);
        let mut rows = Vec::new();
        // Each asks the state for its issue's title.
        for mute in mutes.into_iter().take(SHOWN) {
            rows.push(self.mute(mute).await);
        }
        let config = self.site.admin.config.borrow();
        let standing = config.mutes.iter().filter(|mute| mute.is_active(self.now));
        rows.extend(standing.map(|mute| self.standing(mute)));
        Ok(MuteList { rows, more })
    }

    async fn budget_left(&self, robot: &RobotHealth) -> Result<u32, Unavailable> {
        let mut spent = 0;
        for bucket in &robot.buckets {
            spent += self.site.admin.store.spent(bucket, self.now).await?;
        }
        Ok(robot.per_minute.saturating_sub(spent))
    }

    fn robot(&self, robot: RobotHealth, left: Option<u32>) -> RobotRow {
        let words = self.language.words();
        let report = robot.last.as_ref();
        let failure = report.filter(|report| report.reason.is_some());
        let health = match (report, failure.and_then(|report| report.reason.as_deref())) {
            (None, _) => Health::ok(words.nothing_sent.to_owned()),
            (Some(_), None) => Health::ok(words.delivered.to_owned()),
            (Some(_), Some(reason)) => Health::bad(format!("{}: {reason}", words.not_delivered)),
        };
        let filled = |text: fn(&Report) -> &String| {
            let text = failure.map(text).filter(|text| !text.is_empty());
            text.cloned()
        };
        let closed = report.and_then(|report| report.closed_until);
        let closed = closed.filter(|until| *until > self.now);
        RobotRow {
            health,
            detail: filled(|report| &report.detail),
            hint: filled(|report| &report.hint),
            at: report.map(|report| self.moment(report.at)),
            closed: closed.map(|until| self.language.ahead(until, self.now)),
            left,
            per_minute: robot.per_minute,
            waiting: grouped(robot.waiting as u64),
            name: robot.name,
        }
    }

    fn alert(&self, number: u64, sent: &Sent) -> AlertRow {
        let (words, language) = (self.language.words(), self.language);
        let (kind, title) = match &*sent.message {
            Message::Alert(alert) => {
                let subject = &alert.subject;
                (
                    language.reason(alert.reason).to_owned(),
                    subject.title.clone(),
                )
            }
            Message::Digest(digest) => {
                let alerts = grouped(digest.alerts_total);
                let events = grouped(digest.events);
                let first = digest
                    .alerts
                    .first()
                    .map(|alert| alert.subject.title.clone());
                (
                    format!("{} ({alerts} / {events})", words.digest),
                    first.unwrap_or_default(),
                )
            }
            Message::Notice(notice) => (
                words.notice.to_owned(),
                language.notice(&notice.kind).to_owned(),
            ),
            Message::Test { robot, .. } => (words.test.to_owned(), robot.clone()),
        };
        AlertRow {
            id: format!("alert-{number}"),
            at: self.moment(sent.at),
            robot: sent.robot.clone(),
            health: match sent.result {
                "ok" => Health::ok(words.delivered.to_owned()),
                reason => Health::bad(format!("{}: {reason}", words.not_delivered)),
            },
            kind,
            title,
            card: (self.site.admin.draw)(sent).map(|card| card.html()),
        }
    }

    async fn mute(&self, mute: Mute) -> MuteRow {
        let admin = &self.site.admin;
        let (what, project) = match &mute.scope {
            Scope::Issue(key) => {
                let issue = admin.store.issue(key).await.ok().flatten();
                let title = issue.map_or_else(|| key.hash.to_string(), |issue| issue.title);
                let name = project_name(admin, key.project);
                (title, Some(name.unwrap_or_else(|| key.project.to_string())))
            }
            Scope::Matching(conditions) => (conditions_of(conditions), None),
        };
        MuteRow {
            what,
            project,
            by: mute.by,
            comment: mute.comment,
            until: mute.until.map(|until| self.end(until)),
            id: Some(mute.id),
        }
    }

    fn standing(&self, mute: &StandingMute) -> MuteRow {
        MuteRow {
            id: None,
            what: mute.matcher.to_string(),
            project: None,
            by: self.language.words().in_file.to_owned(),
            comment: mute.comment.clone(),
            until: mute.until.map(|until| self.end(until)),
        }
    }

    fn end(&self, until: SystemTime) -> Moment {
        Moment {
            text: self.language.ahead(until, self.now),
            iso: crate::issues::time(until),
        }
    }
}

/// `title = *timeout*, *reset*; environment = prod*`
fn conditions_of(conditions: &[(String, Vec<String>)]) -> String {
    let each = conditions.iter();
    let each: Vec<String> = each
        .map(|(key, patterns)| format!("{key} = {}", patterns.join(", ")))
        .collect();
    each.join("; ")
}

/// Messages on the page, and mutes; `/api/alerts` and `/api/mutes` have all.
const SHOWN: usize = 20;
