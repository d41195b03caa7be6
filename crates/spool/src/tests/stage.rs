//! A spool without threads on a simulated disk, and requests that can be told apart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::Method;
use http::uri::PathAndQuery;

use crate::age::{AgeClock, Now};
use crate::batch::Entry;
use crate::body::Draft;
use crate::chance::Chance;
use crate::config::Config;
use crate::counters::Counters;
use crate::dir::Lock;
use crate::error::{AppendError, LoadError};
use crate::frame::Mark;
use crate::fs::sim::Sim;
use crate::keeper::Keeper;
use crate::log::Log;
use crate::marks;
use crate::read::{Stored, read};
use crate::record::{self, Framing, Head, Lane, Place, Summary};
use crate::recover::{Recovered, recover};
use crate::shared::Shared;

pub(super) struct Stage {
    pub(super) shared: Arc<Shared>,
    pub(super) log: Log,
    pub(super) keeper: Keeper,
    pub(super) now: Now,
    pub(super) clock: AgeClock,
    lock: Lock,
}

impl Stage {
    pub(super) fn open(sim: &Sim) -> Stage {
        Stage::open_at(sim, config(), start())
    }

    pub(super) fn open_at(sim: &Sim, config: Config, now: Now) -> Stage {
        let chance = Chance::repeating(sim.seed << 32 | sim.step_count() as u64);
        let Recovered {
            shared,
            lock,
            clock,
            next,
            previous,
        } = recover(Arc::new(sim.clone()), config, chance, now).unwrap();
        Stage {
            log: Log::new(Arc::clone(&shared), clock, next, previous),
            keeper: Keeper::new(Arc::clone(&shared), clock),
            shared,
            now,
            clock,
            lock,
        }
    }

    /// Appends requests with these numbers in one batch, and lets them wait.
    pub(super) fn append(&mut self, numbers: &[u64]) -> Vec<Result<u64, AppendError>> {
        let entries: Vec<Entry> = numbers.iter().map(|number| entry(*number)).collect();
        let results = self.log.commit(&entries, self.now);
        for sequence in results.iter().flatten() {
            self.shared.index().release(*sequence);
        }
        results
    }

    /// Appends a request whose body has a file.
    pub(super) fn append_file(&mut self, number: u64) -> Result<u64, AppendError> {
        let mut draft = Draft::create(Arc::clone(&self.shared))?;
        draft.push(&body(number))?;
        let place = Place::File(draft.seal()?);
        let head = head(number);
        let entry = Entry {
            head: record::encode(&head, place).unwrap(),
            summary: Summary {
                lane: head.lane,
                place,
            },
            body: Vec::new(),
        };
        let sequence = self.log.commit(&[entry], self.now).remove(0)?;
        draft.keep();
        self.shared.index().release(sequence);
        Ok(sequence)
    }

    /// Takes the oldest request.
    pub(super) fn take(&self) -> Option<u64> {
        self.shared.index().take(|_| true)
    }

    pub(super) fn finish(&mut self, sequence: u64) {
        self.keeper.drop_request(sequence);
    }

    pub(super) fn refuse(&mut self, sequence: u64, status: u16) {
        self.shared.index().refuse(sequence, status);
        marks::mark(&self.shared, sequence, Mark::Refused(status));
    }

    pub(super) fn close(&mut self) {
        self.log.close_segment(self.now);
        self.lock.close(self.shared.name, self.log.last());
    }

    pub(super) fn later(&mut self, seconds: u64) {
        let step = Duration::from_secs(seconds);
        self.now.instant += step;
        self.now.wall += step;
    }

    /// Returns the numbers of all requests, in order, after a look at every byte of them.
    pub(super) fn numbers(&mut self) -> Vec<u64> {
        self.read_all()
            .into_iter()
            .map(|(number, _)| number)
            .collect()
    }

    /// Returns the number of each request and how often it is there.
    pub(super) fn times(&mut self) -> BTreeMap<u64, u32> {
        let mut times = BTreeMap::new();
        for (number, _) in self.read_all() {
            *times.entry(number).or_default() += 1;
        }
        times
    }

    /// Returns number and sequence number of every request that can be read; panics if one is not as it was appended.
    pub(super) fn read_all(&mut self) -> Vec<(u64, u64)> {
        let kept: Vec<u64> = {
            let index = self.shared.index();
            let segments = index.segments();
            let kept = segments.flat_map(|(_, segment)| segment.kept());
            kept.map(|(sequence, _)| sequence).collect()
        };
        let readable = kept
            .into_iter()
            .filter_map(|sequence| match read(&self.shared, sequence) {
                Ok((head, stored)) => Some((verify(head, stored), sequence)),
                Err(LoadError::Damaged) => self.lose(sequence),
                Err(error) => panic!("{error}"),
            });
        readable.collect()
    }

    /// What a claim does with a request that is damaged.
    fn lose<T>(&mut self, sequence: u64) -> Option<T> {
        Counters::add(&self.shared.counters.damaged, 1);
        self.finish(sequence);
        None
    }

    pub(super) fn damaged(&self) -> u64 {
        self.shared.counters.read().damaged
    }
}

/// Segments of 3 KiB, so that there are many.
pub(super) fn config() -> Config {
    Config {
        max_size: 48 << 10,
        ..Config::new("/spool")
    }
}

pub(super) fn start() -> Now {
    Now {
        instant: Instant::now(),
        wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
    }
}

pub(super) fn entry(number: u64) -> Entry {
    let head = head(number);
    Entry {
        head: record::encode(&head, Place::Inline).unwrap(),
        summary: Summary {
            lane: head.lane,
            place: Place::Inline,
        },
        body: vec![body(number)],
    }
}

/// Returns the number of a request that is what was appended.
fn verify(read: Head, stored: Stored) -> u64 {
    let number: u64 = read.event_id.as_ref().unwrap().parse().unwrap();
    let bytes = match stored {
        Stored::Inline(bytes) => bytes,
        Stored::File(mut reader) => {
            let mut bytes = Vec::new();
            while let Some(piece) = reader.next().unwrap() {
                bytes.extend_from_slice(&piece);
            }
            bytes.into()
        }
    };
    assert!(bytes == body(number), "the body of {number} was altered");
    assert!(read == head(number), "the head of {number} was altered");
    number
}

fn head(number: u64) -> Head {
    Head {
        lane: Lane {
            project: Some(number % 3),
            key: Some("0123456789abcdef0123456789abcdef".into()),
            categories: 1,
        },
        method: Method::POST,
        target: PathAndQuery::from_static("/api/1/envelope/"),
        fields: vec![(Bytes::from_static(b"host"), Bytes::from_static(b"sentry"))],
        framing: Framing::Length,
        received_at: SystemTime::UNIX_EPOCH + Duration::from_secs(number),
        event_id: Some(number.to_string()),
        note: None,
    }
}

/// Returns bytes that no other number has, most of them short.
fn body(number: u64) -> Bytes {
    let mut chance = Chance::repeating(number);
    let length = [10, 90, 300, 700, 1500][chance.next() as usize % 5];
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&chance.next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}
