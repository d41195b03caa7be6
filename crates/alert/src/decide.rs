//! The rule: given what is known of an issue on a route, is something to be said now, and why or why not.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use state::{RouteSeen, Said};

use crate::rule::{Rule, Threshold};

/// Decides whether to say something about an issue whose event was just observed.
///
/// Pure and total: everything it depends on is an argument.
pub fn decide(rule: &Rule, known: &Known<'_>, now: SystemTime) -> Decision {
    if known.is_duplicate {
        return Decision::Hold(Hold::DuplicateEvent);
    }
    if let Some(by) = known.muted_by {
        let by = by.to_owned();
        return Decision::Hold(Hold::Muted { by });
    }
    let speech = match known.route.said {
        None => first_word(rule, known.route),
        Some(said) => another_word(rule, known.route, &said, now),
    };
    in_active_hours(rule, speech, now)
}

/// Decides what to say about an issue that has been quiet for [`Rule::quiet_after`]; asked at any time, by nobody's event.
pub fn decide_quiet(rule: &Rule, said: &Said, muted_by: Option<&str>, now: SystemTime) -> Decision {
    if let Some(by) = muted_by {
        let by = by.to_owned();
        return Decision::Hold(Hold::Muted { by });
    }
    let speech = Speech {
        reason: Reason::Stopped,
        silence: said.silence,
        is_burst_told: false,
        is_stopped: true,
    };
    in_active_hours(rule, Ok(speech), now)
}

/// Decides what to say about an issue whose mute has ended, and that went on meanwhile.
pub fn decide_unmuted(rule: &Rule, said: Option<&Said>, now: SystemTime) -> Decision {
    if said.is_none() && !rule.threshold.is_trivial() {
        // Whether it reaches the threshold is seen at its next event.
        return Decision::Hold(Hold::BelowThreshold {
            have: 0,
            need: rule.threshold.window.count,
        });
    }
    let speech = Speech {
        reason: Reason::MuteEnded,
        silence: said.map_or(rule.repeat, |said| said.silence),
        is_burst_told: false,
        is_stopped: false,
    };
    in_active_hours(rule, Ok(speech), now)
}

/// What is known when an event has been observed.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// What is known of its issue on the route.
    pub route: &'a RouteSeen,
    /// Whether its id had been counted before.
    pub is_duplicate: bool,
    /// Who muted it, if anyone did.
    pub muted_by: Option<&'a str>,
}

/// What [`decide`] decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Say it.
    Say(Speech),
    /// Say nothing, or nothing yet.
    Hold(Hold),
}

/// What to say, and what follows from saying it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speech {
    /// Why.
    pub reason: Reason,
    /// How long to be silent afterwards.
    pub silence: Duration,
    /// Whether the silence must not be broken by a burst any more.
    pub is_burst_told: bool,
    /// Whether it says that the issue has stopped.
    pub is_stopped: bool,
}

/// Why something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nothing was ever said about the issue.
    FirstSeen,
    /// Nothing was ever said about the issue, and now enough has happened.
    Threshold,
    /// Much is happening at once.
    Burst,
    /// It went on after the silence that followed the last word.
    StillHappening,
    /// It is back after having been quiet for long, or after having been said to have stopped.
    Regression,
    /// It is known, and happens in a release in which it was not seen before.
    NewRelease,
    /// It went on while it was muted, and the mute has ended.
    MuteEnded,
    /// It has been quiet for a while.
    Stopped,
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
    /// Too little has happened for a first word.
    BelowThreshold {
        /// How many events or users there were within the window.
        have: u16,
        /// How many there must be.
        need: u16,
    },
    /// The last word is too fresh.
    RepeatWindow {
        /// How much of the silence is left.
        left: Duration,
    },
    /// The route does not speak at this hour: it is gathered for a digest.
    OutsideActiveHours {
        /// When the route speaks again.
        until: SystemTime,
        /// What is to be said then.
        speech: Speech,
    },
}

impl Reason {
    /// Every reason, for metrics and tables.
    pub const ALL: [Self; 8] = [
        Self::FirstSeen,
        Self::Threshold,
        Self::Burst,
        Self::StillHappening,
        Self::Regression,
        Self::NewRelease,
        Self::MuteEnded,
        Self::Stopped,
    ];

