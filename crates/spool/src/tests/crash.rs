//! The power fails at every step, and each time a different part of what was not synced is there: nothing that was promised
//! is lost.

use std::collections::{BTreeMap, BTreeSet};

use super::stage::{Stage, config, start};
use crate::chance::Chance;
use crate::config::Config;
use crate::fs::sim::{Faults, Platter, Sim, coin};

/// What a history promised, by the step at which it did.
#[derive(Default)]
struct Oracle {
    /// Each request's step after which it is safe.
    safe: BTreeMap<u64, usize>,
    /// Each request's step from which it may be gone.
    gone: BTreeMap<u64, usize>,
    appended: BTreeSet<u64>,
    /// Requests that may leave when there is no room.
    refused: Vec<u64>,
}

#[test]
fn nothing_safe_is_lost_at_any_step_of_many_histories() {
    let mut images = 0;
    for seed in 0..HISTORIES {
        let sim = Sim::default();
        let oracle = play(&sim, seed, Faults::default());
        images += crash_everywhere(&sim, &oracle, seed, IMAGES);
    }

    println!("{images} crash images");
    assert!(images >= 50_000, "{images}");
}

#[test]
fn nothing_safe_is_lost_when_the_disk_fails_before_the_power_does() {
    for seed in 0..40 {
        let sim = Sim::default();
        let faults = Faults {
            after: 5 + seed,
            count: 1 + seed % 3,
            code: if seed % 2 == 0 { 5 } else { 28 },
            capacity: 0,
            is_short: seed % 5 == 0,
        };
        let oracle = play(&sim, seed, faults);
        crash_everywhere(&sim, &oracle, seed, 3);
    }
}

#[test]
fn nothing_safe_is_lost_when_the_power_fails_again_while_opening() {
    let mut chance = Chance::repeating(1);
    for seed in 0..12 {
        let sim = Sim::default();
        let oracle = play(&sim, seed, Faults::default());
        let steps = sim.steps();
        let mut platter = Platter::default();
        for (index, step) in steps.iter().enumerate() {
            platter.apply(step);
            if index % 5 != 0 {
                continue;
            }
            let files = platter.crash(coin(&mut chance, 128));
            let again = Sim::with(files.clone());
            drop(Stage::open(&again));
            let mut second = Platter::with(&files);
            for step in again.steps() {
                second.apply(&step);
                let files = second.crash(coin(&mut chance, 128));
                oracle.check(files, index + 1, seed);
            }
        }
    }
}

/// Lives through appends, ends, refusals, tidying and restarts.
fn play(sim: &Sim, seed: u64, faults: Faults) -> Oracle {
    let mut oracle = Oracle::default();
    let mut chance = Chance::repeating(seed);
    let mut numbers = 1..;
    let mut stage = Stage::open_at(sim, small(), start());
    sim.fail(faults);
    for _ in 0..STEPS {
        match chance.next() % 12 {
            0..5 => {
                let count = 1 + chance.next() as usize % 3;
                let batch: Vec<u64> = numbers.by_ref().take(count).collect();
                oracle.appended.extend(&batch);
                let results = stage.append(&batch);
                for (number, result) in batch.iter().zip(results) {
                    if result.is_ok() {
                        oracle.safe.insert(*number, sim.step_count());
                    }
                }
            }
            5 => {
                let number = numbers.next().unwrap();
                oracle.appended.insert(number);
                if stage.append_file(number).is_ok() {
                    oracle.safe.insert(number, sim.step_count());
                }
            }
            6..9 => oracle.finish(&mut stage, sim),
            9 => {
                if let Some(sequence) = stage.take() {
                    stage.refuse(sequence, 403);
                    oracle.refused.extend(number_of(&mut stage, sequence));
                }
            }
            10 => {
                stage.later(2);
                stage.log.tick(stage.now);
                oracle.tidy(&mut stage, sim);
            }
            _ => {
                stage.log.close_segment(stage.now);
                drop(stage);
                stage = Stage::open_at(sim, small(), start());
            }
        }
    }
    oracle
}

/// Returns how many images there were.
fn crash_everywhere(sim: &Sim, oracle: &Oracle, seed: u64, images: u64) -> usize {
    let mut chance = Chance::repeating(seed ^ 0xbad);
    let mut platter = Platter::default();
    let mut count = 0;
    for (index, step) in sim.steps().iter().enumerate() {
        platter.apply(step);
        let doubts = platter.doubts();
        // Every way there is if they are few; else all, nothing, and some in between.
        if doubts <= 3 {
            for ways in 0..1_u32 << doubts {
                let mut bit = 0;
                let files = platter.crash(|| {
                    bit += 1;
                    ways >> (bit - 1) & 1 == 1
                });
                oracle.check(files, index + 1, seed);
                count += 1;
            }
            continue;
        }
        for heads in [0, 256, 128, 30, 226, 128]
            .into_iter()
            .take(images as usize)
        {
            let files = platter.crash(coin(&mut chance, heads));
            oracle.check(files, index + 1, seed);
            count += 1;
        }
    }
    count
}

impl Oracle {
    fn finish(&mut self, stage: &mut Stage, sim: &Sim) {
        if let Some(sequence) = stage.take() {
            if let Some(number) = number_of(stage, sequence) {
                self.gone.entry(number).or_insert(sim.step_count());
            }
            stage.finish(sequence);
            stage.keeper.remove_empty();
        }
    }

    fn tidy(&mut self, stage: &mut Stage, sim: &Sim) {
        let before = sim.step_count();
        stage.keeper.tidy(stage.now);
        if stage.shared.counters.read().evicted > 0 {
            for number in &self.refused {
                self.gone.entry(*number).or_insert(before);
            }
        }
    }

    /// Opens what is left after a crash at a step.
    fn check(&self, files: BTreeMap<String, Vec<u8>>, step: usize, seed: u64) {
        let sim = Sim::with(files);
        let mut stage = Stage::open_at(&sim, small(), start());
        let found: BTreeSet<u64> = stage.numbers().into_iter().collect();
        let must: BTreeSet<u64> = self
            .safe
            .iter()
            .filter(|(number, safe)| {
                **safe <= step && self.gone.get(number).is_none_or(|gone| *gone >= step)
            })
            .map(|(number, _)| *number)
            .collect();
        let lost: Vec<_> = must.difference(&found).collect();
        assert!(
            lost.is_empty(),
            "history {seed}, step {step}: lost {lost:?}"
        );
        assert!(
            found.is_subset(&self.appended),
            "history {seed}, step {step}"
        );
    }
}

fn number_of(stage: &mut Stage, sequence: u64) -> Option<u64> {
    let all = stage.read_all();
    let found = all.iter().find(|(_, other)| *other == sequence);
    found.map(|(number, _)| *number)
}

/// Room for some segments, so that room has to be made.
fn small() -> Config {
    Config {
        max_size: 24 << 10,
        ..config()
    }
}

const HISTORIES: u64 = 52;
const STEPS: usize = 60;
const IMAGES: u64 = 5;
