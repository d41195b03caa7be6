//! The heartbeat: finds out that the shared store is back, or that it forgot, and makes it whole again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

use super::alone::{Counts, Debt, Replica};
use crate::memory::CLAIMED;
use crate::outbox::Owned;
use crate::redis::{Beat, Counted};
use crate::{End, Issue, IssueKey, Said, Settlement, Sighting, Store, Unavailable, Watch, Word};

/// Beats until it is dropped.
pub(super) async fn beat_on(replica: Arc<Replica>) {
    loop {
        sleep(replica.pause()).await;
        replica.beat().await;
    }
}

impl Replica {
    /// Beats once, and does what follows from the answer.
    pub(super) async fn beat(&self) {
        let now = (self.clock)();
        let beaten = match self.shared.beat(&self.name, now).await {
            Ok(beat) => self.go_on(beat).await,
            Err(error) => Err(error),
        };
        if self.checked(beaten).is_err() {
            self.take_over().await;
        }
    }

    /// How long until the next beat: soon while the shared store is away, later when it keeps going away.
    fn pause(&self) -> Duration {
        let status = self.status();
        let Some(away) = &status.away else {
            return BEAT;
        };
        let soon = if away.since.elapsed() < BEAT * 5 {
            SOON
        } else {
            LATER
        };
        soon.max(SOON * 2_u32.saturating_pow(status.patience))
            .min(LONGEST)
    }

    async fn go_on(&self, beat: Beat) -> Result<(), Unavailable> {
        let (away, has_forgotten) = {
            let mut status = self.status();
            // Just after a reunion the others may not have come back yet.
            let is_settled =
                status.away.is_none() && status.back.is_none_or(|back| back.elapsed() > SETTLED);
            let least = if is_settled {
                1
            } else {
                status.replicas.unwrap_or(1)
            };
            status.replicas = Some(beat.replicas.max(least));
            status.rank = beat.rank;
            let before = status.epoch.replace(beat.epoch.clone());
            let has_forgotten = before.is_some_and(|before| before != beat.epoch);
            (status.away.clone(), has_forgotten)
        };
        if has_forgotten {
            tracing::warn!("shared state was emptied; telling it what this replica knows");
            self.remind().await?;
        }
        self.pay().await?;
        if let Some(away) = away {
            // A restart may have gone back to an older copy without saying so.
            self.put_mine_again().await?;
            self.tell_what_was_said(away.at).await?;
            self.tell_what_was_counted(away.at).await?;
            self.tell_what_was_sent().await?;
            let mut status = self.status();
            let was_there_before = status.back.is_some();
            // At the first start there is no reunion: nothing was sent without the others.
            if was_there_before || away.since.elapsed() > SOON * 4 {
                status.back = Some(tokio::time::Instant::now());
            }
            status.before = status.away.take();
            tracing::info!(backend = self.shared.backend(), "shared state is there");
        }
        self.hand_over().await?;
        self.follow_mutes().await?;
        self.look_after_mine().await
    }

    /// Tells a shared store that was emptied what must not be lost: mutes, kept values, messages that wait.
    async fn remind(&self) -> Result<(), Unavailable> {
        let now = (self.clock)();
        for mute in self.local.mutes(now).await? {
            self.shared.mute(&mute).await?;
        }
        for (name, value) in self.local.kept() {
            self.shared.keep(&name, &value).await?;
        }
        self.put_mine_again().await
    }

    async fn put_mine_again(&self) -> Result<(), Unavailable> {
        let mine: Vec<Owned> = self.status().mine.values().cloned().collect();
        for owned in mine {
            self.put_again(&owned).await?;
        }
        Ok(())
    }

    /// Tells what was done without the shared store.
    async fn pay(&self) -> Result<(), Unavailable> {
        loop {
            let Some(debt) = self.status().debts.front().cloned() else {
                return Ok(());
            };
            match debt {
                Debt::Settled {
                    robot,
                    id,
                    end,
                    now,
                } => {
                    let settlement = Settlement { id: &id, end };
                    self.shared.settle(&robot, &[settlement], 0, now).await?;
                }
                Debt::Close { bucket, until, now } => {
                    self.shared.close(&bucket, until, now).await?;
                }
                Debt::Mute(mute) => self.shared.mute(&mute).await?,
                Debt::Unmute(id) => drop(self.shared.unmute(&id).await?),
                Debt::Keep(name, value) => drop(self.shared.keep(&name, &value).await?),
            }
            self.status().debts.pop_front();
        }
    }

