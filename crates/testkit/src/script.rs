//! The stage directions of a fake server, changeable while it runs.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::behaviour::Behaviour;
use crate::received::Received;

/// Decides how each request is treated. Clones share the same directions.
///
/// Directions are tried in the order they were given; the first that applies and is not used up wins. Without one, the
/// default holds, which is [`Behaviour::usual`] until [`Script::always`].
#[derive(Clone, Debug)]
pub struct Script {
    directions: Arc<Mutex<Directions>>,
    released: watch::Sender<u64>,
}

impl Script {
    pub(crate) fn new() -> Self {
        Self {
            directions: Arc::new(Mutex::new(Directions::default())),
            released: watch::Sender::new(0),
        }
    }

    /// Treats the next request like this.
    pub fn next(&self, behaviour: Behaviour) {
        self.next_n(1, behaviour);
    }

    /// Treats the next `count` requests like this.
    pub fn next_n(&self, count: usize, behaviour: Behaviour) {
        self.next_where(count, |_| true, behaviour);
    }

    /// Treats the next `count` requests for which `applies` holds like this.
    ///
    /// `applies` sees the head only: the body is not read yet.
    pub fn next_where(
        &self,
        count: usize,
        applies: impl Fn(&Received) -> bool + Send + Sync + 'static,
        behaviour: Behaviour,
    ) {
        self.lock().queue.push_back(Direction {
            left: count,
            applies: Box::new(applies),
            behaviour,
        });
    }

    /// Treats every request without a direction of its own like this.
    pub fn always(&self, behaviour: Behaviour) {
        self.lock().default = Some(behaviour);
    }

    /// Forgets all directions and the default.
    pub fn clear(&self) {
        *self.lock() = Directions::default();
    }

    /// Lets every answer go that is [held](Behaviour::held) now. Answers held later wait for the next release.
    pub fn release(&self) {
        self.released.send_modify(|times| *times += 1);
    }

    /// Returns how many requests still have a direction waiting for them.
    pub fn pending(&self) -> usize {
        self.lock()
            .queue
            .iter()
            .map(|direction| direction.left)
            .sum()
    }

    pub(crate) fn choose(&self, request: &Received) -> Behaviour {
        let mut directions = self.lock();
        let found = directions
            .queue
            .iter_mut()
            .find(|direction| direction.left > 0 && (direction.applies)(request));
        let behaviour = found.map(|direction| {
            direction.left -= 1;
            direction.behaviour.clone()
        });
        directions.queue.retain(|direction| direction.left > 0);
        behaviour
            .or_else(|| directions.default.clone())
            .unwrap_or_else(Behaviour::usual)
    }

    /// Returns a receiver that sees the releases from now on.
    pub(crate) fn releases(&self) -> watch::Receiver<u64> {
        self.released.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Directions> {
        self.directions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Directions {
    queue: VecDeque<Direction>,
    default: Option<Behaviour>,
}

struct Direction {
    left: usize,
    applies: Box<dyn Fn(&Received) -> bool + Send + Sync>,
    behaviour: Behaviour,
}

impl fmt::Debug for Direction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Direction")
            .field("left", &self.left)
            .field("behaviour", &self.behaviour)
            .finish_non_exhaustive()
    }
}
