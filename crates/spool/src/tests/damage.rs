//! Files that were damaged in every way we could think of: what is sound is found, what is not is counted, nothing is altered.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::stage::Stage;
use crate::chance::Chance;
use crate::frame::MARK;
use crate::fs::sim::{Platter, Sim, coin};
use crate::segment::{BODY, DAMAGED, SEGMENT};

type Files = BTreeMap<String, Vec<u8>>;

/// A spool that was closed, and where each request is in it.
struct Original {
    files: Files,
    places: BTreeMap<u64, (String, Range<usize>)>,
    with_body: BTreeSet<u64>,
    /// Requests that were appended.
    numbers: usize,
}

#[test]
fn what_is_sound_is_found_and_every_loss_is_counted() {
    let mut variants = 0;
    for seed in 0..VARIANTS {
        let mut chance = Chance::repeating(seed);
        let original = &originals()[seed as usize % 4];
        let mut files = original.files.clone();
        for _ in 0..1 + chance.next() % 3 {
            damage(&mut files, &mut chance);
        }

        original.check(files, seed);
        variants += 1;
    }
    assert!(variants >= 10_000);
}

#[test]
fn a_flipped_bit_loses_one_request_at_most() {
    let original = &originals()[0];
    let mut chance = Chance::repeating(3);
    for name in original.names(SEGMENT) {
        let bits = original.files[&name].len() * 8;
        for _ in 0..400 {
            let mut files = original.files.clone();
            let bit = chance.next() as usize % bits;
            files.get_mut(&name).unwrap()[bit / 8] ^= 1 << (bit % 8);

            let (damaged, is_aside) = original.check(files, bit as u64);

            assert!(damaged <= 1, "bit {bit} of {name}: {damaged}");
            assert!(damaged == 0 || is_aside, "bit {bit} of {name}");
        }
    }
}

#[test]
fn a_segment_that_is_cut_counts_exactly_what_is_missing() {
    let original = &originals()[1];
    for name in original.names(SEGMENT) {
        let length = original.files[&name].len();
        for cut in (0..length).step_by(7) {
            let mut files = original.files.clone();
            files.get_mut(&name).unwrap().truncate(cut);
            let sim = Sim::with(files);
            let mut stage = Stage::open(&sim);

            let lost = original.places.len() - stage.numbers().len();
            // Requests that were done count, too, when nobody can know any more that they were.
            let done = original.numbers - original.places.len();
            let damaged = stage.damaged() as usize;
            let range = lost..=lost + done;
            assert!(
                range.contains(&damaged),
                "{name} at {cut}: {damaged}, not {range:?}"
            );
        }
    }
}

#[test]
fn segments_that_changed_names_are_read_all_the_same() {
    let original = &originals()[2];
    let names = original.names(SEGMENT);
    let mut files = original.files.clone();
    let first = files.remove(&names[0]).unwrap();
    let second = files.remove(&names[1]).unwrap();
    files.insert(names[0].clone(), second);
    files.insert(names[1].clone(), first);
    files.insert("copy.seg".to_owned(), original.files[&names[2]].clone());

    let mut stage = Stage::open(&Sim::with(files));

    let numbers: BTreeSet<u64> = stage.numbers().into_iter().collect();
    assert_eq!(numbers, original.places.keys().copied().collect());
    assert!(stage.times().values().all(|times| *times == 1));
    assert_eq!(stage.damaged(), 0);
}

#[test]
fn a_segment_that_another_was_copied_over_is_counted() {
    let original = &originals()[2];
    let names = original.names(SEGMENT);
    let mut files = original.files.clone();
    let copy = files[&names[0]].clone();
    files.insert(names[1].clone(), copy);

    let mut stage = Stage::open(&Sim::with(files));

    let lost = original.places.len() - stage.numbers().len();
    assert!(lost > 0 && stage.damaged() as usize >= lost);
    assert!(stage.times().values().all(|times| *times == 1));
}

#[test]
fn segments_of_another_spool_are_taken_over_behind_ours() {
    let [ours, theirs, ..] = originals();
    let mut files = ours.files.clone();
    for name in theirs.names(SEGMENT) {
        files.insert(format!("9{name}"), theirs.files[&name].clone());
    }

    let sim = Sim::with(files);
    let mut stage = Stage::open(&sim);

    let inline = theirs.places.len() - theirs.with_body.len();
    assert_eq!(stage.numbers().len(), ours.places.len() + inline);
    let kept = &stage.numbers()[..ours.places.len()];
    assert_eq!(kept, ours.places.keys().copied().collect::<Vec<_>>());
    let names = sim.files();
    assert!(
        !names
            .keys()
            .any(|name| name.starts_with('9') && name.ends_with(SEGMENT))
    );
}

