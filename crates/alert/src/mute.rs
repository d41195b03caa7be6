//! Mutes: those that stand in the file, and those set by link, page, command line or API while the process runs.

pub mod keyring;
pub mod link;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use state::{IssueKey, Mute, Scope, Store, Unavailable};

use crate::matcher::{Facts, MatchKey, Matcher, PatternError};

pub use self::keyring::{Key, Keyring};

/// A mute that stands in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct StandingMute {
    /// What it silences.
    pub matcher: Matcher,
    /// When it ends; `None` is never.
    pub until: Option<SystemTime>,
    /// Why.
    pub comment: String,
}

/// The mutes of a store: set, removed, listed and asked. Cheap to clone.
///
/// What is set through it is in force at once; what another replica sets, within half a second.
#[derive(Clone)]
pub struct Mutes {
    store: Arc<dyn Store>,
    cache: Arc<Mutex<Cache>>,
    silenced: Arc<Mutex<Silenced>>,
}

/// The issues that each mute has silenced in this process, and when that mute ends.
type Silenced = BTreeMap<String, (SystemTime, BTreeSet<IssueKey>)>;

/// Why a mute cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum MuteError {
    /// It has no condition: it would silence everything.
    #[error("a mute needs at least one condition")]
    NoCondition,
    /// A key that no event has.
    #[error("`{0}` is nothing to match on")]
    UnknownKey(String),
    /// A pattern that cannot be read.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The state cannot be reached; trying again helps later.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Who sets a mute, for how long and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Who.
    pub by: String,
    /// When it ends; `None` is never.
    pub until: Option<SystemTime>,
    /// Why.
    pub comment: String,
}

#[derive(Default)]
struct Cache {
    read_at: Option<SystemTime>,
    mutes: Arc<Vec<Compiled>>,
}

struct Compiled {
    mute: Mute,
    matcher: Option<Matcher>,
}

