//! Who may look: whoever brings the token, or a cookie that was given for it.
//!
//! A program says `Authorization: Bearer TOKEN`. A person gives the token once, on the page `/login`, and gets a cookie with
//! a random number instead, so that the token is in no address, no history and no log.

use std::collections::VecDeque;
use std::fmt;
use std::io::Read;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE};
use subtle::{Choice, ConstantTimeEq};
use tokio::time::Instant;

/// A shared secret. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Who is signed in: at most [`MOST`], each for [`LIFE`]; none after a restart.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<VecDeque<Session>>);

struct Session {
    id: String,
    since: Instant,
}

impl Token {
    /// Returns the token of this text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the text, for whoever has to bring it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Compares in a time that does not tell how much was right.
    pub(crate) fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

impl Sessions {
    /// Signs somebody in, and returns the value of the cookie; `None` where the system has no random numbers.
    pub(crate) fn open(&self, now: Instant) -> Option<String> {
        let mut bytes = [0; 32];
        let mut source = std::fs::File::open("/dev/urandom").ok()?;
        source.read_exact(&mut bytes).ok()?;
        let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut sessions = self.lock(now);
        if sessions.len() >= MOST {
            sessions.pop_front();
        }
        sessions.push_back(Session {
            id: id.clone(),
            since: now,
        });
        Some(id)
    }

    /// Returns whether the cookie is of somebody who is signed in, in a time that does not tell how much of it was right.
    pub(crate) fn knows(&self, headers: &HeaderMap, now: Instant) -> bool {
        let Some(given) = cookie(headers) else {
            return false;
        };
        let sessions = self.lock(now);
        let each = sessions.iter().map(|session| session.is(given));
        each.fold(Choice::from(0), |any, this| any | this).into()
    }

    /// Signs out.
    pub(crate) fn close(&self, headers: &HeaderMap, now: Instant) {
        if let Some(given) = cookie(headers) {
            self.lock(now)
                .retain(|session| !bool::from(session.is(given)));
        }
    }

    /// Returns those whose time has not run out.
    fn lock(&self, now: Instant) -> MutexGuard<'_, VecDeque<Session>> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|session| now.duration_since(session.since) < LIFE);
        sessions
    }
}

impl Session {
    fn is(&self, given: &str) -> Choice {
        self.id.as_bytes().ct_eq(given.as_bytes())
    }
}

/// Returns the token that a program brings.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(COOKIE).iter();
    let mut pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(NAME)?.strip_prefix('='))
}

/// The cookie's name.
pub(crate) const NAME: &str = "sentry_notice";

/// How long somebody stays signed in.
pub(crate) const LIFE: Duration = Duration::from_secs(12 * 60 * 60);

/// Sessions at a time; then the oldest one ends.
const MOST: usize = 100;

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_token_is_not_shown() {
        let token = Token::new("right".to_owned());

        assert_eq!(format!("{token:?}"), "[redacted]");
        assert!(token.is("right"));
        for wrong in ["", "righ", "right ", "wrong"] {
            assert!(!token.is(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_session_ends_after_its_time_or_at_sign_out() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let first = with_cookie(&sessions.open(start).unwrap());
        let second = with_cookie(&sessions.open(start + LIFE / 2).unwrap());

        assert!(sessions.knows(&first, start) && sessions.knows(&second, start));
        assert!(!sessions.knows(&with_cookie("0123"), start));
        assert!(!sessions.knows(&with_cookie(""), start));
        assert!(!sessions.knows(&HeaderMap::new(), start));
        assert!(!sessions.knows(&first, start + LIFE));
        assert!(sessions.knows(&second, start + LIFE));
        sessions.close(&second, start + LIFE);
        assert!(!sessions.knows(&second, start + LIFE));
    }

    #[test]
    fn there_are_only_so_many_sessions() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let first = with_cookie(&sessions.open(start).unwrap());

        let last = (0..MOST).map(|_| sessions.open(start).unwrap()).last();

        assert!(!sessions.knows(&first, start));
        assert!(sessions.knows(&with_cookie(&last.unwrap()), start));
    }

    fn with_cookie(id: &str) -> HeaderMap {
        let line = format!("theme=dark; {NAME}={id}; other=1");
        HeaderMap::from_iter([(COOKIE, HeaderValue::try_from(line).unwrap())])
    }
}
