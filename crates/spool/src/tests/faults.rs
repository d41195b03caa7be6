//! Disks that are full or failing: no request is promised that is not safe, and everything goes on once they are well.

use std::sync::Arc;
use std::time::Duration;

use super::stage::{Stage, config};
use crate::config::Config;
use crate::error::AppendError;
use crate::frame::Mark;
use crate::fs::sim::{Faults, Sim, Step};
use crate::keeper::Keeper;
use crate::marks;
use crate::repair;

#[test]
fn a_full_disk_refuses_and_takes_again_within_a_second_of_having_room() {
    let sim = Sim::default();
    let mut stage = Stage::open(&sim);
    let room = 6000;
    sim.fail(Faults {
        capacity: room,
        ..Faults::default()
    });
    let mut safe = Vec::new();
    for number in 1..60 {
        match stage.append(&[number]).remove(0) {
            Ok(_) => safe.push(number),
            Err(error) => assert!(matches!(error, AppendError::Disk(_)), "{error}"),
        }
        stage.now.instant += Duration::from_millis(10);
    }
    assert!(stage.shared.counters.read().is_failing);
    assert_eq!(stage.numbers(), safe);

    sim.fail(Faults::default());
    stage.now.instant += Duration::from_secs(1);

    stage.append(&[100])[0].as_ref().unwrap();
    assert!(!stage.shared.counters.read().is_failing);
    safe.push(100);
    drop(stage);
    assert_eq!(Stage::open(&sim).numbers(), safe);
}

#[test]
fn what_is_done_is_written_down_on_a_full_disk() {
    let sim = Sim::default();
    let mut stage = Stage::open(&sim);
    stage.append(&[1, 2, 3]);
    sim.fail(Faults {
        capacity: 1,
        ..Faults::default()
    });

    let sequence = stage.take().unwrap();
    stage.finish(sequence);
    drop(stage);

    assert_eq!(Stage::open(&sim).numbers(), [2, 3]);
}

#[test]
fn a_failed_sync_is_never_tried_again_on_the_same_file() {
    for after in 0..8 {
        let sim = Sim::default();
        let mut stage = Stage::open(&sim);
        stage.append(&[1]);
        sim.fail(Faults {
            after,
            count: 1,
            code: 5,
            ..Faults::default()
        });

        for number in 2..6 {
            stage.append(&[number])[0].as_ref().unwrap();
        }

        let mut failed = None;
        for step in sim.steps() {
            match step {
                Step::SyncFailed(node) => failed = Some(node),
                Step::Sync(node) | Step::Write(node, ..) => assert_ne!(failed, Some(node)),
                _ => {}
            }
        }
        assert_eq!(stage.shared.counters.read().write_errors, 1);
        assert_eq!(stage.numbers(), [1, 2, 3, 4, 5]);
        drop(stage);
        let mut stage = Stage::open(&sim);
        assert_eq!((stage.numbers(), stage.damaged()), (vec![1, 2, 3, 4, 5], 0));
    }
}

#[test]
fn what_a_failed_batch_left_in_a_file_is_not_sent_twice() {
    let sim = Sim::default();
    let mut stage = Stage::open(&sim);
    stage.append(&[1]);
    // The sync fails, and then the cut that would have removed the batch.
    sim.fail(Faults {
        after: 1,
        count: 2,
        code: 5,
        ..Faults::default()
    });
    stage.append(&[2, 3])[0].as_ref().unwrap();
    drop(stage);

    for _ in 0..2 {
        let mut stage = Stage::open(&sim);
        assert_eq!((stage.numbers(), stage.damaged()), (vec![1, 2, 3], 0));
    }
}

#[test]
fn what_ends_while_its_segment_is_written_anew_is_not_sent_again() {
    let sim = Sim::default();
    let mut stage = Stage::open(&sim);
    let sequences = stage.append(&[1, 2, 3, 4]);
    let [one, two, three, _] = [0, 1, 2, 3].map(|index| *sequences[index].as_ref().unwrap());
    stage.log.close_segment(stage.now);
    let keeper = Keeper::new(Arc::clone(&stage.shared), stage.clock);
    stage.finish(one);
    assert_eq!(stage.take(), Some(two));

    let shared = Arc::clone(&stage.shared);
    sim.before_create(move || {
        keeper.drop_request(three);
        shared.index().refuse(two, 403);
        marks::mark(&shared, two, Mark::Refused(403));
    });
    let first = *stage.shared.index().segments().next().unwrap().0;
    repair::compact(&stage.shared, first, None).unwrap();
    drop(stage);

    let mut stage = Stage::open(&sim);
    assert_eq!((stage.numbers(), stage.damaged()), (vec![2, 4], 0));
    assert_eq!(stage.shared.index().refused(), 1);
}

#[test]
fn a_disk_that_stays_broken_is_not_hammered() {
    let sim = Sim::default();
    let mut stage = Stage::open(&sim);
    sim.fail(Faults {
        count: u64::MAX,
        code: 5,
        ..Faults::default()
    });

    for number in 0..1000 {
        stage.append(&[number])[0].as_ref().unwrap_err();
        stage.now.instant += Duration::from_millis(1);
    }

    let errors = stage.shared.counters.read().write_errors;
    assert!((4..=12).contains(&errors), "{errors} in a second");
}

#[test]
fn short_writes_are_continued() {
    let sim = Sim::default();
    let mut stage = Stage::open(&sim);
    sim.fail(Faults {
        is_short: true,
        ..Faults::default()
    });

    stage.append(&[1, 2, 3]);
    stage.append_file(4).unwrap();
    drop(stage);

    assert_eq!(Stage::open(&sim).numbers(), [1, 2, 3, 4]);
}

#[test]
fn a_body_that_the_disk_does_not_take_leaves_nothing_behind() {
    for after in 0..5 {
        let sim = Sim::default();
        let mut stage = Stage::open(&sim);
        let before = sim.files().len();
        sim.fail(Faults {
            after,
            count: u64::MAX,
            code: 28,
            ..Faults::default()
        });

        stage.append_file(1).unwrap_err();

        assert_eq!(sim.files().len(), before);
    }
}

#[test]
fn a_spool_opens_on_a_full_disk() {
    let sim = Sim::default();
    let mut stage = Stage::open(&sim);
    stage.append(&[1, 2]);
    drop(stage);
    sim.fail(Faults {
        count: u64::MAX,
        code: 28,
        ..Faults::default()
    });

    let mut stage = Stage::open_at(
        &sim,
        Config {
            max_size: 100,
            ..config()
        },
        super::stage::start(),
    );

    assert_eq!(stage.numbers(), [1, 2]);
}
