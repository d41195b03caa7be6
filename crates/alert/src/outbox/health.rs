//! What people see of robots: the last verdict, and how much waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use state::Report;

use crate::notifier::Notifier;

/// What the status page shows of a robot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RobotHealth {
    /// The robot's name in the config.
    pub name: String,
    /// Messages it may send in any 60 seconds, through all of its channels.
    pub per_minute: u32,
    /// Names of the budgets of its channels, as [`state::Store::spent`] knows them.
    pub buckets: Vec<String>,
    /// Messages that wait for it.
    pub waiting: usize,
    /// The newest verdict on a message, of whichever replica sent it.
    pub last: Option<Report>,
}

/// A view of every robot's state.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Vec<RobotHealth>>>);

impl Health {
    pub(super) fn of(robots: &[Arc<dyn Notifier>]) -> Self {
        let robots = robots.iter().map(|robot| {
            let channels = robot.channels();
            RobotHealth {
                name: robot.name().to_owned(),
                per_minute: channels.iter().map(|channel| channel.per_minute).sum(),
                buckets: channels.into_iter().map(|channel| channel.bucket).collect(),
                waiting: 0,
                last: None,
            }
        });
        Self(Arc::new(Mutex::new(robots.collect())))
    }

    /// Returns the state of every robot, by name.
    pub fn robots(&self) -> Vec<RobotHealth> {
        self.lock().clone()
    }

    /// Notes how much waits for a robot; returns the sum of all.
    pub(super) fn set_waiting(&self, robot: &str, waiting: usize) -> usize {
        let mut robots = self.lock();
        if let Some(known) = robots.iter_mut().find(|known| known.name == robot) {
            known.waiting = waiting;
        }
        robots.iter().map(|robot| robot.waiting).sum()
    }

    /// Keeps a verdict; returns the one before.
    pub(super) fn note(&self, report: Report) -> Option<Report> {
        let mut robots = self.lock();
        let robot = robots.iter_mut().find(|robot| robot.name == report.robot)?;
        robot.last.replace(report)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<RobotHealth>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
