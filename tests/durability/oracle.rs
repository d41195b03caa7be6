//! The oracle: knows what was sent and acknowledged, sees what arrives, and says whether every promise was kept.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::letter::{self, Letter};

/// Everything that was seen from outside.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    state: Mutex<State>,
    news: Notify,
}

/// A request as it arrived.
#[derive(Debug)]
pub(crate) struct Arrived<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) body: &'a [u8],
    /// Which start of the program sent it.
    pub(crate) run: usize,
}

/// How an attempt ended that brought a whole request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    /// A status was written that says that the request was taken.
    Taken,
    /// A status was written that says that it was not.
    Declined,
    /// No status was written: the connection was reset, or cut because Sentry went down.
    Reset,
    /// No status was written: the request hung until the connection was closed.
    Hung,
    /// The answer broke off within its head.
    Torn,
    /// The other side was gone before a status was written.
    Gone,
}

/// Where to note how an attempt ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slip {
    number: u64,
    index: usize,
}

/// What the oracle says in the end.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) sent: usize,
    pub(crate) acknowledged: usize,
    pub(crate) arrived: usize,
    pub(crate) lost: Vec<u64>,
    pub(crate) altered: Vec<String>,
    /// Requests that Sentry may have taken twice, by how the attempt before the last ended.
    pub(crate) twice: BTreeMap<&'static str, usize>,
    /// Those for which there is no excuse.
    pub(crate) unexcused: Vec<String>,
}

#[derive(Debug, Default)]
struct State {
    letters: HashMap<u64, Sent>,
    altered: Vec<String>,
    /// When each start of the program was killed.
    killed: Vec<Instant>,
    acknowledged: usize,
    owed: usize,
    arrived: usize,
}

#[derive(Debug)]
struct Sent {
    digest: [u8; 32],
    method: String,
    target: String,
    is_acknowledged: bool,
    has_arrived: bool,
    attempts: Vec<Attempt>,
}

#[derive(Debug, Clone, Copy)]
struct Attempt {
    run: usize,
    ending: Ending,
    at: Instant,
}

impl Oracle {
    /// Notes a request before its first byte is sent.
    pub(crate) fn sends(&self, number: u64, letter: &Letter) {
        let request = &letter.request;
        let sent = Sent {
            digest: Sha256::digest(&request.body).into(),
            method: request.method.clone(),
            target: request.target.clone(),
            is_acknowledged: false,
            has_arrived: false,
            attempts: Vec::new(),
        };
        self.lock().letters.insert(number, sent);
    }

    /// Notes a 2xx: from now on the request has to arrive.
    pub(crate) fn acknowledged(&self, number: u64) {
        let mut state = self.lock();
        let sent = state.letters.get_mut(&number).expect("sent before");
        sent.is_acknowledged = true;
        let is_owed = !sent.has_arrived;
        state.owed += usize::from(is_owed);
        state.acknowledged += 1;
        drop(state);
        self.news.notify_waiters();
    }

    /// Notes that a start of the program was killed.
    pub(crate) fn killed(&self) {
        self.lock().killed.push(Instant::now());
    }

    /// Notes a whole request, and compares it with what was sent; `Gone` until it is told otherwise.
    pub(crate) fn arrived(&self, request: &Arrived<'_>) -> Option<Slip> {
        let digest: [u8; 32] = Sha256::digest(request.body).into();
        let mut state = self.lock();
        state.arrived += 1;
        let Some((number, sent)) = letter::number(request.target)
            .and_then(|number| Some((number, state.letters.get_mut(&number)?)))
        else {
            let what = format!("{} {}: never sent", request.method, request.target);
            state.altered.push(what);
            return None;
        };
        if (sent.method.as_str(), sent.target.as_str()) != (request.method, request.target)
            || sent.digest != digest
        {
            let length = request.body.len();
            let what = format!("{} {} with {length} bytes", request.method, request.target);
            state.altered.push(what);
            return None;
        }
        sent.attempts.push(Attempt {
            run: request.run,
            ending: Ending::Gone,
            at: Instant::now(),
        });
        let index = sent.attempts.len() - 1;
        Some(Slip { number, index })
    }