    /// Returns its name in metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FirstSeen => "first_seen",
            Self::Threshold => "threshold",
            Self::Burst => "burst",
            Self::StillHappening => "still_happening",
            Self::Regression => "regression",
            Self::NewRelease => "new_release",
            Self::MuteEnded => "mute_ended",
            Self::Stopped => "stopped",
        }
    }

    /// Returns how soon it is wanted among others of its level: smaller is sooner.
    pub fn urgency(self) -> u8 {
        match self {
            Self::FirstSeen | Self::Threshold => 0,
            Self::Burst | Self::Regression => 1,
            Self::NewRelease => 2,
            Self::StillHappening | Self::MuteEnded => 3,
            Self::Stopped => 4,
        }
    }
}

fn first_word(rule: &Rule, route: &RouteSeen) -> Result<Speech, Hold> {
    let Threshold { window, of } = rule.threshold;
    let say = |reason| Speech {
        reason,
        silence: rule.repeat,
        is_burst_told: is_burst(rule, route),
        is_stopped: false,
    };
    if rule.threshold.is_trivial() {
        return Ok(say(Reason::FirstSeen));
    }
    let have = match of {
        crate::rule::Counted::Events => route.in_events,
        crate::rule::Counted::Users => route.in_users,
    };
    if have >= window.count {
        return Ok(say(Reason::Threshold));
    }
    let need = window.count;
    Err(Hold::BelowThreshold { have, need })
}

fn another_word(
    rule: &Rule,
    route: &RouteSeen,
    said: &Said,
    now: SystemTime,
) -> Result<Speech, Hold> {
    let is_burst = is_burst(rule, route);
    let say = |reason, silence, is_burst_told| {
        Ok(Speech {
            reason,
            silence,
            is_burst_told,
            is_stopped: false,
        })
    };
    // Whatever the clock did: an event cannot be long after one that lies in its future.
    let gap = route
        .previous
        .and_then(|previous| now.duration_since(previous).ok())
        .unwrap_or_default();
    if gap >= rule.regression_after {
        return say(Reason::Regression, rule.repeat, is_burst);
    }
    if said.is_stopped {
        return say(Reason::Regression, said.silence, is_burst);
    }
    // A clock set back since then must not silence an issue for longer than the rule says.
    let quiet = now.duration_since(said.at).unwrap_or(said.silence);
    if quiet >= said.silence {
        let silence = rule.next_silence(said.silence);
        return say(Reason::StillHappening, silence, is_burst);
    }
    if is_burst && !said.is_burst_told {
        return say(Reason::Burst, said.silence, true);
    }
    // Programs that name a release by host would otherwise break the silence once for each of them.
    let may_break = !said.is_burst_told || quiet >= rule.repeat;
    if rule.new_release && route.is_new_release && may_break {
        return say(Reason::NewRelease, said.silence, true);
    }
    Err(Hold::RepeatWindow {
        left: said.silence.saturating_sub(quiet),
    })
}

fn is_burst(rule: &Rule, route: &RouteSeen) -> bool {
    rule.burst
        .is_some_and(|burst| route.in_burst >= burst.count)
}