impl Mutes {
    /// Returns the mutes of a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            cache: Arc::default(),
            silenced: Arc::default(),
        }
    }

    /// Mutes one issue on every route; the same issue has one mute, so this replaces the one before.
    ///
    /// # Errors
    /// When the state cannot be reached; trying again helps later.
    pub async fn mute_issue(
        &self,
        issue: IssueKey,
        author: Author,
        now: SystemTime,
    ) -> Result<Mute, Unavailable> {
        let mute = author.mute(issue_mute_id(&issue), Scope::Issue(issue), now);
        self.set(&mute).await?;
        Ok(mute)
    }

    /// Mutes every event that matches all conditions: match keys of the configuration, each with its patterns. The same
    /// conditions have one mute.
    ///
    /// # Errors
    /// [`MuteError`]; only an unavailable state is worth another try.
    pub async fn mute_matching(
        &self,
        conditions: Vec<(String, Vec<String>)>,
        author: Author,
        now: SystemTime,
    ) -> Result<Mute, MuteError> {
        let matcher = matcher_of(&conditions)?;
        let id = format!("match-{:08x}", fnv(&matcher.to_string()));
        let mute = author.mute(id, Scope::Matching(conditions), now);
        self.set(&mute).await?;
        Ok(mute)
    }

    /// Removes a mute; returns whether it was there.
    ///
    /// # Errors
    /// When the state cannot be reached; trying again helps later.
    pub async fn unmute(&self, id: &str) -> Result<bool, Unavailable> {
        let was_there = self.store.unmute(id).await?;
        self.forget();
        Ok(was_there)
    }

    /// Returns the mutes in force that were set while the process ran, by id.
    ///
    /// # Errors
    /// When the state cannot be reached; trying again helps later.
    pub async fn list(&self, now: SystemTime) -> Result<Vec<Mute>, Unavailable> {
        self.store.mutes(now).await
    }

    /// Brings the mutes that [`Self::muted_by`] goes by up to date, when they are older than half a second.
    ///
    /// # Errors
    /// When the state cannot be reached; those known stay in force.
    pub(crate) async fn refresh(&self, now: SystemTime) -> Result<(), Unavailable> {
        let is_fresh = |at: SystemTime| now.duration_since(at).is_ok_and(|age| age < FRESH);
        if self.lock().read_at.is_some_and(is_fresh) {
            return Ok(());
        }
        let mutes = self.store.mutes(now).await?;
        let mutes = mutes.into_iter().map(Compiled::of).collect();
        *self.lock() = Cache {
            read_at: Some(now),
            mutes: Arc::new(mutes),
        };
        Ok(())
    }

    /// Returns who muted an event of an issue, if anyone did.
    pub(crate) fn muted_by(
        &self,
        standing: &[StandingMute],
        issue: &IssueKey,
        facts: &Facts<'_>,
        now: SystemTime,
    ) -> Option<String> {
        let standing = standing_mute(standing, facts, now);
        if standing.is_some() {
            return standing;
        }
        let mutes = Arc::clone(&self.lock().mutes);
        silencing(&mutes, issue, facts, now).map(|mute| mute.by.clone())
    }

    /// Remembers that an event of an issue was muted, so that the end of the mute can be told.
    pub(crate) fn note(&self, issue: &IssueKey, facts: &Facts<'_>, now: SystemTime) {
        let mutes = Arc::clone(&self.lock().mutes);
        let mute = silencing(&mutes, issue, facts, now);
        let Some((mute, end)) = mute.and_then(|mute| Some((mute, mute.until?))) else {
            return;
        };
        let mut silenced = self.silenced();
        let known = silenced.entry(mute.id.clone());
        let (until, issues) = known.or_insert_with(|| (end, BTreeSet::new()));
        *until = end;
        if issues.len() < SILENCED {
            issues.insert(*issue);
        }
    }

    /// Returns issues that a mute has silenced here which has ended: each once, and at most `limit`, the others with the next
    /// call. A mute that was removed by hand is forgotten. Goes by what [`Self::refresh`] has read.
    pub(crate) fn ended(&self, limit: usize, now: SystemTime) -> Vec<IssueKey> {
        let mutes = Arc::clone(&self.lock().mutes);
        let mut silenced = self.silenced();
        let mut ended = Vec::new();
        silenced.retain(|id, (end, issues)| {
            let known = mutes.iter().find(|known| known.mute.id == *id);
            let is_active = known.is_some_and(|known| known.mute.is_active(now));
            if is_active {
                return true;
            }
            if *end > now {
                return false;
            }
            while ended.len() < limit
                && let Some(issue) = issues.pop_first()
            {
                ended.push(issue);
            }
            !issues.is_empty()
        });
        ended
    }

    fn silenced(&self) -> MutexGuard<'_, Silenced> {
        self.silenced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn set(&self, mute: &Mute) -> Result<(), Unavailable> {
        self.store.mute(mute).await?;
        self.forget();
        Ok(())
    }

    fn forget(&self) {
        self.lock().read_at = None;
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StandingMute {
    /// Returns whether it is still in force.
    pub fn is_active(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    fn name(&self) -> String {
        match self.comment.is_empty() {
            true => self.matcher.to_string(),
            false => self.comment.clone(),
        }
    }
}

impl Author {
    fn mute(self, id: String, scope: Scope, now: SystemTime) -> Mute {
        Mute {
            id,
            scope,
            since: now,
            until: self.until,
            by: self.by,
            comment: self.comment,
        }
    }
}

impl Compiled {
    fn of(mute: Mute) -> Self {
        let matcher = match &mute.scope {
            Scope::Issue(_) => None,
            // What another version wrote and this one cannot read silences nothing.
            Scope::Matching(conditions) => matcher_of(conditions).ok(),
        };
        Self { mute, matcher }
    }

    fn silences(&self, issue: &IssueKey, facts: &Facts<'_>) -> bool {
        match &self.mute.scope {
            Scope::Issue(muted) => muted == issue,
            Scope::Matching(_) => self
                .matcher
                .as_ref()
                .is_some_and(|matcher| matcher.is_match(facts)),
        }
    }
}

/// Returns the first mute that is in force and silences an event of an issue.
fn silencing<'m>(
    mutes: &'m [Compiled],
    issue: &IssueKey,
    facts: &Facts<'_>,
    now: SystemTime,
) -> Option<&'m Mute> {
    let mut active = mutes.iter().filter(|mute| mute.mute.is_active(now));
    let found = active.find(|mute| mute.silences(issue, facts))?;
    Some(&found.mute)
}

/// Returns the id of the mute of one issue: `issue-42-9f3c…`.
pub fn issue_mute_id(issue: &IssueKey) -> String {
    format!("issue-{}-{}", issue.project, issue.hash)
}

/// Returns which mute of the file silences an event, if one does: `proxy.toml: known, see the wiki`.
pub fn standing_mute(mutes: &[StandingMute], facts: &Facts<'_>, now: SystemTime) -> Option<String> {
    let mut silencing = mutes
        .iter()
        .filter(|mute| mute.is_active(now) && mute.matcher.is_match(facts));
    let mute = silencing.next()?;
    Some(format!("proxy.toml: {}", mute.name()))
}

fn matcher_of(conditions: &[(String, Vec<String>)]) -> Result<Matcher, MuteError> {
    if conditions.iter().all(|(_, patterns)| patterns.is_empty()) {
        return Err(MuteError::NoCondition);
    }
    let conditions = conditions.iter().map(|(name, patterns)| {
        let key = MatchKey::parse(name).ok_or_else(|| MuteError::UnknownKey(name.clone()))?;
        Ok((key, patterns.as_slice()))
    });
    let conditions: Vec<_> = conditions.collect::<Result<_, MuteError>>()?;
    Ok(Matcher::new(conditions)?)
}

fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// Issues of one mute whose going on is told at its end; more are told with their next events.
const SILENCED: usize = 100;

/// How old the mutes may be that an event is held against.
const FRESH: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use event::ProjectId;
    use event::model::Level;
    use state::{IssueHash, Memory};

    use super::*;

    #[tokio::test]
    async fn mutes_one_issue_until_it_ends_or_is_removed() {
        let mutes = mutes();

        let mute = mutes
            .mute_issue(issue(), author("page", Some(10)), at(0))
            .await
            .unwrap();

        assert_eq!(ask(&mutes, &[], "x", 9).await, Some("page".to_owned()));
        assert_eq!(ask(&mutes, &[], "x", 10).await, None);
        let listed = mutes.list(at(9)).await.unwrap();
        assert_eq!(listed, std::slice::from_ref(&mute));
        assert!(mutes.unmute(&mute.id).await.unwrap());
        assert_eq!(ask(&mutes, &[], "x", 5).await, None);
        assert!(!mutes.unmute(&mute.id).await.unwrap());
    }

    #[tokio::test]
    async fn mutes_what_matches() {
        let mutes = mutes();
        let conditions = vec![("title".to_owned(), vec!["*ECONNRESET*".to_owned()])];

        mutes
            .mute_matching(conditions.clone(), author("cli", None), at(0))
            .await
            .unwrap();
        mutes
            .mute_matching(conditions, author("cli", None), at(1))
            .await
            .unwrap();

        assert_eq!(
            ask(&mutes, &[], "read ECONNRESET", 5).await,
            Some("cli".to_owned())
        );
        assert_eq!(ask(&mutes, &[], "other", 5).await, None);
        assert_eq!(mutes.list(at(5)).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn refuses_a_mute_that_would_silence_everything_or_cannot_be_read() {
        let mutes = mutes();
        let cases = [
            (vec![], "a mute needs at least one condition"),
            (
                vec![("title", vec![])],
                "a mute needs at least one condition",
            ),
            (
                vec![("colour", vec!["red"])],
                "`colour` is nothing to match on",
            ),
            (
                vec![("title", vec!["/(/"])],
                "cannot read `/(/` as a pattern: unclosed group",
            ),
        ];

        for (conditions, expected) in cases {
            let conditions = conditions
                .into_iter()
                .map(|(key, patterns): (&str, Vec<&str>)| {
                    (
                        key.to_owned(),
                        patterns.into_iter().map(str::to_owned).collect(),
                    )
                });
            let error = mutes
                .mute_matching(conditions.collect(), author("cli", None), at(0))
                .await;

            assert_eq!(error.unwrap_err().to_string(), expected);
        }
    }

    #[tokio::test]
    async fn a_standing_mute_names_the_file_and_why() {
        let standing = StandingMute {
            matcher: matcher_of(&[("title".to_owned(), vec!["a*".to_owned()])]).unwrap(),
            until: Some(at(10)),
            comment: "known, see the wiki".to_owned(),
        };

        let by = ask(&mutes(), std::slice::from_ref(&standing), "abc", 5).await;

        assert_eq!(by.as_deref(), Some("proxy.toml: known, see the wiki"));
        assert_eq!(
            ask(&mutes(), std::slice::from_ref(&standing), "abc", 10).await,
            None
        );
        assert_eq!(ask(&mutes(), &[standing], "xyz", 5).await, None);
    }

    #[tokio::test]
    async fn sees_what_others_set_within_a_second() {
        let store: Arc<dyn Store> = Arc::new(Memory::new());
        let (here, there) = (Mutes::new(Arc::clone(&store)), Mutes::new(store));

        let before = ask(&here, &[], "x", 0).await;
        there
            .mute_issue(issue(), author("page", None), at(0))
            .await
            .unwrap();
        let after = ask(&here, &[], "x", 1).await;

        assert_eq!((before, after), (None, Some("page".to_owned())));
    }

    async fn ask(
        mutes: &Mutes,
        standing: &[StandingMute],
        title: &str,
        now: u64,
    ) -> Option<String> {
        let facts = Facts {
            project: ProjectId::from(1),
            project_name: None,
            level: Level::Error,
            title,
            culprit: "",
            event: None,
        };
        mutes.refresh(at(now)).await.unwrap();
        mutes.muted_by(standing, &issue(), &facts, at(now))
    }

    fn mutes() -> Mutes {
        Mutes::new(Arc::new(Memory::new()))
    }

    fn author(by: &str, until: Option<u64>) -> Author {
        Author {
            by: by.to_owned(),
            until: until.map(at),
            comment: String::new(),
        }
    }

    fn issue() -> IssueKey {
        IssueKey::new(1, IssueHash::of("a"))
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 + seconds)
    }
}
