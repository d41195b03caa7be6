//! What happened to issues lately, for people who look: events a minute over the last hour, and what became of the newest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use state::IssueKey;

use crate::{Hold, Outcome};

/// A view of the issues that this process saw last. Cheap to clone.
///
/// Bounded: between 4 096 and 8 192 issues of some 200 bytes, the ones longest unseen go. Lost with the process; what was
/// said is in the state.
#[derive(Debug, Clone, Default)]
pub struct Activity(Arc<Mutex<Generations>>);

/// What happened to one issue lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Events in each of the last [`Trace::MINUTES`] minutes, the oldest first; the last one is under way.
    pub minutes: [u16; Trace::MINUTES],
    /// What became of the newest event.
    pub outcome: Outcome,
    /// When that was.
    pub at: SystemTime,
}

/// Issues seen since the young ones became too many, and those seen before that.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<IssueKey, Track>,
    old: HashMap<IssueKey, Track>,
}

#[derive(Debug)]
struct Track {
    /// Events by minute; the newest minute is at `minute % MINUTES`.
    counts: [u16; Trace::MINUTES],
    /// The newest minute, since 1970.
    minute: u64,
    outcome: Outcome,
    at: SystemTime,
}

impl Trace {
    /// How far back it goes.
    pub const MINUTES: usize = 60;
}

impl Activity {
    /// Returns what happened to an issue; `None` when this process has not seen it lately.
    pub fn of(&self, issue: &IssueKey, now: SystemTime) -> Option<Trace> {
        let generations = self.lock();
        let track = generations.young.get(issue);
        let track = track.or_else(|| generations.old.get(issue))?;
        Some(Trace {
            minutes: track.until(minute_of(now)),
            outcome: track.outcome.clone(),
            at: track.at,
        })
    }

    /// Notes what became of an event. One that was counted before changes nothing.
    pub(crate) fn note(&self, issue: IssueKey, outcome: &Outcome, now: SystemTime) {
        if *outcome == Outcome::Held(Hold::DuplicateEvent) {
            return;
        }
        let mut generations = self.lock();
        // Nearly every event is of an issue that was seen a moment ago.
        if let Some(track) = generations.young.get_mut(&issue) {
            return track.note(outcome, now);
        }
        let known = generations.old.remove(&issue);
        let mut track = known.unwrap_or_else(|| Track::new(outcome, now));
        track.note(outcome, now);
        if generations.young.len() >= GENERATION {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(issue, track);
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Track {
    fn new(outcome: &Outcome, now: SystemTime) -> Self {
        Self {
            counts: [0; Trace::MINUTES],
            minute: minute_of(now),
            outcome: outcome.clone(),
            at: now,
        }
    }

    fn note(&mut self, outcome: &Outcome, now: SystemTime) {
        self.count(minute_of(now));
        self.outcome = outcome.clone();
        self.at = now;
    }

    /// Counts an event; one of a clock that was set back counts as of the newest minute.
    fn count(&mut self, minute: u64) {
        let passed = minute.saturating_sub(self.minute).min(MINUTES);
        for step in 1..=passed {
            self.counts[place(self.minute + step)] = 0;
        }
        self.minute = self.minute.max(minute);
        let count = &mut self.counts[place(self.minute)];
        *count = count.saturating_add(1);
    }

    fn until(&self, minute: u64) -> [u16; Trace::MINUTES] {
        let newest = minute.max(self.minute);
        std::array::from_fn(|at| {
            let minute = newest.saturating_sub(MINUTES - 1 - at as u64);
            let is_kept = minute <= self.minute && self.minute - minute < MINUTES;
            if is_kept {
                self.counts[place(minute)]
            } else {
                0
            }
        })
    }
}

fn minute_of(moment: SystemTime) -> u64 {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs() / 60
}

fn place(minute: u64) -> usize {
    (minute % MINUTES) as usize
}

const MINUTES: u64 = Trace::MINUTES as u64;

/// Issues of one generation.
const GENERATION: usize = 4_096;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use state::IssueHash;

    use super::*;
    use crate::Reason;

    #[test]
    fn counts_events_by_minute_and_forgets_after_an_hour() {
        let activity = Activity::default();
        for second in [0, 59, 60, 61, 240] {
            activity.note(issue(1), &Outcome::NoRobot, at(second));
        }

        let now = activity.of(&issue(1), at(299)).unwrap().minutes;
        let later = activity.of(&issue(1), at(299 + 55 * 60)).unwrap().minutes;
        let much_later = activity.of(&issue(1), at(99 * 3_600)).unwrap().minutes;

        assert_eq!(now[55..], [2, 2, 0, 0, 1]);
        assert_eq!(later[..5], [2, 2, 0, 0, 1][..]);
        assert_eq!(later[5..], [0; 55]);
        assert_eq!(much_later, [0; 60]);
    }

    #[test]
    fn a_minute_that_comes_round_again_starts_anew() {
        let activity = Activity::default();
        activity.note(issue(1), &Outcome::NoRobot, at(0));
        activity.note(issue(1), &Outcome::NoRobot, at(60 * 60));
        activity.note(issue(1), &Outcome::NoRobot, at(10));

        let minutes = activity.of(&issue(1), at(60 * 60)).unwrap().minutes;

        assert_eq!((minutes[59], minutes[..59].iter().sum::<u16>()), (2, 0));
    }

    #[test]
    fn keeps_the_newest_outcome_and_passes_repeats_over() {
        let activity = Activity::default();
        activity.note(issue(1), &Outcome::Queued(Reason::FirstSeen), at(0));
        activity.note(issue(1), &Outcome::Held(Hold::DuplicateEvent), at(5));

        let trace = activity.of(&issue(1), at(9)).unwrap();

        assert_eq!(trace.outcome, Outcome::Queued(Reason::FirstSeen));
        assert_eq!((trace.at, trace.minutes[59]), (at(0), 1));
        assert_eq!(activity.of(&issue(2), at(9)), None);
    }

    #[test]
    fn keeps_those_seen_last_and_not_too_many() {
        let activity = Activity::default();
        for number in 0..3 * GENERATION as u64 {
            activity.note(issue(0), &Outcome::NoRobot, at(0));
            activity.note(issue(number), &Outcome::NoRobot, at(0));
        }

        let generations = activity.lock();
        let kept = generations.young.len() + generations.old.len();
        assert!(kept <= 2 * GENERATION, "{kept}");
        drop(generations);
        assert!(activity.of(&issue(0), at(0)).is_some());
        assert!(activity.of(&issue(1), at(0)).is_none());
    }

    fn issue(number: u64) -> IssueKey {
        IssueKey::new(number, IssueHash([7; 16]))
    }

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(600_000 * 60 + second)
    }
}
