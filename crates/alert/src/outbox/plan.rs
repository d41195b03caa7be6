//! What a robot does next with what waits: pure.

use std::time::{Duration, SystemTime};

use state::{Pending, Waiting};

use super::URGENT;

/// What is to be done next, each with the share of the budget it may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Say the first one alone. When the budget is spent it waits for its turn.
    SayUrgent,
    /// Say the first one alone. When the budget is spent everything like it is gathered.
    Say,
    /// Send the digest that is due.
    Digest,
    /// Put these among what is gathered, for the digest due then.
    Gather(Vec<String>, SystemTime),
    /// Nothing can be done before this much time has passed.
    Wait(Duration),
}

/// The share of the budget that a message may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// Everything: a digest stands for many.
    Digest,
    /// All but what is kept for a digest.
    Urgent,
    /// All but what is kept for urgent ones.
    Normal,
    /// As long as something is gathered already, single messages shall not be a storm themselves.
    Calm,
}

/// What is known when a step is chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) pending: &'a Pending,
    pub(super) now: SystemTime,
    /// Whether what is gathered goes now, due or not: it would be lost.
    pub(super) is_last_call: bool,
    /// How long no urgent message may go; zero when one may.
    pub(super) urgent_blocked: Duration,
}

/// Returns the next step.
pub(super) fn next(view: &View<'_>) -> Step {
    if let Some(late) = late(view) {
        return Step::Gather(late, view.now);
    }
    let first = view.pending.alone.first();
    let is_urgent = first.is_some_and(is_urgent);
    if is_urgent && view.urgent_blocked.is_zero() {
        return Step::SayUrgent;
    }
    if is_digest_due(view) {
        return Step::Digest;
    }
    if let Some(first) = view
        .pending
        .alone
        .iter()
        .find(|waiting| !self::is_urgent(waiting))
    {
        return match is_urgent {
            // It would overtake one that waits for the budget.
            true => Step::Gather(normal(view), digest_at(view, first.late_after)),
            false => Step::Say,
        };
    }
    let wait = match is_urgent {
        true => view.urgent_blocked,
        false => LONGEST_WAIT,
    };
    Step::Wait(wait.min(until_digest(view)))
}

/// Returns what to gather when a message that is not urgent finds the budget spent: all like it. A closed robot tells it
/// as soon as it opens.
pub(super) fn gather(view: &View<'_>, opens_after: Option<Duration>) -> Step {
    let first = view.pending.alone.first();
    let digest = first.map_or(Duration::ZERO, |waiting| waiting.late_after);
    let digest = opens_after.map_or(digest, |opens| opens.min(digest));
    Step::Gather(normal(view), digest_at(view, digest))
}

impl Share {
    /// Returns how many of a budget a message may find used, itself included.
    pub(super) fn of(self, per_minute: u32) -> u32 {
        let share = match self {
            Self::Digest => per_minute,
            Self::Urgent => per_minute.saturating_sub(1),
            Self::Normal => per_minute.saturating_sub((per_minute / 6).max(1)),
            Self::Calm => per_minute / 3,
        };
        share.max(1)
    }
}

/// Returns what has waited too long to be said alone; one message that is alone with its fate is said as it is.
fn late(view: &View<'_>) -> Option<Vec<String>> {
    let is_late = |waiting: &&Waiting| {
        let age = view.now.duration_since(waiting.since);
        age.is_ok_and(|age| age >= waiting.late_after)
    };
    let late: Vec<String> = view
        .pending
        .alone
        .iter()
        .filter(is_late)
        .map(|waiting| waiting.id.clone())
        .collect();
    let is_company = view.pending.alone_total + view.pending.gathered_total > 1;
    (!late.is_empty() && is_company).then_some(late)
}

fn is_digest_due(view: &View<'_>) -> bool {
    let pending = view.pending;
    let is_due = |until: SystemTime| until <= view.now || view.is_last_call;
    pending.gathered_until.is_some_and(is_due)
        || (pending.missed > 0 && pending.alone_total + pending.gathered_total == 0)
}

/// A digest that is to come soon enough takes it along.
fn digest_at(view: &View<'_>, digest: Duration) -> SystemTime {
    let latest = view.now + digest;
    let planned = view.pending.gathered_until;
    planned.filter(|at| *at < latest).unwrap_or(latest)
}

fn until_digest(view: &View<'_>) -> Duration {
    let until = view.pending.gathered_until;
    until.map_or(LONGEST_WAIT, |until| {
        let left = until.duration_since(view.now).unwrap_or_default();
        left.max(SHORTEST_WAIT)
    })
}

fn normal(view: &View<'_>) -> Vec<String> {
    let normal = view
        .pending
        .alone
        .iter()
        .filter(|waiting| !is_urgent(waiting));
    normal.map(|waiting| waiting.id.clone()).collect()
}

fn is_urgent(waiting: &Waiting) -> bool {
    waiting.priority < URGENT
}

/// A loop that waits looks again after this long: its lease must be renewed, another replica may have put something.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(10);

