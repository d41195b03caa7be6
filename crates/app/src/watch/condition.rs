//! Something that may go wrong: when it is worth a word, and when another one. Pure; the clock is an argument.

use std::time::{Duration, Instant};

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It has been wrong since then.
    Wrong(Instant),
    /// It is well again, and what was left undone is being done.
    Mending,
    /// It is well.
    Well,
}

/// What is worth a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It has been wrong for long enough, since then.
    Began(Instant),
    /// What was said to have begun is over; it lasted so long.
    Ended(Duration),
}

/// One thing that is watched. What comes and goes is told of less and less often.
#[derive(Debug)]
pub(super) struct Condition {
    /// How long it has to be wrong.
    after: Duration,
    /// How long it has to be well.
    settle: Duration,
    wrong_since: Option<Instant>,
    well_since: Option<Instant>,
    is_told: bool,
    ended_at: Option<Instant>,
    /// How long after its end it may begin again.
    pause: Duration,
}

impl Condition {
    pub(super) fn new(after: Duration, settle: Duration) -> Self {
        Self {
            after,
            settle,
            wrong_since: None,
            well_since: None,
            is_told: false,
            ended_at: None,
            pause: FIRST_PAUSE,
        }
    }

    /// Changes how long it has to be wrong.
    pub(super) fn set_after(&mut self, after: Duration) {
        self.after = after;
    }

    /// Returns whether it is well and nothing is left to say.
    pub(super) fn is_over(&self) -> bool {
        self.wrong_since.is_none()
    }

    /// Takes in how it stands, and returns what is worth a word.
    pub(super) fn look(&mut self, state: State, now: Instant) -> Option<Turn> {
        match state {
            State::Wrong(since) => self.is_wrong(since, now),
            State::Mending => self.is_well(LONGEST_MENDING, now),
            State::Well => self.is_well(self.settle, now),
        }
    }

    fn is_wrong(&mut self, since: Instant, now: Instant) -> Option<Turn> {
        self.well_since = None;
        if !self.is_told {
            // It may have been well in between, unseen.
            self.wrong_since = Some(since);
        }
        let since = *self.wrong_since.get_or_insert(since);
        let is_long = now.saturating_duration_since(since) >= self.after;
        if self.is_told || !is_long || self.is_pausing(now) {
            return None;
        }
        self.is_told = true;
        Some(Turn::Began(since))
    }

    fn is_well(&mut self, settle: Duration, now: Instant) -> Option<Turn> {
        let since = self.wrong_since?;
        if !self.is_told {
            self.wrong_since = None;
            return None;
        }
        let well_since = *self.well_since.get_or_insert(now);
        if now.saturating_duration_since(well_since) < settle {
            return None;
        }
        self.end(now);
        Some(Turn::Ended(well_since.saturating_duration_since(since)))
    }

    fn end(&mut self, now: Instant) {
        let before = self.ended_at.replace(now);
        let is_calm = before.is_none_or(|before| now - before >= CALM + self.pause);
        self.pause = match is_calm {
            true => FIRST_PAUSE,
            false => (self.pause * 2).min(LONGEST_PAUSE),
        };
        (self.is_told, self.wrong_since, self.well_since) = (false, None, None);
    }

    fn is_pausing(&self, now: Instant) -> bool {
        self.ended_at
            .is_some_and(|ended| now.saturating_duration_since(ended) < self.pause)
    }
}

/// How long it is not told that something has begun again: this much at first, then twice as much each time, to an hour.
const FIRST_PAUSE: Duration = Duration::from_secs(10 * 60);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// How long it must have been well to be as good as new.
const CALM: Duration = Duration::from_secs(60 * 60);

/// How long mending is waited for before it is told that the matter is over.
const LONGEST_MENDING: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_once_that_it_began_and_once_that_it_ended() {
        let mut line = Line::new();

        line.wrong(59);
        assert_eq!(line.told, []);
        line.well(1);
        line.wrong(600);
        line.well(100);

        assert_eq!(line.told, [(120, "began"), (665, "ended 600")]);
    }

    #[test]
    fn says_nothing_of_what_is_short() {
        let mut line = Line::new();

        for _ in 0..100 {
            line.wrong(59);
            line.well(1);
        }

        assert_eq!(line.told, []);
    }

    #[test]
    fn what_comes_back_at_once_was_never_over() {
        let mut line = Line::new();

        for _ in 0..100 {
            line.wrong(100);
            line.well(4);
        }
        line.well(10);

        assert_eq!(line.told.len(), 2, "{:?}", line.told);
    }

    #[test]
    fn what_comes_and_goes_is_told_less_and_less_often() {
        let mut line = Line::new();

        // A day of two minutes down, a minute up.
        for _ in 0..(24 * 20) {
            line.wrong(120);
            line.well(60);
        }

        let begun = line
            .told
            .iter()
            .filter(|(_, what)| *what == "began")
            .count();
        assert!((20..=28).contains(&begun), "{begun}");
        assert_eq!(line.told.len(), 2 * begun);
    }

    #[test]
    fn is_as_good_as_new_after_a_calm_time() {
        let mut line = Line::new();

        for _ in 0..3 {
            line.wrong(120);
            line.well(2 * 3_600);
        }

        assert_eq!(line.told.len(), 6, "{:?}", line.told);
    }

    #[test]
    fn waits_a_minute_for_what_is_mended() {
        let mut line = Line::new();
        line.wrong(100);

        line.run(100, |_| State::Mending);

        assert_eq!(line.told[1], (160, "ended 100"));
    }

    struct Line {
        condition: Condition,
        start: Instant,
        now: u64,
        told: Vec<(u64, &'static str)>,
    }

    impl Line {
        fn new() -> Self {
            Self {
                condition: Condition::new(Duration::from_secs(60), Duration::from_secs(5)),
                start: Instant::now(),
                now: 0,
                told: Vec::new(),
            }
        }

        fn wrong(&mut self, seconds: u64) {
            let since = self.start + Duration::from_secs(self.now);
            self.run(seconds, |_| State::Wrong(since));
        }

        fn well(&mut self, seconds: u64) {
            self.run(seconds, |_| State::Well);
        }

        fn run(&mut self, seconds: u64, state: impl Fn(u64) -> State) {
            for _ in 0..=seconds {
                let now = self.start + Duration::from_secs(self.now);
                match self.condition.look(state(self.now), now) {
                    None => {}
                    Some(Turn::Began(_)) => self.told.push((self.now, "began")),
                    Some(Turn::Ended(lasted)) => {
                        let text = format!("ended {}", lasted.as_secs());
                        self.told.push((self.now, text.leak()));
                    }
                }
                self.now += 1;
            }
            self.now -= 1;
        }
    }
}
