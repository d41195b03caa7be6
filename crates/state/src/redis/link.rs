//! The connection to Redis: opened when asked to, given up when it breaks, and no call waits longer than its budget.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{RedisError, ScriptInvocation, Value};
use tokio::time::timeout;

use super::address::{Address, Connection};
use super::answer::Answer;
use crate::Unavailable;

/// The way to Redis.
pub(super) struct Link {
    address: Address,
    budget: Duration,
    current: Mutex<Option<Connection>>,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("not connected")]
    NotConnected,
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error(transparent)]
    Refused(RedisError),
}

impl Link {
    pub(super) fn new(address: Address, budget: Duration) -> Self {
        Self {
            address,
            budget,
            current: Mutex::new(None),
        }
    }

    /// Opens a connection in the place of the one there is.
    pub(super) async fn connect(&self) -> Result<(), Unavailable> {
        let opened = timeout(CONNECT, self.address.connect(CONNECT)).await;
        let opened = opened.map_err(|_| unavailable(NoAnswer::Late(CONNECT)))?;
        let connection = opened.map_err(|error| unavailable(NoAnswer::Refused(error)))?;
        *self.lock() = Some(connection);
        Ok(())
    }

    pub(super) fn is_connected(&self) -> bool {
        self.lock().is_some()
    }

    /// Gives the connection up.
    pub(super) fn disconnect(&self) {
        *self.lock() = None;
    }

    /// Runs a script.
    pub(super) async fn call(&self, script: &ScriptInvocation<'_>) -> Result<Answer, Unavailable> {
        let Some(mut connection) = self.lock().clone() else {
            return Err(unavailable(NoAnswer::NotConnected));
        };
        let answer = timeout(self.budget, script.invoke_async::<Value>(&mut connection)).await;
        match answer {
            Ok(Ok(value)) => Ok(Answer::of(value)),
            Ok(Err(error)) => Err(self.refused(error)),
            Err(_) => Err(unavailable(NoAnswer::Late(self.budget))),
        }
    }

    /// Runs a command.
    pub(super) async fn ask(&self, command: &redis::Cmd) -> Result<Answer, Unavailable> {
        let Some(mut connection) = self.lock().clone() else {
            return Err(unavailable(NoAnswer::NotConnected));
        };
        let answer = timeout(self.budget, command.query_async::<Value>(&mut connection)).await;
        match answer {
            Ok(Ok(value)) => Ok(Answer::of(value)),
            Ok(Err(error)) => Err(self.refused(error)),
            Err(_) => Err(unavailable(NoAnswer::Late(self.budget))),
        }
    }

    fn refused(&self, error: RedisError) -> Unavailable {
        if error.is_unrecoverable_error() || error.is_connection_dropped() {
            self.disconnect();
        }
        unavailable(NoAnswer::Refused(error))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a call that takes too long ends with.
#[cfg(test)]
pub(crate) fn late() -> Unavailable {
    unavailable(NoAnswer::Late(Duration::from_millis(50)))
}

/// Returns whether a call only took too long: it may still take effect.
pub(crate) fn is_late(error: &Unavailable) -> bool {
    let cause = error.source.downcast_ref::<NoAnswer>();
    matches!(cause, Some(NoAnswer::Late(_)))
}

pub(super) fn unavailable(source: impl std::error::Error + Send + Sync + 'static) -> Unavailable {
    Unavailable {
        backend: super::BACKEND,
        source: Box::new(source),
    }
}

/// How long opening a connection may take; no call waits for it.
const CONNECT: Duration = Duration::from_secs(1);