const SHORTEST_WAIT: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_one_by_one_what_is_young() {
        assert_eq!(step(&pending([(9, 0)]), 1), Step::Say);
        assert_eq!(step(&pending([(0, 0), (9, 0)]), 1), Step::SayUrgent);
    }

    #[test]
    fn what_waited_too_long_goes_into_a_digest_unless_it_is_the_only_one() {
        assert_eq!(step(&pending([(9, 0)]), 300), Step::Say);
        assert_eq!(
            step(&pending([(9, 0), (9, 1), (0, 0)]), 300),
            Step::Gather(ids([0, 2]), at(300))
        );
    }

    #[test]
    fn a_digest_goes_when_it_is_due_after_what_is_urgent() {
        let gathered = |until| Pending {
            gathered_total: 5,
            gathered_until: Some(at(until)),
            ..pending([(9, 99), (9, 99)])
        };
        let urgent = Pending {
            gathered_total: 5,
            gathered_until: Some(at(100)),
            ..pending([(0, 99)])
        };

        assert_eq!(step(&gathered(100), 99), Step::Say);
        assert_eq!(step(&gathered(100), 100), Step::Digest);
        assert_eq!(step(&urgent, 100), Step::SayUrgent);
        let blocked = View {
            urgent_blocked: Duration::from_secs(7),
            ..view(&urgent, 100)
        };
        assert_eq!(next(&blocked), Step::Digest);
    }

    #[test]
    fn nothing_overtakes_an_urgent_message_that_waits_for_the_budget() {
        let pending = pending([(0, 0), (9, 0), (10, 0)]);
        let blocked = View {
            urgent_blocked: Duration::from_secs(7),
            ..view(&pending, 1)
        };

        assert_eq!(next(&blocked), Step::Gather(ids([1, 2]), at(301)));
    }

    #[test]
    fn what_exceeds_the_budget_joins_the_next_digest() {
        let first = pending([(9, 0), (9, 0), (0, 0)]);
        let soon = Pending {
            gathered_total: 1,
            gathered_until: Some(at(120)),
            ..first.clone()
        };
        let monday = Pending {
            gathered_total: 1,
            gathered_until: Some(at(90_000)),
            ..first.clone()
        };

        assert_eq!(
            gather(&view(&first, 10), None),
            Step::Gather(ids([0, 1]), at(310))
        );
        assert_eq!(
            gather(&view(&soon, 10), None),
            Step::Gather(ids([0, 1]), at(120))
        );
        assert_eq!(
            gather(&view(&monday, 10), None),
            Step::Gather(ids([0, 1]), at(310))
        );
    }

    #[test]
    fn what_a_closed_robot_gathers_is_told_when_it_opens() {
        let first = pending([(9, 0)]);
        let opens = |seconds| Some(Duration::from_secs(seconds));

        assert_eq!(
            gather(&view(&first, 10), opens(60)),
            Step::Gather(ids([0]), at(70))
        );
        assert_eq!(
            gather(&view(&first, 10), opens(600)),
            Step::Gather(ids([0]), at(310))
        );
    }

    #[test]
    fn what_found_no_room_is_told_when_nothing_else_waits() {
        let missed = Pending {
            missed: 3,
            ..Pending::default()
        };
        let busy = Pending {
            missed: 3,
            ..pending([(9, 0)])
        };

        assert_eq!(step(&missed, 0), Step::Digest);
        assert_eq!(step(&busy, 1), Step::Say);
    }

    #[test]
    fn waits_for_the_digest_or_a_while() {
        let gathered = Pending {
            gathered_total: 1,
            gathered_until: Some(at(5)),
            ..Pending::default()
        };

        assert_eq!(step(&gathered, 2), Step::Wait(Duration::from_secs(3)));
        assert_eq!(step(&Pending::default(), 0), Step::Wait(LONGEST_WAIT));
        let last_call = View {
            is_last_call: true,
            ..view(&gathered, 2)
        };
        assert_eq!(next(&last_call), Step::Digest);
    }

    #[test]
    fn shares_leave_room_for_what_matters_more() {
        let shares = |per_minute| {
            [Share::Calm, Share::Normal, Share::Urgent, Share::Digest]
                .map(|share| share.of(per_minute))
        };

        assert_eq!(shares(18), [6, 15, 17, 18]);
        assert_eq!(shares(20), [6, 17, 19, 20]);
        assert_eq!(shares(5), [1, 4, 4, 5]);
        assert_eq!(shares(1), [1, 1, 1, 1]);
    }

    fn step(pending: &Pending, now: u64) -> Step {
        next(&view(pending, now))
    }

    fn view(pending: &Pending, now: u64) -> View<'_> {
        View {
            pending,
            now: at(now),
            is_last_call: false,
            urgent_blocked: Duration::ZERO,
        }
    }

    /// Messages by priority and by when they were put.
    fn pending<const N: usize>(waiting: [(u8, u64); N]) -> Pending {
        let alone = waiting.into_iter().enumerate();
        let alone = alone.map(|(number, (priority, since))| Waiting {
            id: number.to_string(),
            priority,
            since: at(since),
            late_after: Duration::from_secs(300),
            payload: Vec::new(),
            tally: None,
        });
        Pending {
            alone: alone.collect(),
            alone_total: N,
            ..Pending::default()
        }
    }

    fn ids<const N: usize>(numbers: [usize; N]) -> Vec<String> {
        numbers.iter().map(ToString::to_string).collect()
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }
}
