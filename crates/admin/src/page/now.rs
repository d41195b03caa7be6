//! The head of the page: how it goes now, and how it went in the last hour.

use std::time::Duration;

use super::View;
use crate::chart;
use crate::history::Minute;
use crate::snapshot::{Snapshot, Upstream};
use crate::words::{bytes, grouped};

/// What is to be seen at a glance.
pub(super) struct Tiles {
    pub(super) per_second: String,
    pub(super) median: String,
    pub(super) slow: String,
    pub(super) upstream: Health,
    pub(super) upstream_slow: String,
    pub(super) spool: Option<SpoolTile>,
    pub(super) waiting: String,
    pub(super) state: Health,
    pub(super) trouble: Option<String>,
    pub(super) backend: &'static str,
}

/// A mark and words for one thing that may be well or not.
pub(super) struct Health {
    /// `ok`, `warn` or `bad`.
    pub(super) class: &'static str,
    pub(super) mark: &'static str,
    pub(super) text: String,
}

pub(super) struct SpoolTile {
    pub(super) health: Health,
    pub(super) bytes: String,
    pub(super) size: String,
    pub(super) percent: u64,
    pub(super) oldest: Option<String>,
    pub(super) refused: Option<String>,
}

pub(super) struct Hour {
    pub(super) requests: String,
    pub(super) most: String,
    pub(super) answered: String,
    pub(super) spooled: String,
    pub(super) lost: String,
    pub(super) refused: String,
    pub(super) latency: String,
    pub(super) slowest: String,
}

pub(super) struct UpstreamRow {
    pub(super) origin: String,
    pub(super) projects: Option<String>,
    pub(super) health: Health,
}

impl View<'_> {
    pub(super) fn tiles(&self, snapshot: &Snapshot) -> Tiles {
        let (admin, language) = (&self.site.admin, self.language);
        let now = self.site.history.now();
        let waiting: usize = admin
            .robots
            .robots()
            .iter()
            .map(|robot| robot.waiting)
            .sum();
        let trouble = admin.store.trouble();
        Tiles {
            per_second: rate(now.per_second),
            median: language.took(now.median),
            slow: language.took(now.slow),
            upstream: self.worst(&snapshot.upstreams),
            upstream_slow: language.took(now.upstream_slow),
            spool: snapshot.spool.map(|spool| self.spool(spool)),
            waiting: grouped(waiting as u64),
            state: match &trouble {
                None => Health::ok(language.words().state_well.to_owned()),
                Some(_) => Health::bad(language.words().state_alone.to_owned()),
            },
            trouble: trouble.map(|trouble| {
                let lasts = language.span(trouble.since.elapsed());
                format!("{}; {} {lasts}", trouble.what, language.words().since)
            }),
            backend: admin.store.backend(),
        }
    }

    pub(super) fn hour(&self) -> Hour {
        let hour = self.site.history.hour();
        let sum = |of: fn(&Minute) -> u64| grouped(hour.iter().map(of).sum());
        let most = hour.iter().map(|minute| minute.span.requests()).max();
        let slowest = hour.iter().filter_map(|minute| minute.slow).max();
        Hour {
            requests: chart::requests(&hour),
            most: grouped(most.unwrap_or_default()),
            answered: sum(|minute| minute.span.answered),
            spooled: sum(|minute| minute.span.spooled),
            lost: sum(|minute| minute.span.lost),
            refused: sum(|minute| minute.span.refused),
            latency: chart::latency(&hour),
            slowest: self.language.took(slowest),
        }
    }

    pub(super) fn upstreams(&self, snapshot: &Snapshot) -> Vec<UpstreamRow> {
        let rows = snapshot.upstreams.iter().map(|upstream| UpstreamRow {
            origin: upstream.origin.clone(),
            projects: (!upstream.projects.is_empty()).then(|| upstream.projects.join(", ")),
            health: self.health_of(upstream),
        });
        rows.collect()
    }

    fn worst(&self, upstreams: &[Upstream]) -> Health {
        let badness = |upstream: &&Upstream| (upstream.down_for, upstream.is_late);
        match upstreams.iter().max_by_key(badness) {
            Some(upstream) => self.health_of(upstream),
            None => Health::warn("–".to_owned()),
        }
    }

    fn health_of(&self, upstream: &Upstream) -> Health {
        let words = self.language.words();
        match (upstream.down_for, upstream.is_late) {
            (Some(down), _) => {
                let lasts = self.language.span(down);
                Health::bad(format!("{}, {} {lasts}", words.down, words.since))
            }
            (None, true) => Health::warn(words.late.to_owned()),
            (None, false) => Health::ok(words.up.to_owned()),
        }
    }

    fn spool(&self, spool: crate::snapshot::Spool) -> SpoolTile {
        let words = self.language.words();
        let percent = (spool.bytes * 100)
            .checked_div(spool.size)
            .unwrap_or_default();
        let depth = format!("{} {}", grouped(spool.requests), words.waiting);
        let health = match spool {
            _ if spool.is_failing => Health::bad(words.spool_failing.to_owned()),
            _ if percent >= 80 => Health::bad(depth),
            _ if spool.requests > 0 => Health::warn(depth),
            _ => Health::ok(depth),
        };
        SpoolTile {
            health,
            bytes: bytes(spool.bytes),
            size: bytes(spool.size),
            percent: percent.min(100),
            oldest: spool.oldest.map(|age: Duration| self.language.span(age)),
            refused: (spool.refused > 0).then(|| grouped(spool.refused)),
        }
    }
}

impl Health {
    pub(super) fn ok(text: String) -> Self {
        let (class, mark) = ("ok", "✓");
        Self { class, mark, text }
    }

    pub(super) fn warn(text: String) -> Self {
        let (class, mark) = ("warn", "△");
        Self { class, mark, text }
    }

    pub(super) fn bad(text: String) -> Self {
        let (class, mark) = ("bad", "✕");
        Self { class, mark, text }
    }
}

fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 10.0 => grouped(rate.round() as u64),
        rate => format!("{rate:.1}"),
    }
}
