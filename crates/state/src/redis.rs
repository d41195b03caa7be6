//! The store that replicas share: Redis 6.2 or newer, or Valkey.
//!
//! Every method is one Lua script, so it takes effect wholly or not at all, and all keys of one prefix are in one slot of
//! a cluster: see `docs/decisions/0020-redis-and-its-absence.md`. `redis/common.lua` lists the keys.

mod address;
mod answer;
mod link;
mod script;
#[cfg(test)]
mod server;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use redis::ScriptInvocation;
use tokio::sync::Notify;
use tokio::time::timeout;

pub use self::address::{Address, BadAddress};
use self::answer::{Odd, quiet_on};
pub(crate) use self::link::is_late;
#[cfg(test)]
pub(crate) use self::link::late;
use self::link::{Link, unavailable};
use self::script::Scripts;
use crate::memory::{cut, cut_environment, duration, folded, millis, release_hash, user_hash};
use crate::search::Sieve;
use crate::{
    Claim, Cursor, End, Expired, Found, Gathered, Issue, IssueKey, Mute, Other, Parcel, Pending,
    Quiet, Report, RouteKey, Search, Seen, Settlement, Sighting, Store, Take, Unavailable, Watch,
    mute, outbox,
};

/// How to reach Redis, and what to keep there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisConfig {
    /// Where it is.
    pub address: Address,
    /// How every key begins; replicas that share state share it.
    pub prefix: String,
    /// How long a key that nobody touches stays; longer than issues are remembered.
    pub retention: Duration,
    /// How long a call may wait for its answer.
    pub budget: Duration,
}

/// A store in Redis, shared by all who name the same prefix there.
///
/// Users of an issue are counted exactly up to [`Seen::USERS_COUNTED`], beyond by a HyperLogLog whose estimate is made a
/// floor. A call that gets no answer within the budget may still take effect.
pub struct Redis {
    link: Link,
    scripts: Scripts,
    /// The beginning of every key.
    prefix: String,
    put: Notify,
}

/// What a heartbeat finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Beat {
    /// Replicas that beat lately, this one included.
    pub(crate) replicas: usize,
    /// How many of them come before this one.
    pub(crate) rank: usize,
    /// Names the time since when this Redis remembers; another one than before means that it lost everything.
    pub(crate) epoch: String,
}

/// What was counted of an issue without the shared store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) issue: IssueKey,
    pub(crate) events: u64,
    pub(crate) first_seen: SystemTime,
    pub(crate) last_seen: SystemTime,
    /// Events since the last word, by route.
    pub(crate) routes: Vec<(RouteKey, u64)>,
}

impl Redis {
    /// Returns a store that is not connected yet: every call fails until [`Redis::connect`] has.
    pub fn new(config: RedisConfig) -> Self {
        Self {
            link: Link::new(config.address, config.budget),
            scripts: Scripts::new(config.retention),
            prefix: key_prefix(&config.prefix),
            put: Notify::new(),
        }
    }

    /// Connects, or connects anew.
    ///
    /// # Errors
    /// When nothing that speaks Redis answers there within a second; trying again helps later.
    pub async fn connect(&self) -> Result<(), Unavailable> {
        self.link.connect().await
    }

    /// Tells Redis that a replica lives; connects when that is needed, and gives the connection up when it fails, so that
    /// the next beat looks for the server again.
    pub(crate) async fn beat(&self, replica: &str, now: SystemTime) -> Result<Beat, Unavailable> {
        if !self.link.is_connected() {
            self.connect().await?;
        }
        let beaten = self.try_to_beat(replica, now).await;
        if beaten.is_err() {
            self.link.disconnect();
        }
        beaten
    }

    /// Adds what was counted of an issue without Redis; nothing where the issue is not known.
    pub(crate) async fn add(&self, counted: &Counted) -> Result<(), Unavailable> {
        let mut call = self.call(&self.scripts.add);
        call.arg(counted.issue.to_string())
            .arg(counted.events)
            .arg(millis(counted.first_seen))
            .arg(millis(counted.last_seen));
        for (route, events) in &counted.routes {
            call.arg(route.0).arg(*events);
        }
        self.link.call(&call).await.map(drop)
    }

