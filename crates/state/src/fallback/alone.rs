//! One replica: whether the shared store is there, and what it is owed when it is not.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::time::Instant;

use super::budget::LONG_REUNION;
use super::{Clock, Shared};
use crate::memory::CLAIMED;
use crate::outbox::Owned;
use crate::redis::is_late;
use crate::{
    Claim, End, Issue, IssueKey, Memory, Mute, Parcel, RouteKey, Said, Seen, Settlement, Sighting,
    Store, Trouble, Unavailable, Word, outbox,
};

/// A replica and its two stores.
pub(super) struct Replica {
    pub(super) shared: Arc<dyn Shared>,
    pub(super) local: Memory,
    pub(super) clock: Clock,
    /// Tells this replica from others.
    pub(super) name: String,
    status: Mutex<Status>,
    /// Calls in a row that were late.
    late: AtomicU32,
}

/// What changes.
#[derive(Debug)]
pub(super) struct Status {
    /// Why and since when the shared store is away.
    pub(super) away: Option<Away>,
    /// The time away before this one.
    pub(super) before: Option<Away>,
    /// Replicas that shared the store when it was last there; `None` before the first time.
    pub(super) replicas: Option<usize>,
    /// Which of them this one is.
    pub(super) rank: usize,
    /// Since when the shared store remembers, as it says.
    pub(super) epoch: Option<String>,
    /// When it was last found again.
    pub(super) back: Option<Instant>,
    /// How often it went away again at once.
    pub(super) patience: u32,
    /// What the shared store has to be told, oldest first.
    pub(super) debts: VecDeque<Debt>,
    /// What was counted without the shared store.
    pub(super) counted: HashMap<IssueKey, Counts>,
    /// Messages this replica put into the shared store that are not known to be settled.
    pub(super) mine: BTreeMap<String, Owned>,
    pub(super) mine_bytes: usize,
    /// Mutes this replica set or took away.
    pub(super) mutes_set: u64,
    /// From which of them on to look next.
    pub(super) looked: Option<String>,
    /// When the shared store last granted a message of a bucket to this replica.
    pub(super) granted: HashMap<String, Instant>,
}

/// Events of one issue, and of it on each route.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub(super) events: u64,
    pub(super) routes: HashMap<RouteKey, u64>,
}

#[derive(Debug, Clone)]
pub(super) struct Away {
    pub(super) trouble: Trouble,
    pub(super) since: Instant,
    /// The same in the wall clock's time.
    pub(super) at: SystemTime,
    /// Whether what this replica had put there was put into memory.
    pub(super) is_taken_over: bool,
}

/// Something that was done without the shared store.
#[derive(Debug, Clone)]
pub(super) enum Debt {
    Settled {
        robot: String,
        id: String,
        end: End,
        now: SystemTime,
    },
    Close {
        bucket: String,
        until: SystemTime,
        now: SystemTime,
    },
    Mute(Mute),
    Unmute(String),
    Keep(String, Vec<u8>),
}

impl Replica {
    pub(super) fn new(shared: Arc<dyn Shared>, clock: Clock) -> Self {
        let away = Away {
            trouble: Trouble {
                what: format!("`{}` has not been reached yet", shared.backend()),
                since: std::time::Instant::now(),
            },
            since: Instant::now(),
            at: clock(),
            is_taken_over: true,
        };
        Self {
            name: name(),
            late: AtomicU32::new(0),
            shared,
            local: Memory::new(),
            status: Mutex::new(Status {
                away: Some(away),
                before: None,
                replicas: None,
                rank: 0,
                epoch: None,
                back: None,
                patience: 0,
                debts: VecDeque::new(),
                counted: HashMap::new(),
                mine: BTreeMap::new(),
                mine_bytes: 0,
                mutes_set: 0,
                looked: None,
                granted: HashMap::new(),
            }),
            clock,
        }
    }

    /// Returns the shared store unless it is away.
    pub(super) fn shared(&self) -> Option<&dyn Shared> {
        self.status().away.is_none().then_some(&*self.shared)
    }

    pub(super) fn trouble(&self) -> Option<Trouble> {
        let status = self.status();
        status.away.as_ref().map(|away| away.trouble.clone())
    }

    /// Notes how a call of the shared store went: goes on without it when it failed, or was late too often.
    pub(super) fn checked<T>(&self, answer: Result<T, Unavailable>) -> Result<T, Unavailable> {
        match &answer {
            Ok(_) => self.late.store(0, Ordering::Relaxed),
            Err(error) if is_late(error) => {
                if self.late.fetch_add(1, Ordering::Relaxed) + 1 >= LATE {
                    self.fall(error);
                }
            }
            Err(error) => self.fall(error),
        }
        answer
    }

    /// Goes on without the shared store.
    pub(super) fn fall(&self, error: &Unavailable) {
        let mut status = self.status();
        let cause = error.source.to_string();
        if let Some(away) = &mut status.away {
            away.trouble.what = trouble(error.backend, &cause);
            return;
        }
        // Within the reunion nobody was granted anything, so it is the same time alone that goes on.
        let before = status.before.take().filter(|_| {
            status
                .back
                .is_some_and(|back| back.elapsed() < LONG_REUNION)
        });
        status.patience = if before.is_some() {
            status.patience + 1
        } else {
            0
        };
        tracing::warn!(
            backend = error.backend,
            cause,
            "shared state is away; going on from memory with a share of the budgets"
        );
        let trouble = Trouble {
            what: trouble(error.backend, &cause),
            since: std::time::Instant::now(),
        };
        status.away = Some(match before {
            Some(before) => Away { trouble, ..before },
            None => Away {
                trouble,
                since: Instant::now(),
                at: (self.clock)(),
                is_taken_over: false,
            },
        });
    }

