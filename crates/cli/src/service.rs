//! What a service manager is told: that we serve, reload, stop, and that every part still moves.
//!
//! Source: sd_notify(3), systemd.service(5) `Type=notify`, `WatchdogSec=`. Without `NOTIFY_SOCKET` nothing is said.

use std::io;
use std::time::Duration;

use app::{Stage, Vitals};
use sd_notify::NotifyState;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Tells the service manager which stage the process has come to.
pub(crate) fn tell(stage: Stage) {
    match stage {
        Stage::Serving => send(&[NotifyState::Ready]),
        Stage::Stopping => send(&[NotifyState::Stopping]),
    }
}

/// Tells it that the configuration is read anew; [`Stage::Serving`] follows.
pub(crate) fn tell_reloading() {
    let Ok(now) = NotifyState::monotonic_usec_now() else {
        return;
    };
    send(&[NotifyState::Reloading, now]);
}

/// Tells it twice in each of its watchdog's periods that all is well, as long as that is true.
///
/// The task runs on the runtime of pipeline and admin pages: where that stands still, nothing is told either.
pub(crate) fn watch(vitals: Vitals) -> Option<JoinHandle<()>> {
    let period = sd_notify::watchdog_enabled()?;
    Some(tokio::spawn(keep_telling(vitals, period / 2)))
}

async fn keep_telling(mut vitals: Vitals, pause: Duration) {
    // The first time after a pause: until then the process may still be starting.
    let pause = pause.max(SHORTEST);
    let mut ticks = interval_at(Instant::now() + pause, pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match vitals.check() {
            Ok(()) => send(&[NotifyState::Watchdog]),
            Err(still) => tracing::error!(%still, "the watchdog is not told that all is well"),
        }
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        complain(&error);
    }
}

fn complain(error: &io::Error) {
    tracing::warn!(%error, "cannot tell the service manager how it goes");
}

/// The beats of the forwarding threads are some tenths of a second apart.
const SHORTEST: Duration = Duration::from_millis(500);
