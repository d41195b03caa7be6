//! Tells open pages that something has changed: one short line a second at most, to a bounded number of them.
//!
//! Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::site::Site;
use crate::snapshot::Snapshot;

/// Who listens, and what they are told.
#[derive(Debug)]
pub(crate) struct Live {
    /// How often something has changed.
    changes: watch::Sender<u64>,
    seats: Arc<Semaphore>,
}

/// One open page; its seat is free again when it is dropped.
struct Listener {
    changes: watch::Receiver<u64>,
    _seat: OwnedSemaphorePermit,
}

/// What the last look found.
#[derive(Debug, Default)]
struct Look {
    print: u64,
    /// An event is forwarded first and looked into after that, so pages are told once more a second later.
    had_changed: bool,
    looks: u64,
}

impl Live {
    pub(crate) fn new() -> Self {
        Self {
            changes: watch::Sender::new(0),
            seats: Arc::new(Semaphore::new(SEATS)),
        }
    }

    fn listen(&self) -> Option<Listener> {
        let seat = Arc::clone(&self.seats).try_acquire_owned().ok()?;
        Some(Listener {
            changes: self.changes.subscribe(),
            _seat: seat,
        })
    }
}

/// Answers with a stream of `data: 7` lines that ends when the client leaves or the program stops.
pub(crate) async fn events(State(site): State<Site>) -> Response {
    let Some(listener) = site.live.listen() else {
        let hint = "too many pages are open\nhint: reload this one by hand\n";
        return (StatusCode::SERVICE_UNAVAILABLE, hint).into_response();
    };
    let closing = site.closing.clone();
    let events = stream::unfold(
        (listener, closing),
        |(mut listener, mut closing)| async move {
            tokio::select! {
                changed = listener.changes.changed() => changed.ok()?,
                _ = closing.wait_for(|closing| *closing) => return None,
            }
            let number = *listener.changes.borrow_and_update();
            let event = Event::default().data(number.to_string());
            Some((Ok::<_, Infallible>(event), (listener, closing)))
        },
    );
    let beats = KeepAlive::new().interval(KEEP_ALIVE);
    Sse::new(events).keep_alive(beats).into_response()
}

/// Samples the counters every second, and tells open pages when something has changed. Never ends.
pub(crate) async fn watch_over(site: Site) {
    let mut turns = tokio::time::interval(SECOND);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look = Look::default();
    loop {
        turns.tick().await;
        let snapshot = (site.admin.probe)();
        let print = fingerprint(&site, &snapshot);
        site.history.sample(snapshot.traffic, Instant::now());
        if look.is_news(print) {
            site.live.changes.send_modify(|changes| *changes += 1);
        }
    }
}

impl Look {
    fn is_news(&mut self, print: u64) -> bool {
        self.looks += 1;
        let has_changed = print != self.print;
        let is_news = has_changed || self.had_changed || self.looks.is_multiple_of(EVEN_SO);
        self.print = print;
        self.had_changed = has_changed;
        is_news
    }
}

/// Differs when most of what pages show is another; the rest, such as mutes, comes with the next look that counts.
fn fingerprint(site: &Site, snapshot: &Snapshot) -> u64 {
    let mut hasher = DefaultHasher::new();
    snapshot.traffic.requests().hash(&mut hasher);
    for upstream in &snapshot.upstreams {
        (
            &upstream.origin,
            upstream.down_for.is_some(),
            upstream.is_late,
        )
            .hash(&mut hasher);
    }
    let spool = snapshot.spool.unwrap_or_default();
    (spool.requests, spool.refused, spool.is_failing).hash(&mut hasher);
    for robot in site.admin.robots.robots() {
        let last = robot.last.map(|report| report.at);
        (robot.name, robot.waiting, last).hash(&mut hasher);
    }
    site.admin.journal.count().hash(&mut hasher);
    hasher.finish()
}

/// Pages that are told at the same time.
pub(crate) const SEATS: usize = 32;

const SECOND: Duration = Duration::from_secs(1);

/// Pages are told every so many seconds though nothing has changed: ages grow.
const EVEN_SO: u64 = 10;

/// A client that has left without a word is found out by the next line that it cannot be sent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_is_told_twice_and_then_seldom() {
        let mut look = Look::default();

        let told: String = [7, 7, 7, 8, 8, 8, 8, 8, 8, 8, 8]
            .into_iter()
            .map(|print| if look.is_news(print) { '!' } else { '.' })
            .collect();

        assert_eq!(told, "!!.!!....!.");
    }

    #[test]
    fn there_are_so_many_seats_and_one_is_free_again_when_its_page_leaves() {
        let live = Live::new();

        let mut listeners: Vec<_> = (0..SEATS).map(|_| live.listen().unwrap()).collect();
        assert!(live.listen().is_none());
        listeners.pop();

        assert!(live.listen().is_some());
    }
}