    /// Notes what the shared store answered about an issue, and tells it the words it does not know of.
    pub(super) async fn reconcile(
        &self,
        sighting: &Sighting<'_>,
        mut seen: Seen,
        now: SystemTime,
    ) -> Seen {
        for (route, said) in self.local.learn(sighting, &seen, now) {
            let on_route = seen.routes.iter_mut().find(|on| on.route == route);
            let Some(on_route) = on_route else { continue };
            let after = on_route.said.map(|said| said.at);
            if self.say_again(seen.issue, route, said, after).await {
                on_route.said = Some(said);
                on_route.events_since_said = 0;
            }
        }
        seen
    }

    /// Notes in the shared store that a word was said; false when that knows better.
    pub(super) async fn say_again(
        &self,
        issue: IssueKey,
        route: RouteKey,
        said: Said,
        after: Option<SystemTime>,
    ) -> bool {
        let word = Word {
            issue,
            route,
            after,
            silence: said.silence,
            is_burst_told: said.is_burst_told,
            is_stopped: said.is_stopped,
        };
        let claim = self.shared.claim(&said_already(word), said.at).await;
        self.checked(claim).is_ok_and(|claim| claim == Claim::Won)
    }

    /// Notes that a word is on its way in the shared store, this replica's or another one's.
    pub(super) fn claimed(&self, parcel: &Parcel<'_>, claim: Claim, now: SystemTime) {
        if claim == Claim::Won {
            self.put(parcel, now);
        }
        if let Some(word) = parcel.word.filter(|_| claim != Claim::Full) {
            let until = (!parcel.robots.is_empty()).then(|| now + CLAIMED);
            self.local.rest(&word.issue, word.route, until);
        }
    }

    /// Remembers what was counted without the shared store.
    pub(super) fn counted(&self, seen: &Seen) {
        let mut status = self.status();
        let is_known = status.counted.contains_key(&seen.issue);
        if seen.is_duplicate || (!is_known && status.counted.len() >= Issue::KEPT) {
            return;
        }
        let counted = status.counted.entry(seen.issue).or_default();
        counted.events += 1;
        for on in &seen.routes {
            *counted.routes.entry(on.route).or_default() += 1;
        }
    }

    /// Remembers a message that was put into the shared store, in case that forgets it.
    pub(super) fn put(&self, parcel: &Parcel<'_>, now: SystemTime) {
        // A message without a word may be told twice where nobody can say whether it was told.
        if parcel.robots.is_empty() || parcel.word.is_none() {
            return;
        }
        let mut status = self.status();
        let is_full = status.mine.len() >= outbox::PARCELS
            || status.mine_bytes + parcel.payload.len() > outbox::BYTES;
        if !is_full {
            status.mine_bytes += parcel.payload.len();
            let owned = Owned::of(parcel, now);
            status.mine.insert(owned.id.clone(), owned);
        }
    }

    /// Forgets messages that a robot is done with, and lets memory know what it told.
    pub(super) async fn settled(
        &self,
        robot: &str,
        settlements: &[Settlement<'_>],
        now: SystemTime,
    ) {
        let mut told = Vec::new();
        {
            let mut status = self.status();
            for settlement in settlements {
                let Some(owned) = status.mine.get_mut(settlement.id) else {
                    continue;
                };
                let is_told = matches!(settlement.end, End::Told { .. });
                if is_told && !std::mem::replace(&mut owned.is_told, true) {
                    told.extend(owned.word);
                }
                owned.robots.retain(|waiting| waiting != robot);
                if owned.robots.is_empty() {
                    status.forget(settlement.id);
                }
            }
        }
        for word in told {
            let after = self.local.said(&word.issue, word.route);
            let parcel = said_already(Word {
                after: after.map(|said| said.at),
                ..word
            });
            self.local.rest(&word.issue, word.route, None);
            // Memory is never away; where it has the word itself, it is told by settling.
            let _ = self.local.claim(&parcel, now).await;
        }
    }

    /// Notes what to tell the shared store once it is back; beyond a bound the oldest is forgotten.
    pub(super) fn owe(&self, debt: Debt) {
        let mut status = self.status();
        if status.debts.len() >= DEBTS {
            status.debts.pop_front();
        }
        status.debts.push_back(debt);
    }

    pub(super) fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Status {
    pub(super) fn forget(&mut self, id: &str) {
        if let Some(owned) = self.mine.remove(id) {
            self.mine_bytes -= owned.payload.len();
        }
    }
}

impl Debt {
    pub(super) fn settled(robot: &str, settlement: &Settlement<'_>, now: SystemTime) -> Self {
        Self::Settled {
            robot: robot.to_owned(),
            id: settlement.id.to_owned(),
            end: settlement.end,
            now,
        }
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Replica");
        debug.field("name", &self.name).finish_non_exhaustive()
    }
}

/// A word that needs no robot any more.
fn said_already(word: Word) -> Parcel<'static> {
    Parcel {
        id: "",
        word: Some(word),
        robots: &[],
        priority: 0,
        gather_until: None,
        late_after: word.silence,
        payload: &[],
    }
}

fn trouble(backend: &str, cause: &str) -> String {
    format!("`{backend}` is away: {cause}")
}

/// Returns a name that no other replica has: process, start and number.
fn name() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let started = started.map_or(0, |since| since.as_nanos());
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{:x}-{started:x}-{number}", std::process::id())
}

/// Calls in a row that may be late: a pause of Redis, or of this process.
const LATE: u32 = 3;

/// Things that are remembered for the shared store.
const DEBTS: usize = 20_000;