    async fn try_to_beat(&self, replica: &str, now: SystemTime) -> Result<Beat, Unavailable> {
        let mut call = self.call(&self.scripts.beat);
        call.arg(replica)
            .arg(millis(now))
            .arg(duration(SILENCE))
            .arg(format!("{replica}-{}", millis(now)));
        self.link.call(&call).await?.beat().map_err(unavailable)
    }

    fn call<'a>(&self, script: &'a redis::Script) -> ScriptInvocation<'a> {
        script.key(self.prefix.as_str())
    }

    async fn issues(&self, keys: &[String]) -> Result<Vec<Issue>, Unavailable> {
        let mut issues = Vec::with_capacity(keys.len());
        for part in keys.chunks(PART) {
            let mut call = self.call(&self.scripts.issues);
            for key in part {
                call.arg(key);
            }
            let mut answer = self.link.call(&call).await?;
            while !answer.is_done() {
                issues.extend(answer.issue().map_err(unavailable)?);
            }
        }
        Ok(issues)
    }

    async fn events(&self, robot: &str, ids: Vec<String>) -> Result<Vec<Other>, Unavailable> {
        let mut others = Vec::with_capacity(ids.len());
        let mut left = ids.into_iter().peekable();
        while left.peek().is_some() {
            let part: Vec<String> = left.by_ref().take(PART).collect();
            let mut call = self.call(&self.scripts.events);
            call.arg(robot);
            for id in &part {
                call.arg(id);
            }
            let mut answer = self.link.call(&call).await?;
            for id in part {
                let events = answer.number().map_err(unavailable)?;
                others.push(Other { id, events });
            }
        }
        Ok(others)
    }
}

#[async_trait]
impl Store for Redis {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn observe(&self, sighting: &Sighting<'_>, now: SystemTime) -> Result<Seen, Unavailable> {
        let mut call = self.call(&self.scripts.observe);
        let event_id = sighting.event_id;
        call.arg(millis(now))
            .arg(sighting.project)
            .arg(event_id.map_or_else(String::new, |id| format!("{:x}", folded(id))))
            // As a signed number it fits the small sets of integers that Redis keeps packed.
            .arg(sighting.user.map_or_else(String::new, |user| {
                user_hash(user).cast_signed().to_string()
            }))
            .arg(sighting.release.map_or(0, release_hash))
            .arg(cut(sighting.title))
            .arg(sighting.level)
            .arg(event_id.map_or_else(String::new, |id| crate::IssueHash(id).to_string()))
            .arg(Issue::KEPT)
            .arg(cut_environment(sighting.environment));
        let hashes = &sighting.hashes[..sighting.hashes.len().min(HASHES)];
        call.arg(hashes.len());
        for hash in hashes {
            call.arg(hash.to_string());
        }
        call.arg(sighting.routes.len());
        for watch in sighting.routes {
            add_watch(&mut call, watch);
        }
        let mut answer = self.link.call(&call).await?;
        answer.seen(sighting.routes).map_err(unavailable)
    }

    async fn claim(&self, parcel: &Parcel<'_>, now: SystemTime) -> Result<Claim, Unavailable> {
        let mut call = self.call(&self.scripts.claim);
        call.arg(millis(now))
            .arg(parcel.id)
            .arg(parcel.priority)
            .arg(duration(parcel.late_after))
            .arg(optional(parcel.gather_until))
            .arg(parcel.payload);
        match &parcel.word {
            Some(word) => call
                .arg(word.issue.to_string())
                .arg(word.route.0)
                .arg(optional(word.after))
                .arg(duration(word.silence))
                .arg(u8::from(word.is_burst_told))
                .arg(u8::from(word.is_stopped)),
            None => call.arg("").arg("").arg("").arg("").arg("").arg(""),
        };
        call.arg(outbox::PARCELS).arg(outbox::BYTES);
        for robot in parcel.robots {
            call.arg(robot);
        }
        let claim = self.link.call(&call).await?.number::<u8>();
        match claim.map_err(unavailable)? {
            0 => {
                self.put.notify_waiters();
                self.put.notify_one();
                Ok(Claim::Won)
            }
            1 => Ok(Claim::Taken),
            2 => Ok(Claim::Full),
            _ => Err(unavailable(Odd)),
        }
    }

