//! What it costs to make requests durable, take them out again and open what is there: the spool's segments beside `fjall` and
//! `redb` behind the same kind of thread that shares one sync among all who wait.
//!
//! `cargo bench -p spool -- [--seconds N] [--dir DIR] [--save NAME]`. DIR has to be on the disk that is meant, not on a tmpfs.
//! `--save` keeps the table in `benches/runs/NAME.txt`. The last column says what is left of 2 000 requests after one byte in the
//! middle of the largest file was flipped.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on must fail")]

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Runtime;

#[path = "spool/stores.rs"]
mod stores;

use stores::{Fjall, Redb, Segments, Store};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_asked = |name: &str| arguments.iter().any(|argument| argument == name);
    // `cargo test --benches` asks for this.
    if is_asked("--test") || is_asked("--list") {
        return ExitCode::SUCCESS;
    }
    let seconds = value_of(&arguments, "--seconds").and_then(|text| text.parse().ok());
    let dir =
        value_of(&arguments, "--dir").unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").to_owned());
    let table = measure(Duration::from_secs(seconds.unwrap_or(3)), Path::new(&dir));
    print(&table);
    if let Some(name) = value_of(&arguments, "--save") {
        let runs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/runs");
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let text = format!(
            "machine  {cores} cores, shared and busy: read the ratios, not the times\ncommand  cargo bench -p spool -- {}\n\n{table}",
            arguments.join(" ")
        );
        fs::write(format!("{runs}/{name}.txt"), text).unwrap();
    }
    ExitCode::SUCCESS
}

fn measure(budget: Duration, dir: &Path) -> String {
    let runtime = Runtime::new().unwrap();
    let mut table = String::from(
        "store     size  writers   appends/s   p50 ms   p99 ms   drains/s      MB   open ms   disk/payload   after a flipped byte\n",
    );
    for size in [4096, 8192] {
        for writers in [1, 64, 512] {
            row::<Segments>(&runtime, &mut table, (budget, dir, size, writers));
            row::<Fjall>(&runtime, &mut table, (budget, dir, size, writers));
            row::<Redb>(&runtime, &mut table, (budget, dir, size, writers));
        }
    }
    table.push_str("\n500 requests a second, 8 KiB each\nstore       p50 ms   p99 ms   p99.9 ms\n");
    paced::<Segments>(&runtime, &mut table, (budget, dir));
    paced::<Fjall>(&runtime, &mut table, (budget, dir));
    paced::<Redb>(&runtime, &mut table, (budget, dir));
    table
}

/// Appends at a fixed rate, whatever the store does.
fn paced<S: Store>(runtime: &Runtime, table: &mut String, (budget, dir): (Duration, &Path)) {
    let home = tempfile::tempdir_in(dir).unwrap();
    let path = home.path().join("store");
    let mut waits = runtime.block_on(async {
        let store = Arc::new(S::open(&path));
        let mut ticks = tokio::time::interval(Duration::from_millis(2));
        let mut appends = Vec::new();
        for number in 0..budget.as_secs() * 500 {
            let due = ticks.tick().await;
            let store = Arc::clone(&store);
            appends.push(tokio::spawn(async move {
                store.append(noise(number, 8192)).await;
                due.elapsed()
            }));
        }
        let mut waits = Vec::new();
        for append in appends {
            waits.push(append.await.unwrap());
        }
        Arc::into_inner(store).unwrap().close().await;
        waits
    });
    waits.sort_unstable();
    let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    let (half, most, nearly_all) = (at(0.5), at(0.99), at(0.999));
    let _ = writeln!(
        table,
        "{:<9} {half:>8.2} {most:>8.2} {nearly_all:>10.2}",
        S::NAME
    );
}

