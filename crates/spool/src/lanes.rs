//! Which requests wait, in lanes: the oldest first, over all lanes that may go.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;

use crate::record::Lane;

/// The lanes that have requests.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    ids: HashMap<Lane, u32>,
    lanes: HashMap<u32, State>,
    /// The oldest waiting request of each lane.
    heads: BTreeSet<(u64, u32)>,
    next: u32,
}

#[derive(Debug)]
struct State {
    lane: Lane,
    /// Requests in the spool, whatever they do.
    kept: u64,
    waiting: BTreeSet<u64>,
}

impl Lanes {
    /// Counts a request in, and returns its lane's number.
    pub(crate) fn enter(&mut self, lane: &Lane) -> u32 {
        let id = match self.ids.get(lane) {
            Some(id) => *id,
            None => self.open(lane.clone()),
        };
        self.state(id).kept += 1;
        id
    }

    /// Counts a request out.
    pub(crate) fn leave(&mut self, id: u32) {
        let state = self.state(id);
        state.kept -= 1;
        if state.kept == 0 {
            let state = self.lanes.remove(&id).expect("it was just there");
            self.ids.remove(&state.lane);
        }
    }

    /// Lets a request wait.
    pub(crate) fn wait(&mut self, id: u32, sequence: u64) {
        self.change(id, |waiting| waiting.insert(sequence));
    }

    /// Lets a request wait no longer; `false` if it did not.
    pub(crate) fn unwait(&mut self, id: u32, sequence: u64) -> bool {
        self.change(id, |waiting| waiting.remove(&sequence))
    }

    /// Returns the oldest waiting request of the lanes that may go.
    pub(crate) fn oldest(&self, mut may_go: impl FnMut(&Lane) -> bool) -> Option<(u32, u64)> {
        self.heads
            .iter()
            .find(|(_, id)| may_go(&self.lanes[id].lane))
            .map(|(sequence, id)| (*id, *sequence))
    }

    /// Returns how many requests wait.
    pub(crate) fn waiting(&self) -> u64 {
        let all = self.lanes.values();
        all.map(|state| state.waiting.len() as u64).sum()
    }

    /// Returns how many requests there are of each project.
    pub(crate) fn projects(&self) -> BTreeMap<Option<u64>, u64> {
        let mut projects = BTreeMap::new();
        for state in self.lanes.values() {
            *projects.entry(state.lane.project).or_default() += state.kept;
        }
        projects
    }

    fn open(&mut self, lane: Lane) -> u32 {
        while self.lanes.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        self.ids.insert(lane.clone(), id);
        let state = State {
            lane,
            kept: 0,
            waiting: BTreeSet::new(),
        };
        self.lanes.insert(id, state);
        id
    }

    fn change(&mut self, id: u32, change: impl FnOnce(&mut BTreeSet<u64>) -> bool) -> bool {
        let mut waiting = mem::take(&mut self.state(id).waiting);
        let before = waiting.first().copied();
        let changed = change(&mut waiting);
        let after = waiting.first().copied();
        self.state(id).waiting = waiting;
        if before != after {
            before.map(|sequence| self.heads.remove(&(sequence, id)));
            after.map(|sequence| self.heads.insert((sequence, id)));
        }
        changed
    }

    fn state(&mut self, id: u32) -> &mut State {
        let state = self.lanes.get_mut(&id);
        state.expect("a lane lives as long as its requests")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first_and_a_lane_that_is_held_up_holds_up_no_other() {
        let mut lanes = Lanes::default();
        let [errors, sessions] = [1, 2].map(|categories| Lane {
            project: Some(42),
            key: None,
            categories,
        });
        for (sequence, lane) in [(1, &errors), (2, &sessions), (3, &errors)] {
            let id = lanes.enter(lane);
            lanes.wait(id, sequence);
        }

        assert_eq!(lanes.oldest(|_| true), Some((0, 1)));
        assert_eq!(lanes.oldest(|lane| lane.categories != 1), Some((1, 2)));
        assert_eq!(lanes.oldest(|_| false), None);

        assert!(lanes.unwait(0, 1));
        assert_eq!(lanes.oldest(|_| true), Some((1, 2)));
        lanes.wait(0, 1);
        assert_eq!(lanes.oldest(|_| true), Some((0, 1)));
        assert_eq!(lanes.waiting(), 3);
        assert_eq!(lanes.projects(), BTreeMap::from([(Some(42), 3)]));
    }

    #[test]
    fn a_lane_without_requests_is_forgotten() {
        let mut lanes = Lanes::default();
        for project in 0..1000 {
            let lane = Lane {
                project: Some(project),
                ..Lane::default()
            };
            let id = lanes.enter(&lane);
            lanes.wait(id, project);
            assert!(lanes.unwait(id, project));
            lanes.leave(id);
        }

        assert!(lanes.ids.is_empty() && lanes.lanes.is_empty() && lanes.heads.is_empty());
    }
}