    async fn lead(
        &self,
        robot: &str,
        holder: &str,
        lease: Duration,
        now: SystemTime,
    ) -> Result<bool, Unavailable> {
        let mut call = self.call(&self.scripts.lead);
        call.arg(robot)
            .arg(holder)
            .arg(duration(lease))
            .arg(millis(now));
        self.link.call(&call).await?.is_set().map_err(unavailable)
    }

    async fn resign(&self, robot: &str, holder: &str) -> Result<(), Unavailable> {
        let mut call = self.call(&self.scripts.resign);
        call.arg(robot).arg(holder);
        self.link.call(&call).await.map(drop)
    }

    async fn pending(&self, robot: &str, limit: usize) -> Result<Pending, Unavailable> {
        let mut call = self.call(&self.scripts.pending);
        call.arg(robot).arg(limit);
        let mut answer = self.link.call(&call).await?;
        answer.pending().map_err(unavailable)
    }

    async fn gather(
        &self,
        robot: &str,
        ids: &[String],
        until: SystemTime,
    ) -> Result<(), Unavailable> {
        for part in ids.chunks(PART) {
            let mut call = self.call(&self.scripts.gather);
            call.arg(robot).arg(millis(until));
            for id in part {
                call.arg(id);
            }
            self.link.call(&call).await?;
        }
        Ok(())
    }

    async fn gathered(
        &self,
        robot: &str,
        named: usize,
        now: SystemTime,
    ) -> Result<Gathered, Unavailable> {
        let mut call = self.call(&self.scripts.gathered);
        call.arg(robot).arg(named).arg(millis(now));
        let mut answer = self.link.call(&call).await?;
        let (named, others) = answer.gathered().map_err(unavailable)?;
        let others = self.events(robot, others).await?;
        Ok(Gathered { named, others })
    }

