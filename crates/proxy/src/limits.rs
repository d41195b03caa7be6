//! Sentry's rate limits, as its answers tell them: what a replay holds back, and what our own answers pass on.
//!
//! Source: <https://develop.sentry.dev/sdk/expected-features/rate-limiting/>.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use event::{Categories, PublicKey};

/// What Sentry has said about each key, for all threads.
#[derive(Debug, Default)]
pub(crate) struct RateLimits {
    known: Mutex<HashMap<Option<PublicKey>, Vec<Limit>>>,
}

/// What one answer says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told<'a> {
    /// The value of `X-Sentry-Rate-Limits`.
    pub(crate) limits: Option<&'a str>,
    /// The value of `Retry-After`.
    pub(crate) retry_after: Option<&'a str>,
    /// Whether the status was 429.
    pub(crate) is_refusal: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Limit {
    until: Instant,
    categories: Categories,
    /// What stands behind the seconds, from the first colon; empty for a limit that only `Retry-After` told.
    rest: String,
}

impl Told<'_> {
    /// Returns whether it says anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.limits.is_none() && !self.is_refusal
    }
}

impl RateLimits {
    /// Notes what an answer to a request with this key says. A later word about the same categories replaces an earlier one.
    pub(crate) fn note(&self, key: Option<PublicKey>, told: Told<'_>, now: Instant) {
        let fresh = match told.limits {
            Some(text) => read(text, now),
            None if told.is_refusal => vec![Limit {
                until: now + told.retry_after.map_or(UNSAID, seconds),
                categories: Categories::ALL,
                rest: String::new(),
            }],
            None => return,
        };
        let mut known = self.lock();
        if known.len() >= MAX_KEYS && !known.contains_key(&key) {
            known.retain(|_, limits| limits.iter().any(|limit| limit.until > now));
        }
        if known.len() >= MAX_KEYS && !known.contains_key(&key) {
            return;
        }
        let limits = known.entry(key).or_default();
        limits.retain(|old| {
            let is_replaced = fresh.iter().any(|new| new.rest == old.rest);
            old.until > now && !is_replaced
        });
        limits.extend(fresh);
    }

    /// Returns what must not be sent with a key now.
    pub(crate) fn in_force(&self, key: Option<PublicKey>, now: Instant) -> Categories {
        let known = self.lock();
        let limits = known.get(&key).into_iter().flatten();
        limits
            .filter(|limit| limit.until > now)
            .fold(Categories::NONE, |all, limit| all | limit.categories)
    }

    /// Returns the value of `X-Sentry-Rate-Limits` for an answer of our own; `None` when no limit is in force.
    pub(crate) fn field(&self, key: Option<PublicKey>, now: Instant) -> Option<String> {
        let known = self.lock();
        let mut field = String::new();
        for limit in known.get(&key)? {
            let left = limit.until.saturating_duration_since(now);
            if left.is_zero() || limit.rest.is_empty() {
                continue;
            }
            if !field.is_empty() {
                field.push_str(", ");
            }
            let seconds = left.as_secs_f64().ceil() as u64;
            let _ = write!(field, "{seconds}{}", limit.rest);
        }
        (!field.is_empty()).then_some(field)
    }

