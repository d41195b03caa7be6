//! A disk in memory that can lose power at every step, and fail as real ones do.
//!
//! It promises what POSIX promises and no more. Until a file is synced, each 512-byte sector that was written may be on the
//! disk or not, and so may each new length; until the directory is synced, so may each change of a name. A sync that fails
//! leaves what was written before in doubt for ever: no later sync makes it safe.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Access, Entry, File, Fs};
use crate::chance::Chance;

/// A simulated disk with one directory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sim {
    /// What chance on this disk starts from.
    pub(crate) seed: u64,
    state: Arc<Mutex<State>>,
    before_create: Arc<Hook>,
}

/// Something that is done once.
#[derive(Default)]
struct Hook(Mutex<Option<Box<dyn FnOnce() + Send>>>);

/// Something that changes the disk.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Create(String, usize),
    Write(usize, u64, Vec<u8>),
    SetLen(usize, u64),
    Sync(usize),
    SyncFailed(usize),
    Link(String, usize),
    Rename(String, String),
    Remove(String),
    SyncDir,
}

/// How the disk fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Faults {
    /// Steps that go well before the one that fails.
    pub(crate) after: u64,
    /// Steps that fail then.
    pub(crate) count: u64,
    /// What they say: 28 is ENOSPC, 5 is EIO.
    pub(crate) code: i32,
    /// Bytes that the disk holds; 0 for no end.
    pub(crate) capacity: u64,
    /// Whether writes do half of what they should.
    pub(crate) is_short: bool,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Vec<u8>>,
    names: BTreeMap<String, usize>,
    locked: BTreeSet<String>,
    steps: Vec<Step>,
    faults: Faults,
}

#[derive(Debug)]
struct SimFile {
    state: Arc<Mutex<State>>,
    node: usize,
    /// The name that is unlocked when it is closed.
    lock: Option<String>,
}

impl Sim {
    /// Returns an empty disk.
    pub(crate) fn seeded(seed: u64) -> Sim {
        Sim {
            seed,
            ..Sim::default()
        }
    }

    /// Returns a disk that holds these files, all safe.
    pub(crate) fn with(files: BTreeMap<String, Vec<u8>>) -> Sim {
        let sim = Sim::default();
        {
            let mut state = sim.state();
            for (node, (name, bytes)) in files.into_iter().enumerate() {
                state.names.insert(name, node);
                state.files.push(bytes);
            }
        }
        sim
    }

    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        let names = state.names.iter();
        names
            .map(|(name, node)| (name.clone(), state.files[*node].clone()))
            .collect()
    }

    /// Returns everything that was done so far.
    pub(crate) fn steps(&self) -> Vec<Step> {
        self.state().steps.clone()
    }

    pub(crate) fn step_count(&self) -> usize {
        self.state().steps.len()
    }

    /// Lets something happen just before the next file is made.
    pub(crate) fn before_create(&self, hook: impl FnOnce() + Send + 'static) {
        *self.before_create.0.lock().unwrap() = Some(Box::new(hook));
    }

    pub(crate) fn fail(&self, faults: Faults) {
        self.state().faults = faults;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn file(&self, node: usize) -> Arc<dyn File> {
        Arc::new(SimFile {
            state: Arc::clone(&self.state),
            node,
            lock: None,
        })
    }
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Hook")
    }
}

impl State {
    fn check(&mut self) -> io::Result<()> {
        if self.faults.after > 0 {
            self.faults.after -= 1;
        } else if self.faults.count > 0 {
            self.faults.count -= 1;
            return Err(io::Error::from_raw_os_error(self.faults.code));
        }
        Ok(())
    }