fn row<S: Store>(
    runtime: &Runtime,
    table: &mut String,
    (budget, dir, size, writers): (Duration, &Path, usize, usize),
) {
    let home = tempfile::tempdir_in(dir).unwrap();
    let path = home.path().join("store");
    let (count, mut waits) = runtime.block_on(fill::<S>(&path, budget, size, writers));
    waits.sort_unstable();
    let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    let bytes = size_of_tree(&path) as f64;

    let started = Instant::now();
    let store = S::open(&path);
    let opened = started.elapsed().as_secs_f64();
    let payload = count as f64 * size as f64;
    let started = Instant::now();
    let drained = runtime.block_on(store.drain());
    let drains = drained as f64 / started.elapsed().as_secs_f64();
    assert_eq!(drained, count, "{} lost requests", S::NAME);
    runtime.block_on(store.close());

    let _ = writeln!(
        table,
        "{:<9} {size:>4} {writers:>8} {:>11.0} {:>8.2} {:>8.2} {drains:>10.0} {:>7.0} {:>9.0} {:>14.2}   {}",
        S::NAME,
        count as f64 / budget.as_secs_f64(),
        at(0.5),
        at(0.99),
        payload / 1e6,
        opened * 1e3,
        bytes / payload,
        after_damage::<S>(runtime, dir),
    );
}

/// Appends for a while; returns how many, and how long each took.
async fn fill<S: Store>(
    path: &Path,
    budget: Duration,
    size: usize,
    writers: usize,
) -> (u64, Vec<Duration>) {
    let store = Arc::new(S::open(path));
    let is_over = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let (store, is_over) = (Arc::clone(&store), Arc::clone(&is_over));
            tokio::spawn(async move {
                let mut waits = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    let body = noise(writer as u64 ^ (waits.len() as u64) << 20, size);
                    let started = Instant::now();
                    store.append(body).await;
                    waits.push(started.elapsed());
                }
                waits
            })
        })
        .collect();
    tokio::time::sleep(budget).await;
    is_over.store(true, Ordering::Relaxed);
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.unwrap());
    }
    Arc::into_inner(store).unwrap().close().await;
    (waits.len() as u64, waits)
}

/// Says what is left of 2 000 requests after a byte in the middle of the largest file was flipped.
fn after_damage<S: Store>(runtime: &Runtime, dir: &Path) -> String {
    let home = tempfile::tempdir_in(dir).unwrap();
    let path = home.path().join("store");
    runtime.block_on(async {
        let store = Arc::new(S::open(&path));
        for round in 0..100 {
            let appends: Vec<_> = (0..20)
                .map(|number| {
                    let store = Arc::clone(&store);
                    let body = noise(round * 20 + number, 4096);
                    tokio::spawn(async move { store.append(body).await })
                })
                .collect();
            for append in appends {
                append.await.unwrap();
            }
        }
        Arc::into_inner(store).unwrap().close().await;
    });
    let largest = files(&path).into_iter().max_by_key(|(_, len)| *len);
    let largest = largest.unwrap().0;
    let mut bytes = fs::read(&largest).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[written / 2] ^= 1;
    fs::write(&largest, bytes).unwrap();
    let known: HashSet<Bytes> = (0..2000).map(|number| noise(number, 4096)).collect();
    let read = std::panic::catch_unwind(|| runtime.block_on(S::read_all(&path)));
    match read {
        Ok(found) => {
            let sound = found.iter().filter(|body| known.contains(*body)).count();
            format!("{sound} sound, {} altered", found.len() - sound)
        }
        Err(_) => "cannot be opened".to_owned(),
    }
}

/// Returns bytes that do not compress, as bodies that came compressed.
fn noise(seed: u64, size: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}

fn files(dir: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push((
                entry.path(),
                std::os::unix::fs::MetadataExt::blocks(&metadata) * 512,
            ));
        }
    }
    found
}

fn size_of_tree(dir: &Path) -> u64 {
    files(dir).into_iter().map(|(_, len)| len).sum()
}

fn value_of(arguments: &[String], name: &str) -> Option<String> {
    let place = arguments.iter().position(|argument| argument == name)?;
    arguments.get(place + 1).cloned()
}

#[expect(clippy::print_stdout, reason = "this is what the bench is for")]
fn print(text: &str) {
    println!("{text}");
}
