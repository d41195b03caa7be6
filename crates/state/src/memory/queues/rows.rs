//! The outbox on its way to a file and back, and as another store takes it over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Held, Order, Queues, Stored, parcel_row};
use crate::memory::moment;
use crate::memory::persist::Known;
use crate::memory::unsaved::{Row, encode};
use crate::outbox::Owned;
use crate::{IssueKey, RouteKey, Word};

/// A message as a file keeps it; its robot and id are its name there.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::memory) struct StoredRow {
    order: Order,
    word: Option<Word>,
    late_after: Duration,
    gather_until: Option<u64>,
    payload: Vec<u8>,
}

impl Queues {
    /// Starts to mark what a file does not know.
    pub(in crate::memory) fn mark(&mut self, known: Known) {
        self.marks.switch_on();
        self.claims.marks.switch_on();
        if known == Known::Everything {
            return;
        }
        for (robot, queue) in &self.robots {
            self.marks.mark(|| Row::Missed(robot.clone()));
            for id in queue.ids.keys() {
                self.marks.mark(|| parcel_row(robot, id));
            }
        }
        for (issue, route) in self.claims.words.keys() {
            self.claims.marks.mark(|| Row::Claim(*issue, *route));
        }
    }

    pub(in crate::memory) fn stop_marking(&mut self) {
        self.marks.switch_off();
        self.claims.marks.switch_off();
    }

    pub(in crate::memory) fn has_unsaved(&self) -> bool {
        self.marks.has_any() || self.claims.marks.has_any()
    }

    /// Returns each row that changed and what it holds now; `None` when it is gone.
    pub(in crate::memory) fn take_unsaved(&mut self) -> Vec<(Row, Option<Vec<u8>>)> {
        let rows = self
            .marks
            .take()
            .into_iter()
            .chain(self.claims.marks.take());
        let rows: Vec<Row> = rows.collect();
        rows.into_iter()
            .map(|row| {
                let value = self.row(&row);
                (row, value)
            })
            .collect()
    }

    pub(in crate::memory) fn restore_parcel(&mut self, robot: &str, id: &str, row: StoredRow) {
        self.put = self.put.max(row.order.2);
        self.bytes += row.payload.len();
        let stored = Stored {
            id: id.into(),
            word: row.word,
            late_after: row.late_after,
            gather_until: row.gather_until,
            payload: row.payload.into(),
        };
        self.robots
            .entry(robot.into())
            .or_default()
            .add(row.order, stored);
    }

    pub(in crate::memory) fn restore_missed(&mut self, robot: &str, missed: u64) {
        self.robots.entry(robot.into()).or_default().missed = missed;
    }

    pub(in crate::memory) fn restore_claim(
        &mut self,
        issue: IssueKey,
        route: RouteKey,
        held: Held,
    ) {
        self.claims.insert((issue, route), held);
    }

    /// Returns everything that waits, robots of one message together.
    pub(in crate::memory) fn parcels(&self) -> Vec<Owned> {
        let mut parcels: HashMap<&str, Owned> = HashMap::new();
        for (robot, queue) in &self.robots {
            for (order, stored) in queue.alone.iter().chain(&queue.gathered) {
                let is_told = stored.word.is_some_and(|word| self.claims.is_told(&word));
                let owned = parcels.entry(&stored.id).or_insert_with(|| Owned {
                    id: stored.id.to_string(),
                    word: stored.word,
                    robots: Vec::new(),
                    priority: order.0,
                    gather_until: stored.gather_until.map(moment),
                    late_after: stored.late_after,
                    payload: Arc::clone(&stored.payload),
                    put: moment(order.1),
                    is_told,
                });
                owned.robots.push(robot.to_string());
            }
        }
        let mut parcels: Vec<Owned> = parcels.into_values().collect();
        parcels.sort_by_key(|owned| owned.put);
        parcels
    }

    fn row(&self, row: &Row) -> Option<Vec<u8>> {
        match row {
            Row::Parcel(robot, id) => {
                let queue = self.robots.get(robot)?;
                let order = queue.ids.get(&**id)?;
                let stored = queue.alone.get(order);
                let stored = stored.or_else(|| queue.gathered.get(order))?;
                encode(&StoredRow {
                    order: *order,
                    word: stored.word,
                    late_after: stored.late_after,
                    gather_until: stored.gather_until,
                    payload: stored.payload.to_vec(),
                })
            }
            Row::Missed(robot) => {
                let missed = self.robots.get(robot)?.missed;
                (missed > 0).then(|| encode(&missed)).flatten()
            }
            Row::Claim(issue, route) => encode(self.claims.words.get(&(*issue, *route))?),
            Row::Budget(_) | Row::Report(_) | Row::Mute(_) | Row::Kept(_) => None,
        }
    }
}
