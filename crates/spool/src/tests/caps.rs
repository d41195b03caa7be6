//! What the spool may hold, and for how long.

use std::time::Duration;

use super::stage::{Stage, config, start};
use crate::config::Config;
use crate::error::AppendError;
use crate::fs::sim::Sim;

#[test]
fn a_full_spool_refuses_and_keeps_what_it_has() {
    let sim = Sim::default();
    let mut stage = Stage::open_at(&sim, small(), start());

    let mut safe = Vec::new();
    for number in 1..200 {
        match stage.append(&[number]).remove(0) {
            Ok(_) => safe.push(number),
            Err(error) => assert!(matches!(error, AppendError::Full), "{error}"),
        }
    }

    let counts = stage.shared.counters.read();
    assert!(counts.bytes <= small().max_size, "{}", counts.bytes);
    assert_eq!(counts.refused_full, 199 - safe.len() as u64);
    assert!(safe.len() > 10 && safe.len() < 199);
    assert_eq!(stage.numbers(), safe);
    assert_eq!(counts.bytes, on_disk(&sim));
}

#[test]
fn a_spool_that_drained_takes_requests_again() {
    let sim = Sim::default();
    let mut stage = Stage::open_at(&sim, small(), start());
    for number in 1..200 {
        stage.append(&[number]);
    }

    while let Some(sequence) = stage.take() {
        stage.finish(sequence);
    }
    stage.log.close_segment(stage.now);
    stage.keeper.tidy(stage.now);

    assert_eq!(stage.shared.counters.read().bytes, on_disk(&sim));
    assert_eq!(sim.files().len(), 1, "only the lock is left");
    stage.append(&[1])[0].as_ref().unwrap();
}

#[test]
fn one_request_that_stays_does_not_keep_the_room_of_those_that_left() {
    let sim = Sim::default();
    let mut stage = Stage::open_at(&sim, small(), start());
    for round in 0..30 {
        for number in 0..20 {
            stage.append(&[1 + round * 20 + number]);
        }
        let mut kept = None;
        while let Some(sequence) = stage.take() {
            match kept {
                None => kept = Some(sequence),
                Some(_) => stage.finish(sequence),
            }
        }
        stage.shared.index().release(kept.unwrap());
        stage.keeper.tidy(stage.now);
    }

    let counts = stage.shared.counters.read();
    assert_eq!(counts.refused_full, 0);
    assert_eq!(counts.bytes, on_disk(&sim));
    drop(stage);
    assert_eq!(Stage::open_at(&sim, small(), start()).damaged(), 0);
}

#[test]
fn refused_requests_leave_before_fresh_ones_are_kept_out() {
    let sim = Sim::default();
    let mut stage = Stage::open_at(&sim, small(), start());
    for number in 1..300 {
        stage.append(&[number])[0].as_ref().unwrap();
        let sequence = stage.take().unwrap();
        stage.refuse(sequence, 403);
        stage.keeper.tidy(stage.now);
    }

    let counts = stage.shared.counters.read();
    assert!(counts.evicted > 0);
    assert_eq!(counts.evicted + stage.shared.index().refused(), 299);
}

#[test]
fn what_is_refused_stays_refused_after_a_restart() {
    let sim = Sim::default();
    let mut stage = Stage::open(&sim);
    stage.append(&[1, 2, 3]);
    let sequence = stage.take().unwrap();
    stage.refuse(sequence, 413);
    drop(stage);

    let stage = Stage::open(&sim);

    let index = stage.shared.index();
    assert_eq!((index.requests(), index.refused()), (2, 1));
    assert_eq!(index.lanes().waiting(), 2);
}

#[test]
fn requests_expire_by_the_time_that_the_spool_was_open() {
    let sim = Sim::default();
    let mut stage = Stage::open_at(&sim, aging(), start());
    stage.append(&[1]);
    stage.later(3000);
    stage.append(&[2]);
    stage.later(1000);
    stage.keeper.tidy(stage.now);

    assert_eq!(stage.numbers(), [2]);
    assert_eq!(stage.shared.counters.read().expired, 1);
}

#[test]
fn what_is_being_sent_does_not_expire() {
    let sim = Sim::default();
    let mut stage = Stage::open_at(&sim, aging(), start());
    stage.append(&[1]);
    let sequence = stage.take().unwrap();
    stage.later(100_000);
    stage.keeper.tidy(stage.now);
    assert_eq!(stage.numbers(), [1]);

    stage.shared.index().release(sequence);
    stage.keeper.tidy(stage.now);
    assert!(stage.numbers().is_empty());
}

#[test]
fn a_jump_of_the_wall_clock_expires_nothing() {
    let years = Duration::from_secs(10 * 365 * 86400);
    for jump in [start().wall + years, start().wall - years] {
        let sim = Sim::default();
        let config = Config {
            max_age: Duration::from_secs(72 * 3600),
            ..config()
        };
        let mut stage = Stage::open_at(&sim, config.clone(), start());
        stage.append(&[1]);
        stage.now.wall = jump;
        stage.append(&[2]);
        stage.keeper.tidy(stage.now);
        drop(stage);
        for _ in 0..20 {
            let mut now = start();
            now.wall = jump;
            let mut stage = Stage::open_at(&sim, config.clone(), now);
            stage.later(60);
            stage.log.tick(stage.now);
            stage.keeper.tidy(stage.now);

            assert_eq!(stage.numbers(), [1, 2]);
        }
    }
}

#[test]
fn ages_go_on_after_a_restart() {
    let sim = Sim::default();
    let mut stage = Stage::open_at(&sim, aging(), start());
    stage.append(&[1]);
    stage.later(3000);
    stage.log.tick(stage.now);
    let now = stage.now;
    drop(stage);

    let mut stage = Stage::open_at(&sim, aging(), now);
    stage.later(700);
    stage.keeper.tidy(stage.now);

    assert!(stage.numbers().is_empty());
}

fn on_disk(sim: &Sim) -> u64 {
    let files = sim.files();
    let bytes = files.values().map(|bytes| bytes.len() as u64);
    bytes.sum::<u64>() - files["spool.lock"].len() as u64
}

fn small() -> Config {
    Config {
        max_size: 24 << 10,
        ..config()
    }
}

fn aging() -> Config {
    Config {
        max_age: Duration::from_secs(3600),
        ..config()
    }
}