    /// Notes in the shared store every word this replica said without it.
    async fn tell_what_was_said(&self, since: SystemTime) -> Result<(), Unavailable> {
        for (issue, route, said) in self.local.said_since(since) {
            let there = self.shared.issue(&issue.key).await?;
            if there.is_none() {
                self.introduce(&issue).await?;
            }
            let there = there.and_then(|there| said_on(&there, route));
            if there.is_none_or(|there| there.at < said.at) {
                self.say_again(issue.key, route, said, there.map(|there| there.at))
                    .await;
            }
        }
        Ok(())
    }

    /// Adds what this replica counted without the shared store.
    async fn tell_what_was_counted(&self, since: SystemTime) -> Result<(), Unavailable> {
        loop {
            let next = self.status().counted.keys().next().copied();
            let Some(key) = next else { return Ok(()) };
            if let Some(here) = self.local.issue(&key).await? {
                if self.shared.issue(&key).await?.is_none() {
                    self.introduce(&here).await?;
                }
                let counts = self.status().counted.get(&key).cloned();
                let counted = counted(&here, &counts.unwrap_or_default(), since);
                self.shared.add(&counted).await?;
            }
            self.status().counted.remove(&key);
        }
    }

    /// Counts in the shared budgets what this replica sent in the last minute.
    async fn tell_what_was_sent(&self) -> Result<(), Unavailable> {
        let now = (self.clock)();
        let since = now.checked_sub(Duration::from_secs(60)).unwrap_or(now);
        for (bucket, at) in self.local.taken_since(since) {
            self.shared.take(&bucket, u32::MAX, at).await?;
        }
        Ok(())
    }

    /// Puts what waits in memory into the shared store's queues.
    async fn hand_over(&self) -> Result<(), Unavailable> {
        for owned in self.local.parcels() {
            self.put_again(&owned).await?;
            let now = (self.clock)();
            let rest = Duration::ZERO;
            let settlement = Settlement {
                id: &owned.id,
                end: End::GivenUp { rest },
            };
            for robot in &owned.robots {
                self.local.settle(robot, &[settlement], 0, now).await?;
            }
            if let Some(word) = &owned.word {
                let until = Some(now + CLAIMED);
                self.local.rest(&word.issue, word.route, until);
            }
        }
        Ok(())
    }

    /// Puts a message into the shared store, unless its word was said since.
    async fn put_again(&self, owned: &Owned) -> Result<(), Unavailable> {
        let mut after = None;
        if let Some(word) = owned.word.as_ref().filter(|_| !owned.is_told) {
            after = self.said_before(word).await?.map(|said| said.at);
            let here = self.local.said(&word.issue, word.route);
            let is_said = |said: Option<SystemTime>| said.is_some_and(|at| at >= owned.put);
            if is_said(after) || is_said(here.map(|said| said.at)) {
                self.status().forget(&owned.id);
                return Ok(());
            }
        }
        let parcel = owned.parcel(after);
        let claim = self.shared.claim(&parcel, owned.put).await?;
        self.claimed(&parcel, claim, (self.clock)());
        Ok(())
    }

    /// Returns the last word the shared store knows of; an issue that it does not know is introduced.
    async fn said_before(&self, word: &Word) -> Result<Option<Said>, Unavailable> {
        let there = self.shared.issue(&word.issue).await?;
        if there.is_none()
            && let Some(here) = self.local.issue(&word.issue).await?
        {
            self.introduce(&here).await?;
        }
        Ok(there.and_then(|there| said_on(&there, word.route)))
    }

    /// Makes an issue known to the shared store, as if its last event had come now.
    async fn introduce(&self, issue: &Issue) -> Result<(), Unavailable> {
        let watches = issue.routes.iter().map(|on| Watch {
            route: on.route,
            events: None,
            users: None,
            burst: None,
        });
        let watches: Vec<Watch> = watches.collect();
        let IssueKey { project, hash } = issue.key;
        let sighting = Sighting {
            project,
            hashes: &[hash],
            event_id: issue.last_event,
            user: None,
            release: None,
            environment: Some(&issue.environment),
            title: &issue.title,
            level: issue.level,
            routes: &watches,
        };
        self.shared.observe(&sighting, issue.last_seen).await?;
        // That was one of the events that are to be added.
        if let Some(counts) = self.status().counted.get_mut(&issue.key) {
            counts.events = counts.events.saturating_sub(1);
            for events in counts.routes.values_mut() {
                *events = events.saturating_sub(1);
            }
        }
        Ok(())
    }

