//! The distinct users of one issue, as small as they can be counted exactly.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::Seen;

/// Hashes of users: none, one, or a set.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Users {
    first: u64,
    more: Option<Box<More>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct More {
    users: HashSet<u64>,
    is_floor: bool,
}

impl Users {
    /// Counts a user; `room` says how many more hashes all issues together may keep in sets, and becomes less.
    pub(super) fn insert(&mut self, user: u64, room: &mut usize) {
        // Zero stands for nobody.
        let user = user.max(1);
        if self.first == 0 {
            self.first = user;
        }
        if self.first == user {
            return;
        }
        let is_full = *room == 0 || self.count() >= Seen::USERS_COUNTED;
        let more = self.more.get_or_insert_default();
        if more.users.contains(&user) {
            return;
        }
        if is_full {
            more.is_floor = true;
            return;
        }
        *room -= 1;
        more.users.insert(user);
    }

    pub(super) fn count(&self) -> u64 {
        u64::from(self.first != 0) + self.kept() as u64
    }

    pub(super) fn is_exact(&self) -> bool {
        !self.more.as_ref().is_some_and(|more| more.is_floor)
    }

    /// How many hashes it keeps in a set.
    pub(super) fn kept(&self) -> usize {
        self.more.as_ref().map_or(0, |more| more.users.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_exactly_up_to_its_bound_and_says_when_it_no_longer_does() {
        let (mut users, mut room) = (Users::default(), 5_000);

        for round in 0..2 {
            for user in 1..=1_000 {
                users.insert(user, &mut room);
            }
            assert_eq!((users.count(), users.is_exact()), (1_000, true), "{round}");
        }
        users.insert(1_001, &mut room);

        assert_eq!((users.count(), users.is_exact()), (1_000, false));
        assert_eq!(room, 5_000 - 999);
    }

    #[test]
    fn without_room_the_count_is_a_floor() {
        let (mut users, mut room) = (Users::default(), 1);

        for user in 1..=3 {
            users.insert(user, &mut room);
        }

        assert_eq!((users.count(), users.is_exact()), (2, false));
    }
}
