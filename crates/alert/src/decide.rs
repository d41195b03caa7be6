//! The rule: given what is known of an issue, is something to be said now, and why or why not.

use std::time::{Duration, SystemTime};

use state::{Mute, Scope, Seen};

use crate::Rule;

/// Decides whether to say something about an issue whose event was just observed.
///
/// Pure and total: everything it depends on is an argument.
pub fn decide(rule: &Rule, seen: &Seen, mutes: &[Mute], now: SystemTime) -> Decision {
    if seen.is_duplicate {
        return Decision::Hold(Hold::DuplicateEvent);
    }
    if let Some(mute) = mutes
        .iter()
        .find(|mute| mute.scope == Scope::Issue(seen.issue) && mute.is_active(now))
    {
        return Decision::Hold(Hold::Muted {
            by: mute.by.clone(),
        });
    }
    let Some(said) = seen.routes.first().and_then(|route| route.said) else {
        return Decision::Say(Reason::FirstSeen, rule.repeat);
    };
    // A clock set back since then must not silence an issue for longer than the rule says.
    let quiet = now.duration_since(said.at).unwrap_or(said.silence);
    if quiet < said.silence {
        return Decision::Hold(Hold::RepeatWindow {
            left: said.silence.saturating_sub(quiet),
        });
    }
    Decision::Say(Reason::StillHappening, rule.repeat)
}

/// What [`decide`] decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Say it, and be silent for this long afterwards.
    Say(Reason, Duration),
    /// Say nothing.
    Hold(Hold),
}

/// Why something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Nothing was ever said about the issue.
    FirstSeen,
    /// It went on after the silence that followed the last word.
    StillHappening,
}

impl Reason {
    /// Every reason, for metrics and tables.
    pub const ALL: [Self; 2] = [Self::FirstSeen, Self::StillHappening];

    /// Returns its name in metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FirstSeen => "first_seen",
            Self::StillHappening => "still_happening",
        }
    }
}

/// Why nothing is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// The same event id was counted before.
    DuplicateEvent,
    /// Someone muted the issue.
    Muted {
        /// Who.
        by: String,
    },
    /// The last word is too fresh.
    RepeatWindow {
        /// How much of the silence is left.
        left: Duration,
    },
}

#[cfg(test)]
mod tests {
    use state::{IssueHash, IssueKey, RouteKey, RouteSeen, Said};

    use super::*;

    #[test]
    fn says_each_reason_and_holds_for_each_hold() {
        let (fresh, told) = (seen(None), seen(Some(1_000)));
        let duplicate = Seen {
            is_duplicate: true,
            ..fresh.clone()
        };
        let muted = [mute(Some(2_000))];
        let say = |reason| Decision::Say(reason, HOUR);
        let window = |left| {
            Decision::Hold(Hold::RepeatWindow {
                left: Duration::from_secs(left),
            })
        };
        let by_cli = Decision::Hold(Hold::Muted {
            by: "cli".to_owned(),
        });
        let cases: [(&str, &Seen, &[Mute], u64, Decision); 9] = [
            ("first event", &fresh, &[], 1_000, say(Reason::FirstSeen)),
            (
                "same id again",
                &duplicate,
                &[],
                1_000,
                Decision::Hold(Hold::DuplicateEvent),
            ),
            ("at once after a word", &told, &[], 1_000, window(3_600)),
            ("just before the end", &told, &[], 4_599, window(1)),
            (
                "at the end of silence",
                &told,
                &[],
                4_600,
                say(Reason::StillHappening),
            ),
            (
                "clock set back",
                &told,
                &[],
                500,
                say(Reason::StillHappening),
            ),
            ("muted", &fresh, &muted, 1_999, by_cli),
            ("mute ended", &fresh, &muted, 2_000, say(Reason::FirstSeen)),
            (
                "a mute of another issue",
                &other(),
                &muted,
                1_999,
                say(Reason::FirstSeen),
            ),
        ];

        for (name, seen, mutes, now, expected) in cases {
            let decision = decide(&Rule { repeat: HOUR }, seen, mutes, at(now));

            assert_eq!(decision, expected, "{name}");
        }
    }

    fn seen(said: Option<u64>) -> Seen {
        Seen {
            issue: key("a"),
            events: 2,
            users: 0,
            are_users_exact: true,
            first_seen: at(0),
            last_seen: at(0),
            is_duplicate: false,
            routes: vec![route(said)],
        }
    }

    fn route(said: Option<u64>) -> RouteSeen {
        RouteSeen {
            route: RouteKey(0),
            said: said.map(|seconds| Said {
                at: at(seconds),
                silence: HOUR,
                is_burst_told: false,
                is_stopped: false,
            }),
            is_claimed: false,
            events_since_said: 1,
            previous: None,
            is_new_release: false,
            in_events: 0,
            in_users: 0,
            in_burst: 0,
        }
    }

    fn other() -> Seen {
        Seen {
            issue: key("b"),
            ..seen(None)
        }
    }

    fn mute(until: Option<u64>) -> Mute {
        Mute {
            id: "1".to_owned(),
            scope: Scope::Issue(key("a")),
            since: at(0),
            until: until.map(at),
            by: "cli".to_owned(),
            comment: String::new(),
        }
    }

    fn key(hash: &str) -> IssueKey {
        IssueKey::new(1, IssueHash::of(hash))
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    const HOUR: Duration = Duration::from_secs(3_600);
}