    /// Takes over the mutes that others set.
    async fn follow_mutes(&self) -> Result<(), Unavailable> {
        let now = (self.clock)();
        let set = self.status().mutes_set;
        let there = self.shared.mutes(now).await?;
        // What was set here meanwhile may be missing there.
        if self.status().mutes_set == set {
            self.local.replace_mutes(there);
        }
        Ok(())
    }

    /// Forgets messages of this replica that somebody has settled; looks at a few each time.
    async fn look_after_mine(&self) -> Result<(), Unavailable> {
        let mine: Vec<(String, Word)> = {
            let mut status = self.status();
            let from = status.looked.take().unwrap_or_default();
            let next = status.mine.range(from..);
            let next: Vec<_> = next
                .take(LOOKS + 1)
                .map(|(id, owned)| (id.clone(), owned.word))
                .collect();
            status.looked = next.get(LOOKS).map(|(id, _)| id.clone());
            let looked = next.into_iter().take(LOOKS);
            looked.filter_map(|(id, word)| Some((id, word?))).collect()
        };
        for (id, word) in mine {
            let issue = self.shared.issue(&word.issue).await?;
            let on = issue.iter().flat_map(|issue| &issue.routes);
            let mut on = on.filter(|on| on.route == word.route);
            if on.next().is_none_or(|on| !on.is_claimed) {
                self.status().forget(&id);
            }
        }
        Ok(())
    }

    /// Takes the messages of this replica that wait in a store which stays away into memory, to send them from there.
    async fn take_over(&self) {
        let mine: Vec<Owned> = {
            let mut status = self.status();
            let Some(away) = &mut status.away else { return };
            if away.is_taken_over || away.since.elapsed() < TAKE_OVER {
                return;
            }
            away.is_taken_over = true;
            status.mine.values().cloned().collect()
        };
        for owned in mine {
            let word = owned.word.as_ref();
            let said = word.and_then(|word| self.local.said(&word.issue, word.route));
            let said = said.map(|said| said.at);
            if said.is_none_or(|at| at < owned.put) {
                if let Some(word) = word {
                    self.local.rest(&word.issue, word.route, None);
                }
                // Memory is never away.
                let _ = self.local.claim(&owned.parcel(said), owned.put).await;
            }
        }
    }
}

/// What there is to add. Where a word was told meanwhile, only what came after it counts since then.
fn counted(here: &Issue, counts: &Counts, since: SystemTime) -> Counted {
    let routes = here.routes.iter().map(|on| {
        let is_told = on.said.is_some_and(|said| said.at >= since);
        let counted = counts.routes.get(&on.route).copied().unwrap_or_default();
        let events = if is_told {
            on.events_since_said
        } else {
            counted
        };
        (on.route, events)
    });
    Counted {
        issue: here.key,
        events: counts.events,
        first_seen: here.first_seen,
        last_seen: here.last_seen,
        routes: routes.collect(),
    }
}

fn said_on(issue: &Issue, route: crate::RouteKey) -> Option<Said> {
    let mut routes = issue.routes.iter();
    routes.find(|on| on.route == route)?.said
}

/// Between two beats while all is well: mutes set elsewhere are seen within as long.
const BEAT: Duration = Duration::from_millis(500);

/// Between two beats just after the shared store went away.
const SOON: Duration = Duration::from_millis(250);

/// After how long a replica that did not come back is not waited for.
const SETTLED: Duration = Duration::from_secs(60);

/// Between two beats when it stays away.
const LATER: Duration = Duration::from_millis(1_500);

/// The longest pause for a store that keeps going away.
const LONGEST: Duration = Duration::from_secs(10);

/// After how long away a replica sends what it had put there itself.
const TAKE_OVER: Duration = Duration::from_secs(3);

/// Messages looked after with each beat.
const LOOKS: usize = 16;
