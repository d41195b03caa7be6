//! How many requests of the spool are under way at once: few where that is fast enough, and few at first everywhere.
//!
//! Each that is under way when the process or Sentry dies may be taken twice.

use std::rc::Rc;
use std::time::{Duration, Instant};

/// How many over all projects: one at first, with a rest after each; then twice as many every second, until something fails.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ramp {
    since: Instant,
    rests_until: Instant,
}

/// How one project's requests fare.
#[derive(Debug, Default)]
pub(super) struct Project {
    /// Held by each request that is under way, and by us.
    under_way: Rc<()>,
    /// How long Sentry takes, smoothed.
    took: Duration,
    /// Not before then.
    not_before: Option<Instant>,
}

/// Held by a request as long as it is under way, also if its task ends by a panic.
#[derive(Debug)]
pub(super) struct UnderWay {
    _project: Rc<()>,
}

impl Ramp {
    pub(super) fn new(now: Instant) -> Ramp {
        Ramp {
            since: now,
            rests_until: now,
        }
    }

    /// Notes how long Sentry took for an answer: at first, a rest as long follows.
    pub(super) fn note(&mut self, took: Duration, now: Instant) {
        if self.step(now) == 0 {
            self.rests_until = now + took;
        }
    }

    /// Returns how many requests may be under way.
    pub(super) fn at_once(self, now: Instant) -> usize {
        if now < self.rests_until {
            return 0;
        }
        UNDER_WAY >> LAST_STEP.saturating_sub(self.step(now))
    }

    /// Returns when there may be more.
    pub(super) fn next_step(self, now: Instant) -> Option<Instant> {
        if now < self.rests_until {
            return Some(self.rests_until);
        }
        let step = self.step(now);
        (step < LAST_STEP).then(|| self.since + STEP * (step + 1))
    }

    fn step(self, now: Instant) -> u32 {
        let steps = now.saturating_duration_since(self.since).as_secs() / STEP.as_secs();
        u32::try_from(steps).unwrap_or(u32::MAX)
    }
}

impl Project {
    pub(super) fn may_start(&self, now: Instant) -> bool {
        self.paused_until(now).is_none() && self.under_way() < self.width()
    }

    pub(super) fn start(&self) -> UnderWay {
        UnderWay {
            _project: Rc::clone(&self.under_way),
        }
    }

    /// Notes how long Sentry took for an answer. One that comes late by chance does not make it far.
    pub(super) fn note(&mut self, took: Duration) {
        self.took = if took < self.took {
            took
        } else {
            self.took + (took - self.took) / SMOOTH
        };
    }

    /// Notes that a request failed.
    pub(super) fn pause(&mut self, now: Instant) {
        self.not_before = Some(now + PAUSE);
    }

    /// Returns when the pause ends, while there is one.
    pub(super) fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.not_before.filter(|until| *until > now)
    }

    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.under_way() == 0 && self.paused_until(now).is_none()
    }

    fn under_way(&self) -> usize {
        Rc::strong_count(&self.under_way) - 1
    }

    /// One request at a time keeps the order on arrival. Only where an answer takes long would that be too slow: there, some
    /// are started one after the other and go side by side.
    fn width(&self) -> usize {
        if self.took < FAR { 1 } else { SIDE_BY_SIDE }
    }
}

/// Requests under way at once, over all projects.
const UNDER_WAY: usize = 1 << LAST_STEP;
const LAST_STEP: u32 = 4;

/// How long until there may be twice as many.
const STEP: Duration = Duration::from_secs(1);

/// The same for one project, where Sentry is far.
const SIDE_BY_SIDE: usize = 8;

/// From how long an answer takes on, Sentry is far.
const FAR: Duration = Duration::from_millis(10);

/// The part of a slower answer that counts at once.
const SMOOTH: u32 = 8;

/// How long a project waits after one of its requests failed.
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_with_one_and_doubles_every_second_up_to_sixteen() {
        let start = Instant::now();
        let ramp = Ramp::new(start);
        let at = |milliseconds| start + Duration::from_millis(milliseconds);

        let widths = [0, 999, 1000, 2000, 3000, 4000, 900_000].map(|time| ramp.at_once(at(time)));

        assert_eq!(widths, [1, 1, 2, 4, 8, 16, 16]);
        assert_eq!(ramp.next_step(at(999)), Some(at(1000)));
        assert_eq!(ramp.next_step(at(3000)), Some(at(4000)));
        assert_eq!(ramp.next_step(at(4000)), None);
    }

    #[test]
    fn rests_after_each_answer_in_the_first_second() {
        let start = Instant::now();
        let mut ramp = Ramp::new(start);
        let at = |milliseconds| start + Duration::from_millis(milliseconds);

        ramp.note(Duration::from_millis(5), at(100));
        assert_eq!(
            [100, 104, 105].map(|time| ramp.at_once(at(time))),
            [0, 0, 1]
        );
        assert_eq!(ramp.next_step(at(100)), Some(at(105)));

        ramp.note(Duration::from_millis(5), at(1100));
        assert_eq!(ramp.at_once(at(1100)), 2);
    }

    #[test]
    fn a_project_goes_side_by_side_only_where_sentry_is_far() {
        let now = Instant::now();
        let mut project = Project::default();
        let first = project.start();
        assert!(!project.may_start(now));

        project.note(Duration::from_millis(70));
        assert!(!project.may_start(now), "late by chance");
        (0..3).for_each(|_| project.note(Duration::from_millis(70)));
        let others: Vec<UnderWay> = (0..7).map(|_| project.start()).collect();
        assert_eq!(others.len(), 7);
        assert!(!project.may_start(now));
        drop(first);
        assert!(project.may_start(now));

        project.note(Duration::from_millis(1));
        assert!(!project.may_start(now));
    }

    #[test]
    fn a_project_rests_after_a_failure() {
        let now = Instant::now();
        let mut project = Project::default();

        project.pause(now);

        let end = now + PAUSE;
        assert_eq!(project.paused_until(now), Some(end));
        assert!(!project.may_start(now) && !project.is_idle(now));
        assert!(project.may_start(end) && project.is_idle(end));
    }
}