    async fn settle(
        &self,
        robot: &str,
        settlements: &[Settlement<'_>],
        missed: u64,
        now: SystemTime,
    ) -> Result<(), Unavailable> {
        // In parts, because Redis serves nobody else meanwhile; each part may be done twice. What was missed goes last, since
        // that may not.
        let mut parts = settlements.chunks(PART).peekable();
        if parts.peek().is_none() {
            return self.settle_part(robot, &[], missed, now).await;
        }
        while let Some(part) = parts.next() {
            let missed = if parts.peek().is_none() { missed } else { 0 };
            self.settle_part(robot, part, missed, now).await?;
        }
        Ok(())
    }

    async fn changed(&self, within: Duration) {
        // What another replica puts is found by looking.
        let _ = timeout(within.min(LOOK), self.put.notified()).await;
    }

    async fn quiet(
        &self,
        route: RouteKey,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<Quiet>, Unavailable> {
        let mut call = self.call(&self.scripts.quiet);
        call.arg(route.0).arg(millis(before)).arg(limit);
        let mut answer = self.link.call(&call).await?;
        let mut quiet = Vec::new();
        while !answer.is_done() {
            let issue = answer.issue().map_err(unavailable)?;
            quiet.extend(issue.and_then(|issue| quiet_on(route, issue)));
        }
        Ok(quiet)
    }

    async fn take(
        &self,
        bucket: &str,
        per_minute: u32,
        now: SystemTime,
    ) -> Result<Take, Unavailable> {
        let mut call = self.call(&self.scripts.take);
        call.arg(bucket).arg(per_minute).arg(millis(now));
        let wait: i64 = self.link.call(&call).await?.number().map_err(unavailable)?;
        Ok(match u64::try_from(wait) {
            Ok(wait) => Take::After(Duration::from_millis(wait)),
            Err(_) => Take::Granted,
        })
    }

    async fn spent(&self, bucket: &str, now: SystemTime) -> Result<u32, Unavailable> {
        let mut command = redis::cmd("ZCOUNT");
        let since = millis(now).saturating_sub(duration(MINUTE));
        command
            .arg(self.key(&format!("t:{bucket}")))
            .arg(format!("({since}"))
            .arg("+inf");
        self.link.ask(&command).await?.number().map_err(unavailable)
    }

    async fn close(
        &self,
        bucket: &str,
        until: SystemTime,
        now: SystemTime,
    ) -> Result<(), Unavailable> {
        let mut call = self.call(&self.scripts.close);
        call.arg(bucket).arg(millis(until)).arg(millis(now));
        self.link.call(&call).await.map(drop)
    }

    async fn report(&self, report: &Report) -> Result<(), Unavailable> {
        let value = serde_json::to_string(report).map_err(unavailable)?;
        let mut command = redis::cmd("HSET");
        command
            .arg(self.key("reports"))
            .arg(&report.robot)
            .arg(value);
        self.link.ask(&command).await.map(drop)
    }

    async fn reports(&self) -> Result<Vec<Report>, Unavailable> {
        let mut answer = self
            .link
            .ask(redis::cmd("HVALS").arg(self.key("reports")))
            .await?;
        let mut reports: Vec<Report> = Vec::new();
        while !answer.is_done() {
            let value = answer.bytes().map_err(unavailable)?;
            reports.push(serde_json::from_slice(&value).map_err(unavailable)?);
        }
        reports.sort_by(|one, other| one.robot.cmp(&other.robot));
        Ok(reports)
    }

    async fn mute(&self, mute: &Mute) -> Result<(), Unavailable> {
        let value = serde_json::to_string(mute).map_err(unavailable)?;
        let mut call = self.call(&self.scripts.mute);
        call.arg(&mute.id)
            .arg(format!("{}|{value}", optional(mute.until)))
            .arg(mute::MOST);
        self.link.call(&call).await.map(drop)
    }

    async fn unmute(&self, id: &str) -> Result<bool, Unavailable> {
        let mut command = redis::cmd("HDEL");
        command.arg(self.key("mutes")).arg(id);
        self.link.ask(&command).await?.is_set().map_err(unavailable)
    }

    async fn mutes(&self, now: SystemTime) -> Result<Vec<Mute>, Unavailable> {
        let mut answer = self
            .link
            .ask(redis::cmd("HVALS").arg(self.key("mutes")))
            .await?;
        let mut mutes: Vec<Mute> = Vec::new();
        while !answer.is_done() {
            let value = answer.text().map_err(unavailable)?;
            let (_, value) = value.split_once('|').ok_or_else(|| unavailable(Odd))?;
            mutes.push(serde_json::from_str(value).map_err(unavailable)?);
        }
        mutes.retain(|mute| mute.is_active(now));
        mutes.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(mutes)
    }

    async fn recent(&self, limit: usize) -> Result<Vec<Issue>, Unavailable> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("ZREVRANGE");
        command.arg(self.key("recent")).arg(0).arg(limit - 1);
        let mut answer = self.link.ask(&command).await?;
        let mut keys = Vec::new();
        while !answer.is_done() {
            keys.push(answer.text().map_err(unavailable)?);
        }
        self.issues(&keys).await
    }

    async fn search(
        &self,
        search: &Search,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Found, Unavailable> {
        let sieve = Sieve::new(search);
        let mut found = Found {
            next: after,
            ..Found::default()
        };
        // In parts, because Redis serves nobody else meanwhile.
        for _ in 0..Found::LOOKED_AT / PART {
            let mut call = self.call(&self.scripts.search);
            match &found.next {
                Some(cursor) => call.arg(cursor.last_seen).arg(cursor.issue.to_string()),
                None => call.arg("").arg(""),
            };
            let project = search.project.map(|project| format!("{project}:"));
            call.arg(limit - found.issues.len())
                .arg(PART)
                .arg(project.unwrap_or_default())
                .arg(u8::from(search.environment.is_some()))
                .arg(search.environment.as_deref().unwrap_or_default())
                .arg(sieve.text());
            let mut answer = self.link.call(&call).await?;
            answer.found(&mut found).map_err(unavailable)?;
            if found.next.is_none() || found.issues.len() >= limit {
                break;
            }
        }
        Ok(found)
    }

    async fn issue(&self, key: &IssueKey) -> Result<Option<Issue>, Unavailable> {
        Ok(self.issues(&[key.to_string()]).await?.pop())
    }

    async fn expire(
        &self,
        before: SystemTime,
        stale: SystemTime,
        now: SystemTime,
    ) -> Result<Expired, Unavailable> {
        let mut expired = Expired::default();
        let mut skipped: u64 = 0;
        loop {
            let mut call = self.call(&self.scripts.expire);
            call.arg(millis(before))
                .arg(millis(stale))
                .arg(millis(now))
                .arg(skipped);
            let mut answer = self.link.call(&call).await?;
            let mut count = || answer.number::<usize>().map_err(unavailable);
            expired.issues += count()?;
            expired.evicted += count()?;
            expired.parcels += count()?;
            skipped = answer.number().map_err(unavailable)?;
            if !answer.is_set().map_err(unavailable)? {
                return Ok(expired);
            }
        }
    }

    async fn keep(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, Unavailable> {
        let mut call = self.call(&self.scripts.keep);
        call.arg(name).arg(value);
        self.link.call(&call).await?.bytes().map_err(unavailable)
    }
}

impl Redis {
    async fn settle_part(
        &self,
        robot: &str,
        settlements: &[Settlement<'_>],
        missed: u64,
        now: SystemTime,
    ) -> Result<(), Unavailable> {
        let mut call = self.call(&self.scripts.settle);
        call.arg(millis(now)).arg(robot).arg(missed);
        for settlement in settlements {
            call.arg(settlement.id);
            match settlement.end {
                End::Told { events } => call.arg("told").arg(events),
                End::GivenUp { rest } => call.arg("given up").arg(duration(rest)),
            };
        }
        self.link.call(&call).await.map(drop)
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Names the slot: a prefix with a `{tag}` of its own keeps it.
fn key_prefix(prefix: &str) -> String {
    let has_tag = prefix
        .split_once('{')
        .and_then(|(_, rest)| rest.find('}'))
        .is_some_and(|end| end > 0);
    if has_tag {
        return prefix.to_owned();
    }
    format!("{prefix}{{0}}:")
}

fn add_watch(call: &mut ScriptInvocation<'_>, watch: &Watch) {
    call.arg(watch.route.0);
    for window in [watch.events, watch.users, watch.burst] {
        let (count, within) =
            window.map_or((0, 0), |window| (window.count, duration(window.within)));
        call.arg(count).arg(within);
    }
}

/// Milliseconds, or nothing.
fn optional(at: Option<SystemTime>) -> String {
    at.map_or_else(String::new, |at| millis(at).to_string())
}

/// Within which messages count against a budget.
const MINUTE: Duration = Duration::from_secs(60);

const BACKEND: &str = "redis";

/// Hashes of one event that are looked at.
const HASHES: usize = 4;

/// How much one script handles: it keeps Redis from all others for as long.
const PART: usize = 250;

/// How often a replica looks for what another one put.
const LOOK: Duration = Duration::from_millis(250);

/// After how long without a beat a replica is gone.
const SILENCE: Duration = Duration::from_secs(15);

impl std::fmt::Debug for Redis {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = formatter.debug_struct("Redis");
        debug.field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
