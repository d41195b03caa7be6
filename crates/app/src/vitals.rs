//! How the process is, for whoever watches over it from outside.

use std::sync::{Arc, Weak};

/// What the process has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Requests are accepted; told at the start and after each reload.
    Serving,
    /// It takes no more requests and finishes what it has.
    Stopping,
}

/// The parts whose standstill would make the process useless.
#[derive(Debug, Clone)]
pub struct Vitals {
    forwarding: proxy::Pulse,
    pipeline: Weak<()>,
}

/// A part that stands still.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Still {
    /// These forwarding threads, from 0.
    #[error("forwarding threads {0:?} stand still")]
    Forwarding(Vec<usize>),
    /// The pipeline has ended.
    #[error("the pipeline has ended")]
    Pipeline,
}

impl Vitals {
    pub(crate) fn new(forwarding: proxy::Pulse, pipeline: &Arc<()>) -> Self {
        Self {
            forwarding,
            pipeline: Arc::downgrade(pipeline),
        }
    }

    /// Looks whether every part has moved since it was last asked; ask at most twice a second.
    ///
    /// # Errors
    /// The first part that stands still.
    pub fn check(&mut self) -> Result<(), Still> {
        let still = self.forwarding.still();
        if !still.is_empty() {
            return Err(Still::Forwarding(still));
        }
        if self.pipeline.strong_count() == 0 {
            return Err(Still::Pipeline);
        }
        Ok(())
    }
}