#[test]
fn nothing_is_lost_when_the_power_fails_while_segments_are_taken_over() {
    let [ours, theirs, ..] = originals();
    let mut files = ours.files.clone();
    for name in theirs.names(SEGMENT) {
        files.insert(format!("9{name}"), theirs.files[&name].clone());
    }
    for name in theirs.names(BODY) {
        files.insert(name.clone(), theirs.files[&name].clone());
    }
    let all: BTreeSet<u64> = ours
        .places
        .keys()
        .chain(theirs.places.keys())
        .copied()
        .collect();
    let sim = Sim::with(files.clone());
    drop(Stage::open(&sim));
    let mut platter = Platter::with(&files);
    let mut chance = Chance::repeating(5);

    for step in sim.steps() {
        platter.apply(&step);
        for heads in [0, 256, 128, 128, 128] {
            let left = platter.crash(coin(&mut chance, heads));
            let found: BTreeSet<u64> = Stage::open(&Sim::with(left))
                .numbers()
                .into_iter()
                .collect();
            assert_eq!(found, all, "after {step:?}");
        }
    }
}

#[test]
fn what_a_later_version_wrote_stays_untouched() {
    let original = &originals()[0];
    let mut files = original.files.clone();
    let name = original.names(SEGMENT)[0].clone();
    let mut header = crate::segment::Header::from_bytes(&files[&name]).unwrap();
    header.version += 1;
    files.get_mut(&name).unwrap()[..80].copy_from_slice(&header.to_bytes());
    let newer = files[&name].clone();

    let sim = Sim::with(files);
    drop(Stage::open(&sim));

    assert_eq!(sim.files()[&name], newer);
}

#[test]
fn a_client_cannot_plant_a_request_in_a_body() {
    let sim = Sim::default();
    let mut stage = Stage::open(&sim);
    let (mut planted, mut next) = (Vec::new(), super::stage::entry(7));
    for marker in [0, 1, 0x5350_4f4f_4c2d_4e53] {
        let payload = [&next.head[..], b"evil"].concat();
        let fields = (1, 0, crate::frame::Kind::Request);
        crate::frame::write(&mut planted, marker, fields, [&payload[..]]);
    }
    next.body = vec![planted.into()];
    stage.log.commit(&[next], stage.now)[0].as_ref().unwrap();
    stage.log.close_segment(stage.now);
    drop(stage);
    let mut files = sim.files();
    let name = files
        .keys()
        .find(|name| name.ends_with(SEGMENT))
        .unwrap()
        .clone();
    // The frame's own check no longer holds, so that its inside is searched.
    files.get_mut(&name).unwrap()[80 + 16] ^= 1;

    let mut stage = Stage::open(&Sim::with(files));

    assert_eq!((stage.numbers(), stage.damaged()), (vec![], 1));
}

impl Original {
    fn new(seed: u64) -> Original {
        let sim = Sim::seeded(1 + seed);
        let mut stage = Stage::open(&sim);
        let mut chance = Chance::repeating(seed);
        let mut with_body = BTreeSet::new();
        for number in 1..=24 + seed {
            if chance.next().is_multiple_of(8) {
                stage.append_file(number).unwrap();
                with_body.insert(number);
            } else {
                stage.append(&[number])[0].as_ref().unwrap();
            }
            match chance.next() % 6 {
                0 => stage.take().map(|sequence| stage.finish(sequence)),
                1 => stage.take().map(|sequence| stage.refuse(sequence, 400)),
                _ => None,
            };
        }
        stage.keeper.remove_empty();
        stage.close();
        let mut places = BTreeMap::new();
        for (number, sequence) in stage.read_all() {
            let spot = stage.shared.index().spot(sequence).unwrap();
            let start = spot.offset as usize;
            places.insert(number, (spot.name, start..start + spot.len as usize));
        }
        with_body.retain(|number| places.contains_key(number));
        Original {
            files: sim.files(),
            places,
            with_body,
            numbers: 24 + seed as usize,
        }
    }

