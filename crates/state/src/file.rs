//! The store that survives a restart: memory does the work, one file follows it.
//!
//! Nothing here waits for a disk except what may be awaited: a settled word, a mute, a granted message. What a crash may
//! cost is said at [`File`], why in `docs/decisions/0019-state-file.md`.

mod bounded;
mod disk;
mod saver;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use self::saver::Saver;
use crate::{
    Claim, Cursor, Expired, Found, Gathered, Issue, IssueKey, Memory, Mute, OpenError, Parcel,
    Pending, Quiet, Report, RouteKey, Search, Seen, Settlement, Sighting, Store, Take, Trouble,
    Unavailable,
};

/// A store in memory that a file follows; one process at a time.
///
/// A process that is killed, or a machine that loses power, loses at most the counts of the last second and the words
/// claimed while the last write was under way (some milliseconds). What has been settled, muted, kept or granted is on
/// the disk before the call returns. When the disk fails, memory goes on alone, [`Store::trouble`] says so, and the whole
/// file is written anew once it can be.
///
/// The file holds no more than memory does, so it stays below some 250 MB; at [`MOST`] bytes it counts as a full disk.
#[derive(Debug)]
pub struct File {
    memory: Arc<Memory>,
    saver: Saver,
}

impl File {
    /// Opens a file, or makes it with mode 0600, and reads it. A damaged one is moved aside, to `….damaged`.
    ///
    /// Blocks for as long as reading takes: some 100 ms for 100 000 issues.
    ///
    /// # Errors
    /// When another process has it open, or it cannot be made or read. Trying again helps once that is mended.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_bounded(path, MOST)
    }

    fn open_bounded(path: &Path, most: u64) -> Result<Self, OpenError> {
        let memory = Arc::new(Memory::new());
        let saver = Saver::start(path, most, &memory)?;
        Ok(Self { memory, saver })
    }
}

#[async_trait]
impl Store for File {
    fn backend(&self) -> &'static str {
        "file"
    }

    fn is_durable(&self) -> bool {
        self.trouble().is_none()
    }

    fn trouble(&self) -> Option<Trouble> {
        self.saver.trouble()
    }

    async fn observe(&self, sighting: &Sighting<'_>, now: SystemTime) -> Result<Seen, Unavailable> {
        self.memory.observe(sighting, now).await
    }

    async fn claim(&self, parcel: &Parcel<'_>, now: SystemTime) -> Result<Claim, Unavailable> {
        let claim = self.memory.claim(parcel, now).await?;
        if claim == Claim::Won {
            // Waiting for the disk here would hold every event behind it for the length of a write.
            self.saver.wake();
        }
        Ok(claim)
    }

    async fn lead(
        &self,
        robot: &str,
        holder: &str,
        lease: Duration,
        now: SystemTime,
    ) -> Result<bool, Unavailable> {
        self.memory.lead(robot, holder, lease, now).await
    }

    async fn resign(&self, robot: &str, holder: &str) -> Result<(), Unavailable> {
        self.memory.resign(robot, holder).await
    }

    async fn pending(&self, robot: &str, limit: usize) -> Result<Pending, Unavailable> {
        self.memory.pending(robot, limit).await
    }

    async fn gather(
        &self,
        robot: &str,
        ids: &[String],
        until: SystemTime,
    ) -> Result<(), Unavailable> {
        self.memory.gather(robot, ids, until).await?;
        self.saver.wake();
        Ok(())
    }

    async fn gathered(
        &self,
        robot: &str,
        named: usize,
        now: SystemTime,
    ) -> Result<Gathered, Unavailable> {
        self.memory.gathered(robot, named, now).await
    }

    async fn settle(
        &self,
        robot: &str,
        settlements: &[Settlement<'_>],
        missed: u64,
        now: SystemTime,
    ) -> Result<(), Unavailable> {
        self.memory.settle(robot, settlements, missed, now).await?;
        self.saver.saved().await;
        Ok(())
    }

    async fn changed(&self, within: Duration) {
        self.memory.changed(within).await;
    }

    async fn quiet(
        &self,
        route: RouteKey,
        before: SystemTime,
        limit: usize,
    ) -> Result<Vec<Quiet>, Unavailable> {
        self.memory.quiet(route, before, limit).await
    }

    async fn take(
        &self,
        bucket: &str,
        per_minute: u32,
        now: SystemTime,
    ) -> Result<Take, Unavailable> {
        let taken = self.memory.take(bucket, per_minute, now).await?;
        if taken == Take::Granted {
            // A restart must not spend the same minute twice: DingTalk closes a robot for that.
            self.saver.saved().await;
        }
        Ok(taken)
    }

    async fn spent(&self, bucket: &str, now: SystemTime) -> Result<u32, Unavailable> {
        self.memory.spent(bucket, now).await
    }

    async fn close(
        &self,
        bucket: &str,
        until: SystemTime,
        now: SystemTime,
    ) -> Result<(), Unavailable> {
        self.memory.close(bucket, until, now).await?;
        self.saver.saved().await;
        Ok(())
    }

    async fn report(&self, report: &Report) -> Result<(), Unavailable> {
        self.memory.report(report).await
    }

    async fn reports(&self) -> Result<Vec<Report>, Unavailable> {
        self.memory.reports().await
    }

    async fn mute(&self, mute: &Mute) -> Result<(), Unavailable> {
        self.memory.mute(mute).await?;
        self.saver.saved().await;
        Ok(())
    }

    async fn unmute(&self, id: &str) -> Result<bool, Unavailable> {
        let was_there = self.memory.unmute(id).await?;
        self.saver.saved().await;
        Ok(was_there)
    }

    async fn mutes(&self, now: SystemTime) -> Result<Vec<Mute>, Unavailable> {
        self.memory.mutes(now).await
    }

    async fn recent(&self, limit: usize) -> Result<Vec<Issue>, Unavailable> {
        self.memory.recent(limit).await
    }

    async fn search(
        &self,
        search: &Search,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Found, Unavailable> {
        self.memory.search(search, after, limit).await
    }

    async fn issue(&self, key: &IssueKey) -> Result<Option<Issue>, Unavailable> {
        self.memory.issue(key).await
    }

    async fn expire(
        &self,
        before: SystemTime,
        stale: SystemTime,
        now: SystemTime,
    ) -> Result<Expired, Unavailable> {
        self.memory.expire(before, stale, now).await
    }

    async fn keep(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, Unavailable> {
        let kept = self.memory.keep(name, value).await?;
        self.saver.saved().await;
        Ok(kept)
    }
}

/// Bytes that the file may have.
pub const MOST: u64 = 1 << 30;

#[cfg(test)]
mod tests;