    /// Returns when the next limit ends.
    pub(crate) fn next_end(&self, now: Instant) -> Option<Instant> {
        let known = self.lock();
        let ends = known.values().flatten().map(|limit| limit.until);
        ends.filter(|until| *until > now).min()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<PublicKey>, Vec<Limit>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads `60:error;transaction:key:quota, 2700::organization`; what cannot be read is left out.
fn read(text: &str, now: Instant) -> Vec<Limit> {
    let entries = text.split(',').take(MAX_LIMITS);
    entries
        .filter_map(|entry| {
            let entry = entry.trim();
            let (period, rest) = entry.split_at(entry.find(':').unwrap_or(entry.len()));
            let seconds = period.trim().parse::<f64>().ok()?;
            let period = Duration::try_from_secs_f64(seconds).ok()?.min(LONGEST);
            let names = rest.split(':').nth(1).unwrap_or_default();
            let names = names
                .split(';')
                .map(str::trim)
                .filter(|name| !name.is_empty());
            let named = names.fold(Categories::NONE, |all, name| all | Categories::named(name));
            Some(Limit {
                until: now + period,
                categories: if named.is_empty() {
                    Categories::ALL
                } else {
                    named
                },
                rest: if rest.is_empty() {
                    ":".to_owned()
                } else {
                    rest.to_owned()
                },
            })
        })
        .collect()
}

/// Reads a `Retry-After`: seconds, or a date.
fn seconds(text: &str) -> Duration {
    let text = text.trim();
    let until = |date: SystemTime| date.duration_since(SystemTime::now()).unwrap_or_default();
    let number = text
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let period = number.or_else(|| httpdate::parse_http_date(text).ok().map(until));
    period.unwrap_or(UNSAID).min(LONGEST)
}

/// What a 429 means that names no time, as in the SDKs' specification.
const UNSAID: Duration = Duration::from_secs(60);

/// No limit is believed for longer: spent quotas last until the end of the month at most, and are told again.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

const MAX_KEYS: usize = 10_000;
const MAX_LIMITS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Option<PublicKey> = None;

    fn told(limits: &str) -> Told<'_> {
        Told {
            limits: Some(limits),
            ..Told::default()
        }
    }

    fn limited(retry_after: Option<&str>) -> Told<'_> {
        Told {
            retry_after,
            is_refusal: true,
            ..Told::default()
        }
    }

    #[test]
    fn holds_back_the_named_categories_for_the_named_time() {
        let (limits, now) = (RateLimits::default(), Instant::now());
        limits.note(
            KEY,
            told("60:error;session:key, 2700:transaction:organization:quota"),
            now,
        );

        let at = |seconds| {
            limits
                .in_force(KEY, now + Duration::from_secs(seconds))
                .to_string()
        };
        assert_eq!(
            [at(0), at(59), at(60), at(2700)],
            [
                "error;transaction;session",
                "error;transaction;session",
                "transaction",
                ""
            ]
        );
        assert_eq!(limits.next_end(now), Some(now + Duration::from_secs(60)));
        let field = |seconds| limits.field(KEY, now + Duration::from_secs(seconds));
        assert_eq!(
            field(1).as_deref(),
            Some("59:error;session:key, 2699:transaction:organization:quota")
        );
        assert_eq!(
            field(60).as_deref(),
            Some("2640:transaction:organization:quota")
        );
        assert_eq!(field(2700), None);
    }

    #[test]
    fn a_limit_without_names_and_a_bare_429_hold_back_everything() {
        let now = Instant::now();
        let in_two_hours = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(7200));
        for (told, seconds) in [
            (told("10::key"), 10),
            (told("10"), 10),
            (limited(Some("10")), 10),
            (limited(Some("soon")), 60),
            (limited(None), 60),
            (limited(Some(&in_two_hours)), 7195),
        ] {
            let limits = RateLimits::default();
            limits.note(KEY, told, now);
            assert_eq!(
                limits.in_force(KEY, now + Duration::from_secs(seconds - 1)),
                Categories::ALL,
                "{told:?}"
            );
            assert_eq!(
                limits.in_force(KEY, now + Duration::from_secs(seconds + 10)),
                Categories::NONE,
                "{told:?}"
            );
        }
    }

    #[test]
    fn the_last_word_counts_and_nonsense_does_not() {
        let (limits, now) = (RateLimits::default(), Instant::now());
        limits.note(
            KEY,
            told("60:error:key, x:session:key, 1e99:span:key, ::, -1:monitor"),
            now,
        );
        limits.note(KEY, told("5:error:key"), now);
        limits.note(KEY, Told::default(), now);

        assert_eq!(limits.field(KEY, now).as_deref(), Some("5:error:key"));
        assert_eq!(
            limits.in_force(KEY, now + Duration::from_secs(5)),
            Categories::NONE
        );
    }
}