    fn names(&self, ending: &str) -> Vec<String> {
        let names = self.files.keys();
        names
            .filter(|name| name.ends_with(ending))
            .cloned()
            .collect()
    }

    /// Opens damaged files, twice. Returns how many losses were counted, and whether something was set aside.
    fn check(&self, files: Files, seed: u64) -> (u64, bool) {
        let are_bodies_whole = self
            .names(BODY)
            .iter()
            .all(|name| files.get(name) == self.files.get(name));
        let must: BTreeSet<u64> = self
            .places
            .iter()
            .filter(|(number, _)| are_bodies_whole || !self.with_body.contains(number))
            .filter(|(_, (name, place))| is_same(&self.files[name], files.get(name), place))
            .map(|(number, _)| *number)
            .collect();
        let sim = Sim::with(files);

        let mut stage = Stage::open(&sim);
        let found: BTreeSet<u64> = stage.numbers().into_iter().collect();

        let missed: Vec<_> = must.difference(&found).collect();
        assert!(missed.is_empty(), "variant {seed}: {missed:?} are sound");
        let lost = self
            .places
            .keys()
            .filter(|number| !found.contains(number))
            .count() as u64;
        let damaged = stage.damaged();
        assert!(
            damaged >= lost,
            "variant {seed}: {damaged} counted, {lost} lost"
        );
        drop(stage);

        let mut again = Stage::open(&sim);
        let still: BTreeSet<u64> = again.numbers().into_iter().collect();
        assert_eq!(still, found, "variant {seed}");
        assert_eq!(again.damaged(), 0, "variant {seed} counted twice");
        let is_aside = sim.files().keys().any(|name| name.ends_with(DAMAGED));
        (damaged, is_aside)
    }
}

fn originals() -> &'static [Original; 4] {
    static ORIGINALS: std::sync::OnceLock<[Original; 4]> = std::sync::OnceLock::new();
    ORIGINALS.get_or_init(|| [0, 1, 2, 3].map(Original::new))
}

/// Whether a frame is the same but for its mark.
fn is_same(before: &[u8], after: Option<&Vec<u8>>, place: &Range<usize>) -> bool {
    let Some(after) = after.and_then(|after| after.get(place.clone())) else {
        return false;
    };
    let mark = MARK as usize..MARK as usize + 8;
    let before = &before[place.clone()];
    before[..mark.start] == after[..mark.start] && before[mark.end..] == after[mark.end..]
}

fn damage(files: &mut Files, chance: &mut Chance) {
    let names: Vec<String> = files
        .keys()
        .filter(|name| name.ends_with(SEGMENT) || name.ends_with(BODY))
        .cloned()
        .collect();
    let name = names[chance.next() as usize % names.len()].clone();
    let other = names[chance.next() as usize % names.len()].clone();
    let length = files[&name].len();
    if length == 0 {
        return;
    }
    let start = chance.next() as usize % length;
    let end = (start + 1 + chance.next() as usize % 900).min(length);
    let file = files.get_mut(&name).unwrap();
    match chance.next() % 9 {
        0 | 1 => file[start] ^= 1 << (chance.next() % 8),
        2 => file[start..end].fill(0),
        3 => file[start..end]
            .iter_mut()
            .for_each(|byte| *byte = chance.next() as u8),
        4 => {
            // Losses behind the cut are known only as long as another segment is there to tell.
            let cut = if name.ends_with(SEGMENT) {
                start.max(length * 9 / 10)
            } else {
                start
            };
            file[cut..].fill(0xa5);
        }
        5 => {
            let piece = file[start..end].to_vec();
            let place = chance.next() as usize % (length - piece.len() + 1);
            file[place..place + piece.len()].copy_from_slice(&piece);
        }
        6 => {
            let piece = file[start..end].to_vec();
            let target = files.get_mut(&other).unwrap();
            let room = target.len().min(piece.len());
            target[..room].copy_from_slice(&piece[..room]);
        }
        7 => file.extend(
            (0..chance.next() % 600)
                .map(|_| chance.next() as u8)
                .collect::<Vec<_>>(),
        ),
        _ => {
            let bytes = files[&other].clone();
            files.insert(format!("{}{SEGMENT}", chance.next()), bytes);
        }
    }
}

const VARIANTS: u64 = 12_000;