    /// Notes how an attempt ended.
    pub(crate) fn ended(&self, slip: Slip, ending: Ending) {
        let mut state = self.lock();
        let sent = state.letters.get_mut(&slip.number).expect("sent before");
        let attempt = &mut sent.attempts[slip.index];
        (attempt.ending, attempt.at) = (ending, Instant::now());
        if ending == Ending::Taken && !sent.has_arrived {
            sent.has_arrived = true;
            let was_owed = sent.is_acknowledged;
            state.owed -= usize::from(was_owed);
            drop(state);
            self.news.notify_waiters();
        }
    }

    /// Waits until as many were acknowledged; false when none was for a while.
    pub(crate) async fn until_acknowledged(&self, count: usize) -> bool {
        self.until(|state| (state.acknowledged >= count, state.acknowledged))
            .await
    }

    /// Waits until everything acknowledged has been taken; false when nothing came for a while.
    pub(crate) async fn until_nothing_is_owed(&self) -> bool {
        self.until(|state| (state.owed == 0, state.owed)).await
    }

    /// Returns how many were acknowledged, and how many of these have not been taken so far.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (state.acknowledged, state.owed)
    }

    /// Judges. An answer that the program had no time to note before it was killed counts as unread.
    pub(crate) fn judge(&self) -> Verdict {
        let state = self.lock();
        let mut verdict = Verdict {
            sent: state.letters.len(),
            acknowledged: state.acknowledged,
            arrived: state.arrived,
            altered: state.altered.clone(),
            ..Verdict::default()
        };
        for (number, sent) in &state.letters {
            if sent.is_acknowledged && !sent.has_arrived {
                verdict.lost.push(*number);
            }
            let maybe_taken = sent.attempts.iter();
            let maybe_taken: Vec<&Attempt> = maybe_taken
                .filter(|attempt| attempt.ending != Ending::Declined)
                .collect();
            for pair in maybe_taken.windows(2) {
                match state.excuse(pair[0], pair[1]) {
                    Some(excuse) => *verdict.twice.entry(excuse).or_default() += 1,
                    None => verdict
                        .unexcused
                        .push(format!("{number}: {:?}", sent.attempts)),
                }
            }
        }
        verdict
    }

    async fn until(&self, look: impl Fn(&State) -> (bool, usize)) -> bool {
        let mut last = usize::MAX;
        loop {
            let mut news = std::pin::pin!(self.news.notified());
            news.as_mut().enable();
            let (is_so, progress) = look(&self.lock());
            if is_so {
                return true;
            }
            let waited = tokio::time::timeout(STILL, news).await;
            if waited.is_err() && progress == last {
                return false;
            }
            last = progress;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Says why a request may have been sent again after an attempt.
    fn excuse(&self, first: &Attempt, second: &Attempt) -> Option<&'static str> {
        match first.ending {
            Ending::Declined => Some("declined"),
            Ending::Reset => Some("reset"),
            Ending::Hung => Some("hung"),
            Ending::Torn => Some("torn"),
            Ending::Gone => Some("gone"),
            Ending::Taken => {
                let killed = self.killed.get(first.run)?;
                let had = killed.saturating_duration_since(first.at);
                (first.run < second.run && had < TO_NOTE).then_some("killed before it was noted")
            }
        }
    }
}

impl Verdict {
    /// Returns how many requests may have been taken twice.
    pub(crate) fn twice(&self) -> usize {
        self.twice.values().sum::<usize>() + self.unexcused.len()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} sent, {} acknowledged, {} arrived; {} lost, {} altered, {} taken twice {:?}",
            self.sent,
            self.acknowledged,
            self.arrived,
            self.lost.len(),
            self.altered.len(),
            self.twice(),
            self.twice,
        )
    }
}

/// How long to wait for news before giving up.
const STILL: Duration = Duration::from_secs(30);

/// How long the program may take to read an answer and note it; this machine may be busy.
const TO_NOTE: Duration = Duration::from_millis(500);
