//! The key of mute links: the operator's own, or one that is made once and kept in the state for all replicas.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use state::{IssueKey, Store, Unavailable};

use super::link::{LinkError, MuteLink, Signer};

/// The secret that mute links are signed with. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

/// Makes the links of cards and checks those that come back. Cheap to clone.
#[derive(Clone)]
pub struct Keyring {
    store: Arc<dyn Store>,
    given: Option<Signer>,
    fresh: Key,
    known: Arc<Mutex<Known>>,
}

/// The keys of the state; the last one signs.
#[derive(Default)]
struct Known {
    signers: Vec<(Key, Signer)>,
    /// Whether the last one is what all replicas have.
    is_settled: bool,
}

/// Why a link does nothing.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The link itself is the reason; trying again does not help.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The key cannot be had from the state; trying again helps later.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Key {
    /// Returns the key of these bytes; 32 random ones are good.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    fn signer(&self) -> Signer {
        Signer::new(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

impl Keyring {
    /// Returns a keyring that goes by `given`; without it by the key that the state keeps, and `fresh`, random bytes, where
    /// it keeps none yet.
    pub fn new(store: Arc<dyn Store>, given: Option<&Key>, fresh: Key) -> Self {
        Self {
            store,
            given: given.map(Key::signer),
            fresh,
            known: Arc::default(),
        }
    }

    /// Returns the links of a card about an issue, and for how long each mutes it.
    ///
    /// # Errors
    /// When the state cannot be reached; trying again helps later.
    pub async fn links(
        &self,
        public_url: &str,
        issue: IssueKey,
        now: SystemTime,
    ) -> Result<Vec<(Duration, String)>, Unavailable> {
        let signer = self.signer().await?;
        let link = |lasts| {
            let expires = now + GOOD_FOR;
            let query = signer.sign(&MuteLink {
                issue,
                lasts,
                expires,
            });
            (lasts, format!("{public_url}/mute?{query}"))
        };
        Ok(OFFERED.map(link).into())
    }

    /// Checks the parameters of a link: names and values, percent-decoded.
    ///
    /// # Errors
    /// [`Refused`]; only an unavailable state is worth another try.
    pub async fn verify(
        &self,
        parameters: &[(String, String)],
        now: SystemTime,
    ) -> Result<MuteLink, Refused> {
        let verify = |signer: &Signer| {
            let pairs = parameters.iter();
            let pairs = pairs.map(|(name, value)| (name.as_str(), value.as_str()));
            signer.verify(pairs, now)
        };
        let mut verdict = verify(&self.signer().await?);
        for signer in self.earlier() {
            if verdict != Err(LinkError::Forged) {
                break;
            }
            verdict = verify(&signer);
        }
        Ok(verdict?)
    }

    /// Returns what signs now. A key that this process made up while the shared state was away is asked for again.
    async fn signer(&self) -> Result<Signer, Unavailable> {
        if let Some(given) = &self.given {
            return Ok(given.clone());
        }
        if let Some(signer) = self.settled() {
            return Ok(signer);
        }
        let kept = Key(self.store.keep(NAME, &self.fresh.0).await?);
        let signer = kept.signer();
        let mut known = self.lock();
        known.is_settled = self.store.trouble().is_none();
        known.signers.retain(|(key, _)| *key != kept);
        known.signers.push((kept, signer.clone()));
        Ok(signer)
    }

    fn settled(&self) -> Option<Signer> {
        let known = self.lock();
        let last = known.signers.last().filter(|_| known.is_settled);
        last.map(|(_, signer)| signer.clone())
    }

    /// Returns the other keys that this process has signed with.
    fn earlier(&self) -> Vec<Signer> {
        let known = self.lock();
        let earlier = known.signers.iter().rev().skip(1);
        earlier.map(|(_, signer)| signer.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Keyring([redacted])")
    }
}

/// For how long the links of a card mute.
const OFFERED: [Duration; 2] = [
    Duration::from_secs(60 * 60),
    Duration::from_secs(24 * 60 * 60),
];

/// How long a link may be used: over a weekend.
const GOOD_FOR: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// What the state calls the key.
const NAME: &str = "mute_key";

#[cfg(test)]
mod tests {
    use state::{IssueHash, Memory};

    use super::*;

    #[tokio::test]
    async fn replicas_that_share_state_take_one_anothers_links() {
        let store: Arc<dyn Store> = Arc::new(Memory::new());
        let one = Keyring::new(Arc::clone(&store), None, Key::new("one"));
        let other = Keyring::new(store, None, Key::new("other"));
        let stranger = Keyring::new(Arc::new(Memory::new()), None, Key::new("one?"));

        let links = one.links(URL, issue(), at(0)).await.unwrap();

        let lasts: Vec<u64> = links.iter().map(|(lasts, _)| lasts.as_secs()).collect();
        assert_eq!(lasts, [3_600, 86_400]);
        for (lasts, link) in &links {
            let found = other.verify(&pairs(link), at(1)).await.unwrap();
            assert_eq!((found.issue, found.lasts), (issue(), *lasts));
            let refused = stranger.verify(&pairs(link), at(1)).await.unwrap_err();
            assert!(matches!(refused, Refused::Link(LinkError::Forged)));
        }
    }

    #[tokio::test]
    async fn a_link_is_good_for_three_days() {
        let keyring = Keyring::new(Arc::new(Memory::new()), None, Key::new("k"));
        let links = keyring.links(URL, issue(), at(0)).await.unwrap();
        let link = pairs(&links[0].1);

        let last = keyring.verify(&link, at(3 * 86_400 - 1)).await;
        let late = keyring.verify(&link, at(3 * 86_400)).await;

        assert!(last.is_ok());
        assert!(matches!(late, Err(Refused::Link(LinkError::Expired))));
    }

    #[tokio::test]
    async fn the_operators_key_needs_no_state() {
        let key = Key::new("the operator's");
        let here = Keyring::new(Arc::new(Memory::new()), Some(&key), Key::new("a"));
        let there = Keyring::new(Arc::new(Memory::new()), Some(&key), Key::new("b"));

        let links = here.links(URL, issue(), at(0)).await.unwrap();

        assert!(there.verify(&pairs(&links[0].1), at(1)).await.is_ok());
    }

    #[test]
    fn shows_no_key() {
        let keyring = Keyring::new(Arc::new(Memory::new()), None, Key::new("secret"));

        assert_eq!(
            format!("{:?} {keyring:?}", Key::new("secret")),
            "[redacted] Keyring([redacted])"
        );
    }

    fn pairs(link: &str) -> Vec<(String, String)> {
        let (_, query) = link.split_once('?').unwrap();
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn issue() -> IssueKey {
        IssueKey::new(42, IssueHash::of("a"))
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_782_871_000 + seconds)
    }

    const URL: &str = "https://notice.example.com";
}
