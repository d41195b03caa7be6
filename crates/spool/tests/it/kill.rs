//! A process that is killed while it appends and ends requests: what it had been promised is there.
//!
//! The page cache survives, so this says nothing about power loss; the simulated disk does.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use spool::{Config, Durability, Queue};
use tokio::task::JoinSet;

use crate::support::{append, drain};

/// Which requests the children said were safe, were about to end, and had ended.
#[derive(Default)]
struct Said {
    safe: BTreeSet<u64>,
    ending: BTreeSet<u64>,
    done: BTreeSet<u64>,
}

#[tokio::test]
async fn nothing_safe_is_lost_when_the_process_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut said = Said::default();
    for round in 0..ROUNDS {
        let mut child = start(dir.path(), round * 1_000_000);
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = output.lines();
        for _ in 0..200 + round * 37 % 300 {
            said.note(&lines.next().unwrap().unwrap());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it still said is a promise, too; the last line may be cut.
        while let Some(Ok(line)) = lines.next() {
            said.note(&line);
        }
    }

    let queue = Queue::open(child_config(dir.path())).unwrap();
    let found = drain(&queue).await;

    let unique: BTreeSet<u64> = found.iter().copied().collect();
    assert_eq!(unique.len(), found.len(), "each is there once");
    let lost: Vec<_> = said
        .safe
        .difference(&said.ending)
        .filter(|n| !unique.contains(n))
        .collect();
    assert!(lost.is_empty(), "lost {lost:?}");
    let again = said.done.intersection(&unique).count();
    let all = said.safe.len();
    println!(
        "{all} safe, {} done, {again} of these would be sent twice",
        said.done.len()
    );
    assert!(again * 200 <= all, "{again} of {all} would be sent twice");
    assert_eq!(queue.counts().damaged, 0);
}

/// Runs only as a child of the test above: appends until it is killed, and says what is safe and what is done.
#[tokio::test]
async fn child_appends_until_it_is_killed() {
    let Ok(dir) = std::env::var("SPOOL_TEST_DIR") else {
        return;
    };
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    NUMBER.store(
        std::env::var("SPOOL_TEST_FROM").unwrap().parse().unwrap(),
        Ordering::Relaxed,
    );
    let queue = Queue::open(child_config(Path::new(&dir))).unwrap();
    let mut tasks = JoinSet::new();
    for task in 0..16 {
        let queue = queue.clone();
        tasks.spawn(async move {
            loop {
                let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                let claim = append(&queue, number % 5, number).await;
                say(&format!("\nsafe {number}\n"));
                if task % 2 == 0 {
                    say(&format!("ending {number}\n"));
                    claim.finish();
                    say(&format!("done {number}\n"));
                }
            }
        });
    }
    tasks.join_all().await;
}

fn child_config(dir: &Path) -> Config {
    Config {
        durability: Durability::ProcessEnd,
        ..Config::new(dir.join("spool"))
    }
}

fn start(dir: &Path, from: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["child_appends_until_it_is_killed", "--nocapture", "--quiet"])
        .env("SPOOL_TEST_DIR", dir)
        .env("SPOOL_TEST_FROM", from.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

impl Said {
    fn note(&mut self, line: &str) {
        let Some((word, number)) = line.split_once(' ') else {
            return;
        };
        let numbers = match word {
            "safe" => &mut self.safe,
            "ending" => &mut self.ending,
            "done" => &mut self.done,
            _ => return,
        };
        numbers.insert(number.parse().unwrap());
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).unwrap();
    out.flush().unwrap();
}

const ROUNDS: u64 = 25;
