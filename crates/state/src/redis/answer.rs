//! Reads what a script answers: a flat list of numbers and texts.

use std::time::{Duration, SystemTime};

use redis::{FromRedisValue, Value};

use super::Beat;
use crate::memory::moment;
use crate::{
    Cursor, Found, Issue, IssueKey, IssueRoute, Pending, Quiet, RouteKey, RouteSeen, Said, Seen,
    Tally, Waiting, Watch,
};

/// An answer, read from front to back.
pub(super) struct Answer(std::vec::IntoIter<Value>);

/// An answer that is none of ours: another version's script, or somebody else's keys.
#[derive(Debug, thiserror::Error)]
#[error("the answer has not the shape of this version's")]
pub(super) struct Odd;

impl Answer {
    pub(super) fn of(value: Value) -> Self {
        let values = match value {
            Value::Array(values) => values,
            value => vec![value],
        };
        Self(values.into_iter())
    }

    pub(super) fn beat(&mut self) -> Result<Beat, Odd> {
        Ok(Beat {
            replicas: self.number()?,
            rank: self.number()?,
            epoch: self.text()?,
        })
    }

    pub(super) fn seen(&mut self, watches: &[Watch]) -> Result<Seen, Odd> {
        let key = self.text()?.parse().map_err(|_| Odd)?;
        let is_duplicate = self.is_set()?;
        let mut seen = Seen {
            issue: key,
            is_duplicate,
            events: self.number()?,
            users: self.number()?,
            are_users_exact: !self.is_set()?,
            first_seen: self.moment()?,
            last_seen: self.moment()?,
            routes: Vec::with_capacity(watches.len()),
        };
        for watch in watches {
            seen.routes.push(RouteSeen {
                route: watch.route,
                is_claimed: self.is_set()?,
                events_since_said: self.number()?,
                previous: self.optional_moment()?,
                is_new_release: self.is_set()?,
                in_events: self.number()?,
                in_users: self.number()?,
                in_burst: self.number()?,
                said: self.said()?,
            });
        }
        Ok(seen)
    }

    pub(super) fn pending(&mut self) -> Result<Pending, Odd> {
        let mut pending = Pending {
            alone: Vec::new(),
            alone_total: self.number()?,
            gathered_total: self.number()?,
            gathered_until: self.optional_moment()?,
            missed: self.number()?,
        };
        for _ in 0..self.number::<usize>()? {
            pending.alone.push(self.waiting()?);
        }
        Ok(pending)
    }

    pub(super) fn gathered(&mut self) -> Result<(Vec<Waiting>, Vec<String>), Odd> {
        let (mut named, mut others) = (Vec::new(), Vec::new());
        for _ in 0..self.number::<usize>()? {
            named.push(self.waiting()?);
        }
        while !self.is_done() {
            others.push(self.text()?);
        }
        Ok((named, others))
    }

    pub(super) fn is_done(&self) -> bool {
        self.0.len() == 0
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, Odd> {
        match self.0.next().ok_or(Odd)? {
            Value::BulkString(bytes) => Ok(bytes),
            Value::SimpleString(text) => Ok(text.into_bytes()),
            Value::Int(number) => Ok(number.to_string().into_bytes()),
            _ => Err(Odd),
        }
    }

    pub(super) fn text(&mut self) -> Result<String, Odd> {
        String::from_utf8(self.bytes()?).map_err(|_| Odd)
    }

    pub(super) fn number<T: FromRedisValue>(&mut self) -> Result<T, Odd> {
        let value = self.0.next().ok_or(Odd)?;
        T::from_redis_value(value).map_err(|_| Odd)
    }

    pub(super) fn is_set(&mut self) -> Result<bool, Odd> {
        Ok(self.number::<u64>()? != 0)
    }

    pub(super) fn moment(&mut self) -> Result<SystemTime, Odd> {
        Ok(moment(self.number()?))
    }

    /// A moment, or nothing.
    pub(super) fn optional_moment(&mut self) -> Result<Option<SystemTime>, Odd> {
        let text = self.text()?;
        if text.is_empty() {
            return Ok(None);
        }
        Ok(Some(moment(text.parse().map_err(|_| Odd)?)))
    }

    pub(super) fn duration(&mut self) -> Result<Duration, Odd> {
        Ok(Duration::from_millis(self.number()?))
    }

    pub(super) fn said(&mut self) -> Result<Option<Said>, Odd> {
        if !self.is_set()? {
            return Ok(None);
        }
        Ok(Some(Said {
            at: self.moment()?,
            silence: self.duration()?,
            is_burst_told: self.is_set()?,
            is_stopped: self.is_set()?,
        }))
    }

    pub(super) fn waiting(&mut self) -> Result<Waiting, Odd> {
        Ok(Waiting {
            id: self.text()?,
            priority: self.number()?,
            since: self.moment()?,
            late_after: self.duration()?,
            payload: self.bytes()?,
            tally: self.tally()?,
        })
    }

    /// One part of a search, added to what was found before.
    pub(super) fn found(&mut self, found: &mut Found) -> Result<(), Odd> {
        found.known = self.number()?;
        let (last_seen, issue) = (self.text()?, self.text()?);
        found.next = match issue.as_str() {
            "" => None,
            issue => Some(Cursor {
                last_seen: last_seen.parse().map_err(|_| Odd)?,
                issue: issue.parse().map_err(|_| Odd)?,
            }),
        };
        while !self.is_done() {
            found.issues.extend(self.issue()?);
        }
        Ok(())
    }

    /// An issue, or nothing.
    pub(super) fn issue(&mut self) -> Result<Option<Issue>, Odd> {
        if !self.is_set()? {
            return Ok(None);
        }
        let key: IssueKey = self.text()?.parse().map_err(|_| Odd)?;
        let title = self.text()?;
        let level = self.number()?;
        let last_event = self.text()?;
        let mut issue = Issue {
            key,
            title,
            level,
            last_event: crate::IssueHash::parse(&last_event).map(|id| id.0),
            environment: self.text()?,
            events: self.number()?,
            users: self.number()?,
            are_users_exact: !self.is_set()?,
            first_seen: self.moment()?,
            last_seen: self.moment()?,
            routes: Vec::new(),
        };
        for _ in 0..self.number::<usize>()? {
            issue.routes.push(IssueRoute {
                route: RouteKey(self.number()?),
                is_claimed: self.is_set()?,
                events_since_said: self.number()?,
                last_seen: self.moment()?,
                said: self.said()?,
            });
        }
        Ok(Some(issue))
    }

    fn tally(&mut self) -> Result<Option<Tally>, Odd> {
        if !self.is_set()? {
            return Ok(None);
        }
        Ok(Some(Tally {
            events: self.number()?,
            events_since_said: self.number()?,
            users: self.number()?,
            are_users_exact: !self.is_set()?,
            first_seen: self.moment()?,
            last_seen: self.moment()?,
        }))
    }
}

/// What a list of quiet issues shows of one.
pub(super) fn quiet_on(route: RouteKey, issue: Issue) -> Option<Quiet> {
    let on_route = issue.routes.iter().find(|on| on.route == route)?;
    Some(Quiet {
        said: on_route.said?,
        last_seen: on_route.last_seen,
        events_since_said: on_route.events_since_said,
        issue,
    })
}