fn in_active_hours(rule: &Rule, speech: Result<Speech, Hold>, now: SystemTime) -> Decision {
    match speech {
        Err(hold) => Decision::Hold(hold),
        Ok(speech) => match rule.active.opens_at(now) {
            None => Decision::Say(speech),
            Some(until) => Decision::Hold(Hold::OutsideActiveHours { until, speech }),
        },
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use state::{RouteKey, Window};

    use super::*;
    use crate::active::Active;
    use crate::rule::Counted;

    #[test]
    fn says_a_first_word_at_once_or_at_the_threshold() {
        let events = threshold(3, Counted::Events);
        let users = threshold(2, Counted::Users);
        let cases: [(&str, &Rule, RouteSeen, Result<Reason, Hold>); 6] = [
            ("first event", &rule(), unsaid(), Ok(Reason::FirstSeen)),
            (
                "too few events",
                &events,
                RouteSeen {
                    in_events: 2,
                    ..unsaid()
                },
                below(2, 3),
            ),
            (
                "enough events",
                &events,
                RouteSeen {
                    in_events: 3,
                    ..unsaid()
                },
                Ok(Reason::Threshold),
            ),
            (
                "users do not count as events",
                &users,
                RouteSeen {
                    in_events: 9,
                    in_users: 1,
                    ..unsaid()
                },
                below(1, 2),
            ),
            (
                "enough users",
                &users,
                RouteSeen {
                    in_users: 2,
                    ..unsaid()
                },
                Ok(Reason::Threshold),
            ),
            (
                "one user is still to be seen",
                &threshold(1, Counted::Users),
                unsaid(),
                below(0, 1),
            ),
        ];

        for (name, rule, route, expected) in cases {
            assert_eq!(outcome(rule, &route, 0), expected, "{name}");
        }
    }

    #[test]
    fn says_another_word_for_a_reason_and_else_holds() {
        let told = said(1_000, HOUR);
        let grown = said(1_000, 4 * HOUR);
        let broken = Said {
            is_burst_told: true,
            ..told
        };
        let grown_broken = Said {
            is_burst_told: true,
            ..grown
        };
        let stopped = Said {
            is_stopped: true,
            ..grown
        };
        let burst = RouteSeen {
            in_burst: 100,
            ..unsaid()
        };
        let new = RouteSeen {
            is_new_release: true,
            ..unsaid()
        };
        let both = RouteSeen {
            in_burst: 100,
            is_new_release: true,
            ..unsaid()
        };
        let back = RouteSeen {
            previous: Some(at(1_000)),
            ..unsaid()
        };
        let cases: [(&str, RouteSeen, Said, u64, Expected); 22] = [
            ("at once", unsaid(), told, 1_000, Err(3_600)),
            ("just before the end", unsaid(), told, 4_599, Err(1)),
            (
                "at the end",
                unsaid(),
                told,
                4_600,
                Ok((Reason::StillHappening, 7_200, false)),
            ),
            (
                "long after",
                unsaid(),
                told,
                9_999,
                Ok((Reason::StillHappening, 7_200, false)),
            ),
            (
                "at the end of a grown silence",
                unsaid(),
                grown,
                15_400,
                Ok((Reason::StillHappening, 28_800, false)),
            ),
            (
                "the clock was set back",
                unsaid(),
                told,
                500,
                Ok((Reason::StillHappening, 7_200, false)),
            ),
            (
                "burst",
                burst,
                told,
                1_010,
                Ok((Reason::Burst, 3_600, true)),
            ),
            (
                "burst in a grown silence",
                burst,
                grown,
                9_000,
                Ok((Reason::Burst, 14_400, true)),
            ),
            ("burst again", burst, broken, 1_010, Err(3_590)),
            (
                "burst goes on when the silence ends",
                burst,
                broken,
                4_600,
                Ok((Reason::StillHappening, 7_200, true)),
            ),
            (
                "burst is over when the silence ends",
                unsaid(),
                broken,
                4_600,
                Ok((Reason::StillHappening, 7_200, false)),
            ),
            (
                "new release",
                new,
                told,
                1_010,
                Ok((Reason::NewRelease, 3_600, true)),
            ),
            ("another new release soon", new, broken, 1_010, Err(3_590)),
            (
                "another new release later",
                new,
                grown_broken,
                4_600,
                Ok((Reason::NewRelease, 14_400, true)),
            ),
            (
                "new release when the silence ends",
                new,
                told,
                4_600,
                Ok((Reason::StillHappening, 7_200, false)),
            ),
            (
                "burst and new release",
                both,
                told,
                1_010,
                Ok((Reason::Burst, 3_600, true)),
            ),
            (
                "quiet for six days",
                back,
                told,
                1_000 + 6 * DAY,
                Ok((Reason::StillHappening, 7_200, false)),
            ),
            (
                "quiet for seven days",
                back,
                told,
                1_000 + 7 * DAY,
                Ok((Reason::Regression, 3_600, false)),
            ),
            (
                "quiet for long within a silence",
                back,
                said(1_000 + 7 * DAY, HOUR),
                1_000 + 7 * DAY,
                Ok((Reason::Regression, 3_600, false)),
            ),
            (
                "back after it stopped",
                back,
                stopped,
                2_000,
                Ok((Reason::Regression, 14_400, false)),
            ),
            (
                "back long after it stopped",
                back,
                stopped,
                1_000 + 8 * DAY,
                Ok((Reason::Regression, 3_600, false)),
            ),
            (
                "an event from the future",
                RouteSeen {
                    previous: Some(at(99 * DAY)),
                    ..unsaid()
                },
                told,
                1_010,
                Err(3_590),
            ),
        ];

        for (name, route, said, now, expected) in cases {
            let route = RouteSeen {
                said: Some(said),
                ..route
            };

            let decision = decide(&rule(), &known(&route), at(now));

            let expected = match expected {
                Ok((reason, silence, is_burst_told)) => Decision::Say(Speech {
                    reason,
                    silence: Duration::from_secs(silence),
                    is_burst_told,
                    is_stopped: false,
                }),
                Err(left) => Decision::Hold(Hold::RepeatWindow {
                    left: Duration::from_secs(left),
                }),
            };
            assert_eq!(decision, expected, "{name}");
        }
    }

    #[test]
    fn a_duplicate_or_muted_event_is_held_whatever_else() {
        let route = unsaid();
        let duplicate = Known {
            is_duplicate: true,
            muted_by: Some("page"),
            ..known(&route)
        };
        let muted = Known {
            muted_by: Some("page"),
            ..known(&route)
        };
        let by = "page".to_owned();

        assert_eq!(
            decide(&rule(), &duplicate, at(0)),
            Decision::Hold(Hold::DuplicateEvent)
        );
        assert_eq!(
            decide(&rule(), &muted, at(0)),
            Decision::Hold(Hold::Muted { by: by.clone() })
        );
        assert_eq!(
            decide_quiet(&rule(), &said(0, HOUR), Some("page"), at(0)),
            Decision::Hold(Hold::Muted { by })
        );
    }

    #[test]
    fn outside_its_hours_a_route_gathers_what_it_would_say() {
        // 1970-01-01 was a Thursday.
        let spans = vec!["Thu 08:00-20:00".parse().unwrap()];
        let zone = TimeZone::UTC;
        let rule = Rule {
            active: Active { spans, zone },
            ..rule()
        };
        let route = unsaid();
        let told = RouteSeen {
            said: Some(said(0, HOUR)),
            ..route
        };

        let early = decide(&rule, &known(&route), at(7 * HOUR));
        let open = decide(&rule, &known(&route), at(8 * HOUR));
        let held = decide(&rule, &known(&told), at(60));
        let stopped = decide_quiet(&rule, &said(0, HOUR), None, at(7 * HOUR));

        let Decision::Hold(Hold::OutsideActiveHours { until, speech }) = early else {
            panic!("{early:?}");
        };
        assert_eq!((until, speech.reason), (at(8 * HOUR), Reason::FirstSeen));
        assert!(matches!(
            open,
            Decision::Say(Speech {
                reason: Reason::FirstSeen,
                ..
            })
        ));
        assert!(matches!(held, Decision::Hold(Hold::RepeatWindow { .. })));
        let Decision::Hold(Hold::OutsideActiveHours { speech, .. }) = stopped else {
            panic!("{stopped:?}");
        };
        assert_eq!((speech.reason, speech.is_stopped), (Reason::Stopped, true));
    }

    #[test]
    fn every_reason_has_a_name_of_its_own_and_serde_agrees() {
        let names: std::collections::HashSet<&str> =
            Reason::ALL.into_iter().map(Reason::as_str).collect();

        assert_eq!(names.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }

    #[test]
    fn the_rules_that_are_off_break_no_silence() {
        let rule = Rule {
            burst: None,
            new_release: false,
            ..rule()
        };
        let route = RouteSeen {
            in_burst: 500,
            is_new_release: true,
            said: Some(said(0, HOUR)),
            ..unsaid()
        };

        assert!(matches!(
            decide(&rule, &known(&route), at(60)),
            Decision::Hold(Hold::RepeatWindow { .. })
        ));
    }

    /// The reason, the silence after it and whether a burst is told; or what is left of the silence.
    type Expected = Result<(Reason, u64, bool), u64>;

    fn outcome(rule: &Rule, route: &RouteSeen, now: u64) -> Result<Reason, Hold> {
        match decide(rule, &known(route), at(now)) {
            Decision::Say(speech) => Ok(speech.reason),
            Decision::Hold(hold) => Err(hold),
        }
    }

    fn below(have: u16, need: u16) -> Result<Reason, Hold> {
        Err(Hold::BelowThreshold { have, need })
    }

    fn threshold(count: u16, of: Counted) -> Rule {
        let within = Duration::from_secs(60);
        let window = Window { count, within };
        Rule {
            threshold: Threshold { window, of },
            ..rule()
        }
    }

    fn rule() -> Rule {
        Rule::default()
    }

    fn known(route: &RouteSeen) -> Known<'_> {
        Known {
            route,
            is_duplicate: false,
            muted_by: None,
        }
    }

    fn unsaid() -> RouteSeen {
        RouteSeen {
            route: RouteKey(0),
            said: None,
            is_claimed: false,
            events_since_said: 1,
            previous: None,
            is_new_release: false,
            in_events: 1,
            in_users: 0,
            in_burst: 1,
        }
    }

    fn said(at_second: u64, silence: u64) -> Said {
        Said {
            at: at(at_second),
            silence: Duration::from_secs(silence),
            is_burst_told: false,
            is_stopped: false,
        }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    const HOUR: u64 = 3_600;
    const DAY: u64 = 24 * HOUR;
}