    fn node(&self, path: &Path) -> io::Result<usize> {
        let node = self.names.get(&name(path));
        node.copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn room(&self) -> u64 {
        let nodes: BTreeSet<usize> = self.names.values().copied().collect();
        let used: usize = nodes.iter().map(|node| self.files[*node].len()).sum();
        match self.faults.capacity {
            0 => u64::MAX,
            capacity => capacity.saturating_sub(used as u64),
        }
    }
}

impl Fs for Sim {
    fn make_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn restrict(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<Entry>> {
        let state = self.state();
        let names = state.names.iter();
        let entries = names.map(|(name, node)| Entry {
            name: name.clone(),
            len: state.files[*node].len() as u64,
            is_dir: false,
        });
        Ok(entries.collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let hook = self.before_create.0.lock().unwrap().take();
        hook.into_iter().for_each(|hook| hook());
        let mut state = self.state();
        state.check()?;
        if state.names.contains_key(&name(path)) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let node = state.files.len();
        state.files.push(Vec::new());
        state.names.insert(name(path), node);
        state.steps.push(Step::Create(name(path), node));
        drop(state);
        Ok(self.file(node))
    }

    fn open(&self, path: &Path, _: Access) -> io::Result<Arc<dyn File>> {
        let node = self.state().node(path)?;
        Ok(self.file(node))
    }

    fn lock(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut state = self.state();
        if !state.locked.insert(name(path)) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let node = match state.node(path) {
            Ok(node) => node,
            Err(_) => {
                let node = state.files.len();
                state.files.push(Vec::new());
                state.names.insert(name(path), node);
                state.steps.push(Step::Create(name(path), node));
                node
            }
        };
        drop(state);
        Ok(Arc::new(SimFile {
            state: Arc::clone(&self.state),
            node,
            lock: Some(name(path)),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.check()?;
        let node = state.node(from)?;
        state.names.remove(&name(from));
        state.names.insert(name(to), node);
        state.steps.push(Step::Rename(name(from), name(to)));
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.check()?;
        let node = state.node(from)?;
        if state.names.contains_key(&name(to)) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        state.names.insert(name(to), node);
        state.steps.push(Step::Link(name(to), node));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.node(path)?;
        state.names.remove(&name(path));
        state.steps.push(Step::Remove(name(path)));
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.check()?;
        state.steps.push(Step::SyncDir);
        Ok(())
    }
}

impl File for SimFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.state.lock().unwrap().files[self.node].len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.state.lock().unwrap();
        let bytes = state.files[self.node].get(offset as usize..).unwrap_or(&[]);
        let length = bytes.len().min(buffer.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.state.lock().unwrap();
        state.check()?;
        let grows =
            (offset + bytes.len() as u64).saturating_sub(state.files[self.node].len() as u64);
        let lacking = grows.saturating_sub(state.room()) as usize;
        let mut length = bytes.len() - lacking.min(bytes.len());
        if length == 0 {
            return Err(io::Error::from_raw_os_error(28));
        }
        if state.faults.is_short {
            length = length.div_ceil(2);
        }
        let bytes = bytes[..length].to_vec();
        write(&mut state.files[self.node], offset, &bytes);
        state.steps.push(Step::Write(self.node, offset, bytes));
        Ok(length)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.check()?;
        state.files[self.node].resize(len as usize, 0);
        state.steps.push(Step::SetLen(self.node, len));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let checked = state.check();
        state.steps.push(match checked {
            Ok(()) => Step::Sync(self.node),
            Err(_) => Step::SyncFailed(self.node),
        });
        checked
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        if let (Some(name), Ok(mut state)) = (&self.lock, self.state.lock()) {
            state.locked.remove(name);
        }
    }
}

/// What is on the disk after some steps, and what may be.
#[derive(Debug, Default)]
pub(crate) struct Platter {
    files: Vec<Node>,
    names: BTreeMap<String, usize>,
    /// Changes of names that are not safe.
    changes: Vec<Step>,
}

#[derive(Debug, Default)]
struct Node {
    bytes: Vec<u8>,
    /// Writes and lengths that are not safe, and whether a sync still makes them so.
    changes: Vec<(Step, bool)>,
}

impl Platter {
    /// Returns a disk that holds these files, all safe.
    pub(crate) fn with(files: &BTreeMap<String, Vec<u8>>) -> Platter {
        let names = files.keys().cloned().zip(0..).collect();
        let node = |bytes: &Vec<u8>| Node {
            bytes: bytes.clone(),
            changes: Vec::new(),
        };
        Platter {
            files: files.values().map(node).collect(),
            names,
            changes: Vec::new(),
        }
    }

    /// Goes one step on.
    pub(crate) fn apply(&mut self, step: &Step) {
        match step {
            Step::Create(_, node) => {
                self.files.resize_with(node + 1, Node::default);
                self.changes.push(step.clone());
            }
            Step::Link(..) | Step::Rename(..) | Step::Remove(_) => self.changes.push(step.clone()),
            Step::Write(node, ..) | Step::SetLen(node, _) => {
                self.files[*node].changes.push((step.clone(), true));
            }
            Step::Sync(node) => self.files[*node].sync(),
            Step::SyncFailed(node) => {
                let changes = &mut self.files[*node].changes;
                changes
                    .iter_mut()
                    .for_each(|(_, is_dirty)| *is_dirty = false);
            }
            Step::SyncDir => {
                for change in std::mem::take(&mut self.changes) {
                    rename(&mut self.names, &change);
                }
            }
        }
    }

    /// Returns in how many ways the next crash can go: the number of things that may be there or not.
    pub(crate) fn doubts(&self) -> usize {
        let sectors: usize = self.files.iter().map(Node::doubts).sum();
        sectors + self.changes.len()
    }

    /// Returns what is left after the power failed; `is_there` decides about each thing in doubt.
    pub(crate) fn crash(&self, mut is_there: impl FnMut() -> bool) -> BTreeMap<String, Vec<u8>> {
        let mut names = self.names.clone();
        for change in &self.changes {
            if is_there() {
                rename(&mut names, change);
            }
        }
        let files: Vec<Vec<u8>> = self
            .files
            .iter()
            .map(|node| node.crash(&mut is_there))
            .collect();
        let found = names.into_iter();
        found
            .map(|(name, node)| (name, files[node].clone()))
            .collect()
    }
}

impl Node {
    fn sync(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        for (change, is_dirty) in changes {
            match (&change, is_dirty) {
                (_, false) => self.changes.push((change, false)),
                (Step::Write(_, offset, bytes), true) => write(&mut self.bytes, *offset, bytes),
                (Step::SetLen(_, len), true) => self.bytes.resize(*len as usize, 0),
                (_, true) => {}
            }
        }
    }

    fn doubts(&self) -> usize {
        let doubts = self.changes.iter().map(|(change, _)| match change {
            Step::Write(_, offset, bytes) => sectors(*offset, bytes).count() + 1,
            _ => 1,
        });
        doubts.sum()
    }

    fn crash(&self, is_there: &mut impl FnMut() -> bool) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let mut len = bytes.len();
        for (change, _) in &self.changes {
            match change {
                Step::Write(_, offset, written) => {
                    for (at, sector) in sectors(*offset, written) {
                        if is_there() {
                            write(&mut bytes, at, sector);
                        }
                    }
                    let end = *offset as usize + written.len();
                    if is_there() {
                        len = len.max(end);
                    }
                }
                Step::SetLen(_, wanted) if is_there() => len = *wanted as usize,
                _ => {}
            }
        }
        bytes.resize(len, 0);
        bytes
    }
}

/// Returns a coin that falls on its head so many times out of 256.
pub(crate) fn coin(chance: &mut Chance, heads: u64) -> impl FnMut() -> bool + '_ {
    move || chance.next() >> 32 & 0xff < heads
}

fn sectors(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut at = offset;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = rest.len().min((SECTOR - at % SECTOR) as usize);
        let (sector, later) = rest.split_at(length);
        let found = (at, sector);
        at += length as u64;
        rest = later;
        (length > 0).then_some(found)
    })
}

fn rename(names: &mut BTreeMap<String, usize>, change: &Step) {
    match change {
        Step::Create(name, node) | Step::Link(name, node) => {
            names.insert(name.clone(), *node);
        }
        Step::Rename(from, to) => {
            if let Some(node) = names.remove(from) {
                names.insert(to.clone(), node);
            }
        }
        Step::Remove(name) => {
            names.remove(name);
        }
        Step::Write(..)
        | Step::SetLen(..)
        | Step::Sync(_)
        | Step::SyncFailed(_)
        | Step::SyncDir => {}
    }
}

fn write(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let end = offset as usize + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset as usize..end].copy_from_slice(bytes);
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

const SECTOR: u64 = 512;
